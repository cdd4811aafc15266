//! The rows of guards, circuit breakers that the program has around parts of its own, and the holds that people set on
//! them.
//!
//! Takes the rows that the program's guards give, and the table `guard_hold`; gives a row for each guard that has
//! changed since its last row, and each change of a hold to its guard. The file does not know how guards work: the
//! package `monitored-guard` does, and it names the functions by which they are reached.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::panic_text;
use super::store_breaker::bounded;
use crate::batch::GuardRow;
use crate::growth::MakeRoom as _;
use crate::limits::GUARDS_MAX;
use crate::store::{Hold, SetHold};

/// The functions by which the guards of the process are reached.
#[derive(Debug, Clone, Copy)]
pub struct GuardSource {
    /// Returns a row for each guard.
    pub rows: fn() -> Vec<GuardRow>,
    /// Holds the guard of this name, or releases it, with the reason and the name of the person. Returns false if there
    /// is no such guard yet.
    pub hold: fn(&str, Hold, &str, &str) -> bool,
}

/// The rows of guards that go into the store.
#[derive(Debug)]
pub(super) struct Guards {
    /// The functions of the source; `None` once one of them has panicked.
    source: Option<GuardSource>,
    /// The message of the panic, until it has been taken.
    panic: Option<String>,
    /// The last row of each guard, by name.
    given: HashMap<String, GuardRow>,
    due: Vec<GuardRow>,
    /// The holds that were passed to guards, by the guard's name.
    held: HashMap<String, SetHold>,
}

impl Guards {
    pub(super) fn new(source: GuardSource) -> Self {
        let source = Some(source);
        Self { source, panic: None, given: HashMap::new(), due: Vec::new(), held: HashMap::new() }
    }

    /// Calls a function of the source. A source that panics is not called any more, because a step that fails again and
    /// again would end the recorder.
    fn ask<R>(&mut self, call: impl FnOnce(GuardSource) -> R) -> Option<R> {
        let source = self.source?;
        match catch_unwind(AssertUnwindSafe(|| call(source))) {
            Ok(answer) => Some(answer),
            Err(payload) => {
                (self.source, self.panic) = (None, Some(panic_text(&*payload).to_owned()));
                None
            }
        }
    }

    /// Returns the message of the panic after which the guards are not asked any more, once.
    pub(super) fn take_panic(&mut self) -> Option<String> {
        self.panic.take()
    }

    fn read_rows(&mut self) -> Vec<GuardRow> {
        self.ask(|source| (source.rows)()).unwrap_or_default()
    }

    /// Asks the guards for their rows, and keeps those that changed for the next batch.
    pub(super) fn poll(&mut self) {
        for row in self.read_rows().into_iter().take(GUARDS_MAX) {
            if self.given.get(&row.name).is_some_and(|last| !row.differs_from(last)) {
                continue;
            }
            // A row for which there is no memory is taken at a later poll.
            if !(self.given.make_room(1) && self.due.make_room(1)) {
                return;
            }
            self.given.insert(row.name.clone(), row.clone());
            self.due.retain(|waiting| waiting.name != row.name);
            self.due.push(row);
        }
    }

    /// Returns true once a guard has been called.
    pub(super) fn has_any(&mut self) -> bool {
        // Before the first poll only the source knows, and a hold has to reach the first calls.
        !self.given.is_empty() || !self.read_rows().is_empty()
    }

    /// Holds and releases guards as the table `guard_hold` says. The hold of a guard that has not been called yet is
    /// passed on once it has been.
    pub(super) fn apply_holds(&mut self, requested: Vec<(String, SetHold)>) {
        let mut held = std::mem::take(&mut self.held);
        self.ask(|GuardSource { hold, .. }| {
            let is_named = |name: &String| requested.iter().any(|(requested, _)| requested == name);
            held.retain(|name, _| is_named(name) || !hold(name, Hold::Auto, "", "monitor"));
            for (name, set) in requested {
                let is_known = held.get(&name) == Some(&set);
                let has_room = held.make_room(1);
                if has_room && !is_known && hold(&name, set.hold, bounded(&set.reason), bounded(&set.set_by))
                {
                    held.insert(name, set);
                }
            }
        });
        self.held = held;
    }

    /// Returns the rows that wait for the next batch.
    pub(super) fn take_due(&mut self) -> Vec<GuardRow> {
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::sync::lock;

    #[test]
    fn a_guard_has_a_row_whenever_more_than_time_has_changed() {
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        let rows = || {
            let looks = LOOKS.fetch_add(1, Ordering::Relaxed);
            let row = |name: &str, calls| GuardRow {
                name: name.to_owned(),
                lasted_ns: looks,
                calls,
                ..GuardRow::default()
            };
            vec![row("rates", looks / 2), row("mail", 7)]
        };
        let mut guards = Guards::new(GuardSource { rows, hold: |_, _, _, _| false });
        let mut looks = [0; 4].map(|_| {
            guards.poll();
            guards.take_due().into_iter().map(|row| (row.name, row.calls)).collect::<Vec<_>>()
        });
        let row = |name: &str, calls| (name.to_owned(), calls);
        assert_eq!(looks, [vec![row("rates", 0), row("mail", 7)], vec![], vec![row("rates", 1)], vec![]]);
        (0..4).for_each(|_| guards.poll());
        looks[0] = guards.take_due().into_iter().map(|row| (row.name, row.calls)).collect();
        assert_eq!(looks[0], [row("rates", 3)], "one row for a guard that changed twice");
    }

    #[test]
    fn a_source_that_panics_is_asked_once_and_reported_once() {
        let mut guards = Guards::new(GuardSource { rows: || panic!("overflow"), hold: |_, _, _, _| true });
        guards.poll();
        assert_eq!(guards.take_panic().as_deref(), Some("overflow"));
        guards.poll();
        assert!(!guards.has_any());
        assert_eq!(guards.take_panic(), None);
        let mut guards = Guards::new(GuardSource { rows: Vec::new, hold: |_, _, _, _| panic!("overflow") });
        let (reason, set_by) = ("a move".to_owned(), "ada".to_owned());
        let set = SetHold { hold: Hold::Open, reason, set_by, set_ns: 7 };
        guards.apply_holds(vec![("rates".to_owned(), set)]);
        assert_eq!(guards.take_panic().as_deref(), Some("overflow"));
    }

    #[test]
    fn guards_are_known_before_their_rows_are_polled() {
        let rows = || vec![GuardRow { name: "rates".to_owned(), ..GuardRow::default() }];
        assert!(Guards::new(GuardSource { rows, hold: |_, _, _, _| true }).has_any());
        assert!(!Guards::new(GuardSource { rows: Vec::new, hold: |_, _, _, _| true }).has_any());
    }

    #[test]
    fn a_guard_is_told_of_each_change_of_its_hold_once_and_of_the_end_of_it() {
        static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
        static IS_THERE: AtomicBool = AtomicBool::new(false);
        let hold = |name: &str, hold: Hold, reason: &str, by: &str| {
            lock(&TOLD).push(format!("{name} {hold:?} {reason} {by}"));
            IS_THERE.load(Ordering::Relaxed)
        };
        let mut guards = Guards::new(GuardSource { rows: Vec::new, hold });
        let set = |hold, reason: &str| {
            let (reason, set_by) = (reason.to_owned(), "ada".to_owned());
            ("rates".to_owned(), SetHold { hold, reason, set_by, set_ns: 7 })
        };
        let mut apply = |holds| {
            guards.apply_holds(holds);
            std::mem::take(&mut *lock(&TOLD))
        };
        let open = || vec![set(Hold::Open, "a move")];
        assert_eq!(apply(open()), ["rates Open a move ada"]);
        assert_eq!(apply(open()), ["rates Open a move ada"], "the guard was not there yet");
        IS_THERE.store(true, Ordering::Relaxed);
        assert_eq!(apply(open()), ["rates Open a move ada"]);
        assert_eq!(apply(open()), Vec::<String>::new());
        assert_eq!(apply(vec![set(Hold::Auto, "done")]), ["rates Auto done ada"]);
        assert_eq!(apply(Vec::new()), ["rates Auto  monitor"]);
        assert_eq!(apply(Vec::new()), Vec::<String>::new());
    }
}
