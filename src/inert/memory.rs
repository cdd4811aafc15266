//! The memory of the recorder by part; without a recorder no part holds any.
//!
//! Takes nothing; gives the words and types of [`Health::memory`](super::Health::memory).

/// The parts of the recorder whose memory depends on load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// The rings that threads write records to.
    Rings,
    /// The states of threads, each with the page that holds its calls under way; and names of threads.
    Threads,
    /// The values of calls in flight, which threads capture.
    Scratch,
    /// The captured values of async calls, which travel with their futures.
    AsyncValues,
    /// Counters and histograms of calls without a record, by thread and function.
    Tallies,
    /// Failures on their way past a full ring.
    Overflow,
    /// The records of a drain, until they are counted.
    Drain,
    /// Records that wait for the store.
    Backlog,
    /// Copies of waiting records in the ring file.
    Journal,
    /// The rows of the batch under way.
    Batch,
    /// Statistics of functions, and kinds of failure.
    Functions,
    /// Callers whose callees have ended, rows that calls share, and causes of failures.
    Trees,
    /// Records that wait for subscribers.
    Subscribers,
    /// The part of a dead process's ring file that is being recovered.
    Recovery,
    /// The series of the program's metrics.
    Metrics,
}

impl Part {
    /// All parts, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Rings,
        Self::Threads,
        Self::Scratch,
        Self::AsyncValues,
        Self::Tallies,
        Self::Overflow,
        Self::Drain,
        Self::Backlog,
        Self::Journal,
        Self::Batch,
        Self::Functions,
        Self::Trees,
        Self::Subscribers,
        Self::Recovery,
        Self::Metrics,
    ];

    /// Returns the word for the part that is shown to users.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Threads => "threads",
            Self::Scratch => "scratch",
            Self::AsyncValues => "async_values",
            Self::Tallies => "tallies",
            Self::Overflow => "overflow",
            Self::Drain => "drain",
            Self::Backlog => "backlog",
            Self::Journal => "journal",
            Self::Batch => "batch",
            Self::Functions => "functions",
            Self::Trees => "trees",
            Self::Subscribers => "subscribers",
            Self::Recovery => "recovery",
            Self::Metrics => "metrics",
        }
    }
}

/// The memory that a part holds, and how often it was refused more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartMemory {
    /// The part.
    pub part: Part,
    /// The bytes that the part holds.
    pub bytes: u64,
    /// The number of times that the part was refused memory since start.
    pub refused: u64,
}
