//! `diff`: which functions got slower, faster or fail more often between two sides: windows of time, builds, versions,
//! processes or stores.
//!
//! The unit is the window of 10 s, never the call: calls of one process are not independent, so thousands of them would
//! find a difference between any two stretches of time. Each window gives the mean of the logarithm of the durations
//! (the body), the share of calls above the 95th and the 99th percentile of the side before (the tail and the far
//! tail), and the share of failed calls. Both sides are compared by Mann and Whitney's test, with the number of windows
//! lowered by the autocorrelation of the side before, and adjusted for the number of functions.

mod side;
mod sample;
mod judge;
mod interval;

pub(crate) use judge::{Change, Measure, Verdict, add_intervals, compare, trace_causes};
pub(crate) use sample::Sample;
pub(crate) use side::{Side, SideName};

#[cfg(test)]
#[path = "../../../tests/statistics/mod.rs"]
mod simulations;
