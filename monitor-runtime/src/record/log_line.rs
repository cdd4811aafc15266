//! The record of a log line, which a program wrote at a moment within a call or outside of calls.
//!
//! Takes a line and the words of its texts; gives words, and reads them back. To a reader that does not know lines the
//! record is a skip, so it passes the line over. Pure. The file does not know what a place is.
//!
//! | word | bits | content |
//! |------|------|---------|
//! | 0 | 0–15  | number of the place in the source that wrote the line |
//! |   | 16–17 | kind: 2 skip |
//! |   | 18–20 | level |
//! |   | 21    | the line has no body: it stands only for lines that have no row of their own |
//! |   | 23    | settled, as in the record of a call |
//! |   | 30    | log line |
//! |   | 32–63 | length of the record in words |
//! | 1 | 0–63  | moment, in ticks |
//! | 2 | 0–63  | number of lines that the record stands for |
//! | 3 | 0–63  | span id of the call that wrote it; 0 outside of calls |
//! | 4 | 0–31  | call site of that call; 0 if it is not known |
//! | 5 | 0–63  | trace id |
//! | 6 | 32–47 | bytes of the body |
//! |   | 48–63 | bytes of the fields |
//! | 7 | 48–63 | checksum of the words behind the header |
//!
//! The body begins behind the header, and the fields at the next word behind the body.

use super::{FirstWord, HEADER_WORDS, KIND_SKIP, SizesWord, Word};

/// The level of a log line, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogLevel {
    /// Something failed.
    Error = 1,
    /// Something may be wrong.
    Warn = 2,
    /// Something that a person may want to know.
    Info = 3,
    /// A detail that helps to find a fault.
    Debug = 4,
    /// A step of the program.
    Trace = 5,
}

impl LogLevel {
    /// All levels, the most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Returns the word used in SQL and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Returns the level of this number, from 1 for `error` to 5 for `trace`.
    pub(crate) const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Error),
            2 => Some(Self::Warn),
            3 => Some(Self::Info),
            4 => Some(Self::Debug),
            5 => Some(Self::Trace),
            _ => None,
        }
    }
}

/// The place in a program's source that writes log lines, without the level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LogTarget {
    /// The target that the program names, usually the path of the module.
    pub target: String,
    /// The source file; empty if it is not known.
    pub file: String,
    /// The line in the source file; 0 if it is not known.
    pub line: u32,
}

/// A log line, apart from its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// The number of the place in the source that wrote the line.
    pub(crate) place: u16,
    pub(crate) level: LogLevel,
    pub(crate) at: u64,
    /// The number of lines that this line stands for, itself included.
    pub(crate) lines: u64,
    pub(crate) span: u64,
    pub(crate) trace: u64,
    /// The call site of the call that wrote the line; 0 if it is not known.
    pub(crate) site: u32,
    /// False if the line stands only for lines that have no row of their own.
    pub(crate) has_body: bool,
    pub(crate) body_bytes: u16,
    pub(crate) fields_bytes: u16,
}

/// The lowest bit of the level in the first word.
const LEVEL: u32 = 18;
const NO_BODY: u64 = 1 << 21;

impl LogLine {
    /// Returns a line that stands only for these lines of a place, which came too fast for a record each.
    pub(crate) fn new_folded(place: u16, level: LogLevel, at: u64, lines: u64) -> Self {
        let (span, trace, site) = (0, 0, 0);
        let (body_bytes, fields_bytes) = (0, 0);
        Self { place, level, at, lines, span, trace, site, has_body: false, body_bytes, fields_bytes }
    }

    /// Returns the number of words of a text of this many bytes.
    pub(crate) const fn count_words(bytes: u16) -> usize {
        (bytes as usize).div_ceil(size_of::<Word>())
    }

    /// Encodes the header of a record with the texts that the line states.
    pub(crate) fn encode(&self) -> [u64; HEADER_WORDS] {
        let words = HEADER_WORDS + Self::count_words(self.body_bytes) + Self::count_words(self.fields_bytes);
        let first = u64::from(self.place)
            | KIND_SKIP << FirstWord::KIND
            | (self.level as u64) << LEVEL
            | if self.has_body { 0 } else { NO_BODY }
            | FirstWord::LINE
            | (words as u64) << 32;
        let sizes = SizesWord::new(0.0, self.body_bytes, self.fields_bytes).0;
        [first, self.at, self.lines, self.span, u64::from(self.site), self.trace, sizes, 0]
    }

    /// Decodes the record of a log line, which is all of these words. Returns the line, the words of the body and those
    /// of the fields; `None` if the words are not such a record.
    pub(super) fn decode(words: &[u64]) -> Option<(Self, &[u64], &[u64])> {
        let (header, texts) = words.split_first_chunk::<HEADER_WORDS>()?;
        let sizes = SizesWord(header[super::place::SIZES]);
        let line = Self {
            place: header[0] as u16,
            level: LogLevel::from_number(header[0] >> LEVEL & 7)?,
            at: header[1],
            lines: header[2],
            span: header[3],
            trace: header[5],
            site: header[4] as u32,
            has_body: header[0] & NO_BODY == 0,
            body_bytes: sizes.args_bytes(),
            fields_bytes: sizes.fields_bytes(),
        };
        let (body, fields) = texts.split_at_checked(Self::count_words(line.body_bytes))?;
        (fields.len() == Self::count_words(line.fields_bytes)).then_some((line, body, fields))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::{Record, decode, is_intact, is_settled, record_words, settle, with_values};
    use super::*;

    fn line() -> LogLine {
        LogLine {
            place: 4097,
            level: LogLevel::Warn,
            at: 7,
            lines: 3,
            span: 11,
            trace: 12,
            site: u32::MAX,
            has_body: true,
            body_bytes: 9,
            fields_bytes: 3,
        }
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for level in LogLevel::ALL {
            let line = LogLine { level, has_body: level != LogLevel::Info, ..line() };
            let texts = [*b"12345678", *b"9\0\0\0\0\0\0\0", *b"abc\0\0\0\0\0"];
            let words = with_values(&line.encode(), &texts);
            assert_eq!((words.len(), record_words(words[0])), (11, 11));
            assert!(is_intact(&words));
            let texts = texts.map(u64::from_le_bytes);
            let expected = Record::Line(line, &texts[..2], &texts[2..]);
            assert_eq!(decode(&words), Some((expected, 11)));
            let mut settled = words.clone();
            settled[0] = settle(settled[0]);
            assert!(is_settled(settled[0]) && decode(&settled) == Some((expected, 11)));
            let mut damaged = words.clone();
            damaged[9] ^= 4;
            assert!(!is_intact(&damaged) && !is_intact(&words[..10]));
        }
    }

    #[test]
    fn a_line_with_impossible_lengths_or_level_is_refused() {
        let words = with_values(&line().encode(), &[[0; 8]; 3]);
        assert_eq!(decode(&words[..10]), None);
        for (at, bits) in [(0, 7 << LEVEL), (6, 1 << 36), (6, 1 << 55), (0, 1 << 34)] {
            let mut other = words.clone();
            other[at] |= bits;
            other.extend([0; 8]);
            assert_eq!(decode(&other), None, "{at} {bits:x}");
        }
        let mut short = words;
        short[0] = short[0] & 0xFFFF_FFFF | 7 << 32;
        assert_eq!(decode(&short), None);
    }

    #[test]
    fn a_reader_that_does_not_know_lines_passes_them_over() {
        let words = with_values(&line().encode(), &[[0; 8]; 3]);
        let mut as_skip = words.clone();
        as_skip[0] &= !FirstWord::LINE;
        assert_eq!(decode(&as_skip), Some((Record::Skip, words.len())));
    }
}
