//! The last good values of a guard, by key.
//!
//! Takes a key, a value and a moment; gives the value and its age. The number of keys is bounded: the value that was
//! stored longest ago goes first. Values of several types may be stored; the caller finds out which type a value has.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The number of keys of a guard. A value is cloned into the cache at each success, so a cache is for few and small values.
pub(crate) const KEYS_MAX: usize = 1024;

/// A value of any type. It is cloned and dropped outside of the lock of the cache, because both may be code of the program.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

#[derive(Debug)]
struct Stored {
    value: Value,
    at: Duration,
    number: u64,
}

/// The values, each with the moment at which it was stored.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    values: HashMap<String, Stored>,
    /// The keys in the order in which their values were stored.
    order: BTreeMap<u64, String>,
    next: u64,
}

impl Cache {
    /// Stores a value in place of the key's last value. Returns the value that was removed: the key's last one, or that
    /// of another key if the cache was full.
    pub(crate) fn put(&mut self, key: String, value: Value, at: Duration) -> Option<Value> {
        let number = self.next;
        self.next += 1;
        let last = self.values.insert(key.clone(), Stored { value, at, number });
        self.order.insert(number, key);
        if let Some(last) = last {
            self.order.remove(&last.number);
            return Some(last.value);
        }
        if self.values.len() <= KEYS_MAX {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        self.values.remove(&oldest).map(|stored| stored.value)
    }

    /// Returns the key's value and its age, unless that is above `age_max`.
    pub(crate) fn find(&self, key: &str, now: Duration, age_max: Duration) -> Option<(Value, Duration)> {
        let stored = self.values.get(key)?;
        let age = now.saturating_sub(stored.at);
        (age <= age_max).then(|| (Arc::clone(&stored.value), age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns the key's value, if it is a number, and its age in seconds.
    fn find(cache: &Cache, key: &str, seconds: u64) -> Option<(usize, u64)> {
        let (value, age) = cache.find(key, at(seconds), AGE)?;
        Some((*value.downcast_ref()?, age.as_secs()))
    }

    #[test]
    fn a_value_is_found_by_its_key_until_it_is_too_old() {
        let mut cache = Cache::default();
        assert!(cache.put("EURUSD".to_owned(), Arc::new(1_usize), at(0)).is_none());
        let last = cache.put("EURUSD".to_owned(), Arc::new(2_usize), at(10)).unwrap();
        assert_eq!(last.downcast_ref::<usize>(), Some(&1));
        assert_eq!(find(&cache, "EURUSD", 70), Some((2, 60)));
        assert_eq!(find(&cache, "EURUSD", 71), None);
        assert_eq!(find(&cache, "GBPUSD", 10), None);
        assert!(cache.put("EURUSD".to_owned(), Arc::new("2"), at(10)).is_some());
        assert_eq!(find(&cache, "EURUSD", 10), None);
    }

    #[test]
    fn past_the_bound_the_value_that_was_stored_longest_ago_goes() {
        let mut cache = Cache::default();
        let key = |number: usize| number.to_string();
        let mut put =
            |number: usize, seconds| cache.put(key(number), Arc::new(number), at(seconds)).is_some();
        assert!((0..KEYS_MAX).all(|number| !put(number, 0)));
        assert!(put(0, 1) && (KEYS_MAX..2 * KEYS_MAX - 1).all(|number| put(number, 2)));
        assert_eq!((cache.values.len(), cache.order.len()), (KEYS_MAX, KEYS_MAX));
        assert_eq!(find(&cache, &key(0), 2), Some((0, 1)));
        assert_eq!(find(&cache, &key(1), 2), None);
    }
}
