//! Guards in the store: the view `guards` and the events of their breakers.

use std::process::Command;

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
