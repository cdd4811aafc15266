#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub use monitor_macro::monitor;
pub use monitor_runtime::breaker::{State as BreakerState, Statistics as BreakerStatistics};
pub use monitor_runtime::capture::{Summarize, Summary};
pub use monitor_runtime::config::{CaptureMode, Config, InitError};
pub use monitor_runtime::record::{Kept, Outcome};
pub use monitor_runtime::{
    BreakerHandle, Context, Drops, FlushError, Health, Level, RateError, Record, Subscription, WithContext,
    breaker, flush, health, init, reset_sample_rate, set_sample_rate, shutdown, subscribe,
};

/// The items that the expansion of `#[monitor]` refers to. They are not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use monitor_runtime::private::*;
}
