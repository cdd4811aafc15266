//! The answer to a call behind a guard, and the fallbacks that stand in for a failure.
//!
//! Takes the result of a call; gives its value, or the value of the first fallback that has one. A fallback that is
//! used is counted, and sets the service level of the part.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use monitor_runtime::bridge::monotonic as now;

use crate::guard::Guard;
use crate::level::Level;
use crate::why::Why;

/// The origin of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The call itself.
    Call,
    /// An earlier call with the same key, this long ago.
    Cached(Duration),
}

/// The answer to a call behind a guard.
///
/// ```
/// use std::time::Duration;
/// use monitored_guard::Guard;
///
/// static RATES: Guard = Guard::new("rates");
///
/// fn fetch(pair: &str) -> Result<f64, String> { Err(format!("{pair}: connection refused")) }
///
/// fn rate(pair: &str) -> f64 {
///     RATES.call(|| fetch(pair)).or_cached(pair, Duration::from_secs(60)).or_value(1.0)
/// }
/// assert_eq!(rate("EURUSD"), 1.0);
/// ```
#[derive(Debug)]
#[must_use = "an answer may be a failure: take its value with `or_value`, `or_else` or `into_result`"]
pub struct Answer<T, E> {
    pub(crate) guard: &'static Guard,
    pub(crate) result: Result<T, Why<E>>,
    pub(crate) source: Source,
}

impl<T, E> Answer<T, E> {
    #[inline]
    pub(crate) const fn new(guard: &'static Guard, result: Result<T, Why<E>>) -> Self {
        Self { guard, result, source: Source::Call }
    }

    /// Keeps the value of the call under this key, and puts the key's last value in the place of a failure if it is no
    /// older than `age_max`. A value that another key's `or_cached` has put there is not kept, because it would seem
    /// new. A guard keeps the values of 1024 keys, and finds no value of another type.
    pub fn or_cached(mut self, key: impl Display, age_max: Duration) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        let key = key.to_string();
        if let (Ok(value), Source::Call) = (&self.result, self.source) {
            let value = Arc::new(value.clone());
            // The value stored before is dropped after the lock, because its drop is code of the program.
            let replaced = self.guard.cache().put(key, value, now());
            drop(replaced);
        } else if self.result.is_err() {
            let found = self.guard.cache().find(&key, now(), age_max);
            if let Some((value, age)) = found
                && let Some(value) = value.downcast_ref::<T>()
            {
                self.guard.counters.by_cache.add();
                self.guard.note_level(Level::Degraded);
                (self.result, self.source) = (Ok(value.clone()), Source::Cached(age));
            }
        }
        self
    }

    /// Returns the value of the call, or `value` in the place of a failure.
    #[inline]
    #[must_use]
    pub fn or_value(self, value: T) -> T {
        let Self { guard, result, .. } = self;
        result.unwrap_or_else(|_| {
            guard.counters.by_value.add();
            guard.note_level(Level::Minimal);
            value
        })
    }

    /// Returns the value, or the result of another function in the place of a failure.
    ///
    /// # Errors
    /// The error of `other`, if the call has no value and `other` fails as well.
    #[inline]
    pub fn or_else<F>(self, other: impl FnOnce(&Why<E>) -> Result<T, F>) -> Result<T, F> {
        let Self { guard, result, .. } = self;
        result.or_else(|why| {
            let result = other(&why);
            if result.is_ok() {
                guard.counters.by_function.add();
                guard.note_level(Level::Degraded);
            } else {
                guard.note_level(Level::Unavailable);
            }
            result
        })
    }

    /// Returns the value, or the reason why there is none.
    ///
    /// # Errors
    /// [`Why`]: the reason for which the call has no answer.
    #[inline]
    pub fn into_result(self) -> Result<T, Why<E>> {
        if self.result.is_err() {
            self.guard.note_level(Level::Unavailable);
        }
        self.result
    }

    /// Returns the origin of the value.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Returns the reason why there is no value.
    #[must_use]
    pub fn why(&self) -> Option<&Why<E>> {
        self.result.as_ref().err()
    }
}
