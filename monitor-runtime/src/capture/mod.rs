//! Capture: values become compact binary tokens within a budget; the JSON text is made later.
//!
//! Comes in, on the caller's thread: arguments, results and errors, each by the best way its type offers
//! ([`dispatch`]). Goes out: tokens in memory that was handed in; and on the cold side, from these, JSON text
//! ([`to_json`]). The budget ends the user's `Serialize` or `Debug`, it does not merely cut what they wrote; their
//! panics stop here. Knows nothing of calls, records and rings.

pub mod limits;
pub mod cooldown;
mod token;
mod token_buffer;
mod value_writer;
mod containers;
mod sandbox;
mod secret;
mod text;
mod debug_lexer;
mod debug;
pub mod items;
pub mod direct;
mod summary;
mod locks;
mod serialize;
mod errors;
pub mod dispatch;
mod to_json;

pub use limits::Limits;
pub use sandbox::is_capturing;
pub use secret::is_secret;
pub use summary::{Summarize, Summary};
pub use to_json::{to_json, to_json_value, to_text};

use sandbox::{Ending, contained};
use token_buffer::{Tape, WORD};
use value_writer::{Draft, Stopped};

/// A bounded writer of tokens over memory handed to it: one value after the other, each from the start of a word.
/// Values that no longer fit leave nothing, which reads as `"[truncated]"`.
#[derive(Debug)]
pub struct Writer<'a> {
    tape: Tape<'a>,
    limits: &'a Limits,
    panics: u32,
}

impl<'a> Writer<'a> {
    /// A writer over a piece of memory.
    #[inline]
    #[must_use]
    pub fn new(buffer: &'a mut [u8], limits: &'a Limits) -> Self {
        let whole = buffer.len() / WORD * WORD;
        let mut tape = Tape::new(buffer);
        tape.set_end(whole);
        Self { tape, limits, panics: 0 }
    }

    /// Goes on behind what was written, for so many bytes at most, in whole words.
    #[inline]
    pub(crate) fn open(&mut self, bytes_max: usize) {
        self.tape.set_end(self.tape.len() + bytes_max);
    }

    /// Forgets what was written from `len` on; how many values have panicked meanwhile.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn close(&mut self, len: usize) -> u32 {
        self.tape.rewind(len);
        if self.panics == 0 { 0 } else { std::mem::take(&mut self.panics) }
    }

    /// Where the next value goes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tape.len()
    }

    /// The memory, with all that lies in it.
    #[inline]
    pub(crate) fn memory(&self) -> &[u8] {
        self.tape.memory()
    }

    /// Writes values that were captured before.
    pub(crate) fn put(&mut self, values: &[u8]) {
        self.scalar(|tape| tape.raw(values));
    }

    /// Ends the stream; the number of bytes written.
    #[inline]
    #[must_use]
    pub fn finish(self) -> usize {
        self.tape.len()
    }

    /// How many values panicked while being captured.
    #[inline]
    #[must_use]
    pub fn panics(&self) -> u32 {
        self.panics
    }

    /// Writes `"[redacted]"` in place of a value.
    pub fn redacted(&mut self) {
        self.scalar(|tape| tape.tag_word(token::REDACTED));
    }

    /// Writes a value of one token.
    #[inline]
    fn scalar(&mut self, write: impl FnOnce(&mut Tape<'a>) -> bool) {
        let is_whole = write(&mut self.tape);
        self.end_value(is_whole);
    }

    /// The next value starts with a word; there is none where this one did not fit.
    #[inline]
    fn end_value(&mut self, is_whole: bool) {
        self.tape.pad();
        if !is_whole {
            self.seal();
        }
    }

    // These are not inlined: they are what the expansion calls for each argument. Usually they write whole
    // words, and call nothing in turn.

    #[inline(never)]
    fn unsigned(&mut self, value: u64) {
        if !self.tape.unsigned_word(value) {
            self.unsigned_slowly(value);
        }
    }

    #[inline(never)]
    fn signed(&mut self, value: i64) {
        let is_written = match u64::try_from(value) {
            Ok(value) => self.tape.unsigned_word(value),
            Err(_) => self.tape.negative_word(value),
        };
        if !is_written {
            self.signed_slowly(value);
        }
    }

    #[inline(never)]
    fn string(&mut self, text: &str) {
        if text.len() > self.limits.string_chars || !self.tape.string_words(text.as_bytes()) {
            self.string_slowly(text);
        }
    }

    // Calls at the end, for which nothing has to be saved.

    #[cold]
    #[inline(never)]
    fn unsigned_slowly(&mut self, value: u64) {
        self.scalar(|tape| tape.unsigned(value));
    }

    #[cold]
    #[inline(never)]
    fn signed_slowly(&mut self, value: i64) {
        self.scalar(|tape| tape.signed(value));
    }

    #[inline(never)]
    fn string_slowly(&mut self, text: &str) {
        let chars_max = self.limits.string_chars;
        self.scalar(|tape| tape.string(text, chars_max));
    }

    /// Writes the text of an error, which has the whole budget of a value for itself.
    fn error_text(&mut self, text: &str) {
        let end = self.tape.end();
        self.tape.set_end(end.min(self.tape.len() + self.limits.value_bytes));
        let is_whole = self.tape.string_words(text.as_bytes()) || self.tape.string(text, usize::MAX);
        self.tape.set_end(end);
        self.end_value(is_whole);
    }

    /// Lets nothing more in: a later, smaller value would be taken for the one that did not fit.
    #[cold]
    fn seal(&mut self) {
        self.tape.set_end(0);
    }

    /// Writes a value that calls no user code.
    fn value(&mut self, write: impl FnOnce(&mut Draft<'_>) -> Result<(), Stopped>) {
        let mut draft = Draft::new(self.tape.reborrow(), self.limits);
        // Why it ended, if it ended early, is in the draft.
        let _ended = write(&mut draft);
        let (len, is_whole) = draft.finish();
        self.keep(len, is_whole);
    }

    /// Writes a value by code of the user's, unless that cannot be contained or lately took too long.
    fn user_value(&mut self, type_name: &str, write: &mut dyn FnMut(&mut Draft<'_>) -> Result<(), Stopped>) {
        let limits = self.limits;
        if !limits.user_code {
            return self.type_name(token::NAME, type_name);
        }
        let start = (limits.ticks)();
        if limits.rests.includes(type_name, start) {
            return self.type_name(token::SLOW, type_name);
        }
        self.contained_value(type_name, write);
        let now = (limits.ticks)();
        limits.rests.note(type_name, now.saturating_sub(start), now, limits.value_ticks);
    }

    /// What user code panics with stays here, what it writes stays within the budget.
    fn contained_value(
        &mut self,
        type_name: &str,
        write: &mut dyn FnMut(&mut Draft<'_>) -> Result<(), Stopped>,
    ) {
        let mut draft = Draft::new(self.tape.reborrow(), self.limits);
        let mut outcome = Ok(());
        let ending = contained(self.limits, || outcome = write(&mut draft));
        let is_complete = ending == Ending::Returned && outcome.is_ok();
        if !is_complete {
            draft.end_early(ending, type_name);
        }
        let (len, is_whole) = draft.finish();
        self.keep(len, is_whole);
        if ending == Ending::Panicked {
            self.panics += 1;
        }
    }

    fn type_name(&mut self, tag: u8, name: &str) {
        let chars_max = self.limits.string_chars;
        self.scalar(|tape| tape.name(tag, name, chars_max));
    }

    fn keep(&mut self, len: usize, is_whole: bool) {
        self.tape.rewind(len);
        self.end_value(is_whole);
    }
}
