//! The token stream, by its tags.
//!
//! A stream is a sequence of values. A value is one scalar token, or a container: an opening token, values
//! (in a map: key, value, key, value, …) and [`END`]. [`CUT`] and the end of the stream end the current value and
//! every open container, because the budget was used up there. Numbers are little endian.

/// Tokens up to this one are the integers 0 to 127.
pub(super) const SMALL_MAX: u8 = 0x7F;
/// A string of up to 63 bytes; the low six bits are its length.
pub(super) const SHORT: u8 = 0x80;
/// Last of the short strings.
pub(super) const SHORT_MAX: u8 = 0xBF;
/// `null`.
pub(super) const NULL: u8 = 0xC0;
/// `false`.
pub(super) const FALSE: u8 = 0xC1;
/// `true`.
pub(super) const TRUE: u8 = 0xC2;
/// An integer of 16 bytes.
pub(super) const UNSIGNED_WIDE: u8 = 0xC3;
/// An integer of 16 bytes, two's complement.
pub(super) const SIGNED_WIDE: u8 = 0xC4;
/// A float of 4 bytes.
pub(super) const FLOAT: u8 = 0xC5;
/// A float of 8 bytes.
pub(super) const DOUBLE: u8 = 0xC6;
/// An integer of 1 to 8 bytes; the low three bits are the number of bytes minus one.
pub(super) const UNSIGNED: u8 = 0xD0;
/// A negative integer as its bitwise complement, of 1 to 8 bytes; the low three bits are the number of bytes minus one.
pub(super) const NEGATIVE: u8 = 0xD8;
/// A string: its length (2 bytes), then its text.
pub(super) const STRING: u8 = 0xE0;
/// The start of a string: its length (2 bytes), its text, then the length of the whole string (8 bytes).
pub(super) const STRING_CUT: u8 = 0xE1;
/// The start of a string of unknown length: its length (2 bytes), then its text.
pub(super) const TEXT_CUT: u8 = 0xE2;
/// A type whose values cannot be shown: the length of its name (2 bytes), then its name.
pub(super) const NAME: u8 = 0xE3;
/// A type whose code panicked, in the form of [`NAME`].
pub(super) const PANICKED: u8 = 0xE4;
/// A type whose `Serialize` returned an error, in the form of [`NAME`].
pub(super) const FAILED: u8 = 0xE5;
/// A type whose code took too long lately, in the form of [`NAME`].
pub(super) const SLOW: u8 = 0xE6;
/// Opens a sequence.
pub(super) const SEQUENCE: u8 = 0xE8;
/// Opens a sequence of which only the first items follow. The number of all items comes first (8 bytes).
pub(super) const SEQUENCE_CUT: u8 = 0xE9;
/// Opens a map.
pub(super) const MAP: u8 = 0xEA;
/// Opens a map of which only the first entries follow. The number of all entries comes first (8 bytes).
pub(super) const MAP_CUT: u8 = 0xEB;
/// Ends a container of more items or entries than this number (8 bytes); their total is not known.
pub(super) const MORE: u8 = 0xEC;
/// Closes a container.
pub(super) const END: u8 = 0xEF;
/// The place where the budget was used up.
pub(super) const CUT: u8 = 0xF0;
/// A container that is nested too deeply to be shown.
pub(super) const DEEP: u8 = 0xF1;
/// A secret.
pub(super) const REDACTED: u8 = 0xF2;
/// A shape: the length of its name (2 bytes), its name, the number of dimensions (1 byte), each dimension (8 bytes).
pub(super) const SUMMARY: u8 = 0xF3;

/// A tag that is never written; reading it fails.
pub(super) const UNREADABLE: u8 = 0xFE;
/// Fills the word in which a value ends. The next value begins at the next word, so that memory is read in the same
/// words in which it was written.
pub(super) const PADDING: u8 = 0xFF;

/// Returns the text of a token that is a complete string.
pub(super) fn string_content(token: &[u8]) -> Option<&str> {
    let ([SHORT..=SHORT_MAX, text @ ..] | [STRING, _, _, text @ ..]) = token else { return None };
    std::str::from_utf8(text).ok()
}
