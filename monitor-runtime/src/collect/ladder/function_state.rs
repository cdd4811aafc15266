//! The ladder's state of each function: its rung, its rows that are still allowed, and its calls since the last look.

use super::super::function::Function;
use super::super::functions::Functions;
use super::slow_threshold::SlowThreshold;
use super::text::{fidelity, rate, reason};
use crate::batch::RateRow;
use crate::limits;
use crate::sampling::ladder::{Bounds, Load, Reason, Rung};
use crate::sampling::tail::TokenBucket;
use crate::site::{CallSite, Caps};

/// The ladder's state of a function.
#[derive(Debug, Default)]
pub(super) struct FunctionState {
    pub(super) rung: Rung,
    pub(super) allowance: TokenBucket,
    /// The number of its first calls that have a row so far.
    first: u32,
    pub(super) slow: SlowThreshold,
    /// The calls per second, as of the last look.
    pub(super) calls_per_s: f64,
    pub(super) since: Counts,
    /// The row that was last handed on to be written.
    stored: Option<RateRow>,
    /// True if rate or fidelity had changed when that row was written.
    is_stored_after_change: bool,
    /// The row that waits for the next batch.
    due: Option<RateRow>,
}

impl FunctionState {
    fn new(site: &CallSite) -> Self {
        Self { slow: SlowThreshold::declared(site.slow_ns()), ..Self::default() }
    }

    /// Counts a call if it is one of the first. Returns true if it is.
    pub(super) fn take_first(&mut self) -> bool {
        let is_first = self.first < limits::FIRST_CALLS;
        self.first += u32::from(is_first);
        is_first
    }

    /// Adopts the cap by which callers throttled themselves since the last look. Returns the rung as it was before.
    pub(super) fn adopt_throttle(&mut self, site: &CallSite) -> Rung {
        let before = self.rung;
        let cap = site.caps().rate;
        if cap < before.limit() {
            self.rung.cap = cap;
            self.rung.reason = Reason::Overrun;
        }
        before
    }

    /// Puts the rung into force. Returns a sentence for the event log if anything that a person sees changed.
    pub(super) fn apply_rung(&self, function: &Function, before: Rung) -> Option<String> {
        let rung = self.rung;
        let now_alone = matches!(rung.reason, Reason::CountingAlone { .. });
        let was_alone = matches!(before.reason, Reason::CountingAlone { .. });
        let (requested, source) = function.site.requested();
        let limit = rung.limit();
        let caps = Caps { rate: limit, callee_rate: limit, is_counted: rung.is_counted, ..Caps::NONE };
        function.site.apply(caps);
        let [from, to] = [before, rung].map(|rung| requested.min(rung.limit()));
        let [from_rung, to_rung] =
            [(from, before), (to, rung)].map(|(rate, rung)| fidelity(rate, rung.is_counted));
        if from.to_bits() == to.to_bits() && from_rung == to_rung && now_alone <= was_alone {
            return None;
        }
        let fidelity =
            if from_rung == to_rung { to_rung.to_owned() } else { format!("{from_rung} -> {to_rung}") };
        let rate =
            if from.to_bits() == to.to_bits() { rate(to) } else { format!("{} -> {}", rate(from), rate(to)) };
        Some(format!("{}: {fidelity}, rate {rate}: {}", function.name, reason(&rung, source)))
    }

    /// Returns the part of the function's row that does not come from the figures of a look.
    pub(super) fn rate_row(&self, site: &CallSite, bounds: &Bounds) -> RateRow {
        let (requested, source) = site.requested();
        let rung = &self.rung;
        let in_force = requested.min(rung.limit());
        let why = match rung.reason {
            Reason::AsRequested => reason(rung, source),
            Reason::Rows { .. } | Reason::Overrun => {
                format!("{}, MONITOR_MAX_RATE={}", reason(rung, source), bounds.rows_per_s)
            }
            _ => format!("{}, MONITOR_MAX_OVERHEAD={}%", reason(rung, source), bounds.overhead * 100.0),
        };
        RateRow {
            function: site.id(),
            asked: requested,
            rate: in_force,
            fidelity: fidelity(in_force, rung.is_counted),
            why,
            ..RateRow::default()
        }
    }

    /// Hands a row on to be written, if it says something new.
    pub(super) fn offer_row(&mut self, row: RateRow) {
        let says_something_new = self.stored.as_ref().is_none_or(|last| {
            let same = (last.asked.to_bits(), last.rate.to_bits(), last.fidelity)
                == (row.asked.to_bits(), row.rate.to_bits(), row.fidelity);
            let moved = |a: f64, b: f64| (a - b).abs() > 0.1 * a.max(b);
            // Periods are the same for all functions, so that their rows, which share pages, go into one batch.
            let period = |row: &RateRow| row.at_ns.div_euclid(limits::RATE_ROWS_INTERVAL.as_nanos() as i64);
            let aged = period(&row) > period(last);
            // The figures in the row of a change are those of the time before it, so the next row is new as well.
            !same
                || self.is_stored_after_change
                || aged
                    && (moved(last.calls_per_s, row.calls_per_s) || moved(last.rows_per_s, row.rows_per_s))
        });
        if says_something_new {
            let rate = |row: &RateRow| (row.rate.to_bits(), row.fidelity);
            self.is_stored_after_change = self.stored.as_ref().is_none_or(|last| rate(last) != rate(&row));
            self.stored = Some(row.clone());
            self.due = Some(row);
        }
    }
}

/// The calls of a function since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Calls that left a record.
    pub(super) records: u64,
    /// Records with captured values.
    pub(super) with_values: u64,
    /// Sampled calls, before tail sampling.
    pub(super) sampled: u64,
    /// Records that became rows.
    pub(super) rows: u64,
    /// Calls without a record that were timed.
    pub(super) timed: u64,
    /// Calls without a record that were only counted.
    pub(super) counted: u64,
    /// Calls whose record was lost.
    pub(super) dropped: u64,
}

impl Counts {
    pub(super) fn load(&self, seconds: f64) -> Load {
        let per_second = |count: u64| count as f64 / seconds;
        Load {
            calls: per_second(self.records + self.timed + self.counted + self.dropped),
            records: per_second(self.records),
            with_values: per_second(self.with_values),
            sampled: per_second(self.sampled),
            timed: per_second(self.timed + self.dropped),
            counted: per_second(self.counted),
        }
    }
}

/// The states of all functions, by the id of their call site. A state is created when it is first needed.
#[derive(Debug, Default)]
pub(super) struct FunctionStates(Vec<Option<FunctionState>>);

impl FunctionStates {
    /// Returns the state of this function.
    pub(super) fn get_or_create(&mut self, function: &Function) -> &mut FunctionState {
        let id = function.site.id() as usize;
        if self.0.len() <= id {
            self.0.resize_with(id + 1, || None);
        }
        self.0[id].get_or_insert_with(|| FunctionState::new(function.site))
    }

    /// Returns every function with its state.
    pub(super) fn all<'a>(
        &'a mut self,
        functions: &'a Functions,
    ) -> impl Iterator<Item = (&'a Function, &'a mut FunctionState)> {
        for function in functions.iter() {
            self.get_or_create(function);
        }
        let pairs = functions.places().iter().zip(&mut self.0);
        pairs.filter_map(|(function, state)| Some((function.as_ref()?, state.as_mut()?)))
    }

    /// Adopts the caps by which callers throttled themselves. Returns the rungs of all functions as they were before.
    pub(super) fn adopt_throttles(&mut self, functions: &Functions) -> Vec<Rung> {
        self.all(functions).map(|(function, state)| state.adopt_throttle(function.site)).collect()
    }

    /// Puts all rungs into force. Returns a sentence for each change.
    pub(super) fn apply_rungs(&mut self, functions: &Functions, before: Vec<Rung>) -> Vec<String> {
        let changes = self.all(functions).zip(before);
        changes.filter_map(|((function, state), before)| state.apply_rung(function, before)).collect()
    }

    /// Returns the rows that wait for the next batch.
    pub(super) fn take_due_rows(&mut self) -> Vec<RateRow> {
        self.0.iter_mut().flatten().filter_map(|state| state.due.take()).collect()
    }
}
