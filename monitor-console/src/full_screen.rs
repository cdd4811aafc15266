//! The screen of a terminal while a view fills it, and the way back.
//!
//! Entering switches to the alternate screen and to raw mode. The terminal is restored after every way out: the guard
//! is dropped, a thread panics, a signal ends or stops the process, or another part of the console ends it with
//! [`end_process`]. Nothing is drawn once the screen is left, because drawing, leaving and taking hold the same lock.
//!
//! The file does not know what is drawn.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError, mpsc};
#[cfg(unix)]
use std::task::Poll;
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
/// The time after which a terminal counts as one that does not read. It is shorter than [`DRAWING_WAIT`], because the
/// drawing ends once the unread output is discarded.
const READING_WAIT: Duration = Duration::from_millis(100);
/// The longest wait for the screen to be left once the unread output was discarded.
const LEAVING_WAIT: Duration = Duration::from_secs(1);

/// True while a view fills the screen.
static IS_ACTIVE: Mutex<bool> = Mutex::new(false);
/// True once a thread panicked while a view filled the screen.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
/// True once the process ends: then it neither stops nor takes the screen again.
static IS_ENDING: AtomicBool = AtomicBool::new(false);
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
    if IS_ENDING.load(Ordering::Relaxed) {
        return Ok(());
    }
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
    // The mode comes first: unlike a write, the change never waits for a terminal that does not read.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), Show, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen);
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
///
/// A terminal that does not read holds up every write to it, so another thread writes. If that thread does not end in
/// time, the output that the terminal has not read is discarded, which makes room for leaving the screen.
pub(crate) fn end_process(code: i32) -> ! {
    IS_ENDING.store(true, Ordering::Relaxed);
    let (sender, left) = mpsc::channel();
    let write = move || {
        leave();
        for note in take_notes() {
            let _ = writeln!(io::stderr().lock(), "{note}");
        }
        let _ = sender.send(());
    };
    let writer = std::thread::Builder::new().name("leaving".to_owned()).spawn(write);
    if writer.is_err() {
        leave();
    } else if left.recv_timeout(READING_WAIT).is_err() && !is_left() {
        discard_unread_output();
        let _ = left.recv_timeout(LEAVING_WAIT);
    }
    std::process::exit(code)
}

/// Returns true if no view has the screen. Returns false while a thread draws or leaves.
fn is_left() -> bool {
    IS_ACTIVE.try_lock().is_ok_and(|is_active| !*is_active)
}

/// Discards the output that the terminal has not read.
#[cfg(unix)]
fn discard_unread_output() {
    use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
    let output = rustix::stdio::stdout();
    let _ = tcflush(output, QueueSelector::OFlush);
    // Linux wakes a writer that waits for room when the settings are set, and not when output is discarded.
    if let Ok(settings) = tcgetattr(output) {
        let _ = tcsetattr(output, OptionalActions::Now, &settings);
    }
}

/// Does nothing: the console of Windows reads always.
#[cfg(not(unix))]
fn discard_unread_output() {}

/// Starts the threads that give the terminal back when a signal ends or stops the process. When a stopped process goes
/// on, they take the terminal again and call `redraw`.
///
/// A thread of its own watches the signals that end the process, because a terminal that does not read holds up the
/// thread that leaves and takes the screen.
#[cfg(unix)]
pub(crate) fn watch_signals(redraw: impl Fn() + Send + 'static) -> io::Result<()> {
    use rustix::process::{Signal, getpid, kill_process};
    /// The signals that end a process by default and come from outside. Those that report a fault of the process
    /// itself are left alone, because they stand for a core dump.
    const ENDING: [Signal; 11] = [
        Signal::TERM,
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::ALARM,
        Signal::USR1,
        Signal::USR2,
        Signal::VTALARM,
        Signal::PROF,
        Signal::XCPU,
        Signal::XFSZ,
    ];
    spawn_watch("ending signals", &ENDING, |signal| {
        // Interrupting is the usual way to leave an endless view. A shell adds the number of another signal to 128.
        end_process(if signal == Signal::INT { 0 } else { 128 + signal.as_raw() })
    })?;
    spawn_watch("stopping signals", &[Signal::TSTP, Signal::CONT], move |signal| {
        leave();
        if IS_ENDING.load(Ordering::Relaxed) {
            return;
        }
        if signal == Signal::TSTP {
            // The signal that lets the process go on takes the screen again. This thread may run on before all others
            // have stopped.
            let _ = kill_process(getpid(), Signal::STOP);
        } else {
            // A process that was stopped without a chance to act finds the terminal as the shell left it, hence the
            // leaving before.
            let _ = take();
            redraw();
        }
    })
}

/// Starts a thread that calls `act` with each of these signals that comes.
#[cfg(unix)]
fn spawn_watch(
    name: &str,
    signals: &[rustix::process::Signal],
    act: impl Fn(rustix::process::Signal) + Send + 'static,
) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let listen = |kind: &rustix::process::Signal| Ok((*kind, signal(SignalKind::from_raw(kind.as_raw()))?));
    let mut streams = signals.iter().map(listen).collect::<io::Result<Vec<_>>>()?;
    drop(entered);
    let watch = move || {
        loop {
            let next = std::future::poll_fn(|context| {
                let mut kinds = streams.iter_mut();
                let came =
                    kinds.find_map(|(kind, stream)| stream.poll_recv(context).is_ready().then_some(*kind));
                came.map_or(Poll::Pending, Poll::Ready)
            });
            act(runtime.block_on(next));
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(watch)?;
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
