//! `cargo bench -p monitor-benches --bench whole`: what a whole program loses. It turns orders in CSV
//! into JSON lines, with the parser and the writer that others have published (`csv`, `serde_json`), and
//! its hot functions are annotated: one call reads a record, one makes an order of it, one writes it, and
//! one does all three, so that four calls are recorded for each order.
//!
//! The same source is compiled once for each attribute. Each way runs in a process of its own; the floor
//! is the program without any attribute, in the same process and round.

mod program;

use std::error::Error;

use monitor_benches::{Figures, Options, Table, Worker, seconds, serve};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A way to run the program: a name, the recorder's environment, what is done before, and the program.
struct Way {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    start: fn() -> Result<Box<dyn std::any::Any>>,
    run: program::Run,
}

const WAYS: [Way; 7] = [
    Way { name: "recorder off", variables: &[("MONITOR", "off")], start: nothing, run: program::ours::run },
    Way { name: "recorder on, as it comes", variables: &[], start: nothing, run: program::ours::run },
    Way {
        name: "recorder on, every call recorded",
        variables: &[
            ("MONITOR_MAX_RATE", "0"),
            ("MONITOR_MAX_OVERHEAD", "100%"),
            ("MONITOR_MAX_DISK", "8GiB"),
        ],
        start: nothing,
        run: program::ours::run,
    },
    Way {
        name: "recorder on, every call recorded, without values",
        variables: &[
            ("MONITOR_MAX_RATE", "0"),
            ("MONITOR_MAX_OVERHEAD", "100%"),
            ("MONITOR_MAX_DISK", "8GiB"),
            ("MONITOR_CAPTURE", "errors"),
        ],
        start: nothing,
        run: program::ours::run,
    },
    Way {
        name: "tracing, JSON lines in a file",
        variables: &[],
        start: tracing_file,
        run: program::traced::run,
    },
    Way { name: "hotpath", variables: &[], start: hotpath, run: program::hot::run },
    Way { name: "fastrace, a root per order", variables: &[], start: fastrace, run: program::fast::run },
];

fn main() -> Result<()> {
    let options = Options::from_args();
    if let Some(worker) = &options.worker {
        let way = WAYS.iter().find(|way| way.name == worker).ok_or("no such worker")?;
        let _running = (way.start)()?;
        let input = program::input(options.amount(200_000, 5_000));
        return Ok(serve(|| round(way, &input))?);
    }
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("whole", "ms", "the program without attributes");
    let mut workers = Vec::new();
    for (at, way) in WAYS.iter().enumerate().filter(|(_, way)| options.wants(way.name)) {
        let path = folder.path().join(format!("whole-{at}.db"));
        let path = path.to_string_lossy();
        let mut variables = vec![("MONITOR_DB", path.as_ref())];
        variables.extend(way.variables);
        workers.push((way.name, Worker::start(way.name, &options, &variables)?));
    }
    for _ in 0..options.rounds() {
        for (name, worker) in &mut workers {
            let figures = worker.round()?;
            table.record(name, figures["with"], figures["without"]);
            if let Some(lost) = figures.get("lost") {
                table.figure(&format!("{name}: calls counted without a row"), *lost, "%");
            }
        }
    }
    drop(workers);
    Ok(table.finish(&options)?)
}

fn round(way: &Way, input: &str) -> Figures {
    let (mut plain, mut annotated) = (0, 0);
    let mut figures = Figures::from([
        ("without".to_owned(), seconds(|| plain = (program::plain::run)(input)) * 1e3),
        ("with".to_owned(), seconds(|| annotated = (way.run)(input)) * 1e3),
    ]);
    assert_eq!(plain, annotated, "an attribute has changed what the program does");
    let _ = monitored::flush(std::time::Duration::from_mins(1));
    let health = monitored::health();
    let (kept, left) = (health.recorded, health.sampled_out + health.dropped.total());
    if kept > 0 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        figures.insert("lost".to_owned(), left as f64 * 100.0 / (kept + left) as f64);
    }
    figures
}

#[expect(clippy::unnecessary_wraps, reason = "one way to start of several")]
fn nothing() -> Result<Box<dyn std::any::Any>> {
    Ok(Box::new(()))
}

/// As people keep calls today: a line when each span closes, through a non-blocking writer.
fn tracing_file() -> Result<Box<dyn std::any::Any>> {
    use tracing_subscriber::fmt::format::FmtSpan;
    let (writer, guard) = tracing_appender::non_blocking(tempfile::tempfile()?);
    tracing_subscriber::fmt().json().with_span_events(FmtSpan::CLOSE).with_writer(writer).init();
    Ok(Box::new(guard))
}

#[expect(clippy::unnecessary_wraps, reason = "one way to start of several")]
fn hotpath() -> Result<Box<dyn std::any::Any>> {
    // The report that it prints in the end belongs to nobody here.
    let guard = hotpath::HotpathGuardBuilder::new("whole").format(hotpath::Format::None).build();
    Ok(Box::new(guard))
}

fn fastrace() -> Result<Box<dyn std::any::Any>> {
    struct Nowhere;
    impl fastrace::collector::Reporter for Nowhere {
        fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
            drop(std::hint::black_box(spans));
        }
    }
    fastrace::set_reporter(Nowhere, fastrace::collector::Config::default());
    nothing()
}
