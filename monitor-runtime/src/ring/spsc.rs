//! A bounded ring of variable-length records over words handed to it: one producer, one consumer.
//!
//! Takes records as words; gives the same records, in order, or a refusal if there is no room. Always holds: `head <=
//! read <= tail <= head + capacity`, all count words since the ring's creation, and the words from `head` to `tail` are
//! whole records. Only the producer stores `tail`, only the consumer stores `head` and `read`. A record never wraps: if
//! it does not fit before the end, a skip fills the gap. Head and tail lie beside the words, on cache lines of their own,
//! so that in a mapped file the whole ring survives the process, and the store of `tail` commits a record. The words are
//! atomics with relaxed order, so the ring needs no `unsafe`; on every known machine these are plain moves. The file does
//! not know what a record means.

use crate::record::{HEADER_WORDS, Word, add_to_checksum, encode_skip, place, record_words, seal};
use crate::ring::layout::ring::{HEAD, READ, TAIL};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// The ring. The doc of each method says who may call it. The fields that a push reads come first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Ring {
    /// Number of words written since the ring's creation. The producer stores it.
    tail: &'static AtomicU64,
    words: &'static [AtomicU64],
    /// Position up to which the tail may grow before the producer looks at the head. The producer stores it; anyone may
    /// store 0.
    limit: AtomicU64,
    /// Number of words that may be touched: the ring's first ones until [`Ring::complete`], then all.
    ready: AtomicUsize,
    /// Number of words freed since the ring's creation. The consumer stores it.
    head: &'static AtomicU64,
    /// Number of words read since the ring's creation. The consumer stores it.
    read: &'static AtomicU64,
}

/// The outcome of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// The record is in the ring.
    Written,
    /// The record is in the ring, and more than half of the ring waits: the consumer should be woken.
    Pressed,
    /// The record is not in the ring, because there is no room.
    Full,
}

impl Ring {
    /// Returns a ring over these words, whose number is a power of two, with its tail and head in a control page. All
    /// words are zero. The first `ready` of them may be touched before [`Self::complete`].
    pub(crate) fn new(control: &'static [AtomicU64], words: &'static [AtomicU64], ready: usize) -> Self {
        assert!(words.len().is_power_of_two());
        let limit = AtomicU64::new((words.len() / LOOKS).min(ready) as u64);
        let ready = AtomicUsize::new(ready.min(words.len()));
        Self { tail: &control[TAIL], words, limit, ready, head: &control[HEAD], read: &control[READ] }
    }

    /// Returns true if all words may be touched.
    pub(crate) fn is_complete(&self) -> bool {
        self.ready.load(Ordering::Relaxed) == self.words.len()
    }

    /// Allows the producer to touch all words from now on.
    pub(crate) fn complete(&self) {
        // Publishes the reserved memory to the load in `push_slow`.
        self.ready.store(self.words.len(), Ordering::Release);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.words.len()
    }

    /// Anyone: returns the number of words read since the ring's creation.
    pub(crate) fn position(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Producer: returns the room for a record with this many words of values. Returns `None` if the producer has to
    /// look at the head first; the record then goes to [`Self::push`]. A caller builds the header only once it has the
    /// room.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn room(&self, value_words: usize) -> Option<Room<'_>> {
        let tail = self.tail.load(Ordering::Relaxed);
        // The counters lie in memory that others can write to, so a sum of them wraps and is not checked for overflow.
        let end = tail.wrapping_add((HEADER_WORDS + value_words) as u64);
        if end > self.limit.load(Ordering::Relaxed) {
            return None;
        }
        let (head, rest) = self.words.get(tail as usize & (self.words.len() - 1)..)?.split_first_chunk()?;
        Some(Room { head, values: rest.get(..value_words)?, tail: self.tail, end })
    }

    /// Producer: appends a header and words of values.
    pub(crate) fn push(&self, header: &[u64; HEADER_WORDS], values: &[Word]) -> Push {
        match self.room(values.len()) {
            Some(room) => {
                room.write(*header, values);
                Push::Written
            }
            None => self.push_slow(header, values),
        }
    }

    /// Producer: pushes a record after a look at the head, and skips to the start of the ring if need be.
    #[cold]
    #[inline(never)]
    fn push_slow(&self, header: &[u64], values: &[Word]) -> Push {
        let length = header.len() + values.len();
        let capacity = self.words.len();
        let tail = self.tail.load(Ordering::Relaxed);
        let at = tail as usize & (capacity - 1);
        let gap = if at + length > capacity { capacity - at } else { 0 };
        // Observes that the consumer has read the words that it freed: the release in `free`.
        let head = self.head.load(Ordering::Acquire);
        let end = tail.wrapping_add((gap + length) as u64);
        // Observes the release in `complete`. The tail of an incomplete ring has not wrapped yet.
        let ready = self.ready.load(Ordering::Acquire);
        let last = if ready < capacity { ready as u64 } else { head.wrapping_add(capacity as u64) };
        if length > capacity || end > last {
            return Push::Full;
        }
        if gap > 0 {
            self.words[at].store(encode_skip(gap), Ordering::Relaxed);
        }
        let start = (at + gap) & (capacity - 1);
        store(&self.words[start..start + length], header, values);
        let limit = end.wrapping_add((capacity / LOOKS) as u64).min(last);
        self.limit.store(limit, Ordering::Relaxed);
        // Publishes the record to the acquire in `read`.
        self.tail.store(end, Ordering::Release);
        if end.wrapping_sub(head) > (capacity / 2) as u64 { Push::Pressed } else { Push::Written }
    }

    /// Anyone: makes [`Self::room`] return `None`, so that the next push looks at the head. If the producer moves the
    /// limit at the same moment, the ring may stay open.
    pub(crate) fn close(&self) {
        self.limit.store(0, Ordering::Relaxed);
    }

    /// Producer: appends a record of one word.
    pub(crate) fn push_word(&self, word: u64) -> Push {
        self.push_slow(&[word], &[])
    }

    /// Consumer: reads the waiting words as [`Self::read`] does, and frees each piece as soon as `take` returns.
    pub(crate) fn drain(&self, mut take: impl FnMut(u64, Words<'_>)) {
        self.read(|position, piece| {
            take(position, piece);
            true
        });
    }

    /// Consumer: hands over the words that are not read yet in pieces of whole records, each with its position. Frees
    /// each piece as soon as `take` returns true. From the first piece on for which it returns false, words stay in the
    /// ring until [`Self::free`].
    pub(crate) fn read(&self, mut take: impl FnMut(u64, Words<'_>) -> bool) {
        let words = self.words;
        let capacity = words.len();
        let mut read = self.read.load(Ordering::Relaxed);
        let mut is_free = !self.holds_read();
        // Observes the records, which the releases of the pushes publish.
        let tail = self.tail.load(Ordering::Acquire);
        let end = read.wrapping_add(tail.wrapping_sub(read).min(capacity as u64));
        while read != end {
            let at = read as usize & (capacity - 1);
            let piece = whole_records(&words[at..at + (end.wrapping_sub(read) as usize).min(capacity - at)]);
            let length = piece.len();
            is_free &= take(read, Words(piece));
            read = read.wrapping_add(length as u64);
            self.read.store(read, Ordering::Relaxed);
            if is_free {
                self.free();
            }
        }
    }

    /// Consumer: frees all words that are read.
    pub(crate) fn free(&self) {
        // Publishes the freed words to the acquire in `push_slow`.
        self.head.store(self.read.load(Ordering::Relaxed), Ordering::Release);
    }

    /// Consumer: returns true if words are read and not free.
    pub(crate) fn holds_read(&self) -> bool {
        self.read.load(Ordering::Relaxed) != self.head.load(Ordering::Relaxed)
    }

    /// Consumer: returns the number of words that are not read yet: at most as many as there are.
    pub(crate) fn unread(&self) -> usize {
        self.tail.load(Ordering::Relaxed).saturating_sub(self.position()).min(self.words.len() as u64)
            as usize
    }

    /// Anyone: returns the number of words that are not free yet, as this thread sees it: at most as many as there are.
    pub(crate) fn pending(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        self.tail.load(Ordering::Relaxed).saturating_sub(head).min(self.words.len() as u64) as usize
    }
}

/// The fewest words of a piece. The consumer frees words every 128 bare records, because a producer that runs flat out
/// would otherwise find the ring full until the end of the sweep.
const PIECE_WORDS: usize = 1024;

/// Returns the records at the start of these words that make a piece, or all of them if they are fewer.
fn whole_records(words: &[AtomicU64]) -> &[AtomicU64] {
    let mut length = 0;
    while length < PIECE_WORDS
        && let Some(first) = words.get(length)
    {
        length += record_words(first.load(Ordering::Relaxed)).max(1);
    }
    &words[..length.min(words.len())]
}

/// Returns the bytes that a ring of this size touches before its producer first looks at the consumer.
pub(crate) const fn bytes_at_first(bytes: usize) -> usize {
    bytes / LOOKS
}

/// The number of times that the producer reads the head in a round of the ring. They are few, because each reading
/// costs a cache miss. The first one that finds half of the ring waiting wakes the consumer; later ones show how late
/// the consumer is.
const LOOKS: usize = 8;

#[inline]
fn store(slots: &[AtomicU64], header: &[u64], values: &[Word]) {
    let (head, rest) = slots.split_at(header.len().min(slots.len()));
    for (slot, word) in head.iter().zip(header) {
        slot.store(*word, Ordering::Relaxed);
    }
    if let (Some(slot), Some(last)) = (head.get(place::LAST), header.get(place::LAST)) {
        slot.store(store_sealed(rest, *last, values), Ordering::Relaxed);
    }
}

/// Room for a record. The record is in the ring once it is committed.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    head: &'a [AtomicU64; HEADER_WORDS],
    values: &'a [AtomicU64],
    tail: &'a AtomicU64,
    end: u64,
}

impl Room<'_> {
    pub(crate) fn write(self, header: [u64; HEADER_WORDS], values: &[Word]) {
        self.store_header(&header);
        let last = store_sealed(self.values, header[place::LAST], values);
        self.commit(last);
    }

    /// Commits the record with one word behind its header.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn commit_extension(self, last: u64, word: u64) {
        if let Some(slot) = self.values.first() {
            slot.store(word, Ordering::Relaxed);
        }
        self.commit(seal(last, add_to_checksum(0, word)));
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn store_header(&self, header: &[u64; HEADER_WORDS]) {
        for (slot, word) in self.head.iter().zip(&header[..place::LAST]) {
            slot.store(*word, Ordering::Relaxed);
        }
    }

    /// Writes a word of the header. Words that are built and written one by one need not all be in registers at once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put(&self, place: usize, word: u64) {
        self.head[place].store(word, Ordering::Relaxed);
    }

    /// Commits the record with its values. The first words are stored without a loop.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn commit_values(self, last: u64, values: &[Word]) {
        let (mut sum, mut slots, mut words) = (0, self.values, values);
        for _ in 0..UNROLLED_WORDS {
            let (Some((slot, next_slots)), Some((word, next_words))) =
                (slots.split_first(), words.split_first())
            else {
                return self.commit(seal(last, sum));
            };
            sum = store_value(sum, slot, *word);
            (slots, words) = (next_slots, next_words);
        }
        let sum = slots.iter().zip(words).fold(sum, |sum, (slot, word)| store_value(sum, slot, *word));
        self.commit(seal(last, sum));
    }

    /// Commits the record with the last word of its header.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn commit(self, last: u64) {
        self.put(place::LAST, last);
        // Publishes the record to the acquire in `drain`.
        self.tail.store(self.end, Ordering::Release);
    }
}

/// The number of words of values that [`Room::commit_values`] stores without a loop: most calls with values have no
/// more.
const UNROLLED_WORDS: usize = 4;

/// Stores words of values. Returns the last word of the header, with their checksum.
fn store_sealed(slots: &[AtomicU64], last: u64, values: &[Word]) -> u64 {
    let sum = slots.iter().zip(values).fold(0, |sum, (slot, word)| store_value(sum, slot, *word));
    if values.is_empty() { last } else { seal(last, sum) }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn store_value(sum: u64, slot: &AtomicU64, word: Word) -> u64 {
    let word = u64::from_le_bytes(word);
    slot.store(word, Ordering::Relaxed);
    add_to_checksum(sum, word)
}

/// A run of words in a ring, as the consumer sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a>(&'a [AtomicU64]);

impl<'a> Words<'a> {
    /// Returns the words in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = u64> + 'a {
        self.0.iter().map(|word| word.load(Ordering::Relaxed))
    }

    /// Appends the words to `into`.
    pub(crate) fn append_to(self, into: &mut Vec<u64>) {
        into.extend(self.iter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, decode};
    use crate::ring::layout::Kind;
    use crate::ring::layout::ring::CONTROL;
    use crate::ring::memory::Memory;

    fn ring(words: usize) -> Ring {
        let block = Memory::on_heap(None).take(Kind::Ring, 1, (CONTROL + words) * 8);
        let (control, words) = block.expect("memory").split_at(CONTROL);
        Ring::new(control, words, words.len())
    }

    fn header(site: u64) -> [u64; HEADER_WORDS] {
        [8 | site << 32, 1, 2, 3, 4, 5, 6, 7]
    }

    fn with_values(site: u64, values: usize) -> [u64; HEADER_WORDS] {
        let mut words = header(site);
        words[0] = (8 + values) as u64 | site << 32;
        words
    }

    fn drain(ring: &Ring) -> Vec<u32> {
        let mut words = Vec::new();
        ring.drain(|position, piece| {
            assert!(position < 1 << 40 && piece.iter().count() > 0);
            piece.append_to(&mut words);
        });
        let mut sites = Vec::new();
        let mut rest = &words[..];
        while let Some((record, used)) = decode(rest) {
            if let Record::Call(header, ..) = record {
                sites.push(header.site);
            }
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        sites
    }

    #[test]
    fn records_come_out_in_order_and_a_full_ring_refuses() {
        let ring = ring(64);
        let mut pushes = Vec::new();
        for site in 0..9 {
            pushes.push(ring.push(&header(site), &[]));
        }
        assert!(pushes[..8].contains(&Push::Pressed) && !pushes[..8].contains(&Push::Full), "{pushes:?}");
        assert_eq!(pushes[8], Push::Full);
        assert_eq!(drain(&ring), (0..8).collect::<Vec<_>>());
        assert_eq!(ring.pending(), 0);
    }

    #[test]
    fn words_that_were_read_stay_until_they_are_freed() {
        let ring = ring(64);
        let push = |site| ring.push(&header(site), &[]) != Push::Full;
        assert!((0..8).all(push));
        let (mut words, mut positions) = (Vec::new(), Vec::new());
        let mut read = |keeps: bool| {
            ring.read(|position, piece| {
                positions.push(position);
                piece.append_to(&mut words);
                !keeps
            });
            (positions.len(), words.len())
        };
        assert_eq!(read(true), (1, 64));
        assert!(ring.holds_read() && !push(8));
        assert_eq!((ring.pending(), ring.unread(), ring.position()), (64, 0, 64));
        ring.free();
        assert!(!ring.holds_read() && push(8) && push(9));
        assert_eq!(read(true), (2, 80));
        // A ring does not free a later piece while it holds an earlier one.
        assert!(push(10));
        assert_eq!(read(false), (3, 88));
        assert_eq!((ring.pending(), ring.unread()), (24, 0));
        ring.free();
        assert_eq!((ring.pending(), positions), (0, vec![0, 64, 80]));
    }

    #[test]
    fn positions_have_64_bits_on_every_machine() {
        for begin in [(1_u64 << 32) - 64, (1 << 32) - 8, (1 << 33) - 24] {
            let block = Memory::on_heap(None).take(Kind::Ring, 1, (CONTROL + 64) * 8);
            let (control, words) = block.expect("memory").split_at(CONTROL);
            control[HEAD].store(begin, Ordering::Relaxed);
            control[READ].store(begin, Ordering::Relaxed);
            control[TAIL].store(begin, Ordering::Relaxed);
            let ring = Ring::new(control, words, 64);
            for round in 0..4 {
                let pushes: Vec<Push> = (0..9).map(|site| ring.push(&header(site), &[])).collect();
                assert!(!pushes[..8].contains(&Push::Full) && pushes[8] == Push::Full, "{begin}: {pushes:?}");
                assert_eq!(ring.pending(), 64);
                assert_eq!(drain(&ring), (0..8).collect::<Vec<_>>(), "{begin}, round {round}");
            }
            assert_eq!(ring.position(), begin + 4 * 64);
        }
    }

    #[test]
    fn a_ring_that_is_not_complete_ends_where_its_memory_does() {
        let block = Memory::on_heap(None).take(Kind::Ring, 1, (CONTROL + 64) * 8);
        let (control, words) = block.expect("memory").split_at(CONTROL);
        let ring = Ring::new(control, words, 16);
        let push = |site| ring.push(&header(site), &[]);
        assert_eq!([push(1), push(2), push(3)].map(|push| push == Push::Full), [false, false, true]);
        assert!(words[16..].iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert_eq!(drain(&ring), [1, 2]);
        assert_eq!(push(4), Push::Full);
        ring.complete();
        assert!(ring.is_complete());
        assert_ne!(push(5), Push::Full);
        assert_eq!(drain(&ring), [5]);
    }

    #[test]
    fn a_record_that_does_not_fit_before_the_end_starts_over_at_the_start() {
        let ring = ring(64);
        for round in 0..500_u32 {
            let values = (round * 5 % 12) as usize;
            let header = with_values(u64::from(round), values);
            assert_ne!(ring.push(&header, &vec![[9; 8]; values]), Push::Full);
            assert_eq!(drain(&ring), [round]);
        }
    }

    #[test]
    fn a_record_larger_than_the_ring_is_refused_and_harms_nothing() {
        let ring = ring(64);
        assert_eq!(ring.push(&with_values(1, 125), &[[0; 8]; 125]), Push::Full);
        assert_eq!(ring.push(&header(2), &[]), Push::Written);
        assert_eq!(drain(&ring), [2]);
    }

    #[test]
    fn what_one_thread_writes_another_reads_whole_and_in_order() {
        let count = if cfg!(miri) { 300_u64 } else { 200_000 };
        let ring = ring(256);
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for site in 0..count {
                    let values = (site % 6) as usize;
                    let header = with_values(site, values);
                    while ring.push(&header, &vec![[site as u8; 8]; values]) == Push::Full {
                        std::thread::yield_now();
                    }
                }
            });
            while seen.len() < count as usize {
                seen.extend(drain(&ring));
                std::thread::yield_now();
            }
        });
        assert_eq!(seen, (0..count as u32).collect::<Vec<_>>());
    }
}
