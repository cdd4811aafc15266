//! Events of the recorder that wait for the next batch: rows of the view `events`.
//!
//! Takes a kind and a sentence; gives rows. Their number is bounded. It does not know who reads them.

use crate::batch::EventRow;

/// The events that wait for the next batch.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<EventRow>);

impl Events {
    /// Adds an event, unless too many wait already.
    pub(super) fn add(&mut self, at_ns: i64, kind: &'static str, detail: impl Into<String>) {
        if self.0.len() < EVENTS_MAX {
            self.0.push(EventRow { at_ns, kind, detail: detail.into() });
        }
    }

    /// Returns true if no event waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the events that wait, and forgets them.
    pub(super) fn take(&mut self) -> Vec<EventRow> {
        std::mem::take(&mut self.0)
    }
}

/// The largest number of events that wait. Events are rare, and they must not pile up while a store is down for days.
const EVENTS_MAX: usize = 1000;
