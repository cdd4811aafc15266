//! The runtime's limits, where its modules look for them.

#[path = "../../../monitor-runtime/src/config/limits.rs"]
mod of_runtime;

pub(crate) mod limits {
    #[allow(unused_imports, reason = "whatever the modules look for is there")]
    pub(crate) use super::of_runtime::*;

    /// No histograms: they are counted as the rest of a tally is, and hundreds of atomics more would
    /// take the models from a second to minutes.
    pub(crate) const TALLY_BYTES_MAX: usize = 0;
}
