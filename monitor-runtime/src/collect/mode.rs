//! The mode of a step: whether somebody waits for everything to be written.

/// The mode of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Batches are written when they are full or due.
    Usual,
    /// Everything is written now, because somebody waits for it.
    Flush,
}
