//! Several stores that are read together: `--db` more than once, patterns, `--all-stores`.

use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::{Ran, command, monitor};

const MS: i64 = 1_000_000;

/// Two stores in one folder: `a.db` with two calls of `place` and one of `reserve`, `b.db` with three calls of `place`.
struct Two {
    a: Fixture,
    _b: Fixture,
}

impl Two {
    fn new() -> Self {
        let a = Fixture::new();
        let call = |function, n: i64, duration_ns| Call {
            function,
            ago_ns: (100 - n) * SECOND,
            span: PREFIX + n,
            duration_ns,
            ..Call::default()
        };
        a.calls(&[call(1, 1, MS), call(1, 2, 2 * MS), call(2, 3, 3 * MS)]);
        a.figures(1, [2, 1, 0, 0, 3 * MS, 2 * MS]);
        a.figures(2, [1, 0, 0, 0, 3 * MS, 3 * MS]);
        a.window(1, 60 * SECOND, 2, 4 * MS);
        let b = Fixture::new();
        let failed = Call { outcome: 1, kept: 2, error: Some("no stock"), ..call(1, 9, 7 * MS) };
        b.calls(&[call(1, 7, 5 * MS), call(1, 8, 6 * MS), failed]);
        b.figures(1, [3, 1, 0, 0, 18 * MS, 7 * MS]);
        b.window(1, 60 * SECOND, 3, 18 * MS);
        b.error_group(1, "no stock", 1, 91 * SECOND);
        let folder = a.folder.path();
        a.copy_to(&folder.join("a.db"));
        b.copy_to(&folder.join("b.db"));
        Self { a, _b: b }
    }

    fn folder(&self) -> &Path {
        self.a.folder.path()
    }

    /// Runs a command on both stores.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = command(self.folder(), arguments);
        for name in ["a.db", "b.db"] {
            command.arg("--db").arg(self.folder().join(name));
        }
        Ran::from(command.output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        self.run(&[arguments, &["--format", "json"]].concat()).json()
    }
}

fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

#[test]
fn figures_of_functions_add_up_and_tell_their_stores() {
    let two = Two::new();
    let rows = two.json(&["top"]);
    assert_eq!(column(&rows, "function"), ["shop::orders::place", "shop::stock::reserve"]);
    assert_eq!(column(&rows, "calls"), [5, 1]);
    assert_eq!(column(&rows, "errors"), [2, 0]);
    assert_eq!(column(&rows, "max_ms"), [json!(7.0), json!(3.0)]);
    assert_eq!(column(&rows, "total_ms"), [json!(21.0), json!(3.0)]);
    assert_eq!(column(&rows, "store"), ["a.db, b.db", "a.db"]);
    let recent = two.json(&["top", "--since", "5m"]);
    assert_eq!((column(&recent, "calls"), column(&recent, "total_ms")), (vec![json!(5)], vec![json!(22.0)]));
    let ran = two.run(&["top"]);
    assert!(ran.err.starts_with("2 stores: a.db, b.db · 4 processes"), "{}", ran.err);
}

#[test]
fn calls_are_merged_by_start_and_limited_together() {
    let two = Two::new();
    let rows = two.json(&["calls", "--limit", "4"]);
    assert_eq!(column(&rows, "store"), ["b.db", "b.db", "b.db", "a.db"]);
    assert_eq!(column(&rows, "duration_ms"), [json!(7.0), json!(6.0), json!(5.0), json!(3.0)]);
    let longest = two.json(&["calls", "place", "--sort", "duration"]);
    assert_eq!(column(&longest, "duration_ms"), [7.0, 6.0, 5.0, 2.0, 1.0]);
    let errors = two.json(&["errors"]);
    assert_eq!(
        (column(&errors, "message"), column(&errors, "store")),
        (vec![json!("no stock")], vec![json!("b.db")])
    );
}

#[test]
fn a_timeline_has_a_process_for_each_run_of_each_store_with_a_number_that_perfetto_reads() {
    let two = Two::new();
    two.a.copy_to(&two.folder().join("c.db"));
    let path = two.folder().join("c.db");
    for (name, run) in [("b.db", 2), ("c.db", 1)] {
        let db = rusqlite::Connection::open(two.folder().join(name)).unwrap();
        db.execute("UPDATE thread SET process_id = ?1 WHERE id = 1", [run]).unwrap();
        let used = "INSERT INTO resource (process_id, at_ns, cpu_pct, rss_bytes, threads, open_files)
                    VALUES (?1, ?2, 12.5, 4096, 3, 9)";
        db.execute(used, [run, two.a.now - 92 * SECOND]).unwrap();
    }
    let timeline = two.run(&["export", "perfetto", "--db", path.to_str().unwrap()]).ok();
    let timeline: Value = serde_json::from_str(&timeline).unwrap();
    let of_kind = |kind: &str| {
        let events = timeline["traceEvents"].as_array().unwrap().iter();
        events.filter(|event| event["ph"] == kind).cloned().collect::<Vec<_>>()
    };
    let processes: Vec<_> =
        of_kind("M").into_iter().filter(|event| event["name"] == "process_name").collect();
    let names: Vec<_> = processes.iter().map(|event| event["args"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["run 1 of c.db", "run 1 of a.db", "run 2 of b.db"]);
    assert_eq!(column(&processes, "pid"), [1, 2, 3]);
    // Perfetto keeps apart what has different numbers of process and thread: no number may occur twice.
    let mut slices = [0; 4];
    for slice in of_kind("X") {
        slices[usize::try_from(slice["pid"].as_u64().unwrap()).unwrap()] += 1;
    }
    assert_eq!(slices, [0, 3, 3, 3]);
    let mut counted = column(&of_kind("C"), "pid");
    counted.dedup();
    assert_eq!(counted, [1, 3]);
}

#[test]
fn an_id_of_two_stores_is_refused_and_one_of_one_store_is_found() {
    let two = Two::new();
    let message = two.run(&["trace", "1"]).failed(1);
    assert!(message.contains("2 stores have the id 1: name one of") && message.contains("a.db"), "{message}");
    let rows = two.json(&["trace", &(PREFIX + 9).to_string()]);
    assert_eq!(column(&rows, "duration_ms"), [7.0]);
    let message = two.run(&["trace", "77"]).failed(1);
    assert!(message.contains("a.db: it holds calls 1 to 3") && message.contains("b.db"), "{message}");
}

#[test]
fn answers_rest_on_the_rows_of_all_stores() {
    let two = Two::new();
    let rows = two.json(&["callers", "place"]);
    assert_eq!((column(&rows, "calls"), column(&rows, "basis_rows")), (vec![json!(5.0)], vec![json!(6)]));
    let folded = two.run(&["export", "folded", "--by", "calls"]).ok();
    assert!(
        folded.contains("shop::orders::place 5\n") && folded.contains("shop::stock::reserve 1\n"),
        "{folded}"
    );
    assert_eq!(two.json(&["processes"]).len(), 4);
    assert_eq!(two.json(&["flame"]).len(), 2);
    let why = two.run(&["why", "place"]).ok();
    assert!(
        why.contains("5 calls (0 failed)") && why.contains("1 of 5 calls with a row (20.0 %) failed"),
        "{why}"
    );
    two.run(&["findings"]).ok();
    two.run(&["resources"]).ok();
    let diff = two.json(&["diff", "--before", "1h..1m", "--after", "1m..", "--all"]);
    assert!(diff.iter().all(|row| row["verdict"] == "too few"), "{diff:?}");
}

#[test]
fn sql_reads_the_rows_of_all_stores() {
    let two = Two::new();
    let sql =
        "SELECT store, count(*) AS calls, sum(duration_ns) AS ns FROM calls GROUP BY store ORDER BY store";
    let rows = two.json(&["sql", sql]);
    assert_eq!(column(&rows, "store"), ["a.db", "b.db"]);
    assert_eq!(
        (column(&rows, "calls"), column(&rows, "ns")),
        (vec![json!(3), json!(3)], vec![json!(6 * MS), json!(18 * MS)])
    );
    let joined = "SELECT count(*) AS n FROM calls JOIN processes USING (process_id, store)";
    assert_eq!(column(&two.json(&["sql", joined]), "n"), [6]);
    let message = two.run(&["sql", "DELETE FROM calls"]).failed(1);
    assert!(message.contains("cannot modify calls because it is a view"), "{message}");
    let csv = two.run(&["export", "csv", "functions", "--where", "calls > 1"]).ok();
    let stores: Vec<_> = csv.lines().map(|line| line.trim_end().rsplit(',').next().unwrap()).collect();
    assert_eq!(stores, ["store", "a.db", "b.db"]);
}

#[test]
fn a_pattern_stands_for_stores_and_a_file_of_two_names_is_read_once() {
    let two = Two::new();
    let run = |arguments: &[&str]| Ran::from(command(two.folder(), arguments).output().unwrap());
    let folder = two.folder().to_str().unwrap();
    std::fs::hard_link(two.folder().join("a.db"), two.folder().join("c.db")).unwrap();
    let pattern = format!("{folder}/[abc].db");
    let rows = run(&["top", "--db", &pattern, "--format", "json"]).json();
    assert_eq!(column(&rows, "calls"), [5, 1]);
    let message = run(&["top", "--db", &format!("{folder}/x*.db")]).failed(1);
    assert!(message.contains("no file is named like") && message.contains("x*.db"), "{message}");
    let message = run(&["top", "--db", &format!("{folder}/***")]).failed(1);
    assert!(message.contains("is no pattern of file names"), "{message}");
    // A pattern with one match names one store.
    let rows = run(&["top", "--db", &format!("{folder}/a*.db"), "--format", "json"]).json();
    assert!(rows.iter().all(|row| row.get("store").is_none()), "{rows:?}");
}

#[test]
fn an_unreadable_store_is_one_remark_and_only_such_stores_are_an_error() {
    let two = Two::new();
    let bad = two.folder().join("bad.db");
    std::fs::write(&bad, "no database at all, but long enough to look at").unwrap();
    let missing = two.folder().join("missing.db");
    let [bad, missing] = [bad.to_str().unwrap(), missing.to_str().unwrap()];
    let ran = two.run(&["top", "--db", bad, "--db", missing, "--format", "json"]);
    assert!(
        ran.err.lines().count() == 2 && ran.err.contains("left out: ") && ran.err.contains(bad),
        "{}",
        ran.err
    );
    assert_eq!(column(&ran.json(), "calls"), [5, 1]);
    let message =
        Ran::from(command(two.folder(), &["top", "--db", bad, "--db", missing]).output().unwrap()).failed(1);
    assert!(message.contains("no store can be read") && message.contains("missing.db"), "{message}");
}

#[test]
fn commands_on_one_store_refuse_several() {
    let two = Two::new();
    for arguments in [&["tail"][..], &["sample"], &["breaker"], &["export", "sqlite", "out.db"], &["demo"]] {
        let message = two.run(arguments).failed(1);
        assert!(message.contains("works on one store, and 2 are named"), "{arguments:?}: {message}");
    }
}

#[test]
fn all_stores_of_the_default_folder_are_read_together() {
    let two = Two::new();
    let default = two.folder().join(".local/state/monitor");
    std::fs::create_dir_all(&default).unwrap();
    for name in ["a.db", "b.db"] {
        std::fs::rename(two.folder().join(name), default.join(name)).unwrap();
    }
    let ran =
        Ran::from(command(two.folder(), &["top", "--all-stores", "--format", "json"]).output().unwrap());
    assert_eq!(column(&ran.json(), "calls"), [5, 1]);
    let arguments = ["top", "--all-stores", "--db", "x.db"];
    let message = Ran::from(command(two.folder(), &arguments).output().unwrap()).failed(2);
    assert!(message.contains("cannot be used with"), "{message}");
    let single = monitor(&default.join("a.db"), &["top", "--format", "json"]).json();
    assert_eq!(column(&single, "calls"), [2, 1]);
}
