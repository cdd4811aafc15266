//! What the collector does so that the process can be recovered after its death: it keeps what it drained
//! in the journal until the store has it, and notes in the ledger how far records are counted and written.

use std::collections::{HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use super::Collector;
use crate::batch::Batch;
use crate::limits;
use crate::record::{Kept, Outcome, Record, decode};
use crate::ring::checkpoint::Ledger;
use crate::ring::journal::{Held, Journal, Pieces, Worth};
use crate::ring::layout::{head, marks, ring};
use crate::ring::memory::Memory;

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
    /// Where the calls of both lie in the journal: the first so many, then so many more.
    pub(super) held: VecDeque<(usize, Held)>,
    /// Where drained words lie that are let go once they are counted.
    pub(super) uncounted: Held,
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
            held: VecDeque::new(),
            uncounted: Held::new(),
            recovering: false,
        }
    }

    /// Where the rows of a run are kept: where they were drained to; by themselves where that holds little else
    /// but calls without a row, or had no room for them, so that few rows do not hold on to much of the journal.
    pub(super) fn hold(&mut self, pieces: &Pieces, run: Run<'_>, drained: usize) -> Held {
        let is_sparse = run.words.len() * SPARSE < drained;
        if !self.journal.is_kept() || pieces.are_whole() && !is_sparse {
            return pieces.held();
        }
        let (mut at, mut are_kept) = (0, true);
        for end in run.ends {
            let Some((record, used)) = decode(&run.words[at..]) else { break };
            let position = end.saturating_sub(used as u64);
            if is_sparse || !pieces.have(position.saturating_sub(run.from) as usize) {
                let words = &run.words[at..at + used];
                are_kept &= self.journal.append(worth(&record), (run.ring, position), run.thread, words);
            }
            at += used;
        }
        let mut held = self.journal.take_pieces().held();
        if !is_sparse || !are_kept {
            held.extend(pieces.held());
        }
        held
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

    /// Lets go of what held the first calls: the store has them. Held on until none were put off, a store that
    /// halves batch after batch would have the journal fill up with what was written long ago.
    fn let_go(&mut self, mut calls: usize) {
        while let Some((first, _)) = self.held.front_mut() {
            let gone = calls.min(*first);
            *first -= gone;
            calls -= gone;
            if *first > 0 {
                break;
            }
            self.held.pop_front();
        }
    }
}

/// Rows of one thread, as they lie in the backlog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) ring: u32,
    /// Where in the ring began what they were drained with.
    pub(super) from: u64,
    pub(super) thread: u32,
    pub(super) words: &'a [u64],
    /// Where each ends in the ring.
    pub(super) ends: &'a VecDeque<u64>,
}

/// What is drained from a ring, on its way into the journal.
#[derive(Debug)]
pub(super) struct Drain<'a> {
    journal: &'a mut Journal,
    ring: u32,
    /// Whose the record behind those that were looked at is.
    thread: u32,
    looked: usize,
}

impl<'a> Drain<'a> {
    pub(super) fn new(journal: &'a mut Journal, ring: u32, thread: u32) -> Self {
        Self { journal, ring, thread, looked: 0 }
    }

    /// Keeps the words from this number on, which begin at this position of the ring: all of them; failures and
    /// slow calls alone where there is no room for more.
    pub(super) fn keep(&mut self, position: u64, words: &[u64], begun: usize) {
        if self.journal.append(Worth::Drained, (self.ring, position), self.thread, &words[begun..]) {
            return;
        }
        while let Some((record, used)) = words.get(self.looked..).and_then(decode) {
            let at = self.looked;
            self.looked += used;
            if let Record::Thread(next) = record {
                self.thread = next;
            }
            if at < begun {
                continue;
            }
            let place = (self.ring, position + (at - begun) as u64);
            let is_for_certain = matches!(&record, Record::Call(header, ..) if is_for_certain(header.kept));
            let words = &words[at..at + used];
            if !is_for_certain || !self.journal.append(worth(&record), place, self.thread, words) {
                self.journal.pass(used);
            }
        }
    }
}

/// Whether a call has its row whatever the rate.
fn is_for_certain(kept: Kept) -> bool {
    matches!(kept, Kept::Failed | Kept::Slow)
}

fn worth(record: &Record<'_>) -> Worth {
    match record {
        Record::Call(header, ..) if header.outcome != Outcome::Ok => Worth::Failure,
        _ => Worth::Row,
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
            mapping.reserve_ahead(RESERVED_AHEAD);
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
        keeping.uncounted.clear();
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
        let calls = self.keeping.ends.len();
        self.keeping.ends.clear();
        self.keeping.let_go(calls);
        if self.postponed.is_empty() {
            self.keeping.held.clear();
        }
    }
}

/// The number under which failures go that came around their rings.
pub(super) const OVERFLOW: u32 = 0;
/// Where rows are less than one word in so many of what was drained, they are kept by themselves.
const SPARSE: usize = 4;
/// Rings for bursts that lie ready: as many threads may begin their first one between two steps. A step
/// can be long: it may wait for the disk.
const SPARE_BURSTS: usize = 2;
/// Threads that may begin at once and find a ring without a word to the file system: a pool of workers.
const READY_RINGS: usize = 8;
/// Bytes that are reserved beyond those in use, for the tables beside the rings.
const RESERVED_AHEAD: usize = 256 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::record::{HEADER_WORDS, Header};
    use crate::ring::mapping::Mapping;

    /// What a collector keeps in a file, in so many blocks of 64 KiB; and the folder of the file.
    fn keeping(blocks: usize) -> (Keeping, tempfile::TempDir) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let memory = Memory::mapped(Mapping::create(folder.path(), "rings", 1 << 20).unwrap());
        (Keeping::new(Box::leak(Box::new(memory)), blocks << 16), folder)
    }

    /// A hundred calls, of which the first and the last failed.
    fn drained() -> Vec<u64> {
        let outcome = |at| if at == 0 || at == 99 { Outcome::Error } else { Outcome::Ok };
        (0..100).flat_map(|at| Header::any(1, outcome(at)).encode(0)).collect()
    }

    #[test]
    fn failures_are_kept_where_there_is_no_room_for_what_they_were_drained_with() {
        let (mut keeping, _folder) = keeping(0);
        let words = drained();
        let mut drain = Drain::new(&mut keeping.journal, 7, 1);
        // In two pieces, as a ring hands them over.
        let middle = 50 * HEADER_WORDS;
        drain.keep(1000, &words[..middle], 0);
        drain.keep(1000 + middle as u64, &words, middle);
        let pieces = keeping.journal.take_pieces();
        let kept: Vec<usize> = (0..100).filter(|at| pieces.have(at * HEADER_WORDS)).collect();
        assert_eq!(kept, [0, 99]);
    }

    #[test]
    fn few_rows_do_not_hold_on_to_all_that_they_were_drained_with() {
        let (mut keeping, _folder) = keeping(3);
        let words = drained();
        Drain::new(&mut keeping.journal, 7, 1).keep(1000, &words, 0);
        let pieces = keeping.journal.take_pieces();
        assert!(pieces.are_whole());
        let row = Header::any(1, Outcome::Error).encode(0);
        let ends = VecDeque::from([1000 + row.len() as u64]);
        let run = Run { ring: 7, from: 1000, thread: 1, words: &row, ends: &ends };
        let held = keeping.hold(&pieces, run, words.len());
        let is_among =
            |one: &Held, other: &Held| one.iter().any(|block| std::sync::Arc::ptr_eq(block, &other[0]));
        assert!(held.len() == 1 && !is_among(&held, &pieces.held()));
        let many = Run { words: &words, ends: &VecDeque::new(), ..run };
        assert!(is_among(&keeping.hold(&pieces, many, words.len()), &pieces.held()));
    }

    #[test]
    fn a_ring_whose_calls_were_all_put_off_is_not_said_to_be_written_with_the_batch() {
        let (mut keeping, _folder) = keeping(0);
        let rings: [&'static [AtomicU64]; 2] =
            [1, 2].map(|_| &*Vec::leak((0..marks::WORDS).map(|_| AtomicU64::new(0)).collect()));
        let Keeping { ledger, ends, .. } = &mut keeping;
        for (ring, words) in (1..).zip(rings) {
            ledger.counted(ring, 90, || words);
            ledger.written(1, ring, 90);
            ends.extend([(ring, 80), (ring, 90)]);
        }
        let is_written = |words: &[AtomicU64]| {
            [0, 2].iter().any(|at| words[marks::WRITTEN + at].load(Ordering::Relaxed) == 1)
        };
        assert_eq!(rings.map(is_written), [true, true]);
        keeping.put_off(1, 2);
        assert_eq!(rings.map(is_written), [true, false]);
        assert_eq!(
            (&keeping.ends[..], &keeping.ends_postponed[..]),
            (&[(1, 80), (1, 90)][..], &[(2, 80), (2, 90)][..])
        );
    }

    #[test]
    fn what_held_calls_is_let_go_with_them_though_others_were_put_off() {
        let (mut keeping, _folder) = keeping(0);
        keeping.held = [2, 3, 4].map(|calls| (calls, Held::new())).into();
        let mut left = |calls| {
            keeping.let_go(calls);
            keeping.held.iter().map(|(calls, _)| *calls).collect::<Vec<_>>()
        };
        assert_eq!(left(1), [1, 3, 4]);
        assert_eq!(left(4), [4]);
        assert!(left(9).is_empty());
    }
}
