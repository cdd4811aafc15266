//! Stores for tests: the real schema, filled row by row, so that every figure is known.

use std::path::{Path, PathBuf};

use monitor_runtime::histogram::{self, Histogram};
use monitor_runtime::store::schema;
use rusqlite::{Connection, params};
use tempfile::TempDir;

pub(crate) const SECOND: i64 = 1_000_000_000;
/// The upper half of span ids of thread 1; thread 2 has the next.
pub(crate) const PREFIX: i64 = 7 << 32;

/// A store in a temporary folder, which is removed with the fixture.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) db: Connection,
    pub(crate) now: i64,
}

/// A call to be written; `Call::default()` is an `ok` call of function 1 on thread 1.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) function: i64,
    pub(crate) thread: i64,
    pub(crate) ago_ns: i64,
    pub(crate) duration_ns: i64,
    pub(crate) span: i64,
    pub(crate) parent: Option<i64>,
    pub(crate) trace: Option<i64>,
    /// 0 ok, 1 error, 2 panic, 3 cancelled.
    pub(crate) outcome: i64,
    /// 0 sampled, 1 slow, 2 failed.
    pub(crate) kept: i64,
    pub(crate) weight: f64,
    pub(crate) args: Option<&'static str>,
    pub(crate) result: Option<&'static str>,
    pub(crate) error: Option<&'static str>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            function: 1,
            thread: 1,
            ago_ns: 60 * SECOND,
            duration_ns: 1_500_000,
            span: PREFIX + 1,
            parent: None,
            trace: None,
            outcome: 0,
            kept: 0,
            weight: 1.0,
            args: None,
            result: None,
            error: None,
        }
    }
}

impl Fixture {
    /// A store of two processes (one running as this test, one crashed), two threads and three functions,
    /// without calls.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        schema::create(&db).unwrap();
        let fixture = Self { folder, path, db, now: now_ns() };
        fixture.fill();
        fixture
    }

    fn fill(&self) {
        let process = "INSERT INTO process (id, run_uuid, service, version, host, pid, started_ns, ending)
                       VALUES (?1, ?2, 'shop', '0.1.0', 'elsewhere', ?3, ?4, ?5)";
        let pid = std::process::id();
        self.db.execute(process, params![1, "a1", pid, self.now - 600 * SECOND, "running"]).unwrap();
        self.db.execute(process, params![2, "b2", 4242, self.now - 900 * SECOND, "crash"]).unwrap();
        let progress = "INSERT INTO progress VALUES (?1, 0, 1, ?2)";
        self.db.execute(progress, params![1, self.now - SECOND]).unwrap();
        self.db.execute(progress, params![2, self.now - 700 * SECOND]).unwrap();
        for (id, name) in
            [(1, "shop::orders::place"), (2, "shop::stock::reserve"), (3, "shop::bank::Card::charge")]
        {
            let function = "INSERT INTO function VALUES (?1, ?2, 'src/shop.rs', ?1 * 10, NULL, 1.0)";
            self.db.execute(function, params![id, name]).unwrap();
        }
        for (id, name) in [(1, "main"), (2, "worker-2")] {
            let thread = "INSERT INTO thread VALUES (?1, 1, ?2, ?3)";
            self.db.execute(thread, params![id, name, self.now - 600 * SECOND]).unwrap();
        }
    }

    /// Writes calls the way the store does: with ids and times as differences to those of their thread.
    pub(crate) fn calls(&self, calls: &[Call]) {
        let insert =
            "INSERT INTO call (function_id, thread_id, start, duration, span, parent, trace, kind, weight)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        // One transaction, like the recorder's batch: a concurrent reader sees all of these calls or none.
        let transaction = self.db.unchecked_transaction().unwrap();
        for call in calls {
            let parent = call.parent.map_or(0, |parent| call.span - parent);
            let trace = call.span - parent - call.trace.unwrap_or(call.span - parent);
            let start = 600 * SECOND - call.ago_ns;
            let kind = call.outcome * 4 + call.kept;
            let row = params![
                call.function,
                call.thread,
                start,
                call.duration_ns,
                call.span,
                parent,
                trace,
                kind,
                call.weight
            ];
            self.db.execute(insert, row).unwrap();
            let id = self.db.last_insert_rowid();
            let value = "INSERT INTO call_value VALUES (?1, ?2, ?3, ?4, NULL)";
            self.db.execute(value, params![id, call.args, call.result, call.error]).unwrap();
            let range = "INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns)
                         VALUES (?1, ?1, ?2, ?2, ?2)";
            self.db.execute(range, params![id, self.now - call.ago_ns]).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Writes three metrics with two windows each, the latter under way: a counter of both processes, a gauge, and a histogram of
    /// seconds with the values 0.25 and 0.5.
    pub(crate) fn metrics(&self) {
        let window = self.now / schema::WINDOW_NS;
        let series = "INSERT INTO metric (id, kind, name, unit, description, tags, first_ns, last_window, count, sum, histogram)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let first_ns = (window - 3) * schema::WINDOW_NS;
        let buckets =
            [0.25, 0.5].map(|value| (i32::try_from(histogram::place_of_value(value)).unwrap() - 8, 1));
        let bytes = Histogram::from_buckets(&buckets).to_bytes();
        let total = Histogram::from_buckets(&[(buckets[0].0, 2), (buckets[1].0, 2)]).to_bytes();
        let berlin = r#"{"kind":"new","shop":"berlin"}"#;
        for (id, kind, name, unit, tags, count, sum, histogram) in [
            (1, "counter", "orders", None, berlin, 100, 100.0, None),
            (2, "gauge", "queue.depth", None, "{}", 2, 0.0, None),
            (3, "histogram", "fill", Some("seconds"), "{}", 4, 1.5, Some(total)),
        ] {
            let description = (id == 1).then_some("Orders that were placed.");
            let row =
                params![id, kind, name, unit, description, tags, first_ns, window - 1, count, sum, histogram];
            self.db.execute(series, row).unwrap();
        }
        let put = "INSERT INTO metric_window VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, NULL, NULL, ?9)";
        for at in [window - 3, window - 1] {
            let (last, most) = if at == window - 3 { (9.0, 9.0) } else { (7.0, 8.0) };
            let none = None::<f64>;
            for (process, count) in [(1, 40), (2, 10)] {
                self.db
                    .execute(
                        put,
                        params![at, 1, process, count, f64::from(count), none, none, none, None::<Vec<u8>>],
                    )
                    .unwrap();
            }
            self.db.execute(put, params![at, 2, 1, 1, 0.0, last, last, most, None::<Vec<u8>>]).unwrap();
            self.db.execute(put, params![at, 3, 1, 2, 0.75, none, 0.25, 0.5, bytes]).unwrap();
        }
    }

    /// Writes the exact figures of a function: calls, errors, panics, cancelled, total and longest duration. The function
    /// makes no monitored calls.
    pub(crate) fn figures(&self, function: i64, figures: [i64; 6]) {
        let [calls, errors, panics, cancelled, total, max] = figures;
        let slice =
            "INSERT INTO slice VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?3, 0, 0, ?3, ?7, ?7, ?7, 0, 0, ?8, 0)";
        let at = self.now / schema::SLICE_NS;
        let row = params![at, function, calls, errors, panics, cancelled, total, max];
        self.db.execute(slice, row).unwrap();
        let bucket = "INSERT INTO slice_bucket VALUES (?2, ?1, 160, 1, ?3)";
        self.db.execute(bucket, params![function, at, calls]).unwrap();
    }

    /// Writes the figures of a function in the window this long ago; all calls have the same duration.
    pub(crate) fn window(&self, function: i64, ago_ns: i64, calls: i64, total: i64) {
        let insert = "INSERT INTO latency_window VALUES (?1, ?2, 1, 1, ?3, 0, 0, 0, ?3, ?4, ?4, ?4, 0, 0, ?4, ?5, ?5, ?5, 0, ?6)";
        let window = (self.now - ago_ns) / schema::WINDOW_NS;
        let bucket = histogram::bucket(u64::try_from(total / calls).unwrap());
        let histogram = Histogram::from_buckets(&[(bucket, u64::try_from(calls).unwrap())]).to_bytes();
        self.db.execute(insert, params![window, function, calls, total, total / calls, histogram]).unwrap();
        let start = "INSERT OR IGNORE INTO latency_start VALUES (?1, ?2)";
        self.db.execute(start, [window * schema::WINDOW_NS, window]).unwrap();
    }

    pub(crate) fn error_group(&self, function: i64, message: &str, count: i64, last_ago_ns: i64) {
        let insert = "INSERT INTO error_group VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, 1, NULL, ?4, 0, NULL)";
        let first = self.now - last_ago_ns - 30 * SECOND;
        let row = params![count * 31, function, message, count, first, self.now - last_ago_ns];
        self.db.execute(insert, row).unwrap();
    }

    pub(crate) fn health(&self, process: i64) {
        let insert = "INSERT INTO self_report VALUES
            (?1, ?2, 'degraded', 120000, 17, 5, 0, 3, 2, 'open', 9, 118000, 4000000, 8192000, 65536, 0.5, 21.0,
             ?3, NULL, 2, ?4, 'disk full', 92.5, 7.25, 11, 4, 1, 0.7, 1.0, 0.2, 0.0, NULL, 0, 3145728,
             '{\"rings\":2097152,\"backlog\":1048576}', '{\"scratch\":2}', 6, 3)";
        let (since, next) = (self.now - 12 * SECOND, self.now + 18 * SECOND);
        self.db.execute(insert, params![process, self.now - SECOND, since, next]).unwrap();
        let event = "INSERT INTO event (at_ns, process_id, kind, detail) VALUES (?1, ?2, 'breaker', ?3)";
        let detail = "Circuit breaker OPEN - 25.3s until retry";
        self.db.execute(event, params![self.now - 5 * SECOND, process, detail]).unwrap();
    }

    /// Copies the store to another path.
    pub(crate) fn copy_to(&self, path: &Path) {
        self.db.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    }
}

fn now_ns() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_nanos()).unwrap()
}
