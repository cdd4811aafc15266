//! The parts that all recording threads of a process share.
//!
//! Takes what a thread hands in besides its records: its name, its failures past a full ring, calls for which it has
//! no table. Gives it the memory of rings and the way to wake the collector. Every state refers to its home for the
//! life of the process. The file does not know the states.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;

use crossbeam_channel::Sender;

use super::overflow::{Overflow, OverflowSender};
use super::placed_ring::PlacedRing;
use super::tally::Tallies;
use crate::record::span_prefix;
use crate::ring::memory::Memory;
use crate::ring::metadata::{Identity, Metadata};
use crate::ring::suspended::SuspendedCalls;
use crate::sync::lock;

/// A thread as the collector needs to know it.
#[derive(Debug, Clone)]
pub(crate) struct ThreadInfo {
    pub(crate) id: u32,
    pub(crate) prefix: u32,
    pub(crate) name: String,
}

/// The parts that all recording threads of a process share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) memory: Memory,
    pub(crate) metadata: Metadata,
    pub(crate) suspended: SuspendedCalls,
    pub(crate) overflow: OverflowSender,
    /// The tallies of threads for whose own tables there was no memory.
    pub(crate) shared_tallies: Tallies,
    /// True if a function that overruns its ring is to be throttled at once.
    pub(crate) throttles: AtomicBool,
    /// Rings for bursts that no thread has needed so far.
    pub(super) spare_bursts: Mutex<Vec<PlacedRing>>,
    /// The places of states without an owner among all states.
    pub(super) free: Mutex<Vec<usize>>,
    introduced: Mutex<Vec<ThreadInfo>>,
    next_id: AtomicU32,
    first_prefix: u32,
    /// Bytes of scratch memory that may still be taken from the ring file.
    scratch_bytes_left: AtomicUsize,
    collector: OnceLock<Thread>,
    woken: AtomicBool,
    /// True while the collector sleeps for long, until the first record. The rings are closed then, so that the first
    /// record in each of them comes by [`Self::rouse`].
    asleep: AtomicBool,
}

impl Home {
    /// Returns the shared parts. `seed` makes span ids differ between processes.
    pub(super) fn new(
        seed: u64,
        overflow: Sender<Overflow>,
        overflow_bytes_max: usize,
        scratch_bytes_max: usize,
        memory: Memory,
    ) -> Self {
        Self {
            metadata: Metadata::new(&memory),
            suspended: SuspendedCalls::new(&memory),
            memory,
            overflow: OverflowSender::new(overflow, overflow_bytes_max),
            shared_tallies: Tallies::default(),
            throttles: AtomicBool::new(false),
            spare_bursts: Mutex::default(),
            free: Mutex::default(),
            introduced: Mutex::default(),
            next_id: AtomicU32::new(1),
            first_prefix: (seed >> 33) as u32,
            scratch_bytes_left: AtomicUsize::new(scratch_bytes_max),
            collector: OnceLock::new(),
            woken: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
        }
    }

    /// Gives a thread an id and a span prefix, and makes its name known to the collector and in the metadata.
    /// Returns the id and the prefix.
    pub(super) fn introduce_thread(&self, name: Option<String>) -> (u32, u32) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        // 31 bits, so that ids are positive in SQL; never 0, which is for the reserved spans.
        let prefix = span_prefix(self.first_prefix, id);
        let name = name.unwrap_or_else(|| format!("thread-{id}"));
        self.metadata.thread(id, &name);
        lock(&self.introduced).push(ThreadInfo { id, prefix, name });
        // The ring of a new thread is open. The first thread is there before the collector.
        if id > 1 {
            self.rouse();
        }
        (id, prefix)
    }

    /// Takes scratch memory for the calls of the thread with this ring, from the ring file. Returns `None` past the share
    /// of such memory, and if the file has no room.
    pub(super) fn take_scratch(&self, ring: u32, bytes: usize) -> Option<&'static mut [u8]> {
        let left = &self.scratch_bytes_left;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).ok()?;
        self.memory.take_scratch(ring, bytes)
    }

    /// Takes the threads introduced since the last call.
    pub(crate) fn take_introduced(&self) -> Vec<ThreadInfo> {
        std::mem::take(&mut lock(&self.introduced))
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
    pub(crate) fn rouse(&self) {
        // Partner: the fence in `fall_asleep`. A thread that found its ring closed sees that the collector sleeps.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.collector.get()
        {
            thread.unpark();
        }
    }

    /// Notes that the collector is about to sleep for long. It closes the rings next, and looks at them once more.
    pub(crate) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        // Partner: the fence in `rouse`.
        fence(Ordering::SeqCst);
    }

    /// Returns true if the collector sleeps, or looks at closed rings between two sleeps, and no record has come since.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Notes that the collector has found records: they wake it no more.
    pub(crate) fn awaken(&self) {
        self.asleep.store(false, Ordering::Relaxed);
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
