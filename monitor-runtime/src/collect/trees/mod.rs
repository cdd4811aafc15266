//! The trees of calls as their records come in: who called whom, how much lies below each root, which calls share a
//! row, and where failures began.
//!
//! Takes the records of each drain; marks those that share a row, gives these rows once they are complete, the number
//! of records below each function at which trees begin, the pairs of functions that call each other, and the causes of
//! failures. A callee's record comes before its caller's, so a caller that has not ended is remembered by its span. The
//! memory is bounded: callers that never end are forgotten, and each caller that is forgotten for want of room is
//! counted. It does not know the store.
//!
//! Once a caller has made a number of calls of one function, `fold_after`, its further calls of the function share a
//! row, and so does everything below them. Failures and slow calls have a row of their own. A call has a row of its own
//! if an earlier drain gave one to any of its callees, so that no row names a caller without a row. A call under way is
//! expected to share a row if enough calls like it have ended.

mod drained;
mod causes;
mod costs;
mod folds;
mod parents;
mod under_way;
mod rows;
mod bursts;
mod origins;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::events::Events;
use super::functions::Functions;
use crate::accountant;
use crate::by_number::{NumberMap, NumberSet};
use crate::growth::{MakeRoom as _, collect_most};
use crate::limits;
use crate::platform::clock::{Clock, elapsed};
use crate::record::mark_folded;
use crate::thread::pool::ThreadPool;
use bursts::TakenBursts;
use causes::Causes;
pub(super) use causes::FailureOrigin;
pub(super) use costs::{Part, TreeCost};
use drained::{Drained, Row, SpareCalls, in_order};
use folds::Folds;
pub(super) use folds::SharedRow;
use origins::LateFailure;
use parents::{Fate, Parent, Parents, Slot};

/// The trees of a recorder.
#[derive(Debug)]
pub(super) struct Trees {
    rings: &'static ThreadPool,
    /// The number of calls of one function below one caller that have a row each; 0 if all have.
    fold_after: u32,
    parents: Parents,
    folds: Folds,
    bursts: TakenBursts,
    /// The records below each function at which trees begin, since they were last taken.
    costs: HashMap<u32, TreeCost>,
    /// The pairs of a calling function and a called one, and those of them that are not stored yet.
    edges: NumberSet<(u32, u32)>,
    new_edges: Vec<(u32, u32)>,
    causes: Causes,
    /// The number of failed callees that are remembered.
    failed: usize,
    /// Failures of this drain and the one before that have no known cause: the record of the cause may come late, from
    /// another ring.
    late: [NumberMap<u64, LateFailure>; 2],
    next_look: Duration,
    spare: SpareCalls,
}

/// The records of a drain: the words of each ring, and the thread that the first of them belongs to.
pub(super) struct DrainedRings<'a> {
    pub(super) rings: &'a mut [(usize, Vec<u64>)],
    pub(super) threads: &'a [u32],
}

/// The circumstances of a drain.
pub(super) struct Moment<'a> {
    pub(super) now: Duration,
    pub(super) clock: &'a Clock,
    pub(super) functions: &'a Functions,
}

impl Trees {
    pub(super) fn new(rings: &'static ThreadPool, fold_after: u32) -> Self {
        rings.home.fold_after.store(fold_after, Ordering::Relaxed);
        Self {
            rings,
            fold_after,
            parents: Parents::default(),
            folds: Folds::default(),
            bursts: TakenBursts::default(),
            costs: HashMap::new(),
            edges: NumberSet::default(),
            new_edges: Vec::new(),
            causes: Causes::default(),
            failed: 0,
            late: Default::default(),
            next_look: Duration::ZERO,
            spare: SpareCalls::default(),
        }
    }

    /// Replaces the number of calls of one function below one caller that have a row each.
    pub(super) fn set_fold_after(&mut self, calls: u32) {
        self.rings.home.fold_after.store(calls, Ordering::Relaxed);
        self.fold_after = calls;
    }

    /// Takes in the records of a drain, and marks those that share a row.
    pub(super) fn survey(&mut self, drained: DrainedRings<'_>, moment: &Moment<'_>, events: &mut Events) {
        let DrainedRings { rings, threads } = drained;
        self.causes.max = Some(self.items_max(CAUSES_SHARE, CAUSE_BYTES, limits::CAUSES_MAX));
        let mut calls = in_order(rings, threads, self.spare.take());
        // Slots are read after the rings, because a caller's record comes after the last of its callees was added to a
        // slot.
        let bursts = self.take_bursts(moment);
        self.enter(&mut calls, moment);
        self.learn_edges(&calls);
        self.trace_failures(&calls, rings, moment);
        if self.fold_after > 0 {
            self.predict(&calls, &bursts, moment);
            self.decide_rows(&mut calls, rings, moment);
        }
        self.add_bursts(bursts, moment);
        self.add_shared(&calls, rings, moment.now);
        for call in &calls {
            self.add_cost(call, moment.clock);
        }
        for call in &calls {
            if let Some(own) = call.own.filter(|own| self.parents.get(*own).span == call.header.span) {
                self.leave(own);
            }
        }
        self.spare.keep(calls, moment.now, self.items_max(SPARE_SHARE, size_of::<Drained>(), usize::MAX));
        self.folds.close_due(moment.now, self.items_max(FOLDS_SHARE, FOLD_BYTES, limits::FOLDS_MAX));
        self.forget(moment, events);
        self.rings.home.accountant.set(accountant::Part::Trees, self.bytes());
    }

    /// Adds the calls that share rows to these rows, and marks their records. A row is looked up once for all calls
    /// that follow one another and share it, because most calls of a burst are like the call before.
    fn add_shared(&mut self, calls: &[Drained], rings: &mut [(usize, Vec<u64>)], now: Duration) {
        for run in calls.chunk_by(|call, next| call.row == next.row) {
            let Row::Shared(key) = run[0].row else { continue };
            // The row may have been removed since the calls were decided, because the call that opened it failed.
            let mut row = self.folds.get_or_open(key, &run[0].header, now);
            for Drained { header, ring, at, thread, .. } in run {
                let words = &mut rings[*ring as usize].1[*at as usize..];
                words[0] = mark_folded(words[0]);
                if let Some(row) = row.as_deref_mut() {
                    row.add_call(header, *thread, words);
                }
            }
        }
    }

    /// Returns how many items of `bytes_each` fit into the memory for trees divided by `share`, at most `max`.
    fn items_max(&self, share: usize, bytes_each: usize, max: usize) -> usize {
        self.rings.home.accountant.count_within(accountant::Part::Trees, share, bytes_each, max)
    }

    /// Returns the number of failed callees that may be remembered.
    fn failed_max(&self) -> usize {
        self.items_max(FAILED_SHARE, FAILED_BYTES, limits::FAILED_CALLEES_ALL_MAX)
    }

    /// Returns about how many bytes are held.
    fn bytes(&self) -> usize {
        self.parents.capacity() * PARENT_BYTES
            + self.folds.len() * FOLD_BYTES
            + self.causes.len() * CAUSE_BYTES / 2
            + self.failed * FAILED_BYTES
            + self.edges.len() * size_of::<(u32, u32)>() * 2
            + self.spare.capacity() * size_of::<Drained>()
    }

    /// Learns which functions call which.
    fn learn_edges(&mut self, calls: &[Drained]) {
        for call in calls {
            let Some(own) = call.own else { continue };
            self.learn_edges_of(call.header.site, own);
        }
    }

    /// Learns which functions a call of this function has called.
    fn learn_edges_of(&mut self, site: u32, call: Slot) {
        let is_new = |callee: &&(u32, u32)| !self.edges.contains(&(site, callee.0));
        // New callees are rare, and an empty list takes no memory.
        let new: Vec<u32> =
            collect_most(self.parents.get(call).callees.iter().filter(is_new).map(|(callee, _)| *callee));
        self.learn_edges_to(site, &new);
    }

    /// Learns that this function calls these functions.
    fn learn_edges_to(&mut self, site: u32, callees: &[u32]) {
        for callee in callees {
            let edge = (site, *callee);
            // A pair for which there is no memory is learned with a later call.
            let has_room = self.edges.len() < limits::EDGES_MAX
                && self.edges.make_room(1)
                && self.new_edges.make_room(1);
            if has_room && self.edges.insert(edge) {
                self.new_edges.push(edge);
            }
        }
    }

    /// Returns the pairs of a calling function and a called one that the store does not have.
    pub(super) fn take_new_edges(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.new_edges)
    }

    /// Marks all pairs to be written again, because the store is a new one.
    pub(super) fn forget_stored_edges(&mut self) {
        self.new_edges = collect_most(self.edges.iter().copied());
        if self.new_edges.len() < self.edges.len() {
            self.rings.home.accountant.note_refused(accountant::Part::Trees);
        }
    }

    /// Adds a call to its caller's costs, or to those of its function if a tree begins with it.
    fn add_cost(&mut self, call: &Drained, clock: &Clock) {
        let own = call.own.map(|own| std::mem::take(&mut self.parents.get_mut(own).below));
        let cost = match call.parent {
            Some(parent) if !is_loop(self.parents.get(parent), call.end(), clock) => {
                &mut self.parents.get_mut(parent).below
            }
            // Costs are estimated: without memory, this call is left out of the estimate.
            _ if !self.costs.make_room(1) => return,
            parent => {
                let cost = self.costs.entry(call.header.site).or_default();
                cost.begins_below |= parent.is_some();
                cost
            }
        };
        own.inspect(|below| cost.merge(below));
        cost.add(&call.header, call.row == Row::Own);
    }

    /// Returns the records below each function at which trees begin, since they were last taken. A tree begins with a
    /// call without a caller, or whose caller has been under way for longer than [`limits::LOOP_AGE`]. The records so
    /// far of trees whose root has not ended are included.
    pub(super) fn take_costs(&mut self) -> HashMap<u32, TreeCost> {
        let mut costs = std::mem::take(&mut self.costs);
        if self.parents.iter_mut().any(|parent| !parent.below.is_empty()) {
            let calls = under_way::calls(self.rings);
            for parent in self.parents.iter_mut().filter(|parent| !parent.below.is_empty()) {
                if let Some(root) = under_way::root(&calls, parent.span)
                    && costs.make_room(1)
                {
                    costs.entry(root).or_default().merge(&std::mem::take(&mut parent.below));
                }
            }
        }
        costs
    }

    /// Returns a row that calls share and that was completed and not taken yet, before the rows below it.
    pub(super) fn take_row(&mut self) -> Option<SharedRow> {
        self.folds.take_closed()
    }

    /// Completes all rows that calls share, because somebody waits for them.
    pub(super) fn complete_rows(&mut self) {
        self.folds.close_all();
    }

    /// Returns the threads and the records of the rows that are not complete, as they would be if they were completed now.
    pub(super) fn incomplete_rows(&self) -> impl Iterator<Item = (u32, Vec<u64>)> {
        self.folds.images()
    }

    /// Returns true if no calls wait for the row that they share.
    pub(super) fn is_settled(&self) -> bool {
        self.folds.is_empty() && self.bursts.waiting.is_empty()
    }

    /// Forgets a call that has ended, or of which no callee has ended for long, and completes the rows below it.
    fn leave(&mut self, slot: Slot) {
        if self.parents.get(slot).fate == Fate::Own {
            self.folds.close_below(self.parents.get(slot).span);
        }
        self.failed -= self.parents.get(slot).failed.len();
        self.parents.remove(slot);
    }

    /// Forgets callers of which no callee has ended for long and those beyond the bound, and reports the latter now and
    /// then.
    fn forget(&mut self, moment: &Moment<'_>, events: &mut Events) {
        let excess = self.parents.excess(self.items_max(PARENTS_SHARE, PARENT_BYTES, limits::PARENTS_MAX));
        self.parents.note_forgotten(excess.len());
        for slot in excess {
            self.leave(slot);
        }
        if moment.now < self.next_look {
            return;
        }
        self.next_look = moment.now + limits::PARENTS_AGE / 2;
        let old = self.parents.older(moment.now.saturating_sub(limits::PARENTS_AGE));
        for slot in old {
            self.leave(slot);
        }
        let lost = std::mem::take(&mut self.causes.lost);
        if lost > 0 {
            let detail = format!(
                "the causes of {lost} failures were forgotten, because too many calls failed at once: they are told as if \
                 they had begun where they are passed on"
            );
            events.add(moment.clock.now_ns(), "recorder", detail);
        }
        let forgotten = self.parents.take_forgotten();
        if forgotten > 0 {
            let detail = format!(
                "{forgotten} calls under way were forgotten, because there is memory for {} with callees: their trees may \
                 lack counts of callees and the origins of failures",
                self.items_max(PARENTS_SHARE, PARENT_BYTES, limits::PARENTS_MAX)
            );
            events.add(moment.clock.now_ns(), "recorder", detail);
        }
    }
}

/// The bytes of a caller that is remembered, with its callees. All callers may take the memory for
/// trees divided by `PARENTS_SHARE`.
const PARENT_BYTES: usize = size_of::<Parent>() + 128;
const PARENTS_SHARE: usize = 2;
/// The bytes of a row that calls share. All such rows may take the memory for trees divided by `FOLDS_SHARE`.
const FOLD_BYTES: usize = 512 + limits::FOLD_ARGS_BYTES_MAX;
const FOLDS_SHARE: usize = 8;
/// The bytes of two causes of failures, a young one and an old one. All causes may take the memory for trees divided by
/// `CAUSES_SHARE`.
const CAUSE_BYTES: usize = 192;
const CAUSES_SHARE: usize = 4;
/// The estimated bytes of a failed callee, most of whose texts are short. All failed callees may take the memory for
/// trees divided by `FAILED_SHARE`.
const FAILED_BYTES: usize = 192;
const FAILED_SHARE: usize = 8;
/// The memory that is kept for the calls of the next drain is at most the memory for trees divided by this number.
const SPARE_SHARE: usize = 3;

/// Returns true if the caller had been under way at this moment for so long that it is no request but a loop, such as
/// `main` or a worker: a tree then begins with each call that it makes.
fn is_loop(caller: &Parent, at: u64, clock: &Clock) -> bool {
    let age = elapsed(caller.started, at);
    clock.duration_ns(age) > limits::LOOP_AGE.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::CaptureMode;
    use crate::platform::clock::ticks;
    use crate::record::{Fold, Header, Kept, Outcome, Record, decode};
    use crate::ring::memory::Memory;
    use crate::site::{CallSite, Description};

    /// The trees of a recorder that folds after two calls, and what came out of them.
    struct Test {
        trees: Trees,
        clock: Clock,
        now: Duration,
        events: Events,
        /// Site and span of the calls with a row of their own, and their callers.
        own: Vec<(u32, u64, u64)>,
        folded: usize,
    }

    impl Test {
        fn new() -> Self {
            let (overflow, _) = crossbeam_channel::unbounded();
            let rings = ThreadPool::new(
                crate::accountant::Accountant::boundless(),
                7,
                CaptureMode::All,
                overflow,
                Memory::on_heap(None),
            );
            let trees = Trees::new(Box::leak(Box::new(rings)), 2);
            let (clock, now, events) = (Clock::start(), Duration::from_secs(1), Events::default());
            Self { trees, clock, now, events, own: Vec::new(), folded: 0 }
        }

        fn drain(&mut self, rings: &[&[Header]]) {
            let words = |ring: &&[Header]| ring.iter().flat_map(|header| header.encode(0)).collect();
            let mut drained: Vec<(usize, Vec<u64>)> = rings.iter().map(words).enumerate().collect();
            let functions = Functions::default();
            let moment = Moment { now: self.now, clock: &self.clock, functions: &functions };
            let rings = DrainedRings { rings: &mut drained, threads: &[1, 2, 3] };
            self.trees.survey(rings, &moment, &mut self.events);
            for (_, words) in &drained {
                let mut at = 0;
                while let Some((record, used)) = decode(&words[at..]) {
                    match record {
                        Record::Call(header, ..) => self.own.push((header.site, header.span, header.parent)),
                        _ => self.folded += 1,
                    }
                    at += used;
                }
            }
        }

        /// Returns the rows that were completed.
        fn rows(&mut self) -> Vec<(Header, Fold)> {
            let read = |row: SharedRow| match decode(&row.encode()) {
                Some((Record::Fold(header, fold, ..), _)) => (header, fold),
                other => panic!("{other:?}"),
            };
            let mut rows: Vec<_> = std::iter::from_fn(|| self.trees.take_row()).map(read).collect();
            rows.sort_by_key(|(header, _)| header.site);
            rows
        }
    }

    /// A call of a site that has this span and this caller, later than the one before.
    fn call(site: u32, span: u64, parent: u64) -> Header {
        Header { span, parent, trace: 100, start: ticks(), duration: 1, ..Header::any(site, Outcome::Ok) }
    }

    #[test]
    fn what_lies_below_a_root_is_counted_for_its_function_across_drains_and_rings() {
        let mut test = Test::new();
        test.drain(&[&[call(3, 11, 10), call(3, 12, 10)]]);
        assert!(test.trees.take_costs().is_empty(), "the root has not ended");
        test.drain(&[&[call(2, 10, 100)], &[call(4, 20, 100)]]);
        test.drain(&[&[call(1, 100, 0), call(1, 101, 0)]]);
        let costs = test.trees.take_costs();
        let part = |site, number: u64| Part { site, records: number, rows: number, calls: number as f64 };
        assert_eq!(costs[&1].parts(), [part(3, 2), part(2, 1), part(4, 1), part(1, 2)]);
        assert!(!costs[&1].begins_below);
        assert_eq!(costs.len(), 1);
        assert!(test.trees.take_costs().is_empty() && test.trees.parents.len() == 0);
    }

    #[test]
    fn a_tree_begins_with_each_call_of_a_loop() {
        let mut test = Test::new();
        let first = call(2, 10, 100);
        test.drain(&[&[first]]);
        // Some 80 s later by any clock.
        let start = first.start.wrapping_add(1 << 38);
        for tree in 0..20 {
            let [leaf, root] = [call(3, 1001 + 2 * tree, 1000 + 2 * tree), call(2, 1000 + 2 * tree, 100)];
            test.drain(&[&[Header { start, ..leaf }, Header { start, ..root }]]);
        }
        let part = |site| Part { site, records: 20, rows: 20, calls: 20.0 };
        assert_eq!(test.trees.costs[&2].parts(), [part(3), part(2)]);
        assert!(test.trees.costs[&2].begins_below, "a call is around these roots");
        assert_eq!(test.folded, 0, "calls of a loop that make calls are trees of their own");
        let leaves: Vec<Header> = (0..20).map(|leaf| Header { start, ..call(4, 5000 + leaf, 100) }).collect();
        test.drain(&[&leaves]);
        assert_eq!(test.folded, 18);
    }

    #[test]
    fn from_a_number_of_calls_on_the_rest_shares_a_row_with_exact_sums() {
        let mut test = Test::new();
        let calls: Vec<Header> = (0..20_u64)
            .map(|at| Header { duration: 10 + at, weight: 2.0, ..call(2, 101 + at, 100) })
            .collect();
        test.drain(&[&calls[..9]]);
        test.drain(&[&calls[9..]]);
        assert!(test.rows().is_empty() && test.trees.incomplete_rows().count() == 1, "the caller goes on");
        test.drain(&[&[call(1, 100, 0)]]);
        let rows = test.rows();
        let [(header, fold)] = rows[..] else { panic!("{rows:?}") };
        assert_eq!(test.own, [(2, 101, 100), (2, 102, 100), (1, 100, 0)]);
        assert_eq!((header.site, header.parent, header.start), (2, 100, calls[2].start));
        assert!((103..=120).contains(&header.span), "the span is that of one of them");
        let total: u64 = (12..30).sum();
        assert_eq!(
            (fold.calls, fold.total, fold.longest, fold.weight.to_bits()),
            (18, total, 29, 36_f64.to_bits())
        );
        assert_eq!(header.duration, total / 18);
        assert!(test.trees.is_settled());
    }

    #[test]
    fn everything_below_calls_that_share_a_row_shares_rows_below_it() {
        let mut test = Test::new();
        let tree = |at: u64| {
            let span = 1000 + 10 * at;
            [
                call(3, span + 1, span),
                call(4, span + 3, span + 2),
                call(3, span + 2, span),
                call(2, span, 100),
            ]
        };
        let calls: Vec<Header> = (0..10).flat_map(tree).collect();
        test.drain(&[&calls, &[]]);
        test.drain(&[&[call(1, 100, 0)]]);
        assert_eq!((test.own.len(), test.folded), (2 * 4 + 1, 8 * 4));
        let rows = test.rows();
        let shapes: Vec<_> = rows.iter().map(|(header, fold)| (header.site, fold.calls)).collect();
        assert_eq!(shapes, [(2, 8), (3, 16), (4, 8)]);
        let [above, middle, below] = [0, 1, 2].map(|at| rows[at].0);
        assert_eq!([above.parent, middle.parent, below.parent], [100, above.span, middle.span]);
    }

    #[test]
    fn failures_and_slow_calls_have_a_row_of_their_own_below_the_row_that_is_shared() {
        let mut test = Test::new();
        let mut calls: Vec<Header> = (0..9).map(|at| call(2, 101 + at, 100)).collect();
        calls[5] = Header { outcome: Outcome::Error, kept: Kept::Failed, ..calls[5] };
        calls[6].kept = Kept::Slow;
        // A failure below the last of them.
        let failed = Header {
            outcome: Outcome::Panic,
            kept: Kept::Failed,
            start: calls[8].start,
            ..call(3, 500, 109)
        };
        calls.insert(8, failed);
        calls.push(call(1, 100, 0));
        test.drain(&[&calls]);
        let rows = test.rows();
        let [(header, fold)] = rows[..] else { panic!("{rows:?}") };
        assert_eq!(fold.calls, 5);
        let expected =
            [(2, 101, 100), (2, 102, 100), (2, 106, 100), (2, 107, 100), (3, 500, header.span), (1, 100, 0)];
        assert_eq!(test.own, expected);
    }

    #[test]
    fn a_call_keeps_its_row_if_a_drain_before_gave_one_to_a_callee() {
        let mut test = Test::new();
        for at in 0..6 {
            let span = 1000 + 10 * at;
            // The caller ends in the drain after its callee's, and no stack shows it.
            test.drain(&[&[call(3, span + 1, span)]]);
            test.drain(&[&[call(2, span, 100)]]);
        }
        assert_eq!((test.own.len(), test.folded), (12, 0));
    }

    #[test]
    fn a_caller_that_goes_on_has_a_row_for_each_window_and_one_for_whoever_waits() {
        let mut test = Test::new();
        let mut calls = (0..).map(|at| call(2, 101 + at, 100));
        let sizes = |test: &mut Test| test.rows().iter().map(|(_, fold)| fold.calls).collect::<Vec<_>>();
        for (second, expected) in [(1, vec![]), (5, vec![]), (11, vec![28]), (12, vec![])] {
            test.now = Duration::from_secs(second);
            test.drain(&[&calls.by_ref().take(10).collect::<Vec<_>>()]);
            assert_eq!(sizes(&mut test), expected, "{second} s");
        }
        test.trees.complete_rows();
        assert_eq!(sizes(&mut test), [10]);
        assert!(test.trees.is_settled());
    }

    #[test]
    fn rows_beyond_the_bound_are_completed_and_no_call_is_lost() {
        let mut test = Test::new();
        let callers = limits::FOLDS_MAX as u64 * 2;
        for round in 0..2 {
            let spans = (0..callers).flat_map(|caller| (0..3).map(move |at| (caller, at)));
            let calls: Vec<Header> = spans
                .map(|(caller, at)| call(2, 1 << 30 | round << 20 | caller << 3 | at, 1 + caller))
                .collect();
            test.drain(&[&calls]);
            assert!(test.trees.incomplete_rows().count() <= limits::FOLDS_MAX);
        }
        test.trees.complete_rows();
        let shared: u64 = test.rows().iter().map(|(_, fold)| fold.calls).sum();
        assert_eq!((shared, test.own.len() as u64), (4 * callers, 2 * callers));
    }

    #[test]
    fn callers_that_never_end_are_forgotten_and_beyond_the_bound_that_is_told() {
        let mut test = Test::new();
        for drain in 0..40_u64 {
            test.now = Duration::from_millis(100 * drain);
            let calls: Vec<Header> =
                (0..1500).map(|at| call(2, 1 << 40 | drain << 20 | at, 1 + (drain << 20 | at))).collect();
            test.drain(&[&calls]);
            assert!(test.trees.parents.len() <= limits::PARENTS_MAX);
        }
        test.now = Duration::from_secs(100_000);
        test.drain(&[&[call(1, 9, 0)]]);
        let events = test.events.take();
        assert!(events.len() == 1 && events[0].detail.contains("forgotten"), "{events:?}");
        assert_eq!(test.trees.parents.len(), 0);
    }
    /// Functions of this process, by their places in the list.
    fn functions(names: &[&'static str]) -> (Functions, Vec<u32>) {
        let sites = names.iter().map(|name| {
            let about = Description::new(|| "trees", file!(), line!(), &[], &[]).name(name);
            let site: &'static CallSite = Box::leak(Box::new(CallSite::new(Box::leak(Box::new(about)))));
            assert!(site.register());
            site.id()
        });
        let ids = sites.collect();
        let mut functions = Functions::default();
        functions.discover();
        (functions, ids)
    }

    /// The record of a call that failed, without a text of its own.
    fn cancelled(site: u32, span: u64, parent: u64) -> Vec<u64> {
        let header = Header { outcome: Outcome::Cancelled, kept: Kept::Failed, ..call(site, span, parent) };
        header.encode(0).to_vec()
    }

    /// Adds the records of rings to the trees. Returns the events.
    fn survey(trees: &mut Trees, functions: &Functions, rings: Vec<Vec<u64>>) -> Events {
        let mut drained: Vec<(usize, Vec<u64>)> = rings.into_iter().enumerate().collect();
        let clock = Clock::start();
        let moment = Moment { now: Duration::from_secs(1), clock: &clock, functions };
        let rings = DrainedRings { rings: &mut drained, threads: &[1, 2] };
        let mut events = Events::default();
        trees.survey(rings, &moment, &mut events);
        events
    }

    #[test]
    fn causes_that_were_forgotten_are_an_event() {
        let mut trees = Test::new().trees;
        trees.causes.lost = 3;
        let events = survey(&mut trees, &functions(&["pay"]).0, Vec::new()).take();
        let told: Vec<&str> = events.iter().map(|event| event.detail.as_str()).collect();
        let expected = "the causes of 3 failures were forgotten, because too many calls failed at once: they are told as \
                        if they had begun where they are passed on";
        assert_eq!(told, [expected]);
    }

    fn cause_of(trees: &mut Trees, span: u64) -> Option<(u64, u64, String)> {
        let cause = trees.take_origin(span)?.cause?;
        Some((cause.caused_by, cause.origin, cause.path))
    }

    #[test]
    fn a_failure_is_followed_through_its_callers_over_drains_rings_and_even_from_behind() {
        let (functions, ids) = functions(&["shop::order", "shop::pay", "bank::Client::post"]);
        let path = "order ← pay ← Client::post".to_owned();
        let [order, pay, post] = [(0, 1000, 0), (1, 1001, 1000), (2, 1002, 1001)]
            .map(|(at, span, parent)| move |ids: &[u32]| cancelled(ids[at], span, parent));
        // In one ring, in two rings of which the callers' comes first, and in three drains.
        let ways: [Vec<Vec<Vec<u64>>>; 3] = [
            vec![vec![[post(&ids), pay(&ids), order(&ids)].concat()]],
            {
                let below = [post(&ids), pay(&ids)].concat();
                vec![vec![order(&ids), below]]
            },
            vec![vec![post(&ids)], vec![pay(&ids)], vec![order(&ids)]],
        ];
        for drains in ways {
            let mut trees = Test::new().trees;
            for rings in drains {
                survey(&mut trees, &functions, rings);
            }
            assert_eq!(cause_of(&mut trees, 1002), None);
            assert_eq!(cause_of(&mut trees, 1001), Some((1002, 1002, "pay ← Client::post".to_owned())));
            assert_eq!(cause_of(&mut trees, 1000), Some((1001, 1002, path.clone())));
            assert_eq!((trees.failed, trees.parents.len()), (0, 0));
        }
        // The record of the callee travelled around its ring and comes last.
        let mut trees = Test::new().trees;
        survey(&mut trees, &functions, vec![pay(&ids)]);
        survey(&mut trees, &functions, vec![post(&ids)]);
        assert_eq!(cause_of(&mut trees, 1001), Some((1002, 1002, "pay ← Client::post".to_owned())));
    }
}
