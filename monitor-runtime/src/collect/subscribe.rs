//! The in-process stream: calls as they are drained, handed to closures of the user's, each on a
//! thread of its own and behind a bounded queue, so that a slow one misses records and nothing waits.
//! Each has a circuit breaker of its own: one that panics again and again is left alone for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::collect::breaker::{Breaker, Event, Statistics, Transition};
use crate::limits;
use crate::platform::clock::monotonic;
use crate::record::{Kept, Outcome};
use crate::sync::lock;

/// A call that ended, as subscribers see it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Name of the function.
    pub function: Arc<str>,
    /// Name of the thread it ended on.
    pub thread: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it is recorded.
    pub kept: Kept,
    /// Start, ns since the Unix epoch.
    pub start_ns: i64,
    /// From entry to exit, ns.
    pub duration_ns: u64,
    /// For an async call the time spent being polled, ns; the duration otherwise.
    pub busy_ns: u64,
    /// Its id.
    pub span_id: u64,
    /// The calling call, `None` for a root.
    pub parent_id: Option<u64>,
    /// The root call.
    pub trace_id: u64,
    /// 1 / probability of being recorded.
    pub weight: f64,
    /// JSON object of the arguments.
    pub args: Option<String>,
    /// JSON of the result.
    pub result: Option<String>,
    /// Text of the error or panic.
    pub error: Option<String>,
    /// JSON object of the extra fields.
    pub fields: Option<String>,
}

/// A subscription; ends when it is dropped.
#[derive(Debug)]
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    missed: AtomicU64,
    breaker: Mutex<Breaker>,
}

impl Subscription {
    /// Records that were not delivered, because the closure was too slow, panicked, or was left alone
    /// by its breaker.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// The circuit breaker around the closure, whose panics are its failures.
    #[must_use]
    pub fn breaker(&self) -> Statistics {
        lock(&self.shared.breaker).statistics(monotonic())
    }

    /// A subscription to a recorder that records nothing.
    pub(crate) fn to_nothing() -> Self {
        Self { shared: Arc::default() }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Subscriber {
    records: SyncSender<Arc<[Record]>>,
    shared: Arc<Shared>,
}

/// All subscribers of a recorder.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<Vec<Subscriber>>);

impl Subscribers {
    /// Starts a thread for the closure; without one the subscription is to nothing. `tell` hears of
    /// its breaker's transitions.
    pub(crate) fn add(
        &self,
        deliver: impl FnMut(&[Record]) + Send + 'static,
        tell: impl Fn(Transition) + Send + 'static,
    ) -> Subscription {
        let (sender, receiver) = sync_channel(limits::SUBSCRIBER_BATCHES_MAX);
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        if crate::platform::thread::spawn("monitored-sub", move || run(&receiver, &thread, deliver, tell))
            .is_ok()
        {
            lock(&self.0).push(Subscriber { records: sender, shared: Arc::clone(&shared) });
        }
        Subscription { shared }
    }

    /// Whether anyone listens; those who have ended are let go.
    pub(crate) fn any(&self) -> bool {
        let mut subscribers = lock(&self.0);
        subscribers.retain(|subscriber| !subscriber.shared.ended.load(Ordering::Relaxed));
        !subscribers.is_empty()
    }

    /// The breaker of each.
    pub(crate) fn breakers(&self, now: Duration) -> Vec<Statistics> {
        lock(&self.0).iter().map(|subscriber| lock(&subscriber.shared.breaker).statistics(now)).collect()
    }

    /// Hands records to everyone who has room.
    pub(crate) fn publish(&self, records: &Arc<[Record]>) {
        for subscriber in lock(&self.0).iter() {
            if let Err(TrySendError::Full(_)) = subscriber.records.try_send(Arc::clone(records)) {
                subscriber.shared.missed.fetch_add(records.len() as u64, Ordering::Relaxed);
            }
        }
    }
}

fn run(
    receiver: &Receiver<Arc<[Record]>>,
    shared: &Shared,
    mut deliver: impl FnMut(&[Record]),
    tell: impl Fn(Transition),
) {
    let step = |event: Event<'_>| {
        let step = lock(&shared.breaker).step(monotonic(), event);
        step.transition.into_iter().for_each(&tell);
        step.permitted
    };
    while let Ok(records) = receiver.recv() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        // What a panic leaves behind is the closure's own affair: it is the only one to use it.
        let delivered =
            step(Event::Attempt).then(|| catch_unwind(AssertUnwindSafe(|| deliver(&records))).is_ok());
        if delivered != Some(true) {
            shared.missed.fetch_add(records.len() as u64, Ordering::Relaxed);
        }
        match delivered {
            Some(true) => _ = step(Event::Success),
            Some(false) => _ = step(Event::Failure("the closure panicked")),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::breaker::State;
    use std::sync::mpsc;

    fn records(number: usize) -> Arc<[Record]> {
        let record = Record {
            function: "f".into(),
            thread: "t".into(),
            outcome: Outcome::Ok,
            kept: Kept::Sampled,
            start_ns: 1,
            duration_ns: 1,
            busy_ns: 1,
            span_id: 3,
            parent_id: None,
            trace_id: 3,
            weight: 1.0,
            args: None,
            result: None,
            error: None,
            fields: None,
        };
        vec![record; number].into()
    }

    #[test]
    fn a_subscriber_that_panics_is_left_alone_and_the_others_hear_on() {
        let subscribers = Subscribers::default();
        let (told, transitions) = mpsc::channel();
        let panics = subscribers.add(
            |_: &[Record]| std::panic::resume_unwind(Box::new("no")),
            move |transition| _ = told.send(transition),
        );
        let (heard, arrivals) = mpsc::channel();
        let sound = subscribers.add(move |records: &[Record]| _ = heard.send(records.len()), |_| {});
        for _ in 0..5 {
            subscribers.publish(&records(2));
        }
        assert_eq!(arrivals.iter().take(5).sum::<usize>(), 10);
        let transition = transitions.recv().unwrap();
        assert_eq!(
            transition.to_string(),
            "CLOSED -> OPEN (automatic): 3 consecutive failures, the last: the closure panicked"
        );
        while panics.missed() < 10 {
            std::thread::yield_now();
        }
        assert_eq!((panics.breaker().state, panics.breaker().failures), (State::Open, 3));
        assert_eq!((sound.breaker().state, sound.missed()), (State::Closed, 0));
        assert_eq!(subscribers.breakers(monotonic()).len(), 2);
    }
}
