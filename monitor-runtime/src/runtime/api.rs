//! The public functions: what a program may do with its recorder.
//!
//! Takes calls of the program; hands them to the recorder of this process. Without a recorder, a function that only asks
//! does not start one.

use std::sync::Arc;
use std::time::Duration;

use super::{find_or_start, find_running, start_with};
use crate::alert::Alert;
use crate::collect::breaker::{self, Event, Statistics};
use crate::collect::control::{FlushError, Sink};
use crate::collect::health::{Health, Level};
use crate::collect::live_rates::{self, RateError};
use crate::collect::subscribe::{Record, Subscription};
use crate::config::{Config, InitError};
use crate::platform::clock::monotonic;
use crate::platform::reentrancy::run_guarded;
use crate::site::{self, CallSite};
use crate::sync::lock;

/// Starts the recorder with settings from code, which win over the environment and the settings file. This is optional:
/// without it the first monitored call starts the recorder with the settings of environment and file.
///
/// # Errors
/// [`InitError::Started`] once recording has started; [`InitError::Invalid`] for a value that is not
/// allowed, in which case nothing is started.
#[expect(clippy::needless_pass_by_value, reason = "a configuration is made to be handed over")]
pub fn init(config: Config) -> Result<(), InitError> {
    config.check()?;
    let is_first = run_guarded(|| start_with(&config)).unwrap_or(false);
    if is_first { Ok(()) } else { Err(InitError::Started) }
}

/// Waits until everything that any thread has recorded so far is committed to the store.
///
/// # Errors
/// [`FlushError`] when that did not happen in time. Recording goes on, and nothing is lost by it.
pub fn flush(timeout: Duration) -> Result<(), FlushError> {
    find_running().map_or(Ok(()), |recorder| {
        recorder.shared.control.flush(&recorder.rings, timeout, &recorder.shared.breaker)
    })
}

/// Writes everything recorded so far and ends recording for good: from here on monitored functions run as if they were
/// not monitored.
///
/// # Errors
/// [`FlushError`] when not everything could be written in time. Recording has ended all the same.
pub fn shutdown(timeout: Duration) -> Result<(), FlushError> {
    let Some(recorder) = run_guarded(find_or_start).flatten() else { return Ok(()) };
    recorder.shared.control.begin_stop();
    recorder.rings.home.log.close();
    site::registered().for_each(CallSite::switch_off);
    recorder.shared.control.stop(&recorder.rings, timeout, true)
}

/// Returns the recorder's report on its own state at its last step.
#[must_use]
pub fn health() -> Health {
    find_running().map_or_else(
        || Health { level: Level::Off, ..Health::default() },
        |recorder| lock(&recorder.shared.health).clone(),
    )
}

/// Hands every call that ends from now on to `deliver`, in batches, on a thread of its own. A closure that is too slow
/// for the stream misses records ([`Subscription::missed`]); the program never waits for it. A closure that panics three
/// times in a row is left alone for half a minute, by a circuit breaker of its own ([`Subscription::breaker`]); the store
/// and other subscribers do not notice.
pub fn subscribe(deliver: impl FnMut(&[Record]) + Send + 'static) -> Subscription {
    let subscribe = || {
        let recorder = find_or_start()?;
        let shared = Arc::clone(&recorder.shared);
        let note = move |transition| shared.control.note_transition(Sink::Subscriber, transition);
        Some(recorder.shared.subscribers.add(deliver, note))
    };
    run_guarded(subscribe).flatten().unwrap_or_else(Subscription::disconnected)
}

/// Hands every alert of this process that begins, changes or ends from now on to `deliver`, on a thread of its own. The
/// rules are those of the store (`monitor alert list`), and they are evaluated on each window of 10 s once it is over;
/// alerts are handed over whether the store takes them or not. A closure that blocks misses alerts
/// ([`Subscription::missed`]); neither the program nor the recorder waits for it. A closure that panics three times in
/// a row is left alone for half a minute, by a circuit breaker of its own. The end of the process ends its alerts
/// without a call of the closure; `monitor watch` reports it from outside.
pub fn alerts(deliver: impl FnMut(&Alert) + Send + 'static) -> Subscription {
    let mut deliver = deliver;
    let subscribe = || {
        let recorder = find_or_start()?;
        let shared = Arc::clone(&recorder.shared);
        let note = move |transition| shared.control.note_transition(Sink::Subscriber, transition);
        let deliver = move |alerts: &[Alert]| alerts.iter().for_each(&mut deliver);
        Some(recorder.shared.alert_subscribers.add(deliver, note))
    };
    run_guarded(subscribe).flatten().unwrap_or_else(Subscription::disconnected)
}

/// Sets the sampling rate of all functions that the pattern matches, as a row in table `sampling` would: at once in this
/// process, within two seconds in others on the same store (within five in one that is idle), until it is reset.
///
/// # Errors
/// [`RateError`] for a pattern or rate that is not allowed; nothing changes then.
pub fn set_sample_rate(pattern: &str, rate: f64) -> Result<(), RateError> {
    live_rates::check(pattern, rate)?;
    run_guarded(|| {
        find_or_start().inspect(|recorder| {
            recorder.shared.request_rate(pattern, Some(rate));
            recorder.rings.home.wake();
        })
    });
    Ok(())
}

/// Resets the rate that was set for this pattern, in code or from outside.
///
/// # Errors
/// [`RateError`] for a pattern that is not allowed.
pub fn reset_sample_rate(pattern: &str) -> Result<(), RateError> {
    live_rates::check(pattern, 0.0)?;
    run_guarded(|| {
        find_or_start().inspect(|recorder| {
            recorder.shared.request_rate(pattern, None);
            recorder.rings.home.wake();
        })
    });
    Ok(())
}

/// The name under which the program itself holds the breaker.
const BY_PROGRAM: &str = "program";

/// A handle to the circuit breaker around the store's writes.
#[derive(Debug, Clone, Copy)]
pub struct BreakerHandle(());

/// Returns a handle to the circuit breaker around the store's writes, to look at it, and to hold it open or closed by
/// hand.
#[must_use]
pub fn breaker() -> BreakerHandle {
    BreakerHandle(())
}

impl BreakerHandle {
    /// Returns the state of the breaker.
    #[must_use]
    pub fn state(&self) -> breaker::State {
        self.statistics().state
    }

    /// Returns the state and the figures of the breaker. Their `Display` is one line.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        find_running().map_or_else(Statistics::default, |recorder| {
            lock(&recorder.shared.breaker).statistics(monotonic())
        })
    }

    /// Holds the breaker open: nothing is written, and records wait in memory.
    pub fn force_open(&self, reason: &str) {
        Self::step(Event::ForceOpen { why: reason, by: BY_PROGRAM });
    }

    /// Holds the breaker closed: every write is tried, whatever the result of the last one.
    pub fn force_close(&self, reason: &str) {
        Self::step(Event::ForceClose { why: reason, by: BY_PROGRAM });
    }

    /// Releases the breaker: success, failure and time decide again.
    pub fn auto(&self) {
        Self::step(Event::Auto { why: "", by: BY_PROGRAM });
    }

    fn step(event: Event<'_>) {
        if let Some(recorder) = find_running() {
            let step = lock(&recorder.shared.breaker).step(monotonic(), event);
            if let Some(transition) = step.transition {
                recorder.shared.control.note_transition(Sink::Store, transition);
                recorder.rings.home.wake();
            }
        }
    }
}
