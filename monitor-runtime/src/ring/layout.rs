//! The byte layout of a ring file: the place of each word in it.
//!
//! Takes nothing; gives constants, which the process that writes a file shares with the program that reads it after
//! that process has died. `docs/record-format.md` draws them. A file is a head page of 512 words, followed by blocks,
//! each a multiple of a page. All words are 64 bits wide, in the machine's own byte order. The file does not know where
//! memory comes from.
#![allow(dead_code, reason = "the layout is complete, and the writer and the reader use a part each")]

use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = 512;
/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = PAGE_WORDS * 8;

/// `MNTRRING`: the first word of a file, written last.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"MNTRRING");
/// `MNTRDONE`: the first word of a file whose content is in the store, where a file cannot be removed while it is mapped.
pub(crate) const DONE: u64 = u64::from_le_bytes(*b"MNTRDONE");
/// Version of this layout. A file of another version is left alone.
pub(crate) const VERSION: u64 = 3;

/// Words of the head page.
pub(crate) mod head {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    /// Bytes of the file that are in use: the head page and whole blocks.
    pub(crate) const END: usize = 2;
    pub(crate) const PID: usize = 3;
    pub(crate) const STARTED_NS: usize = 4;
    /// This number plus a thread's id gives the upper half of the thread's span ids: see `record::span_prefix`.
    pub(crate) const FIRST_PREFIX: usize = 5;
    /// Number of the last batch that the store has acknowledged.
    pub(crate) const ACKNOWLEDGED: usize = 6;
    /// Number of the last snapshot of figures that is complete.
    pub(crate) const SNAPSHOT: usize = 7;
    /// Unix time of the collector's last step, in nanoseconds.
    pub(crate) const ALIVE_NS: usize = 8;
    pub(crate) const RETENTION_NS: usize = 9;
    pub(crate) const MAX_DISK_BYTES: usize = 10;
    /// Index of the calibration below that is valid: 0 or 1.
    pub(crate) const CLOCK: usize = 11;
    /// Two calibrations of three words: ticks, the Unix time at these ticks, and nanoseconds per tick as a fixed-point
    /// number with 32 fractional bits.
    pub(crate) const CALIBRATIONS: usize = 12;
    pub(crate) const CALIBRATION_WORDS: usize = 3;
    /// Number of async calls that found no free slot while they waited.
    pub(crate) const FLIGHTS_LOST: usize = 18;
    /// The exit of the process, once its handlers run: see `panics::Exit`. 0 before.
    pub(crate) const EXIT: usize = 19;
    /// 1 once the checkpoints of some site's tallies found no room. The calls in the tallies of a site without a
    /// checkpoint may then be counted already.
    pub(crate) const TALLIED_LOST: usize = 29;
    /// 1 while the checkpoints of failures that the store counts by kind hold every site: see `grouped`. 0 in a file of a
    /// recorder without these, and once one of them found no room.
    pub(crate) const GROUPED: usize = 30;
    /// The marks of failures that travelled around a full ring: see `ring::MARKS`.
    pub(crate) const OVERFLOW_MARKS: usize = 20;
    /// Number of tries to recover the file since the last one that brought something into the store. A recoverer writes it, and
    /// takes it back if it ends in an orderly way.
    pub(crate) const TRIES: usize = 28;
    /// The last panic of a thread that has no ring: see `panic`, whose words of a thread and a span are not used.
    pub(crate) const PANIC: usize = 400;
    /// Texts, each given as its first word and its number of words. A text begins with a word that holds its length in
    /// bytes, followed by the bytes.
    pub(crate) const RUN_UUID: (usize, usize) = (32, 8);
    pub(crate) const MARK: (usize, usize) = (40, 24);
    pub(crate) const SERVICE: (usize, usize) = (64, 32);
    pub(crate) const RECORDER: (usize, usize) = (96, 8);
    pub(crate) const HOST: (usize, usize) = (104, 40);
    /// Paths of the store: the one that the settings name, and the one that was opened.
    pub(crate) const STORE_REQUESTED: (usize, usize) = (144, 128);
    pub(crate) const STORE: (usize, usize) = (272, 128);
}

/// The content of a block. The number 0 stands for no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// A ring with its control page.
    Ring = 1,
    /// Drained records that are not in the store yet.
    Journal = 2,
    /// Descriptions of call sites.
    Sites = 3,
    /// Names of threads.
    Threads = 4,
    /// Checkpoints of the figures of each call site.
    Ledger = 5,
    /// Async calls that wait to be polled again.
    Flights = 6,
    /// A block of a thread's tallies: see `tally`. Its id is the number of the block among those of the thread.
    Tallies = 7,
    /// Captured values of the calls in flight on one thread, whose ring has the same id.
    Scratch = 8,
    /// Captured arguments of the suspended calls.
    FlightValues = 9,
    /// A table of a thread's countdowns: see `countdown`. Its id is the thread's place (24 bits) and the number of the table
    /// among those of the thread (8), of which the last is in use.
    Countdowns = 10,
    /// Checkpoints of how far the tallies and countdowns of each call site are counted: see `tallied`.
    Tallied = 11,
    /// Checkpoints of how many failures of each call site the store counts by kind: see `grouped`.
    Grouped = 12,
    /// Places in the source that write log lines, with their counters.
    LogPlaces = 13,
}

impl Kind {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        let stored = [Self::Ring, Self::Journal, Self::Sites, Self::Threads, Self::Ledger, Self::Flights];
        let added = [Self::Tallies, Self::Scratch, Self::FlightValues, Self::Countdowns, Self::Tallied];
        stored
            .into_iter()
            .chain(added)
            .chain([Self::Grouped, Self::LogPlaces])
            .find(|kind| *kind as u32 == number)
    }
}

/// Words at the start of every block.
pub(crate) mod block {
    /// Kind (32 bits), id (32).
    pub(crate) const KIND: usize = 0;
    /// Bytes of the block, this header included.
    pub(crate) const BYTES: usize = 1;
    /// Words that are filled, of a block that is appended to; the header included.
    pub(crate) const FILLED: usize = 2;
    /// Words of the header.
    pub(crate) const HEADER: usize = 8;
}

/// Words of a ring's control page. The ring's data follows it.
pub(crate) mod ring {
    /// Id of the thread that owns the ring; 0 for none.
    pub(crate) const THREAD: usize = 8;
    /// Id of the thread that wrote the record at the head, once the ring was drained.
    pub(crate) const HEAD_THREAD: usize = 9;
    /// Number of words for records: a power of two.
    pub(crate) const CAPACITY: usize = 10;
    pub(crate) const TAIL: usize = 16;
    /// Number of calls under way on the thread. It lies beside the tail, because every call writes both.
    pub(crate) const DEPTH: usize = 17;
    pub(crate) const HEAD: usize = 32;
    /// Number of words that the collector has read. A recoverer needs the head alone.
    pub(crate) const READ: usize = 33;
    /// Positions up to which the ring's records are written and counted: see `marks`.
    pub(crate) const MARKS: usize = 48;
    /// Frames of the calls under way, the outermost first: see `frame`.
    pub(crate) const FRAMES: usize = 128;
    /// Number of innermost calls that have a frame. Of calls further out only the depth is known.
    pub(crate) const FRAMES_MAX: usize = 64;
    /// The last panic of a thread that owned the ring: see `panic`.
    pub(crate) const PANIC: usize = 384;
    /// The word that stands for the data of a ring without room for a record, whose capacity is 0.
    pub(crate) const NO_DATA: usize = PANIC + super::panic::WORDS;
    /// Words before the data.
    pub(crate) const CONTROL: usize = super::PAGE_WORDS;
}

/// Words of a frame.
pub(crate) mod frame {
    /// Call site (32 bits), number of calls around it (32).
    pub(crate) const SITE: usize = 0;
    pub(crate) const START: usize = 1;
    pub(crate) const SPAN: usize = 2;
    /// The place of the captured arguments: see `frames::place_of_arguments`.
    pub(crate) const ARGUMENTS: usize = 3;
    pub(crate) const WORDS: usize = 4;
}

/// Words of a panic.
pub(crate) mod panic {
    /// Ticks at which the hook saw the panic; 0 for none.
    pub(crate) const AT: usize = 0;
    /// The stage that the panic has reached, and flags: see `panics::Stage`.
    pub(crate) const STAGE: usize = 1;
    /// Id of the thread.
    pub(crate) const THREAD: usize = 2;
    /// The thread's last span id while it was known to unwind.
    pub(crate) const SPAN: usize = 3;
    /// Bytes of the text, which follows.
    pub(crate) const TEXT: usize = 4;
    pub(crate) const WORDS: usize = 112;
}

/// Positions in a ring, each under a number: the position up to which records are written if the store has the batch
/// of that number, and the position up to which they are counted if the snapshot of that number is complete.
pub(crate) mod marks {
    /// Two pairs of batch and position.
    pub(crate) const WRITTEN: usize = 0;
    /// Two pairs of snapshot and position.
    pub(crate) const COUNTED: usize = 4;
    pub(crate) const WORDS: usize = 8;
}

/// Words of an entry in the journal: a header, then the words as they lay in the ring.
pub(crate) mod entry {
    /// Words (32 bits), ring (32).
    pub(crate) const LENGTH: usize = 0;
    /// Position of the first word in its ring.
    pub(crate) const POSITION: usize = 1;
    /// Id of the thread that wrote the first record.
    pub(crate) const THREAD: usize = 2;
    pub(crate) const HEADER: usize = 3;
}

/// The ring number of entries that hold rows that calls share and that were not complete yet. Such an entry is valid if
/// its position belongs to the valid snapshot: see [`incomplete_position`].
pub(crate) const INCOMPLETE: u32 = u32::MAX;

/// Returns the position of an entry of incomplete rows that belongs to this snapshot. Positions of two snapshots are
/// further apart than a row is long, so that no entry seems to continue another.
pub(crate) const fn incomplete_position(snapshot: u64) -> u64 {
    snapshot << 16
}

/// Words of an entry in a block of sites. The texts follow as bytes.
pub(crate) mod site {
    /// Words in all (32 bits), id (32).
    pub(crate) const ID: usize = 0;
    pub(crate) const LINE: usize = 1;
    pub(crate) const SLOW_NS: usize = 2;
    /// Bytes of the texts.
    pub(crate) const TEXT: usize = 3;
    pub(crate) const HEADER: usize = 4;
}

/// Words of an entry in a block of places that write log lines. The texts follow as bytes.
pub(crate) mod log_place {
    /// Words in all (32 bits), number (16), level (16).
    pub(crate) const NUMBER: usize = 0;
    pub(crate) const LINE: usize = 1;
    /// Bytes of the texts.
    pub(crate) const TEXT: usize = 2;
    /// The counters: the second (32 bits) and the number of lines in it (32), then the lines that wait to share a row.
    pub(crate) const COUNTER: usize = 3;
    pub(crate) const COUNTERS: usize = 2;
    pub(crate) const HEADER: usize = 5;
}

/// The table of threads: an entry of one cache line for each, at the place of its id.
pub(crate) mod thread {
    /// Id (32 bits), bytes of the name (32).
    pub(crate) const ID: usize = 0;
    pub(crate) const WORDS: usize = 8;
    /// Most bytes of a name; the rest is cut.
    pub(crate) const NAME_BYTES: usize = 56;
    /// Number of threads whose names are known at a time: the latest ones.
    pub(crate) const ENTRIES: usize = 1023;
}

/// Checkpoints of a site's figures: two counted ones and two written ones, each under a number.
pub(crate) mod ledger {
    /// Two pairs of snapshot and figures.
    pub(crate) const COUNTED: usize = 0;
    /// Two pairs of batch and figures.
    pub(crate) const WRITTEN: usize = 30;
    /// Words of a number and its figures.
    pub(crate) const SLOT: usize = 15;
    pub(crate) const FIGURES: usize = 14;
    pub(crate) const WORDS: usize = 60;
    /// Sites in a block.
    pub(crate) const SITES: usize = 32;
}

/// Words of a tally: the counters of one function on one thread, which only grow. The first line is written by calls that
/// were sampled out but timed, the others by all other calls that leave no record.
pub(crate) mod tally {
    /// Number of calls that were sampled out, timed and `ok`, and the sums and the maximum of their ticks.
    pub(crate) const TIMED: usize = 0;
    pub(crate) const TIMED_TOTAL: usize = 1;
    pub(crate) const TIMED_SELF: usize = 2;
    pub(crate) const TIMED_NESTED: usize = 3;
    pub(crate) const TIMED_MAX: usize = 4;
    /// Numbers of failures that were sent past a full ring, by outcome: `error`, `panic`, `cancelled`. Each leaves a record
    /// once the collector takes it.
    pub(crate) const SENT: usize = 5;
    /// Numbers of the other calls: by outcome, and by the reason why they left no record.
    pub(crate) const CALLS: usize = 8;
    pub(crate) const UNRECORDED: usize = 12;
    /// Sums of the ticks of the other calls.
    pub(crate) const TOTAL: usize = 17;
    pub(crate) const SELF: usize = 18;
    pub(crate) const BUSY: usize = 19;
    pub(crate) const NESTED: usize = 20;
    pub(crate) const CANCELLED: usize = 21;
    /// The longest of the other calls, in ticks.
    pub(crate) const MAX: usize = 22;
    /// Number of `ok` calls that were sent past a full ring.
    pub(crate) const SENT_OK: usize = 23;
    pub(crate) const WORDS: usize = 24;
    /// Sites in the first block; each further block has twice as many as the one before.
    pub(crate) const FIRST_BLOCK: usize = 32;
    pub(crate) const BLOCKS: usize = 12;
}

/// Words of a countdown: see `thread::countdown`.
pub(crate) mod countdown {
    /// Number of calls that were only counted (32 bits), the gap with its flag (32).
    pub(crate) const WORD: usize = 0;
    /// Number of calls that were counted at their entry and left a record after all (32 bits), the epoch of the gap
    /// (32).
    pub(crate) const EPOCH: usize = 1;
    pub(crate) const WORDS: usize = 2;
}

/// Checkpoints of how far the tallies and countdowns of a site are counted: two pairs of snapshot and words.
pub(crate) mod tallied {
    /// Words of a number and what is counted: see `ring::tallied`.
    pub(crate) const SLOT: usize = 17;
    pub(crate) const WORDS: usize = 34;
    /// Sites in a block.
    pub(crate) const SITES: usize = 29;
}

/// Checkpoints of the failures of a site that the store counts by kind: two pairs of batch and numbers by outcome.
pub(crate) mod grouped {
    /// Words of a number and the failures: `error`, `panic`, `cancelled`.
    pub(crate) const SLOT: usize = 4;
    pub(crate) const WORDS: usize = 8;
    /// Sites in a block.
    pub(crate) const SITES: usize = 63;
}

/// Words of a slot for an async call between two polls.
pub(crate) mod flight {
    /// Call site (32 bits), words of its arguments (32); 0 marks a free slot.
    pub(crate) const SITE: usize = 0;
    pub(crate) const START: usize = 1;
    pub(crate) const SPAN: usize = 2;
    /// Ticks at which the call's last poll ended.
    pub(crate) const SINCE: usize = 3;
    /// Span id of the call's parent; 0 for none.
    pub(crate) const PARENT: usize = 4;
    pub(crate) const WORDS: usize = 5;
    /// Words of each slot's arguments that are kept, in a block of their own.
    pub(crate) const VALUE_WORDS: usize = 32;
    /// Slots in the block.
    pub(crate) const SLOTS: usize = 1022;
}

/// Returns the bytes of a block that holds this many words after its header: whole pages.
pub(crate) const fn block_bytes(words: usize) -> usize {
    ((words + block::HEADER) * 8).next_multiple_of(PAGE_BYTES)
}

/// Returns the number of words in use, header included, of a block whose header states it. The number lies in memory
/// that others can write to, so it is brought within the block.
pub(crate) fn filled(block: &[AtomicU64]) -> usize {
    let filled = block[block::FILLED].load(Ordering::Relaxed);
    usize::try_from(filled).unwrap_or(usize::MAX).clamp(block::HEADER, block.len())
}

/// Returns the value under the highest valid number, or `None` if there is none. Numbers from 1 to `holds` are valid.
pub(crate) fn latest<T: Copy>(slots: &[(u64, T)], holds: u64) -> Option<T> {
    let slots = slots.iter().filter(|(number, _)| *number > 0 && *number <= holds);
    slots.max_by_key(|(number, _)| *number).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn no_two_words_of_the_head_page_have_one_place() {
        let words = |(first, length)| first..first + length;
        let one = |place| words((place, 1));
        let mut places = vec![
            one(head::MAGIC),
            one(head::VERSION),
            one(head::END),
            one(head::PID),
            one(head::STARTED_NS),
            one(head::FIRST_PREFIX),
            one(head::ACKNOWLEDGED),
            one(head::SNAPSHOT),
            one(head::ALIVE_NS),
            one(head::RETENTION_NS),
            one(head::MAX_DISK_BYTES),
            one(head::CLOCK),
            words((head::CALIBRATIONS, 2 * head::CALIBRATION_WORDS)),
            one(head::FLIGHTS_LOST),
            one(head::EXIT),
            words((head::OVERFLOW_MARKS, super::marks::WORDS)),
            one(head::TRIES),
            one(head::TALLIED_LOST),
            one(head::GROUPED),
            words((head::PANIC, super::panic::WORDS)),
        ];
        let texts =
            [head::RUN_UUID, head::MARK, head::SERVICE, head::RECORDER, head::HOST, head::STORE_REQUESTED];
        places.extend(texts.into_iter().chain([head::STORE]).map(words));
        places.sort_by_key(|place| place.start);
        let is_apart = places.windows(2).all(|pair| pair[0].end <= pair[1].start);
        assert!(is_apart, "{places:?}");
        assert!(places.last().is_some_and(|place| place.end <= super::PAGE_WORDS));
    }
}
