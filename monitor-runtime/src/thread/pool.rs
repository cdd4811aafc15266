//! The set of rings: what a thread owns while it records, how it comes by it, and what becomes of it
//! when the thread ends.
//!
//! In: a thread's first monitored call, and its end. Out: a `ThreadState`, reached through one
//! thread-local word. Invariant: a state has at most one owning thread at a time; it is never freed,
//! only reused, so references to it hold for the life of the process. Everything in it is atomic and
//! the owner uses plain loads and stores: no `unsafe`, no read-modify-write.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;

use crossbeam_channel::Sender;

use crate::config::CaptureMode;
use crate::limits;
use crate::platform::reentrancy::{apart, is_ours};
use crate::record::span_prefix;
use crate::ring::layout::{Kind, PAGE_BYTES, ring as layout};
use crate::ring::memory::Memory;
use crate::ring::metadata::{Identity, Legend};
use crate::ring::spsc::{self, Ring};
use crate::ring::suspended::Flights;
use crate::sync::lock;
use crate::thread::countdown::Countdowns;
use crate::thread::scratch;
use crate::thread::tally::Tallies;

use super::local::{EXIT, HERE};
pub(crate) use super::local::{
    borrowed, countdown, countdown_of, countdown_table, current, forget_current, with_arena,
};
pub(crate) use super::state::{NO_SPAN, Page, RESERVED_SPANS, SUPPRESSED, ThreadState, UNSAMPLED};
use super::state::{Placed, Rest};

/// Whether a state taken for the calling thread will be given back at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Yes, at the thread's end.
    Thread,
    /// No: the thread is ending already, so the call that took it gives it back itself.
    Call,
}

/// Bytes that a record takes on its way around the ring, with what holds it there.
fn overflow_size(words: usize) -> usize {
    size_of::<Overflow>() + (words + 2) * size_of::<u64>()
}

/// A thread as the collector needs to know it.
#[derive(Debug, Clone)]
pub(crate) struct ThreadInfo {
    pub(crate) id: u32,
    pub(crate) prefix: u32,
    pub(crate) name: String,
}

/// A failed call's record that found no room in its ring.
#[derive(Debug)]
pub(crate) struct Overflow {
    pub(crate) thread: u32,
    pub(crate) words: Vec<u64>,
}

/// The set of rings, and the ways from the threads to the collector.
#[derive(Debug)]
pub(crate) struct ThreadRings {
    all: Mutex<Vec<&'static ThreadState>>,
    free: Mutex<Vec<&'static ThreadState>>,
    introduced: Mutex<Vec<ThreadInfo>>,
    next_id: AtomicU32,
    next_ring: AtomicU32,
    first_prefix: u32,
    pub(crate) memory: Memory,
    pub(crate) legend: Legend,
    pub(crate) flights: Flights,
    /// Rings that lie ready for threads to come.
    ready: Mutex<Vec<Placed>>,
    /// Rings for bursts that no thread has needed so far.
    pub(super) spares: Mutex<Vec<Placed>>,
    ring_bytes_max: usize,
    ring_bytes: AtomicUsize,
    captures: CaptureMode,
    overflow: Sender<Overflow>,
    overflow_bytes: AtomicUsize,
    overflow_bytes_max: usize,
    /// Tallies of threads for which there was no memory.
    pub(crate) shared_tallies: Tallies,
    collector: OnceLock<Thread>,
    woken: AtomicBool,
    /// Whether a function that overruns its ring is to be recorded less at once.
    pub(crate) brakes: AtomicBool,
}

/// Finds the set of this process's threads. `runtime` fills it at its first start; the child of a fork inherits it, and
/// finds its own set by it.
static PROCESS_THREADS: OnceLock<fn() -> Option<&'static ThreadRings>> = OnceLock::new();

/// Returns the set of this process's threads, once there is one.
pub(crate) fn process_threads() -> Option<&'static ThreadRings> {
    PROCESS_THREADS.get()?()
}

/// Says how the set of this process's threads is found.
pub(crate) fn set_process_threads(find: fn() -> Option<&'static ThreadRings>) {
    let _ = PROCESS_THREADS.set(find);
}

impl ThreadRings {
    /// `seed` makes span ids differ between processes.
    pub(crate) fn new(
        ring_bytes_max: usize,
        seed: u64,
        captures: CaptureMode,
        overflow: Sender<Overflow>,
        memory: Memory,
    ) -> Self {
        Self {
            legend: Legend::new(&memory),
            flights: Flights::new(&memory),
            memory,
            ready: Mutex::default(),
            spares: Mutex::default(),
            next_ring: AtomicU32::new(1),
            all: Mutex::default(),
            free: Mutex::default(),
            introduced: Mutex::default(),
            next_id: AtomicU32::new(1),
            first_prefix: (seed >> 33) as u32,
            ring_bytes_max,
            ring_bytes: AtomicUsize::new(0),
            captures,
            overflow,
            overflow_bytes: AtomicUsize::new(0),
            // The rings' share of the memory is larger by as much as the overflow's is smaller.
            overflow_bytes_max: ring_bytes_max / (limits::OVERFLOW_SHARE / limits::RINGS_SHARE),
            shared_tallies: Tallies::default(),
            collector: OnceLock::new(),
            woken: AtomicBool::new(false),
            brakes: AtomicBool::new(false),
        }
    }

    /// Hands a failed call's record to the collector around the ring. False where too many are on that
    /// way already, because the collector hangs on its disk, say.
    pub(crate) fn give_overflow(&self, thread: &ThreadState, words: Vec<u64>) -> bool {
        let bytes = overflow_size(words.len());
        if self.overflow_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.overflow_bytes_max {
            self.overflow_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        let overflow = Overflow { thread: thread.thread_id.load(Ordering::Relaxed), words };
        let is_sent = apart(|| self.overflow.send(overflow).is_ok()).unwrap_or(false);
        if !is_sent {
            self.took_overflow_bytes(bytes);
        }
        is_sent
    }

    /// Bytes of the records that are on the way around the rings.
    pub(crate) fn overflow_bytes(&self) -> usize {
        self.overflow_bytes.load(Ordering::Relaxed)
    }

    /// The collector took a record of so many words; how many bytes that was.
    pub(crate) fn took_overflow(&self, words: usize) -> usize {
        let bytes = overflow_size(words);
        self.took_overflow_bytes(bytes);
        bytes
    }

    fn took_overflow_bytes(&self, bytes: usize) {
        self.overflow_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives the calling thread a state and puts it into its slot.
    #[cold]
    pub(crate) fn acquire(&'static self) -> Option<(&'static ThreadState, Lease)> {
        if is_ours() {
            return None;
        }
        let lease = if EXIT.try_with(|_| ()).is_ok() { Lease::Thread } else { Lease::Call };
        let state = self.idle(IDLE_SHARE).or_else(|| self.grow()).or_else(|| self.idle(1))?;
        state.current.store(NO_SPAN, Ordering::Relaxed);
        state.page.words[layout::DEPTH].store(0, Ordering::Relaxed);
        // A thread that is ending has no name to ask for any more.
        let name = match lease {
            Lease::Thread => std::thread::current().name().map(str::to_owned),
            Lease::Call => None,
        };
        self.introduce(state, name);
        scratch::take_over(state);
        HERE.with(|here| here.set(Some(state)));
        Some((state, lease))
    }

    /// Takes back a state whose thread is done with it. What its ring holds stays there, in order,
    /// before whatever the next owner writes.
    pub(crate) fn release(&self, state: &'static ThreadState) {
        // The list may grow, and an allocator of the program's make a monitored call that asks for a state.
        apart(|| {
            HERE.with(|here| here.set(None));
            scratch::give_back(state);
            lock(&self.free).push(state);
        });
    }

    /// A state without an owner, at most this share of whose ring is still to be drained.
    fn idle(&self, share: usize) -> Option<&'static ThreadState> {
        let mut free = lock(&self.free);
        let place = free.iter().rposition(|state| state.pending() <= state.ring.capacity() / share)?;
        Some(free.swap_remove(place))
    }

    /// Makes one more ring: of the usual size, or smaller when memory runs short. Where it has run out,
    /// and no used ring can be had either, one that holds nothing: its thread's calls are counted but
    /// not kept, failures apart.
    fn grow(&'static self) -> Option<&'static ThreadState> {
        let ready = lock(&self.ready).pop();
        let Placed { page, ring, rest } = ready.or_else(|| self.new_usual_ring())?;
        let state = Box::leak(Box::new(ThreadState {
            current: AtomicU64::new(NO_SPAN),
            trace: AtomicU64::new(NO_SPAN),
            weight: AtomicU32::new(1_f32.to_bits()),
            captures: self.captures,
            capture_panics: AtomicU32::new(0),
            last_span: AtomicU64::new(0),
            random: AtomicU64::new(0),
            thread_id: AtomicU32::new(0),
            ring,
            page,
            rest,
            burst: OnceLock::new(),
            bursting: AtomicBool::new(false),
            unintroduced: AtomicBool::new(false),
            countdowns: Countdowns::default(),
            tallies: Tallies::default(),
            has_arena: AtomicBool::new(false),
            arena: Mutex::default(),
            home: self,
        }));
        lock(&self.all).push(state);
        Some(state)
    }

    /// A ring for a thread, of the usual size or smaller; none where used ones have to do.
    fn new_usual_ring(&self) -> Option<Placed> {
        let bytes = self.next_ring_bytes();
        if bytes == RING_BYTES_NONE && !lock(&self.free).is_empty() {
            return None;
        }
        let bytes = bytes.min(limits::RING_BYTES);
        let ring = self.new_ring(bytes);
        // Where the machine refuses so much, calls are counted all the same.
        ring.or_else(|| self.new_ring(RING_BYTES_NONE))
    }

    fn next_ring_bytes(&self) -> usize {
        next_ring_bytes(self.ring_bytes.load(Ordering::Relaxed), self.ring_bytes_max)
    }

    /// Has rings ready, this many, while memory is ample: a thread that finds one asks the file system for
    /// nothing in its first call.
    pub(crate) fn prepare_rings(&self, count: usize) {
        let is_ample = || self.ring_bytes.load(Ordering::Relaxed) < self.ring_bytes_max / READY_SHARE;
        while lock(&self.ready).len() < count && is_ample() {
            let Some(placed) = self.new_ring(limits::RING_BYTES) else { return };
            lock(&self.ready).push(placed);
        }
    }

    /// Takes memory for a ring, and reckons it up. What its producer fills before it looks around is ready at
    /// once: the file system takes 75 µs to promise all of a usual ring, which a first call would wait for.
    fn new_ring(&self, bytes: usize) -> Option<Placed> {
        let block_bytes = PAGE_BYTES + bytes.next_multiple_of(PAGE_BYTES);
        let id = self.next_ring.fetch_add(1, Ordering::Relaxed);
        let first = PAGE_BYTES + spsc::bytes_at_first(bytes).max(bytes.min(WORD_BYTES));
        let (block, ready) = self.memory.take_in_part(Kind::Ring, id, block_bytes, first)?;
        let (control, words) = block.split_first_chunk()?;
        let words = &words[..bytes / WORD_BYTES];
        control[layout::CAPACITY].store(words.len() as u64, Ordering::Relaxed);
        let ring = Ring::new(control, words, (ready - PAGE_BYTES) / WORD_BYTES);
        self.ring_bytes.fetch_add(block_bytes, Ordering::Relaxed);
        let rest = Rest { block, stays_small: AtomicBool::new(false) };
        Some(Placed { page: Page { words: control, id }, ring, rest })
    }

    /// Has rings for bursts ready, this many, as far as there is memory. Not for a caller's thread once
    /// it records: the file system takes 75 µs to promise the part of one that is needed first.
    pub(crate) fn prepare_bursts(&self, count: usize) {
        while lock(&self.spares).len() < count {
            let bytes = self.next_ring_bytes();
            if bytes <= limits::RING_BYTES {
                return;
            }
            let Some(placed) = self.new_ring(bytes) else { return };
            lock(&self.spares).push(placed);
        }
    }

    /// Gives a state a new thread id and span prefix, and says so in its ring.
    pub(super) fn introduce(&self, state: &ThreadState, name: Option<String>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        // 31 bits, so that ids are positive in SQL; never 0, which is for the reserved spans.
        let prefix = span_prefix(self.first_prefix, id);
        let name = name.unwrap_or_else(|| format!("thread-{id}"));
        self.legend.thread(id, &name);
        state.page.words[layout::THREAD].store(u64::from(id), Ordering::Relaxed);
        lock(&self.introduced).push(ThreadInfo { id, prefix, name });
        state.thread_id.store(id, Ordering::Relaxed);
        state.last_span.store(u64::from(prefix) << 32, Ordering::Relaxed);
        state.random.store(u64::from(prefix) << 32 | u64::from(id) | 1, Ordering::Relaxed);
        state.introduce();
    }

    /// Says who this process is to whoever finds its ring file.
    pub(crate) fn declare(&self, identity: &Identity) {
        self.legend.declare(&self.memory, identity, self.first_prefix);
    }

    /// All states, for the collector.
    pub(crate) fn all(&self) -> Vec<&'static ThreadState> {
        lock(&self.all).clone()
    }

    /// Threads introduced since the last call.
    pub(crate) fn introduced(&self) -> Vec<ThreadInfo> {
        std::mem::take(&mut lock(&self.introduced))
    }

    /// Says which thread to wake.
    pub(crate) fn set_collector(&self, thread: Thread) {
        let _ = self.collector.set(thread);
    }

    /// Wakes the collector, once until it has run; whether it has been woken before and is late.
    #[cold]
    pub(crate) fn wake(&self) -> bool {
        // Callers whose rings are full come here with every call: what they share is only read then.
        if self.woken.load(Ordering::Relaxed) || self.woken.swap(true, Ordering::Relaxed) {
            return true;
        }
        if let Some(thread) = self.collector.get() {
            thread.unpark();
        }
        false
    }

    /// Whether the collector has been woken since it ran.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// The collector runs: the next wake counts again.
    pub(crate) fn clear_wake(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }
}

/// A used ring is taken at once while at least seven eighths of it are free.
const IDLE_SHARE: usize = 8;

/// How large the next ring is: the first threads share half of the memory generously, an eighth of what
/// is left of it each; the other half is for small rings, of which it holds a thousand by default.
fn next_ring_bytes(used: usize, max: usize) -> usize {
    let generous = (max / 2).saturating_sub(used) / 8;
    if generous >= limits::RING_BYTES_MIN {
        (1 << generous.ilog2()).min(limits::BURST_BYTES)
    } else if used + limits::RING_BYTES_MIN <= max {
        limits::RING_BYTES_MIN
    } else {
        RING_BYTES_NONE
    }
}

/// Rings lie ready up to this share of the memory for rings.
const READY_SHARE: usize = 4;

/// Room for the word that names the thread, and for no record.
const RING_BYTES_NONE: usize = WORD_BYTES;
const WORD_BYTES: usize = size_of::<u64>();

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(bytes_max: usize) -> &'static ThreadRings {
        let (overflow, _) = crossbeam_channel::unbounded();
        let memory = Memory::on_heap(None);
        Box::leak(Box::new(ThreadRings::new(bytes_max, 7, CaptureMode::All, overflow, memory)))
    }

    #[test]
    fn threads_take_the_rings_that_lie_ready_before_others_are_made() {
        let rings = rings(32 << 20);
        rings.prepare_rings(2);
        let made = || rings.next_ring.load(Ordering::Relaxed) - 1;
        let taken = || std::thread::spawn(|| rings.acquire().unwrap().0.page.id).join().unwrap();
        assert_eq!(made(), 2);
        // Each is given back at the thread's end and would be taken again.
        let first = taken();
        lock(&rings.free).clear();
        let second = taken();
        lock(&rings.free).clear();
        assert!(made() == 2 && first != second && first.max(second) == 2, "{first} {second}");
        assert_eq!((taken(), made()), (3, 3));
    }

    #[test]
    fn no_more_rings_lie_ready_than_a_share_of_the_memory_holds() {
        let rings = rings(4 << 20);
        rings.prepare_rings(100);
        let bytes = rings.ring_bytes.load(Ordering::Relaxed);
        assert!((1 << 20..=(1 << 20) + 2 * limits::RING_BYTES).contains(&bytes), "{bytes}");
        assert!(lock(&rings.ready).iter().all(|placed| placed.ring.capacity() * 8 == limits::RING_BYTES));
    }

    #[test]
    fn a_thousand_threads_have_a_ring_and_the_bound_holds() {
        let max = 32 << 20;
        let (mut used, mut sizes) = (0, Vec::new());
        for _ in 0..2000 {
            let bytes = next_ring_bytes(used, max);
            used += bytes;
            sizes.push(bytes);
        }
        assert!(used <= max + 2000 * RING_BYTES_NONE);
        assert!(sizes.is_sorted_by(|a, b| a >= b));
        assert_eq!(sizes[0], limits::BURST_BYTES);
        assert_eq!(sizes[999], limits::RING_BYTES_MIN);
        assert!(sizes.iter().all(|bytes| (bytes / 8).is_power_of_two()));
    }
}
