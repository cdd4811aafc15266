//! The outcome of a call, and the reason why it has a row.

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// The call returned something other than an error.
    Ok = 0,
    /// The call returned an error.
    Error = 1,
    /// The call unwound.
    Panic = 2,
    /// The call's future was dropped before completion.
    Cancelled = 3,
    /// The process exited while the call was under way. This is no failure.
    Exit = 4,
}

impl Outcome {
    /// Returns the word used in SQL and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Cancelled => "cancelled",
            Self::Exit => "exit",
        }
    }

    /// Returns true for the outcomes of a call that failed: `error`, `panic` and `cancelled`.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Ok | Self::Exit)
    }
}

/// The reason why a call has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kept {
    /// The call was sampled at its function's rate.
    Sampled = 0,
    /// The call was slow.
    Slow = 1,
    /// The call failed.
    Failed = 2,
    /// The call was among the first calls of its function in this process, and would otherwise be unsampled.
    First = 3,
}

impl Kept {
    /// Returns the word used in SQL and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::First => "first",
        }
    }
}
