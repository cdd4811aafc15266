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
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calibration;
use super::events::Events;
use super::function::Function;
use super::functions::Functions;
use super::health::Health;
use super::trees::TreeCost;
use crate::accountant::Part;
use crate::batch::RateRow;
use crate::growth::{MakeRoom as _, collect_all};
use crate::limits;
use crate::platform::clock::{Clock, monotonic};
use crate::platform::process;
use crate::sampling::ladder::{
    Bounds, Budget, Costs, Cpu, Figures, Load, Place, Reason, Rung, ThreadCosts, Tree, TreePart, Work,
};
use crate::sampling::tail::TailSampling;
use crate::thread::local;
use crate::thread::pool::ThreadPool;
use clock_watch::ClockWatch;
use function_state::{FunctionState, FunctionStates};
use text::{ReasonInputs, percent_of_core};

/// The ladder of a recorder.
#[derive(Debug)]
pub(super) struct Ladder {
    rings: &'static ThreadPool,
    bounds: Bounds,
    costs: Costs,
    budget: Budget,
    /// The costs of the collector's thread, as measured so far, and its work since the last look.
    thread_costs: ThreadCosts,
    work: Work,
    /// The number of looks so far.
    looks: u64,
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
    /// Returns a ladder with two bounds: `max_rate` rows per second of each function, where 0 means no bound, and the
    /// share `max_overhead` of CPU time.
    pub(super) fn new(rings: &'static ThreadPool, max_rate: u32, max_overhead: f64) -> Self {
        let now = monotonic();
        let accountant = rings.home.accountant;
        let decisions_max =
            accountant.count_within(Part::Trees, DECISIONS_SHARE, DECISION_BYTES, limits::DECISIONS_MAX);
        let mut ladder = Self {
            rings,
            bounds: Bounds::new(max_rate, max_overhead),
            costs: Costs::default(),
            budget: Budget::default(),
            thread_costs: ThreadCosts::default(),
            work: Work::default(),
            looks: 0,
            states: FunctionStates::default(),
            clock_watch: ClockWatch::default(),
            fates: TailSampling::new(decisions_max),
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

    /// Replaces the bounds.
    pub(super) fn set_bounds(&mut self, max_rate: u32, max_overhead: f64) {
        self.rings.home.throttles.store(max_rate > 0, Ordering::Relaxed);
        self.bounds = Bounds::new(max_rate, max_overhead);
    }

    /// Returns true if calls are only counted, and so rely on the coarse clock.
    pub(super) fn is_counting(&self) -> bool {
        self.clock_watch.is_running()
    }

    /// Lets the coarse clock rest if no call of a function relied on it since this was last called.
    pub(super) fn stop_idle_clock(&mut self, functions: &Functions) {
        self.clock_watch.stop_if_unused(functions, &mut self.states);
    }

    /// Begins anew after a rest that was longer than the interval between looks: examines the calls before the rest over
    /// the whole rest, and makes the next look come soon. The period of that look begins one interval ago, because
    /// without any silence the calls of a program that works now and then would be taken for a steady load, and with all
    /// of it a heavy load would be taken for a light one.
    pub(super) fn wake(
        &mut self,
        now: Duration,
        clock: &Clock,
        functions: &Functions,
        take_trees: impl FnOnce() -> HashMap<u32, TreeCost>,
        health: &mut Health,
        events: &mut Events,
    ) {
        if now.saturating_sub(self.last_look) <= limits::LADDER_INTERVAL {
            return;
        }
        if self.look(now, clock, functions, take_trees, health, events).is_none() {
            self.rings.home.accountant.note_refused(Part::Functions);
        }
        self.last_look = now.saturating_sub(limits::LADDER_INTERVAL);
        self.next_look = now + limits::LADDER_FIRST;
        (self.own_cpu, self.process_cpu) = (process::thread_cpu(), process::process_cpu());
    }

    /// Advances the coarse clock. Returns true if tallies have to be read now, because calls of some functions were
    /// timed since the last look and are only counted from now on: the durations of the timed calls must not stand for
    /// calls that come later.
    pub(super) fn watch_clock(&mut self, functions: &Functions) -> bool {
        let is_wanted = self.rings.home.take_clock_request();
        self.clock_watch.step(is_wanted, functions, &mut self.states)
    }

    /// Prepares for a piece of work in which a disk may hold this thread up: no call relies on the coarse clock until
    /// it is watched again.
    pub(super) fn prepare_for_disk(&mut self, functions: &Functions) {
        self.clock_watch.suspend(functions, &mut self.states);
    }

    /// Counts calls of a function that left no record since the last look.
    pub(super) fn count_unrecorded(&mut self, function: &Function, timed: u64, counted: u64, dropped: u64) {
        // Costs are estimated: without memory, these calls are left out of the estimate.
        let Some(state) = self.states.get_or_create(function) else { return };
        self.clock_watch.is_used |= state.rung.is_counted() && timed + counted > 0;
        let since = &mut state.since;
        since.timed += timed;
        since.counted += counted;
        since.dropped += dropped;
    }

    /// Counts a transaction.
    pub(super) fn count_batch(&mut self) {
        self.work.batches += 1.0;
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

    /// Decides once a second how much of each function is recorded from now on. `take_trees` returns the records of the
    /// trees since the last look, by the id of the function that they begin with.
    pub(super) fn step(
        &mut self,
        now: Duration,
        clock: &Clock,
        functions: &Functions,
        take_trees: impl FnOnce() -> HashMap<u32, TreeCost>,
        health: &mut Health,
        events: &mut Events,
    ) {
        self.work.wakes += 1.0;
        if now < self.next_look {
            return;
        }
        self.next_look = now + limits::LADDER_INTERVAL;
        self.clock_watch.report(clock, events);
        if self.look(now, clock, functions, take_trees, health, events).is_none() {
            self.rings.home.accountant.note_refused(Part::Functions);
        }
    }

    /// Looks at the calls since the last look, and moves the rungs of functions. Returns `None` if there is no memory
    /// for that: the rungs then stay as they are until the next look.
    fn look(
        &mut self,
        now: Duration,
        clock: &Clock,
        functions: &Functions,
        take_trees: impl FnOnce() -> HashMap<u32, TreeCost>,
        health: &mut Health,
        events: &mut Events,
    ) -> Option<()> {
        if functions.iter().any(|function| self.states.get_or_create(function).is_none()) {
            return None;
        }
        let seconds = now.saturating_sub(self.last_look).as_secs_f64().max(PASSED_MIN);
        self.last_look = now;
        let cpu = self.measure(seconds);
        let now_ns = clock.now_ns();
        let before = self.states.adopt_throttles(functions)?;
        let loads = self.states.iter_mut(functions).map(|(_, state)| state.take_load(seconds));
        let loads = collect_all(loads.map(|load| (load, load.rows)))?;
        let trees = self.trees(functions, &take_trees(), seconds)?;
        let Self { bounds, costs, budget, states, clock_watch, .. } = self;
        let mut places: Vec<Place<'_>> = Vec::new();
        if !places.make_room(loads.len()) {
            return None;
        }
        for ((function, state), (load, _)) in states.iter_mut(functions).zip(&loads) {
            (state.calls_per_s, state.rung.throttled) = (load.calls, 1.0);
            let (function, requested) = (function.site.id(), function.site.requested().0);
            places.push(Place { function, rung: &mut state.rung, load: *load, requested });
        }
        let figures = budget.keep(&mut places, trees, costs, (cpu, seconds), bounds)?;
        note_figures(health, &figures);
        clock_watch.set_relied_on(states.iter_mut(functions).any(|(_, state)| state.rung.is_counted()));
        let names = |id: u32| functions.get(id).map(|function| Arc::clone(&function.name));
        for (((function, state), (load, rows_per_s)), before) in
            states.iter_mut(functions).zip(&loads).zip(&before)
        {
            let percentile = percentile(functions, function, state.calls_per_s);
            set_slow_threshold(function, state, percentile, now_ns);
            let too_many_of = match state.rung.reason {
                Reason::Rows { function, .. } => names(function),
                _ => None,
            };
            let inputs = ReasonInputs {
                bounds,
                budget: figures.budget,
                cost: cost_in_force(&state.rung, before, load, costs),
                calls_per_s: load.calls,
                requested: function.site.requested(),
                too_many_of: too_many_of.as_deref(),
            };
            if state.apply_rung(function.site, before) {
                events.add(now_ns, "rate", state.describe_change(function, before, &inputs));
            }
            let row = state.rate_row(function.site, &inputs);
            state.offer_row(RateRow { at_ns: now_ns, rows_per_s: *rows_per_s, ..row });
        }
        Some(())
    }

    /// Measures the CPU time since the last look, and learns from it what the collector's work costs.
    fn measure(&mut self, seconds: f64) -> Cpu {
        let (own, process) = (process::thread_cpu(), process::process_cpu());
        let spent = |from: Duration, to: Duration| to.saturating_sub(from).as_nanos() as f64;
        let (own_ns, process_ns) = (spent(self.own_cpu, own), spent(self.process_cpu, process));
        (self.own_cpu, self.process_cpu) = (own, process);
        let mut work = std::mem::take(&mut self.work);
        let ticks_per_s = 1.0 / limits::COARSE_PERIOD.as_secs_f64();
        if self.clock_watch.is_running() {
            work.ticks = (seconds * ticks_per_s - work.wakes).max(0.0);
        }
        // The first look covers the start of the recorder, which says nothing about calls.
        if self.looks > 0 {
            self.thread_costs.learn(&work, own_ns);
        }
        self.looks += 1;
        let learned = &self.thread_costs;
        // The cost that is shared out among functions is never more than the measured one. It may be less: the thread
        // has other work, such as deleting old rows.
        let scale = (own_ns / learned.weigh(&work).max(1.0)).min(1.0);
        self.costs = Costs {
            drained: scale * learned.record(),
            row: scale * learned.row(),
            value_byte: scale * learned.value_byte(),
            ticks: ticks_per_s * learned.tick(),
            ..self.costs
        };
        Cpu {
            process: process_ns / seconds,
            collector: own_ns / seconds,
            fixed: scale * learned.fixed(&work) / seconds,
        }
    }

    /// Returns the trees of a look, per second; `None` if there is no memory for them.
    fn trees(
        &mut self,
        functions: &Functions,
        found: &HashMap<u32, TreeCost>,
        seconds: f64,
    ) -> Option<Vec<Tree>> {
        let mut places = HashMap::new();
        for (place, (function, state)) in self.states.iter_mut(functions).enumerate() {
            if !places.make_room(1) {
                return None;
            }
            places.insert(function.site.id(), place);
            state.begins_below |= found.get(&function.site.id()).is_some_and(|cost| cost.begins_below);
        }
        let part = |part: &super::trees::Part| {
            let place = *places.get(&part.site)?;
            let [records, rows] = [part.records, part.rows].map(|number| number as f64 / seconds);
            Some(TreePart { place, records, rows, calls: part.calls / seconds })
        };
        let mut trees = Vec::new();
        for (site, cost) in found {
            let Some(root) = places.get(site).copied() else { continue };
            let parts = collect_all(cost.parts().iter().filter_map(part))?;
            if !trees.make_room(1) {
                return None;
            }
            trees.push(Tree { root, parts });
        }
        Some(trees)
    }
}

/// Puts the costs of a look into the report, in percent of one core.
fn note_figures(health: &mut Health, figures: &Figures) {
    health.cost_pct = percent_of_core(figures.cost);
    health.fixed_pct = percent_of_core(figures.fixed);
    health.saved_pct = percent_of_core(figures.saved);
    health.budget_pct = percent_of_core(figures.budget);
}

/// Returns the cost of recording a function from now on, in ns per second: the remaining cost if its calls are only
/// counted or timed, otherwise the cost of the calls since the last look.
fn cost_in_force(rung: &Rung, before: &Rung, load: &Load, costs: &Costs) -> f64 {
    match rung.reason {
        Reason::Counted(saving) | Reason::CountingAlone(saving) | Reason::TimedOnly(saving) => {
            saving.would_cost - saving.saved
        }
        _ => load.total_cost(costs, before.captures),
    }
}

/// Adds an event for each change.
fn report_changes(changes: Vec<String>, clock: &Clock, events: &mut Events) {
    for change in changes {
        events.add(clock.now_ns(), "rate", change);
    }
}

/// Sets the duration from which calls of a function are kept for being slow, here and at the call site.
fn set_slow_threshold(function: &Function, state: &mut FunctionState, percentile: Option<u64>, now_ns: i64) {
    let is_counted = state.rung.is_counted();
    let coarse_ns = limits::COARSE_PERIOD.as_nanos() as u64;
    let min = if is_counted { coarse_ns } else { 0 };
    if let Some(declared) = function.site.slow_ns() {
        state.slow.set(declared.max(min), u32::MAX, now_ns);
        // Counted calls are compared with the threshold itself, because the coarse clock may lag behind by as much at
        // their start as at their end. Other calls leave a record from half of it on, because their ticks are converted
        // roughly, and the collector compares them exactly.
        function.site.set_slow_limit(if is_counted { declared.max(min) } else { declared / 2 });
        return;
    }
    state.slow.set(percentile.unwrap_or(u64::MAX).max(min), limits::SLOW_ROWS, now_ns);
    function.site.set_slow_limit(state.slow.ns);
}

/// Returns the 99th percentile of the function's durations, in ns, from which calls are kept as slow, or a longer
/// duration if that would leave too many rows. Returns `None` if there were too few calls, at rate 1, because every
/// call has a row, and at rate 0, because no row was requested.
fn percentile(functions: &Functions, function: &Function, calls_per_s: f64) -> Option<u64> {
    let rate = function.site.rate();
    let stats = functions.stats_of(function).filter(|_| rate > 0.0 && rate < 1.0)?;
    stats.slow_limit(calls_per_s)
}

/// The shortest time between two looks, in seconds, that rates per second are computed from.
const PASSED_MIN: f64 = 1e-4;
/// The bytes of two decisions, a young one and an old one, and the share of the memory for trees that they may take.
const DECISION_BYTES: usize = 64;
const DECISIONS_SHARE: usize = 12;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::accountant::Accountant;
    use crate::config::CaptureMode;
    use crate::ring::memory::Memory;
    use crate::site::{CallSite, Description};

    #[test]
    fn a_program_that_works_now_and_then_is_not_taken_for_one_that_works_all_the_time() {
        static ABOUT: Description = Description::new(|| "ladder::works", file!(), line!(), &[], &[]);
        const CALLS: u32 = 6000;
        let (overflow, _) = crossbeam_channel::unbounded();
        let rings =
            ThreadPool::new(Accountant::boundless(), 7, CaptureMode::All, overflow, Memory::on_heap(None));
        let rings: &'static ThreadPool = Box::leak(Box::new(rings));
        let site: &'static CallSite = Box::leak(Box::new(CallSite::new(&ABOUT)));
        assert!(site.register());
        let mut functions = Functions::default();
        functions.discover();
        let (clock, mut health, mut events) = (Clock::start(), Health::default(), Events::default());
        for period_s in [1, 3, 60] {
            let mut ladder = Ladder::new(rings, 0, 1.0);
            let begun = ladder.last_look;
            for round in 1..=5 {
                // The calls of each period come at its start, and the collector rests again soon after the next look.
                let now = begun + Duration::from_secs(period_s * round);
                ladder.wake(now, &clock, &functions, HashMap::new, &mut health, &mut events);
                let function = functions.get(site.id()).unwrap();
                ladder.count_unrecorded(function, u64::from(CALLS), 0, 0);
                let later = now + limits::LADDER_FIRST;
                ladder.step(later, &clock, &functions, HashMap::new, &mut health, &mut events);
                let seen = ladder.states.get_or_create(function).unwrap().calls_per_s;
                assert!(seen > 0.0 && seen <= f64::from(CALLS), "period {period_s} s, round {round}: {seen}");
            }
        }
    }
}
