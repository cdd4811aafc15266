//! `cargo bench -p monitor-benches --bench whole` measures the run time of a whole program. The program converts
//! orders from CSV to JSON lines with the published crates `csv` and `serde_json`. Its hot functions are annotated:
//! one call reads a record, one parses an order, one writes the order, and one calls the three, so there are four
//! calls for each order.
//!
//! The same source is compiled once for each attribute. Each setup runs in a process of its own; its floor is the
//! program without any attribute, in the same process and round.

mod program;

use std::error::Error;

use monitor_benches::{Figures, Options, Table, Worker, seconds, serve};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A setup of the program: its name, the recorder's environment variables, the start of a recorder, and the form
/// of the program.
struct Setup {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    start: fn() -> Result<Box<dyn std::any::Any>>,
    run: program::Run,
}

const SETUPS: [Setup; 7] = [
    Setup {
        name: "recorder off",
        variables: &[("MONITOR", "off")],
        start: start_nothing,
        run: program::ours::run,
    },
    Setup {
        name: "recorder on, default settings",
        variables: &[],
        start: start_nothing,
        run: program::ours::run,
    },
    Setup {
        name: "recorder on, every call recorded",
        variables: &[
            ("MONITOR_MAX_RATE", "0"),
            ("MONITOR_MAX_OVERHEAD", "100%"),
            ("MONITOR_MAX_DISK", "8GiB"),
        ],
        start: start_nothing,
        run: program::ours::run,
    },
    Setup {
        name: "recorder on, every call recorded, without values",
        variables: &[
            ("MONITOR_MAX_RATE", "0"),
            ("MONITOR_MAX_OVERHEAD", "100%"),
            ("MONITOR_MAX_DISK", "8GiB"),
            ("MONITOR_CAPTURE", "errors"),
        ],
        start: start_nothing,
        run: program::ours::run,
    },
    Setup {
        name: "tracing, JSON lines in a file",
        variables: &[],
        start: start_tracing_file,
        run: program::traced::run,
    },
    Setup { name: "hotpath", variables: &[], start: start_hotpath, run: program::hot::run },
    Setup {
        name: "fastrace, a root per order",
        variables: &[],
        start: start_fastrace,
        run: program::fast::run,
    },
];

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        let setup = SETUPS.iter().find(|setup| setup.name == worker).ok_or("no such worker")?;
        let _running = (setup.start)()?;
        let input = program::input(options.amount(200_000, 5_000));
        return Ok(serve(|| round(setup, &input))?);
    }
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("whole", "ms", "the program without attributes");
    let mut workers = Vec::new();
    for (index, setup) in SETUPS.iter().enumerate().filter(|(_, setup)| options.wants(setup.name)) {
        let path = folder.path().join(format!("whole-{index}.db"));
        let path = path.to_string_lossy();
        let mut variables = vec![("MONITOR_DB", path.as_ref())];
        variables.extend(setup.variables);
        workers.push((setup.name, Worker::start(setup.name, &options, &variables)?));
    }
    for _ in 0..options.rounds() {
        for (name, worker) in &mut workers {
            let figures = worker.round()?;
            table.record(name, figures["with"], figures["without"]);
            if let Some(lost) = figures.get("lost") {
                table.figure(&format!("{name}: calls counted that have no row"), *lost, "%");
            }
        }
    }
    drop(workers);
    Ok(table.finish(&options)?)
}

/// Measures one round: the program without any attribute, and the program of this setup.
fn round(setup: &Setup, input: &str) -> Figures {
    let (mut plain, mut annotated) = (0, 0);
    let mut figures = Figures::from([
        ("without".to_owned(), seconds(|| plain = (program::plain::run)(input)) * 1e3),
        ("with".to_owned(), seconds(|| annotated = (setup.run)(input)) * 1e3),
    ]);
    assert_eq!(plain, annotated, "an attribute changed the result of the program");
    let _ = monitored::flush(std::time::Duration::from_mins(1));
    let health = monitored::health();
    let (recorded, lost) = (health.recorded, health.sampled_out + health.dropped.total());
    if recorded > 0 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        figures.insert("lost".to_owned(), lost as f64 * 100.0 / (recorded + lost) as f64);
    }
    figures
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of `Setup::start`")]
fn start_nothing() -> Result<Box<dyn std::any::Any>> {
    Ok(Box::new(()))
}

/// Starts tracing as it is usually set up: a JSON line when a span closes, through a non-blocking writer.
fn start_tracing_file() -> Result<Box<dyn std::any::Any>> {
    use tracing_subscriber::fmt::format::FmtSpan;
    let (writer, guard) = tracing_appender::non_blocking(tempfile::tempfile()?);
    tracing_subscriber::fmt().json().with_span_events(FmtSpan::CLOSE).with_writer(writer).init();
    Ok(Box::new(guard))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of `Setup::start`")]
fn start_hotpath() -> Result<Box<dyn std::any::Any>> {
    // The guard prints a report at the end; this format prints none.
    let guard = hotpath::HotpathGuardBuilder::new("whole").format(hotpath::Format::None).build();
    Ok(Box::new(guard))
}

fn start_fastrace() -> Result<Box<dyn std::any::Any>> {
    struct DroppingReporter;
    impl fastrace::collector::Reporter for DroppingReporter {
        fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
            drop(std::hint::black_box(spans));
        }
    }
    fastrace::set_reporter(DroppingReporter, fastrace::collector::Config::default());
    start_nothing()
}
