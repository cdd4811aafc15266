//! Finds the handle of a key without sorting its tags, on the program's threads.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use metrics::Key;

use crate::series::Instrument;

/// The number of parts, each with a lock of its own, so that threads seldom wait for each other.
const PARTS: usize = 16;

/// The handles of one kind by their keys.
#[derive(Debug)]
pub(crate) struct Handles<T>([RwLock<HashMap<Key, T>>; PARTS]);

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::default()))
    }
}

impl<T: Clone> Handles<T> {
    fn part(&self, key: &Key) -> &RwLock<HashMap<Key, T>> {
        let part = (key.get_hash() >> 60) as usize;
        &self.0[part % PARTS]
    }

    /// Returns the handle of a key.
    pub(crate) fn find(&self, key: &Key) -> Option<T> {
        self.part(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: Key, handle: T) {
        self.part(&key).write().unwrap_or_else(PoisonError::into_inner).insert(key, handle);
    }

    fn remove(&self, key: &Key) {
        self.part(key).write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The handles of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) counters: Handles<metrics::Counter>,
    pub(crate) gauges: Handles<metrics::Gauge>,
    pub(crate) histograms: Handles<metrics::Histogram>,
}

impl Lookups {
    pub(crate) fn insert(&self, key: Key, instrument: &Instrument) {
        match instrument.clone() {
            Instrument::Counter(counter) => self.counters.insert(key, metrics::Counter::from_arc(counter)),
            Instrument::Gauge(gauge) => self.gauges.insert(key, metrics::Gauge::from_arc(gauge)),
            Instrument::Histogram(histogram) => {
                self.histograms.insert(key, metrics::Histogram::from_arc(histogram));
            }
        }
    }

    pub(crate) fn remove(&self, key: &Key, instrument: &Instrument) {
        match instrument {
            Instrument::Counter(_) => self.counters.remove(key),
            Instrument::Gauge(_) => self.gauges.remove(key),
            Instrument::Histogram(_) => self.histograms.remove(key),
        }
    }
}
