//! The work that remains after a step.

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
