#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod sync;
mod gate;
mod machine;
mod verdict;
mod why;
mod level;
mod counters;
mod cache;
mod retry;
mod answer;
mod guard;
mod classified;
mod registry;
mod once;
#[cfg(test)]
mod model;

pub use answer::{Answer, Source};
pub use breaker::State;
pub use classified::Classified;
pub use guard::Guard;
pub use level::Level;
pub use once::{Doubt, Ledger, Once, OnceError, OnceFigures, once, once_figures, once_ledger};
pub use registry::{Report, guards};
pub use retry::Retry;
pub use verdict::Verdict;
pub use why::Why;

/// The recorder's breaker, which is the state machine of a guard.
use monitor_runtime::breaker;
