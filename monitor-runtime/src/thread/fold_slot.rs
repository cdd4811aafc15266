//! Calls that share a row, summed up by the thread that makes them, for the collector to read while it goes on.
//!
//! Takes sums from the owner of the slot; gives the collector whole ones. Only the owner stores the words and their version,
//! by plain stores; only the collector stores the version that it has taken. A version is odd while words change, so the
//! collector recognises words that do not belong together, and reads them again. The file does not know which calls share
//! a row.

use crate::sync::{AtomicU64, Ordering};

/// Calls of one function below one caller, as far as they share a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SharedCalls {
    pub(crate) site: u32,
    pub(crate) thread: u32,
    /// The span of the caller. If the caller shares a row itself, that of the first call in its slot.
    pub(crate) parent: u64,
    /// True if the caller shares a row itself.
    pub(crate) is_below: bool,
    pub(crate) trace: u64,
    /// The span of the first of the calls.
    pub(crate) span: u64,
    /// The number of times that the sums have begun anew at zero. Only sums of the same round can be subtracted.
    pub(crate) round: u64,
    /// The start of the first call and the end of the last one, in ticks.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) calls: u64,
    /// Sum and maximum of the durations, in ticks.
    pub(crate) total: u64,
    pub(crate) longest: u64,
    /// Sum of the busy times, in ticks.
    pub(crate) busy: u64,
    pub(crate) weight: f64,
}

const WORDS: usize = 12;
/// The bit of the caller's word that is set if the caller shares a row. Span ids leave it free.
const IS_BELOW: u64 = 1 << 63;

impl SharedCalls {
    fn to_words(self) -> [u64; WORDS] {
        [
            u64::from(self.site) | u64::from(self.thread) << 32,
            self.parent & !IS_BELOW | if self.is_below { IS_BELOW } else { 0 },
            self.trace,
            self.span,
            self.round,
            self.start,
            self.end,
            self.calls,
            self.total,
            self.longest,
            self.busy,
            self.weight.to_bits(),
        ]
    }

    fn from_words(words: [u64; WORDS]) -> Self {
        let [of, parent, trace, span, round, start, end, calls, total, longest, busy, weight] = words;
        Self {
            site: of as u32,
            thread: (of >> 32) as u32,
            parent: parent & !IS_BELOW,
            is_below: parent & IS_BELOW != 0,
            trace,
            span,
            round,
            start,
            end,
            calls,
            total,
            longest,
            busy,
            weight: f64::from_bits(weight),
        }
    }

    /// Adds other calls of the same function below the same caller.
    pub(crate) fn add(&mut self, more: &Self) {
        if self.calls == 0 {
            (self.start, self.end) = (more.start, more.end);
            (self.span, self.trace, self.thread) = (more.span, more.trace, more.thread);
        }
        let is_later = |a: u64, b: u64| a.wrapping_sub(b).cast_signed() > 0;
        self.start = if is_later(self.start, more.start) { more.start } else { self.start };
        self.end = if is_later(more.end, self.end) { more.end } else { self.end };
        self.calls = self.calls.wrapping_add(more.calls);
        self.total = self.total.wrapping_add(more.total);
        self.longest = self.longest.max(more.longest);
        self.busy = self.busy.wrapping_add(more.busy);
        self.weight += more.weight;
    }

    /// Returns the calls that were added since these were `earlier`. The longest duration is that of the whole round.
    pub(crate) fn growth_since(self, earlier: &Self) -> Self {
        if earlier.round != self.round {
            return self;
        }
        Self {
            calls: self.calls.wrapping_sub(earlier.calls),
            total: self.total.wrapping_sub(earlier.total),
            busy: self.busy.wrapping_sub(earlier.busy),
            weight: self.weight - earlier.weight,
            ..self
        }
    }
}

/// Words that one thread changes together, and another one reads together.
#[derive(Debug)]
pub(crate) struct Versioned<const N: usize> {
    /// The number of changes, twice, and one more while the words change.
    version: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Versioned<N> {
    /// Returns words that are all zero.
    pub(crate) fn new() -> Self {
        Self { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Owner: returns a word.
    fn word(&self, place: usize) -> u64 {
        self.words[place].load(Ordering::Relaxed)
    }

    /// Owner: returns the words.
    fn get(&self) -> [u64; N] {
        self.words.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    /// Owner: replaces the words.
    pub(crate) fn put(&self, words: [u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        for (place, word) in self.words.iter().zip(words) {
            // Publishes the odd version to the acquire in `read`: a reader that sees this word sees that words change.
            place.store(word, Ordering::Release);
        }
        // Publishes the words to the acquire of the version in `read`.
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Reader: returns the words and their version, or `None` if they are being changed just now.
    pub(crate) fn read(&self) -> Option<([u64; N], u64)> {
        // Observes the words of this version, which the last release in `put` publishes.
        let version = self.version.load(Ordering::Acquire);
        if !version.is_multiple_of(2) {
            return None;
        }
        // Observes the odd version that was stored before a word that is younger than this version.
        let words = self.words.each_ref().map(|word| word.load(Ordering::Acquire));
        let is_whole = self.version.load(Ordering::Relaxed) == version;
        is_whole.then_some((words, version))
    }
}

/// A place for calls that share a row.
#[derive(Debug)]
pub(crate) struct FoldSlot {
    calls: Versioned<WORDS>,
    /// The version of the calls that the collector has read last. An equal version holds nothing new.
    taken: AtomicU64,
}

impl FoldSlot {
    /// Returns a slot without calls.
    pub(crate) fn new() -> Self {
        Self { calls: Versioned::new(), taken: AtomicU64::new(0) }
    }

    /// Owner: returns true if the slot is for calls of this function below this caller.
    pub(crate) fn is_for(&self, site: u32, parent: u64) -> bool {
        self.parent() == parent && self.calls.word(0) as u32 == site
    }

    /// Owner: returns the caller's span.
    pub(crate) fn parent(&self) -> u64 {
        self.calls.word(1) & !IS_BELOW
    }

    /// Owner: returns the calls.
    pub(crate) fn get(&self) -> SharedCalls {
        SharedCalls::from_words(self.calls.get())
    }

    /// Owner: returns true if the collector has taken everything.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.calls.version.load(Ordering::Relaxed)
    }

    /// Owner: replaces the calls.
    pub(crate) fn put(&self, calls: &SharedCalls) {
        self.calls.put(calls.to_words());
    }

    /// Owner: adds calls. If the collector has taken all before, a new round begins with them.
    pub(crate) fn add(&self, more: &SharedCalls) {
        let mut calls = self.get();
        if self.is_taken() {
            calls = SharedCalls {
                site: calls.site,
                parent: calls.parent,
                is_below: calls.is_below,
                round: calls.round.wrapping_add(1),
                ..SharedCalls::default()
            };
        }
        calls.add(more);
        self.put(&calls);
    }

    /// Collector: returns the calls and their version, or `None` if they are being changed just now.
    pub(crate) fn read(&self) -> Option<(SharedCalls, u64)> {
        self.calls.read().map(|(words, version)| (SharedCalls::from_words(words), version))
    }

    /// Collector: notes that the calls of this version are taken.
    pub(crate) fn note_taken(&self, version: u64) {
        self.taken.store(version, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(span: u64, ticks: u64) -> SharedCalls {
        SharedCalls {
            span,
            trace: 9,
            thread: 3,
            start: 100 + span,
            end: 100 + span + ticks,
            calls: 1,
            total: ticks,
            longest: ticks,
            busy: ticks,
            weight: 1.0,
            ..SharedCalls::default()
        }
    }

    #[test]
    fn a_round_ends_where_all_is_taken_and_a_late_reader_takes_the_difference() {
        let slot = FoldSlot::new();
        slot.put(&SharedCalls { site: 7, parent: 5, is_below: true, ..SharedCalls::default() });
        assert!(slot.is_for(7, 5) && !slot.is_for(7, 6) && !slot.is_for(8, 5));
        slot.add(&call(11, 30));
        let (first, version) = slot.read().unwrap_or_default();
        assert_eq!((first.calls, first.span, first.thread, first.is_below), (1, 11, 3, true));
        // A call comes between the reading and the note.
        slot.add(&call(12, 20));
        slot.note_taken(version);
        assert!(!slot.is_taken());
        let (second, version) = slot.read().unwrap_or_default();
        let new = second.growth_since(&first);
        assert_eq!((new.calls, new.total, new.weight.to_bits()), (1, 20, 1_f64.to_bits()));
        slot.note_taken(version);
        assert!(slot.is_taken());
        slot.add(&call(13, 10));
        let (third, _) = slot.read().unwrap_or_default();
        let new = third.growth_since(&second);
        assert_eq!((new.calls, new.total, new.longest, new.span), (1, 10, 10, 13));
        assert_eq!((new.start, new.end), (113, 123));
    }
}
