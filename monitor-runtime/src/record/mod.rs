//! The byte layout of a record: what the hot side writes into a ring and the cold side reads back.
//! Pure. A record is a header of eight 64-bit words, one cache line, followed by the captured
//! tokens, which fill whole words (what is read may say that its last word is less than full):
//!
//! ```text
//! word 0   words (16) · kind 2, outcome 2, kept 2, flags 2 (8) · padding bytes (8) · call site (32)
//! word 1   start, ticks          word 4   parent id (0: none)
//! word 2   duration, ticks       word 5   trace id
//! word 3   span id               word 6   weight as f32 (32) · bytes of arguments (16) · of fields (16)
//!                                word 7   busy ticks of an async call (48) · checksum of the values (16)
//! ```
//!
//! Whatever follows arguments and fields is the result (outcome `ok`) or the error's text.

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It returned, and not an error.
    Ok = 0,
    /// It returned an error.
    Error = 1,
    /// It unwound.
    Panic = 2,
    /// Its future was dropped before completion.
    Cancelled = 3,
}

impl Outcome {
    /// The word used in SQL and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Cancelled => "cancelled",
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

/// Why a call has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kept {
    /// It was drawn at its function's sampling rate.
    Sampled = 0,
    /// It was slow.
    Slow = 1,
    /// It failed.
    Failed = 2,
    /// It was among the first calls of its function in this process, and would otherwise have been left out.
    First = 3,
}

impl Kept {
    /// The word used in SQL and on screen.
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

/// Words of a header.
pub(crate) const HEADER_WORDS: usize = 8;

/// A word of values, as the bytes that it was written as.
pub(crate) type Word = [u8; 8];

const KIND_CALL: u64 = 0;
const KIND_THREAD: u64 = 1;
const KIND_SKIP: u64 = 2;

/// The fixed part of a call's record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Header {
    pub(crate) site: u32,
    pub(crate) outcome: Outcome,
    pub(crate) kept: Kept,
    /// Whether `busy` was measured; a synchronous call is busy from start to end.
    pub(crate) is_async: bool,
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) span: u64,
    pub(crate) parent: u64,
    pub(crate) trace: u64,
    pub(crate) weight: f32,
    pub(crate) args_bytes: u16,
    pub(crate) fields_bytes: u16,
    pub(crate) busy: u64,
}

impl Header {
    /// Lays the header out for a record that carries this many words of values.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn encode(&self, value_words: usize) -> [u64; HEADER_WORDS] {
        [
            first_word(value_words, self.outcome, self.kept, self.is_async, self.site),
            self.start,
            self.duration,
            self.span,
            self.parent,
            self.trace,
            sizes_word(self.weight, self.args_bytes, self.fields_bytes),
            self.busy & BUSY_MASK,
        ]
    }

    /// The same call as the root of a tree of its own: what was left out above it has no row that it could
    /// point to.
    #[must_use]
    pub(crate) fn as_root(self, span: u64) -> Self {
        Self { span, parent: 0, trace: span, ..self }
    }

    pub(crate) fn decode(words: &[u64; HEADER_WORDS]) -> Self {
        let bits = words[0] >> 16;
        Self {
            site: (words[0] >> 32) as u32,
            outcome: Outcome::from_bits(bits >> 2),
            kept: Kept::from_bits(bits >> 4),
            is_async: bits & 1 << 6 != 0,
            start: words[1],
            duration: words[2],
            span: words[3],
            parent: words[4],
            trace: words[5],
            weight: f32::from_bits(words[6] as u32),
            args_bytes: (words[6] >> 32) as u16,
            fields_bytes: (words[6] >> 48) as u16,
            busy: words[7] & BUSY_MASK,
        }
    }
}

/// Returns the upper half of a thread's span ids: 31 bits, so that ids are positive in SQL, and never 0, which
/// marks the reserved spans.
pub(crate) fn prefix_of(first_prefix: u32, id: u32) -> u32 {
    (first_prefix.wrapping_add(id) & (u32::MAX >> 1)).max(1)
}

#[cfg(test)]
impl Header {
    /// A root call like any other.
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
        }
    }
}

/// The places of a header's words, for who writes them one by one.
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

/// The first word of a call's record.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn first_word(value_words: usize, outcome: Outcome, kept: Kept, is_async: bool, site: u32) -> u64 {
    let bits = KIND_CALL | (outcome as u64) << 2 | (kept as u64) << 4 | u64::from(is_async) << 6;
    (HEADER_WORDS + value_words) as u64 | bits << 16 | u64::from(site) << 32
}

/// The word of a call's record that says how much it counts for, and which values are which.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn sizes_word(weight: f32, args_bytes: u16, fields_bytes: u16) -> u64 {
    u64::from(weight.to_bits()) | u64::from(args_bytes) << 32 | u64::from(fields_bytes) << 48
}

/// The bits of a header's last word that say how long a call was busy: at 3 GHz a day's worth.
const BUSY_MASK: u64 = (1 << 48) - 1;

/// Adds a word of values to a checksum, which tells damage from what was written.
#[inline]
pub(crate) const fn add_to_checksum(sum: u64, word: u64) -> u64 {
    sum.rotate_left(7).wrapping_add(word)
}

/// The last word of a header, with the checksum of its record's values.
#[inline]
pub(crate) const fn seal(last: u64, sum: u64) -> u64 {
    (last & BUSY_MASK) | (sum.wrapping_mul(0x9E37_79B9_7F4A_7C15) & !BUSY_MASK)
}

/// Whether a call's record says of its values what they are.
pub(crate) fn is_intact(words: &[u64], values: &[u64]) -> bool {
    let sum = values.iter().fold(0, |sum, word| add_to_checksum(sum, *word));
    words.get(HEADER_WORDS - 1).is_some_and(|last| values.is_empty() || seal(*last, sum) == *last)
}

/// The same header with another's checksum: that of the record it takes the place in.
pub(crate) const fn sealed_as(mut header: [u64; HEADER_WORDS], last: u64) -> [u64; HEADER_WORDS] {
    header[HEADER_WORDS - 1] |= last & !BUSY_MASK;
    header
}

/// A record of one word that says which thread the records behind it come from.
#[inline]
pub(crate) const fn encode_thread(thread: u32) -> u64 {
    1 | KIND_THREAD << 16 | (thread as u64) << 32
}

/// A word that says that this many words, itself included, hold nothing.
#[inline]
pub(crate) const fn encode_skip(words: usize) -> u64 {
    KIND_SKIP << 16 | (words as u64) << 32
}

/// The first word of a record that is counted and has no row: how the journal says so.
pub(crate) const fn settle(first: u64) -> u64 {
    first | SETTLED
}

/// Whether a record is counted and has no row.
pub(crate) const fn is_settled(first: u64) -> bool {
    first & SETTLED != 0
}

/// The last of the flags; no ring has it set.
const SETTLED: u64 = 1 << 23;

/// How many words the record takes that begins with this one, as far as that word can be believed.
#[inline]
pub(crate) const fn words_of(first: u64) -> usize {
    match first >> 16 & 3 {
        KIND_CALL => (first & 0xFFFF) as usize,
        KIND_SKIP => (first >> 32) as usize,
        _ => 1,
    }
}

/// What a record says. `values` borrows the words it was read from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Record<'a> {
    /// A call ended.
    Call(Header, &'a [u64], usize),
    /// The ring was taken over by this thread.
    Thread(u32),
    /// Nothing.
    Skip,
}

/// Reads the record at the start of `words`: what it says and how many words it takes. `None` where
/// the words are not a record; the input may be hostile.
pub(crate) fn decode(words: &[u64]) -> Option<(Record<'_>, usize)> {
    let first = *words.first()?;
    match first >> 16 & 3 {
        KIND_CALL => {
            let length = (first & 0xFFFF) as usize;
            let padding = (first >> 24 & 0xFF) as usize;
            let header = words.first_chunk::<HEADER_WORDS>()?;
            let values = words.get(HEADER_WORDS..length)?;
            let bytes = (values.len() * 8).checked_sub(padding)?;
            let header = Header::decode(header);
            if padding > 7 || usize::from(header.args_bytes) + usize::from(header.fields_bytes) > bytes {
                return None;
            }
            Some((Record::Call(header, values, bytes), length))
        }
        KIND_THREAD => Some((Record::Thread((first >> 32) as u32), 1)),
        KIND_SKIP => {
            let length = (first >> 32) as usize;
            (length >= 1 && length <= words.len()).then_some((Record::Skip, length))
        }
        _ => None,
    }
}

/// A whole record of its own: a header that says how many words of values there are, and these.
pub(crate) fn with_values(header: &[u64; HEADER_WORDS], values: &[Word]) -> Vec<u64> {
    let mut words = header.to_vec();
    words.extend(values.iter().map(|word| u64::from_le_bytes(*word)));
    let sum = words[HEADER_WORDS..].iter().fold(0, |sum, word| add_to_checksum(sum, *word));
    if !values.is_empty() {
        words[HEADER_WORDS - 1] = seal(header[HEADER_WORDS - 1], sum);
    }
    words
}

/// The bytes of a record's values.
pub(crate) fn unpack(words: &[u64], bytes: usize, into: &mut Vec<u8>) {
    into.clear();
    into.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    into.truncate(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let words = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
        (any::<u32>(), 0_u64..4, 0_u64..4, any::<bool>(), words, 0_f32..1e9, 0_u16..40, 0_u16..40).prop_map(
            |(site, outcome, kept, is_async, words, weight, args_bytes, fields_bytes)| Header {
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
                busy: words.5 & BUSY_MASK,
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
            let mut words = with_values(&header.encode(values.len()), values);
            let length = words.len();
            words.push(encode_thread(9));
            let (record, used) = decode(&words).unwrap();
            prop_assert_eq!(used, length);
            let Record::Call(read, values, value_bytes) = record else { panic!("not a call") };
            prop_assert!(is_intact(&words, values));
            if let Some(first) = values.first() {
                let mut damaged = values.to_vec();
                damaged[0] = first ^ 1 << 9;
                prop_assert!(!is_intact(&words, &damaged));
            }
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
