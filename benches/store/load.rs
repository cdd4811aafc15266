//! Generated batches for a store. A batch holds calls of some functions on some threads, with the windows, slices and
//! histograms that belong to them, as the collector hands them to the store. The generator reads no clock: the same
//! arguments give the same batches.

use std::collections::BTreeMap;

use monitor_runtime::batch::{
    Batch, CallRow, CallStats, FunctionRow, ProcessRow, SliceRow, ThreadRow, TotalRow, Update, WindowRow,
};
use monitor_runtime::histogram::{self, Histogram};
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
    /// The share of the calls that each function has.
    pub(crate) popularity: Popularity,
    /// Half hours under way are written with one of this many batches.
    pub(crate) slices_every: u64,
}

/// The share of the calls that each function has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Popularity {
    /// All functions are called equally often.
    Equal,
    /// The function of rank n is called 1/n as often as the first one, which is called most.
    Zipf,
}

impl Shape {
    /// The calls of a program of a thousand functions, a few of which are called most of the time.
    pub(crate) const SKEWED: Self = Self {
        functions: 1000,
        threads: 5,
        failed_every: 100,
        slow_every: 200,
        values_every: 10,
        popularity: Popularity::Zipf,
        slices_every: 200,
    };

    /// The calls of a typical service.
    pub(crate) const SERVICE: Self = Self {
        functions: 20,
        threads: 8,
        failed_every: 100,
        slow_every: 200,
        values_every: 10,
        popularity: Popularity::Equal,
        slices_every: 1,
    };
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
    /// For each function but the last, the share of the calls that it and those before it have, out of 2^32.
    shares: Vec<u64>,
    spans: Vec<u64>,
    windows: Vec<Interval>,
    slices: Vec<Interval>,
    totals: Vec<Interval>,
    /// The windows and half hours that ended since the last batch.
    ended: (Vec<WindowRow>, Vec<SliceRow>),
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
        Self::seeded(shape, 0)
    }

    /// Returns the source of one process of several, each of which makes calls of its own.
    pub(crate) fn seeded(shape: Shape, process: u64) -> Self {
        let functions = vec![Interval::default(); shape.functions as usize];
        Self {
            shape,
            sequence: 0,
            calls: 0,
            random: 0x9e37_79b9_7f4a_7c15 ^ process << 20,
            shares: shape.popularity.shares(shape.functions - 1),
            spans: vec![0; shape.threads as usize],
            windows: functions.clone(),
            slices: functions.clone(),
            totals: functions,
            ended: Default::default(),
        }
    }

    /// Returns the process that makes all calls.
    pub(crate) fn process(started_ns: i64) -> ProcessRow {
        Self::numbered_process(0, started_ns)
    }

    /// Returns one process of several.
    pub(crate) fn numbered_process(number: u64, started_ns: i64) -> ProcessRow {
        ProcessRow {
            run_uuid: format!("{}{number:04x}", "5eed".repeat(7)),
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
        (batch.windows, batch.slices) = std::mem::take(&mut self.ended);
        self.add_windows(&mut batch);
        if self.sequence.is_multiple_of(self.shape.slices_every) {
            self.add_slices(&mut batch);
        }
        batch
    }

    /// Returns a batch without calls that holds all statistics that no batch has held yet, and the totals.
    pub(crate) fn last_batch(&mut self, at_ns: i64) -> Batch {
        let mut batch = self.batch(0, (at_ns, at_ns));
        self.add_slices(&mut batch);
        batch.totals = (1..).zip(&self.totals).map(|(function, total)| total.total(function)).collect();
        batch
    }

    fn add_windows(&mut self, batch: &mut Batch) {
        for (function, interval) in (1..).zip(&mut self.windows).filter(|(_, window)| window.changed) {
            batch.windows.push(interval.window(function));
        }
    }

    fn add_slices(&mut self, batch: &mut Batch) {
        for (function, interval) in (1..).zip(&mut self.slices).filter(|(_, slice)| slice.changed) {
            batch.slices.push(interval.slice(function));
        }
    }

    fn call(&mut self, start_ns: i64) -> CallRow {
        let Shape { functions, threads, failed_every, slow_every, values_every, .. } = self.shape;
        self.calls += 1;
        let random = self.random();
        let usual = 1 + self.usual_function(random);
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

    /// Returns the position of a function: each has its share of all numbers.
    fn usual_function(&self, random: u64) -> u32 {
        let at = match self.shape.popularity {
            Popularity::Equal => random % u64::from(self.shape.functions - 1),
            Popularity::Zipf => {
                let number = random.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32;
                self.shares.partition_point(|share| *share <= number) as u64
            }
        };
        u32::try_from(at).unwrap_or(0)
    }

    fn count(&mut self, function: u32, start_ns: i64, duration_ns: u64, outcome: Outcome) {
        let at = function as usize - 1;
        let (windows, slices) = &mut self.ended;
        if let Some(mut ended) = self.windows[at].begin(start_ns, WINDOW_NS) {
            windows.push(ended.window(function));
        }
        if let Some(mut ended) = self.slices[at].begin(start_ns, SLICE_NS) {
            slices.push(ended.slice(function));
        }
        for interval in [&mut self.windows[at], &mut self.slices[at], &mut self.totals[at]] {
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

impl Popularity {
    /// Returns for each of some functions the share of the calls that it and those before it have, out of 2^32.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are below 2^32")]
    fn shares(self, functions: u32) -> Vec<u64> {
        if self == Self::Equal {
            return Vec::new();
        }
        let all: f64 = (1..=functions).map(|rank| f64::from(rank).recip()).sum();
        let upto = (1..functions).scan(0.0, |sum, rank| {
            *sum += f64::from(rank).recip();
            Some((*sum / all * 2_f64.powi(32)) as u64)
        });
        upto.collect()
    }
}

impl Interval {
    /// Begins the interval that holds a time, and returns the one before if no batch has held its latest figures.
    fn begin(&mut self, at_ns: i64, width_ns: i64) -> Option<Self> {
        let start_ns = at_ns - at_ns.rem_euclid(width_ns);
        if self.start_ns == start_ns {
            return None;
        }
        let before = std::mem::replace(self, Self { start_ns, ..Self::default() });
        before.changed.then_some(before)
    }

    fn count(&mut self, duration_ns: u64, outcome: Outcome) {
        self.changed = true;
        let stats = &mut self.stats;
        stats.calls += 1;
        stats.recorded += 1;
        stats.errors += u64::from(outcome == Outcome::Error);
        stats.total_ns += duration_ns;
        stats.self_ns += duration_ns;
        stats.busy_ns += duration_ns;
        stats.max_ns = stats.max_ns.max(duration_ns);
        let bucket = histogram::bucket(duration_ns);
        *self.buckets.entry(bucket).or_default() += 1;
    }

    fn total(&self, function: u32) -> TotalRow {
        let buckets: Vec<_> = self.buckets.iter().map(|(bucket, count)| (*bucket, *count)).collect();
        let histogram = Histogram::from_buckets(&buckets);
        TotalRow { function, update: Update::Replace, stats: self.stats, histogram }
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
