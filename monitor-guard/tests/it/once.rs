//! Keys of side effects within one process.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use monitored_guard::{Ledger, Once, OnceError, Verdict};

const DAY: Duration = Duration::from_secs(86_400);

fn ledger() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().join("once.db"));
    (folder, ledger)
}

#[test]
fn the_second_caller_gets_what_the_first_one_got() {
    let (folder, ledger) = ledger();
    let runs = Cell::new(0);
    let charge = || {
        runs.set(runs.get() + 1);
        Ok::<_, String>(format!("receipt {}", runs.get()))
    };
    assert_eq!(ledger.once("order-1", DAY, charge), Ok(Once::First("receipt 1".to_owned())));
    assert_eq!(ledger.once("order-1", DAY, charge), Ok(Once::Recorded("receipt 1".to_owned())));
    drop(ledger);
    let ledger = Ledger::new(folder.path().join("once.db"));
    assert_eq!(ledger.once("order-1", DAY, charge), Ok(Once::Recorded("receipt 1".to_owned())));
    assert_eq!(ledger.once("order-2", DAY, charge), Ok(Once::First("receipt 2".to_owned())));
    let other: Result<Once<u32>, OnceError<String>> = ledger.once("order-1", DAY, || Ok(1));
    assert!(matches!(other, Err(OnceError::Unreadable(_))), "{other:?}");
}

#[test]
fn a_key_is_forgotten_when_its_time_has_passed() {
    let (_folder, ledger) = ledger();
    for _ in 0..20 {
        let done = ledger.once("short", Duration::ZERO, || Ok::<_, String>(1)).unwrap();
        assert!(done.is_first());
    }
}

#[test]
fn a_failure_is_an_answer_unless_its_class_says_otherwise() {
    let (_folder, ledger) = ledger();
    let fail = |key: &str, verdict: Verdict| {
        ledger.once_classified(key, DAY, move |_: &&str| verdict, || Err::<(), _>("declined"))
    };
    let declined = OnceError::Failed("declined");
    assert_eq!(fail("final", Verdict::DoNotRetry), Err(declined.clone()));
    assert_eq!(fail("final", Verdict::DoNotRetry), Err(OnceError::FailedBefore("declined".to_owned())));
    for _ in 0..3 {
        assert_eq!(fail("free", Verdict::Retry), Err(declined.clone()));
        assert_eq!(fail("free", Verdict::Wait(None)), Err(declined.clone()));
    }
    assert_eq!(fail("fatal", Verdict::Fatal), Err(declined));
    let doubt = fail("fatal", Verdict::Retry).unwrap_err();
    assert!(matches!(&doubt, OnceError::InDoubt { why, .. } if why == "declined"), "{doubt}");
}

#[test]
fn a_key_in_doubt_stays_so_until_somebody_says_what_happened() {
    let (_folder, ledger) = ledger();
    for key in ["done", "not done"] {
        let panics = || ledger.once(key, DAY, || -> Result<u32, String> { panic!("boom") });
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        let doubt = ledger.once(key, DAY, || -> Result<u32, String> { unreachable!() }).unwrap_err();
        assert!(
            matches!(&doubt, OnceError::InDoubt { why, .. } if why == "its function panicked"),
            "{doubt}"
        );
    }
    let doubts = ledger.doubts().unwrap();
    let keys: Vec<&str> = doubts.iter().map(|doubt| doubt.key.as_str()).collect();
    assert_eq!(keys, ["done", "not done"]);
    assert_eq!(ledger.resolve("done", &7, DAY), Ok(true));
    assert_eq!(ledger.forget("not done"), Ok(true));
    assert_eq!(ledger.forget("done"), Ok(false), "only a key in doubt may be settled");
    assert_eq!(ledger.once("done", DAY, || Ok::<u32, String>(1)), Ok(Once::Recorded(7)));
    assert_eq!(ledger.once("not done", DAY, || Ok::<u32, String>(1)), Ok(Once::First(1)));
    assert_eq!(ledger.doubts(), Ok(Vec::new()));
}

#[test]
fn of_many_threads_one_runs_and_no_other_waits() {
    const THREADS: usize = 16;
    let (_folder, ledger) = ledger();
    let runs = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let result = ledger.once("shared", DAY, || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    while answered.load(Ordering::SeqCst) < THREADS - 1 {
                        std::thread::yield_now();
                    }
                    Ok::<_, String>(1)
                });
                if matches!(result, Err(OnceError::InProgress(_))) {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(ledger.once("shared", DAY, || Ok::<_, String>(2)), Ok(Once::Recorded(1)));
}

#[test]
fn a_future_that_is_dropped_leaves_its_key_in_doubt() {
    let (_folder, ledger) = ledger();
    let mut context = Context::from_waker(Waker::noop());
    drop(ledger.once_async("unpolled", DAY, std::future::pending::<Result<u32, String>>()));
    {
        let mut future =
            pin!(ledger.once_async("dropped", DAY, std::future::pending::<Result<u32, String>>()));
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    let doubts = ledger.doubts().unwrap();
    assert_eq!(doubts.len(), 1);
    assert_eq!((doubts[0].key.as_str(), doubts[0].why.as_str()), ("dropped", "its future was dropped"));
    let mut future = pin!(ledger.once_async("ready", DAY, async { Ok::<_, String>(5) }));
    assert!(future.as_mut().poll(&mut context).is_ready());
    assert_eq!(ledger.once("ready", DAY, || Ok::<_, String>(6)), Ok(Once::Recorded(5)));
}

#[test]
fn without_a_usable_file_or_key_nothing_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let never = || -> Result<u32, String> { unreachable!() };
    let why = |ledger: &Ledger, key: &str| match ledger.once(key, DAY, never) {
        Err(OnceError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    };
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(why(&Ledger::new(&foreign), "a").ends_with("foreign.db is no file of keys"));
    let text = folder.path().join("text");
    std::fs::write(
        &text,
        "no database, but a text that is long enough to be taken for one, if not for its head",
    )
    .unwrap();
    assert!(why(&Ledger::new(&text), "a").contains("text: "));
    assert!(why(&Ledger::new(text.join("below")), "a").contains("text"));
    let ledger = Ledger::new(folder.path().join("once.db"));
    assert!(why(&ledger, "").contains("1 to 1024 bytes"));
    assert!(why(&ledger, &"k".repeat(1025)).contains("has 1025"));
}

#[test]
fn an_end_is_recorded_though_somebody_has_taken_the_process_for_dead() {
    let (folder, ledger) = ledger();
    let other = rusqlite::Connection::open(folder.path().join("once.db")).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    let run = |key: &str, sql: &str, result: Result<u32, String>| {
        ledger.once(key, DAY, || {
            other.execute_batch(sql).unwrap();
            result
        })
    };
    let doubt = "UPDATE once SET state = 'doubt', text = 'it seemed dead' WHERE state = 'running'";
    assert_eq!(run("doubt", doubt, Ok(1)), Ok(Once::First(1)));
    assert_eq!(ledger.once("doubt", DAY, || Ok::<u32, String>(9)), Ok(Once::Recorded(1)));
    let forgotten = "DELETE FROM once WHERE state = 'running'";
    assert_eq!(run("forgotten", forgotten, Ok(2)), Ok(Once::First(2)));
    assert_eq!(ledger.once("forgotten", DAY, || Ok::<u32, String>(9)), Ok(Once::Recorded(2)));
    let settled = "UPDATE once SET state = 'done', text = '33', expires_ns = 9223372036854775807
                   WHERE state = 'running'";
    assert_eq!(run("settled", settled, Ok(3)), Ok(Once::First(3)));
    assert_eq!(ledger.once("settled", DAY, || Ok::<u32, String>(9)), Ok(Once::Recorded(33)));
}

#[test]
fn a_process_knows_that_it_is_alive_itself() {
    let (folder, ledger) = ledger();
    let result = ledger.once("marked", DAY, || {
        std::fs::remove_dir_all(folder.path().join("once.db.owners")).unwrap();
        let within = ledger.once("marked", DAY, || Ok::<u32, String>(9));
        assert!(matches!(within, Err(OnceError::InProgress(_))), "{within:?}");
        assert_eq!(ledger.doubts(), Ok(Vec::new()));
        assert_eq!(ledger.forget("marked"), Ok(false));
        Ok::<u32, String>(1)
    });
    assert_eq!(result, Ok(Once::First(1)));
    assert_eq!(ledger.once("marked", DAY, || Ok::<u32, String>(9)), Ok(Once::Recorded(1)));
}

#[cfg(unix)]
#[test]
fn one_file_of_two_names_has_one_folder_of_marks() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    std::fs::create_dir(&real).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(real.join("once.db"), &link).unwrap();
    let [by_link, by_name] = [link, real.join("once.db")].map(Ledger::new);
    let result = by_link.once("shared", DAY, || {
        let within = by_name.once("shared", DAY, || Ok::<u32, String>(9));
        assert!(matches!(within, Err(OnceError::InProgress(_))), "{within:?}");
        Ok::<u32, String>(1)
    });
    assert_eq!(result, Ok(Once::First(1)));
    assert_eq!(by_name.once("shared", DAY, || Ok::<u32, String>(9)), Ok(Once::Recorded(1)));
}

const CHILD: &str = "MONITORED_GUARD_TEST_MOVES";

/// The program that changes its folder while a function runs.
#[test]
fn moving_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let ledger = Ledger::new("once.db");
    let other = Ledger::new(std::path::absolute("once.db").unwrap());
    let result = ledger.once("moved", DAY, || {
        std::env::set_current_dir("below").unwrap();
        for ledger in [&ledger, &other] {
            let within = ledger.once("moved", DAY, || Ok::<u32, String>(9));
            assert!(matches!(within, Err(OnceError::InProgress(_))), "{within:?}");
        }
        Ok::<u32, String>(1)
    });
    assert_eq!(result, Ok(Once::First(1)));
    assert_eq!(other.once("moved", DAY, || Ok::<u32, String>(9)), Ok(Once::Recorded(1)));
    assert!(!std::path::Path::new("once.db.owners").exists());
}

#[test]
fn a_program_may_change_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "once::moving_child"])
        .env(CHILD, "")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
