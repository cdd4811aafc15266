//! The byte layout of a ring file: where in it which word lies. Pure constants, shared by those who write
//! the file and those who read it after the process has died; `docs/record-format.md` draws them.
//!
//! A file is a head page of 512 words, followed by blocks, each a multiple of a page. All words are 64
//! bits wide, in the machine's own order. It does not know how memory is come by.
#![allow(dead_code, reason = "the whole layout, of which each side uses a part")]

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = 512;
/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = PAGE_WORDS * 8;

/// `MNTRRING`: the first word of a file, written last.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"MNTRRING");
/// Version of this layout; another one is left alone.
pub(crate) const VERSION: u64 = 1;

/// Words of the head page.
pub(crate) mod head {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    /// Bytes of the file in use: whole blocks.
    pub(crate) const END: usize = 2;
    pub(crate) const PID: usize = 3;
    pub(crate) const STARTED_NS: usize = 4;
    /// Added to a thread's id, it gives the upper half of the thread's span ids.
    pub(crate) const FIRST_PREFIX: usize = 5;
    /// Number of the last batch that the store is known to have.
    pub(crate) const ACKNOWLEDGED: usize = 6;
    /// Number of the last snapshot of figures that is whole.
    pub(crate) const SNAPSHOT: usize = 7;
    /// Unix time of the collector's last step.
    pub(crate) const ALIVE_NS: usize = 8;
    pub(crate) const RETENTION_NS: usize = 9;
    pub(crate) const MAX_DISK_BYTES: usize = 10;
    /// Which of the two calibrations below holds.
    pub(crate) const CLOCK: usize = 11;
    /// Two times three words: ticks, Unix time at them, nanoseconds per tick as 32.32 fixed point.
    pub(crate) const CALIBRATIONS: usize = 12;
    pub(crate) const CALIBRATION_WORDS: usize = 3;
    /// Calls that found no slot for calls in flight.
    pub(crate) const FLIGHTS_LOST: usize = 18;
    /// The marks of records that found no room in a ring: see `ring::MARKS`.
    pub(crate) const OVERFLOW_MARKS: usize = 20;
    /// When the last panic was, Unix time.
    pub(crate) const PANIC_NS: usize = 31;
    /// Texts: a word with the length in bytes, then the bytes. First word, words in all.
    pub(crate) const RUN_UUID: (usize, usize) = (32, 8);
    pub(crate) const MARK: (usize, usize) = (40, 24);
    pub(crate) const SERVICE: (usize, usize) = (64, 32);
    pub(crate) const RECORDER: (usize, usize) = (96, 8);
    pub(crate) const HOST: (usize, usize) = (104, 40);
    /// The store asked for, and the one that was opened.
    pub(crate) const STORE_ASKED: (usize, usize) = (144, 128);
    pub(crate) const STORE: (usize, usize) = (272, 128);
    pub(crate) const PANIC: (usize, usize) = (400, 112);
}

/// What a block holds. Zero is no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// A ring with its control page.
    Ring = 1,
    /// Records that were drained and wait to be written.
    Journal = 2,
    /// Descriptions of call sites.
    Sites = 3,
    /// Names of threads.
    Threads = 4,
    /// Figures by call site.
    Ledger = 5,
    /// Async calls that wait to be polled again.
    Flights = 6,
    /// Tallies of one thread.
    Tallies = 7,
}

impl Kind {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        [Self::Ring, Self::Journal, Self::Sites, Self::Threads, Self::Ledger, Self::Flights, Self::Tallies]
            .into_iter()
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

/// Words of a ring's control page; its data follow.
pub(crate) mod ring {
    /// The thread that it belongs to; 0 for none.
    pub(crate) const THREAD: usize = 8;
    /// The thread that the record at the head is from, once the ring was drained.
    pub(crate) const HEAD_THREAD: usize = 9;
    /// Words for records: a power of two.
    pub(crate) const CAPACITY: usize = 10;
    pub(crate) const TAIL: usize = 16;
    /// Calls under way on the thread; beside the tail, which every call writes as well.
    pub(crate) const DEPTH: usize = 17;
    pub(crate) const HEAD: usize = 32;
    /// How far the ring's records are written and counted.
    pub(crate) const MARKS: usize = 48;
    /// Calls under way, the outermost first: see `frame`.
    pub(crate) const FRAMES: usize = 128;
    /// Innermost calls of a thread that are kept; of calls further out the depth alone is known.
    pub(crate) const FRAMES_MAX: usize = 64;
    /// Words before the data.
    pub(crate) const CONTROL: usize = super::PAGE_WORDS;
}

/// Words of a frame.
pub(crate) mod frame {
    /// Call site (32 bits), number of calls around it (32).
    pub(crate) const SITE: usize = 0;
    pub(crate) const START: usize = 1;
    pub(crate) const SPAN: usize = 2;
    pub(crate) const WORDS: usize = 4;
}

/// Two numbered pairs: how far a ring's records are written if the store has the batch of that number, and
/// how far they are counted if the snapshot of that number is whole.
pub(crate) mod marks {
    /// Two times (batch, position).
    pub(crate) const WRITTEN: usize = 0;
    /// Two times (snapshot, position).
    pub(crate) const COUNTED: usize = 4;
    pub(crate) const WORDS: usize = 8;
}

/// Words of a journal's entry: the head, then words as they lay in the ring.
pub(crate) mod entry {
    /// Words (32 bits), ring (32).
    pub(crate) const LENGTH: usize = 0;
    /// Position of the first word in its ring.
    pub(crate) const POSITION: usize = 1;
    /// The thread that the first record is from.
    pub(crate) const THREAD: usize = 2;
    pub(crate) const HEADER: usize = 3;
}

/// Words of an entry of a sites block; the texts follow as bytes.
pub(crate) mod site {
    /// Words in all (32 bits), id (32).
    pub(crate) const ID: usize = 0;
    pub(crate) const LINE: usize = 1;
    pub(crate) const SLOW_NS: usize = 2;
    /// Bytes of the texts.
    pub(crate) const TEXT: usize = 3;
    pub(crate) const HEADER: usize = 4;
}

/// The table of threads: entries of a cache line, by id.
pub(crate) mod thread {
    /// Id (32 bits), bytes of the name (32).
    pub(crate) const ID: usize = 0;
    pub(crate) const WORDS: usize = 8;
    /// Bytes of a name that are kept.
    pub(crate) const NAME_BYTES: usize = 56;
    /// Threads of which the name is known at a time: the latest.
    pub(crate) const ENTRIES: usize = 1023;
}

/// Figures of a site: two snapshots and two that are in the store, each numbered.
pub(crate) mod ledger {
    /// Two times (snapshot, figures).
    pub(crate) const COUNTED: usize = 0;
    /// Two times (batch, figures).
    pub(crate) const WRITTEN: usize = 20;
    /// Words of a number and its figures.
    pub(crate) const SLOT: usize = 10;
    pub(crate) const FIGURES: usize = 9;
    pub(crate) const WORDS: usize = 40;
    /// Sites in a block.
    pub(crate) const SITES: usize = 32;
}

/// Words of a slot for an async call that waits.
pub(crate) mod flight {
    /// Call site; 0 for a slot that is free.
    pub(crate) const SITE: usize = 0;
    pub(crate) const START: usize = 1;
    pub(crate) const SPAN: usize = 2;
    /// When its last poll ended.
    pub(crate) const SINCE: usize = 3;
    pub(crate) const WORDS: usize = 4;
    /// Slots in the block.
    pub(crate) const SLOTS: usize = 1022;
}

/// Bytes of a block of this kind that holds so many words after its header.
pub(crate) const fn block_bytes(words: usize) -> usize {
    ((words + block::HEADER) * 8).next_multiple_of(PAGE_BYTES)
}
