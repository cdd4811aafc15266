//! The words of a record: how a call ended and why its row was kept.

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It returned, and not an error.
    Ok = 0,
    /// It returned an error.
    Error = 1,
    /// It unwound.
    Panic = 2,
    /// Its future was dropped before completion.
    Cancelled = 3,
}

/// Why a call has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kept {
    /// It was drawn at its function's sampling rate.
    Sampled = 0,
    /// It was slow.
    Slow = 1,
    /// It failed.
    Failed = 2,
}
