//! The way of a record into a ring, and the handling of a record that finds no room there.
//!
//! Takes the header and the values of a call. Gives a record in a ring, or past it for a failure, or a count for a call
//! that leaves no record. Every call ends in exactly one of these. The file does not know how the call began.

use std::sync::atomic::Ordering;

use crate::record::{HEADER_WORDS, Header, Outcome, Word, with_values};
use crate::ring::frames;
use crate::ring::spsc::Push;
use crate::site::{self, CallSite};
use crate::thread::state::ThreadState;
use crate::thread::tally::{Spent, Unrecorded};

/// Writes a record into the thread's ring.
pub(crate) fn publish(thread: &'static ThreadState, header: &[u64; HEADER_WORDS], values: &[Word]) {
    match thread.ring.room(values.len()) {
        Some(room) => room.write(*header, values),
        None => publish_at_limit(thread, header, values),
    }
}

/// Publishes a record that found the ring at a limit. If there is no room in any ring, an `ok` call is counted as lost, and
/// a failed one is sent past the ring. If that way is full too, the failure is counted, and one row stands for it and
/// others.
#[cold]
#[inline(never)]
pub(super) fn publish_at_limit(thread: &'static ThreadState, words: &[u64; HEADER_WORDS], values: &[Word]) {
    let push = thread.push(words, values);
    if push == Push::Written {
        return;
    }
    let is_late = thread.home.wake();
    let behind = values.first().map(|word| u64::from_le_bytes(*word));
    let Some((header, _)) = Header::decode(words, behind.as_slice()) else { return };
    let site = site::by_id(header.site);
    if is_late
        && thread.home.throttles.load(Ordering::Relaxed)
        && let Some(site) = site
    {
        site.throttle();
        let root = frames::outermost(thread.page.words).and_then(site::by_id);
        root.inspect(|root| root.throttle_like(site));
    }
    if push != Push::Full {
        return;
    }
    let failed = header.outcome != Outcome::Ok;
    if failed
        && thread.home.overflow.send(thread.thread_id.load(Ordering::Relaxed), with_values(words, values))
    {
        return;
    }
    if let Some(site) = site {
        let has_ring = thread.ring.capacity() >= HEADER_WORDS;
        let reason = match (failed, has_ring) {
            (true, _) => Unrecorded::Folded,
            (false, true) => Unrecorded::RingFull,
            (false, false) => Unrecorded::NoRing,
        };
        let Header { duration, self_ticks, is_nested, .. } = header;
        let busy = if header.is_async { header.busy } else { duration };
        count(thread, site, header.outcome, reason, Spent { duration, self_ticks, busy, is_nested });
    }
}

/// Counts a call that leaves no record, in the thread's tally or in the one that threads share.
pub(crate) fn count(
    thread: &ThreadState,
    site: &CallSite,
    outcome: Outcome,
    reason: Unrecorded,
    spent: Spent,
) {
    match thread.tallies.get_or_make(site.id()) {
        Some(tally) => tally.count(outcome, reason, spent),
        None => {
            if let Some(tally) = thread.home.shared_tallies.get_or_make_unbounded(site.id()) {
                tally.count_shared(outcome, reason, spent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::CaptureMode;
    use crate::private::{Call, Slot};
    use crate::ring::memory::Memory;
    use crate::sampling::Source;
    use crate::site::Description;
    use crate::thread::pool::ThreadPool;

    #[test]
    fn a_function_that_overruns_its_ring_is_throttled_and_so_is_the_root_of_its_tree() {
        static ABOUT: Description = Description::new(|| "orders::place", "src/orders.rs", 1, &[], &[]);
        static ROOT: CallSite = CallSite::new(&ABOUT);
        static CALLEE: CallSite = CallSite::new(&ABOUT);
        let (overflow, _taken) = crossbeam_channel::unbounded();
        let rings = ThreadPool::new(1 << 20, 1 << 40, CaptureMode::All, overflow, Memory::on_heap(None));
        let rings: &'static ThreadPool = Box::leak(Box::new(rings));
        rings.home.throttles.store(true, Ordering::Relaxed);
        for site in [&ROOT, &CALLEE] {
            site.register();
            site.request(1.0, Source::Default);
        }
        let calls = move || {
            let (state, _) = rings.acquire().unwrap();
            let mut slot = Slot::empty();
            let mut root = Call::enter(&mut slot, &ROOT);
            for _ in 0..100_000 {
                Call::enter(&mut Slot::empty(), &CALLEE).ok();
            }
            root.ok();
            crate::thread::local::release(state);
        };
        std::thread::spawn(calls).join().unwrap();
        assert!(CALLEE.rate() < 1.0);
        assert_eq!(ROOT.rate().to_bits(), CALLEE.rate().to_bits());
    }
}
