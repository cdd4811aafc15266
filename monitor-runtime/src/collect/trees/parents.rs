//! The calls that have callees among the records so far, and whose own record has not come yet.
//!
//! Takes spans; gives places, which stay the same until the call is removed. Their number is bounded: if it is reached,
//! the calls that were not heard of for longest are forgotten, and counted. Places and their memory are used again.

use std::time::Duration;

use fnv::FnvHashMap;

use super::costs::TreeCost;
use crate::limits;
use crate::platform::clock::Ticks;

/// The place of a call.
pub(super) type Slot = u32;

/// A call whose record has not come yet.
#[derive(Debug, Default)]
pub(super) struct Parent {
    /// The start of the first of its callees, at which it was under way already.
    pub(super) started: Ticks,
    /// The records below it that are not counted for a function yet.
    pub(super) below: TreeCost,
    span: u64,
    /// The time of the last record of a callee.
    touched: Duration,
}

/// The calls, by span.
#[derive(Debug, Default)]
pub(super) struct Parents {
    by_span: FnvHashMap<u64, Slot>,
    places: Vec<Parent>,
    free: Vec<Slot>,
    /// The last call that was entered, because most calls have the same caller as the call before.
    last: Option<(u64, Slot)>,
    forgotten: u64,
}

impl Parents {
    /// Returns the place of a call if it has one.
    pub(super) fn find(&self, span: u64) -> Option<Slot> {
        self.by_span.get(&span).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> &Parent {
        &self.places[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Parent {
        &mut self.places[slot as usize]
    }

    /// Returns the place of a call, one of whose callees began at this moment. The call gets one if it has none.
    pub(super) fn enter(&mut self, span: u64, callee_start: Ticks, now: Duration) -> Slot {
        let found = self.last.filter(|(last, _)| *last == span).map(|(_, slot)| slot);
        let slot = found.or_else(|| self.find(span)).unwrap_or_else(|| self.insert(span, callee_start));
        self.last = Some((span, slot));
        let parent = self.get_mut(slot);
        parent.touched = now;
        if parent.started.wrapping_sub(callee_start).cast_signed() > 0 {
            parent.started = callee_start;
        }
        slot
    }

    fn insert(&mut self, span: u64, started: Ticks) -> Slot {
        if self.by_span.len() >= limits::PARENTS_MAX {
            self.make_room();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(Parent::default());
            self.places.len() as Slot - 1
        });
        let parent = self.get_mut(slot);
        (parent.span, parent.started) = (span, started);
        self.by_span.insert(span, slot);
        slot
    }

    /// Forgets the quarter of the calls that were not heard of for longest.
    fn make_room(&mut self) {
        let mut touched: Vec<Duration> = self.iter().map(|(_, parent)| parent.touched).collect();
        let quarter = touched.len() / 4;
        let (_, limit, _) = touched.select_nth_unstable(quarter);
        let limit = *limit;
        let mut left = quarter + 1;
        let old = |(_, parent): &(u64, &Parent)| parent.touched <= limit;
        let old: Vec<Slot> = self.iter().filter(old).filter_map(|(span, _)| self.find(span)).collect();
        for slot in old {
            if left > 0 {
                left -= 1;
                self.remove(slot);
                self.forgotten += 1;
            }
        }
    }

    /// Removes a call.
    pub(super) fn remove(&mut self, slot: Slot) {
        let parent = self.get_mut(slot);
        let span = std::mem::take(&mut parent.span);
        parent.below = TreeCost::default();
        self.by_span.remove(&span);
        self.free.push(slot);
        self.last = self.last.filter(|(last, _)| *last != span);
    }

    /// Removes the calls that were not heard of since this moment: their records were lost, or will never come.
    pub(super) fn forget_older(&mut self, than: Duration) {
        let old = self.iter().filter(|(_, parent)| parent.touched < than);
        let old: Vec<Slot> = old.filter_map(|(span, _)| self.find(span)).collect();
        old.into_iter().for_each(|slot| self.remove(slot));
    }

    /// Returns the number of calls that were forgotten for want of room since the last call of this function.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Returns the calls with their spans.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Parent)> {
        self.places.iter().filter(|parent| parent.span != 0).map(|parent| (parent.span, parent))
    }

    /// Returns the calls with their spans.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Parent)> {
        self.places.iter_mut().filter(|parent| parent.span != 0).map(|parent| (parent.span, parent))
    }
}
