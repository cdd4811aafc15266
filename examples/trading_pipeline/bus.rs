//! An in-process event bus: any number of subscribers for each topic, added and removed while events
//! flow. A publisher works on a snapshot of the list, so that a subscriber may publish, subscribe or
//! unsubscribe itself from within its own call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::market::Event;

/// What a subscriber listens to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Topic {
    Tick,
    Bar,
    Signal,
    Synergy,
}

/// Receives events; the bus is handed along for publishing in turn.
pub(crate) type Handler = dyn Fn(&Bus, &Event) + Send + Sync;
type Subscribers = Arc<Vec<(u64, Arc<Handler>)>>;

/// The bus.
#[derive(Default)]
pub(crate) struct Bus {
    topics: [RwLock<Subscribers>; 4],
    subscriptions: AtomicU64,
    published: AtomicU64,
}

impl Bus {
    /// Adds a subscriber; the number returned removes it.
    pub(crate) fn subscribe(
        &self,
        topic: Topic,
        handler: impl Fn(&Bus, &Event) + Send + Sync + 'static,
    ) -> u64 {
        let id = self.subscriptions.fetch_add(1, Ordering::Relaxed);
        let mut list = self.topics[topic as usize].write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut list).push((id, Arc::new(handler)));
        id
    }

    /// Removes a subscriber; events on their way may still reach it.
    pub(crate) fn unsubscribe(&self, id: u64) {
        for topic in &self.topics {
            let mut list = topic.write().unwrap_or_else(PoisonError::into_inner);
            if list.iter().any(|(known, _)| *known == id) {
                Arc::make_mut(&mut list).retain(|(known, _)| *known != id);
            }
        }
    }

    /// Hands an event to everyone who listens now.
    pub(crate) fn deliver(&self, event: &Event) {
        let topic = match event {
            Event::Tick(_) => Topic::Tick,
            Event::Bar(_) => Topic::Bar,
            Event::Signal(_) => Topic::Signal,
            Event::Synergy(_) => Topic::Synergy,
        };
        self.published.fetch_add(1, Ordering::Relaxed);
        let subscribers =
            Arc::clone(&self.topics[topic as usize].read().unwrap_or_else(PoisonError::into_inner));
        for (_, handler) in subscribers.iter() {
            handler(self, event);
        }
    }

    /// Events handed out so far.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }
}
