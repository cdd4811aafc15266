//! The way of a record into a ring, and the handling of a record that finds no room there.
//!
//! Takes the header and the values of a call. Gives a record in a ring, a record of a failure that is sent past the
//! ring, or a count for a call that leaves no record. Every call ends in exactly one of these. The file does not know
//! how the call began.

use std::sync::atomic::Ordering;

use crate::platform::clock::ns_from_ticks;
use crate::record::{HEADER_WORDS, Header, Kept, Outcome, Word, place};
use crate::ring::frames;
use crate::ring::spsc::Push;
use crate::site::{self, CallSite};
use crate::thread::bursts::Folded;
use crate::thread::state::{NO_SPAN, ThreadState};
use crate::thread::tally::{Spent, Unrecorded};

/// Writes a record into the thread's ring.
pub(crate) fn publish(thread: &'static ThreadState, header: &[u64; HEADER_WORDS], values: &[Word]) {
    match thread.ring.room(values.len()) {
        Some(room) => room.write(*header, values),
        None => publish_at_limit(thread, header, values),
    }
}

/// Publishes a record that found the ring at a limit. A call that is one of many joins them in the row that they share.
/// If there is no room in any ring, an `ok` call is counted as lost, and a failed one is sent past the ring, as is a
/// call below which calls share a row. If there is no room past the ring either, the failure is counted, and one row
/// represents it and others of its kind.
#[cold]
#[inline(never)]
pub(super) fn publish_at_limit(thread: &'static ThreadState, words: &[u64; HEADER_WORDS], values: &[Word]) {
    // A record that shares no row is pushed before its header is decoded, because the compiler decodes by loads that are
    // wider than the stores that have just written the header. The processor then has to finish all earlier stores
    // first, and those into a ring for bursts miss the caches.
    if words[place::PARENT] != NO_SPAN && thread.may_fold_now() && share_row(thread, words, values) {
        return;
    }
    let push = thread.push(words, values);
    thread.note_record();
    // The ring reports only now and then that it fills up, so a ring that is nearly full is checked at every call.
    let is_nearly_full = thread.is_last_ring_nearly_full();
    if push != Push::Written || is_nearly_full {
        end_under_pressure(thread, words, values, push, is_nearly_full);
    }
}

/// Wakes the collector, because a ring fills up. Throttles the function if the collector is late, and finds another way
/// for a record that was not pushed.
#[cold]
#[inline(never)]
fn end_under_pressure(
    thread: &'static ThreadState,
    words: &[u64; HEADER_WORDS],
    values: &[Word],
    push: Push,
    is_nearly_full: bool,
) {
    let Some((header, site)) = decode(words, values) else { return };
    let is_late = thread.home.wake();
    // While calls share rows, the ring may fill up, except for the room that calls under way need when their functions
    // are throttled.
    let may_share = site.is_some_and(|site| thread.may_fold() && may_share_row(&header, site));
    let is_pressing = !may_share && !thread.is_folding();
    if is_late && (push == Push::Full || is_pressing || is_nearly_full) {
        site.inspect(|site| throttle(thread, site));
    }
    if push != Push::Full {
        return;
    }
    if !thread.is_folding() {
        thread.begin_folding();
    }
    let failed = header.outcome != Outcome::Ok;
    if (failed || thread.has_folded_callees(header.span)) && send(thread, &header, words, values) {
        return;
    }
    let has_ring = thread.ring.capacity() >= HEADER_WORDS;
    let reason = match (failed, has_ring) {
        (true, _) => Unrecorded::Folded,
        (false, true) => Unrecorded::RingFull,
        (false, false) => Unrecorded::NoRing,
    };
    if let Some(site) = site {
        count(thread, site, header.outcome, reason, spent(&header));
    }
}

/// Adds a call to those that share a row, if the call may share one. Returns true if it does.
#[inline(never)]
fn share_row(thread: &'static ThreadState, words: &[u64; HEADER_WORDS], values: &[Word]) -> bool {
    let Some((header, Some(site))) = decode(words, values) else { return false };
    if !may_share_row(&header, site) {
        return false;
    }
    let count_shared = || count(thread, site, header.outcome, Unrecorded::Shared, spent(&header));
    let folded = thread.fold(&header, count_shared);
    if is_hot(folded) {
        throttle(thread, site);
    }
    folded != Folded::No
}

/// Returns the header of a record, and the site of its call.
fn decode(words: &[u64; HEADER_WORDS], values: &[Word]) -> Option<(Header, Option<&'static CallSite>)> {
    let behind = values.first().map(|word| u64::from_le_bytes(*word));
    let (header, _) = Header::decode(words, behind.as_slice())?;
    Some((header, site::by_id(header.site)))
}

/// Sends a record past the ring. Returns false if there is no room there either. The call is also counted in a tally,
/// where the recovery of a dead process finds it, because the record itself is on the heap until the collector takes
/// it.
fn send(thread: &'static ThreadState, header: &Header, words: &[u64; HEADER_WORDS], values: &[Word]) -> bool {
    let Header { site, outcome, .. } = *header;
    let tally = thread.tally(site).or_else(|| thread.home.shared_tally(site));
    if let Some(tally) = tally {
        tally.count_sent(outcome, false);
    }
    let is_sent = thread.home.overflow.send(thread.thread_id.load(Ordering::Relaxed), words, values);
    if !is_sent && let Some(tally) = tally {
        tally.count_sent(outcome, true);
    }
    is_sent
}

/// Returns true if a call may share a row: a sampled `ok` call with a caller that was not slow. An async call that
/// waited may not, because calls on other threads may name it as their caller.
fn may_share_row(header: &Header, site: &CallSite) -> bool {
    header.outcome == Outcome::Ok
        && header.kept == Kept::Sampled
        && header.parent != NO_SPAN
        && header.duration < site.slow_ticks.load(Ordering::Relaxed)
        && (!header.is_async || header.busy == header.duration)
}

/// Returns true if calls that share a row come so fast that recording them costs more than the recorder may take, so
/// that they are no burst. A slower function is left to the ladder (`collect::ladder`), which examines functions once a
/// second.
fn is_hot(folded: Folded) -> bool {
    match folded {
        Folded::Often { calls, ticks } => ns_from_ticks(ticks) / calls.max(1) < HOT_NS,
        Folded::Yes | Folded::No => false,
    }
}

/// The mean time between calls of a function below which it is throttled: recording it takes some 3 % of a core.
const HOT_NS: u64 = 2_000;

/// Throttles a function whose calls come faster than they can be collected, and the root of its tree with it.
fn throttle(thread: &ThreadState, site: &CallSite) {
    if thread.home.throttles.load(Ordering::Relaxed) {
        site.throttle();
        let root = frames::outermost(thread.page.words).and_then(site::by_id);
        root.inspect(|root| root.throttle_like(site));
    }
}

/// Returns the times of a call that ended with this header.
fn spent(header: &Header) -> Spent {
    let Header { duration, self_ticks, is_nested, .. } = *header;
    let busy = if header.is_async { header.busy } else { duration };
    Spent { duration, self_ticks, busy, is_nested }
}

/// Counts a call that leaves no record, in the thread's tally or in the one that threads share.
pub(crate) fn count(
    thread: &ThreadState,
    site: &CallSite,
    outcome: Outcome,
    reason: Unrecorded,
    spent: Spent,
) {
    let accountant = thread.home.accountant;
    match thread.tally(site.id()) {
        Some(tally) => tally.count(outcome, reason, spent, accountant),
        None => {
            if let Some(tally) = thread.home.shared_tally(site.id()) {
                tally.count_shared(outcome, reason, spent, accountant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::accountant::Accountant;
    use crate::call::entered::RUNTIME;
    use crate::config::CaptureMode;
    use crate::private::{Call, Slot};
    use crate::record::{Record, decode};
    use crate::ring::memory::Memory;
    use crate::sampling::Source;
    use crate::site::Description;
    use crate::thread::pool::ThreadPool;
    use crate::thread::tally::REASONS;

    /// Functions whose calls fill the ring of one thread, and the state of that thread.
    fn sites(count: usize) -> (&'static ThreadPool, Vec<&'static CallSite>) {
        static ABOUT: Description = Description::new(|| "orders::place", "src/orders.rs", 1, &[], &[]);
        let (overflow, _taken) = crossbeam_channel::unbounded();
        let accountant = Box::leak(Box::new(Accountant::new(4 << 20)));
        let rings = ThreadPool::new(accountant, 1 << 40, CaptureMode::All, overflow, Memory::on_heap(None));
        rings.home.throttles.store(true, Ordering::Relaxed);
        rings.home.fold_after.store(64, Ordering::Relaxed);
        let site = |_| {
            let site: &'static CallSite = Box::leak(Box::new(CallSite::new(&ABOUT)));
            site.register();
            site.request(1.0, Source::Default);
            site
        };
        (Box::leak(Box::new(rings)), (0..count).map(site).collect())
    }

    /// Runs calls on a thread of these rings. Returns the thread's state.
    fn run(rings: &'static ThreadPool, calls: impl FnOnce() + Send) -> &'static ThreadState {
        let body = || {
            let (state, _) = rings.acquire().unwrap();
            calls();
            crate::thread::local::release(state);
            state
        };
        std::thread::scope(|scope| scope.spawn(body).join().unwrap())
    }

    fn call(site: &'static CallSite, body: impl FnOnce()) {
        let mut slot = Slot::empty();
        let mut call = Call::<RUNTIME>::enter(&mut slot, site);
        body();
        call.ok();
    }

    fn unrecorded(state: &ThreadState, site: &CallSite) -> [u64; REASONS] {
        state.tally(site.id()).unwrap().read().unrecorded()
    }

    #[test]
    fn a_function_that_overruns_its_ring_is_throttled_and_so_is_the_root_of_its_tree() {
        let (rings, sites) = sites(2);
        let (root, callee) = (sites[0], sites[1]);
        rings.home.fold_after.store(0, Ordering::Relaxed);
        run(rings, || call(root, || (0..100_000).for_each(|_| call(callee, || ()))));
        assert!(callee.rate() < 1.0);
        assert_eq!(root.rate().to_bits(), callee.rate().to_bits());
    }

    #[test]
    fn a_burst_below_one_caller_is_summed_up_on_its_thread_and_nobody_is_throttled() {
        const TIMES: u64 = 20_000;
        let (rings, sites) = sites(4);
        let [root, middle, leaf, other] = sites[..] else { unreachable!() };
        let state = run(rings, || {
            call(root, || {
                for time in 0..TIMES {
                    call(middle, || (0..2).for_each(|_| call(leaf, || ())));
                    if time % 1000 == 0 {
                        call(other, || ());
                    }
                }
            });
        });
        for site in [root, middle, leaf, other] {
            assert!(site.rate() >= 1.0, "{:?}", site.rate());
        }
        let [middles, leaves] =
            [middle, leaf].map(|site| unrecorded(state, site)[Unrecorded::Shared as usize]);
        let lost: u64 = [root, middle, leaf, other]
            .map(|site| unrecorded(state, site)[Unrecorded::RingFull as usize])
            .into_iter()
            .sum();
        assert_eq!(lost, 0);
        assert!(middles > TIMES / 2 && leaves > TIMES, "{middles} {leaves}");
        let mut read = state.bursts.get().unwrap().read(false, |_, _| true);
        read.retain(|(_, calls, _)| calls.calls > 0);
        let [of_middle, of_leaf] = [middle, leaf].map(|site| {
            let of_site: Vec<_> = read.iter().filter(|(_, calls, _)| calls.site == site.id()).collect();
            assert_eq!(of_site.len(), 1, "{read:?}");
            of_site[0].1
        });
        assert_eq!((of_middle.calls, of_leaf.calls), (middles, leaves));
        assert!(of_leaf.is_below && of_leaf.parent == of_middle.span, "{read:?}");
    }

    #[test]
    fn a_call_with_a_row_below_it_keeps_a_row_of_its_own() {
        let (rings, sites) = sites(3);
        let [root, middle, failing] = sites[..] else { unreachable!() };
        let state = run(rings, || {
            call(root, || {
                for time in 0..10_000 {
                    call(middle, || {
                        if time % 500 == 499 {
                            let mut slot = Slot::empty();
                            let mut failed = Call::<RUNTIME>::enter(&mut slot, failing);
                            if let Some((writer, last)) = failed.error() {
                                failed.end_with(writer, last);
                            }
                        }
                    });
                }
            });
        });
        let mut words = Vec::new();
        state.rings().for_each(|(_, ring)| ring.drain(|_, piece| piece.append_to(&mut words)));
        let (mut at, mut calls) = (0, Vec::new());
        while let Some((record, used)) = decode(&words[at..]) {
            if let Record::Call(header, ..) = record {
                calls.push(header);
            }
            at += used;
        }
        let failures: Vec<_> = calls.iter().filter(|call| call.site == failing.id()).collect();
        assert_eq!(failures.len(), 20);
        for failure in failures {
            assert!(calls.iter().any(|call| call.span == failure.parent), "{failure:?} has no caller");
        }
        assert!(unrecorded(state, middle)[Unrecorded::Shared as usize] > 5000);
    }
}
