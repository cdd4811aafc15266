//! The state of an async call, in one word.
//!
//! Takes what was decided about the call and what its polls find; gives functions that answer questions about it. The
//! state changes with each poll, and the word moves with the future. The file does not know what a call records.

/// The state of a call, in one word, because the processor would have to combine narrower words when the call moves.
///
/// | bits | content |
/// |---|---|
/// | 63–32 | with bit 7 the call's own weight, as the bits of an `f32` |
/// | 7 | the call was sampled with a weight of its own, which calls below it do not share |
/// | 6 | the call gets a span with its record, and its callees are those of the call around it |
/// | 5 | the call is among the first of its function |
/// | 4 | another call of the function was under way around its first poll |
/// | 3 | the call is being polled; if it is dropped meanwhile, it unwound |
/// | 1–0 | 0: the call passes through or has ended, 1: sampled, 2: unsampled, 3: counted when it was called |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    /// The call passes through, or has ended.
    pub(super) const ENDED: Self = Self(0);
    pub(super) const SAMPLED: Self = Self(1);
    pub(super) const UNSAMPLED: Self = Self(2);
    pub(super) const COUNTED: Self = Self(3 | Self::ALONE);
    pub(super) const FIRST: Self = Self(Self::SAMPLED.0 | 1 << 5);
    pub(super) const TIMED_ALONE: Self = Self(Self::UNSAMPLED.0 | Self::ALONE);
    /// A sampled call that is being polled, without any other flag.
    pub(super) const POLLED_SAMPLED: Self = Self(Self::SAMPLED.0 | Self::POLLED);

    pub(super) const POLLED: u64 = 1 << 3;
    pub(super) const NESTED: u64 = 1 << 4;
    pub(super) const ALONE: u64 = 1 << 6;
    pub(super) const WEIGHING: u64 = 1 << 7;

    /// Returns the state of a sampled call with a weight of its own.
    pub(super) const fn weighing(weight: f32) -> Self {
        Self(Self::SAMPLED.0 | Self::WEIGHING | (weight.to_bits() as u64) << 32)
    }
    #[inline]
    pub(super) const fn to_bits(self) -> u64 {
        self.0
    }
    #[inline]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
    /// Returns true if the call is the current one while it is polled.
    #[inline]
    pub(super) const fn has_context(self) -> bool {
        matches!(self.0 & (3 | Self::ALONE), 1 | 2)
    }
    #[inline]
    pub(super) const fn kind(self) -> u64 {
        self.0 & 3
    }
    #[inline]
    pub(super) const fn is_sampled(self) -> bool {
        self.kind() == Self::SAMPLED.0
    }
    #[inline]
    pub(super) const fn is_unsampled(self) -> bool {
        self.kind() == Self::UNSAMPLED.0
    }
    #[inline]
    pub(super) const fn is_counted(self) -> bool {
        self.kind() == Self::COUNTED.kind()
    }
    #[inline]
    pub(super) const fn is_over(self) -> bool {
        self.kind() == Self::ENDED.0
    }
    #[inline]
    pub(super) const fn can_be_polled(self) -> bool {
        !self.is_over() && !self.is_polled()
    }
    #[inline]
    pub(super) const fn is_polled(self) -> bool {
        self.0 & Self::POLLED != 0
    }
    #[inline]
    pub(super) const fn is_nested(self) -> bool {
        self.0 & Self::NESTED != 0
    }
    #[inline]
    pub(super) const fn is_first(self) -> bool {
        self.0 & Self::FIRST.0 == Self::FIRST.0
    }
    #[inline]
    pub(super) const fn is_alone(self) -> bool {
        self.0 & Self::ALONE != 0
    }
    pub(super) const fn own_weight(self) -> Option<f32> {
        if self.0 & Self::WEIGHING != 0 { Some(f32::from_bits((self.0 >> 32) as u32)) } else { None }
    }
    #[inline]
    pub(super) const fn set(&mut self, flag: u64) {
        self.0 |= flag;
    }
    /// Notes that the call has ended.
    #[inline]
    pub(super) const fn end(&mut self) {
        self.0 &= !3;
    }
    /// Notes that the call waits.
    #[inline]
    pub(super) const fn set_waiting(&mut self) {
        self.0 &= !Self::POLLED;
    }
}
