//! Events of the recorder that wait for the next batch: rows of the view `events`.
//!
//! Takes a kind and a sentence; gives rows. Their number is bounded. It does not know who reads them.

use crate::batch::EventRow;
use crate::growth::MakeRoom as _;

/// The events that wait for the next batch.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Vec<EventRow>,
    /// The number of events that found no room since events were last taken.
    lost: u64,
}

impl Events {
    /// Adds an event, unless too many wait already or there is no memory for it. The batch says how many are missing.
    pub(super) fn add(&mut self, at_ns: i64, kind: &'static str, detail: impl Into<String>) {
        if self.waiting.len() < EVENTS_MAX && self.waiting.make_room(2) {
            self.waiting.push(EventRow { at_ns, kind, detail: detail.into() });
        } else {
            self.lost += 1;
        }
    }

    /// Returns true if no event waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the events that wait, and forgets them.
    pub(super) fn take(&mut self) -> Vec<EventRow> {
        if let Some(last) = self.waiting.last() {
            let lost = std::mem::take(&mut self.lost);
            let detail = format!("{lost} events before this one found no room and are missing");
            let row = EventRow { at_ns: last.at_ns, kind: "recorder", detail };
            self.waiting.extend((lost > 0).then_some(row));
        }
        std::mem::take(&mut self.waiting)
    }
}

/// The largest number of events that wait. Events are rare, and they must not pile up while a store is down for days.
const EVENTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_found_no_room_are_counted_by_the_next_batch() {
        let mut events = Events::default();
        (0..EVENTS_MAX + 5).for_each(|_| events.add(7, "level", "full"));
        let rows = events.take();
        let last = rows.last().map(|row| (row.kind, row.detail.as_str()));
        assert_eq!(rows.len(), EVENTS_MAX + 1);
        assert_eq!(last, Some(("recorder", "5 events before this one found no room and are missing")));
        events.add(7, "level", "full");
        assert_eq!(events.take().len(), 1);
    }
}
