//! The service level of a part behind a guard.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// The service level of a part, the best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The breaker is closed.
    #[default]
    Full,
    /// The breaker is not closed, and the last answer was an earlier value or another function's.
    Degraded,
    /// The breaker is not closed, and the last answer was a fixed value.
    Minimal,
    /// The breaker is not closed, and the last call had no answer.
    Unavailable,
}

impl Level {
    const ALL: [Self; 4] = [Self::Full, Self::Degraded, Self::Minimal, Self::Unavailable];

    /// Returns the word by which the store names the level.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Degraded => "degraded",
            Self::Minimal => "minimal",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The level of the last answer that the part itself did not give.
#[derive(Debug)]
pub(crate) struct LastLevel(AtomicU8);

impl LastLevel {
    /// Returns the level before the first answer that the part did not give: `Unavailable`.
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(Level::Unavailable as u8))
    }

    pub(crate) fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Level {
        Level::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Level::Unavailable)
    }
}
