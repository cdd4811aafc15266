//! The runtime's `thread`, as far as models need it: what a thread counts and sums up.

#[path = "../../../monitor-runtime/src/thread/tally.rs"]
pub(crate) mod tally;
#[path = "../../../monitor-runtime/src/thread/countdown.rs"]
pub(crate) mod countdown;
#[path = "../../../monitor-runtime/src/thread/fold_slot.rs"]
pub(crate) mod fold_slot;
