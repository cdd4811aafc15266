//! An in-process event bus. Each topic has any number of subscribers, which are added and removed while events flow.
//! A publisher works on a snapshot of the subscribers, so that a subscriber may publish, subscribe or unsubscribe
//! itself within its own call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::market::Event;

/// The kind of events that a subscriber receives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Topic {
    Tick,
    Bar,
    Signal,
    Synergy,
}

/// A function that receives events, and the bus to publish further ones.
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
    /// Adds a subscriber. Returns the number by which [`Bus::unsubscribe`] removes it.
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

    /// Removes a subscriber. Events that are being delivered may still reach it.
    pub(crate) fn unsubscribe(&self, id: u64) {
        for topic in &self.topics {
            let mut list = topic.write().unwrap_or_else(PoisonError::into_inner);
            if list.iter().any(|(known, _)| *known == id) {
                Arc::make_mut(&mut list).retain(|(known, _)| *known != id);
            }
        }
    }

    /// Delivers an event to all current subscribers of its topic.
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

    /// Returns the number of events delivered so far.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }
}
