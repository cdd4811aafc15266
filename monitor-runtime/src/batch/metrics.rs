//! The rows of the program's metrics: counters, gauges and histograms with tags.
//!
//! A row holds the changes within a window of 10 s since the source was last read, so several rows of one window are
//! added up. Each row carries its series, because the store may have to insert the series again at any time.

use std::sync::Arc;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution of values.
    Histogram,
}

impl MetricKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];

    /// Returns the word in the column `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A series: a metric with its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricRow {
    /// Id within this process, unique among all sources.
    pub id: u32,
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Name of the metric.
    pub name: String,
    /// Unit in the words of the program, such as `seconds`.
    pub unit: Option<String>,
    /// Description by the program.
    pub description: Option<String>,
    /// Tags as a JSON object whose keys are sorted; `{}` without tags.
    pub tags: String,
}

/// The changes of a series in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricStats {
    /// Sum of the increments of a counter; number of values of a gauge or a histogram.
    pub count: u64,
    /// Sum of the increments, or of the values.
    pub sum: f64,
    /// Last value of a gauge.
    pub last: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Buckets of a histogram that are not empty, each as index and count, see
    /// [`place_of_value`](crate::histogram::place_of_value).
    pub buckets: Vec<(i32, u64)>,
}

/// The changes of a series in a window, on their way to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricWindowRow {
    /// The series.
    pub metric: Arc<MetricRow>,
    /// Start of the window, ns since the Unix epoch, a multiple of 10 s.
    pub start_ns: i64,
    /// The changes, which are added to those that the store already has for the window.
    pub stats: MetricStats,
}

impl MetricWindowRow {
    /// Returns true if the row has no value of its series, only its unit and its description. A counter has a value
    /// even if it grew by 0: its first row may do that.
    pub(crate) fn is_without_value(&self) -> bool {
        self.metric.kind != MetricKind::Counter && self.stats == MetricStats::default()
    }
}
