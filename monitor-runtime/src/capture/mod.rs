//! Capture: values become compact binary tokens within a budget; the JSON text is made later.
//!
//! Takes, on the caller's thread, arguments, results and errors, each by the best way its type offers ([`dispatch`]);
//! gives tokens in memory that is handed in, and later, in the collector or a reader, JSON text from these tokens
//! ([`to_json`]). The budget stops the user's `Serialize` or `Debug` early instead of cutting its output afterwards,
//! and a panic of the user's code never leaves the capture. The module does not know calls, records or rings.

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
mod log_text;
pub mod dispatch;
mod hints;
mod json_text;
mod to_json;
mod fields;

pub use fields::Fields;
pub(crate) use fields::keep_newest;
pub use limits::Limits;
pub use log_text::{FieldValue, LineWriter, SayLine};
pub(crate) use log_text::{LINE_BYTES, capture_line};
pub use sandbox::is_capturing;
pub use secret::is_secret;
pub use summary::{Summarize, Summary};
pub(crate) use to_json::{object_text, plain_text, value_text};
pub use to_json::{text_and_type, to_json, to_json_value, to_text};

use sandbox::Ending;
use token_buffer::{TokenBuffer, WORD};
use value_writer::{Stopped, ValueWriter};

/// A bounded writer of tokens into memory that is handed to it. Each value begins at the start of a word. A value that
/// does not fit writes nothing, which reads as `"[truncated]"`.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: TokenBuffer<'a>,
    limits: &'a Limits,
    panics: u32,
}

impl<'a> Writer<'a> {
    /// Returns a writer into a piece of memory.
    #[inline]
    #[must_use]
    pub fn new(buffer: &'a mut [u8], limits: &'a Limits) -> Self {
        let whole = buffer.len() / WORD * WORD;
        let mut buffer = TokenBuffer::new(buffer);
        buffer.set_end(whole);
        Self { buffer, limits, panics: 0 }
    }

    /// Lets the next values use this many bytes after the written ones. The number is a multiple of a word.
    #[inline]
    pub(crate) fn open(&mut self, bytes_max: usize) {
        self.buffer.set_end(self.buffer.len() + bytes_max);
    }

    /// Discards the bytes from `len` on. Returns the number of values that panicked since the last call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn close(&mut self, len: usize) -> u32 {
        self.buffer.rewind(len);
        if self.panics == 0 { 0 } else { std::mem::take(&mut self.panics) }
    }

    /// Discards the bytes from `len` on.
    #[inline]
    pub(crate) fn rewind(&mut self, len: usize) {
        self.buffer.rewind(len);
    }

    /// Returns the place of the next value.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the whole memory.
    #[inline]
    pub(crate) fn memory(&self) -> &[u8] {
        self.buffer.memory()
    }

    /// Writes values that were captured before.
    pub(crate) fn put(&mut self, values: &[u8]) {
        self.scalar(|buffer| buffer.raw(values));
    }

    /// Copies words of values that were captured before. Returns false if they have no room.
    #[inline]
    pub(crate) fn put_words(&mut self, values: &[u8]) -> bool {
        self.buffer.copied_words(values.as_chunks().0)
    }

    /// Ends the stream. Returns the number of bytes written.
    #[inline]
    #[must_use]
    pub fn finish(self) -> usize {
        self.buffer.len()
    }

    /// Returns the number of values whose capture panicked.
    #[inline]
    #[must_use]
    pub fn panics(&self) -> u32 {
        self.panics
    }

    /// Writes `"[redacted]"` in place of a value.
    pub fn redacted(&mut self) {
        self.scalar(|buffer| buffer.tag_word(token::REDACTED));
    }

    /// Writes a value of one token.
    #[inline]
    fn scalar(&mut self, write: impl FnOnce(&mut TokenBuffer<'a>) -> bool) {
        let is_whole = write(&mut self.buffer);
        self.end_value(is_whole);
    }

    /// Fills the last word of a value. A value that did not fit seals the writer.
    #[inline]
    fn end_value(&mut self, is_whole: bool) {
        self.buffer.pad();
        if !is_whole {
            self.seal();
        }
    }

    // The expansion calls these functions for each argument, so they are not inlined. The common case writes whole
    // words and calls nothing.

    #[inline(never)]
    fn unsigned(&mut self, value: u64) {
        if !self.buffer.unsigned_word(value) {
            self.unsigned_of_any_size(value);
        }
    }

    #[inline(never)]
    fn signed(&mut self, value: i64) {
        let is_written = match u64::try_from(value) {
            Ok(value) => self.buffer.unsigned_word(value),
            Err(_) => self.buffer.negative_word(value),
        };
        if !is_written {
            self.signed_of_any_size(value);
        }
    }

    #[inline(never)]
    fn string(&mut self, text: &str) {
        if text.len() > self.limits.string_chars || !self.buffer.string_words(text.as_bytes()) {
            self.string_of_any_length(text);
        }
    }

    // Rare cases are tail calls, so the common path saves no registers.

    #[cold]
    #[inline(never)]
    fn unsigned_of_any_size(&mut self, value: u64) {
        self.scalar(|buffer| buffer.unsigned(value));
    }

    #[cold]
    #[inline(never)]
    fn signed_of_any_size(&mut self, value: i64) {
        self.scalar(|buffer| buffer.signed(value));
    }

    #[inline(never)]
    fn string_of_any_length(&mut self, text: &str) {
        let chars_max = self.limits.string_chars;
        self.scalar(|buffer| buffer.string(text, chars_max));
    }

    /// Writes the text of an error. The text has the budget of a whole value.
    fn error_text(&mut self, text: &str) {
        let end = self.buffer.end();
        self.buffer.set_end(end.min(self.buffer.len() + self.limits.value_bytes));
        let is_whole = self.buffer.string_words(text.as_bytes()) || self.buffer.string(text, usize::MAX);
        self.buffer.set_end(end);
        self.end_value(is_whole);
    }

    /// Writes the name of an error's type behind its text, if there is room. Without room nothing is written, because
    /// no further value follows.
    fn error_type(&mut self, name: &str) {
        if name.len() > limits::ERROR_TYPE_CHARS || !self.buffer.name_words(token::NAME, name.as_bytes()) {
            self.error_type_of_any_length(name);
        }
    }

    #[cold]
    #[inline(never)]
    fn error_type_of_any_length(&mut self, name: &str) {
        let bytes = name.len().min(limits::ERROR_TYPE_CHARS) + 2 * WORD;
        if self.buffer.room() >= bytes {
            self.scalar(|buffer| buffer.name(token::NAME, name, limits::ERROR_TYPE_CHARS));
        }
    }

    /// Refuses all further values. Otherwise a later, smaller value would be read in place of the one that did not fit.
    #[cold]
    fn seal(&mut self) {
        self.buffer.set_end(0);
    }

    /// Writes a value whose capture calls no user code.
    fn value(&mut self, write: impl FnOnce(&mut ValueWriter<'_>) -> Result<(), Stopped>) {
        let mut out = ValueWriter::new(self.buffer.reborrow(), self.limits);
        // The result is ignored, because the value writer remembers why the value ended early.
        let _ended = write(&mut out);
        let (len, is_whole) = out.finish();
        self.keep(len, is_whole);
    }

    /// Writes a value by the user's code. Writes the type's name instead if a panic could not be contained, or if the
    /// type cools down because its capture took too long.
    fn user_value(
        &mut self,
        type_name: &str,
        write: &mut dyn FnMut(&mut ValueWriter<'_>) -> Result<(), Stopped>,
    ) {
        let limits = self.limits;
        if !limits.user_code {
            return self.type_name(token::NAME, type_name);
        }
        let start = (limits.ticks)();
        if limits.cooldowns.includes(type_name, start) {
            return self.type_name(token::SLOW, type_name);
        }
        self.sandboxed_value(type_name, write);
        let now = (limits.ticks)();
        limits.cooldowns.note(type_name, now.saturating_sub(start), now, limits.value_ticks);
    }

    /// Writes a value by the user's code in the sandbox: a panic is counted and goes no further.
    fn sandboxed_value(
        &mut self,
        type_name: &str,
        write: &mut dyn FnMut(&mut ValueWriter<'_>) -> Result<(), Stopped>,
    ) {
        let mut out = ValueWriter::new(self.buffer.reborrow(), self.limits);
        let mut outcome = Ok(());
        let ending = sandbox::run(self.limits, || outcome = write(&mut out));
        let is_complete = ending == Ending::Returned && outcome.is_ok();
        if !is_complete {
            out.end_early(ending, type_name);
        }
        let (len, is_whole) = out.finish();
        self.keep(len, is_whole);
        if ending == Ending::Panicked {
            self.panics += 1;
        }
    }

    fn type_name(&mut self, tag: u8, name: &str) {
        let chars_max = self.limits.string_chars;
        self.scalar(|buffer| buffer.name(tag, name, chars_max));
    }

    fn keep(&mut self, len: usize, is_whole: bool) {
        self.buffer.rewind(len);
        self.end_value(is_whole);
    }
}
