//! The cold side: `step` drains the rings, counts what it finds, and carries rows into the store.
//!
//! In: rings, tallies, the overflow of failures, moments. Out: one batch after the other, events, the
//! health report. Everything that waits is bounded. A batch that could not be written is kept as it
//! is and tried again, so that nothing is lost or written twice; the store alone knows how it is
//! written, the breaker when. The thread around `step` is `run`; tests call `step` themselves.

pub mod breaker;
mod retry;
pub(crate) mod backlog;
pub(crate) mod drain;
mod batch_timer;
mod crash_safety;
mod writer;
mod ladder;
mod slow_calls;
pub(crate) mod health;
mod report;
pub(crate) mod subscribe;
pub(crate) mod shared;
pub(crate) mod control;
pub(crate) mod live_rates;

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::batch::decode::Waiting;
use crate::batch::function_stats::FunctionFigures;
use crate::batch::{Batch, CallRow, EventRow, FoldedRow, HealthRow, ResourcesRow, ThreadRow};
use crate::collect::backlog::Backlog;
use crate::collect::health::{Health, Level, Share};
use crate::collect::retry::Retry;
use crate::config::{Settings, Watch};
use crate::limits;
use crate::platform::clock::{Clock, monotonic};
use crate::record::Outcome;
use crate::ring::journal::Worth;
use crate::sampling::ladder::Bounds;
use crate::site::CallSite;
use crate::store::{SetHold, Store, StoreError, fingerprint};
use crate::thread::pool::{Overflow, ThreadRings};
use crash_safety::Keeping;
use shared::Shared;

/// Opens the store, at the place and in the way it was asked for.
pub(crate) type Opener = Box<dyn FnMut(i64) -> Result<Opened, StoreError> + Send>;

/// A store that was opened.
pub(crate) struct Opened {
    pub(crate) store: Box<dyn Store>,
    /// Where it is; `None` in memory.
    pub(crate) path: Option<std::path::PathBuf>,
    /// What a person should know: that it is elsewhere than asked for, say.
    pub(crate) notice: Option<String>,
}

/// What the collector knows of a function.
#[derive(Debug)]
struct Function {
    site: &'static CallSite,
    name: Arc<str>,
    /// The site under which its calls are counted: the first of those that the store takes for one function.
    counted_as: u32,
    standing: ladder::Standing,
    /// The rate last sent to the store.
    stored_rate: Option<f64>,
    figures: FunctionFigures,
}

/// The cold side of one recorder.
pub(crate) struct Collector {
    clock: Clock,
    rings: &'static ThreadRings,
    overflow: Receiver<Overflow>,
    shared: Arc<Shared>,
    batch_rows: usize,
    drain_interval: Duration,

    opener: Opener,
    store: Option<Box<dyn Store>>,
    /// Which thread each ring belongs to.
    ring_threads: Vec<u32>,
    /// Name and prefix of each thread, by its id.
    threads: HashMap<u32, (Arc<str>, u32)>,
    tallies_read: HashMap<(usize, u32), drain::TallyRead>,
    /// By call site id.
    functions: Vec<Option<Function>>,
    /// The first site of each name, file and line. There are more of one where a macro puts a function into
    /// several impl blocks, or gives several one name.
    first_sites: HashMap<(Arc<str>, &'static str, u32), u32>,
    backlog: Backlog,
    scratch: Vec<u8>,

    new_threads: Vec<ThreadRow>,
    /// Calls taken from the backlog for a batch that the store had no room for.
    postponed: Vec<CallRow>,
    keeping: Keeping,
    told: slow_calls::ToldByFunction,
    folded: HashMap<i64, FoldedRow>,
    folded_changed: bool,
    events: Vec<EventRow>,
    due_report: Option<HealthRow>,
    /// The last report that was written.
    reported: Option<HealthRow>,
    due_resources: Option<ResourcesRow>,
    pending: Option<Batch>,
    sequence: u64,
    busy_since: Option<Duration>,
    retry: Retry,
    /// How the breaker was held from outside when the store was last asked.
    held: Option<SetHold>,
    /// When the breaker entered its state; 0 before the first report.
    breaker_since_ns: i64,
    is_shutdown_announced: bool,
    /// Whether the last step wrote a batch and left more to write.
    flowing: bool,
    pacing: batch_timer::Pacing,
    next: Due,
    /// The settings file, where there is one.
    pub(crate) watch: Option<Watch>,
    ladder: ladder::Ladder,

    health: Health,
    own_cpu: Share,
    process_cpu: Share,
}

/// When things are due next, on the monotonic clock.
#[derive(Debug, Default)]
struct Due {
    figures: Duration,
    rates: Duration,
    config: Duration,
    retain: Duration,
    recover: Duration,
    resources: Duration,
    report: Duration,
}

/// How a step should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Batches are written when they are full or due.
    Usual,
    /// Everything is written now: someone waits for it.
    Flush,
}

/// What a step left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that could be done now.
    Nothing,
    /// More of the same.
    More,
    /// What the store does not take at the moment.
    Blocked,
}

impl Collector {
    pub(crate) fn new(
        settings: &Settings,
        rings: &'static ThreadRings,
        overflow: Receiver<Overflow>,
        shared: Arc<Shared>,
        clock: Clock,
        opener: Opener,
    ) -> Self {
        rings.brakes.store(settings.max_rate > 0, std::sync::atomic::Ordering::Relaxed);
        let memory = usize::try_from(settings.max_memory_bytes).unwrap_or(usize::MAX);
        let queue_bytes_max = settings.max_memory_bytes;
        let taken =
            memory / limits::RINGS_SHARE + memory / limits::OVERFLOW_SHARE + limits::BATCH_BYTES_MAX / 4;
        // What waits lies in the journal as well, where there is one.
        let copies = if rings.memory.mapping().is_some() { 2 } else { 1 };
        let waiting_bytes = memory.saturating_sub(taken) / copies;
        Self {
            clock,
            rings,
            overflow,
            shared,
            batch_rows: settings.batch_rows,
            drain_interval: settings.drain_interval,
            opener,
            store: None,
            ring_threads: Vec::new(),
            threads: HashMap::new(),
            tallies_read: HashMap::new(),
            functions: Vec::new(),
            first_sites: HashMap::new(),
            backlog: Backlog::new(waiting_bytes),
            scratch: Vec::new(),
            new_threads: Vec::new(),
            postponed: Vec::new(),
            keeping: Keeping::new(&rings.memory, waiting_bytes),
            told: slow_calls::ToldByFunction::new(),
            folded: HashMap::new(),
            folded_changed: false,
            events: Vec::new(),
            due_report: None,
            reported: None,
            due_resources: None,
            pending: None,
            sequence: 0,
            busy_since: None,
            retry: Retry::new(u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            held: None,
            breaker_since_ns: 0,
            is_shutdown_announced: false,
            flowing: false,
            pacing: batch_timer::Pacing::new(settings.drain_interval),
            next: Due::default(),
            watch: None,
            ladder: ladder::Ladder::new(Bounds::new(settings.max_rate, settings.max_overhead)),
            health: Health {
                queue_bytes_max,
                budget_pct: 100.0 * settings.max_overhead,
                ..Health::default()
            },
            own_cpu: Share::since(crate::platform::process::thread_cpu()),
            process_cpu: Share::since(crate::platform::process::process_cpu()),
        }
    }

    /// One round: drain, count, write a batch if one is due, tidy up.
    pub(crate) fn step(&mut self, pace: Pace) -> Left {
        let now = monotonic();
        self.clock.advance();
        // Steps follow one another without a pause where there is much to write.
        self.watch_clock();
        self.keep_rings();
        self.meet_functions();
        // A burst is taken in first, as far as there is memory: the store can wait, rings cannot. Beyond
        // that, while batches are written, rings stay full: calls that find no room are counted at once,
        // where taking them in only to evict them took a third of this thread's time.
        let has_room = self.backlog.pressure() < BURST_PRESSURE_MAX;
        if has_room || !self.flowing || pace == Pace::Flush {
            if self.drain() && has_room && pace == Pace::Usual {
                return Left::More;
            }
        } else {
            self.drain_overflow();
        }
        self.read_tallies();
        self.watch_clock();
        self.hear_breaker(now);
        self.keep_bounds();
        self.note_counted();
        self.report_overdue(now);
        self.report(now, pace);
        let left = self.write(now, pace);
        self.watch_clock();
        self.flowing = left == Left::More;
        self.tidy(now);
        let left = if self.recover(now) { Left::More } else { left };
        self.watch_clock();
        self.climb(now);
        self.publish_health(now);
        left
    }

    /// The pause between steps that find nothing more to do.
    pub(crate) fn interval(&self) -> Duration {
        self.drain_interval
    }

    /// The unix time of this moment on the recorder's own time line.
    fn now_ns(&self) -> i64 {
        self.clock.now_ns()
    }

    /// Says that a step ended by a panic of the recorder's own. What it was about to do is there still.
    pub(crate) fn note_panic(&mut self, payload: &(dyn Any + Send)) {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        self.event("recorder", format!("a step failed, and is tried again: {text}"));
    }

    fn event(&mut self, kind: &'static str, detail: impl Into<String>) {
        if self.events.len() < EVENTS_MAX {
            let at_ns = self.now_ns();
            self.events.push(EventRow { at_ns, kind, detail: detail.into() });
        }
    }

    fn set_level(&mut self, level: Level, why: &str) {
        if self.health.level != level {
            self.event("level", format!("{} -> {level}: {why}", self.health.level));
            self.health.level = level;
        }
    }

    /// Says while the store is still open that recording is about to end.
    pub(crate) fn announce_shutdown(&mut self) {
        if !std::mem::replace(&mut self.is_shutdown_announced, true) {
            self.event("level", format!("{} -> {}: shut down", self.health.level, Level::Off));
        }
    }

    fn function(&mut self, id: u32) -> Option<&mut Function> {
        self.functions.get_mut(id as usize)?.as_mut()
    }

    /// Where calls of a site are counted.
    fn figures(&mut self, id: u32) -> Option<&mut FunctionFigures> {
        figures_of(&mut self.functions, id)
    }

    /// Evicts from the backlog what does not fit; each loss is counted where it belongs.
    fn keep_bounds(&mut self) {
        let Self { backlog, functions, clock, health, scratch, keeping, .. } = self;
        let mut folds = Vec::new();
        let gone = |waiting: &Waiting<'_>| {
            let Some(Some(function)) = functions.get(waiting.header.site as usize) else { return };
            let times = crate::batch::decode::times(&waiting.header, clock);
            let outcome = waiting.header.outcome;
            let names = function.site.names();
            if let Some(figures) = figures_of(functions, waiting.header.site) {
                figures.lose(times.end_ns);
            }
            if outcome == Outcome::Ok {
                health.dropped.backlog += 1;
            } else {
                let values = crate::batch::decode::values(waiting, names, scratch);
                let error = values.error.unwrap_or_default();
                folds.push((waiting.header.site, outcome, fingerprint::pattern(&error), times.end_ns));
            }
        };
        let journal = &mut keeping.journal;
        backlog.evict(gone, |waiting, words| {
            let (ring, end) = waiting.end;
            let place = (ring, end.saturating_sub(words.len() as u64));
            let is_kept = journal.append(Worth::Failure, place, waiting.thread, words);
            is_kept.then(|| journal.take_pieces().held())
        });
        for (function, outcome, message, at_ns) in folds {
            self.fold(function, outcome, message, 1, at_ns);
        }
    }

    /// Counts failures that get no row of their own, by kind.
    fn fold(&mut self, function: u32, outcome: Outcome, mut message: String, count: u64, at_ns: i64) {
        self.health.folded_errors += count;
        let Some(Some(known)) = self.functions.get(function as usize) else { return };
        let mut key = fingerprint::fingerprint(&known.name, outcome, &message);
        if self.folded.len() >= limits::FOLDED_KINDS_MAX && !self.folded.contains_key(&key) {
            OTHER.clone_into(&mut message);
            key = fingerprint::fingerprint(&known.name, outcome, &message);
        }
        let row = self.folded.entry(key).or_insert(FoldedRow {
            function,
            outcome,
            message,
            fingerprint: key,
            count: 0,
            first_ns: at_ns,
            last_ns: at_ns,
        });
        row.count += count;
        row.last_ns = row.last_ns.max(at_ns);
        self.folded_changed = true;
    }
}

/// Where calls of a site are counted: with the first site that the store takes for the same function, as
/// figures are written as all there are.
fn figures_of(functions: &mut [Option<Function>], id: u32) -> Option<&mut FunctionFigures> {
    let counted_as = functions.get(id as usize)?.as_ref()?.counted_as;
    Some(&mut functions.get_mut(counted_as as usize)?.as_mut()?.figures)
}

/// The kind of failures whose own is not known, or one too many.
const OTHER: &str = "other";
/// Share of the backlog that a burst may fill before writing goes on.
const BURST_PRESSURE_MAX: f64 = 0.5;
/// Events that wait for the store; they are rare, and a store that is down for days must not collect them.
const EVENTS_MAX: usize = 1000;
