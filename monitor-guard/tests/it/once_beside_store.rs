//! Keys beside the store: they are the same ones whether recording is on or off.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use monitored::Config;
use monitored_guard::{once, once_ledger};

const CHILD: &str = "MONITORED_GUARD_TEST_BESIDE";
const STORE: &str = "MONITORED_GUARD_TEST_STORE";
const DAY: Duration = Duration::from_secs(86_400);

/// The program that does a side effect once, and prints the answer. The part says how it starts its recorder.
#[test]
fn child() {
    let Ok(part) = std::env::var(CHILD) else { return };
    let db = || std::env::var_os(STORE).unwrap();
    match part.as_str() {
        "on" => monitored::init(Config::new().enabled(true).db(db())).unwrap(),
        "off" => monitored::init(Config::new().enabled(false).db(db())).unwrap(),
        "broken" => {
            monitored::init(Config::new().db(db())).unwrap();
            let call = || once("order-1", DAY, || -> Result<u32, String> { panic!("a bug") });
            std::panic::catch_unwind(call).unwrap_err();
        }
        "resolve" | "forget" => {
            monitored::init(Config::new().db(db())).unwrap();
            let ledger = once_ledger().unwrap();
            let keys: Vec<_> = ledger.doubts().unwrap().into_iter().map(|doubt| doubt.key).collect();
            assert_eq!(keys, ["order-1"]);
            let is_settled = match part.as_str() {
                "resolve" => ledger.resolve("order-1", &7_u32, DAY),
                _ => ledger.forget("order-1"),
            };
            assert_eq!(is_settled, Ok(true));
        }
        "second init" => {
            monitored::init(Config::new().db(db())).unwrap();
            monitored::init(Config::new().db("/elsewhere/shop.db")).unwrap_err();
        }
        _ => {}
    }
    let answer = once("order-1", DAY, || Ok::<_, String>(std::process::id()));
    writeln!(std::io::stdout(), "answer: {answer:?}").unwrap();
}

/// Runs the program, and returns the answer without the number.
fn play(part: &str, store: &Path, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "once_beside_store::child", "--nocapture"]);
    command.env_remove("MONITOR_DB").env_remove("MONITOR").env(CHILD, part).env(STORE, store);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer =
        text.lines().find_map(|line| line.split_once("answer: ")).unwrap_or_else(|| panic!("{text}")).1;
    answer.split(|c: char| c.is_ascii_digit()).next().unwrap().to_owned()
}

#[test]
fn keys_work_while_recording_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let off = [("MONITOR", Path::new("off")), ("MONITOR_DB", &path)];
    assert_eq!(play("plain", &path, &off), "Ok(First(");
    assert_eq!(play("plain", &path, &off), "Ok(Recorded(");
    assert_eq!(play("plain", &path, &off[1..]), "Ok(Recorded(", "a recorder changes nothing");
    assert!(folder.path().join("shop.db-once.db").exists());
}

#[test]
fn keys_stay_where_the_program_names_the_store_whether_it_records_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    assert_eq!(play("on", &path, &[]), "Ok(First(");
    assert_eq!(play("off", &path, &[]), "Ok(Recorded(");
    assert_eq!(play("second init", &path, &[]), "Ok(Recorded(", "the first `init` counts");
    assert_eq!(play("on", &path, &[("MONITOR", Path::new("off"))]), "Ok(Recorded(");
}

#[test]
fn a_key_in_doubt_is_settled_by_the_ledger_that_the_free_function_uses() {
    for (settle, answer) in [("resolve", "Ok(Recorded("), ("forget", "Ok(First(")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        assert!(play("broken", &path, &[]).starts_with("Err(InDoubt"));
        assert!(play("on", &path, &[]).starts_with("Err(InDoubt"), "another process finds it in doubt too");
        assert_eq!(play(settle, &path, &[]), answer);
    }
}

#[test]
fn a_ledger_beside_a_store_in_memory_says_why_there_is_none() {
    let answer = play("plain", Path::new(""), &[("MONITOR_DB", Path::new(":memory:"))]);
    assert!(answer.contains("kept in memory"), "{answer}");
}

#[test]
fn a_store_whose_path_cannot_be_read_makes_keys_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let file = folder.path().join("monitor.toml");
    for text in ["db = '", "monitor = false\ndb = '/'"] {
        std::fs::write(&file, text).unwrap();
        assert!(play("plain", &path, &[("MONITOR_CONFIG", &file)]).starts_with("Err(Unavailable("), "{text}");
    }
}
