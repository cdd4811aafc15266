//! Thins out what was drawn before the ladder could act: a burst leaves as many rows as are allowed.
//!
//! In: the calls of one drain, those under way behind it, and for each function the probability with which
//! its rows may stay. Out: the fate of each call. As on the hot side a tree is kept whole: a callee goes
//! with its caller, and stays with it unless its own function's probability is lower. What decides is a
//! number made from the call's id, which has nothing to do with what the call did; so weights divided by
//! the probability stay unbiased. Pure.
//!
//! A caller ends after its callees, often in a later drain. So it is decided of as soon as one of them is
//! there, by what holds then, and that is remembered until its own record comes. What was thinned out
//! is remembered for a while longer, for callees on other threads that outlive it.

mod propagate;
mod decisions;
mod token_bucket;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Child, Random, child};
use crate::limits;

use decisions::Recent;
use propagate::lower;
pub(crate) use propagate::{CALLEES_WHOLE_MAX, Limited};
pub(crate) use token_bucket::Allowance;

/// A call, as far as thinning looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) site: u32,
    pub(crate) span: u64,
    /// 0 for none.
    pub(crate) parent: u64,
    /// The root of its tree.
    pub(crate) trace: u64,
    pub(crate) start: u64,
    pub(crate) by: By,
}

/// How a call came to leave a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// It was drawn, as every call of its function is.
    Certainty,
    /// It was drawn by chance.
    Chance,
    /// It is one of its function's first calls.
    BeingFirst,
    /// It failed or was slow, be it drawn or not: it has a row in any case.
    Itself,
}

/// A call that has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnderWay {
    pub(crate) site: u32,
    /// 0 for none that is known.
    pub(crate) parent: u64,
}

/// What becomes of the calls of a drain.
#[derive(Debug, Default)]
pub(crate) struct Thinned {
    /// By span; 0 for calls that go.
    probabilities: HashMap<u64, f64>,
    first: HashSet<u64>,
    /// Of calls whose tree has another root than it had.
    roots: HashMap<u64, u64>,
}

impl Thinned {
    pub(crate) fn of(&self, span: u64) -> Fate {
        Fate {
            probability: self.probabilities.get(&span).copied().unwrap_or(1.0),
            is_first: self.first.contains(&span),
            root: self.roots.get(&span).copied().unwrap_or(0),
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fate {
    /// The probability with which it was kept; 0 for one that goes.
    pub(crate) probability: f64,
    /// It stays for being one of its function's first calls.
    pub(crate) is_first: bool,
    /// The root of its tree, where that is another than it was: the caller of the root is gone. 0 else.
    pub(crate) root: u64,
}

/// What holds in one drain.
pub(crate) struct Round<'a, First> {
    /// By function, where that is less than 1 or the function is busy enough to give rows for whole trees.
    pub(crate) shares: &'a HashMap<u32, f64>,
    /// By span.
    pub(crate) under_way: &'a HashMap<u64, UnderWay>,
    /// Takes one of a function's first calls, if there are any left.
    pub(crate) take_first: First,
    pub(crate) seed: u64,
}

impl<First> Round<'_, First> {
    /// The probability for a call, given that of its caller.
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

/// What was decided of calls that others may still follow.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// Of calls that have callees here and are not here themselves.
    under_way: Recent,
    /// Of calls that have ended, where it is not that they stay for certain.
    ended: Recent,
    aged: Duration,
    /// Functions that call others, and whom.
    edges: HashSet<(u32, u32)>,
    /// Whether more of these are known than the caps were last lowered by.
    has_news: bool,
}

impl Fates {
    /// Whether it has become known of more functions who calls them, since this was last asked.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Forgets what ended long ago.
    pub(crate) fn age(&mut self, now: Duration) {
        if now >= self.aged + limits::FATES_AGE {
            self.aged = now;
            self.ended.age();
        }
    }

    /// Whether something else was decided of the call, or of its caller, than that it stays for certain.
    pub(crate) fn concern(&self, call: &Drawn) -> bool {
        [call.span, call.parent]
            .iter()
            .any(|span| self.of(*span).is_some_and(|probability| probability < 1.0))
    }

    /// Whether the call's callees were there before it.
    pub(crate) fn awaits(&self, span: u64) -> bool {
        self.under_way.get(span).is_some()
    }

    /// Takes note of a drain in which all stays: what has arrived, and callers that have not.
    pub(crate) fn keep_all(
        &mut self,
        arrived: &[u64],
        awaited: &HashMap<u64, u64>,
        under_way: &HashMap<u64, UnderWay>,
    ) {
        for span in arrived {
            self.under_way.remove(*span);
        }
        for (span, trace) in awaited {
            let mut next = *span;
            while next != 0 && self.under_way.get(next).is_none() {
                self.under_way.insert(next, 1.0);
                next = under_way.get(&next).map_or(0, |call| call.parent);
            }
            // It may be on another thread.
            if self.of(*trace).is_none() {
                self.under_way.insert(*trace, 1.0);
            }
        }
    }

    /// Decides what becomes of calls.
    pub(crate) fn thin(
        &mut self,
        mut calls: Vec<Drawn>,
        round: Round<'_, impl FnMut(u32) -> bool>,
    ) -> Thinned {
        // Whoever calls has begun before whom it calls.
        calls.sort_unstable_by_key(|call| (call.start, call.span));
        self.learn_edges(&calls, round.shares);
        let mut limited: HashMap<u32, Limited> =
            round.shares.iter().map(|(site, rate)| (*site, Limited { rate: *rate, calls: 0.0 })).collect();
        for call in &calls {
            limited.entry(call.site).and_modify(|limited| limited.calls += 1.0);
        }
        let limited = lower(&limited, &self.edges);
        let shares = limited.into_iter().map(|(site, limited)| (site, limited.rate)).collect();
        let mut round = Round { shares: &shares, ..round };
        let mut thinned =
            Thinned { probabilities: HashMap::with_capacity(calls.len()), ..Thinned::default() };
        for call in &calls {
            let above = match thinned.probabilities.get(&call.parent) {
                _ if call.parent == 0 => 1.0,
                Some(probability) => *probability,
                None => {
                    let root = thinned.probabilities.get(&call.trace).copied();
                    let root = root.unwrap_or_else(|| self.of_caller(call.trace, 1.0, &round));
                    self.of_caller(call.parent, root, &round)
                }
            };
            let by_chance = self.of(call.span).unwrap_or_else(|| round.decide(call.span, call.site, above));
            let is_first = call.by == By::Certainty && (round.take_first)(call.site) && by_chance < 1.0;
            let is_certain = is_first || call.by == By::BeingFirst;
            let probability = if is_certain { 1.0 } else { by_chance };
            thinned.probabilities.insert(call.span, probability);
            if is_first {
                thinned.first.insert(call.span);
            }
            if above <= 0.0 && probability > 0.0 {
                thinned.roots.insert(call.span, call.span);
            } else if let Some(root) = thinned.roots.get(&call.parent) {
                thinned.roots.insert(call.span, *root);
            }
        }
        self.remember(&thinned);
        thinned
    }

    /// Takes note of who calls whom, while something is thinned out: of any of these less may be recorded soon.
    fn learn_edges(&mut self, calls: &[Drawn], shares: &HashMap<u32, f64>) {
        if shares.is_empty() {
            return;
        }
        let mut sites: HashMap<u64, u32> = HashMap::with_capacity(calls.len());
        for call in calls {
            sites.insert(call.span, call.site);
            if self.edges.len() < limits::FATES_MAX
                && let Some(caller) = sites.get(&call.parent)
            {
                self.has_news |= self.edges.insert((*caller, call.site));
            }
        }
    }

    /// The caps on functions' rates, lowered for callers to bring their callees, as far as it is known who
    /// calls whom.
    pub(crate) fn lowered(&self, caps: &HashMap<u32, Limited>) -> HashMap<u32, Limited> {
        lower(caps, &self.edges)
    }

    /// What stays comes first: of all that goes, should it be too much, few have callees that outlive it.
    fn remember(&mut self, thinned: &Thinned) {
        let decided = || thinned.probabilities.iter().map(|(span, probability)| (*span, *probability));
        if !self.under_way.is_empty() {
            for (span, _) in decided() {
                self.under_way.remove(span);
            }
        }
        let stay = decided().filter(|(_, probability)| *probability > 0.0 && *probability < 1.0);
        let gone = decided().filter(|(_, probability)| *probability <= 0.0);
        for (span, probability) in stay.chain(gone).take(limits::FATES_MAX) {
            self.ended.insert(span, probability);
        }
    }

    fn of(&self, span: u64) -> Option<f64> {
        self.under_way.get(span).or_else(|| self.ended.get(span))
    }

    /// The probability of a caller that is not here, given that of its root. It is decided now, unless it was
    /// before.
    fn of_caller<First>(&mut self, span: u64, root: f64, round: &Round<'_, First>) -> f64 {
        if let Some(probability) = self.of(span) {
            return probability;
        }
        let probability = match round.under_way.get(&span) {
            // Between it and its root there may be calls on other threads.
            Some(UnderWay { site, parent: 0 }) => round.decide(span, *site, root),
            Some(UnderWay { site, parent }) => {
                let above = self.of_caller(*parent, root, round);
                round.decide(span, *site, above)
            }
            // It ended since the drain, or before anything was thinned out.
            None => root,
        };
        self.under_way.insert(span, probability);
        probability
    }
}

/// Callers of calls in a drain whose own records are not in it.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// With the roots of their trees.
    spans: HashMap<u64, u64>,
    last: u64,
}

impl Awaited {
    /// The next call, in the order in which the calls of a thread ended.
    pub(crate) fn pass(&mut self, call: &Drawn) {
        let Drawn { span, parent, trace, .. } = *call;
        if !self.spans.is_empty() {
            self.spans.remove(&span);
        }
        // Most calls have the caller of the call before.
        if parent != 0 && parent != self.last {
            self.spans.insert(parent, trace);
        }
        self.last = parent;
    }

    pub(crate) fn spans(&self) -> &HashMap<u64, u64> {
        &self.spans
    }
}

/// A number between 0 and 1 that belongs to this call.
fn uniform(span: u64, seed: u64) -> f64 {
    (Random::new(span ^ seed).draw() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    /// Trees of a root (site 1), a branch (2) and two leaves (3), spans from this one on, in the order of
    /// their ends.
    fn trees(number: u64, first: u64) -> Vec<Drawn> {
        let mut calls = Vec::new();
        for tree in 0..number {
            let root = first + tree * 4;
            let call = |site, at, parent| Drawn {
                site,
                span: root + at,
                parent,
                trace: root,
                start: root + at,
                by: By::Certainty,
            };
            calls.extend([call(3, 2, root + 1), call(3, 3, root + 1), call(2, 1, root), call(1, 0, 0)]);
        }
        calls
    }

    /// Thins out a drain behind which these calls are under way, by the shares of the sites 1 to 3.
    fn drain(
        fates: &mut Fates,
        calls: &[Drawn],
        under_way: &HashMap<u64, UnderWay>,
        shares: [f64; 3],
        seed: u64,
    ) -> Thinned {
        let shares = (1..=3).zip(shares).filter(|(_, share)| *share < 1.0).collect();
        fates.thin(calls.to_vec(), Round { shares: &shares, under_way, take_first: |_| false, seed })
    }

    fn thin(calls: &[Drawn], shares: [f64; 3], seed: u64) -> HashMap<u64, f64> {
        drain(&mut Fates::default(), calls, &HashMap::new(), shares, seed).probabilities
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
    fn where_callees_are_not_many_more_than_callers_what_stays_of_a_caller_brings_them_all() {
        let rates = |rates: [f64; 3], calls: [f64; 3]| {
            let limited = (1..=3).zip(rates.into_iter().zip(calls));
            let limited = limited.filter(|(_, (rate, _))| *rate < 1.0);
            let limited = limited.map(|(site, (rate, calls))| (site, Limited { rate, calls })).collect();
            let lowered = lower(&limited, &[(1, 2), (2, 3)].into());
            [1, 2, 3].map(|site| lowered.get(&site).map_or(1.0, |limited| limited.rate))
        };
        let usual = [100.0, 100.0, 200.0];
        assert_eq!(rates([0.5, 0.5, 0.25], usual), [0.25, 0.25, 0.25]);
        assert_eq!(rates([0.25, 0.5, 0.25], usual), [0.25, 0.25, 0.25]);
        assert_eq!(rates([0.5, 0.5, 0.001], usual), [0.001, 0.001, 0.001]);
        // A function that is not limited, and one whose callee is called far more often.
        assert_eq!(rates([1.0, 1.0, 0.25], usual), [1.0, 1.0, 0.25]);
        assert_eq!(rates([0.5, 0.5, 0.01], [100.0, 100.0, 1700.0]), [0.5, 0.5, 0.01]);
        let mut fates = Fates::default();
        let kept = drain(&mut fates, &trees(5000, 8), &HashMap::new(), [0.5, 0.5, 0.1], 7).probabilities;
        assert_eq!(fates.edges, [(1, 2), (2, 3)].into());
        assert!((0..5000).all(|tree| {
            let first = kept[&(8 + tree * 4)];
            (1..4).all(|at| kept[&(8 + tree * 4 + at)] == first)
        }));
    }

    #[test]
    fn a_callee_that_is_thinned_further_stays_only_where_its_caller_does() {
        // Seventeen leaves in a tree: too many for roots to be lowered to them.
        let leaf = |root: u64, at: u64| root + 1 + at;
        let tree = |root: u64| {
            let call = move |site, span, parent| Drawn {
                site,
                span,
                parent,
                trace: root,
                start: span,
                by: By::Certainty,
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

    /// Drains trees in pieces of so many records, each piece by other shares, as the collector does: where
    /// nothing is thinned out and nothing was, calls are only taken note of. With `knows`, calls under
    /// way are known.
    fn in_pieces(trees: &[Drawn], piece: usize, knows: bool, seed: u64) -> Thinned {
        const SHARES: [[f64; 3]; 4] = [[1.0, 1.0, 1.0], [0.2, 1.0, 0.5], [1.0, 1.0, 0.1], [0.4, 0.7, 1.0]];
        let mut fates = Fates::default();
        let mut all = Thinned::default();
        for (at, calls) in trees.chunks(piece).enumerate() {
            // Of the tree that is cut in two, what comes later has begun and not ended.
            let rest = trees.get((at + 1) * piece..).unwrap_or_default();
            let under_way = |call: &Drawn| (call.span, UnderWay { site: call.site, parent: call.parent });
            let under_way = rest.iter().take(if knows { 3 } else { 0 }).map(under_way).collect();
            let mut awaited = Awaited::default();
            for call in calls {
                awaited.pass(call);
            }
            let shares = SHARES[at % SHARES.len()];
            if shares == SHARES[0] && !calls.iter().any(|call| fates.concern(call)) {
                let arrived: Vec<u64> = calls.iter().map(|call| call.span).collect();
                fates.keep_all(&arrived, awaited.spans(), &under_way);
                all.probabilities.extend(calls.iter().map(|call| (call.span, 1.0)));
                continue;
            }
            let Thinned { probabilities, roots, .. } = drain(&mut fates, calls, &under_way, shares, seed);
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
            let probability = |span: u64| all.of(span).probability;
            for call in trees.iter().filter(|call| call.parent != 0 && probability(call.span) > 0.0) {
                let above = probability(call.parent);
                assert!(above > 0.0 && probability(call.span) <= above + 1e-12, "{piece}: {call:?}");
            }
            assert!(all.roots.is_empty(), "{piece}: no tree is cut");
            // Branches are thinned out further in a quarter of the drains alone, and roots bring the rest.
            let stay = |site: u32| {
                let stays = |call: &&Drawn| call.site == site && probability(call.span) > 0.0;
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
            for call in trees.iter().filter(|call| all.of(call.span).probability > 0.0) {
                let has_caller = call.parent == 0 || all.of(call.parent).probability > 0.0;
                assert!(has_caller || all.of(call.span).root == call.span, "{piece}: an orphan {call:?}");
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
        let mut fates = Fates::default();
        let trees = trees(2000, 8);
        let (late, on_time): (Vec<Drawn>, Vec<Drawn>) = trees.iter().partition(|call| call.span % 4 == 3);
        let none = HashMap::new();
        let first = drain(&mut fates, &on_time, &none, [0.2, 1.0, 1.0], 7);
        assert!(late.iter().all(|call| fates.concern(call)));
        let second = drain(&mut fates, &late, &none, [1.0; 3], 7);
        assert!(
            late.iter().all(|call| second.of(call.span).probability == first.of(call.parent).probability)
        );
        for moment in 1..=2 {
            fates.age(limits::FATES_AGE * moment);
        }
        assert!(!late.iter().any(|call| fates.concern(call)));
    }

    #[test]
    fn first_calls_stay_with_their_callees_and_are_roots_where_their_callers_go() {
        let mut fates = Fates::default();
        let (shares, none) = ([(1, 1e-9), (3, 1e-9)].into(), HashMap::new());
        let mut left = HashMap::from([(1, 2), (3, 6)]);
        let take_first = |site| {
            let left = left.entry(site).or_default();
            *left -= i32::from(*left > 0);
            *left > 0
        };
        let round = Round { shares: &shares, under_way: &none, take_first, seed: 7 };
        let thinned = fates.thin(trees(10, 8), round);
        let tree = |tree: u64| [0, 1, 2, 3].map(|at| thinned.of(8 + tree * 4 + at));
        let whole = tree(0);
        assert!(whole.iter().all(|fate| fate.probability == 1.0 && fate.root == 0));
        assert_eq!(whole.map(|fate| fate.is_first), [true, false, true, true]);
        let cut = tree(1);
        assert_eq!(cut.map(|fate| fate.probability), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(cut.map(|fate| fate.root), [0, 0, 14, 15]);
        assert!(tree(9).iter().all(|fate| fate.probability == 0.0));
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let (mut fates, none) = (Fates::default(), HashMap::new());
        for round in 0..8 {
            drain(&mut fates, &trees(10_000, 8 + round * 40_000), &none, [0.01, 1.0, 1.0], 7);
            let awaited = (0..10_000).map(|span| (1 << 40 | round << 20 | span, 1 << 41)).collect();
            fates.keep_all(&[], &awaited, &none);
        }
        for recent in [&fates.ended, &fates.under_way] {
            assert!(recent.young.len() + recent.old.len() <= 2 * limits::FATES_MAX);
        }
    }

    #[test]
    fn without_a_bound_everything_stays() {
        let mut allowance = Allowance::default();
        allowance.fill(0.1, f64::INFINITY);
        assert_eq!(allowance.take(1_000_000), 1.0);
        allowance.fill(0.1, f64::INFINITY);
        assert_eq!(allowance.take(1_000_000), 1.0);
    }
}
