//! A store that keeps everything in plain sight and fails when told to. As a real one it applies a
//! sequence once, and as a real one it may commit and have its answer lost.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::batch::{Batch, CallRow, Figured, Figures, FoldedRow};
use crate::store::{Retained, SetRate, Store, StoreError, Written};
use crate::sync::lock;

/// What the store says to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Written,
    /// Committed, but the caller is told that it failed.
    WrittenButFailed,
    Busy,
    Full,
    Transient,
    SetAside,
    Unwritable,
    Rejected,
    /// A bug of ours.
    Panic,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    pub(super) calls: Vec<CallRow>,
    /// Absolute, by function and start of the window.
    pub(super) windows: HashMap<(u32, i64), Figures>,
    /// Absolute, by fingerprint.
    pub(super) folded: HashMap<i64, FoldedRow>,
    /// By id.
    pub(super) functions: HashMap<u32, String>,
    pub(super) threads: HashMap<u32, String>,
    /// Kind and detail.
    pub(super) events: Vec<(String, String)>,
    sequence: u64,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    /// Attempts to close that meet another's lock.
    closings_held: usize,
    is_closed: bool,
    entries: Entries,
}

/// The store; its clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<State>>);

impl Ledger {
    pub(super) fn new(answers: Vec<Answer>) -> Self {
        Self(Arc::new(Mutex::new(State { answers: answers.into(), ..State::default() })))
    }

    /// Takes everything from here on.
    pub(super) fn behave(&self) {
        lock(&self.0).answers.clear();
    }

    /// Has so many attempts to close it meet another's lock.
    pub(super) fn hold(&self, closings: usize) {
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
        for row in &batch.windows {
            let window = self.windows.entry((row.function, row.start_ns)).or_default();
            match row.figured {
                Figured::All => *window = row.figures,
                Figured::More => window.merge(&row.figures),
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
        let why = || "told to".to_owned();
        match answers.pop_front().unwrap_or(Answer::Written) {
            Answer::Written => {
                entries.apply(batch);
                Ok(Written { rows: batch.calls.len() as u64, ..Written::default() })
            }
            Answer::WrittenButFailed => {
                entries.apply(batch);
                Err(StoreError::Transient(why()))
            }
            Answer::Panic => std::panic::resume_unwind(Box::new("a bug")),
            Answer::Busy => Err(StoreError::Busy(why())),
            Answer::Full => Err(StoreError::Full(why())),
            Answer::Transient => Err(StoreError::Transient(why())),
            Answer::SetAside => Err(StoreError::SetAside(PathBuf::from("aside"))),
            Answer::Unwritable => Err(StoreError::Unwritable(why())),
            // It is calls that a store refuses: what else a batch holds is of our own making.
            Answer::Rejected if batch.calls.is_empty() => {
                entries.apply(batch);
                Ok(Written::default())
            }
            Answer::Rejected => Err(StoreError::Rejected(why())),
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

    fn close(&mut self, _now_ns: i64) -> Result<(), StoreError> {
        let state = &mut *lock(&self.0);
        if state.closings_held > 0 {
            state.closings_held -= 1;
            return Err(StoreError::Busy("told to".to_owned()));
        }
        state.is_closed = true;
        Ok(())
    }
}
