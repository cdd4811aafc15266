//! A JSON text that is written piece by piece, and that survives a lack of memory.
//!
//! Takes bytes; gives the text, or nothing if there was no memory for a part of it. The text grows like a `Vec`, but a
//! `Vec` would end the process if there is no memory. The file does not know JSON.

use std::io;
use std::ops::Deref;

use crate::growth::MakeRoom as _;

/// A text that is being written.
#[derive(Debug, Default)]
pub(super) struct JsonText {
    bytes: Vec<u8>,
    /// True if there was no memory for a part of the text.
    lacks_memory: bool,
}

impl JsonText {
    /// Returns an empty text that has room for this many bytes, if there is memory for them.
    pub(super) fn with_room(bytes: usize) -> Self {
        let mut text = Self::default();
        text.lacks_memory = !text.bytes.make_room(bytes);
        text
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        if self.bytes.make_room(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.lacks_memory = true;
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Returns the bytes; `None` if there was no memory for a part of them.
    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        (!self.lacks_memory).then_some(self.bytes)
    }
}

impl Deref for JsonText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl io::Write for JsonText {
    /// Adds all bytes. If there is no memory for them, they are left out and the whole text is discarded at its end; no
    /// error is returned.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_whole_or_not_there() {
        let mut text = JsonText::with_room(2);
        text.push(b'[');
        text.extend_from_slice(b"1]x");
        text.truncate(3);
        assert_eq!(text.into_bytes(), Some(b"[1]".to_vec()));
        // No machine has memory for half of all addresses.
        assert_eq!(JsonText::with_room(usize::MAX / 2).into_bytes(), None);
    }
}
