//! Chunks of windows: they repeat the windows, whoever writes these and however late.

use crate::rows::*;
use monitor_runtime::batch::{Batch, FunctionRow, Update, WindowRow};
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::chunks::{self, Entry, WINDOWS, entries};
use monitor_runtime::store::{SqliteStore, Store as _};
use rusqlite::Connection;

/// The start of a chunk.
const START: i64 = T0 - T0 % (300 * SECOND);
/// A moment at which that chunk is over, and the minutes around it at which retention tidies.
const OVER: i64 = START + 400 * SECOND;

fn write(store: &mut SqliteStore, sequence: u64, windows: Vec<WindowRow>) {
    store.write(&Batch { windows, ..batch(sequence, vec![]) }).unwrap();
}

/// Lets retention do all that is due, and returns the number of its steps.
fn tidy(store: &mut SqliteStore, now_ns: i64) -> u64 {
    let mut steps = 1;
    while store.retain(now_ns).unwrap().more {
        steps += 1;
    }
    steps
}

/// The complete chunks, oldest first.
fn complete(tool: &Connection) -> Vec<i64> {
    query_column(tool, "SELECT chunk FROM latency_chunked WHERE functions_upto IS NULL ORDER BY chunk")
}

/// A window as text: its number, figures and histogram.
fn text(at: i64, figures: [i64; 12], histogram: &[u8]) -> String {
    format!("{at} {figures:?} {histogram:?}")
}

/// The shown windows of a function in a chunk.
fn windows(tool: &Connection, function: &str, chunk: i64) -> Vec<String> {
    let mut select = tool
        .prepare(
            "SELECT window, calls, errors, panics, cancelled, roots, total_ns, self_ns, busy_ns, nested_ns, cancelled_ns,
               max_ns, estimated, histogram FROM latency_window w JOIN function f ON f.id = w.function_id
             WHERE f.name = ?1 AND shown = 1 AND window BETWEEN ?2 AND ?2 + 29 ORDER BY window",
        )
        .unwrap();
    let rows = select.query_map((function, chunk * WINDOWS), |row| {
        let figures = std::array::from_fn(|at| row.get(at + 1).unwrap());
        Ok(text(row.get(0)?, figures, row.get_ref(13)?.as_blob().unwrap()))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn describe(entry: &Entry<'_>, chunk: i64) -> String {
    let s = entry.stats;
    let figures =
        [s.calls, s.errors, s.panics, s.cancelled, s.roots, s.total_ns, s.self_ns, s.busy_ns, s.nested_ns];
    let rest = [s.cancelled_ns, s.max_ns, u64::from(s.is_estimated)];
    let all: Vec<i64> = figures.iter().chain(&rest).map(|figure| figure.cast_signed()).collect();
    text(chunk * WINDOWS + entry.position, all.try_into().unwrap(), entry.histogram)
}

/// Asserts that a chunk repeats the windows of a function behind their sum, and returns the calls of the sum.
fn assert_repeats(tool: &Connection, function: &str, chunk: i64) -> u64 {
    let sql =
        "SELECT c.windows FROM latency_chunk c JOIN function f ON c.id = (?2 << 32) + f.id WHERE f.name = ?1";
    let bytes: Vec<u8> = tool.query_row(sql, (function, chunk), |row| row.get(0)).unwrap();
    let all: Vec<Entry<'_>> = entries(&bytes).collect();
    let repeated: Vec<String> = all[1..].iter().map(|entry| describe(entry, chunk)).collect();
    assert_eq!(repeated, windows(tool, function, chunk), "{function}");
    let (mut stats, mut histogram) = (all[1].stats, Histogram::default());
    for entry in &all[2..] {
        stats.merge(&entry.stats);
    }
    all[1..].iter().for_each(|entry| histogram.merge_bytes(entry.histogram));
    assert_eq!((all[0].stats, Histogram::from_bytes(all[0].histogram)), (stats, histogram), "{function}");
    all[0].stats.calls
}

#[test]
fn a_chunk_repeats_the_windows_of_all_processes_and_is_built_anew_after_a_late_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut stores = [1, 2].map(|run| open(&path, run));
    let at = |number: i64| START + number * 10 * SECOND;
    let estimated = |mut row: WindowRow| {
        row.stats.is_estimated = true;
        row.stats.roots = 1 << 40;
        (row.stats.self_ns, row.stats.busy_ns, row.stats.max_ns) = (7 << 60, 1, 1 << 62);
        row
    };
    write(
        &mut stores[0],
        1,
        vec![window(1, at(0), vec![(80, 5), (700, 1)]), window(2, at(29), vec![(0, 9)])],
    );
    write(
        &mut stores[1],
        1,
        vec![window(1, at(0), vec![(81, 7)]), estimated(window(1, at(28), vec![(90, 1)]))],
    );
    // The next chunk is not over.
    write(&mut stores[0], 2, vec![window(1, at(30), vec![(80, 100)])]);
    let (tool, chunk) = (tool(&path), chunks::find(START / (10 * SECOND)));
    tidy(&mut stores[0], at(30) + 59 * SECOND);
    assert_eq!(complete(&tool), Vec::<i64>::new(), "windows of the last minute may still come");
    tidy(&mut stores[0], OVER + 60 * SECOND);
    assert_eq!(complete(&tool), [chunk]);
    assert_eq!(assert_repeats(&tool, "shop::f1", chunk), 5 + 1 + 7 + 1);
    assert_eq!(assert_repeats(&tool, "shop::f2", chunk), 9);
    let late = WindowRow { update: Update::Add, ..window(2, at(3), vec![(50, 40)]) };
    write(&mut stores[1], 2, vec![late]);
    assert_eq!(complete(&tool), Vec::<i64>::new(), "the chunk lacks the window");
    tidy(&mut stores[1], OVER + 60 * SECOND);
    assert_eq!(complete(&tool), [chunk]);
    assert_eq!(assert_repeats(&tool, "shop::f2", chunk), 49);
    assert_eq!(assert_repeats(&tool, "shop::f1", chunk), 14);
    // Six hours later the windows expire, and the chunk with them.
    tidy(&mut stores[0], START + 7 * HOUR);
    assert_eq!(
        (count(&path, "latency_window"), count(&path, "latency_chunk"), complete(&tool)),
        (0, 0, vec![])
    );
}

#[test]
fn a_window_that_comes_while_its_chunk_is_built_is_in_the_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut stores = [1, 2].map(|run| open(&path, run));
    let functions: Vec<FunctionRow> = (1..=500).map(function).collect();
    let all: Vec<WindowRow> = (1..=500).map(|number| window(number, START, vec![(80, 3)])).collect();
    stores[0].write(&Batch { functions, windows: all, ..batch(1, vec![]) }).unwrap();
    let (tool, chunk) = (tool(&path), chunks::find(START / (10 * SECOND)));
    let upto = "SELECT functions_upto FROM latency_chunked";
    while query_column::<Option<i64>>(&tool, upto).is_empty() {
        assert!(stores[0].retain(OVER).unwrap().more);
    }
    assert!(query_value::<Option<i64>>(&tool, upto).is_some_and(|upto| (100..400).contains(&upto)));
    // The first function is done, and gets a window now.
    write(&mut stores[1], 1, vec![window(1, START + 10 * SECOND, vec![(80, 20)])]);
    tidy(&mut stores[0], OVER);
    assert_eq!(complete(&tool), [chunk]);
    assert_eq!(assert_repeats(&tool, "shop::f1", chunk), 23);
    assert_eq!(assert_repeats(&tool, "shop::f500", chunk), 3);
    assert_eq!(count(&path, "latency_chunk"), 500);
}

#[test]
fn chunks_of_clocks_that_are_far_apart_are_built_without_counting_through_the_time_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let years = 40 * 365 * 24 * HOUR;
    let moments = [START - HOUR, START, START + years];
    let rows = moments.iter().map(|at| window(1, *at, vec![(80, 3)])).collect();
    write(&mut store, 1, rows);
    // No chunk is built of windows before 1970, or of those of the future.
    tool(&path)
        .execute_batch(
            "UPDATE latency_window SET window = -5 WHERE window = (SELECT min(window) FROM latency_window)",
        )
        .unwrap();
    let steps = tidy(&mut store, OVER);
    let number = |at: i64| chunks::find(at / (10 * SECOND));
    assert!(steps < 10, "{steps}");
    assert_eq!(complete(&tool(&path)), [number(START)]);
}

#[test]
fn the_entries_of_a_damaged_chunk_end_at_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let rows = (0..3).map(|number| window(1, START + number * 10 * SECOND, vec![(80, 3), (95, 2)])).collect();
    write(&mut store, 1, rows);
    tidy(&mut store, OVER);
    let bytes: Vec<u8> = query_value(&tool(&path), "SELECT windows FROM latency_chunk");
    let all: Vec<Entry<'_>> = entries(&bytes).collect();
    assert_eq!(all.len(), 4);
    for end in 0..bytes.len() {
        let found: Vec<Entry<'_>> = entries(&bytes[..end]).collect();
        assert!(found.len() < 4 && all.starts_with(&found), "{end}");
    }
    // A position outside of the chunk, and a histogram that is longer than the chunk.
    for [position, length] in [[30, 0], [0, 4 * 20], [0, 2]] {
        let bytes = [position, 0, 0, 0, 0, length];
        assert_eq!(entries(&bytes).count(), 0, "{position} {length}");
    }
}
