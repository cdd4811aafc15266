//! The fidelity of a function's calls, and the word that holds it.
//!
//! Takes a decision about a function; gives the word that a call reads to learn what to do. A change of the rate or the
//! fidelity always changes the word. The file does not know who decides.

/// The rule for calls of a function: the low byte of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fidelity(u8);

impl Fidelity {
    /// The function has never been called.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// Calls pass through: they are neither recorded nor counted.
    pub(crate) const OFF: Self = Self(4);
    /// Each call is recorded unless a call above it was sampled out.
    pub(crate) const RECORDED: Self = Self(1);
    /// Each call is sampled; unsampled calls are timed.
    pub(crate) const SAMPLED: Self = Self(2);
    /// Each call is sampled, but only a share of the unsampled calls is timed, because the function is called so often
    /// that timing all would cost too much.
    pub(crate) const COUNTED: Self = Self(5);

    /// Returns true for [`Self::OFF`] and [`Self::COUNTED`], for which a call need not be entered.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn may_need_no_entry(self) -> bool {
        self.0 >= Self::OFF.0
    }
}

/// The word of a call site that every call reads.
///
/// | bits | content |
/// |---|---|
/// | 31–8 | number of changes of the rate or the fidelity, by which threads notice that a gap was drawn for another rate |
/// | 7–0 | the fidelity |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

impl Epoch {
    /// The epoch of a function that has never been called.
    pub(super) const UNKNOWN: Self = Self(Fidelity::UNKNOWN.0 as u32);

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Returns the whole word, for comparison with that of another moment.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// Returns the fidelity in this epoch.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) const fn fidelity(self) -> Fidelity {
        Fidelity(self.0 as u8)
    }

    /// Returns the epoch after this one, with this fidelity.
    pub(super) const fn next(self, fidelity: Fidelity) -> Self {
        Self(self.0.wrapping_add(1 << u8::BITS)).with_fidelity(fidelity)
    }

    /// Returns the same epoch with this fidelity.
    pub(super) const fn with_fidelity(self, fidelity: Fidelity) -> Self {
        Self(self.0 & !(u8::MAX as u32) | fidelity.0 as u32)
    }
}
