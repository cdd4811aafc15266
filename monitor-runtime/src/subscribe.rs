//! The in-process stream: calls as they are drained, handed to closures of the user's, each on a
//! thread of its own and behind a bounded queue, so that a slow one misses records and nothing waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::config::limits;
use crate::record::{Kept, Outcome};
use crate::thread_rings::lock;

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
}

impl Subscription {
    /// Records that were not delivered, because the closure was too slow.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
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
    records: Sender<Arc<[Record]>>,
    shared: Arc<Shared>,
}

/// All subscribers of a recorder.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<Vec<Subscriber>>);

impl Subscribers {
    /// Starts a thread for the closure; without one the subscription is to nothing.
    pub(crate) fn add(&self, deliver: impl FnMut(&[Record]) + Send + 'static) -> Subscription {
        let (sender, receiver) = crossbeam_channel::bounded(limits::SUBSCRIBER_BATCHES_MAX);
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        if crate::collector::spawn("monitored-sub", move || run(&receiver, &thread, deliver)).is_ok() {
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

    /// Hands records to everyone who has room.
    pub(crate) fn publish(&self, records: &Arc<[Record]>) {
        for subscriber in lock(&self.0).iter() {
            if let Err(TrySendError::Full(_)) = subscriber.records.try_send(Arc::clone(records)) {
                subscriber.shared.missed.fetch_add(records.len() as u64, Ordering::Relaxed);
            }
        }
    }
}

fn run(receiver: &Receiver<Arc<[Record]>>, shared: &Shared, mut deliver: impl FnMut(&[Record])) {
    while let Ok(records) = receiver.recv() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        deliver(&records);
    }
}
