//! The trees of calls as their records come in: who called whom, how much lies below each root, and what of it is
//! folded.
//!
//! Takes the records of each drain; gives the number of records below each function at which trees begin. A callee's
//! record comes before its caller's, so a caller that has not ended is remembered by its span, with what lies below it.
//! The memory is bounded: callers that never end are forgotten, and every one that is forgotten is counted. It does not
//! know the store.

mod costs;
mod parents;
mod under_way;

use std::collections::HashMap;
use std::time::Duration;

use super::events::Events;
use crate::limits;
use crate::platform::clock::Clock;
use crate::record::{Header, Record, decode};
use crate::thread::pool::ThreadPool;
pub(super) use costs::TreeCost;
use parents::{Parents, Slot};

/// The trees of a recorder.
#[derive(Debug)]
pub(super) struct Trees {
    rings: &'static ThreadPool,
    parents: Parents,
    /// What lies below each function at which trees begin, since it was last taken.
    costs: HashMap<u32, TreeCost>,
    next_look: Duration,
}

/// A drained call, and its place among the callers that are remembered.
#[derive(Debug, Clone, Copy)]
struct Drained {
    /// The number of its ring in the drain, and its first word there.
    ring: u32,
    at: u32,
    /// The end in ticks, by which calls of several rings are put in order.
    end: u64,
}

impl Trees {
    pub(super) fn new(rings: &'static ThreadPool) -> Self {
        Self { rings, parents: Parents::default(), costs: HashMap::new(), next_look: Duration::ZERO }
    }

    /// Takes in the records of a drain.
    pub(super) fn survey(
        &mut self,
        drained: &[(usize, Vec<u64>)],
        now: Duration,
        clock: &Clock,
        events: &mut Events,
    ) {
        for call in in_order(drained) {
            let words = &drained[call.ring as usize].1[call.at as usize..];
            let Some((Record::Call(header, _, value_bytes), _)) = decode(words) else { continue };
            self.add(&header, value_bytes > 0, now, clock);
        }
        self.forget(now, clock, events);
    }

    /// Adds a call to its caller, or to the costs of its function if a tree begins with it.
    fn add(&mut self, header: &Header, has_values: bool, now: Duration, clock: &Clock) {
        let own = self.parents.find(header.span);
        let mut cost = own.map_or(TreeCost::default(), |own| self.parents.get(own).below);
        cost.add_record(has_values);
        if let Some(own) = own {
            self.parents.remove(own);
        }
        let parent = (header.parent != 0).then(|| self.parents.enter(header.parent, header.start, now));
        match parent {
            Some(parent) if !self.is_loop(parent, header, clock) => {
                self.parents.get_mut(parent).below.merge(&cost)
            }
            _ => {
                cost.roots = 1;
                self.costs.entry(header.site).or_default().merge(&cost);
            }
        }
    }

    /// Returns true if the caller has been under way for so long that it is no request but a loop, such as `main` or a
    /// worker: a tree then begins with each call that it makes.
    fn is_loop(&self, parent: Slot, callee: &Header, clock: &Clock) -> bool {
        let end = callee.start.wrapping_add(callee.duration);
        let age = end.wrapping_sub(self.parents.get(parent).started).cast_signed().max(0).cast_unsigned();
        clock.duration_ns(age) > limits::LOOP_AGE.as_nanos() as u64
    }

    /// Returns the records below each function at which trees begin, since the last call. A tree begins with a call
    /// without a caller, or whose caller has been under way for longer than [`limits::LOOP_AGE`]. Of trees whose root has
    /// not ended, the records so far are included.
    #[cfg_attr(not(test), expect(dead_code, reason = "the ladder lowers roots by this"))]
    pub(super) fn take_costs(&mut self) -> HashMap<u32, TreeCost> {
        let mut costs = std::mem::take(&mut self.costs);
        if self.parents.iter().any(|(_, parent)| parent.below.records > 0) {
            let calls = under_way::calls(self.rings);
            for (span, parent) in self.parents.iter_mut().filter(|(_, parent)| parent.below.records > 0) {
                if let Some(root) = under_way::root(&calls, span) {
                    costs.entry(root).or_default().merge(&std::mem::take(&mut parent.below));
                }
            }
        }
        costs
    }

    /// Forgets callers that are not heard of any more, and reports those that were forgotten for want of room.
    fn forget(&mut self, now: Duration, clock: &Clock, events: &mut Events) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + limits::PARENTS_AGE / 2;
        self.parents.forget_older(now.saturating_sub(limits::PARENTS_AGE));
        let forgotten = self.parents.take_forgotten();
        if forgotten > 0 {
            let detail = format!(
                "{forgotten} calls under way were forgotten, because more than {} had callees: their trees may lack \
                 counts of callees and the origins of failures",
                limits::PARENTS_MAX
            );
            events.add(clock.now_ns(), "recorder", detail);
        }
    }
}

/// Returns the calls of a drain by their end. The calls of a ring are in that order already.
fn in_order(drained: &[(usize, Vec<u64>)]) -> Vec<Drained> {
    let mut calls = Vec::new();
    for (ring, (_, words)) in drained.iter().enumerate() {
        let mut at = 0;
        while let Some((record, used)) = words.get(at..).and_then(decode) {
            if let Record::Call(header, ..) = record {
                let end = header.start.wrapping_add(header.duration);
                calls.push(Drained { ring: ring as u32, at: at as u32, end });
            }
            at += used;
        }
    }
    // The sort is stable and merges runs that are in order.
    if drained.len() > 1 {
        calls.sort_by_key(|call| call.end);
    }
    calls
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::CaptureMode;
    use crate::platform::clock::ticks;
    use crate::record::Outcome;
    use crate::ring::memory::Memory;

    fn trees() -> Trees {
        let (overflow, _) = crossbeam_channel::unbounded();
        let rings = ThreadPool::new(1 << 20, 7, CaptureMode::All, overflow, Memory::on_heap(None));
        Trees::new(Box::leak(Box::new(rings)))
    }

    /// A call of a site that has this span and this caller.
    fn call(site: u32, span: u64, parent: u64) -> Header {
        Header { span, parent, trace: 100, start: ticks(), duration: 1, ..Header::any(site, Outcome::Ok) }
    }

    fn drain(trees: &mut Trees, rings: &[&[Header]]) {
        let words = |ring: &&[Header]| ring.iter().flat_map(|header| header.encode(0)).collect();
        let drained: Vec<(usize, Vec<u64>)> = rings.iter().map(words).enumerate().collect();
        trees.survey(&drained, Duration::from_secs(1), &Clock::start(), &mut Events::default());
    }

    #[test]
    fn what_lies_below_a_root_is_counted_for_its_function_across_drains_and_rings() {
        let mut trees = trees();
        drain(&mut trees, &[&[call(3, 11, 10), call(3, 12, 10)]]);
        assert!(trees.take_costs().is_empty(), "the root has not ended");
        drain(&mut trees, &[&[call(2, 10, 100)], &[call(4, 20, 100)]]);
        drain(&mut trees, &[&[call(1, 100, 0), call(1, 101, 0)]]);
        let costs = trees.take_costs();
        assert_eq!(costs[&1], TreeCost { roots: 2, records: 6, with_values: 0 });
        assert_eq!(costs.len(), 1);
        assert!(trees.take_costs().is_empty() && trees.parents.iter().next().is_none());
    }

    #[test]
    fn a_tree_begins_with_each_call_of_a_loop() {
        let mut trees = trees();
        let clock = Clock::start();
        let first = call(2, 10, 100);
        trees.add(&first, false, Duration::from_secs(1), &clock);
        let mut later = call(2, 12, 100);
        // Some 80 s later by any clock.
        later.start = first.start.wrapping_add(1 << 38);
        trees.add(&Header { span: 11, parent: 12, ..later }, true, Duration::from_secs(90), &clock);
        trees.add(&later, false, Duration::from_secs(90), &clock);
        assert_eq!(trees.costs[&2], TreeCost { roots: 1, records: 2, with_values: 1 });
    }

    #[test]
    fn callers_that_never_end_are_forgotten_and_beyond_the_bound_that_is_told() {
        let mut trees = trees();
        let clock = Clock::start();
        for span in 0..(limits::PARENTS_MAX as u64 * 3) {
            trees.add(&call(2, 1 << 40 | span, 1000 + span), false, Duration::from_millis(span), &clock);
            assert!(span % 4000 != 0 || trees.parents.iter().count() <= limits::PARENTS_MAX);
        }
        let mut events = Events::default();
        trees.forget(Duration::from_secs(100_000), &clock, &mut events);
        let events = events.take();
        assert!(events.len() == 1 && events[0].detail.contains("forgotten"), "{events:?}");
        assert_eq!(trees.parents.iter().count(), 0);
    }
}
