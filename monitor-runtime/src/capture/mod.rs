//! Capture: values become compact binary tokens within a budget; the JSON text is made later.

pub mod via;

/// A bounded writer of tokens over memory handed to it.
#[derive(Debug)]
pub struct Writer<'a> {
    _buffer: &'a mut [u8],
}

impl Writer<'_> {
    /// Writes `"[redacted]"` in place of a value.
    pub fn redacted(&mut self) {}
}
