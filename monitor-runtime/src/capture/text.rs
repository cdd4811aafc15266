//! Text that the user's `Display` or `Debug` writes, piece by piece, into one string token.
//!
//! Comes in: pieces, through `fmt::Write`. Goes out: the text, or its start and a note that it was cut, with the
//! number of bytes of the whole where the code came to its end. Nothing is formatted into memory of its own.

use std::fmt::{self, Write};

use super::draft::{Draft, Stop, Stopped};
use super::tape::{LONGEST, floor, start_of};
use super::token;

/// What is to happen when no more of a text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Its code is told to stop.
    Stop,
    /// Its code goes on, within the budget of time, and its bytes are counted.
    Count,
}

/// Bytes of the length behind a text that was cut.
const TOTAL_BYTES: usize = 8;
/// Bytes before a text: tag and length.
const HEADER_BYTES: usize = 3;

/// A text being written.
#[derive(Debug)]
pub(super) struct Text<'d, 'b> {
    draft: &'d mut Draft<'b>,
    start: usize,
    chars_left: usize,
    total: u64,
    is_full: bool,
    when_full: WhenFull,
}

impl<'d, 'b> Text<'d, 'b> {
    pub(super) fn open(
        draft: &'d mut Draft<'b>,
        chars_max: usize,
        when_full: WhenFull,
    ) -> Result<Self, Stopped> {
        let start = draft.tape().len();
        if draft.tape().room() < HEADER_BYTES + TOTAL_BYTES {
            return Err(draft.cut());
        }
        draft.put(|tape| tape.fixed(token::STRING, &[0, 0]))?;
        Ok(Self { draft, start, chars_left: chars_max, total: 0, is_full: false, when_full })
    }

    /// Ends the text. `came_to_its_end`: its code has written all of it.
    pub(super) fn close(mut self, came_to_its_end: bool) {
        let is_late = self.draft.stop() == Some(Stop::Cut);
        let [low, high, ..] = self.len().to_le_bytes();
        let tape = self.draft.tape();
        tape.patch(self.start + 1, &[low, high]);
        if self.is_full && came_to_its_end && tape.raw(&self.total.to_le_bytes()) {
            tape.patch(self.start, &[token::STRING_CUT]);
        } else if self.is_full || is_late {
            tape.patch(self.start, &[token::TEXT_CUT]);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Bytes stored so far.
    pub(super) fn len(&mut self) -> usize {
        self.draft.tape().len() - self.start - HEADER_BYTES
    }

    /// Whether the text before byte `at` ends with what was stored from byte `from` on.
    pub(super) fn repeats(&mut self, at: usize, from: usize) -> bool {
        let text = self.draft.tape().since(self.start + HEADER_BYTES);
        matches!((text.get(..at), text.get(from..)), (Some(before), Some(after)) if before.ends_with(after))
    }

    /// Forgets what was stored from byte `at` on.
    pub(super) fn shorten(&mut self, at: usize) {
        self.total = at as u64;
        self.draft.tape().rewind(self.start + HEADER_BYTES + at);
    }
}

impl Write for Text<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.draft.step().map_err(|Stopped| fmt::Error)?;
        self.total = self.total.saturating_add(piece.len() as u64);
        if !self.is_full {
            let length_room = LONGEST - self.len();
            let tape = self.draft.tape();
            let room = tape.room().saturating_sub(TOTAL_BYTES).min(length_room);
            let head = start_of(floor(piece, room), self.chars_left);
            tape.raw(head.as_bytes());
            self.chars_left = self.chars_left.saturating_sub(head.chars().count());
            self.is_full = head.len() < piece.len();
        } else if self.when_full == WhenFull::Stop {
            self.draft.refuse();
        }
        if self.is_full && self.when_full == WhenFull::Stop { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Draft<'_> {
    /// Writes a text of at most `chars_max` characters.
    pub(super) fn text(
        &mut self,
        chars_max: usize,
        when_full: WhenFull,
        content: fmt::Arguments<'_>,
    ) -> Result<(), Stopped> {
        let mut text = Text::open(self, chars_max, when_full)?;
        let outcome = text.write_fmt(content);
        text.close(outcome.is_ok());
        if self.stop() == Some(Stop::Cut) { Err(Stopped) } else { Ok(()) }
    }
}
