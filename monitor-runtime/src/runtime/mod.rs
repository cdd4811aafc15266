//! The recorder of this process: the only room with statics of the process.
//!
//! Takes the first monitored call, forks and the exit of the process; starts a recorder of parts that tests build
//! themselves. There is at most one recorder in a process. A fork begins a new generation: its child finds no recorder
//! in its own generation, and starts one.

mod fork;
mod recorder;
mod identity;
mod answer;
mod address_space;
mod open_ring_file;
mod open_store;
mod collector_thread;
pub(crate) mod api;
pub(crate) mod bridge;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::accountant::Accountant;
use crate::call::panic_hook::{await_hook, install_hook, renew_hook};
use crate::collect::shared::Shared;
use crate::collect::{Collector, Surroundings};
use crate::config::{Config, Settings, Watch};
use crate::limits;
use crate::platform::clock::Clock;
use crate::platform::process::{self, address_space_left, is_secure};
use crate::platform::reentrancy::{is_ours, run_unguarded};
use crate::platform::stderr::remember_stderr;
use crate::platform::thread::{blocks_all_signals, spawn};
use crate::ring::panics::Exit;
use crate::site::{self, CallSite};
use crate::thread::local::{current, release};
use crate::thread::pool::{ThreadPool, set_process_threads};
use address_space::Room;
use answer::Answer;
use fork::GENERATIONS;
use recorder::Recorder;

/// The recorders, by generation. `None`: recording is off.
static RECORDERS: [OnceLock<Option<&'static Recorder>>; GENERATIONS] =
    [const { OnceLock::new() }; GENERATIONS];

/// The settings that the program gave to `init`, by generation. A slot is filled before its generation's recorder
/// starts, and only by the call of `init` that starts the recorder, so the slot never names settings that are not in
/// force.
static CONFIGS: [OnceLock<Config>; GENERATIONS] = [const { OnceLock::new() }; GENERATIONS];

/// Returns the settings that the program gave in code: to this process, or to the nearest one it was forked from.
fn given_config() -> Option<&'static Config> {
    let generations = fork::generation().saturating_add(1).min(GENERATIONS);
    CONFIGS[..generations].iter().rev().find_map(OnceLock::get)
}

/// Returns the slot of this generation's recorder, unless the process lies too many forks down.
fn generation_slot() -> Option<&'static OnceLock<Option<&'static Recorder>>> {
    RECORDERS.get(fork::generation())
}

/// Returns the recorder if it has been started.
fn find_running() -> Option<&'static Recorder> {
    *generation_slot()?.get()?
}

/// Returns the recorder, and starts it if that has not been done. Returns `None` if recording is off, and on a thread
/// that must not wait for the start. Callers run this within `run_guarded`, so that monitored calls of a signal handler
/// that interrupts the start pass through. The start itself is unguarded, so that a fork does not wait for it.
fn find_or_start() -> Option<&'static Recorder> {
    find_or_start_with(|| start(given_config()))
}

/// Starts the recorder with settings that the program gives in code, unless that has been done. Returns true if this
/// call started it, or found that recording is off by these settings.
fn start_with(config: &Config) -> bool {
    let mut is_first = false;
    find_or_start_with(|| {
        is_first = true;
        if let Some(slot) = CONFIGS.get(fork::generation()) {
            let _ = slot.set(config.clone());
        }
        start(Some(config))
    });
    is_first
}

fn find_or_start_with(start: impl FnOnce() -> Option<&'static Recorder>) -> Option<&'static Recorder> {
    fork::prepare_for_forks();
    set_process_threads(process_rings);
    let slot = generation_slot()?;
    if is_start_awaited(slot) {
        return None;
    }
    *slot.get_or_init(|| run_unguarded(start))
}

/// Returns true on a thread of the recorder's while the recorder starts. A thread of the program's waits for this thread
/// then, so this thread, on which an allocator of the program's may make monitored calls, must not wait for the start.
fn is_start_awaited(slot: &OnceLock<Option<&'static Recorder>>) -> bool {
    slot.get().is_none() && (is_ours() || IS_STARTING.load(Ordering::SeqCst) && blocks_all_signals())
}

/// True while a thread of the program's waits for the recorder's start.
static IS_STARTING: AtomicBool = AtomicBool::new(false);

/// Returns the rings of the recorder, and starts the recorder if that has not been done.
fn process_rings() -> Option<&'static ThreadPool> {
    Some(&find_or_start()?.rings)
}

/// Registers a function at its first call: gives it an id and its rate, or switches it off.
#[cold]
pub(crate) fn register(site: &'static CallSite) {
    if generation_slot().is_some_and(is_start_awaited) {
        // The call passes through, and the next one registers the function.
        return;
    }
    let recorder = find_or_start().filter(|recorder| !recorder.shared.control.is_stopping());
    match recorder {
        Some(recorder) if site.register() => {
            recorder.rings.home.metadata.site(&recorder.rings.home.memory, site);
            // Calls leave a record from half the threshold on, because the clock is hardly calibrated yet.
            site.set_slow_limit(site.slow_ns().map_or(u64::MAX, |ns| ns / 2));
            recorder.shared.apply_rate(site);
        }
        _ => site.switch_off(),
    }
}

/// Starts the recorder on a thread of its own, and waits for it. Returns `None` if recording is off, or if no thread
/// can be started, or if the thread does not run in time; nothing is printed from the caller's thread. The caller may
/// have a small stack, and needs little of it.
fn start(config: Option<&Config>) -> Option<&'static Recorder> {
    if Settings::is_off(config, is_secure()) || !address_space::has_room_for_thread(address_space_left()) {
        return None;
    }
    let config = config.cloned();
    let started = Arc::new(Answer::default());
    let answer = Arc::clone(&started);
    let body = move || {
        // The answer is given in any case, if need be by the drop of the promise.
        let answer = answer.promise();
        if let Some((recorder, collect)) = prepare(config.as_ref())
            && answer.give(recorder)
        {
            collect();
        }
    };
    IS_STARTING.store(true, Ordering::SeqCst);
    let recorder = spawn("monitored", body).ok().and_then(|()| started.wait(limits::START_WAIT_MAX));
    IS_STARTING.store(false, Ordering::SeqCst);
    let recorder = recorder?;
    install_handlers();
    await_hook();
    Some(recorder)
}

/// Reads the settings, and makes the recorder. Returns it with its collector, which is to run on this thread; `None` if
/// recording is off.
fn prepare(config: Option<&Config>) -> Option<(&'static Recorder, impl FnOnce())> {
    remember_stderr();
    let (mut settings, warnings) = Settings::load(config, is_secure());
    if !settings.enabled {
        return None;
    }
    let tables_bytes = open_ring_file::TABLES_BYTES_MAX as u64;
    let room = address_space::fit(&mut settings, address_space_left(), tables_bytes);
    if room == Room::None {
        return None;
    }
    install_hook(panic_words);
    let clock = Clock::start();
    let (overflow_in, overflow) = crossbeam_channel::unbounded();
    let memory = usize::try_from(settings.max_memory_bytes).unwrap_or(usize::MAX);
    let accountant: &'static Accountant = Box::leak(Box::new(Accountant::new(memory)));
    let identity = identity::process(&settings);
    let (ring_memory, declared) = open_ring_file::open(&settings, &identity, room);
    let seed = crate::platform::process::random_seed();
    let rings = ThreadPool::new(accountant, seed, settings.capture, overflow_in, ring_memory);
    let (shared, requests) = Shared::new(settings.sample.clone(), accountant);
    let recorder: &'static Recorder = Box::leak(Box::new(Recorder {
        rings,
        shared: Arc::new(shared),
        store_path: bridge::path_of(&settings),
    }));
    if let Some(declared) = declared {
        recorder.rings.home.metadata.calibrate(clock.calibration(), identity.started_ns);
        recorder.rings.home.declare(&declared);
        // The child of a fork knows the functions that its parent called.
        site::registered()
            .for_each(|site| recorder.rings.home.metadata.site(&recorder.rings.home.memory, site));
    }
    // A program that calls without a pause from its start needs a burst ring before the collector has begun.
    recorder.rings.prepare_bursts(1);
    let shared = Arc::clone(&recorder.shared);
    let opener = open_store::opener(&settings, identity, Arc::clone(&shared), accountant);
    let watch = Watch::new(&settings, config, is_secure());
    let collect = move || {
        let rings = &recorder.rings;
        let surroundings = Surroundings {
            rings,
            overflow,
            shared,
            clock,
            opener,
            watch,
            renew_panic_hook: renew_hook,
            guards: bridge::GUARDS,
            sources: bridge::ask_sources,
        };
        collector_thread::run(recorder, Collector::new(&settings, surroundings), requests, &warnings);
    };
    Some((recorder, collect))
}

/// Prepares for the exit of the process, once.
fn install_handlers() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        if !process::at_exit_with_status(at_exit_with_status) {
            process::at_exit(at_exit);
        }
        process::at_quick_exit(at_exit);
        process::at_process_end(at_process_end);
    });
}

extern "C" fn at_exit() {
    exit(Exit { status: None });
}

extern "C" fn at_exit_with_status(status: std::ffi::c_int, _: *mut std::ffi::c_void) {
    exit(Exit { status: Some(status) });
}

/// Notes that the process ends in good order, for the case that the recorder's thread has ended before. The ring file
/// keeps what the store lacks.
extern "C" fn at_process_end() {
    if let Some(recorder) = find_running() {
        recorder.rings.home.metadata.exiting(Exit { status: None });
    }
}

/// Writes what the rings hold, at a normal end of the process: the return from `main`, also by a panic, or `process::exit`.
fn exit(exit: Exit) {
    if let Some(recorder) = find_running() {
        recorder.rings.home.metadata.exiting(exit);
        // The thread never goes on, so the arguments of its calls may be read by the collector.
        if let Some(state) = current() {
            release(state);
        }
        recorder.shared.control.note_exit(exit);
        let _ = recorder.shared.control.stop(&recorder.rings, limits::EXIT_DRAIN_MAX, false);
    }
}

/// Returns the words of the ring file for a panic of a thread without a state.
fn panic_words() -> Option<&'static [AtomicU64]> {
    Some(find_running()?.rings.home.metadata.panic_words())
}
