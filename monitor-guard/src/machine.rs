//! The admission of calls, and the effect of their ends on the breaker: the gate, with the pure breaker behind it.
//!
//! Takes calls that begin and end, moments, and what people request; gives tickets or refusals, and transitions. A call
//! that finds the breaker closed reads one word. Everything else happens under a lock that is held for moments only, and
//! under which no code of the program runs. In the half-open state exactly one ticket is out at a time. The file does
//! not know what a failure is.

use std::time::Duration;

use super::breaker::{Breaker, Event, Rules, State, Statistics, Transition};
use super::gate::{Gate, GateState, Word};
use super::sync::{AtomicU64, Mutex, Ordering, lock};

/// The moment, in ns, of a try that lies beyond all moments that a number of ns can tell. It never comes.
const NEVER_NS: u64 = u64::MAX;

/// The machine of one guard.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) gate: Gate,
    /// The moment of the next try, in ns, while the breaker is open and nobody holds it.
    pub(crate) retry_at_ns: AtomicU64,
    /// The breaker, from the first call on that needs it.
    pub(crate) breaker: Mutex<Option<Breaker>>,
    pub(crate) rules: Rules,
}

/// The permission for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u64,
    /// True for the one call of the half-open state.
    pub(crate) is_try: bool,
}

/// The reason for which a call may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The breaker is open. The next try is allowed after this time.
    Open(Duration),
    /// The breaker is half open, and another call tries.
    Trying,
    /// A person holds the breaker open.
    Held,
}

/// The end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// The part has answered.
    Success,
    /// The part has failed, for this reason.
    Failure(&'a str),
    /// The part has failed for a reason that does not pass by itself.
    Fatal(&'a str),
    /// The call says nothing about the part.
    Nothing,
}

impl Machine {
    /// Returns a ticket if the breaker is closed, no call has failed since the last success, and the guard is in the
    /// list of guards.
    #[inline]
    pub(crate) fn admit_fast(&self) -> Option<Ticket> {
        let word = self.gate.load_relaxed();
        word.is_plain().then_some(Ticket { generation: word.generation(), is_try: false })
    }

    /// Returns a ticket or the reason why there is none, and the transition if admitting the call changed the state.
    #[cold]
    pub(crate) fn admit(&self, now: Duration) -> (Result<Ticket, Refusal>, Option<Transition>) {
        let mut transition = None;
        let answer = loop {
            let word = self.gate.read();
            match word.state() {
                GateState::Closed => break Ok(Ticket { generation: word.generation(), is_try: false }),
                GateState::Trying => break Err(Refusal::Trying),
                GateState::Open if word.is_held() => break Err(Refusal::Held),
                GateState::Open => {
                    let retry_at_ns = self.retry_at_ns.load(Ordering::Relaxed);
                    let retry_at = Duration::from_nanos(retry_at_ns);
                    if now < retry_at || retry_at_ns == NEVER_NS {
                        break Err(Refusal::Open(retry_at.saturating_sub(now)));
                    }
                    transition = self.half_open(word, now).or(transition);
                }
                GateState::Free => {
                    if let Some(word) = self.gate.claim(word) {
                        break Ok(Ticket { generation: word.generation(), is_try: true });
                    }
                }
            }
        };
        (answer, transition)
    }

    /// Leaves the open state, unless another thread has done so since `seen` was read.
    fn half_open(&self, seen: Word, now: Duration) -> Option<Transition> {
        let mut breaker = lock(&self.breaker);
        if self.gate.read() != seen {
            return None;
        }
        let breaker = breaker.get_or_insert_with(|| Breaker::new(self.rules));
        let step = breaker.step(now, Event::Attempt);
        self.publish(breaker, now);
        step.transition
    }

    /// Ends a call that succeeded. Returns false if the success has to be reported by [`Self::end`] instead.
    #[inline]
    pub(crate) fn succeed_fast(&self, ticket: Ticket) -> bool {
        !ticket.is_try && {
            let word = self.gate.load_relaxed();
            word.is_plain() || word.generation() != ticket.generation
        }
    }

    /// Ends a call. Returns the transition, if the end changed the state. A call of an earlier generation changes
    /// nothing, because the state has changed since the call was admitted.
    #[cold]
    pub(crate) fn end(&self, ticket: Ticket, now: Duration, end: End<'_>) -> Option<Transition> {
        let event = match end {
            End::Success => Event::Success,
            End::Failure(why) => Event::Failure(why),
            End::Fatal(why) => Event::Fatal(why),
            End::Nothing if ticket.is_try => Event::Busy,
            End::Nothing => return None,
        };
        let mut breaker = lock(&self.breaker);
        if self.gate.read().generation() != ticket.generation {
            return None;
        }
        let breaker = breaker.get_or_insert_with(|| Breaker::new(self.rules));
        let step = breaker.step(now, event);
        self.publish(breaker, now);
        step.transition
    }

    /// Holds or releases the breaker by hand. Returns the transition.
    pub(crate) fn hold(&self, now: Duration, event: Event<'_>) -> Option<Transition> {
        let mut breaker = lock(&self.breaker);
        let breaker = breaker.get_or_insert_with(|| Breaker::new(self.rules));
        let step = breaker.step(now, event);
        if step.transition.is_some() {
            self.publish(breaker, now);
        }
        step.transition
    }

    /// Returns the state and figures of the breaker.
    pub(crate) fn statistics(&self, now: Duration) -> Statistics {
        lock(&self.breaker).as_ref().map_or_else(
            || Statistics { lasted: now, ..Statistics::default() },
            |breaker| breaker.statistics(now),
        )
    }

    /// Puts the state of the breaker into the gate. It is called under the lock.
    fn publish(&self, breaker: &Breaker, now: Duration) {
        let state = breaker.state();
        if let Some(left) = breaker.retry_in(now) {
            let at = now.saturating_add(left).as_nanos();
            self.retry_at_ns.store(u64::try_from(at).unwrap_or(NEVER_NS), Ordering::Relaxed);
        }
        let gate_state = match state {
            State::Closed => GateState::Closed,
            State::Open => GateState::Open,
            State::HalfOpen => GateState::Free,
        };
        let is_marked = state == State::Closed && breaker.consecutive_failures() > 0;
        self.gate.publish(self.gate.read().next(gate_state, breaker.is_held(), is_marked));
    }
}
