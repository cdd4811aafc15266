//! The state of a guard in one atomic word, which every call reads.
//!
//! Takes the state of the breaker; decides whether a call may pass, and gives the one try of the half-open state to
//! exactly one call. A word has a generation, which rises with each change of the state, so a call that began in an
//! earlier state is recognized when it ends. The file does not know when the state changes: `machine` does.
//!
//! | bits | content |
//! |---|---|
//! | 63–5 | generation |
//! | 4 | the guard is new: it is not in the list of guards yet |
//! | 3 | closed, and a call has failed since the last success |
//! | 2 | a person holds the breaker |
//! | 1–0 | 0 closed, 1 open, 2 half open and nobody tries, 3 half open and a call tries |

use super::sync::{AtomicU64, Ordering};

/// The state of the breaker that a word encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateState {
    /// Calls pass.
    Closed,
    /// No call passes.
    Open,
    /// The next call may try.
    Free,
    /// A call tries, and no other passes.
    Trying,
}

/// A word of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

const STATE: u64 = 3;
const HELD: u64 = 1 << 2;
const MARKED: u64 = 1 << 3;
const NEW: u64 = 1 << 4;
const GENERATION: u64 = 1 << 5;

impl Word {
    /// The word of a guard that was never called.
    pub(crate) const FIRST: Self = Self(NEW);

    /// Returns the word of a state that follows this one. The generation stays the same if the state and the hold stay
    /// the same, unless the new state is `Trying`; otherwise it rises by one.
    #[must_use]
    pub(crate) fn next(self, state: GateState, is_held: bool, is_marked: bool) -> Self {
        let stays = self.state() == state && state != GateState::Trying && self.is_held() == is_held;
        let generation = (self.0 & !(GENERATION - 1)).wrapping_add(if stays { 0 } else { GENERATION });
        let held = if is_held { HELD } else { 0 };
        let marked = if is_marked { MARKED } else { 0 };
        Self(generation | held | marked | state as u64)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// Returns the state.
    pub(crate) const fn state(self) -> GateState {
        match self.0 & STATE {
            0 => GateState::Closed,
            1 => GateState::Open,
            2 => GateState::Free,
            _ => GateState::Trying,
        }
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 / GENERATION
    }

    pub(crate) const fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    /// Returns true if a call may pass, and needs to do nothing at its end if it succeeds.
    #[inline]
    pub(crate) const fn is_plain(self) -> bool {
        self.0 & (STATE | MARKED | NEW) == 0
    }

    pub(crate) const fn is_new(self) -> bool {
        self.0 & NEW != 0
    }
}

/// The word that calls read.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The number of a [`Word`].
    pub(crate) word: AtomicU64,
}

impl Gate {
    /// Reads the word with relaxed ordering, for a call that needs nothing but the word to be admitted.
    #[inline]
    pub(crate) fn load_relaxed(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    /// Reads the word. The acquire observes the time of the next try that was stored before the word: its partner is the
    /// release in [`Self::publish`].
    pub(crate) fn read(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Replaces the word. It is called under the lock of the machine. The release publishes the time of the next try.
    pub(crate) fn publish(&self, word: Word) {
        self.word.store(word.number(), Ordering::Release);
    }

    /// Takes the one try of the half-open state. Returns the word of the try, or `None` if another call was faster or the
    /// state has changed.
    pub(crate) fn claim(&self, free: Word) -> Option<Word> {
        debug_assert_eq!(free.state(), GateState::Free);
        let trying = free.next(GateState::Trying, free.is_held(), false);
        // A successful exchange acquires what the machine did before it freed the try; its partner is the release in
        // `publish`.
        let claimed =
            self.word.compare_exchange(free.number(), trying.number(), Ordering::AcqRel, Ordering::Relaxed);
        claimed.is_ok().then_some(trying)
    }

    /// Notes that the guard is in the list of guards.
    pub(crate) fn note_listed(&self) {
        self.word.fetch_and(!NEW, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_tells_what_was_put_into_it_and_a_new_state_is_a_new_generation() {
        let first = Word::FIRST;
        assert!(first.is_new() && !first.is_plain() && first.state() == GateState::Closed);
        let states = [GateState::Closed, GateState::Open, GateState::Free, GateState::Trying];
        for (before, after) in states.iter().flat_map(|before| states.map(|after| (*before, after))) {
            let before = first.next(before, false, false);
            let next = before.next(after, true, true);
            assert!(next.is_held() && !next.is_new() && !next.is_plain());
            assert_eq!(next.state(), after);
            assert_eq!(next.generation(), before.generation() + 1);
            let stays = before.state() == after && after != GateState::Trying;
            let same = before.next(after, false, false);
            assert_eq!(same.generation() == before.generation(), stays, "{before:?} {after:?}");
        }
        let closed = first.next(GateState::Closed, false, false);
        assert!(closed.is_plain() && !closed.next(GateState::Closed, false, true).is_plain());
    }
}
