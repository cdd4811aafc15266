//! A series in the table: its row, its instrument, and the state of its last read.

use std::sync::Arc;
use std::time::Duration;

use metrics::Key;
use monitor_runtime::bridge::{self, MetricKind, MetricRow, MetricStats};

use crate::counter::Counter;
use crate::gauge::{Gauge, LastRead};
use crate::histogram::Histogram;
use crate::identity::Identity;

/// The target in the metadata of timers, whose unit is the second.
pub const TIMER_TARGET: &str = "monitored_metrics::timer";

/// The bytes of a series beside its texts and its instrument: the row, the places in tables, and what allocators need.
const ENTRY_BYTES: usize = 320;

/// The bytes that are left unused before a counter, which begins with a cache line.
const ALIGNMENT_BYTES: usize = 64;

/// A number that the program changes.
#[derive(Debug, Clone)]
pub(crate) enum Instrument {
    Counter(Arc<Counter>),
    Gauge(Arc<Gauge>),
    Histogram(Arc<Histogram>),
}

impl Instrument {
    pub(crate) fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(Arc::default()),
            MetricKind::Gauge => Self::Gauge(Arc::default()),
            MetricKind::Histogram => Self::Histogram(Arc::default()),
        }
    }

    fn bytes(kind: MetricKind) -> usize {
        match kind {
            MetricKind::Counter => size_of::<Counter>() + ALIGNMENT_BYTES,
            MetricKind::Gauge => size_of::<Gauge>(),
            MetricKind::Histogram => size_of::<Histogram>(),
        }
    }
}

/// A series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) row: Arc<MetricRow>,
    pub(crate) instrument: Instrument,
    /// The keys by which the series is found.
    pub(crate) keys: Vec<Key>,
    /// The version of the table's descriptions from which the row was last filled.
    pub(crate) described: u64,
    /// The moment of the last change.
    pub(crate) changed: Duration,
    total: u64,
    gauge: LastRead,
}

impl Series {
    pub(crate) fn new(identity: &Identity, now: Duration) -> Self {
        let Identity { kind, name, tags } = identity.clone();
        let row = MetricRow { id: bridge::metric_id(), kind, name, unit: None, description: None, tags };
        Self {
            row: Arc::new(row),
            instrument: Instrument::new(kind),
            keys: Vec::new(),
            described: 0,
            changed: now,
            total: 0,
            gauge: LastRead::default(),
        }
    }

    /// Returns the bytes that a series of this identity takes, without the buckets of a histogram.
    pub(crate) fn bytes(identity: &Identity) -> usize {
        // The texts are in the row, in the identity and in the key.
        ENTRY_BYTES + Instrument::bytes(identity.kind) + 3 * (identity.name.len() + identity.tags.len())
    }

    /// Returns the bytes of a histogram's buckets.
    pub(crate) fn bucket_bytes(&self) -> usize {
        if let Instrument::Histogram(histogram) = &self.instrument { histogram.bucket_bytes() } else { 0 }
    }

    /// Returns what changed since the last read.
    pub(crate) fn take_changes(&mut self) -> Option<MetricStats> {
        match &self.instrument {
            Instrument::Counter(counter) => {
                let total = counter.total();
                let count = total.wrapping_sub(std::mem::replace(&mut self.total, total));
                #[expect(clippy::cast_precision_loss, reason = "`count` is exact")]
                let sum = count as f64;
                (count > 0).then(|| MetricStats { count, sum, ..MetricStats::default() })
            }
            Instrument::Gauge(gauge) => gauge.take_changes(&mut self.gauge),
            Instrument::Histogram(histogram) => histogram.take_changes(),
        }
    }

    /// Returns true if the series can be forgotten: nobody holds it, and its value has no meaning while nobody does.
    pub(crate) fn is_forgettable(&mut self) -> bool {
        match &mut self.instrument {
            // The only reference sees all changes that were made through references that are gone.
            Instrument::Counter(counter) => Arc::get_mut(counter).is_some_and(|counter| !counter.is_set()),
            Instrument::Gauge(gauge) => Arc::get_mut(gauge).is_some_and(|gauge| gauge.is_forgettable()),
            Instrument::Histogram(histogram) => Arc::get_mut(histogram).is_some(),
        }
    }
}
