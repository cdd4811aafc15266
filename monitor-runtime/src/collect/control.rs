//! Requests of the program to the collector: flush, stop, and transitions of breakers to report.
//!
//! Callers send a request and wait for its answer, with a deadline. The collector takes requests before each step and
//! answers after it, and never waits for a caller. The numbers of waiting flushes and of waiting transitions are
//! bounded. Each recorder has channels of its own. The child of a fork has its own recorder, so it never waits for the
//! collector of its parent.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::breaker::{Breaker, State, Transition};
use crate::platform::clock::monotonic;
use crate::ring::panics::Exit;
use crate::sync::lock;
use crate::thread::pool::ThreadPool;

/// Why a flush or a shutdown did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The timeout passed. Records that are not written yet still wait.
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

/// A receiver of calls, with a breaker around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// The store.
    Store,
    /// A subscriber within the process.
    Subscriber,
    /// A part of the program, behind the guard of this name.
    Guard(&'static str),
}

/// A transition of a breaker, and the receiver of calls that the breaker protects.
type Noted = (Sink, Transition);

/// A request that a caller waits for.
#[derive(Debug)]
enum Request {
    Flush(Waiter),
    Stop {
        /// The moment at which the collector stops even if rows are still to be written.
        by: Duration,
        /// True for a shutdown: the program requested the end of recording, and goes on.
        is_shutdown: bool,
        waiter: Waiter,
    },
}

/// A caller that waits for an answer until a moment. The end of the collector drops the sender, which is an answer too.
#[derive(Debug)]
struct Waiter {
    answer: Sender<()>,
    by: Duration,
}

/// The callers' side.
#[derive(Debug)]
pub(crate) struct Control {
    requests: Sender<Request>,
    /// Both ends of the queue of transitions.
    transitions: (Sender<Noted>, Receiver<Noted>),
    is_stopping: AtomicBool,
    /// The exit of the process, until the collector has taken note of it.
    exit: Mutex<Option<Exit>>,
    /// Set when the collector has ended: true if nothing was left unwritten.
    ended: OnceLock<bool>,
    /// The reason why calls go to a store that ends with the process although the settings name a file; set once they
    /// do.
    temporary_store: OnceLock<String>,
}

/// The collector's side. When it is dropped, the callers that wait learn that the collector has ended.
#[derive(Debug)]
pub(crate) struct Requests {
    untaken: Receiver<Request>,
    /// Callers that wait in `flush` or `stop` and whose timeout has not passed.
    flushes: Vec<Waiter>,
    stops: Vec<Waiter>,
    /// True until everything that was recorded before the last flush is written, even if its callers no longer wait.
    is_flush_open: bool,
    stop_by: Option<Duration>,
    is_shutdown: bool,
}

/// The requests that the collector answers in its next step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requested {
    pub(crate) flush: bool,
    pub(crate) stop: bool,
    /// True if the stop is a shutdown, after which the program goes on.
    pub(crate) shutdown: bool,
    stop_by: Option<Duration>,
}

impl Requested {
    /// Returns true if the time for stopping is over.
    pub(crate) fn is_late(&self) -> bool {
        self.stop_by.is_some_and(|by| monotonic() >= by)
    }
}

impl Control {
    pub(crate) fn new() -> (Self, Requests) {
        // The channel is unbounded, because only an unbounded channel drops untaken requests when its receiver is
        // dropped.
        let (sender, receiver) = unbounded();
        let control = Self {
            requests: sender,
            transitions: unbounded(),
            is_stopping: AtomicBool::new(false),
            exit: Mutex::default(),
            ended: OnceLock::new(),
            temporary_store: OnceLock::new(),
        };
        let requests = Requests {
            untaken: receiver,
            flushes: Vec::new(),
            stops: Vec::new(),
            is_flush_open: false,
            stop_by: None,
            is_shutdown: false,
        };
        (control, requests)
    }

    /// Waits until everything that was recorded before this call is written.
    pub(crate) fn flush(
        &self,
        rings: &ThreadPool,
        timeout: Duration,
        breaker: &Mutex<Breaker>,
    ) -> Result<(), FlushError> {
        if self.request(rings, timeout, Request::Flush) || self.ended.get() == Some(&true) {
            return Ok(());
        }
        let breaker = lock(breaker).statistics(monotonic());
        match (&breaker.held, &breaker.last_failure) {
            _ if breaker.state == State::Closed => Err(FlushError::Timeout(timeout)),
            (None, Some(why)) => Err(FlushError::Unavailable(format!("{why}; {breaker}"))),
            _ => Err(FlushError::Unavailable(breaker.to_string())),
        }
    }

    /// Ends recording, and waits for the collector's end. A shutdown, after which the program goes on, is noted as an
    /// event; the end of the program itself shows in the process's entry in the store.
    pub(crate) fn stop(
        &self,
        rings: &ThreadPool,
        timeout: Duration,
        is_shutdown: bool,
    ) -> Result<(), FlushError> {
        self.begin_stop();
        self.request(rings, timeout, |waiter| Request::Stop { by: waiter.by, is_shutdown, waiter });
        match self.temporary_store.get() {
            Some(why) if self.ended.get().is_some() => Err(FlushError::Unavailable(why.clone())),
            _ if self.ended.get() == Some(&true) => Ok(()),
            _ => Err(FlushError::Timeout(timeout)),
        }
    }

    /// Sends a request, and waits for its answer. Returns true if it was answered in time.
    fn request(
        &self,
        rings: &ThreadPool,
        timeout: Duration,
        request: impl FnOnce(Waiter) -> Request,
    ) -> bool {
        let by = monotonic().saturating_add(timeout);
        let (answer, answered) = bounded(1);
        let request = request(Waiter { answer, by });
        let mut untaken = None;
        if matches!(request, Request::Flush(_)) && self.requests.len() >= FLUSHES_MAX {
            untaken = Some(request);
        } else if self.requests.send(request).is_err() {
            return false;
        }
        rings.home.wake();
        let is_answered = answered.recv_timeout(timeout).is_ok();
        drop(untaken);
        is_answered
    }

    /// Notes the exit of the process, before it stops the collector.
    pub(crate) fn note_exit(&self, exit: Exit) {
        *lock(&self.exit) = Some(exit);
    }

    /// Takes the exit of the process, if it has been noted since the last call.
    pub(crate) fn take_exit(&self) -> Option<Exit> {
        lock(&self.exit).take()
    }

    /// Begins the stop: functions that are called for the first time after this are not registered.
    pub(crate) fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Notes that recording has ended, with everything written or not. It has to be called before [`Requests`] is
    /// dropped, because the drop makes the waiting callers read this note.
    pub(crate) fn note_end(&self, is_settled: bool) {
        self.begin_stop();
        let _ = self.ended.set(is_settled);
    }

    /// Notes why written rows go to a store that ends with the process.
    pub(crate) fn note_temporary_store(&self, why: &str) {
        let _ = self.temporary_store.set(why.to_owned());
    }

    /// Hands over a transition that did not come about on the collector's thread, for the event log.
    pub(crate) fn note_transition(&self, sink: Sink, transition: Transition) {
        let (sender, _) = &self.transitions;
        if sender.len() < TRANSITIONS_MAX {
            let _ = sender.send((sink, transition));
        }
    }

    /// Returns the transitions handed over since the last call.
    pub(crate) fn take_transitions(&self) -> impl Iterator<Item = (Sink, Transition)> {
        self.transitions.1.try_iter()
    }
}

impl Requests {
    /// Takes the requests that have come. Returns what the next step is to do.
    pub(crate) fn take(&mut self) -> Requested {
        while let Ok(request) = self.untaken.try_recv() {
            self.is_flush_open = true;
            match request {
                Request::Flush(waiter) => self.flushes.push(waiter),
                Request::Stop { by, is_shutdown, waiter } => {
                    // The first stop decides how long the collector may take.
                    self.stop_by.get_or_insert(by);
                    self.is_shutdown |= is_shutdown;
                    self.stops.push(waiter);
                }
            }
        }
        if !self.flushes.is_empty() || !self.stops.is_empty() {
            let now = monotonic();
            self.flushes.retain(|waiter| now < waiter.by);
            self.stops.retain(|waiter| now < waiter.by);
        }
        Requested {
            flush: self.is_flush_open,
            stop: self.stop_by.is_some(),
            shutdown: self.is_shutdown,
            stop_by: self.stop_by,
        }
    }

    /// Answers the flushes that were taken. Everything that was recorded before them has to be written by now.
    pub(crate) fn settle(&mut self) {
        self.is_flush_open = false;
        for waiter in self.flushes.drain(..) {
            let _ = waiter.answer.try_send(());
        }
    }
}

/// The largest number of flushes that wait for the collector, which may hang on its disk. A further flush is not sent
/// and waits until its timeout.
const FLUSHES_MAX: usize = 1000;
/// The largest number of transitions that wait for the collector, which takes them several times a second.
const TRANSITIONS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CaptureMode;
    use crate::ring::memory::Memory;

    fn rings() -> ThreadPool {
        let (overflow, _) = unbounded();
        ThreadPool::new(
            Box::leak(Box::new(crate::accountant::Accountant::new(4 << 20))),
            7,
            CaptureMode::All,
            overflow,
            Memory::on_heap(None),
        )
    }

    fn flush(control: &Control, timeout_ms: u64) -> Result<(), FlushError> {
        control.flush(&rings(), Duration::from_millis(timeout_ms), &Mutex::default())
    }

    /// Takes requests until there is one for a flush.
    fn take_flush(requests: &mut Requests) -> Requested {
        loop {
            let requested = requests.take();
            if requested.flush {
                return requested;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_flush_is_answered_once_everything_is_written() {
        let (control, mut requests) = Control::new();
        assert!(!requests.take().flush);
        std::thread::scope(|scope| {
            let flushed = scope.spawn(|| flush(&control, 60_000));
            assert!(!take_flush(&mut requests).stop);
            requests.settle();
            assert_eq!(flushed.join().unwrap(), Ok(()));
        });
        assert!(!requests.take().flush);
    }

    #[test]
    fn a_flush_whose_caller_has_gone_is_still_to_be_done() {
        let (control, mut requests) = Control::new();
        assert_eq!(flush(&control, 0), Err(FlushError::Timeout(Duration::ZERO)));
        assert!(requests.take().flush && requests.flushes.is_empty());
        requests.settle();
        assert!(!requests.take().flush);
    }

    #[test]
    fn callers_of_a_collector_that_does_not_answer_wait_no_longer_than_they_said() {
        let (control, _requests) = Control::new();
        for _ in 0..=FLUSHES_MAX {
            assert!(flush(&control, 0).is_err());
        }
        assert_eq!(control.requests.len(), FLUSHES_MAX);
        assert!(flush(&control, 1).is_err());
        assert!(control.stop(&rings(), Duration::from_millis(1), false).is_err());
        assert_eq!(control.requests.len(), FLUSHES_MAX + 1, "a stop is always requested");
    }

    #[test]
    fn the_end_of_the_collector_answers_all_callers() {
        for is_settled in [true, false] {
            let (control, mut requests) = Control::new();
            std::thread::scope(|scope| {
                let flushed = scope.spawn(|| flush(&control, 60_000));
                take_flush(&mut requests);
                let later = scope.spawn(|| flush(&control, 60_000));
                while requests.untaken.is_empty() {
                    std::thread::yield_now();
                }
                control.note_end(is_settled);
                drop(requests);
                assert_eq!(flushed.join().unwrap().is_ok(), is_settled);
                assert_eq!(later.join().unwrap().is_ok(), is_settled);
            });
            assert_eq!(flush(&control, 60_000).is_ok(), is_settled);
            assert_eq!(control.stop(&rings(), Duration::from_secs(60), false).is_ok(), is_settled);
        }
    }

    #[test]
    fn the_first_stop_decides_how_long_it_may_take() {
        let (control, mut requests) = Control::new();
        assert!(control.stop(&rings(), Duration::ZERO, false).is_err());
        let requested = requests.take();
        assert!(requested.stop && requested.flush && !requested.shutdown && requested.is_late());
        assert!(control.stop(&rings(), Duration::from_millis(1), true).is_err());
        let requested = requests.take();
        assert!(requested.shutdown && requested.is_late() && control.is_stopping());
    }
}
