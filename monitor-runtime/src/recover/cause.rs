//! The cause of a process's death, as far as it is known.
//!
//! Takes what the process wrote into its ring file, what the system reports about its end, and the moments of both;
//! gives a sentence, and the panics that were seen before. A panic is the cause only if it is known not to have been
//! caught. Nothing is guessed: a process that left no word of its end was killed, or ended without its exit handlers.
//! It reads no file.

use crate::batch::Ending;
use crate::growth::collect_most;
use crate::ring::panics::{Exit, Panic, Stage};

/// The system's account of the end of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SystemReport {
    /// Nothing, because nobody is left who knows the end.
    #[default]
    Nothing,
    /// The process still runs, as another program.
    BecameAnother,
    /// The exit status, which the system keeps until the parent has taken it.
    Exited(i32),
    /// The signal that ended the process. The system keeps it until the parent has taken it, or a core file shows it.
    Signal(i32),
}

/// A panic before the death, with its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EarlierPanic {
    pub(crate) at_ns: i64,
    /// The sentence about the panic.
    pub(crate) detail: String,
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) ending: Ending,
    pub(crate) text: String,
    /// Panics that are not the cause, oldest first.
    pub(crate) panics: Vec<EarlierPanic>,
}

/// A panic with its moment and the name of its thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenPanic<'a> {
    pub(crate) panic: &'a Panic,
    pub(crate) at_ns: i64,
    pub(crate) thread: &'a str,
}

/// Returns the end of a process that died at a moment.
pub(crate) fn find_cause(
    seen: &[SeenPanic<'_>],
    exit: Option<Exit>,
    reported: SystemReport,
    died_ns: i64,
) -> Cause {
    let mut seen = collect_most(seen.iter().copied());
    seen.sort_unstable_by_key(|seen| seen.at_ns);
    let own = seen.iter().rposition(|seen| is_cause(seen, exit, reported, died_ns));
    let text = match (own.and_then(|at| seen.get(at)), exit, reported) {
        (Some(own), ..) => own.panic.to_cause(reported),
        (None, Some(exit), _) => describe_exit(exit),
        (None, None, SystemReport::BecameAnother) => "became another program by exec".to_owned(),
        (None, None, SystemReport::Exited(status)) => {
            format!("ended with status {status} without its exit handlers")
        }
        (None, None, SystemReport::Signal(signal)) => format!("died by {}", name_signal(signal)),
        (None, None, SystemReport::Nothing) => "was killed or ended without its handlers".to_owned(),
    };
    let ending = if own.is_none() && exit.is_some() { Ending::Exit } else { Ending::Crash };
    let earlier = seen.iter().enumerate().filter(|(at, _)| Some(*at) != own);
    let earlier =
        earlier.map(|(_, seen)| EarlierPanic { at_ns: seen.at_ns, detail: describe(seen, died_ns) });
    Cause { ending, text, panics: collect_most(earlier) }
}

/// Returns true for a panic that is known to have ended the process.
fn is_cause(seen: &SeenPanic<'_>, exit: Option<Exit>, reported: SystemReport, died_ns: i64) -> bool {
    if let Some(exit) = exit {
        return seen.panic.to_cause_of_exit(exit).is_some();
    }
    match seen.panic.stage {
        Stage::InHook | Stage::Aborting => {
            !matches!(reported, SystemReport::BecameAnother | SystemReport::Signal(SIGKILL))
        }
        // A panic that aborts at once after its hook found no frame that catches: the hook had noted that the panic
        // would unwind, but there was nothing to unwind to.
        Stage::Unwinding => {
            reported == SystemReport::Signal(SIGABRT) && died_ns.saturating_sub(seen.at_ns) < AT_ONCE_NS
        }
        // A thread that ends does not end the other threads.
        Stage::ThreadEnded => false,
    }
}

impl Panic {
    /// Returns the sentence that names this panic as the cause of a death.
    fn to_cause(&self, reported: SystemReport) -> String {
        let how = match (self.stage, reported) {
            (_, SystemReport::Signal(signal)) => format!(" ({})", name_signal(signal)),
            (Stage::InHook, _) => " (before its panic hook returned)".to_owned(),
            _ => String::new(),
        };
        format!("ended by its own panic{how}: {}", self.text)
    }

    /// Returns the sentence that names this panic as the cause of an exit; `None` if the process did not exit because
    /// of it. It did if the status is that of a program whose main thread has panicked, and the main thread ended
    /// without another call after this panic.
    pub(crate) fn to_cause_of_exit(&self, exit: Exit) -> Option<String> {
        let has_ended =
            self.stage == Stage::ThreadEnded || self.thread == 0 && self.stage == Stage::Unwinding;
        let is_cause = self.is_main && has_ended && exit.status == Some(PANIC_STATUS);
        is_cause.then(|| self.to_cause(SystemReport::Nothing))
    }
}

/// The status with which a program ends whose main thread has panicked.
const PANIC_STATUS: i32 = 101;

fn describe_exit(exit: Exit) -> String {
    match exit.status {
        Some(status) => format!("ended in good order, with status {status}"),
        None => "ended in good order".to_owned(),
    }
}

/// Describes a panic that is not known to have ended the process.
fn describe(seen: &SeenPanic<'_>, died_ns: i64) -> String {
    let SeenPanic { panic, at_ns, thread } = seen;
    let is_last_sign = died_ns.saturating_sub(*at_ns) < AT_ONCE_NS;
    let what = match panic.stage {
        Stage::ThreadEnded => format!("a panic after which thread {thread} ended"),
        Stage::Unwinding if is_last_sign => format!("a panic on thread {thread}, not known to be caught"),
        _ => format!("a caught panic on thread {thread}"),
    };
    format!("{what}: {}", panic.text)
}

/// Returns the number of a signal as text, with its name if the signal is in `SIGNALS`.
fn name_signal(signal: i32) -> String {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, name)| format!("signal {signal} ({name})"))
}

/// The numbers of the signals that decide about the cause. They are the same on all systems.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// No signals, because no process is ended by one.
#[cfg(not(unix))]
const SIGNALS: [(i32, &str); 0] = [];

/// The signals that end a process and that people know by name.
#[cfg(unix)]
const SIGNALS: [(i32, &str); 16] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGXFSZ, "SIGXFSZ"),
    (libc::SIGSYS, "SIGSYS"),
];

/// A death at most this long after a panic follows it at once: an abort takes microseconds.
const AT_ONCE_NS: i64 = 50_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000_000_000;
    const MS: i64 = 1_000_000;

    fn panic(stage: Stage, is_main: bool) -> Panic {
        Panic { at: 1, stage, is_main, thread: 1, text: "boom, a.rs:1:2".to_owned() }
    }

    /// Returns the cause of a death some milliseconds after a panic.
    fn cause_after(
        panic: &Panic,
        ms: i64,
        exit: Option<Exit>,
        reported: SystemReport,
    ) -> (String, Vec<String>) {
        let seen = SeenPanic { panic, at_ns: T - ms * MS, thread: "worker" };
        let cause = find_cause(&[seen], exit, reported, T);
        (cause.text, cause.panics.into_iter().map(|panic| panic.detail).collect())
    }

    #[test]
    fn a_panic_that_a_process_survived_is_never_the_cause_of_its_death() {
        let caught = panic(Stage::Unwinding, true);
        let (killed, caught_text) =
            ("was killed or ended without its handlers", "a caught panic on thread worker: boom, a.rs:1:2");
        assert_eq!(
            cause_after(&caught, 700, None, SystemReport::Nothing),
            (killed.into(), vec![caught_text.into()])
        );
        assert_eq!(cause_after(&caught, 700, None, SystemReport::Signal(9)).0, "died by signal 9 (SIGKILL)");
        // An abort long after has another reason.
        assert_eq!(cause_after(&caught, 700, None, SystemReport::Signal(6)).0, "died by signal 6 (SIGABRT)");
        let exit = Exit { status: Some(101) };
        assert_eq!(
            cause_after(&caught, 1, Some(exit), SystemReport::Nothing).0,
            "ended in good order, with status 101"
        );
        let (how, others) = cause_after(&caught, 1, None, SystemReport::Nothing);
        assert_eq!(how, killed);
        assert_eq!(others, ["a panic on thread worker, not known to be caught: boom, a.rs:1:2"]);
    }

    #[test]
    fn a_panic_that_was_not_caught_is_the_cause() {
        let none = Vec::<String>::new();
        let own = |how: &str| format!("ended by its own panic{how}: boom, a.rs:1:2");
        let in_hook = panic(Stage::InHook, false);
        let hook = own(" (before its panic hook returned)");
        assert_eq!(cause_after(&in_hook, 0, None, SystemReport::Nothing), (hook, none.clone()));
        let aborting = panic(Stage::Aborting, false);
        assert_eq!(cause_after(&aborting, 0, None, SystemReport::Nothing), (own(""), none.clone()));
        let signal = own(" (signal 6 (SIGABRT))");
        assert_eq!(cause_after(&aborting, 0, None, SystemReport::Signal(6)), (signal.clone(), none.clone()));
        assert_eq!(
            cause_after(&panic(Stage::Unwinding, false), 1, None, SystemReport::Signal(6)),
            (signal, none.clone())
        );
        let exit = Exit { status: Some(101) };
        let of_main = panic(Stage::ThreadEnded, true);
        assert_eq!(cause_after(&of_main, 1, Some(exit), SystemReport::Nothing), (own(""), none));
    }

    #[test]
    fn a_panic_that_ended_another_thread_is_told_beside_the_cause() {
        let ended = panic(Stage::ThreadEnded, false);
        let text = "a panic after which thread worker ended: boom, a.rs:1:2";
        for (exit, reported, how) in [
            (None, SystemReport::Nothing, "was killed or ended without its handlers"),
            (None, SystemReport::Exited(3), "ended with status 3 without its exit handlers"),
            (None, SystemReport::BecameAnother, "became another program by exec"),
            (Some(Exit { status: Some(101) }), SystemReport::Nothing, "ended in good order, with status 101"),
            (Some(Exit { status: None }), SystemReport::Nothing, "ended in good order"),
        ] {
            assert_eq!(cause_after(&ended, 1, exit, reported), (how.into(), vec![text.into()]));
        }
    }
}
