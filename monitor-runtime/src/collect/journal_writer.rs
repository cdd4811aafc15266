//! Copies drained words into the journal while a ring is drained.

use crate::record::{Kept, LogLevel, Outcome, Record, decode};
use crate::ring::journal::{Journal, Priority};

/// A writer that copies the words of one ring into the journal.
#[derive(Debug)]
pub(super) struct JournalWriter<'a> {
    journal: &'a mut Journal,
    ring: u32,
    /// The thread of the next record to be looked at.
    thread: u32,
    /// The number of words that were looked at.
    looked: usize,
}

impl<'a> JournalWriter<'a> {
    /// Returns a writer for a ring. `thread` is the thread that the ring belonged to where its undrained words begin.
    pub(super) fn new(journal: &'a mut Journal, ring: u32, thread: u32) -> Self {
        Self { journal, ring, thread, looked: 0 }
    }

    /// Copies the words from index `begun` on, the first of which has the position `position` in the ring. Copies only
    /// failures, slow calls and log lines if there is no room for all of these words, and returns false.
    pub(super) fn append(&mut self, position: u64, words: &[u64], begun: usize) -> bool {
        if self.journal.append(Priority::Drained, (self.ring, position), self.thread, &words[begun..]) {
            return true;
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
            let has_row = has_row_at_any_rate(&record);
            let words = &words[at..at + used];
            if !has_row || !self.journal.append(priority(&record), place, self.thread, words) {
                self.journal.pass(used);
            }
        }
        false
    }
}

/// Returns true for a log line, and for a call that has a row at any sampling rate.
fn has_row_at_any_rate(record: &Record<'_>) -> bool {
    match record {
        Record::Call(header, ..) => matches!(header.kept, Kept::Failed | Kept::Slow),
        Record::Line(..) => true,
        _ => false,
    }
}

/// Returns the priority of a record that becomes a row.
pub(super) fn priority(record: &Record<'_>) -> Priority {
    match record {
        Record::Call(header, ..) if header.outcome != Outcome::Ok => Priority::Failure,
        Record::Line(line, ..) if line.level == LogLevel::Error => Priority::Failure,
        _ => Priority::Row,
    }
}
