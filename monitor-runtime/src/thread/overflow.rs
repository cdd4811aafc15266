//! The way of failed calls past a full ring: a channel to the collector, bounded in bytes.
//!
//! Takes the record of a failed call that found no room in its ring. Gives it to the collector, or refuses it once
//! the records on the way reach the bound. The bytes counted are always those of the records not yet taken. The file
//! does not know what the collector does with a record.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::Sender;

use crate::platform::reentrancy::apart;

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
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl OverflowSender {
    pub(super) fn new(sender: Sender<Overflow>, bytes_max: usize) -> Self {
        Self { sender, bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Sends a failed call's record to the collector. Returns false if the records on the way have reached their
    /// bound, for example because the collector waits for its disk.
    pub(crate) fn send(&self, thread: u32, words: Vec<u64>) -> bool {
        let bytes = Overflow::size(words.len());
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.release(bytes);
            return false;
        }
        let overflow = Overflow { thread, words };
        let is_sent = apart(|| self.sender.send(overflow).is_ok()).unwrap_or(false);
        if !is_sent {
            self.release(bytes);
        }
        is_sent
    }

    /// Returns the bytes of the records on the way.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that the collector took a record of this many words. Returns the bytes that the record took.
    pub(crate) fn note_taken(&self, words: usize) -> usize {
        let bytes = Overflow::size(words);
        self.release(bytes);
        bytes
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
