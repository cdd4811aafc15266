//! The calls that have callees among the records so far, and whose own record has not come yet.
//!
//! Takes spans; gives places, which stay the same until the call is removed. Their number is bounded between drains:
//! the calls whose last callee ended longest ago are then forgotten, and counted. Places and their memory are used
//! again.

use std::time::Duration;

use super::costs::TreeCost;
use crate::batch::failures::FailedCallees;
use crate::by_number::NumberMap;
use crate::growth::{MakeRoom as _, collect_most};
use crate::limits;
use crate::platform::clock::Ticks;

/// The place of a call.
pub(super) type Slot = u32;

/// The decision about the rows of a call's callees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// The call is not known to share a row.
    #[default]
    Own,
    /// The call shares a row, or will when it ends: its callees share rows below the row of this span.
    Shared(u64),
}

/// A call whose record has not come yet.
#[derive(Debug, Default)]
pub(super) struct Parent {
    /// The start of the call's first callee, at which the call was under way already.
    pub(super) started: Ticks,
    /// The records below the call that are not yet counted for the function at which their tree begins.
    pub(super) below: TreeCost,
    /// The functions that the call has called, and how often.
    pub(super) callees: Vec<(u32, u32)>,
    /// The failed callees of the call.
    pub(super) failed: FailedCallees,
    pub(super) fate: Fate,
    /// True if a callee has a row of its own that names this call as its caller.
    pub(super) is_named: bool,
    pub(super) span: u64,
    /// The time of the last record of a callee.
    touched: Duration,
}

impl Parent {
    /// Counts a call to this function. Returns the number of calls to it so far.
    pub(super) fn count(&mut self, callee: u32) -> u32 {
        self.count_all(callee, 1)
    }

    /// Counts this many calls to this function. Returns the number of calls to it so far.
    pub(super) fn count_all(&mut self, callee: u32, number: u32) -> u32 {
        if let Some((_, calls)) = self.callees.iter_mut().find(|(site, _)| *site == callee) {
            *calls = calls.saturating_add(number);
            return *calls;
        }
        if self.callees.len() < limits::CALLEES_MAX && self.callees.make_room(1) {
            self.callees.push((callee, number));
        }
        number
    }

    /// Returns the number of calls to this function so far.
    pub(super) fn calls_to(&self, callee: u32) -> u32 {
        self.callees.iter().find(|(site, _)| *site == callee).map_or(0, |(_, calls)| *calls)
    }
}

/// The calls, by span.
#[derive(Debug, Default)]
pub(super) struct Parents {
    by_span: NumberMap<u64, Slot>,
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

    /// Returns the place of a call, and gives it one if it has none. `callee_start` is the start of one of its callees.
    /// Returns `None`, and counts the call as forgotten, if the machine has no memory for its place.
    #[inline]
    pub(super) fn enter(&mut self, span: u64, callee_start: Ticks, now: Duration) -> Option<Slot> {
        let found = self.last.filter(|(last, _)| *last == span).map(|(_, slot)| slot);
        let Some(slot) = found.or_else(|| self.find(span)).or_else(|| self.insert(span, callee_start)) else {
            self.note_forgotten(1);
            return None;
        };
        self.last = Some((span, slot));
        let parent = self.get_mut(slot);
        parent.touched = now;
        if parent.started.wrapping_sub(callee_start).cast_signed() > 0 {
            parent.started = callee_start;
        }
        Some(slot)
    }

    fn insert(&mut self, span: u64, started: Ticks) -> Option<Slot> {
        let Self { by_span, places, free, .. } = self;
        // Each place has room in `free`, so that its call can be removed without memory.
        let has_room = by_span.make_room(1)
            && (!free.is_empty() || places.make_room(1) && free.make_room(places.len() + 1));
        if !has_room {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(Parent::default());
            self.places.len() as Slot - 1
        });
        let parent = self.get_mut(slot);
        (parent.span, parent.started) = (span, started);
        self.by_span.insert(span, slot);
        Some(slot)
    }

    /// Returns the calls that are to be forgotten so that no more than `max` are left: those whose last callee ended
    /// longest ago, and a quarter of the bound more, so that this is seldom done.
    pub(super) fn excess(&self, max: usize) -> Vec<Slot> {
        let excess = self.by_span.len().saturating_sub(max);
        if excess == 0 {
            return Vec::new();
        }
        let mut slots = collect_most(self.by_span.values().copied());
        let number = (excess + max / 4).min(slots.len().saturating_sub(1));
        slots.select_nth_unstable_by_key(number, |slot| self.get(*slot).touched);
        slots.truncate(number);
        slots
    }

    /// Returns the calls of which no callee has ended since this moment: their own records were lost, or will never
    /// come.
    pub(super) fn older(&self, than: Duration) -> Vec<Slot> {
        collect_most(self.by_span.values().copied().filter(|slot| self.get(*slot).touched < than))
    }

    /// Removes a call.
    pub(super) fn remove(&mut self, slot: Slot) {
        let parent = self.get_mut(slot);
        let span = std::mem::take(&mut parent.span);
        parent.callees.clear();
        parent.failed.clear();
        (parent.below, parent.fate, parent.is_named) = (TreeCost::default(), Fate::Own, false);
        self.by_span.remove(&span);
        self.free.push(slot);
        self.last = self.last.filter(|(last, _)| *last != span);
    }

    /// Notes that calls were forgotten for want of room.
    pub(super) fn note_forgotten(&mut self, calls: usize) {
        self.forgotten += calls as u64;
    }

    /// Returns the number of calls that were forgotten for want of room since the last call of this function.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Returns all calls.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parent> {
        self.places.iter_mut().filter(|parent| parent.span != 0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_span.len()
    }

    /// Returns the number of places, in use or not.
    pub(super) fn capacity(&self) -> usize {
        self.places.len()
    }
}
