//! A program of monitored calls, and the code that runs it: on real threads, through the real guard, while the
//! collector takes its steps. The run returns the calls as the model sees them: each with its function, outcome,
//! caller and thread.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};

use super::Recorder;
use super::ledger::Answer;
use crate::capture::dispatch::{ErrorValue, Value, traits::*};
use crate::collect::Mode;
use crate::private::{AsyncCall, Call, Slot, instrument};
use crate::record::Outcome;
use crate::sampling::Source;
use crate::site::{CallSite, Caps, Description};
use crate::sync::lock;
use crate::thread::pool::ThreadPool;

/// The number of functions. The first two are always recorded; the rates of the others change.
pub(super) const FUNCTIONS: usize = 4;
/// The number of functions whose rate stays 1.
pub(super) const ALWAYS: usize = 2;

/// A program, and the recorder's bounds and the store's answers while it runs.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The memory for rings. With 0 there is no room for any ring.
    pub(super) rings_bytes: usize,
    pub(super) memory_bytes: u64,
    pub(super) batch_rows: usize,
    /// The bound on rows per second and function; 0 for none.
    pub(super) max_rate: u32,
    /// The number of calls of a function below one caller that have a row each.
    pub(super) fold_after: u32,
    pub(super) answers: Vec<Answer>,
    pub(super) rounds: Vec<Round>,
}

/// Threads that start and end while the collector takes some steps.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) threads: Vec<Vec<Work>>,
    pub(super) changes: Vec<(usize, Change)>,
    /// If set, each thread makes its calls within one outer call, which is still in flight when the counts are
    /// checked.
    pub(super) held: bool,
    pub(super) steps: usize,
}

/// A change of a function's sampling while the program runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Rate(f64),
    Counted(bool),
}

/// A call and its callees.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) function: usize,
    pub(super) ending: Ending,
    pub(super) times: usize,
    pub(super) callees: Vec<Work>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Ok,
    OkWithResult,
    Error,
    Panic,
    AsyncOk,
    AsyncError,
    AsyncPanic,
    AsyncCancelled,
}

impl Ending {
    fn outcome(self) -> Outcome {
        match self {
            Self::Ok | Self::OkWithResult | Self::AsyncOk => Outcome::Ok,
            Self::Error | Self::AsyncError => Outcome::Error,
            Self::Panic | Self::AsyncPanic => Outcome::Panic,
            Self::AsyncCancelled => Outcome::Cancelled,
        }
    }
}

/// A call as the model saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) function: usize,
    pub(super) outcome: Outcome,
    /// The number of the caller.
    pub(super) parent: Option<u64>,
    pub(super) thread: String,
}

/// The call sites of one program.
pub(super) struct Functions([&'static CallSite; FUNCTIONS]);

impl Functions {
    pub(super) fn new() -> Self {
        // A number in place of the line, because functions with the same name, file and line would share their
        // counts with those of another program.
        static PROGRAMS: AtomicU32 = AtomicU32::new(1);
        // Without the mark, no call takes the common way.
        crate::platform::fork_mark::prepare(|| ());
        let line = PROGRAMS.fetch_add(1, Ordering::Relaxed);
        Self(std::array::from_fn(|function| {
            let name =
                ["pipeline::first", "pipeline::second", "pipeline::third", "pipeline::fourth"][function];
            let about = Description::new(|| "pipeline", file!(), line, &["number"], &[]).name(name);
            let site = CallSite::new(Box::leak(Box::new(about)));
            let site: &'static CallSite = Box::leak(Box::new(site));
            assert!(site.register());
            site.request(1.0, Source::Default);
            site
        }))
    }

    pub(super) fn site(&self, function: usize) -> &'static CallSite {
        self.0[function]
    }

    pub(super) fn id(&self, function: usize) -> u32 {
        self.0[function].id()
    }
}

/// The calls that were run so far.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) calls: Vec<Seen>,
    numbers: Arc<AtomicU64>,
    threads: usize,
    /// Set once a function was counted only, because such calls may be counted when they begin.
    counted: bool,
}

impl Run {
    /// Runs the threads of a round to their end while the collector takes its steps.
    pub(super) fn round(&mut self, round: &Round, functions: &Functions, recorder: &mut Recorder) {
        let rings = recorder.rings;
        let numbers = &*Arc::clone(&self.numbers);
        let mut seen = Vec::new();
        std::thread::scope(|scope| {
            let (quiet, quiets) = mpsc::channel();
            let mut workers = Vec::new();
            let mut ends = Vec::new();
            for works in &round.threads {
                self.threads += 1;
                let name = format!("worker-{}", self.threads);
                let worker = Worker { functions, numbers, thread: name.clone(), seen: Vec::new() };
                let (end, ended) = mpsc::channel::<()>();
                ends.push(end);
                let quiet = quiet.clone();
                let body = move || worker.run(rings, works, round.held, &quiet, &ended);
                workers.push(std::thread::Builder::new().name(name).spawn_scoped(scope, body).unwrap());
            }
            drop(quiet);
            for (function, change) in &round.changes {
                self.counted |= matches!(change, Change::Counted(true));
                functions.change(*function, *change);
            }
            for _ in 0..round.steps {
                recorder.collector.step(Mode::Usual);
            }
            let calls: u64 = quiets.iter().take(workers.len()).sum();
            self.assert_balanced(calls, if round.held { workers.len() } else { 0 }, recorder);
            drop(ends);
            for worker in workers {
                seen.extend(worker.join().unwrap());
            }
        });
        self.calls.extend(seen);
    }

    /// Asserts, while no thread makes calls: calls = recorded + sampled out + dropped + in flight.
    fn assert_balanced(&self, ended_now: u64, in_flight: usize, recorder: &mut Recorder) {
        recorder.collector.step(Mode::Flush);
        let health = lock(&recorder.shared.health).clone();
        let ended = self.calls.len() as u64 + ended_now;
        // A failure that found no room in the ring and the channel is folded, and is not counted as recorded.
        let reported =
            health.recorded + health.sampled_out + health.dropped.ring_full + health.dropped.no_ring;
        let folded = health.folded_errors;
        let counted_early = if self.counted { in_flight as u64 } else { 0 };
        assert!(
            reported <= ended + counted_early && reported + folded >= ended,
            "{ended} calls ended, {in_flight} are in flight, and the report says {health:?}"
        );
    }
}

impl Functions {
    fn change(&self, function: usize, change: Change) {
        match change {
            Change::Rate(rate) => self.0[function].request(rate, Source::Live),
            Change::Counted(is_counted) => {
                // Only unsampled calls are counted, so the rate is low.
                self.0[function].request(0.01, Source::Live);
                self.0[function].apply(Caps { is_counted, ..Caps::NONE });
            }
        }
    }
}

/// A thread of a program.
struct Worker<'a> {
    functions: &'a Functions,
    numbers: &'a AtomicU64,
    thread: String,
    seen: Vec<Seen>,
}

impl Worker<'_> {
    /// Makes the calls, sends how many of them have ended, and waits to be released.
    fn run(
        mut self,
        rings: &'static ThreadPool,
        works: &[Work],
        held: bool,
        quiet: &mpsc::Sender<u64>,
        ended: &mpsc::Receiver<()>,
    ) -> Vec<Seen> {
        rings.acquire().expect("memory for a thread's state");
        let body = |worker: &mut Self, parent| {
            for work in works {
                worker.work(work, parent);
            }
            // The model has seen the outer call, which has not ended yet.
            let calls = worker.seen.len() as u64 - u64::from(held);
            quiet.send(calls).expect("the test waits");
            let _ = ended.recv();
        };
        if held {
            self.call(0, Ending::Ok, None, body);
        } else {
            body(&mut self, None);
        }
        self.seen
    }

    fn work(&mut self, work: &Work, parent: Option<u64>) {
        for _ in 0..work.times {
            self.call(work.function, work.ending, parent, |worker, parent| {
                for callee in &work.callees {
                    worker.work(callee, parent);
                }
            });
        }
    }

    /// Makes a monitored call, as the expansion of the attribute does.
    fn call(
        &mut self,
        function: usize,
        ending: Ending,
        parent: Option<u64>,
        body: impl FnOnce(&mut Self, Option<u64>),
    ) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let thread = self.thread.clone();
        self.seen.push(Seen { number, function, outcome: ending.outcome(), parent, thread });
        let site = self.functions.0[function];
        match ending {
            Ending::Ok | Ending::OkWithResult | Ending::Error | Ending::Panic => {
                let body = || body(self, Some(number));
                let _ = catch_unwind(AssertUnwindSafe(|| call(site, number, ending, body)));
            }
            _ => {
                let body = || body(self, Some(number));
                let _ = catch_unwind(AssertUnwindSafe(|| call_async(site, number, ending, body)));
            }
        }
    }
}

/// Makes a monitored call, as the expansion of the attribute does.
pub(super) fn call(site: &'static CallSite, number: u64, ending: Ending, body: impl FnOnce()) {
    let mut slot = Slot::empty();
    let mut call = Call::<1>::prepare(&mut slot, site);
    if let Some(writer) = call.args() {
        (&&&&&Value(&number)).__monitor_capture(writer);
        call.keep_args(writer);
    }
    body();
    match ending {
        Ending::OkWithResult => {
            if let Some((writer, last)) = call.ok_with() {
                (&&&&&Value(&number)).__monitor_capture(writer);
                call.end_with(writer, last);
            }
        }
        Ending::Error => {
            if let Some((writer, last)) = call.error() {
                (&&&&&ErrorValue(&error_text(number))).__monitor_write(writer);
                call.end_with(writer, last);
            }
        }
        Ending::Panic => resume_unwind(Box::new(())),
        _ => call.ok(),
    }
}

/// Returns the text of an error. The kind of an error is its text without numbers, so there are three kinds.
pub(super) fn error_text(number: u64) -> String {
    format!("{} {number}", ["refused", "too late", "no such thing"][number as usize % 3])
}

fn call_async(site: &'static CallSite, number: u64, ending: Ending, body: impl FnOnce()) {
    let mut call = AsyncCall::enter(site);
    call.args(|writer| (&&&&&Value(&number)).__monitor_capture(writer));
    let mut body = Some(body);
    let polled = poll_fn(move |_| {
        if let Some(body) = body.take() {
            body();
            return Poll::Pending;
        }
        match ending {
            Ending::AsyncPanic => resume_unwind(Box::new(())),
            _ => Poll::Ready(()),
        }
    });
    let mut future = pin!(instrument(call, polled, move |finish, ()| match ending {
        Ending::AsyncError =>
            finish.error(|writer| (&&&&&ErrorValue(&error_text(number))).__monitor_write(writer)),
        _ => finish.ok_with(|writer| (&&&&&Value(&number)).__monitor_capture(writer)),
    }));
    let mut task = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut task).is_pending());
    if ending != Ending::AsyncCancelled {
        let _ = future.as_mut().poll(&mut task);
    }
}
