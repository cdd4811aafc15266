//! `cargo bench -p monitor-benches --bench metrics` measures what a change of a metric costs the caller, with our recorder of
//! the facade `metrics` and with that of `metrics-exporter-prometheus`. The unit of the ratios is two reads of the time
//! stamp counter.
//!
//! Both recorders live in one process, and the cases take turns. A handle is held in a `static`, or looked up by its macro
//! with each change. The exporter's values are aggregated between bursts, as it does every few seconds, and ours are written.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use monitor_benches::{Bursts, Case, Figures, Group, Options, case, floor, measure_groups};

/// The recorder of this package.
static OURS: LazyLock<monitored_metrics::Recorder> = LazyLock::new(monitored_metrics::recorder);
/// The recorder of the exporter.
static EXPORTER: LazyLock<PrometheusRecorder> = LazyLock::new(|| PrometheusBuilder::new().build_recorder());

/// Handles of one recorder that are looked up once and then kept.
struct Held {
    counter: Counter,
    gauge: Gauge,
    histogram: Histogram,
}

impl Held {
    fn of(recorder: &dyn metrics::Recorder) -> Self {
        with_local_recorder(recorder, || Self {
            counter: counter!("orders", "shop" => "berlin"),
            gauge: gauge!("queue.depth"),
            histogram: histogram!("fill"),
        })
    }
}

static OUR_HANDLES: LazyLock<Held> = LazyLock::new(|| Held::of(&*OURS));
static EXPORTER_HANDLES: LazyLock<Held> = LazyLock::new(|| Held::of(&*EXPORTER));

const COUNTER: &str = "counter, held";
const GAUGE: &str = "gauge, held";
const HISTOGRAM: &str = "histogram, held";
const TIMER: &str = "timer, with two clock reads";
const BY_MACRO: &str = "counter, looked up by its macro";
const THREADS: &str = "counter, held by two threads";
const OFF: &str = "counter, held, with MONITOR=off";
const EXPORTER_COUNTER: &str = "exporter: counter, held";
const EXPORTER_GAUGE: &str = "exporter: gauge, held";
const EXPORTER_HISTOGRAM: &str = "exporter: histogram, held";
const EXPORTER_BY_MACRO: &str = "exporter: counter, looked up by its macro";
const EXPORTER_THREADS: &str = "exporter: counter, held by two threads";

/// The cases in the order of the table, with the goals for their ratios.
const ROWS: [(&str, Option<f64>); 13] = [
    (floor::READS, None),
    (COUNTER, Some(1.0)),
    (EXPORTER_COUNTER, None),
    (THREADS, Some(1.0)),
    (EXPORTER_THREADS, None),
    (OFF, Some(0.2)),
    (GAUGE, None),
    (EXPORTER_GAUGE, None),
    (HISTOGRAM, None),
    (EXPORTER_HISTOGRAM, None),
    (TIMER, None),
    (BY_MACRO, None),
    (EXPORTER_BY_MACRO, None),
];

#[inline(never)]
fn plain(number: u64) -> u64 {
    black_box(number) + 1
}

/// Makes a function that does the same as `plain`, and changes a metric.
macro_rules! changing {
    ($name:ident, $change:expr) => {
        #[inline(never)]
        fn $name(number: u64) -> u64 {
            $change;
            black_box(number) + 1
        }
    };
}

changing!(our_counter, OUR_HANDLES.counter.increment(1));
changing!(our_gauge, OUR_HANDLES.gauge.set(black_box(7.0)));
changing!(our_histogram, OUR_HANDLES.histogram.record(black_box(0.25)));
changing!(our_timer, drop(monitored_metrics::Timer::new(OUR_HANDLES.histogram.clone())));
changing!(exporter_counter, EXPORTER_HANDLES.counter.increment(1));
changing!(exporter_gauge, EXPORTER_HANDLES.gauge.set(black_box(7.0)));
changing!(exporter_histogram, EXPORTER_HANDLES.histogram.record(black_box(0.25)));
changing!(count_by_macro, counter!("orders", "shop" => "berlin").increment(1));

/// Runs a loop with a recorder for the macros.
fn with(recorder: &dyn metrics::Recorder, passes: u32) {
    with_local_recorder(recorder, || {
        (0..passes).for_each(|_| _ = black_box(count_by_macro(black_box(1))));
    });
}

fn without(passes: u32) {
    (0..passes).for_each(|_| _ = black_box(plain(black_box(1))));
}

fn settle() {
    // Nothing is recorded with MONITOR=off, and a flush that fails is no reason to end.
    let _ = monitored::flush(Duration::from_secs(10));
    EXPORTER.handle().run_upkeep();
}

fn measure_one(options: &Options) -> Figures {
    let [reads, _] = floor::cases();
    let by_macro = |name, measured: fn(u32)| Case { name, calls: 1, baseline: without, measured };
    let cases = [
        reads,
        case!(COUNTER, plain(black_box(1)), our_counter(black_box(1))),
        case!(EXPORTER_COUNTER, plain(black_box(1)), exporter_counter(black_box(1))),
        case!(GAUGE, plain(black_box(1)), our_gauge(black_box(1))),
        case!(EXPORTER_GAUGE, plain(black_box(1)), exporter_gauge(black_box(1))),
        case!(HISTOGRAM, plain(black_box(1)), our_histogram(black_box(1))),
        case!(EXPORTER_HISTOGRAM, plain(black_box(1)), exporter_histogram(black_box(1))),
        case!(TIMER, plain(black_box(1)), our_timer(black_box(1))),
        by_macro(BY_MACRO, |passes| with(&*OURS, passes)),
        by_macro(EXPORTER_BY_MACRO, |passes| with(&*EXPORTER, passes)),
    ];
    measure(options, 1, &cases)
}

fn measure_two(options: &Options) -> Figures {
    let [reads, _] = floor::cases();
    let cases = [
        reads,
        case!(THREADS, plain(black_box(1)), our_counter(black_box(1))),
        case!(EXPORTER_THREADS, plain(black_box(1)), exporter_counter(black_box(1))),
    ];
    measure(options, 2, &cases)
}

fn measure_off(options: &Options) -> Figures {
    let [reads, _] = floor::cases();
    measure(options, 1, &[reads, case!(OFF, plain(black_box(1)), our_counter(black_box(1)))])
}

fn measure(options: &Options, threads: usize, cases: &[Case]) -> Figures {
    let repeats = options.amount(20, 5);
    Bursts { threads, repeats, calls: 20_000, settle: &settle }.measure(cases)
}

const GROUPS: [Group; 3] = [
    Group { name: "one", variables: &[], measure: measure_one },
    Group { name: "two", variables: &[], measure: measure_two },
    Group { name: "off", variables: &[("MONITOR", "off")], measure: measure_off },
];

fn main() -> std::io::Result<()> {
    measure_groups("metrics", &ROWS, &GROUPS)
}
