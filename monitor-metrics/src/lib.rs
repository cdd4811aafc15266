#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod limits;
mod sync;
mod memory;
mod refused;
mod identity;
mod counter;
mod gauge;
mod histogram;
mod series;
mod lookup;
mod registry;
mod recorder;
mod timer;

pub use recorder::{InstallError, Recorder, install, recorder};
pub use registry::Report;
pub use timer::Timer;

/// The items that the expansion of [`timer!`] names.
#[doc(hidden)]
pub mod private {
    pub use crate::series::TIMER_TARGET;
    pub use metrics::histogram;
}

/// Returns what the recorder holds and what it has refused since the process began.
#[must_use]
pub fn report() -> Report {
    registry::find().map(registry::Registry::report).unwrap_or_default()
}
