//! Generated batches for a store. A batch holds calls of some functions on some threads, with the windows, slices and
//! histograms that belong to them, as the collector hands them to the store. The generator reads no clock: the same
//! arguments give the same batches.

use std::collections::BTreeMap;

use monitor_runtime::batch::{
    Batch, CallRow, CallStats, FunctionRow, ProcessRow, SliceRow, ThreadRow, Update, WindowRow,
};
use monitor_runtime::histogram;
use monitor_runtime::record::{Kept, Outcome};
use monitor_runtime::store::schema::{SLICE_NS, WINDOW_NS};

/// The properties of the generated calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) functions: u32,
    pub(crate) threads: u32,
    /// One of this many calls fails, with a text; 0 for none.
    pub(crate) failed_every: u64,
    /// One of this many calls is kept as a slow call; 0 for none.
    pub(crate) slow_every: u64,
    /// One of this many calls has captured values; 0 for none.
    pub(crate) values_every: u64,
}

impl Shape {
    /// The calls of a typical service.
    pub(crate) const SERVICE: Self =
        Self { functions: 20, threads: 8, failed_every: 100, slow_every: 200, values_every: 10 };
}

/// Calls of one thread in a row, because rings are drained one after the other.
const RUN: u64 = 64;

/// Calls of the last function, which is seldom called. All of them are at the start.
const SELDOM: u64 = 5;

/// A source of batches.
#[derive(Debug)]
pub(crate) struct Load {
    shape: Shape,
    sequence: u64,
    calls: u64,
    random: u64,
    spans: Vec<u64>,
    windows: Vec<Interval>,
    slices: Vec<Interval>,
}

/// The statistics of a function since the start of an interval.
#[derive(Debug, Clone, Default)]
struct Interval {
    start_ns: i64,
    stats: CallStats,
    buckets: BTreeMap<i32, u64>,
    changed: bool,
}

impl Load {
    pub(crate) fn new(shape: Shape) -> Self {
        let functions = vec![Interval::default(); shape.functions as usize];
        Self {
            shape,
            sequence: 0,
            calls: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            spans: vec![0; shape.threads as usize],
            windows: functions.clone(),
            slices: functions,
        }
    }

    /// Returns the process that makes all calls.
    pub(crate) fn process(started_ns: i64) -> ProcessRow {
        ProcessRow {
            run_uuid: "5eed".repeat(8),
            service: "load".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: "here".to_owned(),
            pid: std::process::id(),
            started_ns,
            program: monitor_runtime::batch::Program::default(),
        }
    }

    /// Returns the next batch. Its calls are spread evenly over the time between the two moments; the later one is
    /// the moment when the batch is closed.
    pub(crate) fn batch(&mut self, rows: usize, (from_ns, at_ns): (i64, i64)) -> Batch {
        self.sequence += 1;
        let mut batch = Batch { sequence: self.sequence, at_ns, ..Batch::default() };
        if self.sequence == 1 {
            batch.functions = (1..=self.shape.functions).map(function).collect();
            batch.threads = (1..=self.shape.threads).map(thread).collect();
        }
        let step = (at_ns - from_ns) / i64::try_from(rows.max(1)).unwrap_or(i64::MAX);
        batch.calls = (0_i64..).take(rows).map(|at| self.call(from_ns + at * step)).collect();
        for (function, interval) in (1..).zip(&mut self.windows).filter(|(_, window)| window.changed) {
            batch.windows.push(interval.window(function));
        }
        for (function, interval) in (1..).zip(&mut self.slices).filter(|(_, slice)| slice.changed) {
            batch.slices.push(interval.slice(function));
        }
        batch
    }

    fn call(&mut self, start_ns: i64) -> CallRow {
        let Shape { functions, threads, failed_every, slow_every, values_every } = self.shape;
        self.calls += 1;
        let random = self.random();
        let usual = 1 + u32::try_from(random % u64::from(functions - 1)).unwrap_or(0);
        let function = if self.calls <= SELDOM { functions } else { usual };
        let lane = (self.calls / RUN) % u64::from(threads);
        let (failed, slow) = (is_nth(self.calls, failed_every), is_nth(self.calls, slow_every));
        // Most calls take some microseconds, a few take milliseconds.
        let duration_ns = (random >> 32) % (1000 << (random >> 20 & 7)) + if slow { 10_000_000 } else { 90 };
        let outcome = if failed { Outcome::Error } else { Outcome::Ok };
        let span = &mut self.spans[usize::try_from(lane).unwrap_or(0)];
        *span += 1;
        let span_id = (lane + 1) << 32 | *span;
        // Every third call is a child of the one before it.
        let parent_id = if span.is_multiple_of(3) { span_id - 1 } else { 0 };
        self.count(function, start_ns, duration_ns, outcome);
        let values = is_nth(self.calls, values_every);
        CallRow {
            function,
            thread: u32::try_from(lane + 1).unwrap_or(1),
            start_ns,
            duration_ns,
            busy_ns: duration_ns,
            span_id,
            parent_id,
            trace_id: if parent_id == 0 { span_id } else { parent_id },
            outcome,
            kept: if failed {
                Kept::Failed
            } else if slow {
                Kept::Slow
            } else {
                Kept::Sampled
            },
            weight: 1.0,
            args: values.then(|| format!("{{\"id\":{},\"name\":\"order\"}}", random % 100_000)),
            result: values.then(|| "{\"Ok\":12}".to_owned()),
            error: failed.then(|| format!("item {} of {function} is out of stock", random % 1000)),
            error_type: None,
            fields: None,
            shared: None,
            cause: None,
            is_tree: false,
        }
    }

    fn count(&mut self, function: u32, start_ns: i64, duration_ns: u64, outcome: Outcome) {
        let at = function as usize - 1;
        for (interval, width) in [(&mut self.windows[at], WINDOW_NS), (&mut self.slices[at], SLICE_NS)] {
            let begun = start_ns - start_ns.rem_euclid(width);
            if interval.start_ns != begun {
                *interval = Interval { start_ns: begun, ..Interval::default() };
            }
            interval.count(duration_ns, outcome);
        }
    }

    /// Returns the next number of a xorshift generator, which is the same in every run.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Interval {
    fn count(&mut self, duration_ns: u64, outcome: Outcome) {
        self.changed = true;
        let stats = &mut self.stats;
        stats.calls += 1;
        stats.recorded += 1;
        stats.errors += u64::from(outcome == Outcome::Error);
        stats.total_ns += duration_ns;
        stats.max_ns = stats.max_ns.max(duration_ns);
        let bucket = histogram::bucket(duration_ns);
        *self.buckets.entry(bucket).or_default() += 1;
    }

    fn window(&mut self, function: u32) -> WindowRow {
        self.changed = false;
        let buckets = self.buckets.iter().map(|(bucket, count)| (*bucket, *count)).collect();
        WindowRow { function, start_ns: self.start_ns, update: Update::Replace, stats: self.stats, buckets }
    }

    fn slice(&mut self, function: u32) -> SliceRow {
        self.changed = false;
        let buckets = self.buckets.iter().map(|(bucket, count)| (*bucket, *count)).collect();
        SliceRow { function, start_ns: self.start_ns, update: Update::Replace, stats: self.stats, buckets }
    }
}

/// Returns whether the call with this number is one that occurs every `n` calls; never for 0.
fn is_nth(count: u64, n: u64) -> bool {
    n != 0 && count.is_multiple_of(n)
}

fn function(id: u32) -> FunctionRow {
    FunctionRow {
        id,
        name: function_name(id),
        file: "src/orders.rs".to_owned(),
        line: id * 12,
        group: None,
        sample_rate: 1.0,
    }
}

/// Returns the name of a function.
pub(crate) fn function_name(id: u32) -> String {
    format!("shop::orders::step_{id}")
}

fn thread(id: u32) -> ThreadRow {
    ThreadRow { id, name: format!("worker-{id}"), prefix: id }
}
