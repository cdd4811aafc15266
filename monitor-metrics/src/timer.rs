//! Timers: the time from a timer's start to its end, in seconds, in a histogram.

use std::fmt;
use std::time::{Duration, Instant};

/// Starts a timer, which records the time until it is dropped into the histogram of this name and these tags, in seconds.
///
/// ```
/// # fn fill(venue: &'static str) {
/// let _timer = monitored_metrics::timer!("fill", "venue" => venue);
/// // … until the end of the block
/// # }
/// ```
#[macro_export]
macro_rules! timer {
    ($name:expr $(, $($labels:tt)*)?) => {
        $crate::Timer::new($crate::private::histogram!(
            target: $crate::private::TIMER_TARGET, $name $(, $($labels)*)?
        ))
    };
}

/// A timer that runs. See [`timer!`](crate::timer!).
#[must_use = "a timer that is dropped at once has measured nothing"]
pub struct Timer {
    histogram: Option<metrics::Histogram>,
    started: Instant,
}

impl fmt::Debug for Timer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Timer").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Timer {
    /// Starts a timer for a histogram of seconds, whose handle the program may keep for many timers.
    pub fn new(histogram: metrics::Histogram) -> Self {
        Self { histogram: Some(histogram), started: Instant::now() }
    }

    /// Ends the timer, records the time, and returns it.
    #[expect(clippy::must_use_candidate, reason = "the time is recorded already")]
    pub fn stop(mut self) -> Duration {
        self.record()
    }

    /// Ends the timer without recording the time.
    pub fn discard(mut self) {
        self.histogram = None;
    }

    fn record(&mut self) -> Duration {
        let time = self.started.elapsed();
        if let Some(histogram) = self.histogram.take() {
            histogram.record(time.as_secs_f64());
        }
        time
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.record();
    }
}
