//! The set of all threads' states: how a thread gets a state, and what happens to the state when the thread ends.
//!
//! Takes a thread's first monitored call; gives a `ThreadState`, which the thread then finds by itself (`local`). A
//! state has at most one owning thread at a time; it is never freed, only reused, so references to it hold for the
//! life of the process. The pool does not know what its threads record.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use crossbeam_channel::Sender;

use super::countdown::Countdowns;
use super::home::Home;
use super::local::{self, Lease};
use super::overflow::Overflow;
use super::placed_ring::{Page, PlacedRing, Reserve};
use super::ring_sizes::{READY_SHARE, RING_BYTES_NONE, WORD_BYTES, next_ring_bytes};
use super::state::{NO_SPAN, ThreadState};
use super::tally::Tallies;
use crate::accountant::{Accountant, Part};
use crate::config::CaptureMode;
use crate::limits;
use crate::platform::reentrancy::is_ours;
use crate::ring::layout::{Kind, PAGE_BYTES, ring as layout};
use crate::ring::memory::Memory;
use crate::ring::spsc::{self, Ring};
use crate::ring::suspended::SpareSlots;
use crate::sync::lock;

/// The set of all threads' states, and the memory that new ones take.
#[derive(Debug)]
pub(crate) struct ThreadPool {
    pub(crate) home: Home,
    all: Mutex<Vec<&'static ThreadState>>,
    /// Rings made in advance for future threads.
    ready: Mutex<Vec<PlacedRing>>,
    next_ring: AtomicU32,
    captures: CaptureMode,
}

/// The function that finds the set of this process's threads. `runtime` sets it at its first start. The child of a fork
/// inherits the function, which returns the child's own set there.
static PROCESS_THREADS: OnceLock<fn() -> Option<&'static ThreadPool>> = OnceLock::new();

/// Returns the set of this process's threads; `None` before the runtime's first start.
pub(crate) fn process_threads() -> Option<&'static ThreadPool> {
    PROCESS_THREADS.get()?()
}

/// Sets how the set of this process's threads is found.
pub(crate) fn set_process_threads(find: fn() -> Option<&'static ThreadPool>) {
    let _ = PROCESS_THREADS.set(find);
}

impl ThreadPool {
    /// Returns an empty set. `seed` makes span ids differ between processes.
    pub(crate) fn new(
        accountant: &'static Accountant,
        seed: u64,
        captures: CaptureMode,
        overflow: Sender<Overflow>,
        memory: Memory,
    ) -> Self {
        Self {
            home: Home::new(accountant, seed, overflow, memory),
            all: Mutex::default(),
            ready: Mutex::default(),
            next_ring: AtomicU32::new(1),
            captures,
        }
    }

    /// Gives the calling thread a state. Returns `None` on the recorder's own threads, and where memory has run out.
    #[cold]
    pub(crate) fn acquire(&'static self) -> Option<(&'static ThreadState, Lease)> {
        if is_ours() {
            return None;
        }
        if self.is_exhausted() {
            return None;
        }
        let lease = local::lease();
        let state = self.take_idle(IDLE_SHARE).or_else(|| self.grow()).or_else(|| self.take_idle(1))?;
        state.current.store(NO_SPAN, Ordering::Relaxed);
        state.under_way.store(0, Ordering::Relaxed);
        state.page.words[layout::DEPTH].store(0, Ordering::Relaxed);
        // The name of a thread that is already ending can no longer be read.
        let name = match lease {
            Lease::Thread => std::thread::current().name().map(str::to_owned),
            Lease::Call => None,
        };
        state.introduce(name);
        local::adopt(state);
        Some((state, lease))
    }

    /// Takes a state that no thread owns, if at most the capacity of its ring divided by `share` is still to be drained.
    fn take_idle(&self, share: usize) -> Option<&'static ThreadState> {
        let all = lock(&self.all);
        let mut free = lock(&self.home.free);
        let is_idle = |index: usize| {
            all.get(index).is_some_and(|state| state.pending() <= state.ring.capacity() / share)
        };
        let place = free.iter().rposition(|index| is_idle(*index))?;
        self.home.free_count.fetch_sub(1, Ordering::Relaxed);
        all.get(free.swap_remove(place)).copied()
    }

    /// Returns true if there is no memory for another state, and no state without an owner either. It takes no lock,
    /// because threads without a state ask at each of their calls.
    fn is_exhausted(&self) -> bool {
        self.home.free_count.load(Ordering::Relaxed) == 0
            && self.home.accountant.room(Part::Threads) < STATE_BYTES
    }

    /// Makes a state with a ring of the usual size, or a smaller one when memory runs short. Once memory has run out,
    /// and no used ring is to be had either, the ring holds nothing: its thread's calls are counted but leave no
    /// record, except for failures.
    fn grow(&'static self) -> Option<&'static ThreadState> {
        if !self.home.accountant.take(Part::Threads, size_of::<ThreadState>()) {
            return None;
        }
        let ready = lock(&self.ready).pop();
        let Some(PlacedRing { page, ring, reserve }) = ready.or_else(|| self.new_usual_ring()) else {
            self.home.accountant.give_back(Part::Threads, size_of::<ThreadState>());
            return None;
        };
        let mut all = lock(&self.all);
        let state = Box::leak(Box::new(ThreadState {
            current: AtomicU64::new(NO_SPAN),
            trace: AtomicU64::new(NO_SPAN),
            weight: AtomicU32::new(1_f32.to_bits()),
            captures: self.captures,
            callee_ticks: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            capture_panics: AtomicU32::new(0),
            last_span: AtomicU64::new(0),
            random: AtomicU64::new(0),
            spare_slots: SpareSlots::default(),
            spans_begun: AtomicU64::new(0),
            spans_ended: AtomicU64::new(0),
            thread_id: AtomicU32::new(0),
            ring,
            page,
            reserve,
            burst: OnceLock::new(),
            bursting: AtomicBool::new(false),
            unintroduced: AtomicBool::new(false),
            bursts: OnceLock::new(),
            is_folding: AtomicBool::new(false),
            countdowns: Countdowns::default(),
            tallies: Tallies::default(),
            has_scratch: AtomicBool::new(false),
            scratch: Mutex::default(),
            home: &self.home,
            index: all.len(),
        }));
        all.push(state);
        Some(state)
    }

    /// Makes a ring of the usual size or smaller; where memory has run out, one without room for a record. Returns
    /// `None` if memory has run out and a used ring is free instead, or if there is no memory at all.
    fn new_usual_ring(&self) -> Option<PlacedRing> {
        let bytes = self.next_ring_bytes().min(limits::RING_BYTES);
        let ring = (bytes > RING_BYTES_NONE).then(|| self.new_ring(bytes)).flatten();
        if ring.is_none() && !lock(&self.home.free).is_empty() {
            return None;
        }
        // If the machine refuses this much memory, calls are counted all the same.
        ring.or_else(|| self.new_page())
    }

    /// Makes a ring without room for a record: its page alone.
    fn new_page(&self) -> Option<PlacedRing> {
        if !self.home.accountant.take(Part::Threads, PAGE_BYTES) {
            return None;
        }
        let id = self.next_ring.fetch_add(1, Ordering::Relaxed);
        let Some(block) = self.home.memory.take(Kind::Ring, id, PAGE_BYTES) else {
            self.home.accountant.give_back(Part::Threads, PAGE_BYTES);
            return None;
        };
        let control = block.first_chunk()?;
        let ring = Ring::new(control, &control[layout::NO_DATA..=layout::NO_DATA], 1);
        let reserve = Reserve { block, stays_small: AtomicBool::new(false) };
        Some(PlacedRing { page: Page { words: control, id }, ring, reserve })
    }

    fn next_ring_bytes(&self) -> usize {
        let accountant = self.home.accountant;
        next_ring_bytes(accountant.used(Part::Rings), accountant.limit(Part::Rings))
    }

    /// Makes rings in advance until this many are ready, while memory is ample. A thread that finds a ready ring asks
    /// the file system for nothing in its first call.
    pub(crate) fn prepare_rings(&self, count: usize) {
        let accountant = self.home.accountant;
        let is_ample = || accountant.used(Part::Rings) < accountant.limit(Part::Rings) / READY_SHARE;
        while lock(&self.ready).len() < count && is_ample() {
            let Some(placed) = self.new_ring(limits::RING_BYTES) else { return };
            lock(&self.ready).push(placed);
        }
    }

    /// Makes a ring and counts its memory. The part that the producer fills before it checks again is usable at
    /// once; the rest is completed later, because the file system takes 75 µs to promise all of a usual ring, and a
    /// thread's first call would wait for that.
    fn new_ring(&self, bytes: usize) -> Option<PlacedRing> {
        let block_bytes = PAGE_BYTES + bytes.next_multiple_of(PAGE_BYTES);
        if !self.home.accountant.take(Part::Rings, block_bytes) {
            return None;
        }
        let id = self.next_ring.fetch_add(1, Ordering::Relaxed);
        let first = PAGE_BYTES + spsc::bytes_at_first(bytes);
        let Some((block, ready)) = self.home.memory.take_in_part(Kind::Ring, id, block_bytes, first) else {
            self.home.accountant.give_back(Part::Rings, block_bytes);
            return None;
        };
        let (control, words) = block.split_first_chunk()?;
        let words = &words[..bytes / WORD_BYTES];
        control[layout::CAPACITY].store(words.len() as u64, Ordering::Relaxed);
        let ring = Ring::new(control, words, (ready - PAGE_BYTES) / WORD_BYTES);
        let reserve = Reserve { block, stays_small: AtomicBool::new(false) };
        Some(PlacedRing { page: Page { words: control, id }, ring, reserve })
    }

    /// Makes rings for bursts until this many are spare, as far as there is memory. A caller's thread that records
    /// never does this, because the file system takes 75 µs to promise the first part of such a ring.
    pub(crate) fn prepare_bursts(&self, count: usize) {
        while lock(&self.home.spare_bursts).len() < count {
            let bytes = self.next_ring_bytes();
            if bytes <= limits::RING_BYTES {
                return;
            }
            let Some(placed) = self.new_ring(bytes) else { return };
            lock(&self.home.spare_bursts).push(placed);
        }
    }

    /// Returns all states, for the collector. They are copied from the list a few at a time, because a copy of the
    /// whole list would need memory that the machine may not have. States that are made meanwhile come last.
    pub(crate) fn states(&self) -> impl Iterator<Item = &'static ThreadState> + '_ {
        let copy = |from: usize| {
            let all = lock(&self.all);
            let states: [_; STATES_AT_ONCE] = std::array::from_fn(|at| all.get(from + at).copied());
            states[0].is_some().then_some(states)
        };
        (0..).step_by(STATES_AT_ONCE).map_while(copy).flatten().flatten()
    }

    /// Returns the number of states.
    pub(crate) fn count_states(&self) -> usize {
        lock(&self.all).len()
    }
}

/// The number of states that are copied from the list while its lock is held once.
const STATES_AT_ONCE: usize = 32;

/// The bytes of a state and its page, without a ring.
const STATE_BYTES: usize = PAGE_BYTES + size_of::<ThreadState>();

/// The divisor by which a state without an owner is preferred to a new one: at most an eighth of its ring may still
/// have to be drained.
const IDLE_SHARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(bytes_max: usize) -> &'static ThreadPool {
        let (overflow, _) = crossbeam_channel::unbounded();
        let memory = Memory::on_heap(None);
        let accountant = Accountant::of_part(Part::Rings, bytes_max);
        Box::leak(Box::new(ThreadPool::new(accountant, 7, CaptureMode::All, overflow, memory)))
    }

    #[test]
    fn threads_take_the_rings_that_lie_ready_before_others_are_made() {
        let threads = threads(32 << 20);
        threads.prepare_rings(2);
        let made = || threads.next_ring.load(Ordering::Relaxed) - 1;
        let taken = || std::thread::spawn(|| threads.acquire().unwrap().0.page.id).join().unwrap();
        assert_eq!(made(), 2);
        // Each state is given back at its thread's end, and the next thread would take it.
        let first = taken();
        lock(&threads.home.free).clear();
        let second = taken();
        lock(&threads.home.free).clear();
        assert!(made() == 2 && first != second && first.max(second) == 2, "{first} {second}");
        assert_eq!((taken(), made()), (3, 3));
    }

    #[test]
    fn no_more_rings_lie_ready_than_a_share_of_the_memory_holds() {
        let threads = threads(4 << 20);
        threads.prepare_rings(100);
        let bytes = threads.home.accountant.used(Part::Rings);
        assert!((1 << 20..=(1 << 20) + 2 * limits::RING_BYTES).contains(&bytes), "{bytes}");
        assert!(lock(&threads.ready).iter().all(|placed| placed.ring.capacity() * 8 == limits::RING_BYTES));
    }
}
