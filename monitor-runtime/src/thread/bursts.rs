//! The calls of a burst that share rows before they are recorded, because their thread's ring is filling up.
//!
//! Takes the ends of `ok` calls of one thread, and the calls under way around them; gives their sums to the collector,
//! row by row, and returns for every other call that it needs a record. After a certain number of calls of a function
//! below one caller, further ones and all that they call share rows. Always holds: a caller that is named by a row of
//! its own callee, or may be, is no part of a shared row, so that no row names a caller without a row. The file does
//! not know the ring.
//!
//! Span ids of a thread grow, so one of them divides its calls: the calls up to the *mark* have a row of their own, or
//! will have one. Calls that began after the mark have had no callee with a row. The mark moves to the newest span
//! whenever a record is made, and whenever calls under way may get callees elsewhere.

use super::fold_slot::{FoldSlot, SharedCalls};
use crate::record::Header;
use crate::sync::{AtomicU64, Ordering};

/// The rows of a thread that are being summed up.
#[derive(Debug)]
pub(crate) struct Bursts {
    slots: [Slot; SLOTS],
    /// The span up to which calls have a row of their own.
    mark: AtomicU64,
    /// The number of uses of slots, which shows the slot that was not used for longest.
    uses: AtomicU64,
}

/// A shared row. Only the owner uses the fields other than `shared`.
#[derive(Debug)]
struct Slot {
    shared: FoldSlot,
    /// The number of calls of the function below the caller, with and without a record, since the slot was given to
    /// them.
    seen: AtomicU64,
    /// The start of the first call that `seen` counts.
    since: AtomicU64,
    /// The value of `Bursts::uses` when the slot was used last.
    used: AtomicU64,
}

/// The number of rows that a thread sums up at a time: the functions of a deep tree of calls. Their memory is 5 KiB.
const SLOTS: usize = 32;
/// The number of calls of one kind after which their rate shows whether they are a burst or a function that is called
/// all the time.
const HOT_CALLS: u64 = 1 << 16;

/// The treatment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folded {
    /// The call needs a record of its own.
    No,
    /// The call shares a row.
    Yes,
    /// The call shares a row, with very many others. It began this many ticks after the first of this many calls.
    Often { calls: u64, ticks: u64 },
}

impl Bursts {
    /// Returns an empty table. The calls up to this span have rows of their own.
    pub(crate) fn new(last_span: u64) -> Self {
        let slots = std::array::from_fn(|_| Slot::new());
        Self { slots, mark: AtomicU64::new(last_span), uses: AtomicU64::new(0) }
    }

    /// Owner: notes that the calls up to this span have a row of their own, or will have one.
    pub(crate) fn set_mark(&self, last_span: u64) {
        // Publishes the slots to the acquire in `read`: a slot whose caller is below the mark stays that caller's.
        self.mark.store(last_span, Ordering::Release);
    }

    /// Owner: adds a call to those that share a row, if it may. `under_way` are function and span of the calls around it
    /// on the thread's stack, the innermost first. `after` is the number of calls that have a record each before others
    /// share a row. `count` counts the call if it shares one, before the call is added: the collector reads the sums
    /// before the counters, so that it never finds more calls in rows than were counted.
    pub(crate) fn fold(
        &self,
        call: &Header,
        thread: u32,
        after: u64,
        under_way: impl Iterator<Item = (u32, u64)>,
        count: impl FnOnce(),
    ) -> Folded {
        let Some(slot) = self.find_or_make(call) else { return Folded::No };
        let seen = slot.seen.load(Ordering::Relaxed) + 1;
        slot.seen.store(seen, Ordering::Relaxed);
        let mark = self.mark.load(Ordering::Relaxed);
        let mut under_way = under_way.peekable();
        let is_here = under_way.peek().is_some_and(|(_, span)| *span == call.parent);
        if !began_after(call.span, mark) || began_after(call.parent, mark) && !is_here {
            return Folded::No;
        }
        // The first `after + 1` calls leave records. The last of these also begins the shared row, which therefore has
        // arguments.
        if seen <= after + 1 && !(is_here && self.is_below_many(call.trace, mark, after, under_way)) {
            return Folded::No;
        }
        count();
        slot.shared.add(&SharedCalls {
            thread,
            trace: call.trace,
            span: call.span,
            start: call.start,
            end: call.start.wrapping_add(call.duration),
            calls: 1,
            total: call.duration,
            longest: call.duration,
            busy: if call.is_async { call.busy } else { call.duration },
            weight: f64::from(call.weight),
            ..SharedCalls::default()
        });
        self.move_callees(call.span, slot.shared.get().span);
        if seen.is_multiple_of(HOT_CALLS) {
            let ticks = call.start.wrapping_sub(slot.since.load(Ordering::Relaxed));
            return Folded::Often { calls: seen, ticks };
        }
        Folded::Yes
    }

    /// Owner: returns true if calls share a row below this call.
    pub(crate) fn has_callees(&self, span: u64) -> bool {
        self.slots.iter().any(|slot| slot.shared.parent() == span && slot.shared.get().calls > 0)
    }

    /// Returns true if one of the calls under way will share a row, because enough calls of its kind have ended.
    fn is_below_many(
        &self,
        trace: u64,
        mark: u64,
        after: u64,
        under_way: impl Iterator<Item = (u32, u64)>,
    ) -> bool {
        let mut under_way = under_way.peekable();
        while let Some((site, span)) = under_way.next() {
            if !began_after(span, mark) {
                return false;
            }
            let parent = under_way.peek().map(|(_, span)| *span);
            let is_its = |slot: &&Slot| match parent {
                Some(parent) => slot.shared.is_for(site, parent),
                // The caller is on another thread's stack.
                None => slot.shared.is_for(site, slot.shared.parent()) && slot.shared.get().trace == trace,
            };
            let mut slots = self.slots.iter().filter(is_its);
            if slots.any(|slot| slot.seen.load(Ordering::Relaxed) > after) {
                return true;
            }
        }
        false
    }

    /// Returns the slot of the calls of this function below this caller. If there is none, gives these calls the slot
    /// that was not used for longest among the slots that hold nothing.
    fn find_or_make(&self, call: &Header) -> Option<&Slot> {
        let used = self.uses.load(Ordering::Relaxed) + 1;
        self.uses.store(used, Ordering::Relaxed);
        let found = self.slots.iter().find(|slot| slot.shared.is_for(call.site, call.parent));
        if let Some(slot) = found {
            slot.used.store(used, Ordering::Relaxed);
            return Some(slot);
        }
        let free = self.slots.iter().filter(|slot| slot.is_free());
        let slot = free.min_by_key(|slot| slot.used.load(Ordering::Relaxed))?;
        slot.give(&SharedCalls {
            site: call.site,
            parent: call.parent,
            trace: call.trace,
            ..SharedCalls::default()
        });
        slot.used.store(used, Ordering::Relaxed);
        slot.since.store(call.start, Ordering::Relaxed);
        Some(slot)
    }

    /// Moves the callees of a call that now shares a row: they are then below that row, whose first call has the span
    /// `to`.
    fn move_callees(&self, from: u64, to: u64) {
        for slot in self.slots.iter().filter(|slot| slot.shared.parent() == from) {
            let callees = slot.shared.get();
            if callees.calls == 0 {
                slot.give(&SharedCalls::default());
                continue;
            }
            let others = self.slots.iter().find(|other| other.shared.is_for(callees.site, to));
            match others.filter(|_| from != to) {
                Some(others) => {
                    others.shared.add(&callees);
                    slot.give(&SharedCalls::default());
                    self.move_callees(callees.span, others.shared.get().span);
                }
                None => slot.shared.put(&SharedCalls { parent: to, is_below: true, ..callees }),
            }
        }
    }

    /// Collector: returns the calls in slots that have not been taken: the number of the slot, the calls, and their
    /// version. A slot is left out while it is not yet known whether its caller will have a row of its own or share
    /// one, unless `are_callers_ended`, because every caller then has a row. `is_new` decides whether a version of a slot is to be taken. Calls for which there is no memory are read
    /// with a later drain.
    pub(crate) fn read(
        &self,
        are_callers_ended: bool,
        mut is_new: impl FnMut(usize, u64) -> bool,
    ) -> Vec<(usize, SharedCalls, u64)> {
        // Observes the slots as they were when the mark moved: the release in `set_mark`.
        let mark = self.mark.load(Ordering::Acquire);
        let mut found = Vec::new();
        for (place, slot) in self.slots.iter().enumerate() {
            let read = (0..READS_MAX).find_map(|_| slot.shared.read());
            let Some((calls, version)) = read else { continue };
            let is_ready = calls.calls > 0
                && is_new(place, version)
                && (calls.is_below || are_callers_ended || !began_after(calls.parent, mark));
            if is_ready && found.try_reserve(1).is_ok() {
                found.push((place, calls, version));
            }
        }
        found
    }

    /// Collector: notes that the calls of this version of a slot are taken.
    pub(crate) fn note_taken(&self, place: usize, version: u64) {
        if let Some(slot) = self.slots.get(place) {
            slot.shared.note_taken(version);
        }
    }
}

impl Slot {
    fn new() -> Self {
        let [seen, since, used] = [0; 3].map(AtomicU64::new);
        Self { shared: FoldSlot::new(), seen, since, used }
    }

    fn is_free(&self) -> bool {
        self.shared.is_taken() || self.shared.get().calls == 0
    }

    /// Gives the slot to other calls.
    fn give(&self, to: &SharedCalls) {
        self.shared.put(&SharedCalls { round: self.shared.get().round.wrapping_add(1), ..*to });
        self.seen.store(0, Ordering::Relaxed);
    }
}

/// The most times that the collector reads a slot while the slot is being changed. A change takes a few nanoseconds.
const READS_MAX: usize = 64;

/// Returns true if the call with this span began on the thread after the mark.
fn began_after(span: u64, mark: u64) -> bool {
    span >> 32 == mark >> 32 && span > mark
}
