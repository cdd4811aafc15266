//! The circuit breaker around every write to the store: moments and events in, permission out. Pure.
//!
//! CLOSED → OPEN after 3 consecutive failures → `HALF_OPEN` 30 s later, for one try → CLOSED after one
//! success, OPEN again on failure. A person may hold it open or closed. It does not know what a
//! failure is: errors are classed before they get here, and being busy is none.

use std::fmt;
use std::time::Duration;

use crate::config::limits::{BREAKER_FAILURES, BREAKER_PAUSE};

/// Whether writes are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// They are.
    #[default]
    Closed,
    /// They are not.
    Open,
    /// One is, to see whether the store is back.
    HalfOpen,
}

impl State {
    /// The word for it in the store.
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
    /// In capitals, as messages have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        })
    }
}

/// What happened, or is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A write is about to be made: may it?
    Attempt,
    /// The write succeeded.
    Success,
    /// The write failed, for this reason.
    Failure(&'a str),
    /// A person holds it open, for this reason.
    ForceOpen(&'a str),
    /// A person holds it closed, for this reason.
    ForceClose(&'a str),
    /// The person lets go.
    Auto,
}

/// Who brought a transition about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Success, failure or the clock.
    Automatic,
    /// A person.
    Manual,
}

/// A change of state, for the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// Who.
    pub cause: Cause,
    /// Why.
    pub why: String,
}

impl fmt::Display for Transition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.cause {
            Cause::Automatic => "automatic",
            Cause::Manual => "manual",
        };
        write!(formatter, "{} -> {} ({who}): {}", self.from, self.to, self.why)
    }
}

/// The answer to an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether a write may be made now. Of use after [`Event::Attempt`].
    pub permitted: bool,
    /// The change of state, where there was one.
    pub transition: Option<Transition>,
}

/// The machine. `Default` is CLOSED since moment zero.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    state: State,
    since: Duration,
    /// Held by a person, for this reason.
    held: Option<String>,
    /// When the one write of `HALF_OPEN` was permitted, while its end is not known.
    trying_since: Option<Duration>,
    consecutive_failures: u32,
    successes: u64,
    failures: u64,
    openings: u64,
    blocked: u64,
    last_failure: Option<String>,
}

/// The machine as seen from outside at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The state.
    pub state: State,
    /// For how long it has lasted.
    pub lasted: Duration,
    /// The reason for which a person holds it, if one does.
    pub held: Option<String>,
    /// How long until the store is tried again; `None` where it is not open, or held open.
    pub retry_in: Option<Duration>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Writes that succeeded.
    pub successes: u64,
    /// Writes that failed.
    pub failures: u64,
    /// How often it opened.
    pub openings: u64,
    /// Writes that were not permitted.
    pub blocked: u64,
    /// Why the last write that failed did.
    pub last_failure: Option<String>,
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
    /// Takes an event at this moment (any clock that never goes back).
    pub fn step(&mut self, now: Duration, event: Event<'_>) -> Step {
        match event {
            Event::Attempt => self.attempt(now),
            Event::Success => self.succeed(now),
            Event::Failure(reason) => self.fail(now, reason),
            Event::ForceOpen(reason) => self.hold(now, State::Open, reason),
            Event::ForceClose(reason) => self.hold(now, State::Closed, reason),
            Event::Auto => self.release(now),
        }
    }

    /// The state and its figures at this moment.
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
            blocked: self.blocked,
            last_failure: self.last_failure.clone(),
        }
    }

    fn attempt(&mut self, now: Duration) -> Step {
        let mut transition = None;
        if self.retry_in(now) == Some(Duration::ZERO) {
            let why = format!("{} s have passed", BREAKER_PAUSE.as_secs());
            transition = self.enter(now, State::HalfOpen, Cause::Automatic, why);
        }
        let permitted = match self.state {
            State::Closed => true,
            State::Open => false,
            // A try whose end was never told must not block for ever.
            State::HalfOpen => {
                self.trying_since.is_none_or(|since| now.saturating_sub(since) >= BREAKER_PAUSE)
            }
        };
        if permitted && self.state == State::HalfOpen {
            self.trying_since = Some(now);
        }
        self.blocked += u64::from(!permitted);
        Step { permitted, transition }
    }

    fn succeed(&mut self, now: Duration) -> Step {
        self.successes += 1;
        self.consecutive_failures = 0;
        let transition = match self.state {
            State::HalfOpen => {
                self.enter(now, State::Closed, Cause::Automatic, "the store took a write".into())
            }
            State::Closed | State::Open => None,
        };
        self.answer(transition)
    }

    fn fail(&mut self, now: Duration, reason: &str) -> Step {
        self.failures += 1;
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.last_failure = Some(reason.to_string());
        let opens = match self.state {
            State::HalfOpen => true,
            State::Closed => self.held.is_none() && self.consecutive_failures >= BREAKER_FAILURES,
            State::Open => false,
        };
        let transition = opens.then(|| {
            let why = format!("{} consecutive failures, the last: {reason}", self.consecutive_failures);
            self.enter(now, State::Open, Cause::Automatic, why)
        });
        self.answer(transition.flatten())
    }

    fn hold(&mut self, now: Duration, state: State, reason: &str) -> Step {
        self.held = Some(reason.to_string());
        self.consecutive_failures = 0;
        let transition = self.enter(now, state, Cause::Manual, format!("held: {reason}"));
        self.answer(transition)
    }

    /// Held open, the store is tried at the next attempt; held closed, failures count from here.
    fn release(&mut self, now: Duration) -> Step {
        let held_open = self.held.take().is_some() && self.state == State::Open;
        let transition =
            held_open.then(|| self.enter(now, State::HalfOpen, Cause::Manual, "let go".into())).flatten();
        self.answer(transition)
    }

    fn enter(&mut self, now: Duration, to: State, cause: Cause, why: String) -> Option<Transition> {
        let from = std::mem::replace(&mut self.state, to);
        self.trying_since = None;
        if from == to {
            return None;
        }
        self.since = now;
        self.openings += u64::from(to == State::Open);
        Some(Transition { from, to, cause, why })
    }

    fn retry_in(&self, now: Duration) -> Option<Duration> {
        let waiting = self.state == State::Open && self.held.is_none();
        waiting.then(|| (self.since + BREAKER_PAUSE).saturating_sub(now))
    }

    fn answer(&self, transition: Option<Transition>) -> Step {
        Step { permitted: self.state != State::Open, transition }
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Attempt, Auto, Failure, ForceClose, ForceOpen, Success};
    use super::State::{Closed, HalfOpen, Open};
    use super::*;

    const BAD: Event<'_> = Failure("disk full");

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Takes the events in turn; each row says the state after it and, for attempts, the answer.
    fn play(rows: &[(f64, Event<'_>, State, bool)]) -> Breaker {
        let mut breaker = Breaker::default();
        for (row, &(seconds, event, state, permitted)) in rows.iter().enumerate() {
            let before = breaker.state;
            let step = breaker.step(at(seconds), event);
            assert_eq!(breaker.state, state, "state after row {row}");
            assert_eq!(step.permitted, permitted, "answer of row {row}");
            let expected = (before != state).then_some((before, state));
            let told = step.transition.map(|transition| (transition.from, transition.to));
            assert_eq!(told, expected, "transition of row {row}");
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
            (0.0, ForceOpen("maintenance"), Open, false),
            (500.0, Attempt, Open, false),
            (500.0, Success, Open, false),
            (500.0, Auto, HalfOpen, true),
            (500.0, Attempt, HalfOpen, true),
            (500.1, Success, Closed, true),
        ]);
    }

    #[test]
    fn held_closed_it_lets_writes_through_whatever_happens() {
        play(&[
            (0.0, ForceClose("known noise"), Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, Auto, Closed, true),
            (0.0, BAD, Open, false),
        ]);
    }

    #[test]
    fn holding_closed_ends_an_open_state_at_once() {
        play(&[
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (1.0, ForceClose("repaired"), Closed, true),
            (1.0, Attempt, Closed, true),
        ]);
    }

    #[test]
    fn letting_go_of_what_nobody_holds_changes_nothing() {
        play(&[
            (0.0, Auto, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Closed, true),
            (0.0, BAD, Open, false),
            (1.0, Auto, Open, false),
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
        let held = play(&[(0.0, ForceOpen("maintenance"), Open, false)]);
        assert_eq!(held.statistics(at(1.0)).to_string(), "Circuit breaker OPEN - held: maintenance");
    }

    #[test]
    fn transitions_say_who_and_why() {
        let mut breaker = Breaker::default();
        let mut texts = Vec::new();
        for event in [BAD, BAD, BAD, ForceClose("repaired"), Auto] {
            texts.extend(breaker.step(at(0.0), event).transition.map(|transition| transition.to_string()));
        }
        assert_eq!(
            texts,
            [
                "CLOSED -> OPEN (automatic): 3 consecutive failures, the last: disk full",
                "OPEN -> CLOSED (manual): held: repaired",
            ]
        );
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
            blocked: 2,
            last_failure: Some("disk full".into()),
        };
        assert_eq!(breaker.statistics(at(10.0)), expected);
    }
}
