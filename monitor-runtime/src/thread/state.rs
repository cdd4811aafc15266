//! What a thread records with: its span, its rings, its tallies. Everything in it is atomic, and the owner uses
//! plain loads and stores.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::sync::{Mutex, OnceLock};

use super::pool::ThreadRings;
use crate::config::CaptureMode;
use crate::record::{HEADER_WORDS, Word, encode_thread};
use crate::ring::layout::ring as layout;
use crate::ring::memory::Memory;
use crate::ring::spsc::{Push, Ring};
use crate::thread::countdown::Countdowns;
use crate::thread::scratch::Arena;
use crate::thread::tally::Tallies;

/// No call is current.
pub(crate) const NO_SPAN: u64 = 0;
/// The current call, or one above it, was not drawn: its callees are not either.
pub(crate) const UNSAMPLED: u64 = 1;
/// The recorder runs user code to capture a value: calls pass through.
pub(crate) const SUPPRESSED: u64 = 2;
/// Span ids lie above this.
pub(crate) const RESERVED_SPANS: u64 = 2;

/// What a thread records with. What every call looks at comes first, in one cache line and the next word.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct ThreadState {
    /// The current call: its span id, or one of the reserved values.
    pub(crate) current: AtomicU64,
    /// The root of the current call; of no meaning while there is none.
    pub(crate) trace: AtomicU64,
    /// Weight of the current call, as bits of an f32.
    pub(crate) weight: AtomicU32,
    /// Which values are captured: fixed when the runtime starts.
    pub(crate) captures: CaptureMode,
    pub(super) last_span: AtomicU64,
    pub(crate) ring: Ring,
    /// The page before the ring's words.
    pub(crate) page: Page,
    /// Values that panicked while being captured.
    pub(crate) capture_panics: AtomicU32,
    pub(crate) random: AtomicU64,
    pub(crate) thread_id: AtomicU32,
    /// Takes what the ring has no room for, until it has been drained; had from the first burst on.
    pub(super) burst: OnceLock<Placed>,
    /// What of the ring's memory is not ready yet.
    pub(super) rest: Rest,
    /// Whether records go to `burst`.
    pub(super) bursting: AtomicBool,
    /// Whether the ring that records go to does not say yet which thread they are from.
    pub(super) unintroduced: AtomicBool,
    pub(crate) countdowns: Countdowns,
    pub(crate) tallies: Tallies,
    /// Whether there is an arena, here or in the owner's hands.
    pub(crate) has_arena: AtomicBool,
    /// The arena, while the state has no owner.
    pub(crate) arena: Mutex<Option<Arena>>,
    pub(crate) home: &'static ThreadRings,
}

impl ThreadState {
    /// The next span id, unless the thread needs a new prefix for it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn span_at_hand(&self) -> Option<u64> {
        let span = self.last_span.load(Ordering::Relaxed) + 1;
        if span & SPAN_MASK == 0 {
            return None;
        }
        self.last_span.store(span, Ordering::Relaxed);
        Some(span)
    }

    /// The next span id.
    #[inline]
    pub(crate) fn next_span(&self) -> u64 {
        self.span_at_hand().unwrap_or_else(|| self.next_prefix())
    }

    /// Counts values that panicked while being captured.
    #[inline]
    pub(crate) fn add_capture_panics(&self, panics: u32) {
        if panics > 0 {
            let before = self.capture_panics.load(Ordering::Relaxed);
            self.capture_panics.store(before.wrapping_add(panics), Ordering::Relaxed);
        }
    }

    /// Four thousand million calls later: the thread goes on under a new prefix.
    #[cold]
    fn next_prefix(&self) -> u64 {
        let name = std::thread::current().name().map(str::to_owned);
        self.home.introduce(self, name);
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

    /// From here on what interrupts this thread, a signal handler that makes monitored calls, passes through:
    /// a record is being written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn suppress(&self) {
        self.set_current(SUPPRESSED);
        compiler_fence(Ordering::SeqCst);
    }

    /// The end of what [`Self::suppress`] began: this is current again.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn restore(&self, span: u64) {
        compiler_fence(Ordering::SeqCst);
        self.set_current(span);
    }
}

impl ThreadState {
    /// Puts a record into a ring: the usual one, or while that is full the one for bursts. Each says at
    /// the start of its run which thread it is from.
    pub(crate) fn push(&self, header: &[u64; HEADER_WORDS], values: &[Word]) -> Push {
        if self.bursting.load(Ordering::Relaxed) && self.burst_pending() == 0 {
            self.bursting.store(false, Ordering::Relaxed);
            self.unintroduced.store(true, Ordering::Relaxed);
        }
        if self.unintroduced.load(Ordering::Relaxed) && !self.introduce() {
            return Push::Full;
        }
        if self.bursting.load(Ordering::Relaxed)
            && let Some(burst) = self.burst.get()
        {
            return self.push_to(&burst.ring, &burst.rest, header, values);
        }
        let push = self.push_to(&self.ring, &self.rest, header, values);
        if push != Push::Full {
            return push;
        }
        let Some(burst) = self.burst_ring().or_else(|| self.first_burst()) else { return push };
        self.bursting.store(true, Ordering::Relaxed);
        self.ring.close();
        if self.introduce() { burst.push(header, values) } else { Push::Full }
    }

    fn push_to(&self, ring: &Ring, rest: &Rest, header: &[u64; HEADER_WORDS], values: &[Word]) -> Push {
        let push = ring.push(header, values);
        let again = push == Push::Full && rest.complete(ring, &self.home.memory);
        if again { ring.push(header, values) } else { push }
    }

    /// Makes all of its rings' memory fit to be used.
    pub(crate) fn complete_rings(&self) {
        self.rest.complete(&self.ring, &self.home.memory);
        if let Some(burst) = self.burst.get() {
            burst.rest.complete(&burst.ring, &self.home.memory);
        }
    }

    /// A ring for bursts, if one lies ready: making one takes longer than a call should.
    fn first_burst(&self) -> Option<&Ring> {
        let placed = self.home.spares.try_lock().ok()?.pop()?;
        Some(&self.burst.get_or_init(|| placed).ring)
    }

    /// Its rings, in the order in which their records are to be read: what is in the one for bursts is
    /// younger than what is in the other.
    pub(crate) fn rings(&self) -> impl Iterator<Item = (Page, &Ring)> {
        let burst = self.burst.get().map(|burst| (burst.page, &burst.ring));
        [Some((self.page, &self.ring)), burst].into_iter().flatten()
    }

    fn burst_ring(&self) -> Option<&Ring> {
        self.burst.get().map(|burst| &burst.ring)
    }

    fn current_ring(&self) -> &Ring {
        self.burst_ring().filter(|_| self.bursting.load(Ordering::Relaxed)).unwrap_or(&self.ring)
    }

    /// Says in the ring whose records follow. Where there is no room for that, there is none for a
    /// record either: the next push has to say it first, and takes the way that knows that.
    pub(super) fn introduce(&self) -> bool {
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

    /// Words that wait to be drained.
    pub(crate) fn pending(&self) -> usize {
        self.ring.pending() + self.burst_pending()
    }

    /// Whether so much waits that the collector should do nothing else now.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pending() > self.ring.capacity() / 4
    }
}

/// The control page of a ring, and its number in the ring file.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Page {
    pub(crate) words: &'static [AtomicU64; layout::CONTROL],
    pub(crate) id: u32,
}

/// A ring where it lies.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) page: Page,
    pub(super) ring: Ring,
    pub(super) rest: Rest,
}

/// Memory of a ring and its page, of which at first a part may be touched.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) block: &'static [AtomicU64],
    /// There is no room for more.
    pub(super) stays_small: AtomicBool,
}

impl Rest {
    /// Makes all of the ring fit to be used, where it is not yet; whether that was so, and has been done. Where
    /// there is no room for it, another ring takes what this one cannot.
    fn complete(&self, ring: &Ring, memory: &Memory) -> bool {
        if ring.is_complete() || self.stays_small.load(Ordering::Relaxed) {
            return false;
        }
        let has_room = memory.complete(self.block);
        if has_room {
            ring.complete();
        } else {
            self.stays_small.store(true, Ordering::Relaxed);
        }
        has_room
    }
}

const SPAN_MASK: u64 = u32::MAX as u64;
