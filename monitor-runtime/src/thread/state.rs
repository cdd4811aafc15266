//! The state that a thread records with: its current span, its rings, its tallies.
//!
//! Takes the records of one thread; gives them to the collector through the thread's rings. Every field is atomic, and
//! only the owning thread writes, by plain loads and stores without read-modify-write. A state does not know how a
//! thread finds it, nor what a call is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::sync::{Mutex, OnceLock};

use super::bursts::Bursts;
use super::countdown::Countdowns;
use super::home::Home;
use super::placed_ring::{Page, PlacedRing, Reserve};
use super::tally::{Table, Tallies, Tally};
use crate::capture::Writer;
use crate::config::CaptureMode;
use crate::platform::clock::Ticks;
use crate::record::{HEADER_WORDS, Word, encode_thread};
use crate::ring::frames;
use crate::ring::layout::{Kind, ring as layout};
use crate::ring::panics;
use crate::ring::spsc::{Push, Ring};
use crate::ring::suspended::SpareSlots;

/// A thread's writer of captured values. The values of the calls under way lie before its position.
pub(crate) type ScratchWriter = &'static mut Writer<'static>;

/// The current span where no call is current.
pub(crate) const NO_SPAN: u64 = 0;
/// The current span while the recorder runs user code to capture a value: calls pass through. This value, [`WRITING`]
/// and [`INTERLEAVED`] are never the span of a call, because no span id has their upper half (`record::span_prefix`).
pub(crate) const SUPPRESSED: u64 = u64::MAX;
/// The current span while the recorder writes a record: calls that interrupt it pass
/// through, and are counted as `dropped_passed`.
pub(crate) const WRITING: u64 = u64::MAX - 1;
/// The current span on a thread on which stackful coroutines have been seen to interleave their calls: the caller of a
/// new call is not known, so the call has no parent.
pub(crate) const INTERLEAVED: u64 = u64::MAX - 2;

/// The state that a thread records with. The fields that every call reads come first, in one cache line and the next
/// word.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct ThreadState {
    /// The current call: its span id, with [`NOT_KEPT`] if its tree is not kept, [`NO_SPAN`] or [`SUPPRESSED`].
    pub(crate) current: AtomicU64,
    /// The span of the current call's root; meaningless while no call is current.
    pub(crate) trace: AtomicU64,
    /// The weight of the current call, as the bits of an `f32`.
    pub(crate) weight: AtomicU32,
    /// The values that are captured; fixed when the runtime starts.
    pub(crate) captures: CaptureMode,
    pub(super) last_span: AtomicU64,
    pub(crate) ring: Ring,
    /// The control page before the ring's words.
    pub(crate) page: Page,
    /// The ticks of all timed calls that ended on this thread, except those within another of these calls. The growth
    /// of this sum while a call is under way is the time of its callees.
    pub(crate) callee_ticks: AtomicU64,
    /// The functions with a call under way on this thread, a bit for each: see [`bit_of`].
    pub(crate) under_way: AtomicU64,
    /// The number of values that panicked while they were captured.
    pub(crate) capture_panics: AtomicU32,
    pub(crate) random: AtomicU64,
    /// The free slots for calls in flight that the thread keeps.
    pub(crate) spare_slots: SpareSlots,
    /// The spans that began on threads with this state, and those that ended.
    pub(crate) spans_begun: AtomicU64,
    pub(crate) spans_ended: AtomicU64,
    pub(crate) thread_id: AtomicU32,
    /// The second ring, which takes records from a burst that fills the first until it is drained; present from the
    /// first burst on.
    pub(super) burst: OnceLock<PlacedRing>,
    /// The memory of the ring, part of which may not be ready yet.
    pub(super) reserve: Reserve,
    /// True while records go to `burst`.
    pub(super) bursting: AtomicBool,
    /// True if the ring that records go to does not yet name the thread that they are from.
    pub(super) unintroduced: AtomicBool,
    /// The rows that calls share while the ring is filling up; present once the ring has filled up for the first time.
    pub(crate) bursts: OnceLock<Box<Bursts>>,
    /// True while calls share rows because the ring is filling up. The owner reads and writes it.
    pub(super) is_folding: AtomicBool,
    pub(crate) countdowns: Countdowns,
    pub(crate) tallies: Tallies,
    /// True if there is a scratch writer, here or with the owner.
    pub(crate) has_scratch: AtomicBool,
    /// The scratch writer, while the state has no owner.
    pub(crate) scratch: Mutex<Option<ScratchWriter>>,
    pub(crate) home: &'static Home,
    /// The place of this state among all states.
    pub(super) index: usize,
}

impl ThreadState {
    /// Returns the next span id; `None` if the thread needs a new prefix for it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn next_span_of_prefix(&self) -> Option<u64> {
        let span = self.last_span.load(Ordering::Relaxed) + 1;
        if span & SPAN_MASK == 0 {
            return None;
        }
        self.last_span.store(span, Ordering::Relaxed);
        Some(span)
    }

    /// Returns the span id that the thread used last.
    #[inline]
    pub(crate) fn last_span(&self) -> u64 {
        self.last_span.load(Ordering::Relaxed)
    }

    /// Returns the next span id.
    #[inline]
    pub(crate) fn next_span(&self) -> u64 {
        self.next_span_of_prefix().unwrap_or_else(|| self.next_span_of_new_prefix())
    }

    /// Writes a panic of this thread, whose hook begins to run.
    pub(crate) fn note_panic(&self, at: Ticks, is_main: bool, text: &str) {
        let thread = self.thread_id.load(Ordering::Relaxed);
        let last = (thread, self.last_span.load(Ordering::Relaxed));
        panics::note(self.panic_words(), at, last, is_main, text);
    }

    /// Notes that a panic unwinds through a call of this thread now.
    pub(crate) fn note_unwinding(&self) {
        let thread = self.thread_id.load(Ordering::Relaxed);
        panics::note_unwinding(self.panic_words(), thread, self.last_span.load(Ordering::Relaxed));
    }

    /// Notes the end of the thread.
    pub(super) fn note_thread_end(&self) {
        let thread = self.thread_id.load(Ordering::Relaxed);
        panics::note_thread_end(self.panic_words(), thread, self.last_span.load(Ordering::Relaxed));
    }

    /// Returns the words for the last panic of the thread.
    pub(crate) fn panic_words(&self) -> &'static [AtomicU64] {
        &self.page.words[layout::PANIC..]
    }

    /// Counts values that panicked while being captured.
    #[inline]
    pub(crate) fn add_capture_panics(&self, panics: u32) {
        if panics > 0 {
            let before = self.capture_panics.load(Ordering::Relaxed);
            self.capture_panics.store(before.wrapping_add(panics), Ordering::Relaxed);
        }
    }

    /// Gives the thread a new prefix, because it has used all 2^32 span ids of its last one. Returns the first span id
    /// with the new prefix.
    #[cold]
    fn next_span_of_new_prefix(&self) -> u64 {
        let name = std::thread::current().name().map(str::to_owned);
        self.introduce(name);
        self.next_span()
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn weight(&self) -> f32 {
        f32::from_bits(self.weight.load(Ordering::Relaxed))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn set_weight(&self, weight: f32) {
        self.weight.store(weight.to_bits(), Ordering::Relaxed);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn set_current(&self, span: u64) {
        self.current.store(span, Ordering::Relaxed);
    }

    /// Makes monitored calls that interrupt this thread, in a signal handler, pass through, because a record is
    /// being written. Ends with [`Self::restore`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn suppress(&self) {
        self.set_current(WRITING);
        compiler_fence(Ordering::SeqCst);
    }

    /// Notes that calls of coroutines interleave on this thread, until another thread owns the state.
    pub(crate) fn begin_interleaving(&self) {
        self.under_way.store(0, Ordering::Relaxed);
        self.restore(INTERLEAVED);
    }

    /// Ends what [`Self::suppress`] began, and makes this span current.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn restore(&self, span: u64) {
        compiler_fence(Ordering::SeqCst);
        self.set_current(span);
    }
}

impl ThreadState {
    /// Pushes a record into the usual ring, or into the ring for bursts while the usual one is full. A word at the
    /// start of each run of records names the thread that they are from.
    pub(crate) fn push(&self, header: &[u64; HEADER_WORDS], values: &[Word]) -> Push {
        if self.bursting.load(Ordering::Relaxed) && self.burst_pending() == 0 {
            self.bursting.store(false, Ordering::Relaxed);
            self.unintroduced.store(true, Ordering::Relaxed);
        }
        if self.unintroduced.load(Ordering::Relaxed) && !self.push_introduction() {
            return Push::Full;
        }
        if self.bursting.load(Ordering::Relaxed)
            && let Some(burst) = self.burst.get()
        {
            return burst.reserve.push(&burst.ring, &self.home.memory, header, values);
        }
        let push = self.reserve.push(&self.ring, &self.home.memory, header, values);
        if push != Push::Full {
            // After the rings were drained and closed, the first record comes this way, even if it is one of a burst.
            self.home.wake_sleeper();
            return push;
        }
        let Some(burst) = self.burst_ring().or_else(|| self.take_burst_ring()) else { return push };
        self.bursting.store(true, Ordering::Relaxed);
        self.ring.close();
        if self.push_introduction() { burst.push(header, values) } else { Push::Full }
    }

    /// Returns the thread's tally of a function, made on first use; `None` for want of memory or beyond the bound.
    #[inline]
    pub(crate) fn tally(&self, site: u32) -> Option<Tally> {
        let take = |block, words| self.home.take_table(Kind::Tallies, block, words);
        self.tallies.get_or_make(site, take, self.home.accountant)
    }

    /// Returns a function that takes the memory for a table of countdowns.
    pub(super) fn take_countdowns(&self) -> impl FnOnce(u32, usize) -> Option<Table> {
        |table, words| self.home.take_table(Kind::Countdowns, (self.index as u32) << 8 | table, words)
    }

    /// Makes all memory of the rings usable.
    pub(crate) fn complete_rings(&self) {
        self.reserve.complete(&self.ring, &self.home.memory);
        if let Some(burst) = self.burst.get() {
            burst.reserve.complete(&burst.ring, &self.home.memory);
        }
    }

    /// Takes a ring for bursts, if a spare one is ready. Making one would take longer than a call should.
    fn take_burst_ring(&self) -> Option<&Ring> {
        let placed = self.home.spare_bursts.try_lock().ok()?.pop()?;
        Some(&self.burst.get_or_init(|| placed).ring)
    }

    /// Returns the rings in the order in which their records are to be read: records in the ring for bursts are
    /// younger than those in the usual ring.
    pub(crate) fn rings(&self) -> impl Iterator<Item = (Page, &Ring)> {
        let burst = self.burst.get().map(|burst| (burst.page, &burst.ring));
        [Some((self.page, &self.ring)), burst].into_iter().flatten()
    }

    fn burst_ring(&self) -> Option<&Ring> {
        self.burst.get().map(|burst| &burst.ring)
    }

    pub(super) fn current_ring(&self) -> &Ring {
        self.burst_ring().filter(|_| self.bursting.load(Ordering::Relaxed)).unwrap_or(&self.ring)
    }

    /// Gives the state a new thread id and span prefix, and names the thread in its ring.
    pub(super) fn introduce(&self, name: Option<String>) {
        let (id, prefix) = self.home.introduce_thread(name);
        self.page.words[layout::THREAD].store(u64::from(id), Ordering::Relaxed);
        self.thread_id.store(id, Ordering::Relaxed);
        self.last_span.store(u64::from(prefix) << 32, Ordering::Relaxed);
        self.keep_rows_under_way();
        self.random.store(u64::from(prefix) << 32 | u64::from(id) | 1, Ordering::Relaxed);
        self.push_introduction();
    }

    /// Pushes the word that names the thread whose records follow. Returns false if there is no room for it; the ring
    /// is then closed, so that the next record takes the slow path, which pushes this word first.
    fn push_introduction(&self) -> bool {
        let introduction = encode_thread(self.thread_id.load(Ordering::Relaxed));
        let introduced = self.current_ring().push_word(introduction) != Push::Full;
        self.unintroduced.store(!introduced, Ordering::Relaxed);
        if !introduced {
            self.ring.close();
        }
        introduced
    }

    fn burst_pending(&self) -> usize {
        self.burst_ring().map_or(0, Ring::pending)
    }

    /// Returns the number of words that wait to be drained.
    pub(crate) fn pending(&self) -> usize {
        self.ring.pending() + self.burst_pending()
    }

    /// Returns true if more than a quarter of a ring waits, so that the collector should do nothing but drain.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pending() > self.ring.capacity() / 4
    }
}

const SPAN_MASK: u64 = u32::MAX as u64;

/// Returns true for a current span that is neither a call's nor [`NO_SPAN`].
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) const fn is_reserved(current: u64) -> bool {
    current >= INTERLEAVED
}

/// Returns true for the current span of a call that is kept, and where no call is current.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) const fn is_none_or_kept(current: u64) -> bool {
    // A span of a tree that is not kept is negative, and so is a reserved one.
    current.cast_signed() >= 0
}

/// Returns the bit of a function among those under way on a thread. Functions share bits, so a bit that is set says that
/// the frames are worth a search.
#[cfg_attr(not(debug_assertions), inline(always))]
const fn bit_of(site: u32) -> u64 {
    1 << (site & (u64::BITS - 1))
}

/// The part of a thread's state that a timed call changes while it is under way, as it was before the call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallerState {
    callee_ticks: u64,
    under_way: u64,
}

impl CallerState {
    /// Notes that a call of this function begins.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn enter(thread: &ThreadState, site: u32) -> Self {
        let under_way = thread.under_way.load(Ordering::Relaxed);
        thread.under_way.store(under_way | bit_of(site), Ordering::Relaxed);
        Self { callee_ticks: thread.callee_ticks.load(Ordering::Relaxed), under_way }
    }

    /// Returns the words from which [`Self::from_words`] restores this state.
    #[inline]
    pub(crate) const fn to_words(self) -> [u64; 2] {
        [self.callee_ticks, self.under_way]
    }

    #[inline]
    pub(crate) const fn from_words([callee_ticks, under_way]: [u64; 2]) -> Self {
        Self { callee_ticks, under_way }
    }

    /// Restores what [`Self::enter`] found, at the end of a call or a poll that took this many ticks. Returns the part
    /// of these ticks that was spent in callees.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn leave(self, thread: &ThreadState, ticks: Ticks) -> Ticks {
        let callees = thread.callee_ticks.load(Ordering::Relaxed).wrapping_sub(self.callee_ticks);
        thread.callee_ticks.store(self.callee_ticks.wrapping_add(ticks), Ordering::Relaxed);
        thread.under_way.store(self.under_way, Ordering::Relaxed);
        callees
    }

    /// Restores which functions are under way, for a poll that unwinds.
    #[inline]
    pub(crate) fn restore(self, thread: &ThreadState) {
        thread.under_way.store(self.under_way, Ordering::Relaxed);
    }

    /// Returns true if another call of this function was under way around the call, whose frame must have been popped
    /// already.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_nested(self, thread: &ThreadState, site: u32) -> bool {
        self.may_be_nested(site) && frames::holds(thread.page.words, site)
    }

    /// Returns false if certainly no other call of this function was under way around the call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn may_be_nested(self, site: u32) -> bool {
        self.under_way & bit_of(site) != 0
    }
}
