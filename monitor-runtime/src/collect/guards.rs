//! The rows of guards: circuit breakers that the program has around parts of its own.
//!
//! Takes what the program's guards say of themselves; gives a row for each that has changed since its last row. The room
//! does not know how guards work: the package `monitored-guard` does, and it names the source of the rows.

use std::collections::HashMap;

use crate::batch::GuardRow;
use crate::limits::GUARDS_MAX;

/// A function that returns a row for each guard of the process.
pub(crate) type GuardSource = fn() -> Vec<GuardRow>;

/// The rows of guards that go into the store.
#[derive(Debug)]
pub(super) struct Guards {
    source: GuardSource,
    /// The last row of each guard, by name.
    given: HashMap<String, GuardRow>,
    due: Vec<GuardRow>,
}

impl Guards {
    pub(super) fn new(source: GuardSource) -> Self {
        Self { source, given: HashMap::new(), due: Vec::new() }
    }

    /// Asks for the rows, and keeps those that changed for the next batch.
    pub(super) fn look(&mut self) {
        for row in (self.source)().into_iter().take(GUARDS_MAX) {
            if self.given.get(&row.name).is_some_and(|last| !row.says_more_than(last)) {
                continue;
            }
            self.given.insert(row.name.clone(), row.clone());
            self.due.retain(|waiting| waiting.name != row.name);
            self.due.push(row);
        }
    }

    /// Returns the rows that wait for the next batch.
    pub(super) fn take_due(&mut self) -> Vec<GuardRow> {
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_guard_has_a_row_whenever_more_than_time_has_changed() {
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        let mut guards = Guards::new(|| {
            let looks = LOOKS.fetch_add(1, Ordering::Relaxed);
            let row = |name: &str, calls| GuardRow {
                name: name.to_owned(),
                lasted_ns: looks,
                calls,
                ..GuardRow::default()
            };
            vec![row("rates", looks / 2), row("mail", 7)]
        });
        let mut looks = [0; 4].map(|_| {
            guards.look();
            guards.take_due().into_iter().map(|row| (row.name, row.calls)).collect::<Vec<_>>()
        });
        let row = |name: &str, calls| (name.to_owned(), calls);
        assert_eq!(looks, [vec![row("rates", 0), row("mail", 7)], vec![], vec![row("rates", 1)], vec![]]);
        (0..4).for_each(|_| guards.look());
        looks[0] = guards.take_due().into_iter().map(|row| (row.name, row.calls)).collect();
        assert_eq!(looks[0], [row("rates", 3)], "one row for a guard that changed twice");
    }
}
