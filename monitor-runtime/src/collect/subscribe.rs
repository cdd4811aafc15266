//! The in-process streams: drained calls, and alerts, are handed to closures of the program.
//!
//! Takes items of one kind; gives them to each closure on a thread of its own, through a bounded channel, so that a
//! slow closure misses items and nothing waits for it. Each has a circuit breaker of its own: a closure that panics
//! again and again is left alone for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::breaker::{Breaker, Event, Statistics, Transition};
use crate::accountant::{Accountant, Holding, Part};
use crate::alert::Alert;
use crate::growth::MakeRoom as _;
use crate::limits;
use crate::platform::clock::monotonic;
use crate::record::{Kept, Outcome};
use crate::sync::lock;

/// A call that ended, as subscribers receive it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The name of the function.
    pub function: Arc<str>,
    /// The name of the thread that the call ended on.
    pub thread: Arc<str>,
    /// The outcome of the call.
    pub outcome: Outcome,
    /// The reason for which the call is recorded.
    pub kept: Kept,
    /// The start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// The time from entry to exit, in nanoseconds.
    pub duration_ns: u64,
    /// The time that an async call spent being polled, in nanoseconds; the duration of any other call.
    pub busy_ns: u64,
    /// The id of the call.
    pub span_id: u64,
    /// The id of the calling call, or `None` for a root.
    pub parent_id: Option<u64>,
    /// The id of the root call.
    pub trace_id: u64,
    /// The number of calls that this one stands for: 1 / the probability of being recorded.
    pub weight: f64,
    /// The arguments, as a JSON object.
    pub args: Option<String>,
    /// The result, as JSON.
    pub result: Option<String>,
    /// The text of the error or panic.
    pub error: Option<String>,
    /// The extra fields, as a JSON object.
    pub fields: Option<String>,
}

/// An item of a stream.
pub(crate) trait Item: Send + Sync + 'static {
    /// Returns the bytes that the item takes.
    fn bytes(&self) -> usize;
}

impl Item for Record {
    fn bytes(&self) -> usize {
        let Self { args, result, error, fields, .. } = self;
        let texts = [args, result, error, fields].into_iter().flatten().map(String::capacity);
        size_of::<Self>() + texts.sum::<usize>()
    }
}

impl Item for Alert {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.rule.capacity() + self.sentence.capacity()
    }
}

/// A subscription. It ends when it is dropped.
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
    /// Returns the number of records, or alerts, that were not delivered, because the closure was too slow, panicked,
    /// or was left alone by its breaker.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// Returns the state and figures of the circuit breaker around the closure. Panics of the closure are its failures.
    #[must_use]
    pub fn breaker(&self) -> Statistics {
        lock(&self.shared.breaker).statistics(monotonic())
    }

    /// Returns a subscription to a recorder that records nothing.
    pub(crate) fn disconnected() -> Self {
        Self { shared: Arc::default() }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Subscriber<T> {
    items: Sender<Arc<Delivery<T>>>,
    shared: Arc<Shared>,
}

impl<T> Subscriber<T> {
    /// Counts items that do not reach the subscriber.
    fn miss(&self, items: u64) {
        self.shared.missed.fetch_add(items, Ordering::Relaxed);
    }
}

/// Items on their way to subscribers, and the memory that is held for them until the last subscriber has them.
#[derive(Debug)]
struct Delivery<T> {
    items: Vec<T>,
    _held: Holding,
}

/// All subscribers of a recorder to one kind of items.
#[derive(Debug)]
pub(crate) struct Subscribers<T> {
    all: Mutex<Vec<Subscriber<T>>>,
    accountant: &'static Accountant,
}

impl<T: Item> Subscribers<T> {
    pub(crate) fn new(accountant: &'static Accountant) -> Self {
        Self { all: Mutex::default(), accountant }
    }

    /// Starts a thread for the closure. If no thread can be started, the subscription receives nothing. `note` is
    /// handed the transitions of the breaker.
    pub(crate) fn add(
        &self,
        deliver: impl FnMut(&[T]) + Send + 'static,
        note: impl Fn(Transition) + Send + 'static,
    ) -> Subscription {
        let (sender, receiver) = bounded(limits::SUBSCRIBER_BATCHES_MAX);
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        let body = move || {
            // Monitored calls on threads of the recorder are not recorded. Otherwise the closure would receive records
            // of its own calls, without end.
            run(&receiver, &thread, deliver, note);
        };
        if crate::platform::thread::spawn("monitored-sub", body).is_ok() {
            lock(&self.all).push(Subscriber { items: sender, shared: Arc::clone(&shared) });
        }
        Subscription { shared }
    }

    /// Returns true if there is a subscriber. Subscribers that have ended are removed.
    pub(crate) fn are_present(&self) -> bool {
        let mut subscribers = lock(&self.all);
        subscribers.retain(|subscriber| !subscriber.shared.ended.load(Ordering::Relaxed));
        !subscribers.is_empty()
    }

    /// Returns the state and figures of each subscriber's breaker.
    pub(crate) fn breakers(&self, now: Duration) -> Vec<Statistics> {
        lock(&self.all).iter().map(|subscriber| lock(&subscriber.shared.breaker).statistics(now)).collect()
    }

    /// Hands items to every subscriber that has room for them. If items that wait for slow subscribers have used up the
    /// memory, all subscribers miss the new ones.
    pub(crate) fn publish(&self, items: Vec<T>) {
        let number = items.len() as u64;
        let bytes = items.iter().map(T::bytes).sum();
        let Some(held) = self.accountant.hold(Part::Subscribers, bytes) else { return self.miss(number) };
        let delivery = Arc::new(Delivery { items, _held: held });
        for subscriber in lock(&self.all).iter() {
            if let Err(TrySendError::Full(_)) = subscriber.items.try_send(Arc::clone(&delivery)) {
                subscriber.miss(number);
            }
        }
    }

    /// Counts items that every subscriber misses.
    fn miss(&self, items: u64) {
        lock(&self.all).iter().for_each(|subscriber| subscriber.miss(items));
    }
}

impl Subscribers<Record> {
    /// Returns a stream that gathers records for the subscribers; `None` if there is no subscriber.
    pub(crate) fn stream(&self) -> Option<Stream<'_>> {
        self.are_present().then(|| Stream { subscribers: self, records: Vec::new(), bytes: 0 })
    }
}

/// Records that are being gathered for the subscribers. Its drop hands over those that are left.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    subscribers: &'a Subscribers<Record>,
    records: Vec<Record>,
    bytes: usize,
}

impl Stream<'_> {
    /// Adds a record. Hands over all records once they are worth a delivery.
    pub(crate) fn push(&mut self, record: Record) {
        if !self.records.make_room(1) {
            return self.subscribers.miss(1);
        }
        self.bytes += record.bytes();
        self.records.push(record);
        if self.bytes >= limits::DELIVERY_BYTES {
            self.bytes = 0;
            self.subscribers.publish(std::mem::take(&mut self.records));
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            self.subscribers.publish(std::mem::take(&mut self.records));
        }
    }
}

/// Delivers items until the subscription ends.
fn run<T>(
    receiver: &Receiver<Arc<Delivery<T>>>,
    shared: &Shared,
    mut deliver: impl FnMut(&[T]),
    note: impl Fn(Transition),
) {
    let step = |event: Event<'_>| {
        let step = lock(&shared.breaker).step(monotonic(), event);
        step.transition.into_iter().for_each(&note);
        step.permitted
    };
    while let Ok(delivery) = receiver.recv() {
        let items = &delivery.items;
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        // No one but the closure uses the state that its panic may leave behind.
        let delivered =
            step(Event::Attempt).then(|| catch_unwind(AssertUnwindSafe(|| deliver(items))).is_ok());
        if delivered != Some(true) {
            shared.missed.fetch_add(items.len() as u64, Ordering::Relaxed);
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
    use crate::alert::{AlertLevel, AlertState};
    use crate::collect::breaker::State;
    use std::sync::mpsc;

    fn records(number: usize) -> Vec<Record> {
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
        vec![record; number]
    }

    #[test]
    fn a_subscriber_that_panics_is_left_alone_and_the_others_hear_on() {
        let subscribers = Subscribers::new(Accountant::boundless());
        let (told, transitions) = mpsc::channel();
        let panics = subscribers.add(
            |_: &[Record]| std::panic::resume_unwind(Box::new("no")),
            move |transition| _ = told.send(transition),
        );
        let (heard, arrivals) = mpsc::channel();
        let sound = subscribers.add(move |records: &[Record]| _ = heard.send(records.len()), |_| {});
        for _ in 0..5 {
            subscribers.publish(records(2));
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

    #[test]
    fn a_closure_that_blocks_misses_alerts_and_nothing_waits_for_it() {
        let subscribers = Subscribers::new(Accountant::boundless());
        let (held, gate) = mpsc::channel::<()>();
        let blocked = subscribers.add(move |_: &[Alert]| _ = gate.recv(), |_| {});
        let (heard, arrivals) = mpsc::channel();
        let sound = subscribers.add(move |alerts: &[Alert]| _ = heard.send(alerts.len()), |_| {});
        let alert = Alert {
            rule: "r".to_owned(),
            function: None,
            level: AlertLevel::Info,
            state: AlertState::Firing,
            since_ns: 1,
            until_ns: None,
            value: 1.0,
            peak: 1.0,
            sentence: String::new(),
        };
        let all = 3 * limits::SUBSCRIBER_BATCHES_MAX;
        for sent in 1..=all {
            subscribers.publish(vec![alert.clone()]);
            // The sound closure is not hurried, so that only the blocked one can miss something.
            assert_eq!(arrivals.recv().unwrap(), 1, "{sent}");
        }
        assert!(blocked.missed() >= limits::SUBSCRIBER_BATCHES_MAX as u64, "{}", blocked.missed());
        assert_eq!(sound.missed(), 0);
        drop(held);
    }
}
