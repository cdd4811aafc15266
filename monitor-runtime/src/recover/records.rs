//! The records of a dead process that its store lacks, in the order of their recovery.
//!
//! Takes the content of a ring file and the progress of the store; gives the places of whole records, ring by ring,
//! each ring from the position up to which the store has it, a portion at a time. The result depends on nothing else,
//! so that all recoverers of a file agree. It does not know the store.

use std::collections::HashMap;

use crate::batch::RecoveryProgress;
use crate::record::{Header, LogLine, Record, decode, is_intact, is_settled};
use crate::ring::layout::{INCOMPLETE, incomplete_position, latest};
use crate::ring::reader::{Image, RingImage};

/// The largest number of words that are read at once. A record has fewer.
const PIECE_WORDS: usize = 8192;

/// The place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) ring: u32,
    /// Position in the ring.
    pub(crate) from: u64,
    /// Position behind the record.
    pub(crate) to: u64,
    pub(crate) thread: u32,
    /// True if the store lacks the row.
    pub(crate) needs_row: bool,
    /// True if the record is not counted yet.
    pub(crate) needs_count: bool,
    /// True if the collector decided that the record gets no row.
    pub(crate) is_settled: bool,
    run: usize,
    at: usize,
}

/// The records of a dead process that its store lacks. Only one portion of them is loaded at a time.
#[derive(Debug)]
pub(crate) struct Records {
    /// The words of the portion.
    runs: Vec<Vec<u64>>,
    /// The records of the portion.
    pub(crate) places: Vec<Place>,
    /// The rings that are left, the next one last, and the one under way.
    rings: Vec<RingWalk>,
    /// The incomplete rows that are left, the next one last: the number of each row, and the place of its entry in the
    /// image.
    incomplete: Vec<(u64, usize)>,
}

/// The way through the records of one ring.
#[derive(Debug)]
struct RingWalk {
    /// The place of the ring in the image.
    ring: usize,
    /// The places of its journal entries in the image that are left, the next one last.
    entries: Vec<usize>,
    /// The number of words of the entry, or of the ring itself, that have been walked.
    behind: usize,
    thread: u32,
    /// The position up to which records are found or known to the store.
    next: u64,
    /// The position from which the store lacks the rows of records, and the position from which records are not
    /// counted.
    from: (u64, u64),
    /// The position at which the last entry ended.
    entry_end: Option<u64>,
    is_in_entry: bool,
}

impl Records {
    /// Returns the records that the store lacks. The first portion is still to be loaded.
    pub(crate) fn missing(image: &Image, done: &RecoveryProgress) -> Self {
        let mut entries: HashMap<u32, Vec<usize>> = HashMap::new();
        for (place, entry) in image.entries.iter().enumerate() {
            entries.entry(entry.ring).or_default().push(place);
        }
        let mut rings: Vec<(usize, &RingImage)> = image.rings.iter().enumerate().collect();
        rings.sort_by_key(|(_, ring)| ring.id);
        rings.dedup_by_key(|(_, ring)| ring.id);
        let walk = |(place, ring): &(usize, &RingImage)| {
            let mut entries = entries.remove(&ring.id).unwrap_or_default();
            // The ring still holds the words of these entries and the words between them, so all are read there. An entry
            // may be a single failure.
            let held = ring.head..ring.head.saturating_add(ring.pending() as u64);
            entries.retain(|entry| !held.contains(&image.entries[*entry].position));
            entries.sort_by_key(|entry| image.entries[*entry].position);
            entries.reverse();
            let written = latest(&ring.marks.written, done.batch).unwrap_or_default();
            let from = (written, ring.marks.counted);
            // Drained records come first: the journal got them before the ring forgot them.
            let next = done.rings.get(&ring.id).copied().unwrap_or(from.0.min(from.1));
            let thread = ring.head_thread;
            let (behind, entry_end, is_in_entry) = (0, None, false);
            RingWalk { ring: *place, entries, behind, thread, next, from, entry_end, is_in_entry }
        };
        let mut rings: Vec<RingWalk> = rings.iter().map(walk).collect();
        rings.reverse();
        // The rows that calls share and that were not complete at the last snapshot. Their positions are their numbers.
        let valid = (INCOMPLETE, incomplete_position(image.snapshot));
        let next = done.rings.get(&INCOMPLETE).copied().unwrap_or(0);
        let found =
            image.entries.iter().enumerate().filter(|(_, entry)| (entry.ring, entry.position) == valid);
        let mut incomplete: Vec<(u64, usize)> = (0..).zip(found.map(|(place, _)| place)).collect();
        incomplete.retain(|(number, _)| *number >= next);
        incomplete.reverse();
        Self { runs: Vec::new(), places: Vec::new(), rings, incomplete }
    }

    /// Loads the next portion in place of the last one: about this many bytes, and at least one record. Returns false
    /// if no record is left.
    pub(crate) fn load(&mut self, image: &Image, bytes: usize) -> bool {
        self.runs.clear();
        self.places.clear();
        let mut words = 0;
        while words * size_of::<u64>() < bytes || self.places.is_empty() {
            let Some(loaded) = self.load_piece(image) else { break };
            words += loaded;
        }
        !self.places.is_empty()
    }

    /// Returns true if nothing is left beyond the portion.
    pub(crate) fn is_last(&self) -> bool {
        self.rings.is_empty() && self.incomplete.is_empty()
    }

    /// Loads the next piece of a ring or the journal. Returns the number of its words that stay in memory; `None` at
    /// the end.
    fn load_piece(&mut self, image: &Image) -> Option<usize> {
        let Some(mut walk) = self.rings.pop() else { return self.load_incomplete(image) };
        let Some(ring) = image.rings.get(walk.ring) else { return Some(0) };
        let entry = walk.entries.last().and_then(|place| image.entries.get(*place));
        let (position, length, words) = if let Some(entry) = entry {
            if !walk.is_in_entry && walk.entry_end != Some(entry.position) {
                walk.thread = entry.thread;
            }
            (entry.position, entry.len(), image.entry(entry, walk.behind, PIECE_WORDS))
        } else {
            if !walk.is_in_entry && walk.entry_end != Some(ring.head) {
                walk.thread = ring.head_thread;
            }
            (ring.head, ring.pending(), image.pending(ring, walk.behind, PIECE_WORDS))
        };
        walk.is_in_entry = true;
        let found = self.places.len();
        let used = position
            .checked_add(walk.behind as u64)
            .map_or(0, |position| self.add_run(ring.id, (position, &words), &mut walk));
        walk.behind += used;
        // A piece may end within a record, with which the next piece begins. The entry is over at its end, or if a
        // piece has no whole record.
        let is_over = used == 0 || walk.behind >= length;
        let is_ring = entry.is_none();
        if is_over {
            walk.entry_end = entry.and_then(|entry| entry.position.checked_add(length as u64));
            walk.entries.pop();
            (walk.behind, walk.is_in_entry) = (0, false);
        }
        if !(is_over && is_ring) {
            self.rings.push(walk);
        }
        if self.places.len() == found {
            // Nothing in these words is needed.
            return Some(0);
        }
        let loaded = words.len();
        self.runs.push(words);
        Some(loaded)
    }

    /// Loads the next row that was not complete.
    fn load_incomplete(&mut self, image: &Image) -> Option<usize> {
        let (number, place) = self.incomplete.pop()?;
        let entry = image.entries.get(place)?;
        let words = image.entry(entry, 0, PIECE_WORDS);
        if !matches!(decode(&words), Some((Record::Fold(..), _))) {
            return Some(0);
        }
        self.places.push(Place {
            ring: INCOMPLETE,
            from: number,
            to: number + 1,
            thread: entry.thread,
            needs_row: true,
            needs_count: false,
            is_settled: false,
            run: self.runs.len(),
            at: 0,
        });
        let loaded = words.len();
        self.runs.push(words);
        Some(loaded)
    }

    /// Adds those of the records in `words` whose position is at least that of the walk. Returns the number of words up
    /// to the end of the last record.
    fn add_run(&mut self, ring: u32, (position, words): (u64, &[u64]), walk: &mut RingWalk) -> usize {
        let (run, mut at) = (self.runs.len(), 0);
        let (rows_from, counts_from) = walk.from;
        while let Some((record, used)) = decode(words.get(at..).unwrap_or_default()) {
            let Some(from) = position.checked_add(at as u64) else { return 0 };
            // A record that ends past the largest position would be found again and again.
            let Some(to) = from.checked_add(used as u64) else { return 0 };
            if let Record::Thread(owner) = record {
                walk.thread = owner;
            }
            if from >= walk.next {
                let (needs_row, needs_count) = (from >= rows_from, from >= counts_from);
                let is_needed = match record {
                    Record::Call(..) => true,
                    // Calls that share a row are in that row once they are counted, and it is believed from then on.
                    Record::Folded(..) => needs_count,
                    Record::Fold(..) => !needs_count,
                    Record::Line(..) => needs_row,
                    Record::Thread(_) | Record::Skip => false,
                };
                if is_needed {
                    let is_settled = words.get(at).is_some_and(|first| is_settled(*first));
                    let thread = walk.thread;
                    self.places.push(Place {
                        ring,
                        from,
                        to,
                        thread,
                        needs_row,
                        needs_count,
                        is_settled,
                        run,
                        at,
                    });
                }
                walk.next = to;
            }
            at += used;
        }
        at
    }

    /// Returns the record at a place. If the checksum shows that its values are damaged, it comes without them.
    pub(crate) fn get(&self, place: &Place) -> Option<Record<'_>> {
        let words = self.runs.get(place.run)?.get(place.at..)?;
        match decode(words)?.0 {
            Record::Call(header, ..) | Record::Folded(header, ..) if !is_intact(words) => {
                // The extension of an async call is among the damaged words.
                let self_ticks = if header.is_async { header.busy } else { header.self_ticks };
                let header = Header { self_ticks, args_bytes: 0, fields_bytes: 0, ..header };
                Some(Record::Call(header, &[], 0))
            }
            // The sums are among the damaged words.
            Record::Fold(..) if !is_intact(words) => None,
            // The texts are among the damaged words.
            Record::Line(line, ..) if !is_intact(words) => {
                Some(Record::Line(LogLine { body_bytes: 0, fields_bytes: 0, ..line }, &[], &[]))
            }
            // The row that the call would have shared is not believed, so the call has a row of its own.
            Record::Folded(header, values, bytes) => Some(Record::Call(header, values, bytes)),
            record => Some(record),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::Ordering;

    use super::*;
    use crate::accountant::{Accountant, Part};
    use crate::record::{HEADER_WORDS, Outcome};
    use crate::ring::journal::{Journal, Priority};
    use crate::ring::layout::Kind;
    use crate::ring::layout::ring::{CAPACITY, CONTROL};
    use crate::ring::mapping::Mapping;
    use crate::ring::memory::Memory;
    use crate::ring::spsc::Ring;

    /// Returns the places at which two records are found, in words that start at this position.
    fn found(position: u64) -> Vec<(u64, u64)> {
        let mut words = vec![0; 2 * HEADER_WORDS];
        for record in words.chunks_mut(HEADER_WORDS) {
            record[0] = HEADER_WORDS as u64 | 1 << 32;
        }
        let (runs, places, rings, incomplete) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut records = Records { runs, places, rings, incomplete };
        let mut walk = RingWalk {
            ring: 0,
            entries: Vec::new(),
            behind: 0,
            thread: 1,
            next: position,
            from: (position, position),
            entry_end: None,
            is_in_entry: true,
        };
        records.add_run(1, (position, &words), &mut walk);
        records.places.iter().map(|place| (place.from, place.to)).collect()
    }

    #[test]
    fn a_record_that_ends_past_the_last_position_is_none() {
        let words = HEADER_WORDS as u64;
        assert_eq!(found(100), [(100, 100 + words), (100 + words, 100 + 2 * words)]);
        let last = u64::MAX - words;
        assert_eq!(found(last), [(last, u64::MAX)]);
        assert_eq!(found(last + 1), []);
    }

    #[test]
    fn each_record_is_found_once_while_the_ring_holds_words_of_which_the_journal_has_some() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let mapping = Mapping::create(folder.path(), "rings", 1 << 20).unwrap();
        let memory: &'static Memory = Box::leak(Box::new(Memory::mapped(mapping)));
        let (control, words) = memory.take(Kind::Ring, 1, (CONTROL + 1024) * 8).unwrap().split_at(CONTROL);
        control[CAPACITY].store(1024, Ordering::Relaxed);
        let ring = Ring::new(control, words, words.len());
        let mut journal = Journal::new(memory, Accountant::of_part(Part::Journal, 0));
        let failure = Header::any(7, Outcome::Error).encode(0);
        let positions = || {
            let image = Image::of_test_file(&folder.path().join("rings"));
            let mut records = Records::missing(&image, &RecoveryProgress::default());
            let mut found = Vec::new();
            while records.load(&image, 1000) {
                found.extend(records.places.iter().map(|place| place.from / HEADER_WORDS as u64));
            }
            found
        };
        for number in 0..60 {
            ring.push(&failure, &[]);
            if number == 9 {
                // A copy of these words was made before the ring forgot them.
                ring.drain(|_, piece| {
                    let mut words = Vec::new();
                    piece.append_to(&mut words);
                    assert!(journal.append(Priority::Failure, (1, 0), 1, &words));
                });
            }
        }
        ring.read(|_, _| {
            let place = 40 * HEADER_WORDS as u64;
            assert!(journal.append(Priority::Failure, (1, place), 1, &failure));
            false
        });
        assert_eq!(positions(), (0..60).collect::<Vec<_>>());
        ring.free();
        assert_eq!(positions(), (0..10).chain([40]).collect::<Vec<_>>());
    }
}
