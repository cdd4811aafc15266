//! Tail sampling of a drain: records that come faster than the ladder could act are cut down before they become rows.
//!
//! Takes drained records, and the calls in flight, among which are the callers of the drained calls; gives final
//! records, with the weight and the reason that their rows will have. The share that may stay follows from
//! `sampling::tail`. A function that exceeds its allowance is recorded less from this moment on.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::events::Events;
use super::super::function::Function;
use super::super::functions::Functions;
use super::super::trees::SharedRow;
use super::function_state::FunctionState;
use super::text::ReasonInputs;
use super::{Ladder, report_changes};
use crate::batch::decode::Times;
use crate::growth::MakeRoom as _;
use crate::platform::clock::Clock;
use crate::record::{Header, Kept, NOT_KEPT, Outcome, Record, decode};
use crate::ring::frames::{self, Frame};
use crate::ring::layout::flight;
use crate::sampling::ladder::{AIM, Reason};
use crate::sampling::tail::{
    Awaited, Decisions, Excess, InFlight, RootBound, Round, SampledBy, SampledCall, TailSampling, bound_roots,
};
use crate::thread::state::NO_SPAN;

impl Ladder {
    /// Decides which records of a drain are kept. Returns `None` if all are: each function stays within its allowance,
    /// and no record belongs to a tree of which calls were left out before.
    pub(in super::super) fn sample_drain(
        &mut self,
        drained: &[(usize, Vec<u64>)],
        now: Duration,
        drain_interval: Duration,
        clock: &Clock,
        functions: &mut Functions,
        events: &mut Events,
    ) -> Option<Decisions> {
        let passed = now.saturating_sub(self.last_drain).as_secs_f64();
        self.last_drain = now;
        self.fates.age(now);
        if self.bounds.rows_per_s.is_infinite() {
            return None;
        }
        let Survey { offered, awaited, arrived, is_concerned } = Survey::new(drained, &self.fates);
        // The functions that were first called after the step began are discovered here, because they have an allowance
        // as well.
        for site in offered.keys() {
            functions.discover_missing(*site);
        }
        let functions = &*functions;
        let seconds = passed.max(drain_interval.as_secs_f64());
        let in_flight = if awaited.spans().is_empty() { HashMap::new() } else { self.in_flight() };
        let calls = || {
            let mut calls = Vec::new();
            // A call for which there is no memory is kept, as is every call without a decision.
            for_each_call(drained, |call, _| {
                if calls.make_room(1) {
                    calls.push(call);
                }
            });
            calls
        };
        let bounds = match self.excess(&offered, passed, seconds, functions) {
            excess if excess.is_empty() => HashMap::new(),
            excess => bound_roots(&calls(), &in_flight, &excess),
        };
        report_changes(self.cut_roots(&bounds, functions), clock, events);
        self.lift_throttles(&offered, functions);
        // Without memory for the shares, everything is kept.
        let mut shares: HashMap<u32, f64> = HashMap::new();
        if shares.make_room(bounds.len()) {
            shares.extend(bounds.iter().map(|(site, bound)| (*site, bound.share)));
        }
        if shares.is_empty() && !is_concerned {
            self.fates.keep_all(&arrived, awaited.spans(), &in_flight);
            return None;
        }
        let Self { fates, states, seed, .. } = self;
        let round = Round {
            shares: &shares,
            in_flight: &in_flight,
            take_first: |site: u32| {
                let state = functions.get(site).and_then(|function| states.get_or_create(function));
                state.is_some_and(FunctionState::take_first)
            },
            seed: *seed,
        };
        Some(fates.decide(calls(), round))
    }

    /// Returns the functions that leave more rows in a drain than they may.
    fn excess(
        &mut self,
        offered: &HashMap<u32, Offered>,
        passed: f64,
        seconds: f64,
        functions: &Functions,
    ) -> HashMap<u32, Excess> {
        let Self { bounds, states, .. } = self;
        let mut excess = HashMap::new();
        for (function, state) in states.iter_mut(functions) {
            state.allowance.fill(passed, bounds.rows_per_s);
            let Some(Offered { rows, calls }) = offered.get(&function.site.id()).copied() else { continue };
            let share = state.allowance.take(rows);
            if share < 1.0 && excess.make_room(1) {
                // `seconds` is no less than a drain interval, because a burst of a moment need not go on.
                let cap = (AIM * bounds.rows_per_s * seconds / calls).min(1.0);
                excess.insert(function.site.id(), Excess { share, granted: share * rows as f64, cap });
            }
        }
        excess
    }

    /// Lifts the throttles that callers put on functions, where the burst is over, because trees that are kept lack the
    /// calls of a throttled function.
    fn lift_throttles(&mut self, offered: &HashMap<u32, Offered>, functions: &Functions) {
        for (function, state) in self.states.iter_mut(functions) {
            let is_throttled = function.site.caps().rate < state.rung.cap;
            let calls = offered.get(&function.site.id()).map_or(0.0, |offered| offered.calls);
            if is_throttled && calls < THROTTLED_CALLS_MAX {
                state.apply_rung(function.site, &state.rung);
            }
        }
    }

    /// Lowers the rates of the functions at which trees begin, from this moment on. Returns a sentence for each change.
    fn cut_roots(&mut self, roots: &HashMap<u32, RootBound>, functions: &Functions) -> Vec<String> {
        let Self { bounds, states, budget, .. } = self;
        if roots.is_empty() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for (function, state) in states.iter_mut(functions) {
            let Some(bound) = roots.get(&function.site.id()) else { continue };
            let before = state.adopt_throttle(function.site);
            let rows = bounds.rows_per_s * AIM / bound.cap.max(f64::MIN_POSITIVE);
            state.rung.cut(bound.cap, Reason::Rows { function: bound.because_of, rows });
            if state.apply_rung(function.site, &before) {
                let because_of = functions.get(bound.because_of);
                let inputs = ReasonInputs {
                    bounds,
                    budget: budget.last(),
                    cost: 0.0,
                    calls_per_s: state.calls_per_s,
                    requested: function.site.requested(),
                    too_many_of: because_of.map(|function| function.name.as_ref()),
                };
                if changes.make_room(1) {
                    changes.push(state.describe_change(function, &before, &inputs));
                }
            }
        }
        changes
    }

    /// Returns the calls that have begun and not ended, by span, as far as frames and the slots of suspended calls show
    /// them.
    fn in_flight(&self) -> HashMap<u64, InFlight> {
        let mut calls = HashMap::new();
        for slot in self.rings.home.suspended.slots() {
            // Observes the span, which is stored before the site.
            let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
            let span = slot[flight::SPAN].load(Ordering::Relaxed);
            // The span of a tree that is not kept has the bit `NOT_KEPT`, so it is larger than any other span.
            if (1..NOT_KEPT).contains(&span) && calls.make_room(1) {
                calls.insert(span, InFlight { site, parent: 0 });
            }
        }
        for state in self.rings.states() {
            let mut parent = 0;
            // A call without a span is only counted or timed, so the parent of its callees is the next call outside it.
            let kept = |frame: &Frame| frame.is_kept && frame.span != NO_SPAN;
            for frame in frames::under_way(state.page.words).into_iter().filter(kept) {
                if calls.make_room(1) {
                    calls.insert(frame.span, InFlight { site: frame.site, parent });
                }
                parent = frame.span;
            }
        }
        calls
    }

    /// Decides about a record, and counts it. Returns its header with the final weight and reason if it becomes a row.
    pub(in super::super) fn decide(
        &mut self,
        function: &Function,
        header: Header,
        times: &Times,
        value_bytes: usize,
        tail: Option<&Decisions>,
    ) -> Option<Header> {
        let decided = self.kept_header(function, header, times, tail);
        self.work.records += 1.0;
        if let Some(state) = self.states.get_or_create(function) {
            state.since.add_record(value_bytes);
            state.since.rows += u64::from(decided.is_some());
        }
        if decided.is_some() {
            self.work.rows += 1.0;
            self.work.value_bytes += value_bytes as f64;
        }
        decided
    }

    /// Decides about a row that calls share, which is kept where its caller is, and gives it its final weight. Returns
    /// false if it is removed.
    pub(in super::super) fn decide_shared_row(&mut self, row: &mut SharedRow) -> bool {
        let Header { span, parent, trace, .. } = row.header;
        let share = self.fates.decide_shared_row(span, parent, trace);
        if share > 0.0 {
            row.sums.weight /= share;
        }
        share > 0.0
    }

    /// Counts a record of a call that shares a row with others.
    pub(in super::super) fn count_folded(&mut self, function: &Function, value_bytes: usize) {
        if let Some(state) = self.states.get_or_create(function) {
            state.since.add_record(value_bytes);
        }
        self.work.records += 1.0;
    }

    fn kept_header(
        &mut self,
        function: &Function,
        mut header: Header,
        times: &Times,
        tail: Option<&Decisions>,
    ) -> Option<Header> {
        let mut state = self.states.get_or_create(function);
        let fate = tail.map(|tail| tail.decision(header.span));
        let share = fate.map_or(1.0, |fate| fate.probability);
        if header.outcome == Outcome::Ok {
            if state.as_deref_mut().is_some_and(|state| state.slow.takes(times)) {
                (header.kept, header.weight) = (Kept::Slow, 1.0);
            } else if header.kept == Kept::Slow {
                return None;
            } else if header.kept == Kept::Sampled {
                if fate.is_none() {
                    state.map(FunctionState::take_first);
                }
                if fate.is_some_and(|fate| fate.is_first) {
                    header.kept = Kept::First;
                } else if share > 0.0 {
                    header.weight = (f64::from(header.weight) / share) as f32;
                } else {
                    return None;
                }
            }
        }
        let root = fate.map_or(0, |fate| if share > 0.0 { fate.root } else { header.span });
        if root != 0 {
            // The tree that the call, or its caller, was part of is not kept, so the row gets another root.
            header.trace = root;
            header.parent = if root == header.span { 0 } else { header.parent };
        }
        Some(header)
    }
}

/// A throttled function that makes fewer calls than this between two drains, a quarter of a ring, no longer overruns
/// it.
const THROTTLED_CALLS_MAX: f64 = 1024.0;

/// The number of sampled calls of a function in a drain: of their rows, and of the calls that these rows stand for.
#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    rows: u64,
    /// The number of calls that these rows stand for. Their rates differ if a rate was lowered meanwhile.
    calls: f64,
}

/// The content of a drain.
#[derive(Default)]
struct Survey {
    /// The sampled calls, by function.
    offered: HashMap<u32, Offered>,
    /// The callers whose own records are not there yet.
    awaited: Awaited,
    /// The calls that earlier drains awaited.
    arrived: Vec<u64>,
    /// True if one of the calls belongs to a tree of which calls were left out before.
    is_concerned: bool,
}

impl Survey {
    fn new(drained: &[(usize, Vec<u64>)], fates: &TailSampling) -> Self {
        let mut survey = Self::default();
        let mut last = (0, Offered::default());
        let mut add = |(site, more): (u32, Offered)| {
            if !survey.offered.make_room(1) {
                return;
            }
            let sum = survey.offered.entry(site).or_default();
            (sum.rows, sum.calls) = (sum.rows + more.rows, sum.calls + more.calls);
        };
        for_each_call(drained, |call, weight| {
            survey.awaited.add(&call);
            survey.is_concerned |= fates.concerns(&call);
            if fates.awaits(call.span) && survey.arrived.make_room(1) {
                survey.arrived.push(call.span);
            }
            if !call.by.is_sampled() {
                return;
            }
            if call.site != last.0 {
                add(std::mem::replace(&mut last, (call.site, Offered::default())));
            }
            last.1.rows += 1;
            last.1.calls += f64::from(weight);
        });
        add(last);
        survey
    }
}

/// Hands over each call of a drain with its weight.
fn for_each_call(drained: &[(usize, Vec<u64>)], mut found: impl FnMut(SampledCall, f32)) {
    for (_, words) in drained {
        let mut at = 0;
        while let Some((record, used)) = words.get(at..).and_then(decode) {
            if let Record::Call(header, ..) = record {
                let by = match header.kept {
                    // Callers write exactly 1 into the header of a call that was sampled for certain.
                    Kept::Sampled if header.weight.to_bits() == 1_f32.to_bits() => SampledBy::Certainty,
                    Kept::Sampled => SampledBy::Chance,
                    Kept::First => SampledBy::FirstCalls,
                    Kept::Failed | Kept::Slow => SampledBy::Outcome,
                };
                let Header { site, span, parent, trace, start, .. } = header;
                found(SampledCall { site, span, parent, trace, start, by }, header.weight);
            }
            at += used;
        }
    }
}
