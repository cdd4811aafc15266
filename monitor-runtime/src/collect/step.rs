//! The terms of a step of the collector: what it is to write, and the work that remains after it.

/// The mode of a step: whether somebody waits for everything to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Batches are written when they are full or due.
    Usual,
    /// Everything is written now, because somebody waits for it.
    Flush,
}

/// The work that remains after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// There is nothing to do until the next drain.
    Nothing,
    /// There is more to drain or to write, so the next step follows at once.
    More,
    /// Work is left that cannot be done at the moment: the store does not take a batch, or the machine has no memory.
    Blocked,
}
