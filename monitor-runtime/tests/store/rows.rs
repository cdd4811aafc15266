//! Rows to write, and functions that read them back.

use monitor_runtime::batch::{
    Batch, CallRow, CallStats, FunctionRow, ProcessRow, Program, SliceRow, ThreadRow, TotalRow, Update,
    WindowRow,
};
use monitor_runtime::histogram::Histogram;
use monitor_runtime::record::{Kept, Outcome};
use monitor_runtime::store::{FileSystem, OpenError, SqliteStore, StoreOptions, System};
use rusqlite::Connection;
use rusqlite::types::FromSql;
use std::path::Path;

/// 2024-02-29 12:34:56.000000789 UTC.
pub(crate) const T0: i64 = 1_709_210_096_000_000_789;
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const HOUR: i64 = 3600 * SECOND;

pub(crate) fn process(run: u32) -> ProcessRow {
    ProcessRow {
        run_uuid: format!("{run:032x}"),
        service: "shop".to_owned(),
        version: "0.1.0".to_owned(),
        host: "host-a".to_owned(),
        pid: std::process::id(),
        started_ns: T0,
        program: Program::default(),
    }
}

pub(crate) fn function(id: u32) -> FunctionRow {
    FunctionRow {
        id,
        name: format!("shop::f{id}"),
        file: "src/shop.rs".to_owned(),
        line: id * 10,
        group: (id == 1).then(|| "orders".to_owned()),
        sample_rate: 1.0,
    }
}

pub(crate) fn thread(id: u32) -> ThreadRow {
    ThreadRow { id, name: format!("worker-{id}"), prefix: id * 7 }
}

/// An `ok` root call without values; `n` counts its thread's calls.
pub(crate) fn call(n: u32) -> CallRow {
    let span = (7_u64 << 32) | u64::from(n);
    CallRow {
        function: 1,
        thread: 1,
        start_ns: T0 + i64::from(n) * 1000,
        duration_ns: 1500,
        busy_ns: 1500,
        span_id: span,
        parent_id: 0,
        trace_id: span,
        outcome: Outcome::Ok,
        kept: Kept::Sampled,
        weight: 1.0,
        args: None,
        result: None,
        error: None,
        error_type: None,
        fields: None,
        shared: None,
        cause: None,
        is_tree: false,
    }
}

/// The id that the store gave a span.
pub(crate) fn stored_span(tool: &rusqlite::Connection, span: u64) -> u64 {
    if span == 0 {
        return 0;
    }
    let block = "SELECT id FROM span_block WHERE block = ?1";
    let id: i64 = tool.query_row(block, [(span >> 20).cast_signed()], |row| row.get(0)).unwrap();
    id.cast_unsigned() << 20 | (span & 0xf_ffff)
}

/// A failed call with this text.
pub(crate) fn failure(n: u32, error: &str) -> CallRow {
    CallRow { outcome: Outcome::Error, kept: Kept::Failed, error: Some(error.to_owned()), ..call(n) }
}

/// A batch of these calls. The first batch also holds the functions 1 to 3 and the threads 1 and 2.
pub(crate) fn batch(sequence: u64, calls: Vec<CallRow>) -> Batch {
    Batch {
        sequence,
        at_ns: T0 + i64::try_from(sequence).unwrap() * SECOND / 10,
        functions: if sequence == 1 { (1..=3).map(function).collect() } else { Vec::new() },
        threads: if sequence == 1 { (1..=2).map(thread).collect() } else { Vec::new() },
        calls,
        ..Batch::default()
    }
}

pub(crate) fn slice(function: u32, calls: u64, buckets: Vec<(i32, u64)>) -> SliceRow {
    let stats =
        CallStats { calls, recorded: calls, total_ns: calls * 1000, max_ns: 5000, ..CallStats::default() };
    SliceRow { function, start_ns: T0 - T0 % (HOUR / 2), update: Update::Replace, stats, buckets }
}

pub(crate) fn total(function: u32, calls: u64) -> TotalRow {
    let stats =
        CallStats { calls, errors: calls / 2, total_ns: calls * 1000, max_ns: 5000, ..CallStats::default() };
    TotalRow { function, update: Update::Replace, stats, histogram: Histogram::from_buckets(&[(80, calls)]) }
}

pub(crate) fn window(function: u32, start_ns: i64, buckets: Vec<(i32, u64)>) -> WindowRow {
    let stats = CallStats {
        calls: buckets.iter().map(|(_, count)| count).sum(),
        errors: 1,
        panics: 2,
        cancelled: 3,
        total_ns: 2_000_000,
        max_ns: 9_000_000,
        ..CallStats::default()
    };
    WindowRow { function, start_ns, update: Update::Replace, stats, buckets }
}

/// Opens the store at a path. The number of the run tells processes apart.
pub(crate) fn open(path: &Path, run: u32) -> SqliteStore {
    loop {
        match SqliteStore::open(&StoreOptions::file(path), process(run), T0) {
            // Another process is opening the store: try again.
            Err(OpenError::Busy(_)) => {}
            opened => return opened.unwrap(),
        }
    }
}

/// The system of a network disk, on which processes cannot share memory.
pub(crate) fn network_disk() -> System {
    System { file_system: |_| FileSystem::Shared, ..System::default() }
}

/// A second connection to the store, as any SQLite tool opens it.
pub(crate) fn tool(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// Returns the first value of a query.
pub(crate) fn query_value<T: FromSql>(connection: &Connection, sql: &str) -> T {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Returns the first column of a query.
pub(crate) fn query_column<T: FromSql>(connection: &Connection, sql: &str) -> Vec<T> {
    connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Counts the rows of a table or view.
pub(crate) fn count(path: &Path, object: &str) -> i64 {
    query_value(&tool(path), &format!("SELECT count(*) FROM {object}"))
}
