//! The runtime's limits, under the path by which its modules name them.

#[path = "../../../monitor-runtime/src/limits.rs"]
mod of_runtime;

#[allow(unused_imports, reason = "modules of the runtime use a part of them")]
pub(crate) use of_runtime::*;

/// No histograms: a histogram is counted as the rest of a tally is, and hundreds of atomics more would
/// take the models from a second to minutes.
pub(crate) const TALLY_BYTES_MAX: usize = 0;
