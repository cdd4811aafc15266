//! The words of the token stream.
//!
//! A stream is a sequence of values. A value is one scalar token, or a container: an opening token, values
//! (in a map: key, value, key, value, …) and [`END`]. [`CUT`], and the end of the stream, end the value being
//! read and every container that is open, because the budget was used up. Numbers are little endian.

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
/// An integer of 1 to 8 bytes; the low three bits are the number of bytes less one.
pub(super) const UNSIGNED: u8 = 0xD0;
/// A negative integer as its bitwise complement, of 1 to 8 bytes, as above.
pub(super) const NEGATIVE: u8 = 0xD8;
/// Length (2 bytes), text.
pub(super) const STRING: u8 = 0xE0;
/// Length (2), the start of a text, the number of bytes of the whole (8).
pub(super) const STRING_CUT: u8 = 0xE1;
/// Length (2), the start of a text whose length is not known.
pub(super) const TEXT_CUT: u8 = 0xE2;
/// Length (2), the name of a type that cannot be shown.
pub(super) const NAME: u8 = 0xE3;
/// Length (2), the name of a type whose code panicked.
pub(super) const PANICKED: u8 = 0xE4;
/// Length (2), the name of a type whose `Serialize` returned an error.
pub(super) const FAILED: u8 = 0xE5;
/// Length (2), the name of a type whose code took too long lately.
pub(super) const SLOW: u8 = 0xE6;
/// Opens a sequence.
pub(super) const SEQUENCE: u8 = 0xE8;
/// Opens a sequence of which only the first items follow; the number of all (8).
pub(super) const SEQUENCE_CUT: u8 = 0xE9;
/// Opens a map.
pub(super) const MAP: u8 = 0xEA;
/// Opens a map of which only the first entries follow; the number of all (8).
pub(super) const MAP_CUT: u8 = 0xEB;
/// There were more items or entries than this number (8), nobody knows how many; the container ends.
pub(super) const MORE: u8 = 0xEC;
/// Closes a container.
pub(super) const END: u8 = 0xEF;
/// The budget was used up here.
pub(super) const CUT: u8 = 0xF0;
/// A container that lies too deep.
pub(super) const DEEP: u8 = 0xF1;
/// A secret.
pub(super) const REDACTED: u8 = 0xF2;
/// A shape: length (2), name, number of dimensions (1), each (8).
pub(super) const SUMMARY: u8 = 0xF3;

/// Never written: reading it fails.
pub(super) const UNREADABLE: u8 = 0xFE;
/// Fills the word in which a value ends: the next one starts with a word, so that what is written word by
/// word is read by the same words.
pub(super) const PADDING: u8 = 0xFF;

/// The text of a token that is a whole string.
pub(super) fn string_of(token: &[u8]) -> Option<&str> {
    let ([SHORT..=SHORT_MAX, text @ ..] | [STRING, _, _, text @ ..]) = token else { return None };
    std::str::from_utf8(text).ok()
}
