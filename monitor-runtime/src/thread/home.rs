//! The parts that all recording threads of a process share.
//!
//! Takes what a thread hands in besides its records: its name, its failures past a full ring, calls for which it has
//! no table. Gives it the memory of rings and the way to wake the collector. Every state refers to its home for the
//! life of the process. The file does not know the states.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;

use crossbeam_channel::Sender;

use super::log_places::LogPlaces;
use super::overflow::{Overflow, OverflowSender};
use super::placed_ring::PlacedRing;
use super::tally::{Table, Tallies, Tally};
use crate::accountant::{Accountant, Part};
use crate::growth::MakeRoom as _;
use crate::limits;
use crate::record::span_prefix;
use crate::ring::layout::{Kind, block, block_bytes};
use crate::ring::memory::Memory;
use crate::ring::metadata::{Identity, Metadata};
use crate::ring::suspended::SuspendedCalls;
use crate::sync::lock;

/// A thread as the collector needs to know it.
#[derive(Debug, Clone)]
pub(crate) struct ThreadInfo {
    pub(crate) id: u32,
    /// The upper half of the thread's span ids.
    pub(crate) prefix: u32,
    pub(crate) name: String,
}

impl ThreadInfo {
    /// Returns the bytes that this description takes while it waits for the collector.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity()
    }
}

/// The parts that all recording threads of a process share.
#[derive(Debug)]
pub(crate) struct Home {
    /// The accounts of the recorder's memory.
    pub(crate) accountant: &'static Accountant,
    pub(crate) memory: Memory,
    pub(crate) metadata: Metadata,
    pub(crate) suspended: SuspendedCalls,
    pub(crate) overflow: OverflowSender,
    /// The places in the source that write log lines.
    pub(crate) log: LogPlaces,
    /// The tallies of threads for whose own tables there was no memory.
    pub(crate) shared_tallies: Tallies,
    /// True if a function that overruns its ring is to be throttled at once.
    pub(crate) throttles: AtomicBool,
    /// The number of calls of one function below one caller that have a record each before others share a row; 0 if all
    /// have one.
    pub(crate) fold_after: AtomicU32,
    /// True if a call has requested the coarse clock and the collector has not taken the request yet.
    clock_wanted: AtomicBool,
    /// True if a subscriber receives records: calls share rows only once a ring is full.
    pub(crate) is_streamed: AtomicBool,
    /// Rings for bursts that no thread has needed so far.
    pub(super) spare_bursts: Mutex<Vec<PlacedRing>>,
    /// The indices of the states without an owner, and their number.
    pub(super) free: Mutex<Vec<usize>>,
    pub(super) free_count: AtomicUsize,
    introduced: Mutex<Vec<ThreadInfo>>,
    next_id: AtomicU32,
    first_prefix: u32,
    collector: OnceLock<Thread>,
    woken: AtomicBool,
    /// True while the collector sleeps for long, until the first record. The rings are closed then, so that the first
    /// record in each of them comes by [`Self::wake_sleeper`].
    asleep: AtomicBool,
}

impl Home {
    /// Returns the shared parts. `seed` makes span ids differ between processes.
    pub(super) fn new(
        accountant: &'static Accountant,
        seed: u64,
        overflow: Sender<Overflow>,
        memory: Memory,
    ) -> Self {
        Self {
            accountant,
            metadata: Metadata::new(&memory),
            suspended: SuspendedCalls::new(&memory),
            memory,
            overflow: OverflowSender::new(overflow, accountant),
            log: LogPlaces::default(),
            shared_tallies: Tallies::default(),
            throttles: AtomicBool::new(false),
            fold_after: AtomicU32::new(0),
            clock_wanted: AtomicBool::new(false),
            is_streamed: AtomicBool::new(false),
            spare_bursts: Mutex::default(),
            free: Mutex::default(),
            free_count: AtomicUsize::new(0),
            introduced: Mutex::default(),
            next_id: AtomicU32::new(1),
            first_prefix: (seed >> 33) as u32,
            collector: OnceLock::new(),
            woken: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
        }
    }

    /// Returns the tally of a function that threads share for want of memory.
    pub(crate) fn shared_tally(&self, site: u32) -> Option<Tally> {
        let take = |block, words| self.take_table(Kind::Tallies, block, words);
        self.shared_tallies.get_or_make_unbounded(site, take, self.accountant)
    }

    /// Gives a thread an id and a span prefix, and makes its name known to the collector and in the metadata.
    /// Returns the id and the prefix.
    pub(super) fn introduce_thread(&self, name: Option<String>) -> (u32, u32) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        // 31 bits, so that ids are positive in SQL.
        let prefix = span_prefix(self.first_prefix, id);
        let name = name.unwrap_or_else(|| format!("thread-{id}"));
        self.metadata.thread(id, &name);
        let info = ThreadInfo { id, prefix, name };
        // A thread for whose description there is no memory is shown by its id.
        if self.accountant.take(Part::Threads, info.bytes()) {
            let mut introduced = lock(&self.introduced);
            if introduced.make_room(1) {
                introduced.push(info);
            } else {
                self.accountant.give_back(Part::Threads, info.bytes());
            }
        }
        // The ring of a new thread is open, so its first record would not wake a collector that sleeps for long. The
        // first thread is there before the collector.
        if id > 1 {
            self.wake_sleeper();
        }
        (id, prefix)
    }

    /// Takes zeroed words for a table, in the ring file if that has room.
    pub(super) fn take_table(&self, kind: Kind, id: u32, words: usize) -> Option<Table> {
        let bytes = block_bytes(words);
        let (block, survives) = match self.memory.take_mapped(kind, id, bytes) {
            Some(block) => (block, true),
            None => (self.memory.take_heap(kind, id, bytes)?, false),
        };
        Some((block.get(block::HEADER..block::HEADER + words)?, survives))
    }

    /// Takes scratch memory for the calls of the thread with this ring: from the ring file while memory is ample,
    /// otherwise a smaller piece from the heap, where the arguments of calls in flight do not survive the process.
    /// Returns `None` if there is no memory: the values of the thread's calls are then not captured.
    pub(super) fn take_scratch(&self, ring: u32) -> Option<&'static mut [u8]> {
        let accountant = self.accountant;
        let usual = limits::SCRATCH_BYTES + limits::VALUES_BYTES_MAX;
        let is_ample = accountant.used(Part::Scratch) + usual <= accountant.limit(Part::Scratch) / 2;
        if is_ample && accountant.take(Part::Scratch, usual) {
            if let Some(scratch) = self.memory.take_scratch(ring, usual) {
                return Some(scratch);
            }
            accountant.give_back(Part::Scratch, usual);
        }
        if !accountant.take(Part::Scratch, limits::SCRATCH_BYTES_MIN) {
            return None;
        }
        let mut scratch = Vec::new();
        if scratch.try_reserve_exact(limits::SCRATCH_BYTES_MIN).is_err() {
            accountant.give_back(Part::Scratch, limits::SCRATCH_BYTES_MIN);
            return None;
        }
        scratch.resize(limits::SCRATCH_BYTES_MIN, 0);
        Some(scratch.leak())
    }

    /// Takes the threads introduced since the last call, whose memory is the caller's from now on.
    pub(crate) fn take_introduced(&self) -> Vec<ThreadInfo> {
        let introduced = std::mem::take(&mut *lock(&self.introduced));
        self.accountant.give_back(Part::Threads, introduced.iter().map(ThreadInfo::bytes).sum());
        introduced
    }

    /// Notes that a state has no owner any more.
    pub(super) fn release_state(&self, index: usize) {
        lock(&self.free).push(index);
        self.free_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the identity of this process into its ring file, for programs that read the file.
    pub(crate) fn declare(&self, identity: &Identity) {
        self.metadata.declare(&self.memory, identity, self.first_prefix);
    }

    /// Sets the collector's thread, which [`Self::wake`] wakes.
    pub(crate) fn set_collector(&self, thread: Thread) {
        let _ = self.collector.set(thread);
    }

    /// Wakes the collector, at most once until it has run. Returns true if it was woken before and is late.
    #[cold]
    pub(crate) fn wake(&self) -> bool {
        // Callers whose rings are full come here with every call: the shared word is then only read.
        if self.woken.load(Ordering::Relaxed) || self.woken.swap(true, Ordering::Relaxed) {
            return true;
        }
        if let Some(thread) = self.collector.get() {
            thread.unpark();
        }
        false
    }

    /// Ends a long sleep of the collector, because a record has come, or a thread is about to make its first one.
    #[cold]
    pub(crate) fn wake_sleeper(&self) {
        // Partner: the fence in `note_asleep`. A thread that found its ring closed sees that the collector sleeps.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.collector.get()
        {
            thread.unpark();
        }
    }

    /// Notes that the collector is about to sleep for long. The collector then closes the rings, and looks at them once
    /// more.
    pub(crate) fn note_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // Partner: the fence in `wake_sleeper`.
        fence(Ordering::SeqCst);
    }

    /// Returns true if the collector sleeps, or looks at closed rings between two sleeps, and no record has come since.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Notes that the collector has found records, so that further records do not wake it.
    pub(crate) fn note_awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Returns true if a ring for bursts is ready that no thread has.
    pub(super) fn has_spare_burst(&self) -> bool {
        self.spare_bursts.try_lock().is_ok_and(|spare| !spare.is_empty())
    }

    /// Asks the collector to run the coarse clock soon, because calls are timed that could be only counted if the clock
    /// ran.
    #[cold]
    pub(crate) fn request_clock(&self) {
        if !self.clock_wanted.swap(true, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Returns true if the coarse clock was wanted since the last call.
    pub(crate) fn take_clock_request(&self) -> bool {
        self.clock_wanted.load(Ordering::Relaxed) && self.clock_wanted.swap(false, Ordering::Relaxed)
    }

    /// Returns true if the collector has been woken since it last ran.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Notes that the collector runs: the next wake unparks it again.
    pub(crate) fn clear_wake(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }
}
