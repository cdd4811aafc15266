//! Damaged stores: figures at the ends of their types, and pages with bytes changed at random. Whatever the
//! file holds, `monitor` ends within a minute with an answer or an error, and leaves the file unchanged. The
//! same seed makes the same images; `FUZZ_TIMES` multiplies their number.

use std::io::Read as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use monitor_fuzz::drive::Random;
use rusqlite::{Connection, params};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::command;
use crate::safety::{HOSTILE, is_harmless};

const COMMANDS: [&[&str]; 26] = [
    &["top"],
    &["top", "--sort", "p99"],
    &["calls", "--limit", "50"],
    &["calls", "--failed", "--sort", "duration"],
    &["errors"],
    &["trace", "1"],
    &["logs"],
    &["health"],
    &["sample"],
    &["sql", "SELECT * FROM calls_readable"],
    &["sql", "SELECT * FROM functions"],
    &["why", "place"],
    &["callers", "*"],
    &["callees", "*"],
    &["processes"],
    &["resources"],
    &["metrics"],
    &["metrics", "--history", "--since", "1h"],
    &["export", "prometheus"],
    &["findings", "--all"],
    &["flame"],
    &["export", "folded", "*"],
    &["export", "speedscope"],
    &["export", "perfetto"],
    &["export", "jsonl", "calls", "--since", "1h"],
    &["diff", "--all", "--before", "process:1", "--after", "process:1"],
];
const FORMATS: [&str; 4] = ["table", "json", "jsonl", "csv"];
/// Images of each kind without `FUZZ_TIMES`.
const IMAGES: usize = 40;
/// The time limit of a command: far more than any needs on a store of this size.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn images() -> usize {
    IMAGES * usize::try_from(number("FUZZ_TIMES").unwrap_or(1)).unwrap()
}

/// Returns a store with rows in every table.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    let call = |n: i64| Call {
        span: PREFIX + n,
        parent: (n > 1).then_some(PREFIX + n / 2),
        trace: Some(PREFIX + 1),
        outcome: n % 4,
        kept: if n % 4 == 0 { 0 } else { 2 },
        args: Some(r#"{"id":1}"#),
        error: (n % 4 != 0).then_some("refused"),
        ..Call::default()
    };
    fixture.calls(&(1..200).map(call).collect::<Vec<_>>());
    fixture.figures(1, [199, 50, 50, 50, 1_000_000, 90_000]);
    fixture.window(1, 20 * SECOND, 199, 1_000_000);
    fixture.error_group(1, "refused", 50, SECOND);
    fixture.health(1);
    fixture.metrics();
    fixture
        .db
        .execute_batch(
            "INSERT INTO log_target VALUES (1, 'shop::orders', 'src/orders.rs', 7);
             INSERT INTO log SELECT NULL, base_ns + 541000000000, 1, 30064771072 + value, 30064771073, value, 1, NULL, value, value,
               100 * value, 'line ' || value, '{}' FROM thread, json_each('[1,2,3,4,5]') WHERE thread.id = 1",
        )
        .unwrap();
    fixture
}

/// Returns the bytes of the store as one file, without a write-ahead log.
fn image() -> Vec<u8> {
    let fixture = filled();
    let path = fixture.folder.path().join("whole.db");
    fixture.copy_to(&path);
    std::fs::read(path).unwrap()
}

fn bounded(path: &Path, arguments: &[&str]) -> Output {
    let home = path.parent().unwrap();
    let mut command = command(home, arguments);
    command.arg("--db").arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut stderr = Vec::new();
    let deadline = Instant::now() + ENDS_WITHIN;
    let watching = std::thread::spawn(move || {
        err.read_to_end(&mut stderr).unwrap();
        stderr
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} on {} does not come to an end", path.display());
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    Output { status, stdout: reading.join().unwrap(), stderr: watching.join().unwrap() }
}

/// Runs one command on the file and checks what must be true for any store.
fn survives(path: &Path, random: &mut Random, what: &str) {
    let before = std::fs::read(path).unwrap();
    let arguments = COMMANDS[random.below(COMMANDS.len())];
    let format = FORMATS[random.below(FORMATS.len())];
    let output = bounded(path, &[arguments, &["--format", format]].concat());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = format!("{what}: {arguments:?} {format}: {:?} {err}", output.status);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    assert!(!err.contains("panicked"), "{said}");
    assert!(is_harmless(&out) && is_harmless(&err), "{said}");
    assert!(std::fs::read(path).unwrap() == before, "the file was changed: {said}");
}

#[test]
fn pages_changed_at_random_are_an_answer_or_an_error() {
    let image = image();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut random = Random(number("FUZZ_SEED").unwrap_or(1));
    for number in 0..images() {
        let mut bytes = image.clone();
        for _ in 0..=random.below(6) {
            // Half of the changes hit the headers of file and pages, where a byte matters most.
            let page = 4096 * random.below(bytes.len().max(4096) / 4096);
            let at = page + if random.below(2) == 0 { random.below(112) } else { random.below(4096) };
            match random.below(6) {
                0 if random.below(4) == 0 => bytes.truncate(at),
                1 => bytes.iter_mut().skip(at).take(64).for_each(|byte| *byte = 0xFF),
                2 => bytes.iter_mut().skip(page).take(4096).for_each(|byte| *byte = 0),
                _ => {
                    let value = random.word().to_le_bytes()[0];
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
                }
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        survives(&path, &mut random, &format!("image {number}"));
    }
}

/// SQLite accepts any bytes as names of columns; a reader that expects text must report an error.
#[test]
fn a_schema_that_is_no_text_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut bytes = image();
    let name = b"started_at";
    let places: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 1] = 0xFF;
    }
    std::fs::write(&path, &bytes).unwrap();
    let output = bounded(&path, &["sql", "SELECT * FROM calls_readable"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("schema is no text") && !err.contains("panicked"), "{err}");
    assert!(std::fs::read(&path).unwrap() == bytes);
}

#[test]
fn figures_at_the_ends_of_their_types_are_an_answer_or_an_error() {
    let image = image();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut random = Random(number("FUZZ_SEED").unwrap_or(2));
    for number in 0..images() {
        std::fs::write(&path, &image).unwrap();
        let mut changes = Vec::new();
        for _ in 0..=random.below(4) {
            changes.extend(change(&path, &mut random));
        }
        survives(&path, &mut random, &format!("image {number}, {changes:?}"));
    }
}

/// Sets a column of a table to an odd value, and returns its name; `None` if the schema refuses the value.
fn change(path: &Path, random: &mut Random) -> Option<String> {
    let db = Connection::open(path).unwrap();
    let columns = "SELECT t.name, c.name, c.type FROM pragma_table_list t JOIN pragma_table_info(t.name) c
                   WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut statement = db.prepare(columns).unwrap();
    let all: Vec<(String, String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let (table, column, kind) = &all[random.below(all.len())];
    let sql = format!("UPDATE OR IGNORE {table} SET {column} = ?1 WHERE rowid % ?2 = 0 OR ?2 = 1");
    let rows = [1, 2, 7][random.below(3)];
    let whole = [i64::MIN, i64::MAX, -1, 0, 1, 1 << 53, i64::MIN + 1, 4_102_444_800_000_000_000];
    let real = [f64::INFINITY, -1.0, 0.0, 1e308, -0.0, 5e-324];
    let long = "x".repeat(1 << 16);
    let texts = [HOSTILE, "", "\0", "{\"unfinished\":", "🦀🦀🦀", long.as_str()];
    let set = match (random.below(8), kind.as_str()) {
        (0, _) => db.execute(&sql, params![None::<i64>, rows]),
        (_, "TEXT") => db.execute(&sql, params![texts[random.below(texts.len())], rows]),
        (_, "REAL") => db.execute(&sql, params![real[random.below(real.len())], rows]),
        _ => db.execute(&sql, params![whole[random.below(whole.len())], rows]),
    };
    drop(statement);
    set.is_ok().then(|| format!("{table}.{column}"))
}
