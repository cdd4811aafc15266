//! A store for tests. It keeps its entries in memory, where a test can read them, and fails on command. Like the real
//! store it applies each sequence number once, and like the real store it may commit although it reports an error.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::batch::{Batch, CallRow, CallStats, Ending, FoldedRow, HealthRow, Update};
use crate::store::{Retained, SetRate, Store, StoreError, Written};
use crate::sync::lock;

/// The answer of the store to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Written,
    /// The batch is committed, and the caller gets an error.
    WrittenButFailed,
    Busy,
    Full,
    Transient,
    SetAside,
    Unwritable,
    Rejected,
    /// The store panics, as if it had a bug.
    Panic,
}

/// The entries that were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    pub(super) calls: Vec<CallRow>,
    /// The statistics by function and start of the window.
    pub(super) windows: HashMap<(u32, i64), CallStats>,
    /// The folded failures by fingerprint. Their counts are absolute.
    pub(super) folded: HashMap<i64, FoldedRow>,
    /// The names of functions and of threads, by id.
    pub(super) functions: HashMap<u32, String>,
    pub(super) threads: HashMap<u32, String>,
    /// The kind and the detail of each event.
    pub(super) events: Vec<(String, String)>,
    pub(super) reports: Vec<HealthRow>,
    sequence: u64,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    /// The number of attempts to close that will find the lock taken.
    closings_held: usize,
    is_closed: bool,
    entries: Entries,
}

/// The store. All clones share the same entries.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<State>>);

impl Ledger {
    pub(super) fn new(answers: Vec<Answer>) -> Self {
        Self(Arc::new(Mutex::new(State { answers: answers.into(), ..State::default() })))
    }

    /// Makes the store accept every batch from now on.
    pub(super) fn accept_all(&self) {
        lock(&self.0).answers.clear();
    }

    /// Lets this number of attempts to close find the lock taken.
    pub(super) fn hold_lock(&self, closings: usize) {
        lock(&self.0).closings_held = closings;
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0).is_closed
    }

    pub(super) fn entries(&self) -> Entries {
        lock(&self.0).entries.clone()
    }
}

impl Entries {
    fn apply(&mut self, batch: &Batch) {
        self.sequence = batch.sequence;
        self.calls.extend(batch.calls.iter().cloned());
        self.functions.extend(batch.functions.iter().map(|function| (function.id, function.name.clone())));
        self.threads.extend(batch.threads.iter().map(|thread| (thread.id, thread.name.clone())));
        self.folded.extend(batch.folded.iter().map(|row| (row.fingerprint, row.clone())));
        let events = batch.events.iter().map(|event| (event.kind.to_owned(), event.detail.clone()));
        self.events.extend(events);
        self.reports.extend(batch.health.clone());
        for row in &batch.windows {
            let window = self.windows.entry((row.function, row.start_ns)).or_default();
            match row.update {
                Update::Replace => *window = row.stats,
                Update::Add => window.merge(&row.stats),
            }
        }
    }
}

impl Store for Ledger {
    fn write(&mut self, batch: &Batch) -> Result<Written, StoreError> {
        let State { answers, entries, .. } = &mut *lock(&self.0);
        if batch.sequence <= entries.sequence {
            return Ok(Written { was_there: true, ..Written::default() });
        }
        let reason = || "told to".to_owned();
        match answers.pop_front().unwrap_or(Answer::Written) {
            Answer::Written => {
                entries.apply(batch);
                Ok(Written { rows: batch.calls.len() as u64, ..Written::default() })
            }
            Answer::WrittenButFailed => {
                entries.apply(batch);
                Err(StoreError::Transient(reason()))
            }
            Answer::Panic => std::panic::resume_unwind(Box::new("a bug")),
            Answer::Busy => Err(StoreError::Busy(reason())),
            Answer::Full => Err(StoreError::Full(reason())),
            Answer::Transient => Err(StoreError::Transient(reason())),
            Answer::SetAside => Err(StoreError::SetAside(PathBuf::from("aside"))),
            Answer::Unwritable => Err(StoreError::Unwritable(reason())),
            // A store rejects a batch because of its calls. The rest of a batch is always valid.
            Answer::Rejected if batch.calls.is_empty() => {
                entries.apply(batch);
                Ok(Written::default())
            }
            Answer::Rejected => Err(StoreError::Rejected(reason())),
        }
    }

    fn retain(&mut self, _now_ns: i64) -> Result<Retained, StoreError> {
        Ok(Retained::default())
    }

    fn rates(&mut self) -> Result<Option<Vec<SetRate>>, StoreError> {
        Ok(None)
    }

    fn set_rate(&mut self, _: &str, _: Option<f64>, _: &str, _: i64) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(&mut self, _now_ns: i64, _ending: Ending) -> Result<(), StoreError> {
        let state = &mut *lock(&self.0);
        if state.closings_held > 0 {
            state.closings_held -= 1;
            return Err(StoreError::Busy("told to".to_owned()));
        }
        state.is_closed = true;
        Ok(())
    }
}
