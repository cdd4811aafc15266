//! The ladder's state of each function: its rung, the rows that it may still leave, and its calls since the last look.
//! A look is the decision of the ladder about all functions, once a second.

use super::super::function::Function;
use super::super::functions::Functions;
use super::slow_threshold::SlowThreshold;
use super::text::{ReasonInputs, fidelity, percent_of_core, rate, reason};
use crate::batch::RateRow;
use crate::growth::{MakeRoom as _, collect_all};
use crate::limits;
use crate::sampling::ladder::{Depth, Load, Reason, Rung, Values};
use crate::sampling::tail::TokenBucket;
use crate::site::{CallSite, Caps};

/// The ladder's state of a function.
#[derive(Debug, Default)]
pub(super) struct FunctionState {
    pub(super) rung: Rung,
    pub(super) allowance: TokenBucket,
    /// True if trees begin with calls of the function that a long-lived call, such as `main`, makes.
    pub(super) begins_below: bool,
    /// The number of the function's first calls that have a row so far.
    first: u32,
    pub(super) slow: SlowThreshold,
    /// The calls per second, as of the last look.
    pub(super) calls_per_s: f64,
    pub(super) since: Counts,
    /// The values of its calls, as of the last look with records.
    values: Values,
    /// The last row that was handed on to be written.
    stored: Option<RateRow>,
    /// True if the row `stored` was the first one, or has another rate or fidelity than the row before it.
    is_stored_after_change: bool,
    /// The row that waits for the next batch.
    due: Option<RateRow>,
}

impl FunctionState {
    fn new(site: &CallSite) -> Self {
        Self { slow: SlowThreshold::declared(site.slow_ns()), ..Self::default() }
    }

    /// Counts a call if it is one of the function's first calls. Returns true if so.
    pub(super) fn take_first(&mut self) -> bool {
        let is_first = self.first < limits::FIRST_CALLS;
        self.first += u32::from(is_first);
        is_first
    }

    /// Takes the calls since the last look, as calls per second.
    pub(super) fn take_load(&mut self, seconds: f64) -> Load {
        let since = std::mem::take(&mut self.since);
        self.values = since.values().unwrap_or(self.values);
        since.load(self.values, seconds)
    }

    /// Adopts the caps by which callers throttled themselves since the last look. Returns the rung as it was before.
    pub(super) fn adopt_throttle(&mut self, site: &CallSite) -> Rung {
        let before = self.rung;
        let Caps { rate, callee_rate, .. } = site.caps();
        if rate < before.cap {
            self.rung.cap = rate;
            self.rung.reason = Reason::Overrun;
        }
        if callee_rate < before.callee_cap(self.begins_below) {
            self.rung.throttled = callee_rate;
        }
        before
    }

    /// Puts the rung into force. Returns true if anything that a person sees changed.
    pub(super) fn apply_rung(&self, site: &CallSite, before: &Rung) -> bool {
        let rung = &self.rung;
        site.set_waits_for_clock(false);
        site.apply(Caps {
            rate: rung.cap,
            callee_rate: rung.callee_cap(self.begins_below),
            is_counted: rung.is_counted(),
            captures_unsampled: rung.captures,
        });
        let now_alone = matches!(rung.reason, Reason::CountingAlone { .. });
        let was_alone = matches!(before.reason, Reason::CountingAlone { .. });
        let requested = site.requested().0;
        requested.min(before.cap).to_bits() != requested.min(rung.cap).to_bits()
            || before.depth != rung.depth
            || before.captures != rung.captures
            || now_alone && !was_alone
    }

    /// Returns the sentence for the event log that describes a change of the rung.
    pub(super) fn describe_change(
        &self,
        function: &Function,
        before: &Rung,
        inputs: &ReasonInputs<'_>,
    ) -> String {
        let rung = &self.rung;
        let [from, to] = [before, rung].map(|rung| inputs.requested.0.min(rung.cap));
        let [from_rung, to_rung] =
            [(from, before), (to, rung)].map(|(rate, rung)| fidelity(rate, rung.depth));
        let fidelity =
            if from_rung == to_rung { to_rung.to_owned() } else { format!("{from_rung} -> {to_rung}") };
        let rate =
            if from.to_bits() == to.to_bits() { rate(to) } else { format!("{} -> {}", rate(from), rate(to)) };
        format!("{}: {fidelity}, rate {rate}: {}", function.name, reason(rung, inputs))
    }

    /// Returns the function's row, without time and rows per second, which the caller fills in.
    pub(super) fn rate_row(&self, site: &CallSite, inputs: &ReasonInputs<'_>) -> RateRow {
        let rung = &self.rung;
        let asked = inputs.requested.0;
        // A function that is only timed has no rows in the trees of other functions. Nearly all of its calls are in
        // such trees, so its row shows the rate 0.
        let in_force = if rung.depth == Depth::TimedOnly { 0.0 } else { asked.min(rung.cap) };
        RateRow {
            function: site.id(),
            asked,
            rate: in_force,
            fidelity: fidelity(in_force, rung.depth),
            calls_per_s: inputs.calls_per_s,
            ns_per_call: if inputs.calls_per_s > 0.0 { inputs.cost / inputs.calls_per_s } else { 0.0 },
            cpu_pct: percent_of_core(inputs.cost),
            saved_pct: percent_of_core(rung.reason.saving().map_or(0.0, |saving| saving.saved)),
            budget_pct: inputs.budget.is_finite().then(|| percent_of_core(inputs.budget)),
            why: reason(rung, inputs),
            ..RateRow::default()
        }
    }

    /// Hands a row on to be written, if it differs enough from the last one.
    pub(super) fn offer_row(&mut self, row: RateRow) {
        let says_something_new = self.stored.as_ref().is_none_or(|last| {
            let same = (last.asked.to_bits(), last.rate.to_bits(), last.fidelity)
                == (row.asked.to_bits(), row.rate.to_bits(), row.fidelity);
            let moved = |a: f64, b: f64| (a - b).abs() > 0.1 * a.max(b);
            // Periods are the same for all functions, so that their rows, which share pages, go into one batch.
            let period = |row: &RateRow| row.at_ns.div_euclid(limits::RATE_ROWS_INTERVAL.as_nanos() as i64);
            let aged = period(&row) > period(last);
            // The row of a change has the figures from before the change, so the next row is always new.
            !same
                || self.is_stored_after_change
                || aged
                    && (moved(last.calls_per_s, row.calls_per_s)
                        || moved(last.rows_per_s, row.rows_per_s)
                        || moved(last.cpu_pct, row.cpu_pct)
                        || moved(last.saved_pct, row.saved_pct))
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
    /// Records with captured values, and the bytes of these.
    pub(super) with_values: u64,
    pub(super) value_bytes: u64,
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
    /// Adds a record.
    pub(super) fn add_record(&mut self, value_bytes: usize) {
        self.records += 1;
        self.with_values += u64::from(value_bytes > 0);
        self.value_bytes += value_bytes as u64;
    }

    /// Returns the values of the calls that left records, if there are any.
    fn values(&self) -> Option<Values> {
        (self.records > 0).then(|| Values {
            share: self.with_values as f64 / self.records as f64,
            bytes: self.value_bytes as f64 / self.with_values.max(1) as f64,
        })
    }

    fn load(&self, values: Values, seconds: f64) -> Load {
        let per_second = |count: u64| count as f64 / seconds;
        Load {
            calls: per_second(self.records + self.timed + self.counted + self.dropped),
            records: per_second(self.records),
            rows: per_second(self.rows),
            timed: per_second(self.timed + self.dropped),
            counted: per_second(self.counted),
            values,
        }
    }
}

/// The states of all functions, by the id of their call site. A state is created when it is first needed.
#[derive(Debug, Default)]
pub(super) struct FunctionStates(Vec<Option<FunctionState>>);

impl FunctionStates {
    /// Returns the state of this function, which is created if there is none yet; `None` if there is no memory for
    /// that.
    pub(super) fn get_or_create(&mut self, function: &Function) -> Option<&mut FunctionState> {
        let id = function.site.id() as usize;
        if self.0.len() <= id {
            if !self.0.make_room(id + 1 - self.0.len()) {
                return None;
            }
            self.0.resize_with(id + 1, || None);
        }
        Some(self.0[id].get_or_insert_with(|| FunctionState::new(function.site)))
    }

    /// Returns every function with its state, as far as there is memory for states.
    pub(super) fn iter_mut<'a>(
        &'a mut self,
        functions: &'a Functions,
    ) -> impl Iterator<Item = (&'a Function, &'a mut FunctionState)> {
        for function in functions.iter() {
            _ = self.get_or_create(function);
        }
        let pairs = functions.places().iter().zip(&mut self.0);
        pairs.filter_map(|(function, state)| Some((function.as_ref()?, state.as_mut()?)))
    }

    /// Adopts the caps by which callers throttled themselves. Returns the rungs of all functions as they were before;
    /// `None` if there is no memory for them.
    pub(super) fn adopt_throttles(&mut self, functions: &Functions) -> Option<Vec<Rung>> {
        collect_all(self.iter_mut(functions).map(|(function, state)| state.adopt_throttle(function.site)))
    }

    /// Returns the rows that wait for the next batch, as many as there is memory for.
    pub(super) fn take_due_rows(&mut self) -> Vec<RateRow> {
        let mut rows = Vec::new();
        for state in self.0.iter_mut().flatten().filter(|state| state.due.is_some()) {
            if !rows.make_room(1) {
                break;
            }
            rows.extend(state.due.take());
        }
        rows
    }
}
