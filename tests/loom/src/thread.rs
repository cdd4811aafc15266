//! The runtime's `thread`, as far as models need it: what a thread counts.

#[path = "../../../monitor-runtime/src/thread/tally.rs"]
pub(crate) mod tally;
#[path = "../../../monitor-runtime/src/thread/countdown.rs"]
pub(crate) mod countdown;
