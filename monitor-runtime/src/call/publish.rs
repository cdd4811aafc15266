//! The way of a record into a ring, and what is done where it finds no room there.

use std::sync::atomic::Ordering;

use crate::platform::clock::Ticks;
use crate::record::{HEADER_WORDS, Header, Outcome, Word, with_values};
use crate::ring::frames;
use crate::ring::spsc::Push;
use crate::site::{self, CallSite};
use crate::thread::state::ThreadState;
use crate::thread::tally::Unrecorded;

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
    let site = site::by_id(header.site);
    if is_late
        && thread.home.throttles.load(Ordering::Relaxed)
        && let Some(site) = site
    {
        site.brake();
        let root = frames::outermost(thread.page.words).and_then(site::by_id);
        root.inspect(|root| root.brake_with(site));
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
    match thread.tallies.get_or_make(site.id()) {
        Some(tally) => tally.count(outcome, reason, duration),
        None => {
            if let Some(tally) = thread.home.shared_tallies.get_or_make_unbounded(site.id()) {
                tally.count_shared(outcome, reason, duration);
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
    fn a_function_that_overruns_its_ring_is_braked_and_so_is_the_root_of_its_tree() {
        static ABOUT: Description = Description::new(|| "orders::place", "src/orders.rs", 1, &[], &[]);
        static ROOT: CallSite = CallSite::new(&ABOUT);
        static CALLEE: CallSite = CallSite::new(&ABOUT);
        let (overflow, _taken) = crossbeam_channel::unbounded();
        let rings = ThreadPool::new(1 << 20, 1 << 40, CaptureMode::All, overflow, Memory::on_heap(None));
        let rings: &'static ThreadPool = Box::leak(Box::new(rings));
        rings.home.throttles.store(true, Ordering::Relaxed);
        for site in [&ROOT, &CALLEE] {
            site.register();
            site.ask(1.0, Source::Default);
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
