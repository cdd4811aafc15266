//! Maintenance: rates and holds set from outside, the settings file, and retention, each at an interval of its own.
//!
//! Takes the tables `sampling`, `alert_rule`, `breaker` and `guard_hold`, and the settings file; changes the parts of
//! the collector while they run. It does not know records.

use std::sync::Arc;
use std::time::Duration;

use super::alerts::AlertWatch;
use super::current_store::CurrentStore;
use super::events::Events;
use super::functions::Functions;
use super::guards::Guards;
use super::ladder::Ladder;
use super::shared::Shared;
use super::trees::Trees;
use super::writer::Writer;
use crate::config::{Change, Changed, FileChange, Settings, Watch};
use crate::limits;
use crate::platform::clock::Clock;
use crate::store::{Store, StoreError};
use crate::sync::lock;

/// The maintenance of a recorder.
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    /// The settings file, if there is one.
    watch: Option<Watch>,
    /// Puts the recorder's panic hook back if the program has set one of its own since.
    renew_panic_hook: fn(),
    next_rates: Duration,
    next_config: Duration,
    next_retention: Duration,
    next_copy: Duration,
    /// The moment of the next step if it has to come sooner than usual, because retention is unfinished, or a changed
    /// settings file has to settle.
    next_look: Option<Duration>,
}

/// The parts of the collector that maintenance changes, lent to it for a step.
pub(super) struct Maintained<'a> {
    pub(super) clock: &'a Clock,
    pub(super) drain_interval: &'a mut Duration,
    pub(super) functions: &'a Functions,
    pub(super) ladder: &'a mut Ladder,
    pub(super) trees: &'a mut Trees,
    pub(super) writer: &'a mut Writer,
    pub(super) store: &'a mut CurrentStore,
    pub(super) alerts: &'a mut AlertWatch,
    pub(super) guards: &'a mut Guards,
    pub(super) events: &'a mut Events,
}

impl Maintained<'_> {
    fn event(&mut self, kind: &'static str, detail: impl Into<String>) {
        self.events.add(self.clock.now_ns(), kind, detail);
    }

    /// Holds and releases the program's guards, if a guard has been called.
    fn apply_guard_holds(&mut self) {
        if self.guards.has_any()
            && let Some(Ok(holds)) = self.store.get().map(Store::guard_holds)
        {
            self.guards.apply_holds(holds);
        }
        if let Some(why) = self.guards.take_panic() {
            self.event("recorder", format!("the guards panicked and are not asked any more: {why}"));
        }
    }

    fn prepare_for_disk(&mut self) {
        self.ladder.prepare_for_disk(self.functions);
    }
}

impl Maintenance {
    pub(super) fn new(shared: Arc<Shared>, watch: Option<Watch>, renew_panic_hook: fn()) -> Self {
        Self {
            shared,
            watch,
            renew_panic_hook,
            next_rates: limits::SETTLED_AGE,
            next_config: limits::SETTLED_AGE,
            next_retention: limits::SETTLED_AGE,
            next_copy: limits::SETTLED_AGE,
            next_look: None,
        }
    }

    /// Does the maintenance that is due.
    pub(super) fn step(&mut self, now: Duration, mut parts: Maintained<'_>) {
        self.next_look = None;
        let is_requested = parts.store.is_open() && self.shared.rates.has_requests();
        if now >= self.next_rates || is_requested {
            self.next_rates = now + limits::RATES_INTERVAL;
            parts.prepare_for_disk();
            (self.renew_panic_hook)();
            self.exchange_rates(&mut parts);
            let Maintained { clock, writer, store, events, .. } = &mut parts;
            writer.apply_hold(now, store, clock, events);
            parts.apply_guard_holds();
        }
        if now >= self.next_config {
            self.next_config = now + limits::CONFIG_INTERVAL;
            parts.prepare_for_disk();
            self.poll_settings(&mut parts);
            if self.watch.as_ref().is_some_and(Watch::is_settling) {
                self.next_look = Some(self.next_config);
            }
        }
        if now >= self.next_retention && parts.store.is_open() {
            self.retain(now, &mut parts);
        }
    }

    /// Copies the write-ahead log into the database, if the last copy was long enough ago. It is called while the
    /// program makes no calls.
    pub(super) fn copy_log(&mut self, now: Duration, store: &mut CurrentStore, clock: &Clock) {
        if now >= self.next_copy
            && let Some(store) = store.get()
        {
            self.next_copy = now + limits::COPY_INTERVAL;
            // Pages that could not be copied stay in the log, and the next write reports the error.
            let _ = store.checkpoint_wal(clock.now_ns());
        }
    }

    /// Returns the moment at which maintenance has to go on, if that is sooner than usual.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.next_look
    }

    /// Writes the rates set in code to the store, and takes over those set from outside.
    fn exchange_rates(&self, parts: &mut Maintained<'_>) {
        let Some(store) = parts.store.get() else { return };
        let now_ns = parts.clock.now_ns();
        let mut changes = Vec::new();
        for requested in self.shared.rates.to_store() {
            if store.set_rate(&requested.pattern, requested.rate, &requested.set_by, now_ns).is_err() {
                break;
            }
            changes.push(requested.to_string());
            self.shared.rates.note_stored(&requested);
        }
        if let Ok(Some(rates)) = store.rates() {
            changes.extend(self.shared.take_over_rates(&rates));
        }
        if let Ok(Some(rules)) = store.alert_rules() {
            parts.alerts.set_rules(rules);
        }
        for change in changes {
            parts.event("rate", change);
        }
    }

    /// Applies the changes of the settings file that can take effect while recording, and reports the others.
    fn poll_settings(&mut self, parts: &mut Maintained<'_>) {
        let Some(watch) = &mut self.watch else { return };
        let Some(found) = watch.poll() else { return };
        let by = format!("settings file {}", watch.path().display());
        match found {
            FileChange::Bad(warning) => {
                let text = format!("{warning}; the settings stay as they were");
                self.notice(text.replacen("monitored: ", "", 1), parts);
            }
            FileChange::Settings(changed) => self.apply_settings(&changed, &by, parts),
        }
    }

    /// Applies each setting that has changed in the way that its row in the table of settings names.
    fn apply_settings(&mut self, changed: &Changed, by: &str, parts: &mut Maintained<'_>) {
        let after = &changed.after;
        for (change, words) in changed.ways() {
            match change {
                Change::Rates => self.shared.set_base_rates(after.sample.clone()),
                Change::Load => parts.ladder.set_bounds(after.max_rate, after.max_overhead),
                Change::Folds => parts.trees.set_fold_after(after.fold_after),
                Change::Batches => {
                    *parts.drain_interval = after.drain_interval;
                    parts.writer.set_batches(after.batch_rows, after.drain_interval);
                }
                Change::Store => self.set_store_bounds(after, parts.store),
                Change::NextStart => {
                    let text =
                        format!("{words} changed by {by}: holds from the next start of the program on");
                    self.notice(text, parts);
                    continue;
                }
            }
            let is_sampling = matches!(change, Change::Rates | Change::Load | Change::Folds);
            parts.event(if is_sampling { "rate" } else { "config" }, format!("{words} by {by}"));
        }
    }

    /// Sets the bounds of the store that is open, and of those that are opened later.
    fn set_store_bounds(&mut self, settings: &Settings, store: &mut CurrentStore) {
        let (retention, max_disk_bytes) = (settings.retention, settings.max_disk_bytes);
        *lock(&self.shared.store_bounds) = Some((retention, max_disk_bytes));
        let bounded = store.get().map(|store| store.set_bounds(retention, max_disk_bytes));
        if bounded.is_some_and(|bounded| bounded.is_err()) {
            // The store gets the new bounds when it is opened again.
            store.drop_open();
        }
        self.next_retention = Duration::ZERO;
    }

    /// Prints a line, and adds an event with the same text.
    fn notice(&self, text: String, parts: &mut Maintained<'_>) {
        self.shared.notice(&text);
        parts.event("config", text);
    }

    fn retain(&mut self, now: Duration, parts: &mut Maintained<'_>) {
        parts.prepare_for_disk();
        let now_ns = parts.clock.now_ns();
        let Some(store) = parts.store.get() else { return };
        self.next_retention = match store.retain(now_ns) {
            Ok(step) if step.more => now,
            Err(StoreError::Busy(_)) => now + limits::RETRY_BUSY_MAX,
            _ => now + limits::RETAIN_INTERVAL,
        };
        if self.next_retention < now + limits::RETAIN_INTERVAL {
            let at = self.next_retention.max(now + *parts.drain_interval);
            self.next_look = Some(self.next_look.map_or(at, |look| look.min(at)));
        }
    }
}
