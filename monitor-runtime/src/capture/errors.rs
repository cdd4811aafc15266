//! The text of an error and its sources: `outer: middle: root`.
//!
//! Takes an error; gives one string token within the budget of a value. A source is omitted if the text before it
//! already ends with the source's text. It does not know the call that failed.

use std::error::Error;
use std::fmt::{self, Write};

use super::limits::SOURCES;
use super::text::Text;
use super::value_writer::{Stopped, ValueWriter};

/// Writes an error and its sources.
pub(super) fn chain(error: &dyn Error, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
    let mut text = Text::open(out, usize::MAX)?;
    let outcome = write_chain(error, &mut text);
    text.close(outcome.is_ok());
    Ok(())
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
