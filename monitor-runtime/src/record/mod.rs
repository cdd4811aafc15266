//! The byte layout of a record, which the hot side writes into a ring and the cold side reads back. Pure. Takes a
//! header and values; gives words, and the other way round. The room does not know the meaning of the values.
//!
//! A record is a header of eight 64-bit words, one cache line, followed by the captured tokens, which fill whole
//! words (a reader also accepts a last word that is only partly used):
//!
//! | word | bits | content |
//! |------|------|---------|
//! | 0 | 0–15  | length of the record in words, header included |
//! |   | 16–17 | kind: 0 call, 1 thread, 2 skip, 3 calls that share a row |
//! |   | 18–19 | outcome |
//! |   | 20–21 | reason why the call is kept |
//! |   | 22    | async call: the busy ticks were measured |
//! |   | 23    | settled: counted and without a row; set in the journal only |
//! |   | 24–26 | unused bytes of the last word |
//! |   | 27    | nested: another call of the function was under way around this one on the same thread |
//! |   | 28    | folded: the call shares a row with other calls of its function |
//! |   | 29    | exit: the call was under way when the process exited; the outcome's bits are 0 |
//! |   | 30    | log line: a record of its own, see `log_line` |
//! |   | 31    | 0 |
//! |   | 32–63 | call site; of a thread record the thread, of a skip record its length in words |
//! | 1 | 0–63  | start, in ticks |
//! | 2 | 0–63  | duration, in ticks |
//! | 3 | 0–63  | span id |
//! | 4 | 0–63  | id of the parent; 0 for none |
//! | 5 | 0–63  | trace id |
//! | 6 | 0–31  | weight, as `f32` |
//! |   | 32–47 | bytes of arguments |
//! |   | 48–63 | bytes of extra fields |
//! | 7 | 0–47  | busy ticks of an async call; of any other call, its self ticks: the duration without that of its timed callees |
//! |   | 48–63 | checksum of the words behind the header |
//! | 8 | 0–63  | only of an async call: its self ticks, the busy ticks without the time of its callees within its polls |
//!
//! The bytes after arguments and fields are the result (outcome `ok`) or the error's text.

mod fold;
mod log_line;

pub(crate) use fold::Fold;
pub(crate) use log_line::LogLine;
pub use log_line::{LogLevel, LogTarget};

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// The call returned something other than an error.
    Ok = 0,
    /// The call returned an error.
    Error = 1,
    /// The call unwound.
    Panic = 2,
    /// The call's future was dropped before completion.
    Cancelled = 3,
    /// The process exited while the call was under way. This is no failure.
    Exit = 4,
}

impl Outcome {
    /// Returns the word used in SQL and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Cancelled => "cancelled",
            Self::Exit => "exit",
        }
    }

    /// Returns true for the outcomes of a call that failed: `error`, `panic` and `cancelled`.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Ok | Self::Exit)
    }

    /// The outcomes of a call that failed, in the order of [`ByOutcome`].
    pub(crate) const FAILURES: [Self; 3] = [Self::Error, Self::Panic, Self::Cancelled];

    /// Returns the place of a failure's outcome in [`ByOutcome`]. Returns `None` for a call that did not fail.
    pub(crate) const fn failure_place(self) -> Option<usize> {
        match self {
            Self::Ok | Self::Exit => None,
            Self::Error => Some(0),
            Self::Panic => Some(1),
            Self::Cancelled => Some(2),
        }
    }

    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Ok,
            1 => Self::Error,
            2 => Self::Panic,
            _ => Self::Cancelled,
        }
    }
}

/// Numbers of failures by outcome: `error`, `panic`, `cancelled`.
pub(crate) type ByOutcome = [u64; 3];

/// The reason why a call has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kept {
    /// The call was sampled at its function's rate.
    Sampled = 0,
    /// The call was slow.
    Slow = 1,
    /// The call failed.
    Failed = 2,
    /// The call was among the first calls of its function in this process, and would otherwise be unsampled.
    First = 3,
}

impl Kept {
    /// Returns the word used in SQL and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::First => "first",
        }
    }

    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Sampled,
            1 => Self::Slow,
            2 => Self::Failed,
            _ => Self::First,
        }
    }
}

/// The number of words of a header.
pub(crate) const HEADER_WORDS: usize = 8;

/// A word of values, as bytes.
pub(crate) type Word = [u8; 8];

const KIND_CALL: u64 = 0;
const KIND_THREAD: u64 = 1;
const KIND_SKIP: u64 = 2;
const KIND_FOLD: u64 = 3;

/// The first word of a record, as the table of bits above draws it.
#[derive(Clone, Copy)]
struct FirstWord(u64);

impl FirstWord {
    const ASYNC: u64 = 1 << 22;
    const SETTLED: u64 = 1 << 23;
    const FOLDED: u64 = 1 << 28;
    const EXIT: u64 = 1 << 29;
    /// Marks a skip as the record of a log line.
    const LINE: u64 = 1 << 30;
    /// The lowest bit of the kind.
    const KIND: u32 = 16;

    const fn kind(self) -> u64 {
        self.0 >> Self::KIND & 3
    }

    /// Returns the length in words of a call's record.
    const fn call_words(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }

    const fn outcome(self) -> Outcome {
        if self.0 & Self::EXIT != 0 { Outcome::Exit } else { Outcome::from_bits(self.0 >> 18) }
    }

    const fn kept(self) -> Kept {
        Kept::from_bits(self.0 >> 20)
    }

    const fn is_async(self) -> bool {
        self.0 & Self::ASYNC != 0
    }

    const fn is_settled(self) -> bool {
        self.0 & Self::SETTLED != 0
    }

    /// Returns the unused bytes of the last word.
    const fn padding(self) -> usize {
        (self.0 >> 24 & 7) as usize
    }

    const fn is_nested(self) -> bool {
        self.0 & 1 << 27 != 0
    }

    /// Returns the call site, the thread, or the length of a skip record, by the kind.
    const fn upper_half(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The word of a header with the call's weight and the sizes of its values.
///
/// | bits | content |
/// |---|---|
/// | 63–48 | bytes of extra fields |
/// | 47–32 | bytes of arguments |
/// | 31–0 | weight, as the bits of an `f32` |
#[derive(Clone, Copy)]
struct SizesWord(u64);

impl SizesWord {
    #[cfg_attr(not(debug_assertions), inline(always))]
    const fn new(weight: f32, args_bytes: u16, fields_bytes: u16) -> Self {
        Self(weight.to_bits() as u64 | (args_bytes as u64) << 32 | (fields_bytes as u64) << 48)
    }

    const fn weight(self) -> f32 {
        f32::from_bits(self.0 as u32)
    }

    const fn args_bytes(self) -> u16 {
        (self.0 >> 32) as u16
    }

    const fn fields_bytes(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// The last word of a header.
///
/// | bits | content |
/// |---|---|
/// | 63–48 | checksum of the words behind the header |
/// | 47–0 | self ticks; of an async call its busy ticks |
#[derive(Clone, Copy, PartialEq, Eq)]
struct LastWord(u64);

impl LastWord {
    /// The bits that hold ticks: at 3 GHz they last for a day.
    const TICKS: u64 = (1 << 48) - 1;

    const fn ticks(self) -> u64 {
        self.0 & Self::TICKS
    }

    /// Returns the bits of the checksum, at their place.
    const fn checksum(self) -> u64 {
        self.0 & !Self::TICKS
    }

    /// Returns the same ticks with the checksum of values whose words have this sum.
    #[inline]
    const fn sealed(self, sum: u64) -> Self {
        Self(self.ticks() | Self(sum.wrapping_mul(0x9E37_79B9_7F4A_7C15)).checksum())
    }
}

/// The header of a call's record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Header {
    pub(crate) site: u32,
    pub(crate) outcome: Outcome,
    pub(crate) kept: Kept,
    /// True if `busy` was measured; a synchronous call is busy from start to end.
    pub(crate) is_async: bool,
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) span: u64,
    pub(crate) parent: u64,
    pub(crate) trace: u64,
    pub(crate) weight: f32,
    pub(crate) args_bytes: u16,
    pub(crate) fields_bytes: u16,
    /// The ticks of an async call's polls; 0 for any other call.
    pub(crate) busy: u64,
    /// The ticks that the call spent itself: not in callees that were timed, and not waiting.
    pub(crate) self_ticks: u64,
    /// True if another call of the function was under way around this one on the same thread.
    pub(crate) is_nested: bool,
}

impl Header {
    /// Encodes the header of a record that carries this many words of values. In the record of an async call, the word
    /// of [`Self::extension`] lies between the header and the values.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn encode(&self, value_words: usize) -> [u64; HEADER_WORDS] {
        let first = match self.outcome {
            Outcome::Exit => {
                FirstWord::EXIT | first_word(value_words, Outcome::Ok, self.kept, self.is_nested, self.site)
            }
            outcome => first_word(value_words, outcome, self.kept, self.is_nested, self.site),
        };
        let first = if self.is_async { of_async(first + EXTENSION_WORDS as u64) } else { first };
        [
            first,
            self.start,
            self.duration,
            self.span,
            self.parent,
            self.trace,
            sizes_word(self.weight, self.args_bytes, self.fields_bytes),
            (if self.is_async { self.busy } else { self.self_ticks }).min(SELF_TICKS_MAX),
        ]
    }

    /// Returns the word behind the header of an async call's record.
    #[inline]
    pub(crate) fn extension(&self) -> Word {
        self.self_ticks.to_le_bytes()
    }

    /// Decodes the header of a call's record. `behind` are the words that follow the header. Returns the header and the
    /// words of the call's values; `None` if an async call lacks its extension.
    #[inline]
    pub(crate) fn decode<'a>(words: &[u64; HEADER_WORDS], behind: &'a [u64]) -> Option<(Self, &'a [u64])> {
        let first = FirstWord(words[0]);
        let (sizes, last) = (SizesWord(words[place::SIZES]), LastWord(words[place::LAST]).ticks());
        let (self_ticks, busy, values) = if first.is_async() {
            let (extension, values) = behind.split_first()?;
            (*extension, last, values)
        } else {
            (last, 0, behind)
        };
        let header = Self {
            site: first.upper_half(),
            outcome: first.outcome(),
            kept: first.kept(),
            is_async: first.is_async(),
            start: words[1],
            duration: words[2],
            span: words[3],
            parent: words[4],
            trace: words[5],
            weight: sizes.weight(),
            args_bytes: sizes.args_bytes(),
            fields_bytes: sizes.fields_bytes(),
            busy,
            self_ticks,
            is_nested: first.is_nested(),
        };
        Some((header, values))
    }
}

/// The bit of a thread's current span that is set if the tree of the call is not kept: calls below it leave a record
/// only if they fail or are slow. Span ids leave it free, and records do not carry it.
pub(crate) const NOT_KEPT: u64 = 1 << 63;

/// Returns the upper half of a thread's span ids: 31 bits, so that ids are positive in SQL, and neither all zeros nor all
/// ones, which mark the current spans that are no call's.
pub(crate) fn span_prefix(first_prefix: u32, id: u32) -> u32 {
    const ALL_ONES: u32 = u32::MAX >> 1;
    (first_prefix.wrapping_add(id) & ALL_ONES).clamp(1, ALL_ONES - 1)
}

#[cfg(test)]
impl Header {
    /// Returns the header of a root call with usual values.
    pub(crate) fn any(site: u32, outcome: Outcome) -> Self {
        let kept = if outcome == Outcome::Ok { Kept::Sampled } else { Kept::Failed };
        Self {
            site,
            outcome,
            kept,
            is_async: false,
            start: 1,
            duration: 2,
            span: 3,
            parent: 0,
            trace: 3,
            weight: 1.0,
            args_bytes: 0,
            fields_bytes: 0,
            busy: 0,
            self_ticks: 2,
            is_nested: false,
        }
    }
}

/// The indices of a header's words, for code that writes them one by one.
pub(crate) mod place {
    pub(crate) const FIRST: usize = 0;
    pub(crate) const START: usize = 1;
    pub(crate) const DURATION: usize = 2;
    pub(crate) const SPAN: usize = 3;
    pub(crate) const PARENT: usize = 4;
    pub(crate) const TRACE: usize = 5;
    pub(crate) const SIZES: usize = 6;
    pub(crate) const LAST: usize = 7;
}

/// Returns the first word of the record of a call that is not async.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn first_word(
    value_words: usize,
    outcome: Outcome,
    kept: Kept,
    is_nested: bool,
    site: u32,
) -> u64 {
    let bits = KIND_CALL | (outcome as u64) << 2 | (kept as u64) << 4 | u64::from(is_nested) << 11;
    (HEADER_WORDS + value_words) as u64 | bits << 16 | u64::from(site) << 32
}

/// The number of words between the header and the values of an async call's record.
pub(crate) const EXTENSION_WORDS: usize = 1;

/// Returns the first word of an async call's record, made from one whose length counts the extension.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) const fn of_async(first: u64) -> u64 {
    first | FirstWord::ASYNC
}

/// Returns the word with the call's weight and the lengths of arguments and fields.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn sizes_word(weight: f32, args_bytes: u16, fields_bytes: u16) -> u64 {
    SizesWord::new(weight, args_bytes, fields_bytes).0
}

/// The most self ticks of a call that a record holds.
pub(crate) const SELF_TICKS_MAX: u64 = LastWord::TICKS;

/// Adds a word of values to a checksum. The checksum is part of the format; it detects damaged values.
#[inline]
pub(crate) const fn add_to_checksum(sum: u64, word: u64) -> u64 {
    sum.rotate_left(7).wrapping_add(word)
}

/// Returns the last word of a header, with the checksum of the record's values.
#[inline]
pub(crate) const fn seal(last: u64, sum: u64) -> u64 {
    LastWord(last).sealed(sum).0
}

/// Returns whether the checksum of the record at the start of these words, of a call or a log line, fits the words behind its
/// header.
pub(crate) fn is_intact(words: &[u64]) -> bool {
    let length = words.first().map_or(0, |first| record_words(*first));
    let Some((last, behind)) = words.get(place::LAST..length).and_then(<[u64]>::split_first) else {
        return false;
    };
    let sum = behind.iter().fold(0, |sum, word| add_to_checksum(sum, *word));
    behind.is_empty() || seal(*last, sum) == *last
}

/// Returns the header with the checksum in `last`, which belongs to the record whose header it replaces.
pub(crate) const fn sealed_as(mut header: [u64; HEADER_WORDS], last: u64) -> [u64; HEADER_WORDS] {
    header[place::LAST] |= LastWord(last).checksum();
    header
}

/// Returns a record of one word that names the thread of the records behind it.
#[inline]
pub(crate) const fn encode_thread(thread: u32) -> u64 {
    1 | KIND_THREAD << 16 | (thread as u64) << 32
}

/// Returns the word that marks this many words, itself included, as empty.
#[inline]
pub(crate) const fn encode_skip(words: usize) -> u64 {
    KIND_SKIP << 16 | (words as u64) << 32
}

/// Marks the first word of a record as settled: the call is counted and has no row. The journal uses the mark.
pub(crate) const fn settle(first: u64) -> u64 {
    first | FirstWord::SETTLED
}

/// Marks the first word of a call's record: the call shares a row with others.
pub(crate) const fn mark_folded(first: u64) -> u64 {
    first | FirstWord::FOLDED
}

/// Returns whether a record is settled: counted and without a row.
pub(crate) const fn is_settled(first: u64) -> bool {
    FirstWord(first).is_settled()
}

/// Returns the length in words of the record that begins with this word. The word may be damaged, so the
/// length may be wrong.
#[inline]
pub(crate) const fn record_words(first: u64) -> usize {
    let first = FirstWord(first);
    match first.kind() {
        KIND_CALL | KIND_FOLD => first.call_words(),
        KIND_SKIP => first.upper_half() as usize,
        _ => 1,
    }
}

/// A decoded record, which borrows the words it was read from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Record<'a> {
    /// A call that ended: its header, the words of its values, and the number of bytes in use in these.
    Call(Header, &'a [u64], usize),
    /// A call that shares a row with others and is counted in their record: its header, the words of its values, and
    /// the number of bytes in use in these.
    Folded(Header, &'a [u64], usize),
    /// Calls that share a row: a header whose duration is their mean, their sums, the words of one call's arguments,
    /// and the number of bytes in these.
    Fold(Header, Fold, &'a [u64], usize),
    /// The thread with this id took the ring over.
    Thread(u32),
    /// A log line, the words of its body, and those of its fields.
    Line(LogLine, &'a [u64], &'a [u64]),
    /// Empty words.
    Skip,
}

/// Decodes the record at the start of `words` and returns it with its length in words. Returns `None` if the
/// words are not a record; the input may be hostile.
///
/// The records of calls are decoded inline, because a drain passes over them several times and each pass uses only some
/// of their fields.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn decode(words: &[u64]) -> Option<(Record<'_>, usize)> {
    let first = FirstWord(*words.first()?);
    if first.kind() != KIND_CALL {
        return decode_other(first, words);
    }
    let length = first.call_words();
    let header = words.first_chunk::<HEADER_WORDS>()?;
    let (header, values) = Header::decode(header, words.get(HEADER_WORDS..length)?)?;
    let bytes = (values.len() * 8).checked_sub(first.padding())?;
    if usize::from(header.args_bytes) + usize::from(header.fields_bytes) > bytes {
        return None;
    }
    let is_folded = words[0] & FirstWord::FOLDED != 0;
    let record =
        if is_folded { Record::Folded(header, values, bytes) } else { Record::Call(header, values, bytes) };
    Some((record, length))
}

/// Decodes a record other than a call's, which begins with the word `first`.
#[inline(never)]
fn decode_other(first: FirstWord, words: &[u64]) -> Option<(Record<'_>, usize)> {
    match first.kind() {
        KIND_FOLD => {
            let length = first.call_words();
            let header = words.first_chunk::<HEADER_WORDS>()?;
            let (header, values) = Header::decode(header, words.get(HEADER_WORDS..length)?)?;
            let (sums, values) = values.split_first_chunk::<{ Fold::WORDS }>()?;
            let bytes = values.len() * 8;
            let is_whole = usize::from(header.args_bytes) <= bytes;
            is_whole.then_some((Record::Fold(header, Fold::from_words(*sums), values, bytes), length))
        }
        KIND_THREAD => Some((Record::Thread(first.upper_half()), 1)),
        KIND_SKIP => {
            let length = first.upper_half() as usize;
            let record = words.get(..length).filter(|record| !record.is_empty())?;
            if first.0 & FirstWord::LINE == 0 {
                return Some((Record::Skip, length));
            }
            let (line, body, fields) = LogLine::decode(record)?;
            Some((Record::Line(line, body, fields), length))
        }
        _ => None,
    }
}

/// Builds a whole record from a header, which states the number of words behind it, and these words: values, and
/// before them the extension of an async call.
pub(crate) fn with_values(header: &[u64; HEADER_WORDS], behind: &[Word]) -> Vec<u64> {
    let mut words = Vec::new();
    append_with_values(header, behind, &mut words);
    words
}

/// Appends a record to words. It takes no memory if the words have room.
pub(crate) fn append_with_values(header: &[u64; HEADER_WORDS], behind: &[Word], words: &mut Vec<u64>) {
    let first = words.len();
    words.extend_from_slice(header);
    words.extend(behind.iter().map(|word| u64::from_le_bytes(*word)));
    let sum = words[first + HEADER_WORDS..].iter().fold(0, |sum, word| add_to_checksum(sum, *word));
    if !behind.is_empty() {
        words[first + HEADER_WORDS - 1] = seal(header[HEADER_WORDS - 1], sum);
    }
}

/// Copies the bytes of a record's values. Without memory for them nothing is copied, and the function returns false.
pub(crate) fn unpack(words: &[u64], bytes: usize, into: &mut Vec<u8>) -> bool {
    into.clear();
    if into.try_reserve(words.len() * size_of::<Word>()).is_err() {
        return false;
    }
    into.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    into.truncate(bytes);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let words = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
        let flags = (any::<bool>(), any::<bool>());
        (any::<u32>(), 0_u64..4, 0_u64..4, flags, words, 0_f32..1e9, 0_u16..40, 0_u16..40).prop_map(
            |(site, outcome, kept, (is_async, is_nested), words, weight, args_bytes, fields_bytes)| Header {
                site,
                outcome: Outcome::from_bits(outcome),
                kept: Kept::from_bits(kept),
                is_async,
                start: words.0,
                duration: words.1,
                span: words.2,
                parent: words.3,
                trace: words.4,
                weight,
                args_bytes,
                fields_bytes,
                busy: if is_async { LastWord(words.5).ticks() } else { 0 },
                self_ticks: LastWord(words.5 >> 3).ticks(),
                is_nested,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(header in header(), extra in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = vec![7; usize::from(header.args_bytes) + usize::from(header.fields_bytes)];
            bytes.extend(extra);
            bytes.resize(bytes.len().next_multiple_of(8), 0xEE);
            let values = bytes.as_chunks().0;
            let extension = [header.extension()];
            let behind = [if header.is_async { &extension[..] } else { &[] }, values].concat();
            let mut words = with_values(&header.encode(values.len()), &behind);
            let length = words.len();
            words.push(encode_thread(9));
            let (record, used) = decode(&words).unwrap();
            prop_assert_eq!(used, length);
            let Record::Call(read, values, value_bytes) = record else { panic!("not a call") };
            prop_assert!(is_intact(&words));
            for at in HEADER_WORDS..length {
                let mut damaged = words.clone();
                damaged[at] ^= 1 << 9;
                prop_assert!(!is_intact(&damaged));
            }
            prop_assert!(!is_intact(&words[..length - 1]));
            prop_assert_eq!(read, header);
            let mut read = Vec::new();
            unpack(values, value_bytes, &mut read);
            prop_assert_eq!(read, bytes);
            prop_assert_eq!(decode(&words[used..]), Some((Record::Thread(9), 1)));
        }

        #[test]
        fn hostile_words_are_refused_or_stay_within_bounds(words in prop::collection::vec(any::<u64>(), 0..40)) {
            if let Some((_, used)) = decode(&words) {
                prop_assert!(used >= 1 && used <= words.len());
            }
        }
    }
}
