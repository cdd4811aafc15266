//! The memory that a recovery may take.
//!
//! Takes the accounts of the recorder, or none in a program that only recovers; gives the bytes of a portion of
//! records, and how many failures may be remembered. It does not know what is recovered.

use crate::accountant::{Accountant, Part};
use crate::limits;

/// The memory of the recovery of one file, which is given back when this is dropped.
#[derive(Debug)]
pub(super) struct RecoveryMemory {
    accountant: Option<&'static Accountant>,
    bytes: usize,
}

impl RecoveryMemory {
    pub(super) fn new(accountant: Option<&'static Accountant>) -> Self {
        let limit = accountant.map_or(USUAL_BYTES, |accountant| accountant.limit(Part::Recovery));
        accountant.inspect(|accountant| accountant.set(Part::Recovery, limit));
        Self { accountant, bytes: limit }
    }

    /// Returns the bytes of records that are looked at together.
    pub(super) fn portion_bytes(&self) -> usize {
        (self.bytes / GROWTH).clamp(PORTION_BYTES_MIN, limits::BATCH_BYTES_MAX / 4)
    }

    /// Returns the number of failed callees that may be remembered.
    pub(super) fn failed_max(&self) -> usize {
        (self.bytes / 4 / FAILED_BYTES).min(limits::FAILED_CALLEES_ALL_MAX)
    }

    /// Returns the bytes of a recorder whose recovery may take this much: an eighth of all.
    pub(super) fn recorder_bytes(&self) -> u64 {
        self.bytes as u64 * 8
    }
}

impl Drop for RecoveryMemory {
    fn drop(&mut self) {
        self.accountant.inspect(|accountant| accountant.set(Part::Recovery, 0));
    }
}

/// The bytes that a recovery may take if no recorder runs in the process, as in a program that only recovers.
const USUAL_BYTES: usize = 8 << 20;
/// The bytes that a recovery takes for each byte of records: the records, their places, and their rows.
const GROWTH: usize = 10;
/// The smallest portion, in bytes, which has room for any record.
const PORTION_BYTES_MIN: usize = 64 << 10;
/// The bytes of a failed callee.
const FAILED_BYTES: usize = 512;
