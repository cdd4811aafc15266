//! The only statics: the recorder of this process, started by the first monitored call, and what the
//! public functions do with it. A thin layer over parts that tests build themselves.
//!
//! A fork is a new generation: its child finds no recorder in its own and starts one.

mod fork;
mod open_store;
mod open_ring_file;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::call::panic_hook;
use crate::collect::breaker::{self, Event, Statistics};
use crate::collect::control::{FlushError, Sink};
use crate::collect::health::{Health, Level};
use crate::collect::live_rates::{self, RateError};
use crate::collect::shared::Shared;
use crate::collect::subscribe::{Record, Subscription};
use crate::collect::{self, Collector};
use crate::config::{Config, InitError, Settings, Warning, Watch};
use crate::limits;
use crate::platform::clock::{Clock, advance_coarse, monotonic};
use crate::platform::reentrancy::claim_thread;
use crate::platform::thread::spawn;
use crate::site::{self, CallSite};
use crate::sync::lock;
use crate::thread::pool::{ThreadRings, set_process_threads};
use fork::GENERATIONS;

/// The recorder of a process.
#[derive(Debug)]
struct Runtime {
    rings: ThreadRings,
    shared: Arc<Shared>,
}

/// By generation. `None`: recording is off.
static RUNTIMES: [OnceLock<Option<&'static Runtime>>; GENERATIONS] = [const { OnceLock::new() }; GENERATIONS];

fn generation() -> Option<&'static OnceLock<Option<&'static Runtime>>> {
    RUNTIMES.get(fork::generation())
}

/// The recorder, if it has been started.
fn running() -> Option<&'static Runtime> {
    *generation()?.get()?
}

/// The recorder, started now if it was not.
fn started() -> Option<&'static Runtime> {
    *generation()?.get_or_init(|| start(None))
}

/// The rings of the recorder that runs.
fn rings() -> Option<&'static ThreadRings> {
    Some(&started()?.rings)
}

/// The first call of a function: gives it an id and its rate, or switches it off.
#[cold]
pub(crate) fn register(site: &'static CallSite) {
    let recorder = started().filter(|runtime| !runtime.shared.control.is_stopping());
    match recorder {
        Some(runtime) if site.register() => {
            runtime.rings.legend.site(&runtime.rings.memory, site);
            // From half the limit on, while the clock is hardly calibrated.
            site.set_slow_limit(site.slow_ns().map_or(u64::MAX, |ns| ns / 2));
            runtime.shared.set_rate_of(site);
        }
        _ => site.switch_off(),
    }
}

/// Reads the settings and starts the collector's thread.
fn start(config: Option<&Config>) -> Option<&'static Runtime> {
    set_process_threads(rings);
    let (settings, warnings) = Settings::load(config, crate::platform::process::is_secure());
    if !settings.enabled {
        return None;
    }
    let clock = Clock::start();
    let (overflow_in, overflow_out) = std::sync::mpsc::channel();
    let memory = usize::try_from(settings.max_memory_bytes).unwrap_or(usize::MAX);
    let process = open_ring_file::process(&settings);
    let (ring_memory, identity) = open_ring_file::open(&settings, &process);
    let rings =
        ThreadRings::new(memory / limits::RINGS_SHARE, random(), settings.capture, overflow_in, ring_memory);
    let runtime: &'static Runtime =
        Box::leak(Box::new(Runtime { rings, shared: Arc::new(Shared::new(settings.sample.clone())) }));
    if let Some(identity) = identity {
        runtime.rings.legend.calibrate(clock.calibration(), process.started_ns);
        runtime.rings.declare(&identity);
        // In the child of a fork functions are known already.
        site::all().for_each(|site| runtime.rings.legend.site(&runtime.rings.memory, site));
    }
    // A program that calls flat out from the start needs it before the collector has begun.
    runtime.rings.prepare_bursts(1);
    panic_hook::install_hook();
    let shared = Arc::clone(&runtime.shared);
    let opener = open_store::opener(&settings, process, Arc::clone(&shared));
    let watch = Watch::new(&settings, config, crate::platform::process::is_secure());
    let body = move || {
        claim_thread();
        let mut collector = Collector::new(&settings, &runtime.rings, overflow_out, shared, clock, opener);
        collector.watch = watch;
        run(runtime, collector, &warnings);
    };
    if spawn("monitored", body).is_err() {
        // No thread to be had: nothing can be recorded, and nothing is said from the caller's thread.
        return None;
    }
    install_handlers();
    Some(runtime)
}

/// A number that differs between processes.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A run's id: 32 hexadecimal digits.
fn run_uuid() -> String {
    format!("{:016x}{:016x}", random(), random())
}

fn install_handlers() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        crate::platform::process::at_exit(at_exit);
        fork::prepare_for_forks();
    });
}

/// Normal end of the process, by return from `main` or `process::exit`: what the rings hold is written.
extern "C" fn at_exit() {
    if let Some(runtime) = running() {
        let _ = runtime.shared.control.stop(&runtime.rings, limits::EXIT_DRAIN_MAX);
    }
}

/// The collector's thread: steps, with pauses, until it is told to stop.
fn run(runtime: &'static Runtime, mut collector: Collector, warnings: &[Warning]) {
    runtime.rings.set_collector(std::thread::current());
    panic_hook::install_hook();
    for warning in warnings {
        runtime.shared.notice(&warning.to_string().replacen("monitored: ", "", 1));
    }
    let mut restarts = Restarts::default();
    loop {
        runtime.rings.clear_wake();
        let asked = runtime.shared.control.asked();
        if asked.shutdown {
            collector.announce_shutdown();
        }
        let pace = if asked.flush || asked.stop { collect::Pace::Flush } else { collect::Pace::Usual };
        // A panic of our own must not take the recorder down for good, nor spin.
        let step = std::panic::AssertUnwindSafe(|| collector.step(pace));
        let left = match fork::between_forks(|| std::panic::catch_unwind(step)) {
            Ok(left) => left,
            Err(payload) if restarts.is_allowed(monotonic()) => {
                collector.note_panic(&*payload);
                continue;
            }
            Err(_) => {
                collector.leave();
                return give_up(runtime);
            }
        };
        if collector.is_settled() {
            runtime.shared.control.settle(&asked);
        }
        if asked.stop && (collector.is_settled() || asked.is_late()) {
            let settled = collector.is_settled();
            if collector.close(settled, asked.is_late()) {
                runtime.shared.control.stopped(settled);
                return;
            }
            std::thread::park_timeout(RETRY_WHILE_AWAITED);
            continue;
        }
        match left {
            collect::Left::More => {}
            collect::Left::Nothing if pace == collect::Pace::Flush && !collector.is_settled() => {}
            collect::Left::Blocked if pace == collect::Pace::Flush => {
                std::thread::park_timeout(collector.interval().min(RETRY_WHILE_AWAITED));
            }
            _ => pause(&runtime.rings, collector.interval(), collector.is_counting()),
        }
    }
}

/// When the recorder's thread had to begin anew, lately.
#[derive(Debug, Default)]
struct Restarts(Vec<Duration>);

impl Restarts {
    /// Whether it may begin anew once more.
    fn is_allowed(&mut self, now: Duration) -> bool {
        self.0.retain(|at| now.saturating_sub(*at) < Duration::from_secs(60));
        self.0.push(now);
        self.0.len() <= limits::COLLECTOR_RESTARTS_MAX as usize
    }
}

/// Waits for the next drain or to be woken; where calls are only counted, the coarse clock goes on meanwhile.
fn pause(rings: &ThreadRings, interval: Duration, is_counting: bool) {
    if !is_counting {
        return std::thread::park_timeout(interval);
    }
    let until = monotonic() + interval;
    while monotonic() < until && !rings.is_woken() {
        advance_coarse();
        std::thread::park_timeout(limits::COARSE_PERIOD.min(interval));
    }
    advance_coarse();
}

/// While someone waits for a flush or the end, a store that is locked is tried again this soon.
const RETRY_WHILE_AWAITED: Duration = Duration::from_millis(5);

/// The recorder's thread keeps failing: recording ends, the program goes on.
fn give_up(runtime: &Runtime) {
    site::all().for_each(CallSite::switch_off);
    lock(&runtime.shared.health).level = Level::Off;
    runtime.shared.notice("recording has ended: the recorder failed repeatedly");
    runtime.shared.control.stopped(false);
}

/// Starts the recorder with settings from code, which win over the environment and the file. Optional:
/// without it the first monitored call starts the recorder with what these say.
///
/// # Errors
/// [`InitError::Started`] once recording has started; [`InitError::Invalid`] for a value that is not
/// allowed, in which case nothing is started.
#[expect(clippy::needless_pass_by_value, reason = "a configuration is made to be handed over")]
pub fn init(config: Config) -> Result<(), InitError> {
    config.check()?;
    let mut first = false;
    if let Some(runtime) = generation() {
        runtime.get_or_init(|| {
            first = true;
            start(Some(&config))
        });
    }
    if first { Ok(()) } else { Err(InitError::Started) }
}

/// Waits until everything recorded so far, by any thread, is committed to the store.
///
/// # Errors
/// [`FlushError`] when that did not happen in time; recording goes on, and nothing is lost by it.
pub fn flush(timeout: Duration) -> Result<(), FlushError> {
    running().map_or(Ok(()), |runtime| runtime.shared.control.flush(&runtime.rings, timeout, &runtime.shared))
}

/// Writes everything recorded so far and ends recording: from here on monitored functions run as if
/// they were not monitored, for good.
///
/// # Errors
/// [`FlushError`] when not everything could be written in time; recording has ended all the same.
pub fn shutdown(timeout: Duration) -> Result<(), FlushError> {
    let Some(runtime) = started() else { return Ok(()) };
    runtime.shared.control.begin_stop();
    site::all().for_each(CallSite::switch_off);
    runtime.shared.control.shut_down(&runtime.rings, timeout)
}

/// How the recorder is doing, as of its last step.
#[must_use]
pub fn health() -> Health {
    running().map_or_else(
        || Health { level: Level::Off, ..Health::default() },
        |runtime| lock(&runtime.shared.health).clone(),
    )
}

/// Hands every call that ends from now on to `deliver`, on a thread of its own, in batches. A closure
/// too slow for the stream misses records ([`Subscription::missed`]); the program never waits for it.
/// One that panics three times in a row is left alone for half a minute, as its own circuit breaker
/// says ([`Subscription::breaker`]); the store and other subscribers do not notice.
pub fn subscribe(deliver: impl FnMut(&[Record]) + Send + 'static) -> Subscription {
    started().map_or_else(Subscription::to_nothing, |runtime| {
        let shared = Arc::clone(&runtime.shared);
        let tell = move |transition| shared.control.tell(Sink::Subscriber, transition);
        runtime.shared.subscribers.add(deliver, tell)
    })
}

/// Sets the sampling rate of all functions that the pattern matches, as a row in table `sampling`
/// would: at once in this process, within a second in others on the same store, until it is reset.
///
/// # Errors
/// [`RateError`] for a pattern or rate that is not allowed; nothing changes then.
pub fn set_sample_rate(pattern: &str, rate: f64) -> Result<(), RateError> {
    live_rates::check(pattern, rate)?;
    if let Some(runtime) = started() {
        runtime.shared.ask_rate(pattern, Some(rate));
    }
    Ok(())
}

/// Takes back what was set for this pattern, in code or from outside.
///
/// # Errors
/// [`RateError`] for a pattern that is not allowed.
pub fn reset_sample_rate(pattern: &str) -> Result<(), RateError> {
    live_rates::check(pattern, 0.0)?;
    if let Some(runtime) = started() {
        runtime.shared.ask_rate(pattern, None);
    }
    Ok(())
}

/// Who holds the breaker where the program itself does.
const BY_PROGRAM: &str = "program";

/// The circuit breaker around the store's writes.
#[derive(Debug, Clone, Copy)]
pub struct BreakerHandle(());

/// The circuit breaker around the store's writes: to look at, and to hold open or closed by hand.
#[must_use]
pub fn breaker() -> BreakerHandle {
    BreakerHandle(())
}

impl BreakerHandle {
    /// Its state.
    #[must_use]
    pub fn state(&self) -> breaker::State {
        self.statistics().state
    }

    /// Its state and figures; their `Display` says them in one line.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        running()
            .map_or_else(Statistics::default, |runtime| lock(&runtime.shared.breaker).statistics(monotonic()))
    }

    /// Holds it open: nothing is written, records wait in memory.
    pub fn force_open(&self, reason: &str) {
        Self::step(Event::ForceOpen { why: reason, by: BY_PROGRAM });
    }

    /// Holds it closed: every write is tried, whatever came of the last.
    pub fn force_close(&self, reason: &str) {
        Self::step(Event::ForceClose { why: reason, by: BY_PROGRAM });
    }

    /// Lets go of it.
    pub fn auto(&self) {
        Self::step(Event::Auto { why: "", by: BY_PROGRAM });
    }

    fn step(event: Event<'_>) {
        if let Some(runtime) = running() {
            let step = lock(&runtime.shared.breaker).step(monotonic(), event);
            if let Some(transition) = step.transition {
                runtime.shared.control.tell(Sink::Store, transition);
                runtime.rings.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_restarts_a_minute_are_allowed_and_the_fourth_is_not() {
        let mut restarts = Restarts::default();
        let mut at = |second| restarts.is_allowed(Duration::from_secs(second));
        assert_eq!([at(0), at(1), at(2)], [true; 3]);
        assert!(!at(59));
        let mut restarts = Restarts::default();
        assert!((0..20).all(|third| restarts.is_allowed(Duration::from_secs(20 * third + third / 2))));
    }
}
