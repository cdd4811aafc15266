//! The in-process stream, which carries nothing.

use std::sync::Arc;

use super::breaker::Statistics;
use super::record::{Kept, Outcome};

/// A call that ended, as subscribers receive it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The name of the function.
    pub function: Arc<str>,
    /// The name of the thread that the call ended on.
    pub thread: Arc<str>,
    /// The outcome of the call.
    pub outcome: Outcome,
    /// The reason for which the call is recorded.
    pub kept: Kept,
    /// The start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// The time from entry to exit, in nanoseconds.
    pub duration_ns: u64,
    /// The time that an async call spent being polled, in nanoseconds; the duration of any other call.
    pub busy_ns: u64,
    /// The id of the call.
    pub span_id: u64,
    /// The id of the calling call, or `None` for a root.
    pub parent_id: Option<u64>,
    /// The id of the root call.
    pub trace_id: u64,
    /// The number of calls that this one stands for: 1 / the probability of being recorded.
    pub weight: f64,
    /// The arguments, as a JSON object.
    pub args: Option<String>,
    /// The result, as JSON.
    pub result: Option<String>,
    /// The text of the error or panic.
    pub error: Option<String>,
    /// The extra fields, as a JSON object.
    pub fields: Option<String>,
}

/// A subscription. It ends when it is dropped.
#[derive(Debug)]
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription(());

impl Subscription {
    /// Returns the number of records that were not delivered, which is 0.
    #[must_use]
    pub fn missed(&self) -> u64 {
        0
    }

    /// Returns the state and figures of a breaker that was never used.
    #[must_use]
    pub fn breaker(&self) -> Statistics {
        Statistics::default()
    }

    /// Returns a subscription that receives nothing.
    pub(super) fn disconnected() -> Self {
        Self(())
    }
}

// The recorder's subscription has a `Drop`, because it ends when it is dropped. This one has a `Drop` too, because
// programs may rely on that.
impl Drop for Subscription {
    fn drop(&mut self) {}
}
