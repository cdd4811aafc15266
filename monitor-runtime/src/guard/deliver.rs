//! The way of a record into a ring, and what is done where it finds no room there.

use std::sync::atomic::Ordering;

use crate::call_site::CallSite;
use crate::clock::Ticks;
use crate::frames;
use crate::record::{HEADER_WORDS, Header, Outcome, Word};
use crate::ring::Push;
use crate::tally::Unrecorded;
use crate::thread_rings::ThreadState;

/// Puts a record into the ring.
pub(crate) fn deliver(thread: &'static ThreadState, header: &[u64; HEADER_WORDS], values: &[Word]) {
    match thread.ring.room(values.len()) {
        Some(room) => room.write(*header, values),
        None => deliver_slowly(thread, header, values),
    }
}

/// A push that found the ring at a limit. Where there is no room in any ring, an `ok` call is counted
/// as lost, and a failed one goes around it; where that way is full too, it is counted to be folded.
#[cold]
#[inline(never)]
pub(super) fn deliver_slowly(thread: &'static ThreadState, words: &[u64; HEADER_WORDS], values: &[Word]) {
    let push = thread.push(words, values);
    if push == Push::Written {
        return;
    }
    let is_late = thread.home.wake();
    let header = Header::decode(words);
    if is_late
        && thread.home.brakes.load(Ordering::Relaxed)
        && let Some(site) = crate::call_site::by_id(header.site)
    {
        site.brake();
        let root = frames::outermost(thread.page.words).and_then(crate::call_site::by_id);
        root.inspect(|root| root.brake_with(site));
    }
    if push != Push::Full {
        return;
    }
    let failed = header.outcome != Outcome::Ok;
    if failed && thread.home.give_overflow(thread, crate::record::with_values(words, values)) {
        return;
    }
    if let Some(site) = crate::call_site::by_id(header.site) {
        let has_ring = thread.ring.capacity() >= HEADER_WORDS;
        let reason = match (failed, has_ring) {
            (true, _) => Unrecorded::Folded,
            (false, true) => Unrecorded::RingFull,
            (false, false) => Unrecorded::NoRing,
        };
        count(thread, site, header.outcome, reason, header.duration);
    }
}

/// Counts a call that leaves no record.
pub(crate) fn count(
    thread: &ThreadState,
    site: &CallSite,
    outcome: Outcome,
    reason: Unrecorded,
    duration: Ticks,
) {
    match thread.tallies.of(site.id()) {
        Some(tally) => tally.count(outcome, reason, duration),
        None => {
            if let Some(tally) = thread.home.shared_tallies.of_unbounded(site.id()) {
                tally.count_shared(outcome, reason, duration);
            }
        }
    }
}
