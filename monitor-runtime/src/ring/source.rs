//! The words of a ring file that is read: in memory, or in the file until they are needed.
//!
//! Takes words, or a function that reads bytes; gives pieces of the words. A piece that lies outside, or that cannot be
//! read, is shorter or empty. So a large file is read with the memory of one piece at a time. The file does not know
//! what the words mean.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Fills bytes from an offset of the file. Returns false if they cannot be read.
pub(crate) type ReadBytes = dyn Fn(&mut [u8], u64) -> bool + Send;

/// The words of a ring file.
pub(crate) enum Source {
    /// All words, in memory.
    Memory(Vec<u64>),
    /// A function that reads bytes of the file, and the number of words.
    File(Box<ReadBytes>, usize),
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} words", self.len())
    }
}

impl Source {
    /// Returns the number of words.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(words) => words.len(),
            Self::File(_, words) => *words,
        }
    }

    /// Returns the words in a range, as far as there are any.
    pub(crate) fn read(&self, range: Range<usize>) -> Cow<'_, [u64]> {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        match self {
            Self::Memory(words) => Cow::Borrowed(&words[start..end]),
            Self::File(read_bytes, _) => {
                Cow::Owned(read(&**read_bytes, start, end - start).unwrap_or_default())
            }
        }
    }
}

/// Reads this many words. Returns `None` if they cannot be read, or if there is no memory for them.
fn read(read_bytes: &ReadBytes, start: usize, length: usize) -> Option<Vec<u64>> {
    let mut words = Vec::new();
    words.try_reserve_exact(length).ok()?;
    let mut piece = [0; PIECE_BYTES];
    let mut at = start * size_of::<u64>();
    let end = at + length * size_of::<u64>();
    while at < end {
        let piece = &mut piece[..PIECE_BYTES.min(end - at)];
        if !read_bytes(piece, at as u64) {
            return None;
        }
        words.extend(piece.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)));
        at += piece.len();
    }
    Some(words)
}

/// The bytes that are read at once.
const PIECE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn from_file(file: File, words: usize) -> Source {
        Source::File(Box::new(move |bytes, at| file.read_exact_at(bytes, at).is_ok()), words)
    }

    #[test]
    fn words_are_the_same_in_memory_and_in_a_file() {
        let words: Vec<u64> = (0..3000).map(|word| word * 0x0101_0101).collect();
        let mut file = tempfile::tempfile().unwrap();
        for word in &words {
            file.write_all(&word.to_ne_bytes()).unwrap();
        }
        let (memory, file) = (Source::Memory(words.clone()), from_file(file, words.len()));
        for range in [0..0, 0..1, 511..513, 0..3000, 2999..5000, 4000..5000, 7..1600] {
            assert_eq!(memory.read(range.clone()), file.read(range.clone()), "{range:?}");
        }
        assert_eq!(file.read(2990..9000).len(), 10);
        let short = from_file(tempfile::tempfile().unwrap(), 100);
        assert!(short.read(0..100).is_empty(), "a file that was cut has no words");
    }
}
