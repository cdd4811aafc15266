//! The books: the exact number of things that happened, kept without the recorder, so that a test can compare what was
//! recorded with what was done. The program prints them as one JSON object at its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts by name, such as `create_order 201` or `jobs done`.
#[derive(Default)]
pub(crate) struct Books(Mutex<BTreeMap<String, u64>>);

impl Books {
    /// Adds one to a count.
    pub(crate) fn add(&self, name: &str) {
        self.add_all(name, 1);
    }

    /// Adds to a count.
    pub(crate) fn add_all(&self, name: &str, number: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += number;
    }

    /// Returns all counts as a JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
