//! What the collector says of itself and the process, and what it does now and then: rates set from
//! outside, retention, the slow limits of functions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Collector, Pace};
use crate::batch::{HealthRow, ResourcesRow};
use crate::collect::breaker::State;
use crate::config::Found;
use crate::limits;
use crate::platform::process;
use crate::sampling::ladder::Bounds;
use crate::store::StoreError;
use crate::sync::lock;

impl Collector {
    /// Makes the rows of the process's report that are due.
    pub(super) fn report(&mut self, now: Duration, pace: Pace) {
        self.calibrate();
        if now >= self.next.resources {
            self.next.resources = now + limits::RESOURCES_INTERVAL;
            self.health.own_cpu_pct = self.own_cpu.look(now, process::thread_cpu());
            let (rss_bytes, threads, open_files) = process::footprint();
            let cpu_pct = self.process_cpu.look(now, process::process_cpu());
            self.due_resources =
                Some(ResourcesRow { at_ns: self.now_ns(), cpu_pct, rss_bytes, threads, open_files });
        }
        if now >= self.next.report || pace == Pace::Flush {
            self.next.report = now + limits::REPORT_INTERVAL;
            self.health.own_cpu_pct = self.own_cpu.so_far(now, process::thread_cpu());
            let row = self.health_row(now);
            if !self.reported.as_ref().is_some_and(|last| says_nothing_new(&row, last)) {
                self.due_report = Some(row);
            }
        }
    }

    fn health_row(&self, now: Duration) -> HealthRow {
        let breaker = lock(&self.shared.breaker).statistics(now);
        let health = &self.health;
        HealthRow {
            at_ns: self.now_ns(),
            level: health.level.as_str().to_owned(),
            recorded: health.recorded,
            dropped_ring_full: health.dropped.ring_full,
            dropped_backlog: health.dropped.backlog,
            dropped_no_ring: health.dropped.no_ring,
            dropped_store: health.dropped.store,
            folded_errors: health.folded_errors,
            breaker: breaker.state.as_str().to_owned(),
            writer_errors: health.writer_errors,
            rows_written: health.rows_written,
            bytes_written: health.bytes_written,
            db_bytes: health.db_bytes,
            wal_bytes: health.wal_bytes,
            own_cpu_pct: health.own_cpu_pct,
            overhead_ns_per_call: health.overhead_ns_per_call,
            breaker_since_ns: self.breaker_since_ns,
            breaker_openings: breaker.openings,
            breaker_next_try_ns: breaker.retry_in.map(|left| self.now_ns() + left.as_nanos() as i64),
            writes_ok_pct: breaker.success_share().map(|share| share * 100.0),
            writes_blocked_pct: breaker.blocked_share().map(|share| share * 100.0),
            write_retries: breaker.retries,
            write_retries_per_min: breaker.retries_last_minute,
            duplicates_avoided: health.duplicates_avoided,
            breaker_held: breaker.held,
            last_failure: breaker.last_failure,
            cost_pct: health.cost_pct,
            budget_pct: health.budget_pct,
        }
    }

    /// Now and then: rates, retention, slow limits.
    pub(super) fn tidy(&mut self, now: Duration) {
        if now >= self.next.rates {
            self.next.rates = now + limits::RATES_INTERVAL;
            self.go_away();
            crate::call::panic_hook::renew_hook();
            self.exchange_rates();
            self.hold_breaker(now);
        }
        if now >= self.next.config {
            self.next.config = now + limits::CONFIG_INTERVAL;
            self.go_away();
            self.look_at_config();
        }
        if now >= self.next.retain {
            self.retain(now);
        }
    }

    fn retain(&mut self, now: Duration) {
        if self.store.is_none() {
            return;
        }
        self.go_away();
        let Some(store) = &mut self.store else { return };
        self.next.retain = match store.retain(self.clock.now_ns()) {
            Ok(step) if step.more => now,
            Err(StoreError::Busy(_)) => now + limits::RETRY_BUSY_MAX,
            _ => now + limits::RETAIN_INTERVAL,
        };
    }

    /// Takes over what has changed in the settings file, as far as that is possible while recording.
    fn look_at_config(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let Some(found) = watch.look() else { return };
        let by = format!("settings file {}", watch.path().display());
        let changed = match found {
            Found::Bad(warning) => {
                let told = format!("{warning}; the settings stay as they were");
                self.shared.notice(&told.replacen("monitored: ", "", 1));
                return self.event("config", told.replacen("monitored: ", "", 1));
            }
            Found::Settings(changed) => changed,
        };
        let (before, after) = (&changed.before, &changed.after);
        if before.sample != after.sample {
            self.shared.set_base_rates(after.sample.clone());
            self.event("rate", format!("sample = {} by {by}", after.sample));
        }
        let bounds = Bounds::new(after.max_rate, after.max_overhead);
        if bounds != self.ladder.bounds {
            self.ladder.bounds = bounds;
            self.rings.brakes.store(after.max_rate > 0, Ordering::Relaxed);
            let overhead = after.max_overhead * 100.0;
            self.event("rate", format!("max_rate = {}, max_overhead = {overhead}% by {by}", after.max_rate));
        }
        if let Some(what) = changed.of_batches() {
            self.batch_rows = after.batch_rows;
            self.drain_interval = after.drain_interval;
            self.pacing.set_interval(after.drain_interval);
            self.event("config", format!("{what} by {by}"));
        }
        if let Some(what) = changed.of_store() {
            *lock(&self.shared.store_bounds) = Some((after.retention, after.max_disk_bytes));
            if let Some(store) = &mut self.store
                && store.bound(after.retention, after.max_disk_bytes).is_err()
            {
                // Opened again it has them.
                self.store = None;
            }
            self.next.retain = Duration::ZERO;
            self.event("config", format!("{what} by {by}"));
        }
        let waiting = changed.for_next_start();
        if !waiting.is_empty() {
            let names = waiting.join(", ");
            let told = format!("{names} changed by {by}: holds from the next start of the program on");
            self.shared.notice(&told);
            self.event("config", told);
        }
    }

    /// Writes rates set in code to the store, and takes over those set from outside.
    fn exchange_rates(&mut self) {
        let Some(store) = &mut self.store else { return };
        let now_ns = self.clock.now_ns();
        let mut changes = Vec::new();
        for asked in self.shared.rates_to_store() {
            if store.set_rate(&asked.pattern, asked.rate, &asked.set_by, now_ns).is_err() {
                break;
            }
            changes.push(asked.to_string());
            self.shared.stored(&asked);
        }
        if let Ok(Some(rates)) = store.rates() {
            changes.extend(self.shared.take_over(&rates));
        }
        for change in changes {
            self.event("rate", change);
        }
    }

    /// Finds the service level and shows the report to whoever asks.
    pub(super) fn publish_health(&mut self, now: Duration) {
        let breaker = lock(&self.shared.breaker).statistics(now);
        let is_taken = breaker.state == State::Closed
            && !(self.store.is_none() && self.pending.is_some())
            && self.busy_since.is_none_or(|since| now.saturating_sub(since) < BUSY_SHOWN);
        let (level, why) = self.health.level.next(is_taken, self.backlog.pressure());
        self.set_level(level, why);
        let states = self.rings.all();
        let queued = states.iter().map(|state| state.pending() * 8).sum::<usize>();
        self.health.queue_bytes = (queued + self.backlog.bytes()) as u64;
        let panics = states.iter().map(|state| state.capture_panics.load(Ordering::Relaxed));
        self.health.capture_panics = panics.map(u64::from).sum();
        if breaker.state != self.health.breaker.state || self.breaker_since_ns == 0 {
            self.breaker_since_ns = self.now_ns() - breaker.lasted.as_nanos() as i64;
        }
        self.health.breaker = breaker;
        self.health.subscribers = self.shared.subscribers.breakers(now);
        *lock(&self.shared.health) = self.health.clone();
    }
}

/// Whether nothing has happened to calls or store between two reports. Sizes and shares of time move on
/// their own: a report of them alone would keep an idle program writing.
fn says_nothing_new(row: &HealthRow, last: &HealthRow) -> bool {
    let HealthRow { breaker_next_try_ns, writes_ok_pct, writes_blocked_pct, write_retries_per_min, .. } =
        *last;
    let HealthRow {
        at_ns,
        bytes_written,
        db_bytes,
        wal_bytes,
        own_cpu_pct,
        overhead_ns_per_call,
        cost_pct,
        budget_pct,
        ..
    } = *last;
    let on_their_own = HealthRow {
        at_ns,
        bytes_written,
        db_bytes,
        wal_bytes,
        own_cpu_pct,
        overhead_ns_per_call,
        breaker_next_try_ns,
        writes_ok_pct,
        writes_blocked_pct,
        write_retries_per_min,
        cost_pct,
        budget_pct,
        ..row.clone()
    };
    on_their_own == *last
}

/// A lock that others hold for longer than this shows in the service level.
const BUSY_SHOWN: Duration = Duration::from_secs(1);
