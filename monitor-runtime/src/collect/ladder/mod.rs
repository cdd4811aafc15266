//! Fidelity: which drained records become rows, and how much of each function is recorded from now on.
//!
//! In: what functions did and cost, CPU times. Out: rates in force; an event for each change, and what the
//! view `rates` shows. How much is right, `sampling::ladder` decides; once a second it is asked here. In the rooms
//! below: what becomes of a drain's records, what a function did, and how it is told.

mod tail_sampling;
mod function_state;
mod slow_threshold;
mod text;
mod clock_watch;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::{Collector, Function};
use crate::batch::RateRow;
use crate::limits;
use crate::platform::process;
use crate::sampling::ladder::{Balance, Bounds, Costs, Overhead, Place, Reason, Rung};
use crate::sampling::tail::{Fates, Limited};
use crate::thread::pool;

pub(super) use function_state::Standing;
use text::{fidelity, rate, why};

/// All that the ladder keeps for the process.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) bounds: Bounds,
    costs: Costs,
    balance: Balance,
    looked: Duration,
    next: Duration,
    drained: Duration,
    own_cpu: Duration,
    process_cpu: Duration,
    seed: u64,
    fates: Fates,
    is_counting: bool,
    /// Calls that are only counted otherwise are timed: this thread may be held up.
    is_away: bool,
    /// For how long the coarse clock stood still since the last look, and was relied on.
    stood: Duration,
}

impl Ladder {
    pub(super) fn new(bounds: Bounds) -> Self {
        let now = crate::platform::clock::monotonic();
        Self {
            bounds,
            costs: Costs::default(),
            balance: Balance::default(),
            looked: now,
            next: now + limits::LADDER_FIRST,
            drained: now,
            own_cpu: process::thread_cpu(),
            process_cpu: process::process_cpu(),
            seed: RandomState::new().build_hasher().finish(),
            fates: Fates::default(),
            is_counting: false,
            is_away: false,
            stood: Duration::ZERO,
        }
    }
}

impl Collector {
    /// Once a second: finds how much of each function is to be recorded.
    pub(super) fn climb(&mut self, now: Duration) {
        if now < self.ladder.next {
            return;
        }
        self.ladder.next = now + limits::LADDER_INTERVAL;
        self.tell_of_clock();
        let seconds = now.saturating_sub(self.ladder.looked).as_secs_f64().max(PASSED_LEAST);
        self.ladder.looked = now;
        let overhead = self.overhead(seconds);
        let now_ns = self.now_ns();
        let Self { ladder, functions, health, .. } = self;
        let before: Vec<Rung> = functions.iter_mut().flatten().map(Function::hear_brake).collect();
        let mut records = 0.0;
        let mut places = Vec::with_capacity(before.len());
        let mut rows = Vec::with_capacity(before.len());
        for function in functions.iter_mut().flatten() {
            let counts = std::mem::take(&mut function.standing.since);
            let (load, (asked, _)) = (counts.load(seconds), function.site.asked());
            records += load.records;
            rows.push((load, counts.rows as f64 / seconds));
            function.standing.calls_per_s = load.calls;
            function.standing.rung.adapt(&load, asked, &ladder.bounds);
            places.push(Place { rung: &mut function.standing.rung, load, asked });
        }
        if records > RECORDS_TO_MEASURE {
            // What this thread does besides, its wake-ups among it, is little then.
            ladder.costs.drained = f64::midpoint(ladder.costs.drained, overhead.collector / records);
        }
        let (total, _) = ladder.balance.keep(&mut places, &ladder.costs, overhead, &ladder.bounds);
        keep_trees_whole(functions, &ladder.fates);
        let percent_of = |ns: f64| 100.0 * ns / overhead.process.max(1.0);
        health.cost_pct = percent_of(total);
        health.budget_pct = 100.0 * ladder.bounds.overhead;
        let mut changes = Vec::new();
        ladder.is_counting = false;
        for (at, function) in functions.iter_mut().flatten().enumerate() {
            changes.extend(before.get(at).and_then(|before| function.change_rung(*before)));
            ladder.is_counting |= function.standing.rung.is_counted;
        }
        let percentiles: Vec<_> =
            functions.iter().flatten().map(|function| function.percentile(functions)).collect();
        for (at, function) in functions.iter_mut().flatten().enumerate() {
            let (load, rows_per_s) = rows.get(at).copied().unwrap_or_default();
            function.find_slow_limit(now_ns, percentiles.get(at).copied().flatten());
            let cost = load.in_all(&ladder.costs);
            let row = RateRow {
                at_ns: now_ns,
                rows_per_s,
                calls_per_s: load.calls,
                ns_per_call: if load.calls > 0.0 { cost / load.calls } else { 0.0 },
                cpu_pct: percent_of(cost),
                ..function.rate_row(&ladder.bounds)
            };
            function.tell(row);
        }
        self.tell_changes(changes);
    }

    /// CPU time used a second, by the recorder's thread and by all.
    fn overhead(&mut self, seconds: f64) -> Overhead {
        let (own, process) = (process::thread_cpu(), process::process_cpu());
        let ladder = &mut self.ladder;
        let per_second = |from: Duration, to: Duration| to.saturating_sub(from).as_nanos() as f64 / seconds;
        let overhead = Overhead {
            process: per_second(ladder.process_cpu, process),
            collector: per_second(ladder.own_cpu, own),
        };
        (ladder.own_cpu, ladder.process_cpu) = (own, process);
        overhead
    }

    /// Measures what calls cost, if that has not been done.
    pub(super) fn calibrate(&mut self) {
        if self.health.overhead_ns_per_call == 0.0
            && let Some(costs) = pool::borrowed(crate::collect::health::measure_costs)
        {
            self.health.overhead_ns_per_call = costs.recorded;
            self.ladder.costs = costs;
        }
    }

    fn tell_changes(&mut self, changes: Vec<String>) {
        for change in changes {
            self.event("rate", change);
        }
    }

    /// What is to be written of the sampling of functions.
    pub(super) fn next_rates(&mut self) -> Vec<RateRow> {
        self.functions.iter_mut().flatten().filter_map(|function| function.standing.due.take()).collect()
    }

    /// Lowers callers to whom they call at once, as soon as it is known whom: else their trees lacked callees
    /// until the next drain.
    fn lower_callers(&mut self) {
        let Self { functions, ladder, .. } = self;
        let before: Vec<Rung> = functions.iter_mut().flatten().map(Function::hear_brake).collect();
        keep_trees_whole(functions, &ladder.fates);
        self.tell_rungs(before);
    }

    /// Puts rungs into force where they have changed since, and says so.
    fn tell_rungs(&mut self, before: Vec<Rung>) {
        let changes = self.functions.iter_mut().flatten().zip(before);
        let changes = changes.filter_map(|(function, before)| function.change_rung(before)).collect();
        self.tell_changes(changes);
    }
}

impl Function {
    /// Takes over how its callers have braked; returns where it stood before.
    fn hear_brake(&mut self) -> Rung {
        let before = self.standing.rung;
        let cap = self.site.cap();
        if cap < before.limit() {
            self.standing.rung.cap = cap;
            self.standing.rung.reason = Reason::Overrun;
        }
        before
    }

    /// Puts a rung into force; says what changed since it was that one.
    fn change_rung(&mut self, before: Rung) -> Option<String> {
        let rung = self.standing.rung;
        let now_alone = matches!(rung.reason, Reason::CountingAlone { .. });
        let was_alone = matches!(before.reason, Reason::CountingAlone { .. });
        let (asked, _) = self.site.asked();
        self.site.limit(rung.limit(), rung.is_counted);
        let [from, to] = [before, rung].map(|rung| asked.min(rung.limit()));
        let [from_rung, to_rung] =
            [(from, before), (to, rung)].map(|(rate, rung)| fidelity(rate, rung.is_counted));
        if from.to_bits() == to.to_bits() && from_rung == to_rung && now_alone <= was_alone {
            return None;
        }
        let fidelity =
            if from_rung == to_rung { to_rung.to_owned() } else { format!("{from_rung} -> {to_rung}") };
        let rate =
            if from.to_bits() == to.to_bits() { rate(to) } else { format!("{} -> {}", rate(from), rate(to)) };
        let why = why(&rung, self.site.asked().1);
        Some(format!("{}: {fidelity}, rate {rate}: {why}", self.name))
    }
}

/// Lowers the rates of functions that are recorded less than was asked for to those of what they call.
fn keep_trees_whole(functions: &mut [Option<Function>], fates: &Fates) {
    let mut sunk = HashMap::new();
    for function in functions.iter().flatten() {
        let (rate, calls) = (function.standing.rung.cap, function.standing.calls_per_s);
        if rate < function.site.asked().0 {
            sunk.insert(function.site.id(), Limited { rate, calls });
        }
    }
    let lowered = fates.lowered(&sunk);
    for function in functions.iter_mut().flatten() {
        let limited = lowered.get(&function.site.id());
        function.standing.rung.whole = limited.map_or(1.0, |limited| limited.rate);
    }
}

/// Less time than this says nothing of how much there is in a second.
const PASSED_LEAST: f64 = 1e-4;
/// So many records a second make this thread's time their own.
const RECORDS_TO_MEASURE: f64 = 10_000.0;
