//! The circuit breaker around the store: each write asks it for permission and reports its result, and people may hold
//! it.
//!
//! Takes attempts, results, and what people request in the program or in the table `breaker`; gives permission. Each
//! transition is an event, and some are a line on stderr. The rules are those of `breaker`.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Event, State, Statistics, Transition};
use super::control::Sink;
use super::current_store::CurrentStore;
use super::events::Events;
use super::shared::Shared;
use crate::limits;
use crate::platform::clock::Clock;
use crate::store::{Hold, SetHold, Store};
use crate::sync::lock;

/// The circuit breaker around the store.
#[derive(Debug)]
pub(super) struct StoreBreaker {
    shared: Arc<Shared>,
    /// The hold that the table `breaker` named when it was last read.
    held: Option<SetHold>,
}

impl StoreBreaker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, held: None }
    }

    /// Hands an event to the breaker, and reports a transition. Returns true if a write may be made now.
    pub(super) fn step(&self, now: Duration, event: Event<'_>, clock: &Clock, events: &mut Events) -> bool {
        let (step, state) = {
            let mut breaker = lock(&self.shared.breaker);
            let step = breaker.step(now, event);
            (step, breaker.statistics(now))
        };
        if let Some(transition) = step.transition {
            self.report(&transition, &state, clock, events);
        }
        step.permitted
    }

    /// Reports the transitions that came about on other threads. Returns true if one of them was the store's.
    pub(super) fn report_others(&self, now: Duration, clock: &Clock, events: &mut Events) -> bool {
        let mut is_stores = false;
        for (sink, transition) in self.shared.control.take_transitions() {
            let at_ns = clock.unix_ns_at(transition.at);
            match sink {
                Sink::Subscriber => {
                    events.add(at_ns, "breaker", format!("subscriber: {transition}"));
                }
                Sink::Guard(name) => events.add(at_ns, "guard", format!("{name}: {transition}")),
                Sink::Store => {
                    is_stores = true;
                    let state = lock(&self.shared.breaker).statistics(now);
                    self.report(&transition, &state, clock, events);
                }
            }
        }
        is_stores
    }

    /// Holds or releases the breaker as the table `breaker` says. Returns true if its hold has changed.
    pub(super) fn apply_hold(
        &mut self,
        now: Duration,
        store: &mut CurrentStore,
        clock: &Clock,
        events: &mut Events,
    ) -> bool {
        let Some(Ok(requested)) = store.get().map(Store::hold) else { return false };
        if requested == self.held {
            return false;
        }
        let (hold, why, by) = match &requested {
            Some(set) => (set.hold, bounded(&set.reason), bounded(&set.set_by)),
            None => (Hold::Auto, "", "monitor"),
        };
        let event = match hold {
            Hold::Open => Event::ForceOpen { why, by },
            Hold::Closed => Event::ForceClose { why, by },
            Hold::Auto => Event::Auto { why, by },
        };
        self.step(now, event, clock, events);
        self.held = requested;
        true
    }

    /// Adds an event of a transition, and prints one line if writing stops or begins again with it.
    fn report(&self, transition: &Transition, state: &Statistics, clock: &Clock, events: &mut Events) {
        events.add(clock.unix_ns_at(transition.at), "breaker", transition.to_string());
        match (transition.from, transition.to) {
            (State::Closed, State::Open) if state.held.is_some() => {
                self.shared.notice(&format!("the store is not written ({})", transition.why));
            }
            (State::Closed, State::Open) => {
                self.shared.notice(&format!("the store cannot be written ({}); {state}", transition.why));
            }
            (State::Open | State::HalfOpen, State::Closed) => {
                self.shared.notice("the store is written again");
            }
            _ => {}
        }
    }
}

/// Returns a text from outside, cut to at most `REASON_BYTES_MAX` bytes between two characters.
pub(super) fn bounded(text: &str) -> &str {
    let end = (0..=limits::REASON_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).filter(|_| text.len() > limits::REASON_BYTES_MAX).unwrap_or(text)
}
