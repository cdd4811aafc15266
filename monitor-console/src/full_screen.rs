//! The screen of a terminal while a view fills it, and the way back.
//!
//! Entering switches to the alternate screen and to raw mode. The terminal is restored after every way out: the guard
//! is dropped, a thread panics, a signal ends or stops the process, or another part of the console ends it with
//! [`end_process`]. Nothing is drawn once the screen is left, because drawing, leaving and taking hold the same lock.
//!
//! The file does not know what is drawn.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// The longest wait for a drawing to end before the screen is left all the same: a thread that panics while it draws
/// never ends its drawing.
const DRAWING_WAIT: Duration = Duration::from_millis(200);

/// True while a view fills the screen.
static IS_ACTIVE: Mutex<bool> = Mutex::new(false);
/// True once a thread panicked while a view filled the screen.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
/// The notes that were to be printed while a view filled the screen.
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The screen; dropping it gives the terminal back.
pub(crate) struct FullScreen(());

impl Drop for FullScreen {
    fn drop(&mut self) {
        leave();
    }
}

/// Switches to the full screen. Dropping the returned guard gives the terminal back.
pub(crate) fn enter() -> io::Result<FullScreen> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            HAS_PANICKED.store(true, Ordering::Relaxed);
            leave();
            earlier(panic);
        }));
    });
    // The guard comes first, so that a half-done entry is undone.
    let guard = FullScreen(());
    take()?;
    Ok(guard)
}

fn take() -> io::Result<()> {
    let mut is_active = lock(&IS_ACTIVE);
    *is_active = true;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, Hide)
}

/// Gives the terminal back if a view has it. Errors are ignored, because the terminal may be gone.
pub(crate) fn leave() {
    let deadline = Instant::now() + DRAWING_WAIT;
    let mut is_active = loop {
        match IS_ACTIVE.try_lock() {
            Ok(is_active) => break Some(is_active),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => break Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) if Instant::now() > deadline => break None,
            Err(std::sync::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    if is_active.as_mut().is_some_and(|is_active| !std::mem::replace(&mut **is_active, false)) {
        return;
    }
    let _ = execute!(io::stdout(), Show, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

/// Returns true if the screen was left because a thread panicked, and not because the process stops for a while.
pub(crate) fn has_panicked() -> bool {
    HAS_PANICKED.load(Ordering::Relaxed)
}

/// Runs a drawing if a view has the screen; returns `None` while the screen is left.
pub(crate) fn draw<T>(drawing: impl FnOnce() -> T) -> Option<T> {
    let is_active = lock(&IS_ACTIVE);
    is_active.then(drawing)
}

/// Keeps a note while a view fills the screen, and returns true; returns false if it can be printed.
pub(crate) fn keep_note(text: &str) -> bool {
    let is_active = *lock(&IS_ACTIVE);
    if is_active {
        lock(&NOTES).push(text.to_owned());
    }
    is_active
}

/// Returns the notes that were kept since the last time.
pub(crate) fn take_notes() -> Vec<String> {
    std::mem::take(&mut *lock(&NOTES))
}

/// Ends the process, with the terminal given back and the kept notes printed.
pub(crate) fn end_process(code: i32) -> ! {
    leave();
    for note in take_notes() {
        let _ = writeln!(io::stderr().lock(), "{note}");
    }
    std::process::exit(code)
}

/// Starts the thread that gives the terminal back when a signal ends or stops the process, takes it again when the process
/// goes on, and then calls `redraw`.
#[cfg(unix)]
pub(crate) fn watch_signals(redraw: impl Fn() + Send + 'static) -> io::Result<()> {
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let [mut terminate, mut hang_up, mut interrupt, mut stop, mut go_on] =
        [Signal::TERM, Signal::HUP, Signal::INT, Signal::TSTP, Signal::CONT]
            .map(|kind| signal(SignalKind::from_raw(kind.as_raw())));
    drop(entered);
    let watch = async move {
        let (Ok(terminate), Ok(hang_up), Ok(interrupt)) = (&mut terminate, &mut hang_up, &mut interrupt)
        else {
            return;
        };
        let (Ok(stop), Ok(go_on)) = (&mut stop, &mut go_on) else { return };
        loop {
            tokio::select! {
                // A shell adds the number of the signal to 128.
                _ = terminate.recv() => end_process(128 + Signal::TERM.as_raw()),
                _ = hang_up.recv() => end_process(128 + Signal::HUP.as_raw()),
                // Interrupting is the usual way to leave an endless view.
                _ = interrupt.recv() => end_process(0),
                _ = stop.recv() => {
                    leave();
                    // The signal that lets the process go on takes the screen again. This thread may run on before all
                    // others have stopped.
                    let _ = kill_process(getpid(), Signal::STOP);
                }
                // A process that was stopped without a chance to act finds the terminal as the shell left it.
                _ = go_on.recv() => {
                    leave();
                    let _ = take();
                    redraw();
                }
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watch))?;
    Ok(())
}

/// Does nothing: the console of Windows sends keys instead of these signals.
#[cfg(not(unix))]
pub(crate) fn watch_signals(_redraw: impl Fn() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// Stops the process as Ctrl-Z does, until the shell lets it go on.
#[cfg(unix)]
pub(crate) fn suspend() {
    use rustix::process::{Signal, getpid, kill_process};
    let _ = kill_process(getpid(), Signal::TSTP);
}

/// Does nothing: a process of Windows cannot be stopped.
#[cfg(not(unix))]
pub(crate) fn suspend() {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
