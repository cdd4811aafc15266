//! What the collector does so that the process can be recovered after its death: it keeps what it drained
//! in the journal until the store has it, and notes in the ledger how far records are counted and written.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use super::Collector;
use crate::batch::Batch;
use crate::config::limits;
use crate::journal::{Held, Journal};
use crate::layout::{head, marks, ring};
use crate::ledger::Ledger;
use crate::region::Memory;

/// Journal and ledger, and what the batch on its way needs of them.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) journal: Journal,
    pub(super) ledger: Ledger,
    /// Position behind the last failure that came around its ring.
    pub(super) overflow_position: u64,
    /// For each call of the batch on its way: its ring, and the position behind it there.
    pub(super) ends: Vec<(u32, u64)>,
    /// The same for calls that are postponed.
    pub(super) ends_postponed: Vec<(u32, u64)>,
    /// Where the calls of both lie in the journal.
    pub(super) held: Held,
    /// Whether dead processes may have left something that is not recovered yet.
    pub(super) recovering: bool,
}

impl Keeping {
    pub(super) fn new(memory: &'static Memory, journal_bytes_max: usize) -> Self {
        Self {
            journal: Journal::new(memory, journal_bytes_max),
            ledger: Ledger::new(memory),
            overflow_position: 0,
            ends: Vec::new(),
            ends_postponed: Vec::new(),
            held: Held::new(),
            recovering: false,
        }
    }

    /// Of the batch of this number, the calls from this one on wait for the next. What was noted of rings that
    /// it has no call of any more would hold as soon as the store has the rest.
    pub(super) fn put_off(&mut self, sequence: u64, from: usize) {
        let Self { ledger, ends, ends_postponed, .. } = self;
        let later = ends.split_off(from);
        let rings: HashSet<u32> = later.iter().map(|(ring, _)| *ring).collect();
        for ring in rings {
            ledger.put_off(sequence, ring);
        }
        ends_postponed.splice(0..0, later);
    }
}

impl Collector {
    /// Has rings ready for threads to come and for bursts, and the rest of those in use; tells whoever will
    /// find the ring file that the process was alive.
    pub(super) fn keep_rings(&mut self) {
        self.rings.prepare_rings(READY_RINGS);
        self.rings.prepare_bursts(SPARE_BURSTS);
        for state in self.rings.all() {
            state.complete_rings();
        }
        if let Some(mapping) = self.rings.memory.mapping() {
            mapping.promise_ahead(PROMISED_AHEAD);
        }
        self.rings.legend.calibrate(self.clock.calibration(), self.clock.now_ns());
        if let Some(why) = self.rings.memory.take_refusal() {
            self.event("rings", format!("kept on the heap, where they do not survive a crash: {why}"));
        }
    }

    /// Notes what is counted by now: everything drained so far, in the figures as they are.
    pub(super) fn note_counted(&mut self) {
        let Self { keeping, rings, functions, .. } = self;
        let ledger = &mut keeping.ledger;
        if !ledger.is_kept() {
            return;
        }
        let mut changed = false;
        for state in rings.all() {
            for (page, ring) in state.rings() {
                let drained = ring.drained();
                changed |=
                    ledger.counted(page.id, drained, || &page.words[ring::MARKS..ring::MARKS + marks::WORDS]);
            }
        }
        changed |= ledger.counted(OVERFLOW, keeping.overflow_position, || &[]);
        for function in functions.iter_mut().flatten() {
            if let Some(sum) = function.figures.take_changed_sum() {
                ledger.figures_counted(function.site.id(), &sum);
                changed = true;
            }
        }
        if changed {
            ledger.publish();
        }
    }

    /// Notes what will be written once the store has this batch.
    pub(super) fn note_intent(&mut self) {
        let Self { keeping: Keeping { ledger, ends, .. }, pending: Some(Batch { sequence, .. }), .. } = self
        else {
            return;
        };
        // The last of each run: calls come ring by ring.
        for (at, (ring, end)) in ends.iter().enumerate() {
            if ends.get(at + 1).is_none_or(|(next, _)| next != ring) {
                ledger.written(*sequence, *ring, *end);
            }
        }
    }

    /// Looks now and then for what dead processes left for this store, and brings it there step by step,
    /// between steps of its own. Whether there is more of it.
    pub(super) fn recover(&mut self, now: Duration) -> bool {
        if now < self.next.recover || self.store.is_none() {
            return false;
        }
        self.go_away();
        let now_ns = self.now_ns();
        let more = self.store.as_mut().is_some_and(|store| store.recover(now_ns).unwrap_or(false));
        self.keeping.recovering = more;
        if !more {
            self.next.recover = now + limits::RECOVER_INTERVAL;
        }
        more
    }

    /// Says in the ring file which store was opened.
    pub(super) fn note_store(&mut self) {
        if let Some(path) = &self.health.store {
            self.rings.legend.text(head::STORE, path.as_os_str().as_bytes());
        }
        self.keeping.recovering = self.health.store.is_some();
        self.next.recover = Duration::ZERO;
    }

    /// Notes that the store has this batch, and lets go of what it held.
    pub(super) fn note_written(&mut self, sequence: u64) {
        self.keeping.ledger.acknowledge(sequence);
        self.keeping.ends.clear();
        if self.postponed.is_empty() {
            self.keeping.held.clear();
        }
    }
}

/// The number under which failures go that came around their rings.
pub(super) const OVERFLOW: u32 = 0;
/// Rings for bursts that lie ready: as many threads may begin their first one between two steps. A step
/// can be long: it may wait for the disk.
const SPARE_BURSTS: usize = 2;
/// Threads that may begin at once and find a ring without a word to the file system: a pool of workers.
const READY_RINGS: usize = 8;
/// Bytes that the file system has promised beyond what is in use, for the tables beside the rings.
const PROMISED_AHEAD: usize = 256 << 10;
