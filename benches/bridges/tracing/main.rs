//! `cargo bench -p monitor-bridge-benches --bench tracing` measures the nanoseconds that a span adds to a function:
//! with a registry and an empty layer, with a layer that keeps a word for each span, with
//! `monitored_tracing::layer()`, and with a layer that writes JSON lines.
//!
//! Each subscriber has a worker process of its own, and the unit of the ratios is two reads of the time stamp counter,
//! as in the benchmark `call`. What our layer costs is the difference to the empty layer in the same round.

use std::collections::btree_map::Entry;
use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::io::Result;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use monitor_benches::{Bursts, Case, Figures, Options, Table, Worker, case, floor, serve};
use monitored::monitor;
use tracing::instrument;
use tracing::span::{Attributes, Id};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, layer};

/// A subscriber, which is one worker process.
struct Subject {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    start: fn(),
    /// Waits before each burst until the recorder or the writer's thread should have taken in the spans of the burst
    /// before. Does nothing for a subscriber that leaves no work to another thread.
    settle: fn(),
}

/// No bounds on rate and overhead, so that every span has a row.
const UNBOUNDED: &[(&str, &str)] = &[("MONITOR_MAX_RATE", "0"), ("MONITOR_MAX_OVERHEAD", "100%")];

const EMPTY: &str = "Registry, empty layer";
const WORD: &str = "Registry, a word for each span";
const RECORDED: &str = "monitored-tracing, recorded";
const COUNTED: &str = "monitored-tracing, counted";

const SUBJECTS: [Subject; 6] = [
    Subject { name: EMPTY, variables: &[], start: start_empty, settle: || () },
    Subject { name: WORD, variables: &[], start: start_word, settle: || () },
    Subject { name: RECORDED, variables: UNBOUNDED, start: start_monitored, settle: flush },
    Subject { name: COUNTED, variables: &[("MONITOR_SAMPLE", "0")], start: start_monitored, settle: flush },
    Subject {
        name: "monitored-tracing, off",
        variables: &[("MONITOR", "off")],
        start: start_monitored,
        settle: || (),
    },
    Subject { name: "JSON lines to a file", variables: &[], start: start_json, settle: pause },
];

/// The cases that are measured: each is a function with a span, named by what the span or the call has.
const SPAN: &str = "a span";
const FIELDS: &str = "a span with (u64, &str)";
const ERROR: &str = "Err with a message";
const ASYNC: &str = "ready async function";
const BELOW: &str = "a span below a span";
const THREADS_2: &str = "a span, 2 threads";
const KINDS: [&str; 6] = [SPAN, FIELDS, ERROR, ASYNC, BELOW, THREADS_2];

/// The names of the results for the cost that the layer adds to an empty one begin so. The cost is a multiple of R.
const ADDED: &str = "monitored-tracing, recorded, beyond the empty layer: ";
const ADDED_MAX: f64 = 1.5;

/// A layer that enables all spans and does nothing with them.
struct EmptyLayer;

impl Layer<Registry> for EmptyLayer {}

/// A layer that keeps a word for each span in the registry, and does nothing with it: the least that a layer does which
/// keeps its data where `tracing-subscriber` means it to.
struct WordLayer;

struct Word(u64);

impl Layer<Registry> for WordLayer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: layer::Context<'_, Registry>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Word(black_box(1)));
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, Registry>) {
        if let Some(span) = context.span(&id) {
            let word = span.extensions_mut().remove::<Word>();
            black_box(word.map(|word| word.0));
        }
    }
}

fn start_word() {
    tracing_subscriber::registry().with(WordLayer).init();
}

fn start_empty() {
    tracing_subscriber::registry().with(EmptyLayer).init();
}

fn start_monitored() {
    tracing_subscriber::registry().with(monitored_tracing::layer()).init();
    warm();
}

fn start_json() {
    let Ok(file) = tempfile::tempfile() else { return };
    let (writer, guard) = tracing_appender::non_blocking(file);
    tracing_subscriber::fmt().json().with_span_events(FmtSpan::CLOSE).with_writer(writer).init();
    // The writer's thread ends when its guard is dropped, so the guard is kept until the process ends.
    std::mem::forget(guard);
}

fn flush() {
    let _ = monitored::flush(Duration::from_secs(10));
}

fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Starts the recorder.
#[monitor]
fn warm() {}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("quantity is too high")
    }
}

impl Error for Refused {}

/// A function of about a nanosecond, as it is without a span, and with one.
mod plain {
    use super::{Refused, black_box};

    #[inline(never)]
    pub(super) fn number(number: u64) -> u64 {
        black_box(number) + 1
    }

    #[inline(never)]
    pub(super) fn values(id: u64, name: &str) -> u64 {
        black_box(id) + black_box(name).len() as u64
    }

    #[inline(never)]
    pub(super) fn refuses(number: u64) -> Result<u64, Refused> {
        if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
    }

    #[inline(never)]
    #[expect(
        clippy::unused_async,
        reason = "the benchmark measures a future that is ready at its first poll"
    )]
    pub(super) async fn ready(number: u64) -> u64 {
        black_box(number) + 1
    }
}

#[instrument(skip_all)]
#[inline(never)]
fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[instrument]
#[inline(never)]
fn values(id: u64, name: &str) -> u64 {
    black_box(id) + black_box(name).len() as u64
}

#[instrument(skip_all, err)]
#[inline(never)]
fn refuses(number: u64) -> std::result::Result<u64, Refused> {
    if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
}

#[instrument(skip_all)]
#[inline(never)]
async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}

/// The number of spans below one span in a pass.
const BELOW_ONE: u32 = 10;

#[instrument(skip_all)]
#[inline(never)]
fn around(calls: u32) {
    (0..calls).for_each(|_| _ = black_box(number(black_box(1))));
}

/// Polls a future that is ready at its first poll.
fn finish<T>(future: impl Future<Output = T>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn cases() -> [Case; 5] {
    [
        case!(SPAN, plain::number(black_box(1)), number(black_box(1))),
        case!(FIELDS, plain::values(black_box(4_711), "order-0815"), values(black_box(4_711), "order-0815")),
        case!(ERROR, plain::refuses(black_box(1)), refuses(black_box(1))),
        case!(ASYNC, finish(plain::ready(black_box(1))), finish(ready(black_box(1)))),
        case!(
            BELOW,
            BELOW_ONE,
            (0..BELOW_ONE).for_each(|_| _ = black_box(plain::number(black_box(1)))),
            around(black_box(BELOW_ONE))
        ),
    ]
}

impl Subject {
    fn row(&self, kind: &str) -> String {
        format!("{}: {kind}", self.name)
    }

    fn round(&self, options: &Options) -> Figures {
        // More repeats for two threads, because not all of their bursts coincide.
        let bursts = |threads| Bursts {
            threads,
            repeats: options.amount(20, 2) * threads * threads,
            calls: 500,
            settle: &self.settle,
        };
        let mut figures = bursts(1).measure(&floor::cases());
        let alone = bursts(1).measure(&cases());
        let [span, ..] = cases();
        let together = bursts(2).measure(&[Case { name: THREADS_2, ..span }]);
        figures.extend(alone.into_iter().chain(together).map(|(kind, ns)| (self.row(&kind), ns)));
        figures
    }
}

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(name) = &options.worker {
        let Some(subject) = SUBJECTS.iter().find(|subject| subject.name == name) else { return Ok(()) };
        (subject.start)();
        return serve(|| subject.round(&options));
    }
    let mut table = Table::new("tracing", "ns", floor::READS);
    table.row(floor::READS, None);
    for kind in KINDS {
        table.row(&format!("{ADDED}{kind}"), (kind == SPAN).then_some(ADDED_MAX));
        for subject in &SUBJECTS {
            table.row(&subject.row(kind), None);
        }
    }
    let stores = tempfile::tempdir()?;
    let mut workers = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| options.wants(subject.name)) {
        let store = stores.path().join(format!("{}.db", workers.len()));
        let mut variables = vec![("MONITOR_DB", store.to_str().unwrap_or(":memory:"))];
        variables.extend_from_slice(subject.variables);
        workers.push(Worker::start(subject.name, &options, &variables)?);
    }
    for _ in 0..options.rounds() {
        let mut ratios = Figures::new();
        for worker in &mut workers {
            let figures = worker.round()?;
            // The floor is missing if the threads never ran at the same time.
            let Some(&reads) = figures.get(floor::READS) else { continue };
            for (case, value) in figures {
                if let Entry::Vacant(place) = ratios.entry(case) {
                    table.record(place.key(), value, reads);
                    place.insert(value / reads);
                }
            }
        }
        compare(&mut table, &ratios);
    }
    drop(workers);
    table.finish(&options)
}

/// Adds what our layer costs beyond the empty one in this round.
fn compare(table: &mut Table, ratios: &Figures) {
    for kind in KINDS {
        let [ours, empty] = [RECORDED, EMPTY].map(|name| ratios.get(&format!("{name}: {kind}")));
        if let (Some(ours), Some(empty)) = (ours, empty) {
            table.figure(&format!("{ADDED}{kind}"), ours - empty, "R");
        }
    }
}
