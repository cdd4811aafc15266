//! Text that the user's code writes, piece by piece, into one string token.
//!
//! Comes in: pieces, through `fmt::Write`. Goes out: the text, or its start and a note that it was cut, with the
//! number of bytes of the whole where the code came to its end. Nothing is formatted into memory of its own. What no
//! longer fits is counted, until the budget of time ends that too.

use std::fmt::{self, Write};

use super::token;
use super::token_buffer::{LONGEST, floor, start_of};
use super::value_writer::{Draft, Stop, Stopped};

/// Bytes of the length behind a text that was cut.
const TOTAL_BYTES: usize = 8;
/// Bytes before a text: tag and length.
const HEADER_BYTES: usize = 3;

/// A text being written.
#[derive(Debug)]
pub(super) struct Text<'d, 'b> {
    draft: &'d mut Draft<'b>,
    start: usize,
    /// Pieces that end before this place fit, whatever characters they have.
    limit: usize,
    chars_left: usize,
    total: u64,
    is_full: bool,
    is_closed: bool,
}

impl<'d, 'b> Text<'d, 'b> {
    /// Opens a text of at most so many characters.
    #[inline]
    pub(super) fn open(draft: &'d mut Draft<'b>, chars_max: usize) -> Result<Self, Stopped> {
        let start = draft.tape().len();
        if draft.tape().room() < HEADER_BYTES + TOTAL_BYTES {
            return Err(draft.cut());
        }
        // There is room for it.
        draft.tape().fixed(token::STRING, &[0, 0]);
        let is_bounded = chars_max != usize::MAX;
        let limit = if is_bounded { 0 } else { (draft.tape().end() - TOTAL_BYTES).min(start + LONGEST) };
        Ok(Self { draft, start, limit, chars_left: chars_max, total: 0, is_full: false, is_closed: false })
    }

    /// Ends the text. `knows_total`: its code has written all of it.
    pub(super) fn close(mut self, knows_total: bool) {
        self.finish(knows_total);
        self.is_closed = true;
    }

    fn finish(&mut self, knows_total: bool) {
        let is_late = self.draft.stop() == Some(Stop::Cut);
        let [low, high, ..] = self.len().to_le_bytes();
        let tape = self.draft.tape();
        tape.patch(self.start + 1, &[low, high]);
        if self.is_full && knows_total && tape.raw(&self.total.to_le_bytes()) {
            tape.patch(self.start, &[token::STRING_CUT]);
        } else if self.is_full || is_late {
            tape.patch(self.start, &[token::TEXT_CUT]);
        }
    }

    /// Counts a step of the code that writes.
    pub(super) fn step(&mut self) -> fmt::Result {
        self.draft.step().map_err(|Stopped| fmt::Error)
    }

    /// Answers code that goes on writing although nothing more is stored.
    pub(super) fn refuse(&mut self) -> fmt::Error {
        self.draft.refuse();
        fmt::Error
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Lets nothing more in.
    pub(super) fn fill(&mut self) {
        self.is_full = true;
        self.limit = 0;
    }

    /// Bytes stored so far.
    pub(super) fn len(&mut self) -> usize {
        self.draft.tape().len() - self.start - HEADER_BYTES
    }

    fn bytes(&mut self) -> &[u8] {
        let start = self.start + HEADER_BYTES;
        self.draft.tape().since(start)
    }

    /// A part of what was stored.
    pub(super) fn stored(&mut self, start: usize, end: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes().get(start..end)?).ok()
    }

    /// Stores as much of a piece as fits.
    #[inline]
    pub(super) fn store(&mut self, piece: &str) {
        if !self.draft.tape().raw_before(self.limit, piece.as_bytes()) {
            self.store_slowly(piece);
        }
    }

    #[inline(never)]
    fn store_slowly(&mut self, piece: &str) {
        if self.is_full || piece.is_empty() {
            return;
        }
        let length_room = LONGEST - self.len();
        let tape = self.draft.tape();
        let room = tape.room().saturating_sub(TOTAL_BYTES).min(length_room);
        let mut head = floor(piece, room);
        if head.len() > self.chars_left {
            head = start_of(head, self.chars_left);
        }
        tape.raw(head.as_bytes());
        if head.len() < piece.len() {
            self.fill();
        }
        if self.chars_left != usize::MAX {
            self.chars_left -= head.chars().count();
        }
    }

    /// Whether the text before byte `at` ends with what was stored from byte `from` on.
    pub(super) fn repeats(&mut self, at: usize, from: usize) -> bool {
        let text = self.bytes();
        matches!((text.get(..at), text.get(from..)), (Some(before), Some(after)) if before.ends_with(after))
    }

    /// Forgets what was stored from byte `at` on.
    pub(super) fn shorten(&mut self, at: usize) {
        self.total = at as u64;
        self.draft.tape().rewind(self.start + HEADER_BYTES + at);
    }

    /// Takes the quotes off a text that is all in quotes.
    pub(super) fn unquote(&mut self) {
        if let [b'"', .., b'"'] = self.bytes() {
            let (start, len) = (self.start + HEADER_BYTES, self.len());
            self.draft.tape().shift(start + 1, start, len - 2);
        }
    }
}

/// Code that is left by unwinding leaves a whole token behind.
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

impl Draft<'_> {
    /// Writes a text of at most `chars_max` characters.
    pub(super) fn text(&mut self, chars_max: usize, content: fmt::Arguments<'_>) -> Result<(), Stopped> {
        let mut text = Text::open(self, chars_max)?;
        let outcome = text.write_fmt(content);
        text.close(outcome.is_ok());
        if outcome.is_err() { Err(Stopped) } else { Ok(()) }
    }
}
