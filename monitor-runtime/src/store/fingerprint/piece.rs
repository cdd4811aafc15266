//! A piece of a message: its length, and the placeholder that stands for it.
//!
//! Takes the text at a place; gives the part of it that readers of pieces may look at. The file does not know any kind
//! of piece.

/// The bytes that are looked at ahead of a place, so that no text is read more often than this many times.
const AHEAD_BYTES: usize = 256;

/// A piece of a message for which a placeholder stands.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) length: usize,
    pub(super) shown: String,
}

impl Piece {
    pub(super) fn number(length: usize) -> Self {
        Self { length, shown: "#".to_owned() }
    }
}

/// Returns true for the characters of which words consist.
pub(super) fn belongs_to_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_')
}

/// Returns the first [`AHEAD_BYTES`] bytes of a text, or up to three fewer, so that no character is split.
pub(super) fn peek(text: &str) -> &str {
    let mut end = text.len().min(AHEAD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
