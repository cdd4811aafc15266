//! The time that a statement may compute. Time that the reader of the output takes does not count.
//!
//! Takes a limit; gives an error that says that a statement was stopped, and what to do. SQLite asks for the time every ten
//! thousand instructions. A few instructions may take much longer (a large sort, a search in a long text). A second
//! thread therefore interrupts the statement, and ends the process if the statement does not end. Ending the process is
//! harmless, because statements read, save single ones that write one row of a control table.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;

use crate::{full_screen, terminal, units};

/// The pause between two looks of the thread that watches the time limit.
const WATCH_PAUSE: Duration = Duration::from_millis(50);
/// The time after the limit in which an interrupted statement has to end by itself.
const INTERRUPT_GRACE: Duration = Duration::from_secs(1);

/// The time that a statement may compute. The time during which a row is handed on does not count.
pub(super) struct TimeLimit {
    origin: Instant,
    limit_ns: AtomicU64,
    /// The time from `origin` at which the running statement is stopped; [`NOT_RUNNING`] while none runs.
    until_ns: AtomicU64,
    /// The exit code with which the process is ended when a statement does not end, or [`SPARED`].
    end_code: AtomicI32,
    /// The advice in the error of a stopped statement. Without one, the error advises a shorter `--since`.
    advice: OnceLock<&'static str>,
}

/// The error of a statement that was stopped at its time limit.
#[derive(Debug)]
pub(crate) struct Stopped(String);

impl std::fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Stopped {}

/// The exit code that stands for none: the process goes on. No failure ends with 0.
const SPARED: i32 = 0;
/// The end of the time limit while no statement runs.
const NOT_RUNNING: u64 = u64::MAX;

/// A statement that runs: its time limit ends with it.
pub(super) struct Running<'a>(&'a TimeLimit);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.until_ns.store(NOT_RUNNING, Relaxed);
    }
}

impl TimeLimit {
    pub(super) fn new(limit: Duration) -> Self {
        let limit_ns = AtomicU64::new(to_ns_saturating(limit));
        let end_code = AtomicI32::new(1);
        let until_ns = AtomicU64::new(NOT_RUNNING);
        Self { origin: Instant::now(), limit_ns, until_ns, end_code, advice: OnceLock::new() }
    }

    /// Returns the exit code with which the process is ended when a statement does not end; `None` if the process is
    /// spared.
    pub(super) fn end_code(&self) -> Option<i32> {
        Some(self.end_code.load(Relaxed)).filter(|code| *code != SPARED)
    }

    /// Sets the time that each statement may compute.
    pub(super) fn set(&self, limit: Duration) {
        self.limit_ns.store(to_ns_saturating(limit), Relaxed);
    }

    /// Sets the advice in the error of a stopped statement. The first advice holds.
    pub(super) fn advise(&self, advice: &'static str) {
        let _ = self.advice.set(advice);
    }

    /// Keeps the process alive if a statement does not end after its time limit.
    pub(super) fn spare_process(&self) {
        self.end_process_with(SPARED);
    }

    /// Sets the exit code with which the process ends if a statement does not end after its time limit; 1 at first.
    pub(super) fn end_process_with(&self, code: i32) {
        self.end_code.store(code, Relaxed);
    }

    fn elapsed_ns(&self) -> u64 {
        to_ns_saturating(self.origin.elapsed())
    }

    /// Gives a statement the whole limit.
    pub(super) fn start(&self) -> Running<'_> {
        let until = self.elapsed_ns().saturating_add(self.limit_ns.load(Relaxed));
        self.until_ns.store(until, Relaxed);
        Running(self)
    }

    /// Runs `pause` without counting its time.
    pub(super) fn suspend<T>(&self, pause: impl FnOnce() -> T) -> T {
        let before = self.elapsed_ns();
        let until = self.until_ns.swap(NOT_RUNNING, Relaxed);
        let outcome = pause();
        let paused = self.elapsed_ns() - before;
        self.until_ns.store(until.saturating_add(paused), Relaxed);
        outcome
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.is_exceeded_by(Duration::ZERO)
    }

    fn is_exceeded_by(&self, grace: Duration) -> bool {
        self.elapsed_ns() > self.until_ns.load(Relaxed).saturating_add(to_ns_saturating(grace))
    }

    /// Returns the error of a statement that was stopped.
    pub(super) fn stopped(&self) -> Stopped {
        Stopped(self.describe_stop())
    }

    fn describe_stop(&self) -> String {
        #[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
        let limit = units::format_duration(self.limit_ns.load(Relaxed) as f64);
        let advice = self.advice.get().copied().unwrap_or("select less, for example with --since");
        format!("stopped after computing for {limit}: {advice}")
    }

    /// Starts the thread that watches the time limit until the store is closed. Without the thread, which the system
    /// may refuse, SQLite's own looks at the clock remain.
    pub(super) fn watch(self: &Arc<Self>, statement: InterruptHandle) {
        let watched = Arc::downgrade(self);
        let look = move || {
            while let Some(limit) = watched.upgrade() {
                if limit.is_exceeded_by(INTERRUPT_GRACE)
                    && let Some(code) = limit.end_code()
                {
                    terminal::print_note(&format!("error: {}", limit.describe_stop()));
                    full_screen::end_process(code);
                }
                if limit.is_used_up() {
                    statement.interrupt();
                }
                drop(limit);
                std::thread::sleep(WATCH_PAUSE);
            }
        };
        let _ = std::thread::Builder::new().name("time limit".to_owned()).spawn(look);
    }
}

fn to_ns_saturating(span: Duration) -> u64 {
    span.as_nanos().try_into().unwrap_or(u64::MAX)
}
