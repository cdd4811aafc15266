//! Guards in the store: the view `guards` and the events of their breakers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use monitored_guard::Guard;

const CHILD: &str = "MONITORED_GUARD_TEST_CHILD";

/// The program whose store is read. It runs as a process of its own, because the store belongs to a process.
#[test]
fn child() {
    static RATES: Guard = Guard::new("rates").failures(2);
    static MAIL: Guard = Guard::new("mail");
    if std::env::var_os(CHILD).is_none_or(|part| part != "store") {
        return;
    }
    let _ = MAIL.call(|| Ok::<_, String>(())).into_result();
    for _ in 0..3 {
        let answer = RATES.call(|| Err::<f64, _>("token=abcdef0123456789abcdef refused"));
        assert!((answer.or_value(1.0) - 1.0).abs() < f64::EPSILON);
    }
    monitored::flush(std::time::Duration::from_secs(60)).unwrap();
}

#[test]
fn guards_and_their_transitions_are_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::child", "--nocapture"])
        .env(CHILD, "store")
        .env("MONITOR_DB", &path)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let store = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT name, state, level, calls, failures, rejected, fallbacks_value, openings FROM guards ORDER BY name";
    let mut select = store.prepare(sql).unwrap();
    let rows: Vec<(String, String, String, [i64; 5])> = select
        .query_map([], |row| {
            let numbers = [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?];
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, numbers))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let row = |name: &str, state: &str, level: &str, numbers| {
        (name.to_owned(), state.to_owned(), level.to_owned(), numbers)
    };
    assert_eq!(
        rows,
        [row("mail", "closed", "full", [1, 0, 0, 0, 0]), row("rates", "open", "minimal", [2, 2, 1, 3, 1])]
    );
    let text = |sql: &str| store.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let event = text("SELECT detail FROM events WHERE kind = 'guard'");
    assert!(
        event.starts_with("rates: CLOSED -> OPEN (automatic): 2 consecutive failures, the last: "),
        "{event}"
    );
    let last = text("SELECT last_failure FROM guards WHERE name = 'rates'");
    assert!(!event.contains("abcdef") && !last.contains("abcdef"), "{event} {last}");
}

/// The program whose guard is held from outside: it calls the guard until it was held and released, and says what it sees.
#[test]
fn held_child() {
    static RATES: Guard = Guard::new("rates");
    if std::env::var_os(CHILD).is_none_or(|part| part != "held") {
        return;
    }
    let mut output = std::io::stdout();
    let mut last = String::new();
    loop {
        let now = match RATES.call(|| Ok::<_, String>(())).into_result() {
            Ok(()) => "made".to_owned(),
            Err(why) => why.to_string(),
        };
        if now != last {
            writeln!(output, "guard: {now}").and_then(|()| output.flush()).unwrap();
            last = now;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_guard_is_held_and_released_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::held_child", "--nocapture"])
        .env(CHILD, "held")
        .env("MONITOR_DB", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The harness says things of its own, and may do so on the same line.
    let mut seen = lines.filter_map(|line| line.split_once("guard: ").map(|(_, text)| text.to_owned()));
    assert_eq!(seen.next().unwrap(), "made");
    let begun = std::time::Instant::now();
    let store = loop {
        let opened = rusqlite::Connection::open(&path);
        match opened {
            Ok(store) if store.query_row("SELECT count(*) FROM guards", [], |row| row.get(0)) == Ok(1) => {
                break store;
            }
            _ => assert!(begun.elapsed() < Duration::from_secs(60), "the guard is not in the store"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    store.busy_timeout(Duration::from_secs(60)).unwrap();
    let hold = "INSERT INTO guard_hold (process_id, name, hold, reason, set_by) VALUES (0, 'rates', 'open', 'a move', 'ada')";
    store.execute(hold, []).unwrap();
    let answer = seen.next().unwrap();
    assert!(answer.contains("a move"), "{answer}");
    store.execute("UPDATE guard_hold SET hold = 'auto', reason = 'done', set_by = 'bob'", []).unwrap();
    assert_eq!(seen.next().unwrap(), "made");
    let all = || -> Vec<String> {
        let mut select =
            store.prepare("SELECT detail FROM events WHERE kind = 'guard' ORDER BY at_ns").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let begun = std::time::Instant::now();
    while all().len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", all());
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let events = all();
    assert_eq!(events[0], "rates: CLOSED -> OPEN (manual, by ada): held: a move");
    assert_eq!(events[1], "rates: OPEN -> HALF_OPEN (manual, by bob): let go: done");
    assert!(events[2].starts_with("rates: HALF_OPEN -> CLOSED (automatic)"), "{}", events[2]);
}
