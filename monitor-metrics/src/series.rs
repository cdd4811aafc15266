//! A series in the table: its row, its instrument, and the state of its last read.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Key, Label};
use monitor_runtime::bridge::{self, MetricKind, MetricRow, MetricStats};

use crate::counter::Counter;
use crate::gauge::{Gauge, LastRead};
use crate::histogram::Histogram;
use crate::identity::{Identity, has_bounded_values};
use crate::limits::KEYS_MAX;
use crate::memory;

/// The target in the metadata of timers, whose unit is the second.
pub const TIMER_TARGET: &str = "monitored_metrics::timer";

/// The bytes of a series besides its texts and its instrument: its row, its entries in tables, and the overhead of
/// allocators.
const ENTRY_BYTES: usize = 320;

/// The bytes that are left unused before a counter, which begins with a cache line.
const ALIGNMENT_BYTES: usize = 64;

/// Returns the bytes that a key takes, with its places in the table of handles and in the series.
fn key_bytes(key: &Key) -> usize {
    let labels = key.labels().map(|label| size_of::<Label>() + label.key().len() + label.value().len());
    2 * size_of::<Key>() + key.name().len() + labels.sum::<usize>()
}

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
    keys: Vec<Key>,
    /// The version of the table's descriptions from which the row was last filled.
    pub(crate) described: u64,
    /// The moment of the last change.
    pub(crate) changed: Duration,
    /// True once changes were reported, so that the store has the series.
    pub(crate) is_reported: bool,
    total: u64,
    /// True if the counter had been set at the last read.
    was_set: bool,
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
            is_reported: false,
            total: 0,
            was_set: false,
            gauge: LastRead::default(),
        }
    }

    /// Returns the bytes that a series of this identity takes, without the buckets of a histogram.
    pub(crate) fn bytes(identity: &Identity) -> usize {
        // The texts are in the row, in the identity and in the key.
        ENTRY_BYTES + Instrument::bytes(identity.kind) + 3 * (identity.name.len() + identity.tags.len())
    }

    /// Keeps a key, and returns it as the table of handles is to hold it. Returns `None` if the series is not to be
    /// found by the key: it has enough keys, or there is no memory, or a value of a tag is longer than the series keeps
    /// it.
    pub(crate) fn keep(&mut self, key: &Key) -> Option<Key> {
        if self.keys.len() >= KEYS_MAX || !has_bounded_values(key) {
            return None;
        }
        // The first key is part of the series' bytes.
        if !self.keys.is_empty() && !memory::take(key_bytes(key)) {
            return None;
        }
        let key = key.to_retained();
        self.keys.push(key.clone());
        Some(key)
    }

    /// Takes out all keys.
    pub(crate) fn drop_keys(&mut self) -> Vec<Key> {
        self.keys.iter().skip(1).for_each(|key| memory::give_back(key_bytes(key)));
        std::mem::take(&mut self.keys)
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
                // The first total is not counted, but shows the program that the series is recorded.
                let is_set = counter.is_set();
                let is_first = std::mem::replace(&mut self.was_set, is_set) != is_set;
                (count > 0 || is_first).then(|| MetricStats { count, sum, ..MetricStats::default() })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tags: &[(&str, String)]) -> Key {
        let labels: Vec<Label> =
            tags.iter().map(|(name, value)| Label::new((*name).to_owned(), value.clone())).collect();
        Key::from_parts("orders", labels)
    }

    #[test]
    fn a_key_whose_value_is_cut_is_not_kept() {
        let _limit = memory::set_limit_alone(usize::MAX);
        for (bytes, is_kept) in [(256, true), (257, false), (1 << 20, false)] {
            let key = key(&[("shop", "rome".to_owned()), ("text", "x".repeat(bytes))]);
            let identity = Identity::from_key(MetricKind::Counter, &key).unwrap();
            assert_eq!(Series::new(&identity, Duration::ZERO).keep(&key), is_kept.then_some(key));
        }
    }

    #[test]
    fn keys_of_one_series_are_bounded_and_all_but_the_first_take_memory() {
        let _limit = memory::set_limit_alone(usize::MAX);
        let name = |at: usize| (["a", "b", "c"][at], at.to_string());
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1]];
        let keys = orders.map(|order| key(&order.map(name)));
        let identity = Identity::from_key(MetricKind::Counter, &keys[0]).unwrap();
        let mut series = Series::new(&identity, Duration::ZERO);
        let before = memory::held();
        let kept = keys.each_ref().map(|key| series.keep(key).is_some());
        assert_eq!(kept, [true, true, true, true, false]);
        assert_eq!(memory::held() - before, 3 * key_bytes(&keys[0]));
        assert_eq!(series.drop_keys().len(), KEYS_MAX);
        assert_eq!(memory::held(), before);
        memory::set_limit(before);
        assert!(series.keep(&keys[0]).is_some() && series.keep(&keys[1]).is_none(), "no memory is left");
    }
}
