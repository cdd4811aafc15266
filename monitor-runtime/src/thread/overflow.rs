//! The way of failed calls past a full ring: a channel to the collector, bounded in bytes.
//!
//! Takes the record of a failed call that found no room in its ring. Gives it to the collector, or refuses it once
//! the accountant has no room for it. The bytes held are always those of the records not yet taken. The file
//! does not know what the collector does with a record.

use crossbeam_channel::Sender;

use crate::accountant::{Accountant, Part};
use crate::platform::reentrancy::run_guarded;
use crate::record::{HEADER_WORDS, Word, append_with_values};

/// The record of a failed call that found no room in its ring.
#[derive(Debug)]
pub(crate) struct Overflow {
    pub(crate) thread: u32,
    pub(crate) words: Vec<u64>,
}

impl Overflow {
    /// Returns the bytes that a record of this many words takes on its way, with its place in the channel.
    fn size(words: usize) -> usize {
        size_of::<Self>() + (words + 2) * size_of::<u64>()
    }
}

/// The callers' end of the channel.
#[derive(Debug)]
pub(crate) struct OverflowSender {
    sender: Sender<Overflow>,
    accountant: &'static Accountant,
}

impl OverflowSender {
    pub(super) fn new(sender: Sender<Overflow>, accountant: &'static Accountant) -> Self {
        Self { sender, accountant }
    }

    /// Sends a failed call's record to the collector. Returns false if the records on the way have reached their bound,
    /// for example because the collector waits for its disk, or if there is no memory for a copy.
    pub(crate) fn send(&self, thread: u32, header: &[u64; HEADER_WORDS], values: &[Word]) -> bool {
        let bytes = Overflow::size(HEADER_WORDS + values.len());
        if !self.accountant.take(Part::Overflow, bytes) {
            return false;
        }
        let send = || {
            let mut words = Vec::new();
            words.try_reserve_exact(HEADER_WORDS + values.len()).ok()?;
            append_with_values(header, values, &mut words);
            self.sender.send(Overflow { thread, words }).ok()
        };
        let is_sent = run_guarded(send).flatten().is_some();
        if !is_sent {
            self.release(bytes);
        }
        is_sent
    }

    /// Returns the bytes of the records on the way.
    pub(crate) fn bytes(&self) -> usize {
        self.accountant.used(Part::Overflow)
    }

    /// Notes that the collector took a record of this many words. Returns the bytes that the record took.
    pub(crate) fn note_taken(&self, words: usize) -> usize {
        let bytes = Overflow::size(words);
        self.release(bytes);
        bytes
    }

    fn release(&self, bytes: usize) {
        self.accountant.give_back(Part::Overflow, bytes);
    }
}
