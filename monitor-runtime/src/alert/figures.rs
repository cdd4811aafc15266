//! The figures that rules look at: those of a function in a window of 10 s, and those of the recorder and its process
//! at the end of a window.
//!
//! The collector fills them in, or a reader that replays a store. A figure that was not determined is `None`, and the
//! rules on this figure keep their state.

use crate::batch::CallStats;
use crate::histogram::Histogram;

/// The factor by which past calls and failures are multiplied after each window of 10 s. With 360 windows an hour, it
/// makes the average extend over about an hour.
const DECAY: f64 = 359.0 / 360.0;

/// The figures of a function in a window.
#[derive(Debug, Clone, Copy)]
pub struct WindowFigures<'a> {
    /// The id of the function in the process.
    pub function: u32,
    /// The name of the function.
    pub name: &'a str,
    /// The figures of the window; `None` if no call ended in it.
    pub window: Option<(&'a CallStats, &'a Histogram)>,
    /// The calls that are stuck at the end of the window; `None` if they were not counted.
    pub stuck: Option<u64>,
    /// The kinds of failure that were new in the window; `None` if they were not counted.
    pub new_failures: Option<u64>,
}

impl<'a> WindowFigures<'a> {
    /// Returns the figures that a row of `latency_window` has, without stuck calls and new failures.
    #[must_use]
    pub const fn new(function: u32, name: &'a str, window: Option<(&'a CallStats, &'a Histogram)>) -> Self {
        Self { function, name, window, stuck: None, new_failures: None }
    }
}

/// The calls and failures of a function in about the last hour, weighted so that the latest count most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usual {
    window: i64,
    calls: f64,
    failed: f64,
}

impl Usual {
    /// Returns the share of failures, in percent; 0 without calls.
    #[must_use]
    pub fn failed_pct(&self) -> f64 {
        if self.calls > 0.0 { self.failed * 100.0 / self.calls } else { 0.0 }
    }

    /// Adds a window, which is later than those before.
    pub fn add(&mut self, window: i64, stats: &CallStats) {
        let left = DECAY.powf(window.saturating_sub(self.window).clamp(0, 100_000) as f64);
        self.window = window;
        self.calls = self.calls * left + stats.calls as f64;
        self.failed = self.failed * left + stats.failed() as f64;
    }
}

/// The state of the recorder and of its process at the end of a window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recorder {
    /// True if the breaker around the store is not closed.
    pub is_breaker_open: bool,
    /// True if the level of service is not full.
    pub is_level_lowered: bool,
    /// Rows that were lost in the window.
    pub rows_lost: u64,
    /// The cost of recording, in percent of one core.
    pub cost_pct: f64,
    /// The resident memory of the process, in bytes; `None` where the system does not report it.
    pub rss_bytes: Option<u64>,
}
