//! What becomes of the records of a drain: what comes faster than the ladder could act is thinned out of them.
//!
//! In: drained records, and the calls under way behind them. Out: records that are final, with the weight and
//! the reason that their rows will have. How much may stay is that of `sampling::thin`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::{Collector, Function};
use super::keep_trees_whole;
use crate::batch::decode::Times;
use crate::record::{Header, Kept, Outcome, Record, decode};
use crate::ring::frames;
use crate::ring::layout::flight;
use crate::sampling::ladder::Rung;
use crate::sampling::tail::{Awaited, By, CALLEES_WHOLE_MAX, Drawn, Fates, Round, Thinned, UnderWay};
use crate::thread::pool::RESERVED_SPANS;

impl Collector {
    /// Finds what is to be thinned out of drained records: none, where each function stays within its
    /// allowance and nothing was thinned out before that they belong to. A function that does not stay
    /// within it is recorded less from this moment on.
    pub(in super::super) fn thin(&mut self, drained: &[(usize, Vec<u64>)], now: Duration) -> Option<Thinned> {
        let passed = now.saturating_sub(self.ladder.drained).as_secs_f64();
        self.ladder.drained = now;
        self.ladder.fates.age(now);
        let bounds = self.ladder.bounds;
        if bounds.rows_per_s.is_infinite() {
            return None;
        }
        let Survey { offered, awaited, arrived, is_concerned } = Survey::of(drained, &self.ladder.fates);
        let shares = self.share_out(&offered, passed);
        let under_way = if awaited.spans().is_empty() { HashMap::new() } else { self.under_way() };
        if shares.is_empty() && !is_concerned {
            self.ladder.fates.keep_all(&arrived, awaited.spans(), &under_way);
            return None;
        }
        let mut calls = Vec::new();
        each_call(drained, |call, _| calls.push(call));
        let Self { ladder, functions, .. } = &mut *self;
        let round = Round {
            shares: &shares,
            under_way: &under_way,
            take_first: |site: u32| {
                let function = functions.get_mut(site as usize).and_then(Option::as_mut);
                function.is_some_and(|function| function.standing.take_first())
            },
            seed: ladder.seed,
        };
        let thinned = ladder.fates.thin(calls, round);
        if self.ladder.fates.take_news() {
            self.lower_callers();
        }
        Some(thinned)
    }

    /// Finds which share of the rows offered may stay, by function: of those that are offered too many, and
    /// of those busy enough to give some for whole trees. The former are recorded less from now on.
    fn share_out(&mut self, offered: &HashMap<u32, Offered>, passed: f64) -> HashMap<u32, f64> {
        let bounds = self.ladder.bounds;
        let seconds = passed.max(self.drain_interval.as_secs_f64());
        let mut shares = HashMap::new();
        // One that was called first since the step began has no more than its allowance either.
        if offered.keys().any(|site| self.function(*site).is_none()) {
            self.meet_functions();
        }
        for function in self.functions.iter_mut().flatten() {
            function.standing.allowance.fill(passed, bounds.rows_per_s);
            if let Some(Offered { rows, .. }) = offered.get(&function.site.id()) {
                shares.insert(function.site.id(), function.standing.allowance.take(*rows));
            }
        }
        if shares.values().all(|share| *share >= 1.0) {
            return HashMap::new();
        }
        let Self { functions, ladder, .. } = self;
        let before: Vec<Rung> = functions.iter_mut().flatten().map(Function::hear_brake).collect();
        for function in functions.iter_mut().flatten() {
            let id = function.site.id();
            if let Some(Offered { calls, .. }) = offered.get(&id)
                && shares.get(&id).is_some_and(|share| *share < 1.0)
            {
                // Of what came in a moment not so many may follow.
                function.standing.rung.brake(calls / seconds, &bounds);
            }
        }
        keep_trees_whole(functions, &ladder.fates);
        self.tell_rungs(before);
        shares.retain(|site, share| {
            let rows = offered.get(site).map_or(0, |offered| offered.rows);
            *share < 1.0 || rows as f64 * CALLEES_WHOLE_MAX >= bounds.rows_per_s * seconds
        });
        shares
    }

    /// The calls that have begun and not ended, as far as frames and slots show them.
    fn under_way(&self) -> HashMap<u64, UnderWay> {
        let mut calls = HashMap::new();
        for slot in self.rings.flights.slots() {
            let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
            let span = slot[flight::SPAN].load(Ordering::Relaxed);
            calls.insert(span, UnderWay { site, parent: 0 });
        }
        for state in self.rings.all() {
            let mut parent = 0;
            for frame in frames::under_way(state.page.words) {
                calls.insert(frame.span, UnderWay { site: frame.site, parent });
                parent = frame.span;
            }
        }
        // Not those below a call that was not drawn.
        calls.retain(|span, _| *span > RESERVED_SPANS);
        calls
    }

    /// Decides what becomes of a record, for good: its header says why it is kept and with which weight;
    /// `None` where it has no row.
    pub(in super::super) fn fate(
        &mut self,
        mut header: Header,
        times: &Times,
        thinned: Option<&Thinned>,
    ) -> Option<Header> {
        let function = self.function(header.site)?;
        let standing = &mut function.standing;
        let fate = thinned.map(|thinned| thinned.of(header.span));
        let share = fate.map_or(1.0, |fate| fate.probability);
        if header.outcome == Outcome::Ok {
            if standing.slow.takes(times) {
                (header.kept, header.weight) = (Kept::Slow, 1.0);
            } else if header.kept == Kept::Slow {
                return None;
            } else if header.kept == Kept::Sampled {
                standing.since.drawn += 1;
                if fate.is_none() {
                    standing.take_first();
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
        standing.since.rows += 1;
        let root = fate.map_or(0, |fate| if share > 0.0 { fate.root } else { header.span });
        if root != 0 {
            // The tree that it was part of is gone, or its caller's is.
            header.trace = root;
            header.parent = if root == header.span { 0 } else { header.parent };
        }
        Some(header)
    }
}

/// Calls of a function that were drawn.
#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    rows: u64,
    /// What these stand for: they were drawn at different rates, where one was lowered meanwhile.
    calls: f64,
}

/// What there is in a drain.
#[derive(Default)]
struct Survey {
    /// By function.
    offered: HashMap<u32, Offered>,
    awaited: Awaited,
    /// Calls that were awaited.
    arrived: Vec<u64>,
    /// Whether something was thinned out before that these calls belong to.
    is_concerned: bool,
}

impl Survey {
    fn of(drained: &[(usize, Vec<u64>)], fates: &Fates) -> Self {
        let mut survey = Self::default();
        let mut last = (0, Offered::default());
        let mut add = |(site, more): (u32, Offered)| {
            let sum = survey.offered.entry(site).or_default();
            (sum.rows, sum.calls) = (sum.rows + more.rows, sum.calls + more.calls);
        };
        each_call(drained, |call, weight| {
            survey.awaited.pass(&call);
            survey.is_concerned |= fates.concern(&call);
            if fates.awaits(call.span) {
                survey.arrived.push(call.span);
            }
            if !matches!(call.by, By::Certainty | By::Chance) {
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

/// Hands over the calls of a drain and their weights.
fn each_call(drained: &[(usize, Vec<u64>)], mut found: impl FnMut(Drawn, f32)) {
    for (_, words) in drained {
        let mut at = 0;
        while let Some((record, used)) = words.get(at..).and_then(decode) {
            if let Record::Call(header, ..) = record {
                let by = match header.kept {
                    Kept::Sampled if crate::call::guard::is_certain(header.weight) => By::Certainty,
                    Kept::Sampled => By::Chance,
                    Kept::First => By::BeingFirst,
                    Kept::Failed | Kept::Slow => By::Itself,
                };
                let Header { site, span, parent, trace, start, .. } = header;
                found(Drawn { site, span, parent, trace, start, by }, header.weight);
            }
            at += used;
        }
    }
}
