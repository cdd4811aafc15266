//! The text of an error and its sources: `outer: middle: root`.
//!
//! Takes an error; gives one string token within the budget of a value. A source is omitted if the text before it
//! already ends with the source's text. The file does not know the call that failed.

use std::error::Error;
use std::fmt::{self, Write};

use super::Writer;
use super::limits::{ERROR_TYPE_CHARS, SOURCES};
use super::sandbox;
use super::text::Text;
use super::value_writer::{Stopped, ValueWriter};

/// Writes an error and its sources.
pub(super) fn chain(error: &dyn Error, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
    let mut text = Text::open(out, usize::MAX)?;
    let outcome = write_chain(error, &mut text);
    text.close_value(outcome.is_ok());
    Ok(())
}

/// Writes an error and its sources as a value within a container, with the limit of a string there.
pub(super) fn chain_within(error: &dyn Error, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
    let chars_max = out.limits().string_chars;
    let mut text = Text::open(out, chars_max)?;
    let outcome = write_chain(error, &mut text);
    text.close(outcome.is_ok());
    Ok(())
}

/// Writes the name of an error's type: the given one, or, of an error whose type is not known (`dyn Error`), the name
/// with which the `Debug` of its deepest source begins. A text that begins with a small letter is no name of a type.
pub(super) fn name_type(known: &str, error: &dyn Error, writer: &mut Writer<'_>) {
    if !known.starts_with("dyn ") {
        return writer.error_type(known);
    }
    if !writer.limits.user_code {
        return;
    }
    let mut name = LeadingName { bytes: [0; ERROR_TYPE_CHARS], len: 0 };
    sandbox::run(writer.limits, || {
        let mut deepest = error;
        for _ in 0..SOURCES {
            deepest = deepest.source().unwrap_or(deepest);
        }
        // `name` refuses all that follows the name, so the `Debug` ends early.
        let _refused = write!(name, "{deepest:?}");
    });
    if let Some(name) = name.bytes.get(..name.len).and_then(|name| std::str::from_utf8(name).ok())
        && (name.contains("::") || name.starts_with(|first: char| first.is_ascii_uppercase()))
    {
        writer.error_type(name);
    }
}

/// The name that a text begins with. It refuses to be written to once the name has ended.
struct LeadingName {
    bytes: [u8; ERROR_TYPE_CHARS],
    len: usize,
}

impl Write for LeadingName {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for byte in piece.bytes() {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')) || self.len == self.bytes.len()
            {
                return Err(fmt::Error);
            }
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

fn write_chain(error: &dyn Error, text: &mut Text<'_, '_>) -> fmt::Result {
    write!(text, "{error}")?;
    let mut source = error.source();
    for _ in 0..SOURCES {
        let Some(cause) = source else { return Ok(()) };
        if text.is_full() {
            return Err(fmt::Error);
        }
        write_source(cause, text)?;
        source = cause.source();
    }
    Ok(())
}

fn write_source(cause: &dyn Error, text: &mut Text<'_, '_>) -> fmt::Result {
    let end = text.len();
    text.write_str(": ")?;
    let start = text.len();
    write!(text, "{cause}")?;
    if !text.is_full() && text.repeats(end, start) {
        text.shorten(end);
    }
    Ok(())
}
