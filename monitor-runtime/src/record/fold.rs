//! The record of calls of one function that share a row, because their caller made so many of them.
//!
//! Takes sums; gives words, and reads them back. Such a record is like that of a call, with the words of the sums
//! between header and values. Its header is that of a call whose duration is the mean.

use super::{FirstWord, HEADER_WORDS, Header, KIND_FOLD, Word, place, with_values};

/// The calls that share a row, apart from what the header of their record says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Fold {
    /// The number of calls that share the row.
    pub(crate) calls: u64,
    /// Sum and maximum of the calls' durations, in ticks.
    pub(crate) total: u64,
    pub(crate) longest: u64,
    /// The end of the last call, in ticks.
    pub(crate) end: u64,
    /// Sum of the calls' busy times, in ticks.
    pub(crate) busy: u64,
    /// Sum of the calls' weights.
    pub(crate) weight: f64,
}

impl Fold {
    /// The number of words of [`Self::to_words`].
    pub(super) const WORDS: usize = 6;

    fn to_words(self) -> [Word; Self::WORDS] {
        let Self { calls, total, longest, end, busy, weight } = self;
        [calls, total, longest, end, busy, weight.to_bits()].map(u64::to_le_bytes)
    }

    pub(super) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [calls, total, longest, end, busy, weight] = words;
        Self { calls, total, longest, end, busy, weight: f64::from_bits(weight) }
    }

    /// Builds the whole record. The header is that of one of the calls, and `args` are its arguments.
    pub(crate) fn encode(self, header: &Header, args: &[Word]) -> Vec<u64> {
        let mean = |ticks: u64| ticks / self.calls.max(1);
        let header = Header {
            is_async: false,
            duration: mean(self.total),
            busy: 0,
            self_ticks: mean(self.busy),
            fields_bytes: 0,
            ..*header
        };
        let behind = [&self.to_words()[..], args].concat();
        let mut first: [u64; HEADER_WORDS] = header.encode(behind.len());
        first[place::FIRST] |= KIND_FOLD << FirstWord::KIND;
        with_values(&first, &behind)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::{Outcome, Record, decode, is_intact, mark_folded};
    use super::*;

    #[test]
    fn calls_that_share_a_row_read_back_as_they_were_written() {
        let fold = Fold { calls: 4, total: 80, longest: 50, end: 900, busy: 40, weight: 4.5 };
        let header = Header { args_bytes: 7, is_async: true, ..Header::any(9, Outcome::Ok) };
        let words = fold.encode(&header, &[*b"argument"]);
        let (record, used) = decode(&words).unwrap();
        assert_eq!(used, words.len());
        assert!(is_intact(&words));
        let Record::Fold(read, found, values, bytes) = record else { panic!("{record:?}") };
        assert_eq!((found, values, bytes), (fold, &[u64::from_le_bytes(*b"argument")][..], 8));
        assert_eq!((read.site, read.duration, read.args_bytes), (9, 20, 7));
        assert_eq!(decode(&words[..words.len() - 1]), None);
        assert_eq!(decode(&words[..HEADER_WORDS + 2]), None);
    }

    #[test]
    fn a_call_that_shares_a_row_is_told_apart_from_one_with_a_row_of_its_own() {
        let mut words = Header::any(9, Outcome::Ok).encode(0);
        assert!(matches!(decode(&words), Some((Record::Call(..), _))));
        words[0] = mark_folded(words[0]);
        assert!(matches!(decode(&words), Some((Record::Folded(header, ..), _)) if header.site == 9));
    }
}
