//! Requests to the collector and their answers: flush and stop. The callers wait on a condition
//! variable, with a deadline; the collector never waits for them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::breaker::Transition;
use super::shared::Shared;
use crate::platform::clock::monotonic;
use crate::sync::lock;
use crate::thread::pool::ThreadRings;

/// Why a flush or a shutdown did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The time was up. What was not yet written still waits.
    Timeout(Duration),
    /// The store cannot be written at the moment, for the reason given.
    Unavailable(String),
}

impl fmt::Display for FlushError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => write!(formatter, "not everything was written within {limit:?}"),
            Self::Unavailable(why) => write!(formatter, "the store cannot be written: {why}"),
        }
    }
}

impl std::error::Error for FlushError {}

/// What a breaker protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// The store.
    Store,
    /// A subscriber within the process.
    Subscriber,
}

/// Transitions that wait for the collector; it takes them several times a second.
const TRANSITIONS_MAX: usize = 1000;

#[derive(Debug, Default)]
struct State {
    flush_asked: u64,
    flush_done: u64,
    stop_by: Option<Duration>,
    /// Whether the program asked for the end of recording, and goes on itself.
    is_shut_down: bool,
    stopped: bool,
    /// Whether nothing was left unwritten when it stopped.
    stopped_settled: bool,
    transitions: Vec<(Sink, Transition)>,
}

/// The requests.
#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
}

/// What is asked of the collector at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) flush: bool,
    pub(crate) stop: bool,
    /// The same, and the program goes on.
    pub(crate) shutdown: bool,
    flush_number: u64,
    stop_by: Option<Duration>,
}

impl Asked {
    /// Whether the time given for stopping is over.
    pub(crate) fn is_late(&self) -> bool {
        self.stop_by.is_some_and(|by| monotonic() >= by)
    }
}

impl Control {
    pub(crate) fn asked(&self) -> Asked {
        let state = lock(&self.state);
        Asked {
            flush: state.flush_asked > state.flush_done,
            stop: state.stop_by.is_some(),
            shutdown: state.is_shut_down,
            flush_number: state.flush_asked,
            stop_by: state.stop_by,
        }
    }

    /// Everything that was there when this was asked is written.
    pub(crate) fn settle(&self, asked: &Asked) {
        if asked.flush {
            lock(&self.state).flush_done = asked.flush_number;
            self.changed.notify_all();
        }
    }

    /// Recording has ended, with everything written or not.
    pub(crate) fn stopped(&self, settled: bool) {
        self.stopping.store(true, Ordering::Relaxed);
        {
            let mut state = lock(&self.state);
            state.stopped = true;
            state.stopped_settled = settled;
        }
        self.changed.notify_all();
    }

    /// From here on no function is registered any more.
    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A transition that did not come about on the collector's thread, for the event log.
    pub(crate) fn tell(&self, sink: Sink, transition: Transition) {
        let transitions = &mut lock(&self.state).transitions;
        if transitions.len() < TRANSITIONS_MAX {
            transitions.push((sink, transition));
        }
    }

    pub(crate) fn told(&self) -> Vec<(Sink, Transition)> {
        std::mem::take(&mut lock(&self.state).transitions)
    }

    pub(crate) fn flush(
        &self,
        rings: &ThreadRings,
        timeout: Duration,
        shared: &Shared,
    ) -> Result<(), FlushError> {
        let number = {
            let mut state = lock(&self.state);
            state.flush_asked += 1;
            state.flush_asked
        };
        rings.wake();
        self.wait(timeout, |state| state.flush_done >= number || state.stopped);
        {
            let state = lock(&self.state);
            if state.flush_done >= number || state.stopped_settled {
                return Ok(());
            }
        }
        let breaker = lock(&shared.breaker).statistics(monotonic());
        match (&breaker.held, &breaker.last_failure) {
            _ if breaker.state == crate::collect::breaker::State::Closed => Err(FlushError::Timeout(timeout)),
            (None, Some(why)) => Err(FlushError::Unavailable(format!("{why}; {breaker}"))),
            _ => Err(FlushError::Unavailable(breaker.to_string())),
        }
    }

    /// The end of recording in a program that goes on: an event tells of it, where that of the program itself is
    /// told by its entry in the store.
    pub(crate) fn shut_down(&self, rings: &ThreadRings, timeout: Duration) -> Result<(), FlushError> {
        lock(&self.state).is_shut_down = true;
        self.stop(rings, timeout)
    }

    pub(crate) fn stop(&self, rings: &ThreadRings, timeout: Duration) -> Result<(), FlushError> {
        self.begin_stop();
        {
            let mut state = lock(&self.state);
            state.flush_asked += 1;
            state.stop_by.get_or_insert_with(|| monotonic() + timeout);
        }
        rings.wake();
        self.wait(timeout, |state| state.stopped);
        if lock(&self.state).stopped_settled { Ok(()) } else { Err(FlushError::Timeout(timeout)) }
    }

    fn wait(&self, timeout: Duration, done: impl Fn(&State) -> bool) {
        let deadline = monotonic() + timeout;
        let mut state = lock(&self.state);
        while !done(&state) {
            let left = deadline.saturating_sub(monotonic());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
