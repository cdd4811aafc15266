//! Crash safety: everything that a recoverer needs if the process dies now.
//!
//! Takes drained records and the batches they go into; gives copies in the journal, which are held until the store has
//! the records, and checkpoints of how far records are counted and written. So each record is counted and written
//! exactly once, by this process or by a recoverer. It also recovers, step by step, what other processes left for this
//! store.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use super::current_store::CurrentStore;
use super::function::Function;
use super::functions::Functions;
use super::grouped::Grouped;
use super::journal_writer::priority;
use super::ladder::Ladder;
use super::trees::Trees;
use crate::accountant::Part;
use crate::batch::{Batch, CallStats};
use crate::growth::{MakeRoom as _, has_memory};
use crate::limits;
use crate::platform::clock::Clock;
use crate::record::{ByOutcome, Record, decode};
use crate::ring::checkpoint::Checkpoints;
use crate::ring::journal::{Held, Journal, Pieces, Priority};
use crate::ring::layout::{INCOMPLETE, head, incomplete_position, marks, ring};
use crate::thread::pool::ThreadPool;
use crate::thread::state::ThreadState;

/// Journal and checkpoints, and what the pending batch needs of them.
#[derive(Debug)]
pub(super) struct CrashSafety {
    rings: &'static ThreadPool,
    pub(super) journal: Journal,
    checkpoints: Checkpoints,
    /// The failures that the store counts by kind.
    grouped: Grouped,
    /// The position after the last failure that was sent past its ring, because the ring was full.
    overflow_position: u64,
    /// The ring of each row (call or log line) of the pending batch, and the position after the row in that ring. The
    /// postponed rows are at the end.
    ends: Vec<(u32, u64)>,
    /// The number of postponed rows.
    postponed: usize,
    /// The journal blocks of the rows in `ends`, by run: the number of its rows, and their blocks.
    held: VecDeque<(usize, Held)>,
    /// The journal blocks of the rows that calls share and that were not complete at the last snapshot.
    incomplete: Held,
    /// The number of calls of each function in such rows for which the journal had no room.
    without_copy: HashMap<u32, u64>,
    /// The journal blocks of drained words that are released once the words are counted.
    uncounted: Held,
    /// True if batches go to a store that ends with the process, although the settings name a file.
    is_temporary: bool,
    /// The journal blocks of rows that went to a store that ends with the process.
    kept: Vec<Held>,
    /// True if dead processes may have left records that are not recovered yet.
    is_recovering: bool,
    next_recovery: Duration,
}

impl CrashSafety {
    pub(super) fn new(rings: &'static ThreadPool) -> Self {
        Self {
            rings,
            journal: Journal::new(&rings.home.memory, rings.home.accountant),
            checkpoints: Checkpoints::new(&rings.home.memory),
            grouped: Grouped::default(),
            overflow_position: 0,
            ends: Vec::new(),
            postponed: 0,
            held: VecDeque::new(),
            incomplete: Held::new(),
            without_copy: HashMap::new(),
            uncounted: Held::new(),
            is_recovering: false,
            is_temporary: false,
            kept: Vec::new(),
            next_recovery: Duration::ZERO,
        }
    }

    /// Copies a record that no ring holds: a failure that was sent past its ring, or a row that calls share. Returns
    /// the position of the record among such records, and the copy.
    pub(super) fn append_overflow(
        &mut self,
        priority: Priority,
        thread: u32,
        words: &[u64],
    ) -> (u64, Pieces) {
        let position = self.overflow_position;
        self.overflow_position += words.len() as u64;
        self.journal.append(priority, (OVERFLOW, position), thread, words);
        (position, self.journal.take_pieces())
    }

    /// Returns the journal blocks that hold the rows of a run. These are the blocks to which the drained words were
    /// copied. The rows are copied once more, by themselves, if these blocks had no room for them, or if more than
    /// three quarters of the drained words belong to records without a row, so that a few rows do not hold on to much
    /// of the journal. `drained` is the number of words that were drained together with the rows.
    pub(super) fn hold(&mut self, pieces: &Pieces, run: RowRun<'_>, drained: usize) -> Held {
        let is_sparse = run.words.len() * SPARSE < drained;
        if !self.journal.is_kept() || pieces.are_whole() && !is_sparse {
            return pieces.held();
        }
        let (mut at, mut are_kept) = (0, true);
        for end in run.ends {
            let Some((record, used)) = decode(&run.words[at..]) else { break };
            let position = end.saturating_sub(used as u64);
            if is_sparse || !pieces.is_kept(position.saturating_sub(run.from) as usize) {
                let words = &run.words[at..at + used];
                are_kept &= self.journal.append(priority(&record), (run.ring, position), run.thread, words);
            }
            at += used;
        }
        let mut held = self.journal.take_pieces().held();
        if !is_sparse || !are_kept {
            self.add_held(&mut held, pieces.held());
        }
        held
    }

    /// Adds journal blocks to a list of those that are held. Without memory for them they are released, although after
    /// a kill a recoverer would still need them.
    fn add_held(&self, held: &mut Held, more: Held) {
        if held.make_room(more.len()) {
            held.extend(more);
        } else {
            self.rings.home.accountant.note_refused(Part::Journal);
        }
    }

    /// Holds the journal blocks of drained words until the words are counted.
    pub(super) fn hold_uncounted(&mut self, more: Held) {
        let mut held = std::mem::take(&mut self.uncounted);
        self.add_held(&mut held, more);
        self.uncounted = held;
    }

    /// Begins a batch with the postponed rows.
    pub(super) fn begin_batch(&mut self) {
        self.postponed = 0;
    }

    /// Returns true if the machine has memory for one more row of the batch.
    pub(super) fn make_room(&mut self) -> bool {
        self.ends.make_room(1)
    }

    /// Adds a row to the batch: its ring, and the position after the row in that ring.
    pub(super) fn add_row(&mut self, end: (u32, u64)) {
        self.ends.push(end);
    }

    /// Holds the journal blocks of rows that were taken from the backlog.
    pub(super) fn hold_taken(&mut self, held: Vec<(usize, Held)>) {
        // Without memory to note the blocks, they are released, although after a kill a recoverer would still need
        // them.
        if self.held.make_room(held.len()) {
            self.held.extend(held);
        } else {
            self.rings.home.accountant.note_refused(Part::Journal);
        }
    }

    /// Postpones the rows of the batch from number `from` on. Withdraws the checkpoints of the rings of these rows,
    /// because they would become valid as soon as the store has the rest of the batch.
    pub(super) fn postpone(&mut self, sequence: u64, from: usize) {
        let batch = self.ends.len() - self.postponed;
        self.postponed = self.ends.len() - from;
        let mut last = None;
        for (ring, _) in &self.ends[from..batch] {
            if last.replace(*ring) != Some(*ring) {
                self.checkpoints.put_off(sequence, *ring);
            }
        }
    }

    /// Notes whether batches go to a store that ends with the process, although the settings name a file. If so,
    /// nothing that is written counts as written: the journal, as far as it has room, and the ring file are kept for a
    /// recoverer that can open that file.
    pub(super) fn set_temporary(&mut self, is_temporary: bool) {
        self.is_temporary = is_temporary;
    }

    /// Returns true if batches go to a store that ends with the process.
    pub(super) fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    /// Releases the journal blocks of the next `rows` rows, because the store has them. Blocks are released even while
    /// other rows are postponed: otherwise the journal would fill up with records written long ago, whenever batch
    /// after batch has to be halved.
    fn release(&mut self, mut rows: usize) {
        while let Some((first, _)) = self.held.front_mut() {
            let gone = rows.min(*first);
            *first -= gone;
            rows -= gone;
            if *first > 0 {
                break;
            }
            self.held.pop_front();
        }
    }

    /// Notes what is counted by now: everything drained so far, the statistics as they are, and the rows that calls
    /// share and that are not complete. Returns false if there is no memory to note it.
    pub(super) fn note_counted(&mut self, functions: &mut Functions, trees: &Trees) -> bool {
        let checkpoints = &mut self.checkpoints;
        let rings = self.rings.states().flat_map(ThreadState::rings);
        let last_ring = rings.map(|(page, _)| page.id).max().unwrap_or(OVERFLOW);
        if !checkpoints.is_kept() {
            return true;
        }
        if !checkpoints.make_room(last_ring) {
            // Nothing is noted until the next step: a snapshot is complete or not there.
            return false;
        }
        let mut changed = false;
        for state in self.rings.states() {
            // A ring that was made meanwhile has not been read, and is noted with the next snapshot.
            for (page, ring) in state.rings().filter(|(page, _)| page.id <= last_ring) {
                let marks = || &page.words[ring::MARKS..ring::MARKS + marks::WORDS];
                changed |= checkpoints.counted(page.id, ring.position(), marks);
            }
        }
        changed |= checkpoints.counted(OVERFLOW, self.overflow_position, || &[]);
        if changed || functions.iter().any(Function::has_changed_sums) {
            let (incomplete, without_copy) = self.append_incomplete(functions, trees);
            let checkpoints = &mut self.checkpoints;
            for function in functions.iter_mut() {
                let id = function.site.id();
                // A recoverer takes calls for dropped that are counted for no reason.
                let lost = without_copy.get(&id).copied().unwrap_or(0);
                let is_lost_changed = lost != self.without_copy.get(&id).copied().unwrap_or(0);
                if function.stats.take_changed_sum() || is_lost_changed {
                    let mut sum = function.stats.sum();
                    sum.recorded = sum.recorded.saturating_sub(lost);
                    checkpoints.figures_counted(id, &sum);
                }
                if let Some(tallied) = function.take_changed_tallied() {
                    checkpoints.tallied(id, &tallied);
                }
            }
            checkpoints.publish();
            (self.incomplete, self.without_copy) = (incomplete, without_copy);
        }
        self.uncounted.clear();
        true
    }

    /// Copies the rows that calls share and that are not complete, because these calls have no other trace in the store:
    /// the rows as they are now become valid with the next snapshot. Returns the journal blocks of the copies, and the
    /// number of calls of each function in the rows for which there was no room.
    fn append_incomplete(&mut self, functions: &Functions, trees: &Trees) -> (Held, HashMap<u32, u64>) {
        let place = (INCOMPLETE, incomplete_position(self.checkpoints.next_snapshot()));
        let mut without_copy: HashMap<u32, u64> = HashMap::new();
        for (thread, words) in trees.incomplete_rows() {
            if !self.journal.append(Priority::Row, place, thread, &words)
                && let Some((Record::Fold(header, fold, ..), _)) = decode(&words)
                && let Some(function) = functions.get(header.site)
                && without_copy.make_room(1)
            {
                *without_copy.entry(function.counted_as).or_default() += fold.calls;
            }
        }
        (self.journal.take_pieces().held(), without_copy)
    }

    /// Notes which statistics will be written once the store has the batch of this number.
    pub(super) fn note_stats(&mut self, sequence: u64, function: u32, sum: &CallStats) {
        if self.is_temporary {
            return;
        }
        self.checkpoints.figures_written(sequence, function, sum);
    }

    /// Notes the failures of each function that have been folded so far, that is, counted by kind instead of written as
    /// rows. The next batch carries these counts.
    pub(super) fn note_folded(&mut self, failures: &HashMap<u32, ByOutcome>) {
        if !self.grouped.note_folded(failures) {
            self.checkpoints.withdraw_grouped();
        }
    }

    /// Notes how far records will be written, and which failures will be counted by kind, once the store has the batch.
    pub(super) fn note_intent(&mut self, batch: &Batch, functions: &Functions) {
        if self.is_temporary || !self.checkpoints.is_kept() {
            return;
        }
        let sequence = batch.sequence;
        self.grouped.note_intent(batch, functions, &mut self.checkpoints);
        let ends = &self.ends[..self.ends.len() - self.postponed];
        // Only the last row of each run is noted, because rows come ring by ring.
        for (at, (ring, end)) in ends.iter().enumerate() {
            if ends.get(at + 1).is_none_or(|(next, _)| next != ring) {
                self.checkpoints.written(sequence, *ring, *end);
            }
        }
    }

    /// Notes that the store has the batch of this number, and releases the journal blocks of its rows.
    pub(super) fn note_written(&mut self, sequence: u64) {
        let rows = self.ends.len() - self.postponed;
        self.ends.drain(..rows);
        if self.is_temporary {
            // The list is bounded, because the journal bounds the number of blocks and runs without a block are left
            // out.
            let runs = self.held.drain(..).map(|(_, held)| held).filter(|held| !held.is_empty());
            for run in runs {
                if self.kept.make_room(1) {
                    self.kept.push(run);
                }
            }
            return;
        }
        self.checkpoints.acknowledge(sequence);
        if !self.grouped.note_written() {
            self.checkpoints.withdraw_grouped();
        }
        self.release(rows);
        if self.postponed == 0 {
            self.held.clear();
        }
    }

    /// Notes in the ring file which store was opened, and makes the search for records that dead processes left for
    /// this store due now.
    pub(super) fn note_store(&mut self, path: Option<&Path>) {
        if let Some(path) = path {
            self.rings.home.metadata.text(head::STORE, path.as_os_str().as_encoded_bytes());
        }
        self.is_recovering = path.is_some();
        self.next_recovery = Duration::ZERO;
    }

    /// Returns true if dead processes may have left records that are not recovered yet.
    pub(super) fn is_recovering(&self) -> bool {
        self.is_recovering
    }

    /// Searches at intervals for records that dead processes left for this store, and recovers one piece of them.
    /// Returns true if more are left.
    pub(super) fn recover(
        &mut self,
        now: Duration,
        clock: &Clock,
        store: &mut CurrentStore,
        ladder: &mut Ladder,
        functions: &Functions,
    ) -> bool {
        if now < self.next_recovery || !store.is_open() {
            return false;
        }
        let accountant = self.rings.home.accountant;
        if !has_memory(accountant.limit(Part::Recovery)) {
            // A recovery does not check its single allocations, so a failed one would end the process.
            accountant.note_refused(Part::Recovery);
            self.is_recovering = false;
            self.next_recovery = now + limits::RECOVER_INTERVAL;
            return false;
        }
        ladder.prepare_for_disk(functions);
        let more = store.get().is_some_and(|store| store.recover(clock.now_ns()).unwrap_or(false));
        self.is_recovering = more;
        if !more {
            self.next_recovery = now + limits::RECOVER_INTERVAL;
        }
        more
    }

    /// Leaves the journal for a recoverer, because the collector ends before the store has everything.
    pub(super) fn leave(&self) {
        self.journal.leave();
    }

    /// Removes the ring file, because the store has everything.
    pub(super) fn remove_file(&self) {
        if let Some(mapping) = self.rings.home.memory.mapping() {
            mapping.remove();
        }
    }
}

/// Rows of one thread, as they are stored in the backlog.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowRun<'a> {
    pub(super) ring: u32,
    /// The position in the ring of the first of the words that were drained together with the rows.
    pub(super) from: u64,
    pub(super) thread: u32,
    pub(super) words: &'a [u64],
    /// The position after each row in the ring.
    pub(super) ends: &'a VecDeque<u64>,
}

/// The ring number of records that no ring holds.
pub(super) const OVERFLOW: u32 = 0;
/// Rows are copied by themselves if they make up less than one in this many of the drained words.
const SPARSE: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::accountant::{Accountant, Part};
    use crate::collect::backlog::{Backlog, Segment};
    use crate::collect::events::Events;
    use crate::collect::journal_writer::JournalWriter;
    use crate::collect::trees::{DrainedRings, Moment};
    use crate::config::CaptureMode;
    use crate::histogram::Histogram;
    use crate::record::{HEADER_WORDS, Header, Outcome, is_settled};
    use crate::ring::mapping::Mapping;
    use crate::ring::memory::Memory;
    use crate::ring::reader::Image;
    use crate::site::{CallSite, Description};

    /// Returns the crash safety of a collector with a ring file and this many blocks of 64 KiB for the journal, and the
    /// folder of the file.
    fn crash_safety(blocks: usize) -> (CrashSafety, tempfile::TempDir) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let memory = Memory::mapped(Mapping::create(folder.path(), "rings", 1 << 20).unwrap());
        let (overflow, _) = crossbeam_channel::unbounded();
        let rings = ThreadPool::new(
            Accountant::of_part(Part::Journal, blocks << 16),
            7,
            CaptureMode::All,
            overflow,
            memory,
        );
        (CrashSafety::new(Box::leak(Box::new(rings))), folder)
    }

    /// Returns a hundred calls, of which the first and the last failed.
    fn drained() -> Vec<u64> {
        let outcome = |at| if at == 0 || at == 99 { Outcome::Error } else { Outcome::Ok };
        (0..100).flat_map(|at| Header::any(1, outcome(at)).encode(0)).collect()
    }

    #[test]
    fn failures_are_kept_where_there_is_no_room_for_what_they_were_drained_with() {
        let (mut safety, _folder) = crash_safety(0);
        let words = drained();
        let mut copies = JournalWriter::new(&mut safety.journal, 7, 1);
        // The words are appended in two pieces, as a ring hands them over.
        let middle = 50 * HEADER_WORDS;
        copies.append(1000, &words[..middle], 0);
        copies.append(1000 + middle as u64, &words, middle);
        let pieces = safety.journal.take_pieces();
        let kept: Vec<usize> = (0..100).filter(|at| pieces.is_kept(at * HEADER_WORDS)).collect();
        assert_eq!(kept, [0, 99]);
    }

    #[test]
    fn few_rows_do_not_hold_on_to_all_that_they_were_drained_with() {
        let (mut safety, _folder) = crash_safety(3);
        let words = drained();
        JournalWriter::new(&mut safety.journal, 7, 1).append(1000, &words, 0);
        let pieces = safety.journal.take_pieces();
        assert!(pieces.are_whole());
        let row = Header::any(1, Outcome::Error).encode(0);
        let ends = VecDeque::from([1000 + row.len() as u64]);
        let run = RowRun { ring: 7, from: 1000, thread: 1, words: &row, ends: &ends };
        let held = safety.hold(&pieces, run, words.len());
        let is_among =
            |one: &Held, other: &Held| one.iter().any(|block| std::sync::Arc::ptr_eq(block, &other[0]));
        assert!(held.len() == 1 && !is_among(&held, &pieces.held()));
        let many = RowRun { words: &words, ends: &VecDeque::new(), ..run };
        assert!(is_among(&safety.hold(&pieces, many, words.len()), &pieces.held()));
    }

    /// Returns the content of a ring file.
    fn image(folder: &tempfile::TempDir) -> Image {
        Image::of_test_file(&folder.path().join("rings"))
    }

    #[test]
    fn calls_whose_shared_row_finds_no_room_in_the_journal_are_not_noted_as_recorded() {
        static ABOUT: Description = Description::new(|| "crash_safety::query", file!(), line!(), &[], &[]);
        let (mut safety, folder) = crash_safety(0);
        let site: &'static CallSite = Box::leak(Box::new(CallSite::new(&ABOUT)));
        assert!(site.register());
        let mut functions = Functions::default();
        functions.discover();
        // The first two of these calls have a row each.
        let mut trees = Trees::new(safety.rings, 2);
        let call = |at: u64| Header {
            span: 101 + at,
            parent: 100,
            trace: 100,
            ..Header::any(site.id(), Outcome::Ok)
        };
        let calls = (0..10).flat_map(|at| call(at).encode(0)).collect();
        let drained = DrainedRings { rings: &mut [(0, calls)], threads: &[1] };
        let clock = Clock::start();
        let moment = Moment { now: Duration::from_secs(1), clock: &clock, functions: &functions };
        trees.survey(drained, &moment, &mut Events::default());
        let mut count_and_note = |safety: &mut CrashSafety, calls| {
            let counted = CallStats { calls, recorded: calls, ..CallStats::default() };
            functions.stats_mut(site.id()).unwrap().add(0, counted, Histogram::default());
            safety.note_counted(&mut functions, &trees);
            let image = image(&folder);
            let entry = image.ledger.iter().find(|entry| entry.site == site.id()).unwrap();
            (entry.counted.calls, entry.counted.without_reason())
        };
        assert_eq!(count_and_note(&mut safety, 10), (10, 0));
        while safety.journal.append(Priority::Row, (9, 0), 1, &[0; 10]) {}
        let rows = safety.journal.take_pieces();
        assert_eq!(count_and_note(&mut safety, 1), (11, 8));
        drop(rows);
        assert_eq!(count_and_note(&mut safety, 1), (12, 0));
    }

    #[test]
    fn a_call_that_is_given_up_has_no_row_in_the_journal_although_a_failure_holds_its_block() {
        let (mut safety, folder) = crash_safety(3);
        let words = drained();
        JournalWriter::new(&mut safety.journal, 7, 1).append(1000, &words, 0);
        let held = safety.journal.take_pieces().held();
        let ends = (1..=100).map(|at| 1000 + at * HEADER_WORDS as u64).collect();
        let mut backlog = Backlog::new(Accountant::of_part(Part::Backlog, 4096));
        backlog.push(Segment::new(1, words, 7, ends, held)).unwrap();
        let mut given_up = 0;
        backlog.evict(|_| given_up += 1, |_, _| None);
        assert_eq!(given_up, 98);
        let image = image(&folder);
        let [entry] = &image.entries[..] else { panic!("{:?}", image.entries) };
        let words = image.entry(entry, 0, entry.len());
        let with_row: Vec<usize> = (0..100).filter(|at| !is_settled(words[at * HEADER_WORDS])).collect();
        assert_eq!(with_row, [0, 99]);
    }

    #[test]
    fn a_ring_whose_calls_were_all_put_off_is_not_said_to_be_written_with_the_batch() {
        let (mut safety, _folder) = crash_safety(0);
        let rings: [&'static [AtomicU64]; 2] =
            [1, 2].map(|_| &*Vec::leak((0..marks::WORDS).map(|_| AtomicU64::new(0)).collect()));
        let CrashSafety { checkpoints, ends, .. } = &mut safety;
        for (ring, words) in (1..).zip(rings) {
            checkpoints.counted(ring, 90, || words);
            checkpoints.written(1, ring, 90);
            ends.extend([(ring, 80), (ring, 90)]);
        }
        let is_written = |words: &[AtomicU64]| {
            [0, 2].iter().any(|at| words[marks::WRITTEN + at].load(Ordering::Relaxed) == 1)
        };
        assert_eq!(rings.map(is_written), [true, true]);
        safety.postpone(1, 2);
        assert_eq!(rings.map(is_written), [true, false]);
        assert_eq!(
            safety.ends.split_at(safety.ends.len() - safety.postponed),
            (&[(1, 80), (1, 90)][..], &[(2, 80), (2, 90)][..])
        );
    }

    #[test]
    fn what_held_calls_is_let_go_with_them_though_others_were_put_off() {
        let (mut safety, _folder) = crash_safety(0);
        safety.held = [2, 3, 4].map(|calls| (calls, Held::new())).into();
        let mut left = |calls| {
            safety.release(calls);
            safety.held.iter().map(|(calls, _)| *calls).collect::<Vec<_>>()
        };
        assert_eq!(left(1), [1, 3, 4]);
        assert_eq!(left(4), [4]);
        assert!(left(9).is_empty());
    }
}
