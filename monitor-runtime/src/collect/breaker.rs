//! The circuit breaker: it keeps calls from a receiver that fails. The store has one, and so have every in-process
//! subscriber and every guard of the program.
//!
//! Takes moments and events; gives permission. It goes from CLOSED to OPEN after a number of consecutive failures, and
//! after a pause to `HALF_OPEN` for one try; a success takes it back to CLOSED, a failure to OPEN. A person may hold it
//! open or closed. Pure. It does not know what a failure is: errors are classified before they get here, and a busy
//! store is not one.

use std::fmt;
use std::time::Duration;

use crate::limits::{BREAKER_FAILURES, BREAKER_PAUSE};

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Writes are let through.
    #[default]
    Closed,
    /// No write is let through.
    Open,
    /// A single write is permitted, to see whether the store is back.
    HalfOpen,
}

impl State {
    /// Returns the word for the state in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    /// Writes the state in capitals, as messages have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        })
    }
}

/// An event that a breaker reacts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A write is about to be made, if the answer permits it.
    Attempt,
    /// The write succeeded.
    Success,
    /// The write failed, for this reason.
    Failure(&'a str),
    /// The write failed for a reason that does not pass by itself: the breaker opens at once.
    Fatal(&'a str),
    /// The write came to nothing, because another process was writing. It will be tried again.
    Busy,
    /// A person holds the breaker open.
    ForceOpen {
        /// The reason.
        why: &'a str,
        /// The name of the person.
        by: &'a str,
    },
    /// A person holds the breaker closed.
    ForceClose {
        /// The reason.
        why: &'a str,
        /// The name of the person.
        by: &'a str,
    },
    /// A person releases the breaker.
    Auto {
        /// The reason, or nothing.
        why: &'a str,
        /// The name of the person.
        by: &'a str,
    },
}

/// The cause of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Success, failure or the clock.
    Automatic,
    /// The person who is named here.
    Manual(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automatic => formatter.write_str("automatic"),
            Self::Manual(by) => write!(formatter, "manual, by {by}"),
        }
    }
}

/// A change of the state, or of the person who holds it, for the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The moment of the change, by the clock of the breaker's events. It is later than that of the transition before.
    pub at: Duration,
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// The cause.
    pub cause: Cause,
    /// The reason.
    pub why: String,
}

impl fmt::Display for Transition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {} ({}): {}", self.from, self.to, self.cause, self.why)
    }
}

/// The answer to an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// True if a write may be made now. It is the answer to [`Event::Attempt`].
    pub permitted: bool,
    /// The transition, if there was one.
    pub transition: Option<Transition>,
}

/// The numbers by which a breaker opens and closes. The default is the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The number of consecutive failures that open the breaker.
    pub failures: u32,
    /// The time from the opening to the next try.
    pub pause: Duration,
    /// The longest pause. A breaker that opens again before it was closed for `stable` doubles its pause, up to this
    /// one.
    pub pause_max: Duration,
    /// The time for which the breaker has to stay closed before its next pause is `pause` again.
    pub stable: Duration,
    /// The time after which a try without a result may be made again; `None` where every try ends by an event.
    pub try_max: Option<Duration>,
}

impl Rules {
    /// The rules of the breaker around the store.
    pub const STORE: Self = Self {
        failures: BREAKER_FAILURES,
        pause: BREAKER_PAUSE,
        pause_max: BREAKER_PAUSE,
        stable: Duration::ZERO,
        try_max: Some(BREAKER_PAUSE),
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::STORE
    }
}

/// A circuit breaker. The default is CLOSED since moment zero, with the rules of the store.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    rules: Rules,
    /// The pause of the last opening, or `None` before the first one.
    pause: Option<Duration>,
    state: State,
    since: Duration,
    /// The moment of the last transition.
    changed: Duration,
    /// The reason for which a person holds the breaker, if one does.
    held: Option<String>,
    /// The moment at which the one write of `HALF_OPEN` was permitted, while its result is not known.
    trying_since: Option<Duration>,
    consecutive_failures: u32,
    successes: u64,
    failures: u64,
    openings: u64,
    attempts: u64,
    blocked: u64,
    /// True if the last write failed or found its receiver busy, so the next write is a retry.
    retrying: bool,
    retries: u64,
    retried: PerMinute,
    last_failure: Option<String>,
}

/// The state and figures of a breaker at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The state.
    pub state: State,
    /// The time for which the state has lasted.
    pub lasted: Duration,
    /// The reason for which a person holds the breaker, if one does.
    pub held: Option<String>,
    /// The time until the next try, or `None` if the breaker is not open, or is held open.
    pub retry_in: Option<Duration>,
    /// The number of failures since the last success.
    pub consecutive_failures: u32,
    /// The number of writes that succeeded.
    pub successes: u64,
    /// The number of writes that failed.
    pub failures: u64,
    /// The number of times the breaker opened.
    pub openings: u64,
    /// The number of writes that were permitted, retries included.
    pub attempts: u64,
    /// The number of writes that were not permitted.
    pub blocked: u64,
    /// The number of attempts that followed an attempt without success.
    pub retries: u64,
    /// The number of retries within the last minute.
    pub retries_last_minute: u64,
    /// The reason of the last failure.
    pub last_failure: Option<String>,
}

impl Statistics {
    /// Returns the share of successes among the writes that have a result; `None` before the first result.
    #[must_use]
    pub fn success_share(&self) -> Option<f64> {
        share(self.successes, self.successes + self.failures)
    }

    /// Returns the share of requested writes that were not permitted; `None` before the first request.
    #[must_use]
    pub fn blocked_share(&self) -> Option<f64> {
        share(self.blocked, self.blocked + self.attempts)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Circuit breaker {}", self.state)?;
        if let Some(reason) = &self.held {
            write!(formatter, " - held: {reason}")
        } else if let Some(left) = self.retry_in {
            write!(formatter, " - {:.1}s until retry", left.as_secs_f64())
        } else {
            Ok(())
        }
    }
}

impl Breaker {
    /// Returns a breaker that is CLOSED since moment zero.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            pause: None,
            state: State::Closed,
            since: Duration::ZERO,
            changed: Duration::ZERO,
            held: None,
            trying_since: None,
            consecutive_failures: 0,
            successes: 0,
            failures: 0,
            openings: 0,
            attempts: 0,
            blocked: 0,
            retrying: false,
            retries: 0,
            retried: PerMinute { seconds: [0; 60], last: 0 },
            last_failure: None,
        }
    }

    /// Handles an event that happened at the moment `now`, by any clock that never goes back. Returns whether a write
    /// is permitted, and the transition if the event caused one.
    pub fn step(&mut self, now: Duration, event: Event<'_>) -> Step {
        match event {
            Event::Attempt => self.attempt(now),
            Event::Success => self.succeed(now),
            Event::Failure(reason) => self.fail(now, reason, self.rules.failures),
            Event::Fatal(reason) => self.fail(now, reason, 1),
            Event::Busy => self.wait(),
            Event::ForceOpen { why, by } => self.hold(now, State::Open, why, by),
            Event::ForceClose { why, by } => self.hold(now, State::Closed, why, by),
            Event::Auto { why, by } => self.release(now, why, by),
        }
    }

    /// Returns true if a person holds the breaker.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Returns the state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Returns the number of failures since the last success.
    #[must_use]
    pub const fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    /// Returns the time until the next try; `None` if the breaker is not open, or is held open.
    #[must_use]
    pub fn retry_in(&self, now: Duration) -> Option<Duration> {
        let waiting = self.state == State::Open && self.held.is_none();
        waiting.then(|| self.since.saturating_add(self.pause()).saturating_sub(now))
    }

    /// Returns the state and figures at this moment.
    #[must_use]
    pub fn statistics(&self, now: Duration) -> Statistics {
        Statistics {
            state: self.state,
            lasted: now.saturating_sub(self.since),
            held: self.held.clone(),
            retry_in: self.retry_in(now),
            consecutive_failures: self.consecutive_failures,
            successes: self.successes,
            failures: self.failures,
            openings: self.openings,
            attempts: self.attempts,
            blocked: self.blocked,
            retries: self.retries,
            retries_last_minute: self.retried.total_at(now),
            last_failure: self.last_failure.clone(),
        }
    }

    fn attempt(&mut self, now: Duration) -> Step {
        let mut transition = None;
        if self.retry_in(now) == Some(Duration::ZERO) {
            let why = format!("{} s have passed", self.pause().as_secs_f64());
            transition = Some(self.enter(now, State::HalfOpen, Cause::Automatic, why));
        }
        let permitted = match self.state {
            State::Closed => true,
            State::Open => false,
            // A try whose result is never reported must not block for ever.
            State::HalfOpen => self.trying_since.is_none_or(|since| {
                self.rules.try_max.is_some_and(|longest| now.saturating_sub(since) >= longest)
            }),
        };
        if permitted && self.state == State::HalfOpen {
            self.trying_since = Some(now);
        }
        self.blocked += u64::from(!permitted);
        self.attempts += u64::from(permitted);
        if permitted && self.retrying {
            self.retries += 1;
            self.retried.count(now);
        }
        Step { permitted, transition }
    }

    /// Notes that a write ended without a result: the one try of `HALF_OPEN` may be made again at once.
    fn wait(&mut self) -> Step {
        self.trying_since = None;
        self.retrying = true;
        self.answer(None)
    }

    fn succeed(&mut self, now: Duration) -> Step {
        self.successes += 1;
        self.retrying = false;
        self.consecutive_failures = 0;
        let transition = match self.state {
            State::HalfOpen => {
                Some(self.enter(now, State::Closed, Cause::Automatic, "a write was taken".into()))
            }
            State::Closed | State::Open => None,
        };
        self.answer(transition)
    }

    /// Notes a failure. A closed breaker opens if at least `enough` failures have come in a row.
    fn fail(&mut self, now: Duration, reason: &str, enough: u32) -> Step {
        self.failures += 1;
        self.retrying = true;
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.last_failure = Some(reason.to_string());
        let opens = match self.state {
            State::HalfOpen => true,
            State::Closed => self.held.is_none() && self.consecutive_failures >= enough,
            State::Open => false,
        };
        let transition = opens.then(|| {
            let why = match self.consecutive_failures {
                1 => format!("a failure: {reason}"),
                failures => format!("{failures} consecutive failures, the last: {reason}"),
            };
            self.set_pause(now);
            self.enter(now, State::Open, Cause::Automatic, why)
        });
        self.answer(transition)
    }

    fn hold(&mut self, now: Duration, state: State, why: &str, by: &str) -> Step {
        self.held = Some(why.to_string());
        self.consecutive_failures = 0;
        let transition = self.enter(now, state, Cause::Manual(by.to_owned()), format!("held: {why}"));
        self.answer(Some(transition))
    }

    /// Releases the breaker. If it was held open, the store is tried at the next attempt; if it was held closed,
    /// failures count from here.
    fn release(&mut self, now: Duration, why: &str, by: &str) -> Step {
        if self.held.take().is_none() {
            return self.answer(None);
        }
        let to = if self.state == State::Open { State::HalfOpen } else { self.state };
        let why = if why.is_empty() { "let go".to_owned() } else { format!("let go: {why}") };
        let transition = self.enter(now, to, Cause::Manual(by.to_owned()), why);
        self.answer(Some(transition))
    }

    /// Enters a state, and returns the transition. If the breaker is in this state already, because a person holds it
    /// there, the time that the state has lasted goes on.
    fn enter(&mut self, now: Duration, to: State, cause: Cause, why: String) -> Transition {
        let from = std::mem::replace(&mut self.state, to);
        self.trying_since = None;
        if from != to {
            self.since = now;
            self.openings += u64::from(to == State::Open);
        }
        // An event that waited for the lock of the breaker may be older than the last transition.
        self.changed = now.max(self.changed.saturating_add(Duration::from_nanos(1)));
        Transition { at: self.changed, from, to, cause, why }
    }

    fn pause(&self) -> Duration {
        self.pause.unwrap_or(self.rules.pause)
    }

    /// Sets the pause before the next try, when the breaker opens at the moment `now`: twice the last pause, up to the
    /// longest, or the initial pause if the breaker had been CLOSED for long enough.
    fn set_pause(&mut self, now: Duration) {
        let is_again = self.state != State::Closed || now.saturating_sub(self.since) < self.rules.stable;
        let pause = match self.pause {
            Some(last) if is_again => last.saturating_mul(2).min(self.rules.pause_max.max(self.rules.pause)),
            _ => self.rules.pause,
        };
        self.pause = Some(pause);
    }

    fn answer(&self, transition: Option<Transition>) -> Step {
        Step { permitted: self.state != State::Open, transition }
    }
}

/// Counts events of the last minute, in one counter for each second.
#[derive(Debug, Clone)]
struct PerMinute {
    seconds: [u32; 60],
    /// The last second in which an event was counted.
    last: u64,
}

impl Default for PerMinute {
    fn default() -> Self {
        Self { seconds: [0; 60], last: 0 }
    }
}

impl PerMinute {
    fn count(&mut self, now: Duration) {
        let second = now.as_secs();
        for passed in (self.last.saturating_add(1)..=second).take(self.seconds.len()) {
            self.seconds[(passed % 60) as usize] = 0;
        }
        self.last = self.last.max(second);
        let count = &mut self.seconds[(second % 60) as usize];
        *count = count.saturating_add(1);
    }

    fn total_at(&self, now: Duration) -> u64 {
        let silent = now.as_secs().saturating_sub(self.last);
        let heard = (0..60_u64.saturating_sub(silent)).filter_map(|back| self.last.checked_sub(back));
        heard.map(|second| u64::from(self.seconds[(second % 60) as usize])).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Event::{Attempt, Busy, Failure, Success};
    use super::State::{Closed, HalfOpen, Open};
    use super::*;

    const BAD: Event<'_> = Failure("disk full");
    const AUTO: Event<'_> = Event::Auto { why: "", by: "ada" };

    fn force_open(why: &str) -> Event<'_> {
        Event::ForceOpen { why, by: "ada" }
    }

    fn force_close(why: &str) -> Event<'_> {
        Event::ForceClose { why, by: "ada" }
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Plays the events to a breaker. Each row has the second, the event, the state after it and, for attempts, the
    /// answer.
    fn play(rows: &[(f64, Event<'_>, State, bool)]) -> Breaker {
        let mut breaker = Breaker::default();
        for (row, &(seconds, event, state, permitted)) in rows.iter().enumerate() {
            let before = breaker.state;
            let step = breaker.step(at(seconds), event);
            assert_eq!(breaker.state, state, "state after row {row}");
            assert_eq!(step.permitted, permitted, "answer of row {row}");
            let expected = (before != state).then_some((before, state));
            let told = step.transition.map(|transition| (transition.from, transition.to));
            // An action of a person is a transition even if the state stays.
            assert_eq!(told.filter(|(from, to)| from != to), expected, "transition of row {row}");
        }
        breaker
    }

    #[test]
    fn three_consecutive_failures_open_it_and_one_success_closes_it() {
        play(&[
            (0.0, Attempt, Closed, true),
            (0.0, BAD, Closed, true),
            (1.0, BAD, Closed, true),
            (2.0, BAD, Open, false),
            (2.1, Attempt, Open, false),
            (31.9, Attempt, Open, false),
            (32.0, Attempt, HalfOpen, true),
            (32.1, Success, Closed, true),
            (32.2, Attempt, Closed, true),
        ]);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        play(&[
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, Success, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
        ]);
    }

    #[test]
    fn a_failed_try_opens_it_for_another_pause() {
        play(&[
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (30.0, Attempt, HalfOpen, true),
            (30.5, BAD, Open, false),
            (60.0, Attempt, Open, false),
            (60.5, Attempt, HalfOpen, true),
        ]);
    }

    #[test]
    fn only_one_write_tries_the_store_at_a_time() {
        play(&[
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (30.0, Attempt, HalfOpen, true),
            (30.0, Attempt, HalfOpen, false),
            (59.9, Attempt, HalfOpen, false),
            (60.0, Attempt, HalfOpen, true),
        ]);
    }

    #[test]
    fn held_open_it_stays_open_until_let_go() {
        play(&[
            (0.0, force_open("maintenance"), Open, false),
            (500.0, Attempt, Open, false),
            (500.0, Success, Open, false),
            (500.0, AUTO, HalfOpen, true),
            (500.0, Attempt, HalfOpen, true),
            (500.1, Success, Closed, true),
        ]);
    }

    #[test]
    fn held_closed_it_lets_writes_through_whatever_happens() {
        play(&[
            (0.0, force_close("known noise"), Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, AUTO, Closed, true),
            (0.0, BAD, Open, false),
        ]);
    }

    #[test]
    fn holding_closed_ends_an_open_state_at_once() {
        play(&[
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (1.0, force_close("repaired"), Closed, true),
            (1.0, Attempt, Closed, true),
        ]);
    }

    #[test]
    fn letting_go_of_what_nobody_holds_changes_nothing() {
        play(&[
            (0.0, AUTO, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (1.0, AUTO, Open, false),
            (2.0, Attempt, Open, false),
        ]);
    }

    #[test]
    fn the_message_says_how_long_until_the_next_try() {
        let breaker = play(&[(0.0, BAD, Closed, true), (0.0, BAD, Closed, true), (0.0, BAD, Open, false)]);
        let message = |seconds| breaker.statistics(at(seconds)).to_string();
        assert_eq!(message(4.7), "Circuit breaker OPEN - 25.3s until retry");
        assert_eq!(message(31.0), "Circuit breaker OPEN - 0.0s until retry");
        assert_eq!(Breaker::default().statistics(at(1.0)).to_string(), "Circuit breaker CLOSED");
        let held = play(&[(0.0, force_open("maintenance"), Open, false)]);
        assert_eq!(held.statistics(at(1.0)).to_string(), "Circuit breaker OPEN - held: maintenance");
    }

    #[test]
    fn transitions_are_in_order_though_an_event_waited_for_the_lock() {
        let mut breaker = Breaker::default();
        let mut moments = Vec::new();
        for (now, event) in [
            (5.0, Event::ForceOpen { why: "", by: "ada" }),
            (4.0, Event::ForceClose { why: "", by: "bob" }),
            (4.5, Event::Auto { why: "", by: "bob" }),
            (6.0, Event::ForceOpen { why: "", by: "ada" }),
        ] {
            moments.extend(breaker.step(at(now), event).transition.map(|transition| transition.at));
        }
        assert_eq!((moments[0], moments[3]), (at(5.0), at(6.0)));
        assert!(moments.is_sorted_by(|before, after| before < after), "{moments:?}");
    }

    #[test]
    fn transitions_say_who_and_why() {
        let mut breaker = Breaker::default();
        let mut texts = Vec::new();
        for event in [BAD, BAD, BAD, force_close("repaired"), AUTO] {
            texts.extend(breaker.step(at(0.0), event).transition.map(|transition| transition.to_string()));
        }
        assert_eq!(
            texts,
            [
                "CLOSED -> OPEN (automatic): 3 consecutive failures, the last: disk full",
                "OPEN -> CLOSED (manual, by ada): held: repaired",
                "CLOSED -> CLOSED (manual, by ada): let go",
            ]
        );
    }

    #[test]
    fn a_fatal_failure_opens_it_at_once_unless_a_person_holds_it() {
        let fatal = Event::Fatal("the key was revoked");
        let breaker = play(&[(0.0, Attempt, Closed, true), (0.0, fatal, Open, false)]);
        assert_eq!(breaker.statistics(at(1.0)).retry_in, Some(at(29.0)));
        play(&[(0.0, force_close("known noise"), Closed, true), (0.0, fatal, Closed, true)]);
    }

    #[test]
    fn the_pause_doubles_up_to_its_bound_and_a_stable_minute_resets_it() {
        let rules = Rules { pause_max: at(300.0), stable: at(60.0), try_max: None, ..Rules::STORE };
        let mut breaker = Breaker::new(rules);
        let mut now = 0.0;
        let mut pauses = Vec::new();
        (0..2).for_each(|_| _ = breaker.step(at(now), BAD));
        for _ in 0..6 {
            breaker.step(at(now), BAD);
            let left = breaker.statistics(at(now)).retry_in.expect("it is open");
            pauses.push(left.as_secs());
            now += left.as_secs_f64();
            assert!(breaker.step(at(now), Attempt).permitted);
            assert!(!breaker.step(at(now + 1e6), Attempt).permitted, "one try at a time, however long");
        }
        assert_eq!(pauses, [30, 60, 120, 240, 300, 300]);
        for (closed_for, pause) in [(59.0, 300), (60.0, 30)] {
            breaker.step(at(now), Success);
            now += closed_for;
            (0..3).for_each(|_| _ = breaker.step(at(now), BAD));
            assert_eq!(breaker.statistics(at(now)).retry_in, Some(Duration::from_secs(pause)));
            now += 300.0;
            assert!(breaker.step(at(now), Attempt).permitted);
        }
    }

    #[test]
    fn statistics_count_everything() {
        let breaker = play(&[
            (0.0, Attempt, Closed, true),
            (0.0, Success, Closed, true),
            (1.0, BAD, Closed, true),
            (1.0, BAD, Closed, true),
            (2.0, BAD, Open, false),
            (3.0, Attempt, Open, false),
            (4.0, Attempt, Open, false),
        ]);
        let expected = Statistics {
            state: Open,
            lasted: at(8.0),
            held: None,
            retry_in: Some(at(22.0)),
            consecutive_failures: 3,
            successes: 1,
            failures: 3,
            openings: 1,
            attempts: 1,
            blocked: 2,
            retries: 0,
            retries_last_minute: 0,
            last_failure: Some("disk full".into()),
        };
        assert_eq!(breaker.statistics(at(10.0)), expected);
    }

    #[test]
    fn a_busy_try_is_made_again_at_once() {
        play(&[
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (30.0, Attempt, HalfOpen, true),
            (30.0, Busy, HalfOpen, true),
            (30.1, Attempt, HalfOpen, true),
            (30.2, Success, Closed, true),
        ]);
    }

    #[test]
    fn what_follows_a_write_that_came_to_nothing_is_a_retry() {
        let breaker = play(&[
            (0.0, Attempt, Closed, true),
            (0.0, BAD, Closed, true),
            (1.0, Attempt, Closed, true),
            (1.0, Busy, Closed, true),
            (50.0, Attempt, Closed, true),
            (50.0, Success, Closed, true),
            (51.0, Attempt, Closed, true),
            (51.0, Success, Closed, true),
        ]);
        let retries = |seconds| {
            let statistics = breaker.statistics(at(seconds));
            (statistics.retries, statistics.retries_last_minute)
        };
        assert_eq!([52.0, 60.0, 61.5, 109.0, 110.5].map(retries), [(2, 2), (2, 2), (2, 1), (2, 1), (2, 0)]);
        let statistics = breaker.statistics(at(52.0));
        assert_eq!(statistics.success_share(), Some(2.0 / 3.0));
        assert_eq!((statistics.attempts, statistics.blocked_share()), (4, Some(0.0)));
        assert_eq!(Breaker::default().statistics(at(1.0)).success_share(), None);
    }

    fn extreme() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::from_nanos(1)),
            (0..400_u64).prop_map(Duration::from_secs),
            Just(Duration::from_nanos(u64::MAX)),
            Just(Duration::from_secs(u64::MAX)),
            Just(Duration::MAX),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_duration_and_no_moment_makes_it_panic(
            durations in [extreme(), extreme(), extreme()],
            tries in proptest::option::of(extreme()),
            script in proptest::collection::vec((extreme(), 0..8_usize), 0..40),
        ) {
            let [pause, pause_max, stable] = durations;
            let rules = Rules { failures: 1, pause, pause_max, stable, try_max: tries };
            let mut breaker = Breaker::new(rules);
            let events =
                [Attempt, Success, BAD, Event::Fatal("disk lost"), Busy, force_open("a"), force_close("b"), AUTO];
            for (now, event) in script {
                breaker.step(now, events[event]);
                let statistics = breaker.statistics(now);
                prop_assert!(!statistics.to_string().is_empty());
                prop_assert_eq!(statistics.retry_in, breaker.retry_in(now));
            }
        }
    }
}
