//! The texts of a log line: its body and its fields.
//!
//! Takes a closure that writes a line, through a [`LineWriter`]; gives a text token for the body and a map for the
//! fields, each within the budget of a value. The closure runs in the sandbox: a panic of the user's code goes no
//! further, and the texts that were written before it are kept. Values whose name looks secret are not captured. The
//! file does not know what code emits the line.

use std::error::Error;
use std::fmt::{self, Debug, Display};

use super::Limits;
use super::containers::Entries;
use super::errors;
use super::limits::VALUE_BYTES;
use super::sandbox::{self, Ending};
use super::token;
use super::token_buffer::{TokenBuffer, WORD};
use super::value_writer::ValueWriter;

/// The value of a field of a log line.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum FieldValue<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A wide signed integer.
    I128(i128),
    /// A wide unsigned integer.
    U128(u128),
    /// A floating-point number.
    F64(f64),
    /// A text.
    Text(&'a str),
    /// A value that is shown by its `Display`.
    Display(&'a dyn Display),
    /// A value that is shown by its `Debug`.
    Debug(&'a dyn Debug),
    /// An error, which is shown with its sources.
    Error(&'a (dyn Error + 'static)),
}

impl Debug for FieldValue<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => Debug::fmt(value, formatter),
            Self::I64(value) => Debug::fmt(value, formatter),
            Self::U64(value) => Debug::fmt(value, formatter),
            Self::I128(value) => Debug::fmt(value, formatter),
            Self::U128(value) => Debug::fmt(value, formatter),
            Self::F64(value) => Debug::fmt(value, formatter),
            Self::Text(value) => Debug::fmt(value, formatter),
            Self::Display(value) => Display::fmt(value, formatter),
            Self::Debug(value) => Debug::fmt(value, formatter),
            Self::Error(value) => Display::fmt(value, formatter),
        }
    }
}

/// A closure that writes the body and the fields of a log line.
pub type SayLine<'a> = &'a mut dyn FnMut(&mut LineWriter<'_, '_>);

/// The writer of one log line, which a [`SayLine`] closure receives.
#[derive(Debug)]
pub struct LineWriter<'w, 'b> {
    body: &'w mut ValueWriter<'b>,
    has_body: bool,
    fields: Entries<'w, 'b>,
    has_fields: bool,
}

impl LineWriter<'_, '_> {
    /// Writes the body. A line has one body: the first that is written.
    pub fn body(&mut self, text: fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.has_body, true) {
            // The result is ignored, because a text that was cut ends with a mark that shows this.
            let _ended = self.body.text(usize::MAX, text);
        }
    }

    /// Writes a field. Fields that have no room are left out, and a mark in the map shows this.
    pub fn field(&mut self, name: &str, value: FieldValue<'_>) {
        self.has_fields = true;
        let chars_max = self.fields.limits().string_chars;
        let _ended = self.fields.field(name, "field", |out| match value {
            FieldValue::Null => out.put(|buffer| buffer.tag(token::NULL)),
            FieldValue::Bool(value) => out.put(|buffer| buffer.boolean(value)),
            FieldValue::I64(value) => out.put(|buffer| buffer.signed(value)),
            FieldValue::U64(value) => out.put(|buffer| buffer.unsigned(value)),
            FieldValue::I128(value) => out.put(|buffer| buffer.signed_wide(value)),
            FieldValue::U128(value) => out.put(|buffer| buffer.unsigned_wide(value)),
            FieldValue::F64(value) => out.put(|buffer| buffer.double(value)),
            FieldValue::Text(value) => out.string(value),
            FieldValue::Display(value) => out.text(chars_max, format_args!("{value}")),
            FieldValue::Debug(value) => out.debug(value),
            FieldValue::Error(error) => errors::chain_within(error, out),
        });
    }
}

/// The bytes of memory for a line's texts: two values, each with the room that closes its containers.
pub(crate) const LINE_BYTES: usize = 2 * TEXT_BYTES;
const TEXT_BYTES: usize = (VALUE_BYTES + CLOSERS).next_multiple_of(WORD);
/// More bytes than a value needs beyond its budget, to close containers and to mark a cut.
const CLOSERS: usize = 16;

/// The sizes of a line's two texts in memory. The body is at the start of the memory, and the fields begin at the first
/// whole word after the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineTexts {
    pub(crate) body_bytes: u16,
    pub(crate) fields_bytes: u16,
    /// True if the code that wrote the line panicked.
    pub(crate) has_panicked: bool,
}

/// Writes the texts of a line into memory, and returns their sizes.
pub(crate) fn capture_line(memory: &mut [u8; LINE_BYTES], limits: &Limits, say: SayLine<'_>) -> LineTexts {
    let (body_memory, fields_memory) = memory.split_at_mut(TEXT_BYTES);
    let mut body = ValueWriter::new(TokenBuffer::new(body_memory), limits);
    let mut fields = ValueWriter::new(TokenBuffer::new(fields_memory), limits);
    let (ending, has_body, has_fields) = write(&mut body, &mut fields, limits, say);
    let bytes = |writer: &mut ValueWriter<'_>, is_written: bool| {
        let (length, _) = writer.finish();
        if is_written { u16::try_from(length).unwrap_or(0) } else { 0 }
    };
    let (body_bytes, fields_bytes) = (bytes(&mut body, has_body), bytes(&mut fields, has_fields));
    let behind = usize::from(body_bytes).next_multiple_of(WORD);
    memory.copy_within(TEXT_BYTES..TEXT_BYTES + usize::from(fields_bytes), behind);
    LineTexts { body_bytes, fields_bytes, has_panicked: ending == Ending::Panicked }
}

fn write<'b>(
    body: &mut ValueWriter<'b>,
    fields: &mut ValueWriter<'b>,
    limits: &Limits,
    say: SayLine<'_>,
) -> (Ending, bool, bool) {
    let Ok(fields) = Entries::open(fields, None) else { return (Ending::Returned, false, false) };
    let mut line = LineWriter { body, has_body: false, fields, has_fields: false };
    let ending = sandbox::run(limits, || say(&mut line));
    let LineWriter { has_body, fields, has_fields, .. } = line;
    // The result is ignored, because a map that was cut ends with a mark that shows this.
    let _ended = fields.end();
    (ending, has_body, has_fields)
}
