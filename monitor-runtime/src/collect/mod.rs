//! The cold side: a step drains the rings, counts what it finds, and carries rows into the store.
//!
//! Takes rings, tallies, the overflow of failures, requests, and moments; gives one batch after the other, events, and
//! the health report. Everything that waits is bounded. This file owns the parts and the order of a step, and nothing
//! else: each part is in the file of its name, and is handed what it needs of the others. The thread that repeats the
//! step is `runtime::collector_thread`; tests call the step themselves.

mod step;
pub mod breaker;
mod retry;
mod rows;
mod batch_timer;
pub(crate) mod health;
pub(crate) mod control;
pub(crate) mod live_rates;
pub(crate) mod subscribe;
pub(crate) mod shared;
mod events;
mod current_store;
mod function;
mod folded_failures;
mod functions;
mod known_threads;
mod calibration;
mod ladder;
mod trees;
mod journal_writer;
mod grouped;
mod crash_safety;
mod backlog;
mod cpu_share;
mod guards;
mod report;
pub(crate) mod sources;
mod alerts;
mod parts;
mod tallies;
mod calls_under_way;
mod drain;
mod losses;
mod slow_calls;
mod stuck_calls;
mod next_batch;
mod store_breaker;
mod writer;
mod maintenance;
mod pace;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::batch::Ending;
use crate::config::{Settings, Watch};
use crate::growth::{collect_most, has_memory};
use crate::limits;
use crate::platform::clock::{Clock, monotonic};
use crate::recover::cause::{SeenPanic, SystemReport, find_cause};
use crate::ring::panics::{self, Exit, Panic};
use crate::sync::lock;
use crate::thread::overflow::Overflow;
use crate::thread::pool::ThreadPool;
use crate::thread::state::ThreadState;
use alerts::AlertWatch;
use backlog::Backlog;
use crash_safety::CrashSafety;
use current_store::CurrentStore;
pub(crate) use current_store::{Opened, Opener};
use drain::Drain;
use events::Events;
use functions::Functions;
pub use guards::GuardSource;
use health::Level;
use known_threads::KnownThreads;
use ladder::Ladder;
use maintenance::{Maintained, Maintenance};
use pace::StepStats;
use parts::Parts;
use report::Report;
use shared::Shared;
use slow_calls::SlowCalls;
use sources::{AskSources, Sources};
pub(crate) use step::{Mode, Remaining};
use trees::Trees;
use writer::Writer;

/// The cold side of one recorder.
pub(crate) struct Collector {
    clock: Clock,
    rings: &'static ThreadPool,
    /// The pause between two drains.
    drain_interval: Duration,
    shared: Arc<Shared>,
    functions: Functions,
    threads: KnownThreads,
    drain: Drain,
    backlog: Backlog,
    store: CurrentStore,
    writer: Writer,
    safety: CrashSafety,
    ladder: Ladder,
    trees: Trees,
    slow_calls: SlowCalls,
    report: Report,
    sources: Sources,
    alerts: AlertWatch,
    events: Events,
    maintenance: Maintenance,
    /// True if the next step ends the calls under way, because the process exits.
    ends_calls: bool,
    /// The ending that the process's entry in the store will show.
    ending: Ending,
    /// True if the last step wrote a batch and left more to write.
    is_writing_on: bool,
    /// The findings of the last step, and the work that it left.
    seen: StepStats,
    last_step: Duration,
    /// The time of the last step that did everything and did not only drain.
    last_whole_step: Duration,
    /// The number of calls that were counted by the end of the last step.
    counted: u64,
}

/// The parts that the collector is built from, beside the settings.
pub(crate) struct Surroundings {
    pub(crate) rings: &'static ThreadPool,
    pub(crate) overflow: Receiver<Overflow>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) opener: Opener,
    /// The settings file, if there is one.
    pub(crate) watch: Option<Watch>,
    /// Puts the recorder's panic hook back if the program has set one of its own since.
    pub(crate) renew_panic_hook: fn(),
    /// The functions by which the program's guards are reached.
    pub(crate) guards: GuardSource,
    /// Asks the sources of metrics.
    pub(crate) sources: AskSources,
}

impl Collector {
    pub(crate) fn new(settings: &Settings, surroundings: Surroundings) -> Self {
        let Surroundings { rings, overflow, shared, clock, opener, watch, renew_panic_hook, guards, sources } =
            surroundings;
        let accountant = rings.home.accountant;
        let drain_interval = settings.drain_interval;
        let started_ns = clock.now_ns();
        Self {
            clock,
            rings,
            drain_interval,
            functions: Functions::default(),
            threads: KnownThreads::default(),
            drain: Drain::new(rings, overflow, Arc::clone(&shared)),
            backlog: Backlog::new(accountant),
            store: CurrentStore::new(opener),
            writer: Writer::new(Arc::clone(&shared), settings.batch_rows, drain_interval, accountant),
            safety: CrashSafety::new(rings),
            ladder: Ladder::new(rings, settings.max_rate, settings.max_overhead),
            trees: Trees::new(rings, settings.fold_after),
            slow_calls: SlowCalls::new(rings),
            report: Report::new(
                rings,
                Arc::clone(&shared),
                settings.max_memory_bytes,
                settings.max_overhead,
                guards,
                started_ns,
            ),
            sources: Sources::new(sources, accountant),
            alerts: AlertWatch::default(),
            events: Events::default(),
            maintenance: Maintenance::new(Arc::clone(&shared), watch, renew_panic_hook),
            ends_calls: false,
            ending: Ending::default(),
            is_writing_on: false,
            seen: StepStats::initial(drain_interval),
            last_step: monotonic(),
            last_whole_step: monotonic(),
            counted: 0,
            shared,
        }
    }

    /// Makes one step: drains, counts, writes a batch if one is due, and tidies up. Returns the work that remains.
    pub(crate) fn step(&mut self, mode: Mode) -> Remaining {
        let now = monotonic();
        if !has_memory(limits::STEP_BYTES) {
            // Records stay in their rings, and counters only grow, so nothing is lost until there is memory again.
            self.drain.note_lack_of_memory();
            return Remaining::Blocked;
        }
        if let Some(drift) = self.clock.advance() {
            self.events.add(self.clock.now_ns(), "clock", drift);
        }
        self.measure_rings(now);
        // Steps follow one another without a pause while there is much to write, so the clock is watched within them.
        self.watch_clock();
        let begun_ns = self.clock.now_ns();
        self.drain.prepare_rings(now, &self.clock, &mut self.events);
        self.functions.discover();
        self.functions.settle_account(self.rings.home.accountant);
        let is_filling = self.drain_as_room_allows(mode);
        if is_filling && now.saturating_sub(self.last_whole_step) < limits::DRAIN_ALONE_MAX {
            return Remaining::More;
        }
        self.last_whole_step = now;
        if std::mem::take(&mut self.ends_calls) {
            self.trees.end_callers();
            let (drain, _, mut parts) = self.split();
            drain.end_calls_under_way(&mut parts);
        }
        if mode == Mode::Flush {
            self.complete_shared_rows();
        }
        drain::push_folded_lines(self.rings, mode, &mut self.split().2);
        self.read_tallies();
        self.watch_clock();
        self.writer.report_transitions(now, &self.clock, &mut self.events);
        losses::evict(&mut self.split().2);
        self.note_counted();
        let Self { clock, functions, threads, events, .. } = self;
        self.slow_calls.step(now, clock, functions, threads, events);
        self.sources.step(begun_ns, mode, &self.clock, &mut self.events);
        self.report.source_panics = self.sources.panics();
        self.watch_alerts(begun_ns);
        self.ladder.calibrate(now, &mut self.report.health);
        self.report.step(now, mode, &self.clock);
        let mut remaining = self.write(now, mode);
        self.watch_clock();
        self.is_writing_on = remaining == Remaining::More;
        self.maintain(now);
        let Self { clock, store, ladder, functions, .. } = self;
        if self.safety.recover(now, clock, store, ladder, functions) {
            remaining = Remaining::More;
        }
        self.watch_clock();
        self.step_ladder(now);
        self.publish_report(now);
        if self.drain.lacks_memory() && remaining == Remaining::Nothing {
            remaining = Remaining::Blocked;
        }
        self.end_step(now, remaining);
        remaining
    }

    /// Returns the time of the last step that did everything and did not only drain.
    #[cfg(test)]
    pub(crate) fn last_whole_step(&self) -> Duration {
        self.last_whole_step
    }

    /// Lowers the fidelity of functions that cost too much, and raises that of others.
    fn step_ladder(&mut self, now: Duration) {
        let Self { clock, functions, ladder, trees, report, events, .. } = self;
        ladder.step(now, clock, functions, || trees.take_costs(), &mut report.health, events);
    }

    /// Evaluates the alert rules on the windows that have ended.
    fn watch_alerts(&mut self, now_ns: i64) {
        let Self { clock, rings, functions, report, sources, alerts, shared, .. } = self;
        let surroundings = alerts::Surroundings {
            health: &report.health,
            rss_bytes: report.rss_bytes,
            sources,
            count_stuck: || stuck_calls::count_stuck_calls(rings, clock, functions),
            subscribers: &shared.alert_subscribers,
        };
        alerts.step(now_ns, functions, surroundings);
        report.health.alerts = alerts.count_firing();
    }

    /// Notes how full the rings are when a step begins.
    fn measure_rings(&mut self, now: Duration) {
        if self.seen.is_asleep && !self.rings.home.is_asleep() {
            // The first record after a rest has come.
            let Self { clock, functions, ladder, trees, report, events, .. } = self;
            ladder.wake(now, clock, functions, || trees.take_costs(), &mut report.health, events);
        }
        let rings = &self.rings;
        let share = |pending: usize, capacity: usize| pending as f64 / capacity.max(1) as f64;
        let rings = rings.states().flat_map(ThreadState::rings);
        let fullest = rings.map(|(_, ring)| share(ring.pending(), ring.capacity())).fold(0.0, f64::max);
        self.seen = StepStats {
            drain_interval: self.drain_interval,
            passed: now.saturating_sub(self.last_step),
            fullest,
            is_asleep: self.rings.home.is_asleep(),
            ..self.seen
        };
        self.last_step = now;
    }

    /// Notes what a step found and left, and closes the rings if it found nothing: the first record in each of them
    /// then wakes the collector.
    fn end_step(&mut self, now: Duration, remaining: Remaining) {
        let health = &self.report.health;
        let counted = health.recorded + health.sampled_out + health.dropped.total() + health.folded_errors;
        let calls = counted.abs_diff(std::mem::replace(&mut self.counted, counted));
        let is_active = self.seen.fullest > 0.0 || calls > 0;
        let (_, (writer, _), parts) = self.split();
        let next = writer.next_write(now, (remaining == Remaining::Blocked, is_active), &parts);
        let window = self.sources.time_left(self.clock.now_ns()).map(|left| now + left);
        let due = [next, self.maintenance.next_look(), window].into_iter().flatten().min();
        let is_streamed = self.shared.subscribers.are_present();
        self.rings.home.is_streamed.store(is_streamed, Ordering::Relaxed);
        self.ladder.stop_idle_clock(&self.functions);
        let is_counting = self.ladder.is_counting();
        let due = due.map(|due| due.saturating_sub(now));
        self.seen = StepStats { is_active, calls, is_streamed, is_counting, due, ..self.seen };
        if !is_active {
            self.report.make_due(now);
        }
        if is_active {
            self.rings.home.note_awake();
        } else if self.seen.is_asleep {
            self.maintenance.copy_log(now, &mut self.store, &self.clock);
        } else if now >= limits::SETTLED_AGE {
            self.rings.home.note_asleep();
            for state in self.rings.states() {
                state.rings().for_each(|(_, ring)| ring.close());
            }
        }
    }

    /// Drains the rings. Returns true if a ring was filling up and the next step should drain again at once. Returns
    /// false if the journal had no room for copies, because a kill loses these calls until they are noted as counted.
    ///
    /// A burst is taken in first, as far as there is memory, because the store can wait and rings cannot. Beyond that,
    /// while batches are written, rings stay full: calls that find no room are counted at once. Taking them in only to
    /// evict them took a third of this thread's time.
    fn drain_as_room_allows(&mut self, mode: Mode) -> bool {
        let has_room = self.backlog.pressure() < BURST_PRESSURE_MAX;
        let drains = has_room || !self.is_writing_on || mode == Mode::Flush;
        let (drain, _, mut parts) = self.split();
        if drains {
            return drain.drain_rings(&mut parts) && has_room && mode == Mode::Usual;
        }
        drain.drain_overflow(&mut parts);
        false
    }

    /// Completes the rows that calls share and puts them into the backlog, because a caller waits for a flush.
    fn complete_shared_rows(&mut self) {
        self.trees.complete_rows();
        drain::push_shared_rows(&mut self.split().2);
    }

    fn note_counted(&mut self) {
        let (drain, _, mut parts) = self.split();
        drain.note_counted(&mut parts);
    }

    fn read_tallies(&mut self) {
        let (drain, _, mut parts) = self.split();
        drain.read_tallies(&mut parts);
    }

    /// Advances the coarse clock, and reads the tallies if the ladder requires it.
    fn watch_clock(&mut self) {
        if self.ladder.watch_clock(&self.functions) {
            self.read_tallies();
        }
    }

    fn write(&mut self, now: Duration, mode: Mode) -> Remaining {
        let (_, (writer, store), mut parts) = self.split();
        writer.step(now, mode, store, &mut parts)
    }

    fn maintain(&mut self, now: Duration) {
        let Self {
            clock,
            drain_interval,
            functions,
            ladder,
            trees,
            writer,
            store,
            alerts,
            events,
            report,
            ..
        } = self;
        let guards = &mut report.guards;
        let parts = Maintained {
            clock,
            drain_interval,
            functions,
            ladder,
            trees,
            writer,
            store,
            alerts,
            guards,
            events,
        };
        self.maintenance.step(now, parts);
    }

    fn publish_report(&mut self, now: Duration) {
        let Self { clock, store, writer, backlog, events, .. } = self;
        let breaker = lock(&self.shared.breaker).statistics(now);
        let is_taken = writer.is_taken(now, &breaker, store) && !self.safety.is_temporary();
        let waiting = (backlog.bytes(), backlog.pressure());
        self.report.publish(breaker, is_taken, waiting, now, clock, events);
    }

    /// Splits the collector into the drain, the writer with its store, and the parts between them.
    fn split(&mut self) -> (&mut Drain, (&mut Writer, &mut CurrentStore), Parts<'_>) {
        let Self {
            clock,
            drain_interval,
            functions,
            threads,
            ladder,
            trees,
            safety,
            backlog,
            report,
            sources,
            alerts,
            events,
            ..
        } = self;
        let drain_interval = *drain_interval;
        let parts = Parts {
            clock,
            drain_interval,
            functions,
            threads,
            ladder,
            trees,
            safety,
            backlog,
            report,
            sources,
            alerts,
            events,
        };
        (&mut self.drain, (&mut self.writer, &mut self.store), parts)
    }

    /// Returns the pause until the next step, unless something wakes the collector before.
    pub(crate) fn pause(&self) -> Duration {
        self.seen.pause()
    }

    /// Returns the pause between drains under load.
    pub(crate) fn interval(&self) -> Duration {
        self.drain_interval
    }

    /// Returns true if there are calls that rely on the coarse clock.
    pub(crate) fn is_counting(&self) -> bool {
        self.ladder.is_counting()
    }

    /// Adds an event about a step that ended because the recorder itself panicked. The work of that step is not lost.
    pub(crate) fn note_panic(&mut self, payload: &(dyn Any + Send)) {
        let detail = format!("a step failed, and is tried again: {}", panic_text(payload));
        self.events.add(self.clock.now_ns(), "recorder", detail);
    }

    /// Adds the event of a shutdown while the store is still open.
    pub(crate) fn announce_shutdown(&mut self) {
        self.report.announce_shutdown(&self.clock, &mut self.events);
    }

    /// Adds the event of the process's death if the process exits because its main thread has panicked.
    pub(crate) fn announce_exit(&mut self, exit: Exit) {
        self.ends_calls = true;
        let of_threads = self.rings.states().filter_map(|state| panics::read_own(state.panic_words()));
        let panics = of_threads.chain(panics::read_own(self.rings.home.metadata.panic_words()));
        let panics: Vec<Panic> = collect_most(panics);
        if !panics.is_empty() {
            self.threads.discover(self.rings, &[]);
        }
        let seen = |panic| SeenPanic {
            panic,
            at_ns: self.clock.unix_ns(panic.at),
            thread: self.threads.name(panic.thread).map_or("without monitored calls", |name| &**name),
        };
        let seen: Vec<SeenPanic<'_>> = collect_most(panics.iter().map(seen));
        let now_ns = self.clock.now_ns();
        let cause = find_cause(&seen, Some(exit), SystemReport::Nothing, now_ns);
        if cause.ending == Ending::Crash {
            self.ending = Ending::Crash;
            cause.panics.into_iter().for_each(|panic| self.events.add(panic.at_ns, "panic", panic.detail));
            self.events.add(now_ns, "crash", cause.text);
        }
    }

    /// Returns true if nothing is left to be written, and the last report covers everything that was.
    pub(crate) fn is_settled(&self) -> bool {
        self.writer.is_idle()
            && !self.drain.lacks_memory()
            && !self.safety.is_recovering()
            && self.report.is_up_to_date()
            && self.backlog.is_empty()
            && self.trees.is_settled()
            && self.sources.is_empty()
            && self.functions.count_changed() == 0
    }

    /// Ends the process's entry in the store and drops the store. Returns false while another process holds the lock;
    /// the end waits for it unless `is_late`. The ring file is removed if nothing in it is needed any more.
    pub(crate) fn close(&mut self, settled: bool, is_late: bool) -> bool {
        if !self.store.close(self.clock.now_ns(), self.ending, is_late) {
            return false;
        }
        self.report.health.level = Level::Off;
        if settled && !self.safety.is_temporary() {
            self.safety.remove_file();
        } else {
            self.leave();
        }
        self.publish_report(monotonic());
        true
    }

    /// Leaves everything that is not in the store for a recoverer of the ring file.
    pub(crate) fn leave(&self) {
        self.safety.leave();
    }
}

/// The share of the backlog that a burst may fill before writing goes on.
const BURST_PRESSURE_MAX: f64 = 0.5;

/// Returns the text of a caught panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}
