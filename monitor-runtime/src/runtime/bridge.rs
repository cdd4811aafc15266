//! The functions by which other packages of this repository bring more than calls into the store.
//!
//! Takes calls that are not calls of monitored functions, log lines, rows and transitions of a program's guards, and
//! sources of metrics; hands them to the recorder of this process, and returns the path of its store. These functions
//! are no part of the public interface: a package that uses them asks for exactly this version.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::{find_or_start, find_running, fork, generation_slot, given_config, register};
use crate::accountant::Part;
use crate::call::context::Context;
use crate::call::log_line;
use crate::call::open::Open;
use crate::collect::breaker::Transition;
use crate::collect::{control, panic_text};
use crate::config::{Location, Settings};
use crate::platform::clock;
use crate::platform::process::is_secure;
use crate::platform::reentrancy;
use crate::site::{self, CallSite, SiteFacts};
use crate::sync::lock;

pub use crate::batch::{GuardRow, MetricKind, MetricRow, MetricStats};
pub use crate::capture::{FieldValue, LineWriter, SayLine};
pub use crate::collect::GuardSource;
pub use crate::collect::sources::Sink;
pub use crate::limits::{GUARDS_MAX, METRIC_SERIES_MAX};
pub use crate::platform::lost_lock::lock_unless_lost;
pub use crate::record::LogLevel;
pub use crate::store::Hold;
pub use crate::thread::log_places::LogPlace;

/// The functions by which guards are reached, from the first guard's first call on.
static GUARD_SOURCE: OnceLock<GuardSource> = OnceLock::new();

/// The guards of this process, for the recorder.
pub(super) const GUARDS: GuardSource = GuardSource {
    rows: || GUARD_SOURCE.get().map_or_else(Vec::new, |source| (source.rows)()),
    hold: |name, hold, reason, by| {
        GUARD_SOURCE.get().is_some_and(|source| (source.hold)(name, hold, reason, by))
    },
};

/// Registers the functions by which guards are reached, and starts the recorder, which asks for the guards' rows every
/// few seconds and passes holds to them. Only the first registration counts.
pub fn set_guard_source(source: GuardSource) {
    let _ = GUARD_SOURCE.set(source);
    reentrancy::run_guarded(find_or_start);
}

/// Returns the time since the first reading of the monotonic clock in the process. The times of transitions are
/// measured by it.
#[must_use]
pub fn monotonic() -> Duration {
    clock::monotonic()
}

/// Reports a transition of a guard's breaker, which becomes an event. Without a recorder nothing is reported.
pub fn note_transition(guard: &'static str, transition: Transition) {
    reentrancy::run_guarded(|| {
        if let Some(recorder) = find_running() {
            recorder.shared.control.note_transition(control::Sink::Guard(guard), transition);
            recorder.rings.home.wake();
        }
    });
}

/// A part of the program that the recorder asks for the changes of its metrics.
struct Source {
    name: &'static str,
    pull: Box<dyn FnMut(&mut Sink<'_>) + Send>,
}

/// The sources of metrics that the program has registered. A source that panics is removed.
static SOURCES: Mutex<Vec<Source>> = Mutex::new(Vec::new());

/// Registers a source of metrics, and starts the recorder. The recorder's thread calls `pull` when a window of 10 s is
/// over, when a flush is waited for, and at a normal exit. A source that panics is not asked any more. Returns false if
/// nothing is recorded; the source is then never asked.
pub fn source(name: &'static str, pull: impl FnMut(&mut Sink<'_>) + Send + 'static) -> bool {
    let added = reentrancy::run_guarded(|| {
        lock(&SOURCES).push(Source { name, pull: Box::new(pull) });
        let recorder = find_or_start();
        if let Some(recorder) = recorder {
            recorder.rings.home.wake();
        }
        recorder.is_some()
    });
    added.unwrap_or(false)
}

/// Asks all sources, and returns their number.
pub(super) fn ask_sources(sink: &mut Sink<'_>) -> usize {
    // A source may register another one, so the list is not locked meanwhile.
    let mut sources = std::mem::take(&mut *lock(&SOURCES));
    sources.retain_mut(|source| {
        let asked = catch_unwind(AssertUnwindSafe(|| (source.pull)(sink)));
        if let Err(payload) = &asked {
            sink.note_panic(source.name, panic_text(&**payload));
        }
        asked.is_ok()
    });
    let mut list = lock(&SOURCES);
    sources.append(&mut list);
    *list = sources;
    list.len()
}

/// Starts the recorder if it does not run, as in the child of a fork.
pub fn start() {
    reentrancy::run_guarded(find_or_start);
}

/// Returns an id for a series of metrics, which no other series of the process has.
#[must_use]
pub fn metric_id() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// Runs a closure that takes a lock on the program's thread, so that a fork waits for its end. Returns `None` if the closure
/// would interrupt another such closure on this thread, as in a signal handler.
pub fn run_guarded<R>(run: impl FnOnce() -> R) -> Option<R> {
    reentrancy::run_guarded(run)
}

/// Returns true if a closure of [`run_guarded`] runs on this thread, which may be in the middle of changing what it
/// locked.
#[must_use]
pub fn is_guarded() -> bool {
    reentrancy::is_guarded()
}

/// Returns the bytes that the series of metrics may take at the moment; 0 without a recorder.
#[must_use]
pub fn metrics_memory_max() -> usize {
    find_running().map_or(0, |recorder| recorder.rings.home.accountant.limit(Part::Metrics))
}

/// Returns the name of SQLite's VFS that the store is opened with, for another file of this process. Its locks belong
/// to the open file, so code that closes the same file elsewhere does not drop them, and the child of a fork closes its
/// copies of the descriptors. A connection that came through a fork must be neither used nor closed.
#[must_use]
pub fn find_vfs() -> &'static str {
    // The child of a fork closes what its parent had open before it opens something itself.
    fork::generation();
    reentrancy::run_guarded(fork::prepare_for_forks);
    crate::store::find_vfs()
}

/// Returns a number that differs between a process and the child of its fork.
#[must_use]
pub fn generation() -> usize {
    fork::generation()
}

/// Records a log line of the call that is current on this thread, or of none. It starts the recorder.
///
/// Body and fields have the budget of a captured value each. At most a hundred lines a second of one place have rows;
/// the next row states the number of the others. A line that finds no room is counted in
/// [`Health::dropped_logs`](crate::Health::dropped_logs); an error that finds no room is sent past the ring, as failed
/// calls are. A panic in the code that writes a value does not reach the caller, and a log line that this code writes
/// is dropped.
pub fn note(place: LogPlace<'_>, body: fmt::Arguments<'_>, fields: &[(&str, FieldValue<'_>)]) {
    note_with(place, &mut |line| {
        line.body(body);
        for (name, value) in fields {
            line.field(name, *value);
        }
    });
}

/// Records a log line as [`note`] does, for a logger that visits the fields of a line one by one. The closure runs at
/// most once, and not at all if the line has no row of its own.
pub fn note_with(place: LogPlace<'_>, say: SayLine<'_>) {
    let recorder = find_running().or_else(|| run_guarded(find_or_start).flatten());
    if let Some(recorder) = recorder {
        log_line::note(&recorder.rings.home, place, say);
    }
}

/// Returns the path that the settings name for the store, or `None` if it is kept in memory. It starts the recorder, so
/// that a later `init` cannot name another path. The path is the same whether recording is on or off, and whether the
/// recorder could start or not.
///
/// # Errors
/// A message if the settings file or the path cannot be used: the path that was meant is then not known.
pub fn store_path() -> Result<Option<PathBuf>, String> {
    let recorder = reentrancy::run_guarded(find_or_start).flatten();
    let place = Settings::load_place(given_config(), is_secure());
    let place = place.map_err(|warning| format!("{}: {}", warning.subject, warning.detail))?;
    Ok(match (recorder, place) {
        (Some(recorder), _) => recorder.store_path.clone(),
        (None, Location::File(path)) => Some(path),
        (None, Location::Memory) => None,
    })
}

/// Returns the path of the store of these settings, or `None` if it is kept in memory.
pub(super) fn path_of(settings: &Settings) -> Option<PathBuf> {
    match &settings.db {
        Location::File(path) => Some(path.clone()),
        Location::Memory => None,
    }
}

/// A call site that was made at run time.
#[derive(Debug, Clone, Copy)]
pub struct Site(&'static CallSite);

/// Returns the call site with these facts, made at the first request. Returns `None` once the number of such sites has
/// reached its bound; `health()` counts these refusals.
#[must_use]
pub fn site(facts: SiteFacts) -> Option<Site> {
    run_guarded(|| site::make(facts, register)).flatten().map(Site)
}

/// The call around a call that begins.
#[derive(Debug, Clone, Copy)]
pub enum Parent {
    /// The call that is current on this thread.
    Current,
    /// The call that this context was taken from; none for the root context.
    Context(Context),
}

/// Begins a call at this place, which must be vacant. Returns false, and leaves the place vacant, if the call is not
/// recorded at all, for example because recording is off.
#[inline]
#[must_use]
pub fn begin(place: &Open, site: Site, parent: Parent) -> bool {
    match parent {
        Parent::Current => place.begin(site.0),
        Parent::Context(context) => place.begin_below(site.0, context),
    }
}

/// Returns true if recording is off in this process: for good, or, before the recorder has started, by its settings.
/// The recorder is not started.
#[must_use]
pub fn is_off() -> bool {
    match generation_slot().map(OnceLock::get) {
        Some(Some(recorder)) => recorder.is_none(),
        Some(None) => !Settings::load(given_config(), is_secure()).0.enabled,
        None => true,
    }
}
