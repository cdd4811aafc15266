//! The guard: a `static` around a part of the program that may fail.
//!
//! Takes calls, and the errors of those that fail; gives answers. The path of a call that finds the breaker closed and
//! succeeds is one load, one addition and one load. No code of the program runs under a lock of the guard.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use monitor_runtime::bridge::{self, Hold, monotonic as now};

use crate::answer::Answer;
use crate::breaker::{Event, Rules, State, Statistics, Transition};
use crate::cache::{Cache, Value};
use crate::classified::Classified;
use crate::counters::Counters;
use crate::gate::{Gate, Word};
use crate::level::{LastLevel, Level};
use crate::machine::{End, Machine, Refusal, Ticket};
use crate::registry::{self, Report};
use crate::retry::Retry;
use crate::sync::lock;
use crate::verdict::Verdict;
use crate::why::Why;

/// A guard around a part of the program: a circuit breaker, with the figures and the last good values of the part.
///
/// A guard is a `static`. Its breaker opens after three consecutive failures. A call is then not made, but answered at once
/// by [`Why::Open`]. After a pause of 30 s exactly one call tries whether the part is back, while all others go on to be
/// answered at once. A success closes the breaker. A failure opens it for twice as long, up to 5 minutes, and so does an
/// opening within a minute after it was closed.
///
/// ```
/// use std::time::Duration;
/// use monitored_guard::Guard;
///
/// static MAIL: Guard = Guard::new("mail").failures(5).pause(Duration::from_secs(10)).slow(Duration::from_secs(2));
///
/// fn send(to: &str) -> Result<u32, String> { Ok(to.len() as u32) }
///
/// let sent = MAIL.call(|| send("ada")).into_result();
/// assert_eq!(sent, Ok(3));
/// assert_eq!(MAIL.report().calls, 1);
/// ```
#[derive(Debug)]
pub struct Guard {
    name: &'static str,
    machine: Machine,
    slow: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) counters: Counters,
    last_level: LastLevel,
    cache: Mutex<Option<Cache>>,
}

/// The bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 500;

impl Guard {
    /// Returns a guard of this name, which the store, messages and `monitor health` show.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let rules = Rules {
            failures: 3,
            pause: Duration::from_secs(30),
            pause_max: Duration::from_secs(300),
            stable: Duration::from_secs(60),
            try_max: None,
        };
        Self {
            name,
            machine: Machine {
                gate: Gate { word: AtomicU64::new(Word::FIRST.number()) },
                retry_at_ns: AtomicU64::new(u64::MAX),
                breaker: Mutex::new(None),
                rules,
            },
            slow: None,
            retry: Retry::times(3),
            counters: Counters::new(),
            last_level: LastLevel::new(),
            cache: Mutex::new(None),
        }
    }

    /// Sets the number of consecutive failures that open the breaker. Zero counts as one.
    #[must_use]
    pub const fn failures(mut self, failures: u32) -> Self {
        self.machine.rules.failures = if failures == 0 { 1 } else { failures };
        self
    }

    /// Sets the pause between the opening and the first try.
    #[must_use]
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.machine.rules.pause = pause;
        self
    }

    /// Sets the longest pause, to which pauses double.
    #[must_use]
    pub const fn pause_max(mut self, pause_max: Duration) -> Self {
        self.machine.rules.pause_max = pause_max;
        self
    }

    /// Sets the time after which a call counts as a failure, even if it succeeds, or if its error is none of the
    /// part's. Its value or error is returned all the same.
    #[must_use]
    pub const fn slow(mut self, slow: Duration) -> Self {
        self.slow = Some(slow);
        self
    }

    /// Sets the rule for [`Self::call_retrying`]: three attempts by default.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Makes a call, unless the breaker is open. Every error is a failure of the part; [`Self::classify`] and [`Self::ignore`]
    /// tell errors apart. A panic is a failure too, and goes on.
    #[inline]
    pub fn call<T, E: Display>(&'static self, body: impl FnOnce() -> Result<T, E>) -> Answer<T, E> {
        self.call_once(body, |_| Verdict::Retry).0
    }

    /// Awaits a future, unless the breaker is open, as [`Self::call`] does with a function. A future that is dropped
    /// before it is ready says nothing about the part; if it was the one try of the half-open state, the next call
    /// tries.
    pub async fn call_async<T, E: Display>(
        &'static self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Answer<T, E> {
        self.call_once_async(future, |_| Verdict::Retry).await.0
    }

    /// Makes a call up to as often as [`Self::retry`] says, with pauses in which the thread sleeps.
    pub fn call_retrying<T, E: Display>(&'static self, body: impl FnMut() -> Result<T, E>) -> Answer<T, E> {
        self.classify(|_: &E| Verdict::Retry).call_retrying(body)
    }

    /// Does for futures what [`Self::call_retrying`] does for functions. `sleep` is the sleep of the async runtime, such as
    /// `tokio::time::sleep`.
    pub async fn call_async_retrying<T, E: Display, F: Future<Output = Result<T, E>>, S: Future>(
        &'static self,
        sleep: impl Fn(Duration) -> S,
        make: impl FnMut() -> F,
    ) -> Answer<T, E> {
        self.classify(|_: &E| Verdict::Retry).call_async_retrying(sleep, make).await
    }

    /// Returns the guard with a classifier of the part's errors.
    ///
    /// ```
    /// use monitored_guard::{Guard, Verdict};
    ///
    /// static BANK: Guard = Guard::new("bank").failures(1);
    ///
    /// let pay = |status: u16| {
    ///     let class = |status: &u16| match status {
    ///         429 => Verdict::Wait(None),
    ///         401 => Verdict::Fatal,
    ///         400..500 => Verdict::DoNotRetry,
    ///         _ => Verdict::Retry,
    ///     };
    ///     BANK.classify(class).call(|| Err::<(), u16>(status)).into_result()
    /// };
    /// assert!(!pay(404).unwrap_err().is_rejection());
    /// assert!(!pay(503).unwrap_err().is_rejection());
    /// assert!(pay(404).unwrap_err().is_rejection(), "the failure before has opened the breaker");
    /// ```
    pub const fn classify<E, C: Fn(&E) -> Verdict>(&'static self, classify: C) -> Classified<C> {
        Classified { guard: self, classify }
    }

    /// Returns the guard with errors that are no failures of the part, such as those of validation.
    pub fn ignore<E>(&'static self, is_ignored: impl Fn(&E) -> bool) -> Classified<impl Fn(&E) -> Verdict> {
        self.classify(move |error: &E| if is_ignored(error) { Verdict::DoNotRetry } else { Verdict::Retry })
    }

    /// Holds the breaker open: no call is made until [`Self::release`].
    pub fn hold_open(&'static self, reason: &str) {
        self.hold(Event::ForceOpen { why: bounded(reason), by: BY_PROGRAM });
    }

    /// Holds the breaker closed: every call is made, whether the calls before it failed or not.
    pub fn hold_closed(&'static self, reason: &str) {
        self.hold(Event::ForceClose { why: bounded(reason), by: BY_PROGRAM });
    }

    /// Releases the breaker: failures, successes and time decide again.
    pub fn release(&'static self) {
        self.hold(Event::Auto { why: "", by: BY_PROGRAM });
    }

    /// Returns the state of the breaker.
    #[must_use]
    pub fn state(&self) -> State {
        self.statistics().state
    }

    /// Returns state, service level and figures.
    #[must_use]
    pub fn report(&self) -> Report {
        let statistics = self.statistics();
        let level = match statistics.state {
            State::Closed => Level::Full,
            State::Open | State::HalfOpen => self.last_level.read(),
        };
        Report::new(self.name, level, &self.counters, statistics)
    }

    fn statistics(&self) -> Statistics {
        self.machine.statistics(now())
    }

    pub(crate) fn note_level(&self, level: Level) {
        self.last_level.set(level);
    }

    /// Returns the last good values.
    pub(crate) fn cache(&self) -> CacheLock<'_> {
        CacheLock(lock(&self.cache))
    }

    /// Holds or releases the breaker as a person has asked for in the store.
    pub(crate) fn apply_hold(&'static self, hold: Hold, reason: &str, by: &str) {
        let why = bounded(reason);
        self.hold(match hold {
            Hold::Open => Event::ForceOpen { why, by },
            Hold::Closed => Event::ForceClose { why, by },
            Hold::Auto => Event::Auto { why, by },
        });
    }

    fn hold(&'static self, event: Event<'_>) {
        self.list();
        self.notify(self.machine.hold(now(), event));
    }

    /// Puts the guard into the list of guards at its first call.
    fn list(&'static self) {
        if self.machine.gate.read().is_new() {
            self.machine.gate.note_listed();
            registry::add(self);
        }
    }

    /// Reports a transition, outside of the lock of the machine.
    fn notify(&self, transition: Option<Transition>) {
        if let Some(transition) = transition {
            bridge::note_transition(self.name, transition);
        }
    }

    /// Makes one call. Returns the answer, and the class of an error.
    #[inline]
    pub(crate) fn call_once<T, E: Display>(
        &'static self,
        body: impl FnOnce() -> Result<T, E>,
        classify: impl Fn(&E) -> Verdict,
    ) -> (Answer<T, E>, Option<Verdict>) {
        let ticket = match self.admit() {
            Ok(ticket) => ticket,
            Err(rejection) => return (Answer::new(self, Err(rejection.into_why())), None),
        };
        let mut permit = self.begin(ticket);
        permit.is_running = true;
        let result = body();
        permit.conclude(result, classify)
    }

    /// Awaits one future. Returns the answer, and the class of an error.
    pub(crate) async fn call_once_async<T, E: Display>(
        &'static self,
        future: impl Future<Output = Result<T, E>>,
        classify: impl Fn(&E) -> Verdict,
    ) -> (Answer<T, E>, Option<Verdict>) {
        let ticket = match self.admit() {
            Ok(ticket) => ticket,
            Err(rejection) => return (Answer::new(self, Err(rejection.into_why())), None),
        };
        let mut permit = self.begin(ticket);
        let mut future = pin!(future);
        let result = poll_fn(|context| {
            // If a poll unwinds, `is_running` stays true, so the drop of the permit can tell a panic from a dropped
            // future.
            permit.is_running = true;
            let polled = future.as_mut().poll(context);
            permit.is_running = false;
            polled
        });
        let result = result.await;
        permit.conclude(result, classify)
    }

    #[inline]
    fn admit(&'static self) -> Result<Ticket, Box<Rejection>> {
        match self.machine.admit_fast() {
            Some(ticket) => Ok(ticket),
            None => self.admit_slow(),
        }
    }

    /// Counts a call that may pass.
    #[inline]
    fn begin(&'static self, ticket: Ticket) -> Permit {
        self.counters.calls.count();
        let begun = self.slow.map(|_| Instant::now());
        Permit { guard: self, ticket, begun, is_running: false, is_over: false }
    }

    #[cold]
    #[inline(never)]
    fn admit_slow(&'static self) -> Result<Ticket, Box<Rejection>> {
        self.list();
        let now = now();
        let (answer, transition) = self.machine.admit(now);
        self.notify(transition);
        match answer {
            Ok(ticket) => {
                if ticket.is_try {
                    self.counters.probes.add();
                }
                Ok(ticket)
            }
            Err(refusal) => {
                self.counters.rejected.add();
                let Statistics { held, last_failure: last, .. } = self.machine.statistics(now);
                Err(Box::new(Rejection { guard: self.name, refusal, held, last }))
            }
        }
    }
}

/// The name under which the program itself holds a breaker.
const BY_PROGRAM: &str = "program";

/// Returns the reason of a failure that is one because the call took this long.
#[cold]
fn describe(taken: Duration) -> String {
    format!("a call took {taken:.1?}")
}

/// The last good values of a guard, under their lock.
pub(crate) struct CacheLock<'a>(MutexGuard<'a, Option<Cache>>);

impl CacheLock<'_> {
    pub(crate) fn put(&mut self, key: String, value: Value, at: Duration) -> Option<Value> {
        self.0.get_or_insert_default().put(key, value, at)
    }

    pub(crate) fn find(&self, key: &str, now: Duration, age_max: Duration) -> Option<(Value, Duration)> {
        self.0.as_ref()?.find(key, now, age_max)
    }
}

/// A call that was not let through.
struct Rejection {
    guard: &'static str,
    refusal: Refusal,
    held: Option<String>,
    last: Option<String>,
}

impl Rejection {
    fn into_why<E>(self) -> Why<E> {
        let Self { guard, refusal, held, last } = self;
        match refusal {
            Refusal::Open(retry_in) => Why::Open { guard, retry_in, last },
            Refusal::Trying => Why::Trying { guard, last },
            Refusal::Held => Why::Held { guard, reason: held.unwrap_or_default() },
        }
    }
}

/// A call under way. Its drop ends a call that was not ended otherwise. Only functions that are inlined take it, so the
/// compiler keeps it in registers; the others take its parts.
struct Permit {
    guard: &'static Guard,
    ticket: Ticket,
    begun: Option<Instant>,
    /// True while code of the program runs.
    is_running: bool,
    is_over: bool,
}

impl Permit {
    #[inline]
    fn conclude<T, E: Display>(
        mut self,
        result: Result<T, E>,
        classify: impl Fn(&E) -> Verdict,
    ) -> (Answer<T, E>, Option<Verdict>) {
        let Self { guard, ticket, begun, .. } = self;
        self.is_over = true;
        match result {
            Ok(value) => {
                if begun.is_some() || !guard.machine.succeed_fast(ticket) {
                    guard.end_with_value(ticket, begun);
                }
                (Answer::new(guard, Ok(value)), None)
            }
            Err(error) => {
                let verdict = guard.end_with_error(ticket, begun, &error, classify);
                (Answer::new(guard, Err(Why::Failed(error))), Some(verdict))
            }
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if !self.is_over {
            self.guard.abandon(self.ticket, self.is_running);
        }
    }
}

impl Guard {
    /// Ends a call that returned a value: as a success, or as a failure if the call took longer than `slow`.
    #[cold]
    #[inline(never)]
    fn end_with_value(&self, ticket: Ticket, begun: Option<Instant>) {
        if let Some(taken) = self.measure_excess(begun) {
            self.end(ticket, End::Failure(&describe(taken)));
        } else if begun.is_none() || !self.machine.succeed_fast(ticket) {
            self.end(ticket, End::Success);
        }
    }

    /// Returns the time that a call has taken, if it is longer than `slow`.
    fn measure_excess(&self, begun: Option<Instant>) -> Option<Duration> {
        let slow = self.slow?;
        begun.map(|begun| begun.elapsed()).filter(|taken| *taken > slow)
    }

    /// Ends a call that returned an error. Returns the error's class.
    #[cold]
    #[inline(never)]
    fn end_with_error<E: Display>(
        &'static self,
        ticket: Ticket,
        begun: Option<Instant>,
        error: &E,
        classify: impl Fn(&E) -> Verdict,
    ) -> Verdict {
        // The time that the program's code takes below is not the part's.
        let excess = self.measure_excess(begun).map(describe);
        // The classifier and the error's `Display` are code of the program and may panic; the drop of the permit then
        // ends the call.
        let mut permit = Permit { guard: self, ticket, begun: None, is_running: true, is_over: false };
        let verdict = classify(error);
        let text = error.to_string();
        permit.is_over = true;
        let text = bounded(&text);
        let end = match verdict {
            Verdict::Retry => End::Failure(text),
            Verdict::Wait(_) if ticket.is_try => End::Failure(text),
            Verdict::Wait(_) => End::Nothing,
            Verdict::DoNotRetry => End::Success,
            Verdict::Fatal => End::Fatal(text),
        };
        let end = match (&excess, end) {
            (Some(excess), End::Success | End::Nothing) => End::Failure(excess),
            (_, end) => end,
        };
        self.end(ticket, end);
        verdict
    }

    /// Ends a call that neither returned nor failed: its code panicked, or its future was dropped.
    #[cold]
    #[inline(never)]
    fn abandon(&self, ticket: Ticket, is_running: bool) {
        self.end(ticket, if is_running { End::Failure("a call panicked") } else { End::Nothing });
    }

    fn end(&self, ticket: Ticket, end: End<'_>) {
        if matches!(end, End::Failure(_) | End::Fatal(_)) {
            self.counters.failures.add();
        }
        let transition = self.machine.end(ticket, now(), end);
        self.notify(transition);
    }
}

/// Returns the first bytes of a text, at most [`REASON_BYTES_MAX`], without dividing a character.
fn bounded(text: &str) -> &str {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_quick_success_of_a_guard_that_measures_time_takes_no_lock() {
        static GUARD: Guard = Guard::new("measured").slow(Duration::from_secs(3600));
        let call = || GUARD.call(|| Ok::<_, String>(7)).into_result();
        assert_eq!(call(), Ok(7));
        let (sender, receiver) = channel();
        let held = lock(&GUARD.machine.breaker);
        std::thread::spawn(move || sender.send(call()));
        let answer = receiver.recv_timeout(Duration::from_secs(20));
        drop(held);
        assert_eq!(answer, Ok(Ok(7)));
    }
}
