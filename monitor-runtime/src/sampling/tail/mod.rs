//! Tail sampling: decides about calls that were sampled before the ladder could act, so that a burst leaves
//! no more rows than are allowed.
//!
//! Takes the calls of one drain, the calls that are still in flight, and the share of the trees that may stay, by the
//! function that they begin with. Gives a decision for each call. A tree is kept or removed whole, as on the hot side:
//! the decision about its root holds for all calls below. The decision depends on a number made from the call's id,
//! which is independent of the call's result, so weights divided by the probability stay unbiased. Pure.
//!
//! A caller ends after its callees, often in a later drain. Therefore a caller is decided when its first
//! callee arrives, by the probabilities of that moment, and the decision is remembered until the caller's own
//! record arrives. The decision about a removed call is remembered for a while longer, because callees on
//! other threads may outlive the call, or their rings may be drained later. Of a tree that is removed with its root,
//! the decision about the root is remembered, and stands for all calls below it.

mod roots;
mod decisions;
mod token_bucket;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Child, Random, child};
use crate::by_number::NumberMap;
use crate::growth::MakeRoom as _;
use crate::limits;

use decisions::RecentDecisions;
pub(crate) use roots::{Excess, RootBound, bound_roots};
pub(crate) use token_bucket::TokenBucket;

/// The properties of a call that tail sampling uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SampledCall {
    pub(crate) site: u32,
    pub(crate) span: u64,
    /// The id of the caller; 0 for none.
    pub(crate) parent: u64,
    /// The id of the root of the call's tree.
    pub(crate) trace: u64,
    pub(crate) start: u64,
    pub(crate) by: SampledBy,
}

/// The reason why a call left a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampledBy {
    /// The call was sampled, because every call of its function is.
    Certainty,
    /// The call was sampled by chance.
    Chance,
    /// The call is one of its function's first calls.
    FirstCalls,
    /// The call failed or was slow, and therefore keeps its row whether it was sampled or not.
    Outcome,
}

impl SampledBy {
    /// Returns true if the call has a row because it was sampled, and for no other reason.
    pub(crate) fn is_sampled(self) -> bool {
        matches!(self, Self::Certainty | Self::Chance)
    }
}

/// A call that has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    pub(crate) site: u32,
    /// The id of the caller; 0 if it is not known.
    pub(crate) parent: u64,
}

/// The decisions about the calls of a drain.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    /// The probability of each call by span; 0 for a removed call.
    probabilities: NumberMap<u64, f64>,
    /// The calls that are kept because they are among the first calls of their functions.
    first: HashSet<u64>,
    /// The new roots of calls whose callers were removed.
    roots: HashMap<u64, u64>,
}

impl Decisions {
    /// Returns the decision about a call.
    pub(crate) fn decision(&self, span: u64) -> Decision {
        Decision {
            probability: self.probabilities.get(&span).copied().unwrap_or(1.0),
            is_first: self.first.contains(&span),
            root: self.roots.get(&span).copied().unwrap_or(0),
        }
    }
}

/// The decision about one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    /// The probability with which the call is kept; 0 for a removed call.
    pub(crate) probability: f64,
    /// True if the call is kept because it is one of its function's first calls.
    pub(crate) is_first: bool,
    /// The new root of the call's tree, if the caller of that root was removed; else 0.
    pub(crate) root: u64,
}

/// The conditions of one drain.
pub(crate) struct Round<'a, First> {
    /// The share of trees that may stay, by the function that they begin with, where it is below 1.
    pub(crate) shares: &'a HashMap<u32, f64>,
    /// The calls in flight, by span.
    pub(crate) in_flight: &'a HashMap<u64, InFlight>,
    /// Counts one of a function's first calls; returns false if the function has none left.
    pub(crate) take_first: First,
    pub(crate) seed: u64,
}

impl<First> Round<'_, First> {
    /// Returns the probability of a call, given that of its caller.
    fn decide(&self, span: u64, site: u32, above: f64) -> f64 {
        let share = self.shares.get(&site).copied().unwrap_or(1.0);
        match child(above, share) {
            _ if above <= 0.0 => 0.0,
            Child::Follow => above,
            Child::Subsample { probability } if uniform(span, self.seed) < probability => above * probability,
            Child::Subsample { .. } => 0.0,
        }
    }
}

/// The decisions that later calls may still depend on.
#[derive(Debug)]
pub(crate) struct TailSampling {
    /// The smallest number of decisions of each kind that are remembered, if as many were made.
    decisions_max: usize,
    /// Decisions about calls whose callees have arrived and which have not arrived themselves.
    in_flight: RecentDecisions,
    /// Decisions about ended calls, except those that are kept for certain.
    ended: RecentDecisions,
    /// The time at which `ended` was last aged.
    aged: Duration,
}

impl TailSampling {
    /// Returns tail sampling that remembers between this many decisions and twice as many, about calls in flight and about ended
    /// ones.
    pub(crate) fn new(decisions_max: usize) -> Self {
        let recent = || RecentDecisions::new(decisions_max);
        Self { decisions_max, in_flight: recent(), ended: recent(), aged: Duration::ZERO }
    }

    /// Forgets the calls that ended long ago.
    pub(crate) fn age(&mut self, now: Duration) {
        if now >= self.aged + limits::DECISIONS_AGE {
            self.aged = now;
            self.ended.age();
        }
    }

    /// Returns whether the call or its caller is subject to a decision other than to be kept for certain.
    pub(crate) fn concerns(&self, call: &SampledCall) -> bool {
        let above = self.probability(call.parent).or_else(|| self.probability(call.trace));
        [self.probability(call.span), above].into_iter().flatten().any(|probability| probability < 1.0)
    }

    /// Returns whether callees of the call arrived before it.
    pub(crate) fn awaits(&self, span: u64) -> bool {
        self.in_flight.get(span).is_some()
    }

    /// Returns the probability with which a row that calls share is kept, because its caller is; 0 if the caller is
    /// removed. The decision stands for the rows below it, so it is asked about them afterwards.
    pub(crate) fn decide_shared_row(&mut self, span: u64, parent: u64, trace: u64) -> f64 {
        if let Some(probability) = self.probability(span) {
            return probability;
        }
        let above = self.probability(parent).or_else(|| self.probability(trace)).unwrap_or(1.0);
        if above < 1.0 {
            self.ended.insert(span, above);
        }
        above
    }

    /// Records a drain whose calls are all kept: the calls that arrived, and callers that have not arrived.
    pub(crate) fn keep_all(
        &mut self,
        arrived: &[u64],
        awaited: &NumberMap<u64, u64>,
        in_flight: &HashMap<u64, InFlight>,
    ) {
        for span in arrived {
            self.in_flight.remove(*span);
        }
        for (span, trace) in awaited {
            let mut next = *span;
            while next != 0 && self.in_flight.get(next).is_none() {
                self.in_flight.insert(next, 1.0);
                next = in_flight.get(&next).map_or(0, |call| call.parent);
            }
            // The root may be on another thread.
            if self.probability(*trace).is_none() {
                self.in_flight.insert(*trace, 1.0);
            }
        }
    }

    /// Decides about the calls of a drain.
    pub(crate) fn decide(
        &mut self,
        mut calls: Vec<SampledCall>,
        mut round: Round<'_, impl FnMut(u32) -> bool>,
    ) -> Decisions {
        // Callers come first, because a caller begins before its callees.
        calls.sort_unstable_by_key(|call| (call.start, call.span));
        let mut decisions = Decisions::default();
        // Without memory for the decisions, everything is kept.
        let Decisions { probabilities, first, roots } = &mut decisions;
        if !(probabilities.make_room(calls.len())
            && first.make_room(calls.len())
            && roots.make_room(calls.len()))
        {
            return decisions;
        }
        for call in &calls {
            let above = match decisions.probabilities.get(&call.parent) {
                _ if call.parent == 0 => 1.0,
                Some(probability) => *probability,
                None => {
                    let root = decisions.probabilities.get(&call.trace).copied();
                    let root = root.unwrap_or_else(|| self.decide_caller(call.trace, 1.0, &round));
                    self.decide_caller(call.parent, root, &round)
                }
            };
            let by_chance =
                self.probability(call.span).unwrap_or_else(|| round.decide(call.span, call.site, above));
            let is_first =
                call.by == SampledBy::Certainty && (round.take_first)(call.site) && by_chance < 1.0;
            let is_certain = is_first || call.by == SampledBy::FirstCalls;
            let probability = if is_certain { 1.0 } else { by_chance };
            decisions.probabilities.insert(call.span, probability);
            if is_first {
                decisions.first.insert(call.span);
            }
            if above <= 0.0 && probability > 0.0 {
                decisions.roots.insert(call.span, call.span);
            } else if let Some(root) = decisions.roots.get(&call.parent) {
                decisions.roots.insert(call.span, *root);
            }
        }
        self.remember(&calls, &decisions);
        decisions
    }

    /// Remembers the decisions, at most `decisions_max` of them. Those about kept calls come first, because few of the
    /// removed calls have callees that outlive them. Then come the calls at which trees were cut: the decision about a
    /// removed root is found by every call below it, so the calls below it need none of their own.
    fn remember(&mut self, calls: &[SampledCall], decisions: &Decisions) {
        let Self { decisions_max, in_flight, ended, .. } = self;
        if !in_flight.is_empty() {
            for call in calls {
                in_flight.remove(call.span);
            }
        }
        let probability = |span: u64| {
            let probability = decisions.probabilities.get(&span).copied();
            probability.or_else(|| in_flight.get(span)).unwrap_or(1.0)
        };
        let decided = || calls.iter().map(|call| (call, probability(call.span)));
        let stay = decided().filter(|(_, probability)| *probability > 0.0 && *probability < 1.0);
        let gone = || decided().filter(|(_, probability)| *probability <= 0.0);
        let cut = gone().filter(|(call, _)| probability(call.parent) > 0.0);
        let below =
            gone().filter(|(call, _)| probability(call.parent) <= 0.0 && probability(call.trace) > 0.0);
        for (call, probability) in stay.chain(cut).chain(below).take(*decisions_max) {
            ended.insert(call.span, probability);
        }
    }

    /// Returns the remembered probability of a call.
    fn probability(&self, span: u64) -> Option<f64> {
        self.in_flight.get(span).or_else(|| self.ended.get(span))
    }

    /// Returns the probability of a caller that has not arrived, given that of its root. The caller is decided
    /// now, unless it was decided before.
    fn decide_caller<First>(&mut self, span: u64, root: f64, round: &Round<'_, First>) -> f64 {
        if let Some(probability) = self.probability(span) {
            return probability;
        }
        let probability = match round.in_flight.get(&span) {
            // Calls on other threads may lie between the caller and its root.
            Some(InFlight { site, parent: 0 }) => round.decide(span, *site, root),
            Some(InFlight { site, parent }) => {
                let above = self.decide_caller(*parent, root, round);
                round.decide(span, *site, above)
            }
            // The decision about a removed root, which is remembered, stands for the caller.
            None if root <= 0.0 => return root,
            // The caller ended since the drain, or before any row was removed.
            None => root,
        };
        self.in_flight.insert(span, probability);
        probability
    }
}

/// The callers in a drain whose own records are not in the drain.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// The root of each caller's tree, by the caller's span.
    spans: NumberMap<u64, u64>,
    /// The caller of the last call.
    last: u64,
}

impl Awaited {
    /// Adds the next call, in the order in which the calls of a thread ended.
    pub(crate) fn add(&mut self, call: &SampledCall) {
        let SampledCall { span, parent, trace, .. } = *call;
        if !self.spans.is_empty() {
            self.spans.remove(&span);
        }
        // Most calls have the same caller as the call before. A caller for which there is no memory is decided when its
        // own record comes.
        if parent != 0 && parent != self.last && self.spans.make_room(1) {
            self.spans.insert(parent, trace);
        }
        self.last = parent;
    }

    pub(crate) fn spans(&self) -> &NumberMap<u64, u64> {
        &self.spans
    }
}

/// Returns a number between 0 and 1 that depends on the call's id and the seed alone.
fn uniform(span: u64, seed: u64) -> f64 {
    Random::new(span ^ seed).draw_share()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    /// Trees of a root (site 1), a branch (2) and two leaves (3), spans from this one on, in the order of
    /// their ends.
    fn trees(number: u64, first: u64) -> Vec<SampledCall> {
        let mut calls = Vec::new();
        for tree in 0..number {
            let root = first + tree * 4;
            let call = |site, at, parent| SampledCall {
                site,
                span: root + at,
                parent,
                trace: root,
                start: root + at,
                by: SampledBy::Certainty,
            };
            calls.extend([call(3, 2, root + 1), call(3, 3, root + 1), call(2, 1, root), call(1, 0, 0)]);
        }
        calls
    }

    /// Decides about a drain behind which these calls are in flight, by the shares of the sites 1 to 3.
    fn drain(
        sampling: &mut TailSampling,
        calls: &[SampledCall],
        in_flight: &HashMap<u64, InFlight>,
        shares: [f64; 3],
        seed: u64,
    ) -> Decisions {
        let shares = (1..=3).zip(shares).filter(|(_, share)| *share < 1.0).collect();
        sampling.decide(calls.to_vec(), Round { shares: &shares, in_flight, take_first: |_| false, seed })
    }

    fn thin(calls: &[SampledCall], shares: [f64; 3], seed: u64) -> NumberMap<u64, f64> {
        drain(&mut TailSampling::new(limits::DECISIONS_MAX), calls, &HashMap::new(), shares, seed)
            .probabilities
    }

    #[test]
    fn a_tree_is_kept_whole_or_goes_whole() {
        let kept = thin(&trees(5000, 8), [0.1, 1.0, 1.0], 7);
        let mut roots = 0;
        for tree in 0..5000 {
            let first = kept[&(8 + tree * 4)];
            roots += u32::from(first > 0.0);
            assert!(first == 0.0 || first == 0.1);
            assert!((1..4).all(|at| kept[&(8 + tree * 4 + at)] == first));
        }
        // Five standard deviations, 21 each.
        assert!((395..605).contains(&roots), "{roots}");
    }

    #[test]
    fn a_callee_that_is_thinned_further_stays_only_where_its_caller_does() {
        // Seventeen leaves in a tree: too many for roots to be lowered to them.
        let leaf = |root: u64, at: u64| root + 1 + at;
        let tree = |root: u64| {
            let call = move |site, span, parent| SampledCall {
                site,
                span,
                parent,
                trace: root,
                start: span,
                by: SampledBy::Certainty,
            };
            (0..17).map(move |at| call(3, leaf(root, at), root)).chain([call(1, root, 0)])
        };
        let roots = || (0..600).map(|tree| 8 + tree * 18);
        let kept = thin(&roots().flat_map(tree).collect::<Vec<_>>(), [0.5, 1.0, 0.01], 7);
        let mut stayed = 0;
        for (root, leaf) in roots().flat_map(|root| (0..17).map(move |at| (root, leaf(root, at)))) {
            let (root, leaf) = (kept[&root], kept[&leaf]);
            assert!(leaf == 0.0 || (root == 0.5 && (leaf - 0.01).abs() < 1e-12), "{root} {leaf}");
            stayed += u32::from(leaf > 0.0);
        }
        assert!((50..150).contains(&stayed), "{stayed}");
    }

    /// Drains trees in pieces of `piece` records, each piece by other shares, as the collector does: if no row
    /// is removed now or was before, calls are only recorded. With `knows`, the calls in flight are known.
    fn in_pieces(trees: &[SampledCall], piece: usize, knows: bool, seed: u64) -> Decisions {
        const SHARES: [[f64; 3]; 4] = [[1.0, 1.0, 1.0], [0.2, 1.0, 0.5], [1.0, 1.0, 0.1], [0.4, 0.7, 1.0]];
        let mut sampling = TailSampling::new(limits::DECISIONS_MAX);
        let mut all = Decisions::default();
        for (at, calls) in trees.chunks(piece).enumerate() {
            // The later calls of the tree that is cut in two have begun and not ended.
            let rest = trees.get((at + 1) * piece..).unwrap_or_default();
            let in_flight =
                |call: &SampledCall| (call.span, InFlight { site: call.site, parent: call.parent });
            let in_flight = rest.iter().take(if knows { 3 } else { 0 }).map(in_flight).collect();
            let mut awaited = Awaited::default();
            for call in calls {
                awaited.add(call);
            }
            let shares = SHARES[at % SHARES.len()];
            if shares == SHARES[0] && !calls.iter().any(|call| sampling.concerns(call)) {
                let arrived: Vec<u64> = calls.iter().map(|call| call.span).collect();
                sampling.keep_all(&arrived, awaited.spans(), &in_flight);
                all.probabilities.extend(calls.iter().map(|call| (call.span, 1.0)));
                continue;
            }
            let Decisions { probabilities, roots, .. } =
                drain(&mut sampling, calls, &in_flight, shares, seed);
            all.probabilities.extend(probabilities);
            all.roots.extend(roots);
        }
        all
    }

    #[test]
    fn a_tree_that_is_drained_in_pieces_under_other_shares_is_whole_all_the_same() {
        let trees = trees(600, 8);
        for piece in 1..12 {
            let all = in_pieces(&trees, piece, true, 7);
            let probability = |span: u64| all.decision(span).probability;
            for call in trees.iter().filter(|call| call.parent != 0 && probability(call.span) > 0.0) {
                let above = probability(call.parent);
                assert!(above > 0.0 && probability(call.span) <= above + 1e-12, "{piece}: {call:?}");
            }
            assert!(all.roots.is_empty(), "{piece}: no tree is cut");
            // Branches are thinned further than their roots in a quarter of the drains at most; in the others they
            // follow their roots.
            let stay = |site: u32| {
                let stays = |call: &&SampledCall| call.site == site && probability(call.span) > 0.0;
                trees.iter().filter(stays).count()
            };
            assert!(stay(1) > 60 && stay(2) * 10 >= stay(1) * 8, "{piece}: {} {}", stay(1), stay(2));
        }
    }

    #[test]
    fn a_callee_whose_caller_was_not_known_to_be_under_way_has_it_or_is_a_root() {
        let trees = trees(600, 8);
        for piece in 1..12 {
            let all = in_pieces(&trees, piece, false, 7);
            for call in trees.iter().filter(|call| all.decision(call.span).probability > 0.0) {
                let has_caller = call.parent == 0 || all.decision(call.parent).probability > 0.0;
                assert!(
                    has_caller || all.decision(call.span).root == call.span,
                    "{piece}: an orphan {call:?}"
                );
            }
        }
    }

    #[test]
    fn weights_of_what_stays_estimate_what_was_there_over_many_runs() {
        let runs = 300_u32;
        let trees = trees(200, 8);
        let (mut at_once, mut in_parts) = ([0.0; 3], [0.0; 3]);
        for run in 0..runs {
            let seed = u64::from(run) << 20;
            let kept = thin(&trees, [0.3, 0.3, 0.02], seed);
            let parts = in_pieces(&trees, 50 + run as usize % 9, run % 2 == 0, seed).probabilities;
            for (sums, kept) in [(&mut at_once, kept), (&mut in_parts, parts)] {
                let stays = trees.iter().filter(|call| kept[&call.span] > 0.0);
                stays.for_each(|call| sums[call.site as usize - 1] += 1.0 / kept[&call.span]);
            }
        }
        for (sums, least) in [(at_once, 0.02), (in_parts, 0.1)] {
            for (sum, number) in sums.iter().zip([200.0, 200.0, 400.0]) {
                let mean = sum / f64::from(runs);
                // A call kept with probability p, alone, has a variance of 1/p - 1; the two leaves of a tree
                // may stay together, which at most doubles it. Five standard deviations.
                let deviation = (2.0 * number / least / f64::from(runs)).sqrt();
                assert!((mean - number).abs() < 5.0 * deviation, "{mean} of {number}");
            }
        }
    }

    #[test]
    fn a_callee_that_outlives_its_caller_shares_its_fate_for_a_while() {
        let mut sampling = TailSampling::new(limits::DECISIONS_MAX);
        let trees = trees(2000, 8);
        let (late, on_time): (Vec<SampledCall>, Vec<SampledCall>) =
            trees.iter().partition(|call| call.span % 4 == 3);
        let none = HashMap::new();
        let first = drain(&mut sampling, &on_time, &none, [0.2, 1.0, 1.0], 7);
        assert!(late.iter().all(|call| sampling.concerns(call)));
        let second = drain(&mut sampling, &late, &none, [1.0; 3], 7);
        assert!(
            late.iter().all(|call| second.decision(call.span).probability == first.decision(call.parent).probability)
        );
        for moment in 1..=2 {
            sampling.age(limits::DECISIONS_AGE * moment);
        }
        assert!(!late.iter().any(|call| sampling.concerns(call)));
    }

    /// Asserts that callees of trees that are drained after them share their fate, although more calls were removed
    /// than decisions are remembered.
    fn check_late_callees(trees: &[SampledCall], in_flight: &HashMap<u64, InFlight>) {
        let mut sampling = TailSampling::new(1000);
        let (late, on_time): (Vec<SampledCall>, Vec<SampledCall>) =
            trees.iter().partition(|call| call.span % 4 == 3);
        let first = drain(&mut sampling, &on_time, in_flight, [0.05, 1.0, 1.0], 7);
        let gone = on_time.iter().filter(|call| first.decision(call.span).probability == 0.0).count();
        assert!(gone > 2000, "{gone}");
        assert!(late.iter().all(|call| sampling.concerns(call)));
        let second = drain(&mut sampling, &late, in_flight, [1.0; 3], 7);
        for call in &late {
            let above = first.decision(call.parent).probability;
            assert_eq!(second.decision(call.span).probability, above, "{call:?}");
        }
    }

    #[test]
    fn a_late_callee_shares_the_fate_of_its_tree_after_a_burst_that_is_larger_than_the_memory() {
        check_late_callees(&trees(800, 8), &HashMap::new());
        // Trees that begin below a call under way.
        let below = |call: SampledCall| SampledCall {
            parent: match call.span % 4 {
                0 => 4,
                // A tree is known by the call that it begins with, whose callee comes late.
                3 => call.span - 3,
                _ => call.parent,
            },
            trace: 4,
            ..call
        };
        let trees: Vec<SampledCall> = trees(800, 8).into_iter().map(below).collect();
        check_late_callees(&trees, &[(4, InFlight { site: 4, parent: 0 })].into());
    }

    #[test]
    fn first_calls_stay_with_their_callees_and_are_roots_where_their_callers_go() {
        let mut sampling = TailSampling::new(limits::DECISIONS_MAX);
        let (shares, none) = ([(1, 1e-9), (3, 1e-9)].into(), HashMap::new());
        let mut left = HashMap::from([(1, 2), (3, 6)]);
        let take_first = |site| {
            let left = left.entry(site).or_default();
            *left -= i32::from(*left > 0);
            *left > 0
        };
        let round = Round { shares: &shares, in_flight: &none, take_first, seed: 7 };
        let decisions = sampling.decide(trees(10, 8), round);
        let tree = |tree: u64| [0, 1, 2, 3].map(|at| decisions.decision(8 + tree * 4 + at));
        let whole = tree(0);
        assert!(whole.iter().all(|decision| decision.probability == 1.0 && decision.root == 0));
        assert_eq!(whole.map(|decision| decision.is_first), [true, false, true, true]);
        let cut = tree(1);
        assert_eq!(cut.map(|decision| decision.probability), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(cut.map(|decision| decision.root), [0, 0, 14, 15]);
        assert!(tree(9).iter().all(|decision| decision.probability == 0.0));
    }

    #[test]
    fn a_shared_row_and_the_rows_below_it_have_the_fate_of_their_caller() {
        let mut sampling = TailSampling::new(limits::DECISIONS_MAX);
        let trees = trees(1000, 8);
        let decisions = drain(&mut sampling, &trees, &HashMap::new(), [0.2, 1.0, 1.0], 7);
        let mut kept = 0;
        for tree in 0..1000 {
            let root = 8 + tree * 4;
            let (above, below) = (1 << 40 | tree << 1, 1 << 40 | tree << 1 | 1);
            let share = sampling.decide_shared_row(above, root + 1, root);
            assert_eq!(share, decisions.decision(root).probability);
            // The row below is found by the row above alone.
            assert_eq!(sampling.decide_shared_row(below, above, 1 << 50), share);
            kept += u32::from(share > 0.0);
        }
        // Five standard deviations, 13 each.
        assert!((135..265).contains(&kept), "{kept}");
        assert_eq!(sampling.decide_shared_row(1 << 51, 1 << 52, 1 << 50), 1.0, "nothing was removed there");
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let (mut sampling, none) = (TailSampling::new(limits::DECISIONS_MAX), HashMap::new());
        for round in 0..8 {
            drain(&mut sampling, &trees(10_000, 8 + round * 40_000), &none, [0.01, 1.0, 1.0], 7);
            let awaited = (0..10_000).map(|span| (1 << 40 | round << 20 | span, 1 << 41)).collect();
            sampling.keep_all(&[], &awaited, &none);
        }
        for recent in [&sampling.ended, &sampling.in_flight] {
            assert!(recent.young.len() + recent.old.len() <= 2 * limits::DECISIONS_MAX);
        }
    }

    #[test]
    fn without_a_bound_everything_stays() {
        let mut bucket = TokenBucket::default();
        bucket.fill(0.1, f64::INFINITY);
        assert_eq!(bucket.take(1_000_000), 1.0);
        bucket.fill(0.1, f64::INFINITY);
        assert_eq!(bucket.take(1_000_000), 1.0);
    }
}
