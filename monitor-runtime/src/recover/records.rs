//! The records of a dead process that its store lacks, in the order of their recovery.
//!
//! Takes the content of a ring file and the progress of the store; gives the places of whole records, ring by ring, each
//! ring from the position up to which the store has it. The result depends on nothing else, so that all recoverers of
//! a file agree. It does not know the store.

use std::collections::HashMap;

use crate::batch::RecoveryProgress;
use crate::record::{Header, Record, decode, is_intact, is_settled};
use crate::ring::layout::{INCOMPLETE, incomplete_position};
use crate::ring::reader::{Entry, Image, RingImage, latest};

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

/// All such records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    runs: Vec<Vec<u64>>,
    pub(crate) places: Vec<Place>,
}

impl Records {
    /// Returns the records that the store lacks.
    pub(crate) fn missing(image: &Image, done: &RecoveryProgress) -> Self {
        let mut records = Self::default();
        let mut entries: HashMap<u32, Vec<&Entry>> = HashMap::new();
        for entry in &image.entries {
            entries.entry(entry.ring).or_default().push(entry);
        }
        let mut rings: Vec<&RingImage> = image.rings.iter().collect();
        rings.sort_by_key(|ring| ring.id);
        rings.dedup_by_key(|ring| ring.id);
        for ring in rings {
            let mut entries = entries.remove(&ring.id).unwrap_or_default();
            entries.sort_by_key(|entry| entry.position);
            records.add_ring(image, ring, &entries, done);
        }
        records.add_incomplete(image, done);
        records
    }

    /// Adds the rows that calls share and that were not complete at the last snapshot. Their positions are their numbers.
    fn add_incomplete(&mut self, image: &Image, done: &RecoveryProgress) {
        let valid = incomplete_position(image.snapshot);
        let next = done.rings.get(&INCOMPLETE).copied().unwrap_or(0);
        let entries =
            image.entries.iter().filter(|entry| (entry.ring, entry.position) == (INCOMPLETE, valid));
        for (number, entry) in (0..).zip(entries) {
            let words = image.entry(entry).to_vec();
            if number >= next && matches!(decode(&words), Some((Record::Fold(..), _))) {
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
                self.runs.push(words);
            }
        }
    }

    fn add_ring(&mut self, image: &Image, ring: &RingImage, entries: &[&Entry], done: &RecoveryProgress) {
        let written = latest(&ring.marks.written, done.batch).unwrap_or_default();
        let from = (written, ring.marks.counted);
        // Drained records come first: the journal got them before the ring forgot them.
        let recovered = done.rings.get(&ring.id).copied();
        let mut next = recovered.unwrap_or(from.0.min(from.1));
        let mut thread = ring.head_thread;
        let mut behind = None;
        for entry in entries {
            if behind != Some(entry.position) {
                thread = entry.thread;
            }
            let words = image.entry(entry).to_vec();
            behind = entry.position.checked_add(words.len() as u64);
            next = self.add_run(ring.id, (entry.position, words), &mut thread, next, from);
        }
        if behind != Some(ring.head) {
            thread = ring.head_thread;
        }
        self.add_run(ring.id, (ring.head, image.pending(ring)), &mut thread, next, from);
    }

    /// Adds the records of a run whose position is at least `next`. Returns the position behind the last one.
    fn add_run(
        &mut self,
        ring: u32,
        (position, words): (u64, Vec<u64>),
        thread: &mut u32,
        next: u64,
        (rows_from, counts_from): (u64, u64),
    ) -> u64 {
        let (run, mut at, mut next) = (self.runs.len(), 0, next);
        while let Some((record, used)) = decode(words.get(at..).unwrap_or_default()) {
            let Some(from) = position.checked_add(at as u64) else { break };
            // A record that ends past the largest position would be found again and again.
            let Some(to) = from.checked_add(used as u64) else { break };
            if let Record::Thread(owner) = record {
                *thread = owner;
            }
            if from >= next {
                let (needs_row, needs_count) = (from >= rows_from, from >= counts_from);
                let is_needed = match record {
                    Record::Call(..) => true,
                    // Calls that share a row are in that row once they are counted, and it is believed from then on.
                    Record::Folded(..) => needs_count,
                    Record::Fold(..) => !needs_count,
                    Record::Thread(_) | Record::Skip => false,
                };
                if is_needed {
                    let is_settled = words.get(at).is_some_and(|first| is_settled(*first));
                    let thread = *thread;
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
                next = to;
            }
            at += used;
        }
        self.runs.push(words);
        next
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
            // The row that it would have shared is not believed, so it has one of its own.
            Record::Folded(header, values, bytes) => Some(Record::Call(header, values, bytes)),
            record => Some(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HEADER_WORDS;

    /// Returns the places at which two records are found, in a run that starts at this position.
    fn found(position: u64) -> Vec<(u64, u64)> {
        let mut words = vec![0; 2 * HEADER_WORDS];
        for record in words.chunks_mut(HEADER_WORDS) {
            record[0] = HEADER_WORDS as u64 | 1 << 32;
        }
        let mut records = Records::default();
        records.add_run(1, (position, words), &mut 1, position, (position, position));
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
}
