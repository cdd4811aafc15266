//! The ladder: which drained records become rows, and how much of each function is recorded from now on.
//!
//! Takes drained records, counts of calls without a record, and CPU times; gives the records that become rows, and puts
//! rates and fidelity into force at the call sites. Each change is an event, and a row of the view `rates`. Once a
//! second a look decides about all functions, by the rules of `sampling::ladder`; a burst is cut down at once, by those
//! of `sampling::tail`. No function is recorded more than was requested. It does not know the store.

mod text;
mod slow_threshold;
mod function_state;
mod clock_watch;
mod tail_sampling;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calibration;
use super::events::Events;
use super::function::Function;
use super::functions::Functions;
use super::health::Health;
use crate::batch::RateRow;
use crate::limits;
use crate::platform::clock::{Clock, monotonic};
use crate::platform::process;
use crate::sampling::ladder::{Bounds, Candidate, Costs, Overhead, OverheadControl};
use crate::sampling::tail::{Limited, TailSampling};
use crate::thread::local;
use crate::thread::pool::ThreadPool;
use clock_watch::ClockWatch;
use function_state::{FunctionState, FunctionStates};

/// The ladder of a recorder.
#[derive(Debug)]
pub(super) struct Ladder {
    rings: &'static ThreadPool,
    bounds: Bounds,
    costs: Costs,
    balance: OverheadControl,
    states: FunctionStates,
    clock_watch: ClockWatch,
    /// The decisions of tail sampling that later calls may depend on.
    fates: TailSampling,
    /// Makes the random choices of tail sampling differ between processes.
    seed: u64,
    last_look: Duration,
    next_look: Duration,
    last_drain: Duration,
    /// CPU times of the collector's thread and of the process, as of the last look.
    own_cpu: Duration,
    process_cpu: Duration,
}

impl Ladder {
    /// Returns a ladder within these bounds: rows per second and function, 0 for no bound, and the share of CPU time.
    pub(super) fn new(rings: &'static ThreadPool, max_rate: u32, max_overhead: f64) -> Self {
        let now = monotonic();
        let mut ladder = Self {
            rings,
            bounds: Bounds::new(max_rate, max_overhead),
            costs: Costs::default(),
            balance: OverheadControl::default(),
            states: FunctionStates::default(),
            clock_watch: ClockWatch::default(),
            fates: TailSampling::default(),
            seed: process::random_seed(),
            last_look: now,
            next_look: now + limits::LADDER_FIRST,
            last_drain: now,
            own_cpu: process::thread_cpu(),
            process_cpu: process::process_cpu(),
        };
        ladder.set_bounds(max_rate, max_overhead);
        ladder
    }

    /// Replaces the bounds. Returns true if they differ from those before.
    pub(super) fn set_bounds(&mut self, max_rate: u32, max_overhead: f64) -> bool {
        self.rings.home.throttles.store(max_rate > 0, Ordering::Relaxed);
        let bounds = Bounds::new(max_rate, max_overhead);
        std::mem::replace(&mut self.bounds, bounds) != bounds
    }

    /// Returns true if calls are only counted, and so rely on the coarse clock.
    pub(super) fn is_counting(&self) -> bool {
        self.clock_watch.is_running()
    }

    /// Lets the coarse clock rest if no call of a function relied on it since this was last called.
    pub(super) fn let_clock_rest(&mut self, functions: &Functions) {
        self.clock_watch.rest(functions, &mut self.states);
    }

    /// Begins the time that the next look is about now, and makes that look soon, because the time before says nothing.
    pub(super) fn begin_anew(&mut self, now: Duration) {
        self.last_look = now;
        self.next_look = now + limits::LADDER_FIRST;
        (self.own_cpu, self.process_cpu) = (process::thread_cpu(), process::process_cpu());
    }

    /// Moves the coarse clock on. Returns true if tallies have to be read now: calls of some functions were timed since
    /// the last look and are only counted from now on, and the timed ones must not speak for those to come.
    pub(super) fn watch_clock(&mut self, functions: &Functions) -> bool {
        self.clock_watch.look(functions, &mut self.states)
    }

    /// Prepares for a piece of work in which a disk may hold this thread up: no call relies on the coarse clock until it
    /// is watched again.
    pub(super) fn prepare_for_disk(&mut self, functions: &Functions) {
        self.clock_watch.suspend(functions, &mut self.states);
    }

    /// Counts calls of a function that left no record since the last look.
    pub(super) fn count_unrecorded(&mut self, function: &Function, timed: u64, counted: u64, dropped: u64) {
        let state = self.states.get_or_create(function);
        self.clock_watch.is_used |= state.rung.is_counted && timed + counted > 0;
        let since = &mut state.since;
        since.timed += timed;
        since.counted += counted;
        since.dropped += dropped;
    }

    /// Returns the rows on the sampling of functions that wait for the next batch.
    pub(super) fn take_due_rows(&mut self) -> Vec<RateRow> {
        self.states.take_due_rows()
    }

    /// Measures the cost of calls, unless that has been done or the process is still very young.
    pub(super) fn calibrate(&mut self, now: Duration, health: &mut Health) {
        if health.overhead_ns_per_call == 0.0
            && now >= limits::SETTLED_AGE
            && let Some(costs) = local::with_borrowed_state(calibration::measure_costs)
        {
            health.overhead_ns_per_call = costs.recorded;
            self.costs = costs;
        }
    }

    /// Decides once a second how much of each function is recorded from now on.
    pub(super) fn step(
        &mut self,
        now: Duration,
        clock: &Clock,
        functions: &Functions,
        health: &mut Health,
        events: &mut Events,
    ) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + limits::LADDER_INTERVAL;
        self.clock_watch.report(clock, events);
        let seconds = now.saturating_sub(self.last_look).as_secs_f64().max(PASSED_MIN);
        self.last_look = now;
        let overhead = self.overhead(seconds);
        let now_ns = clock.now_ns();
        let before = self.states.adopt_throttles(functions);
        let Self { bounds, costs, balance, states, clock_watch, fates, .. } = self;
        let mut records = 0.0;
        let mut places = Vec::with_capacity(before.len());
        let mut loads = Vec::with_capacity(before.len());
        for (function, state) in states.all(functions) {
            let counts = std::mem::take(&mut state.since);
            let (load, (requested, _)) = (counts.load(seconds), function.site.requested());
            records += load.records;
            loads.push((load, counts.rows as f64 / seconds));
            state.calls_per_s = load.calls;
            state.rung.adapt(&load, requested, bounds);
            places.push(Candidate { rung: &mut state.rung, load, requested });
        }
        if records > RECORDS_TO_MEASURE {
            // The thread's other work, such as its wake-ups, is little beside so many records.
            costs.drained = f64::midpoint(costs.drained, overhead.collector / records);
        }
        let (total, _) = balance.keep(&mut places, costs, overhead, bounds);
        keep_trees_whole(functions, states, fates);
        let percent_of = |ns: f64| 100.0 * ns / overhead.process.max(1.0);
        health.cost_pct = percent_of(total);
        health.budget_pct = 100.0 * bounds.overhead;
        let changes = states.apply_rungs(functions, before);
        clock_watch.rely(states.all(functions).any(|(_, state)| state.rung.is_counted));
        for ((function, state), (load, rows_per_s)) in states.all(functions).zip(loads) {
            let percentile = percentile(functions, function, state.calls_per_s);
            set_slow_threshold(function, state, percentile, now_ns);
            let cost = load.total_cost(costs);
            let row = RateRow {
                at_ns: now_ns,
                rows_per_s,
                calls_per_s: load.calls,
                ns_per_call: if load.calls > 0.0 { cost / load.calls } else { 0.0 },
                cpu_pct: percent_of(cost),
                ..state.rate_row(function.site, bounds)
            };
            state.offer_row(row);
        }
        report_changes(changes, clock, events);
    }

    /// Returns the CPU time used per second since the last look, by the collector's thread and by the whole process.
    fn overhead(&mut self, seconds: f64) -> Overhead {
        let (own, process) = (process::thread_cpu(), process::process_cpu());
        let per_second = |from: Duration, to: Duration| to.saturating_sub(from).as_nanos() as f64 / seconds;
        let overhead = Overhead {
            process: per_second(self.process_cpu, process),
            collector: per_second(self.own_cpu, own),
        };
        (self.own_cpu, self.process_cpu) = (own, process);
        overhead
    }
}

/// Adds an event for each change.
fn report_changes(changes: Vec<String>, clock: &Clock, events: &mut Events) {
    for change in changes {
        events.add(clock.now_ns(), "rate", change);
    }
}

/// Lowers the rates of functions that are recorded less than requested to those of the functions they call, so that the
/// trees of their calls are whole.
fn keep_trees_whole(functions: &Functions, states: &mut FunctionStates, fates: &TailSampling) {
    let mut lowered = HashMap::new();
    for (function, state) in states.all(functions) {
        let (rate, calls) = (state.rung.cap, state.calls_per_s);
        if rate < function.site.requested().0 {
            lowered.insert(function.site.id(), Limited { rate, calls });
        }
    }
    let limits = fates.propagate_caps(&lowered);
    for (function, state) in states.all(functions) {
        let limited = limits.get(&function.site.id());
        state.rung.tree_cap = limited.map_or(1.0, |limited| limited.rate);
    }
}

/// Sets the duration from which on calls of a function are kept for being slow, and tells the callers.
fn set_slow_threshold(function: &Function, state: &mut FunctionState, percentile: Option<u64>, now_ns: i64) {
    let is_counted = state.rung.is_counted;
    let coarse_ns = limits::COARSE_PERIOD.as_nanos() as u64;
    let least = if is_counted { coarse_ns } else { 0 };
    if let Some(declared) = function.site.slow_ns() {
        state.slow.set(declared.max(least), u32::MAX, now_ns);
        // Counted calls are compared with the threshold itself, because the coarse clock may lag behind by as much at
        // their start as at their end. Other calls leave a record from half of it on, because their ticks are converted
        // roughly, and the collector compares them exactly.
        function.site.set_slow_limit(if is_counted { declared.max(least) } else { declared / 2 });
        return;
    }
    state.slow.set(percentile.unwrap_or(u64::MAX).max(least), limits::SLOW_ROWS, now_ns);
    function.site.set_slow_limit(state.slow.ns);
}

/// Returns the function's own 99th percentile if slow calls have a row for that. At rate 1 every call has a row, and at
/// rate 0 no row was requested.
fn percentile(functions: &Functions, function: &Function, calls_per_s: f64) -> Option<u64> {
    let rate = function.site.rate();
    let stats = functions.stats_of(function).filter(|_| rate > 0.0 && rate < 1.0)?;
    stats.slow_limit(calls_per_s)
}

/// The shortest time between two looks, in seconds, that rates per second are computed from.
const PASSED_MIN: f64 = 1e-4;
/// The records per second from which on the thread's CPU time shows what a record costs it.
const RECORDS_TO_MEASURE: f64 = 10_000.0;
