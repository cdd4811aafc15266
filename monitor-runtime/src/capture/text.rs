//! Text that the user's code writes, piece by piece, into one string token.
//!
//! Takes pieces, through `fmt::Write`; gives the text, or its start and a note that it was cut, with the length of the
//! whole text if the code came to its end. Text is formatted directly into the buffer. Text that no longer fits is
//! counted until the time budget ends. The file does not know what the text means.

use std::fmt::{self, Write};

use super::token;
use super::token_buffer::{LONGEST, TEXT_HEADER_BYTES as HEADER_BYTES, WORD, first_bytes, first_chars};
use super::value_writer::{Stop, Stopped, ValueWriter};

/// The bytes of the total length, which follows a text that was cut.
const TOTAL_BYTES: usize = 8;

/// A text that is being written.
#[derive(Debug)]
pub(super) struct Text<'d, 'b> {
    out: &'d mut ValueWriter<'b>,
    start: usize,
    /// A piece that ends before this place fits whatever its characters are.
    limit: usize,
    chars_left: usize,
    total: u64,
    is_full: bool,
    is_closed: bool,
    pieces: Pieces,
}

/// The pieces that a text was stored in so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pieces {
    None,
    /// The text is one piece of this length, stored in whole words, with the header before it and padding behind it.
    Words(usize),
    /// The text is any other pieces, stored without a header.
    Any,
}

impl<'d, 'b> Text<'d, 'b> {
    /// Opens a text of at most this many characters.
    #[inline]
    pub(super) fn open(out: &'d mut ValueWriter<'b>, chars_max: usize) -> Result<Self, Stopped> {
        let start = out.buffer().len();
        if out.buffer().room() < HEADER_BYTES + TOTAL_BYTES {
            return Err(out.cut());
        }
        // The header comes with the first piece or at the end. It fits: see the check above.
        out.buffer().rewind(start + HEADER_BYTES);
        let is_bounded = chars_max != usize::MAX;
        let limit = if is_bounded { 0 } else { (out.buffer().end() - TOTAL_BYTES).min(start + LONGEST) };
        let (is_full, is_closed, pieces) = (false, false, Pieces::None);
        Ok(Self { out, start, limit, chars_left: chars_max, total: 0, is_full, is_closed, pieces })
    }

    /// Ends the text. `knows_total` is true if the code has written all of it. The text is not moved, because a copy
    /// would wait until the processor has combined the narrower stores.
    pub(super) fn close(&mut self, knows_total: bool) {
        self.finish(knows_total);
        self.is_closed = true;
    }

    /// Ends a text that is the whole value.
    #[inline]
    pub(super) fn close_value(&mut self, knows_total: bool) {
        let length = self.len();
        if self.pieces == Pieces::Words(length) && !self.is_full && self.out.stop().is_none() {
            // The padding was written with the piece.
            let end = (self.start + HEADER_BYTES + length).next_multiple_of(WORD);
            self.out.buffer().rewind(end);
        } else {
            self.finish(knows_total);
        }
        self.is_closed = true;
    }

    #[inline(never)]
    fn finish(&mut self, knows_total: bool) {
        let is_over_time = self.out.stop() == Some(Stop::Cut);
        let [low, high, ..] = self.len().to_le_bytes();
        let buffer = self.out.buffer();
        let tag = if self.is_full && knows_total && buffer.raw(&self.total.to_le_bytes()) {
            token::STRING_CUT
        } else if self.is_full || is_over_time {
            token::TEXT_CUT
        } else {
            token::STRING
        };
        buffer.patch(self.start, &[tag, low, high]);
    }

    /// Counts a write of the code. Returns an error if the budget is used up.
    pub(super) fn step(&mut self) -> fmt::Result {
        self.out.step().map_err(|Stopped| fmt::Error)
    }

    /// Refuses a write of code that goes on writing although nothing more is stored. Returns the error for the code.
    pub(super) fn refuse(&mut self) -> fmt::Error {
        self.out.refuse();
        fmt::Error
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Refuses all further text.
    pub(super) fn fill(&mut self) {
        self.is_full = true;
        self.limit = 0;
    }

    /// Returns the number of bytes stored so far.
    pub(super) fn len(&mut self) -> usize {
        self.out.buffer().len() - self.start - HEADER_BYTES
    }

    fn bytes(&mut self) -> &[u8] {
        let start = self.start + HEADER_BYTES;
        self.out.buffer().written_from(start)
    }

    /// Returns the stored text between two byte positions; `None` if they are not in the text or divide a character.
    pub(super) fn stored(&mut self, start: usize, end: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes().get(start..end)?).ok()
    }

    /// Stores as much of a piece as fits.
    #[inline]
    pub(super) fn store(&mut self, piece: &str) {
        if self.pieces == Pieces::None && self.store_words(piece) {
            return;
        }
        self.pieces = Pieces::Any;
        if !self.out.buffer().raw_before(self.limit, piece.as_bytes()) {
            self.store_what_fits(piece);
        }
    }

    /// Stores the first piece in whole words and returns true. Returns false, and stores nothing, if the piece is too
    /// short or too long for that.
    #[inline]
    fn store_words(&mut self, piece: &str) -> bool {
        // Padding ends at most seven bytes behind the limit, where there is room for the total length.
        let (start, end) = (self.start, self.limit + TOTAL_BYTES);
        let buffer = self.out.buffer();
        let after = start + HEADER_BYTES + piece.len();
        let is_stored = after <= self.limit && buffer.text_words(start, end, token::STRING, piece.as_bytes());
        if is_stored {
            buffer.rewind(after);
            self.pieces = Pieces::Words(piece.len());
        }
        is_stored
    }

    #[inline(never)]
    fn store_what_fits(&mut self, piece: &str) {
        if self.is_full || piece.is_empty() {
            return;
        }
        let length_room = LONGEST - self.len();
        let buffer = self.out.buffer();
        let room = buffer.room().saturating_sub(TOTAL_BYTES).min(length_room);
        let mut head = first_bytes(piece, room);
        if head.len() > self.chars_left {
            head = first_chars(head, self.chars_left);
        }
        buffer.raw(head.as_bytes());
        if head.len() < piece.len() {
            self.fill();
        }
        if self.chars_left != usize::MAX {
            self.chars_left -= head.chars().count();
        }
    }

    /// Returns true if the text before byte `at` ends with the text from byte `from` on.
    pub(super) fn repeats(&mut self, at: usize, from: usize) -> bool {
        let text = self.bytes();
        matches!((text.get(..at), text.get(from..)), (Some(before), Some(after)) if before.ends_with(after))
    }

    /// Discards the text from byte `at` on.
    pub(super) fn shorten(&mut self, at: usize) {
        self.total = at as u64;
        self.out.buffer().rewind(self.start + HEADER_BYTES + at);
    }

    /// Removes the quotes around a text that is one quoted string.
    pub(super) fn unquote(&mut self) {
        if let [b'"', .., b'"'] = self.bytes() {
            let (start, len) = (self.start + HEADER_BYTES, self.len());
            self.out.buffer().shift(start + 1, start, len - 2);
        }
    }
}

/// Completes the token if the code that writes is left by unwinding.
impl Drop for Text<'_, '_> {
    fn drop(&mut self) {
        if !self.is_closed {
            self.finish(false);
        }
    }
}

impl Write for Text<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.step()?;
        self.total = self.total.wrapping_add(piece.len() as u64);
        self.store(piece);
        Ok(())
    }
}

impl ValueWriter<'_> {
    /// Writes a text of at most `chars_max` characters.
    pub(super) fn text(&mut self, chars_max: usize, content: fmt::Arguments<'_>) -> Result<(), Stopped> {
        let mut text = Text::open(self, chars_max)?;
        let outcome = text.write_fmt(content);
        text.close(outcome.is_ok());
        if outcome.is_err() { Err(Stopped) } else { Ok(()) }
    }
}
