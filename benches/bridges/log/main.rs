//! `cargo bench -p monitor-bridge-benches --bench log` measures what a log line costs the thread that says it: with a row of its
//! own, and folded, because more than a hundred lines a second come from its place. The peer is `env_logger`, which
//! formats each line and writes it to a file. The unit of the ratios is two reads of the time stamp counter.

use std::hint::black_box;
use std::sync::Once;
use std::time::Duration;

use monitor_benches::{Bursts, Figures, Group, Options, WARM, case, floor, measure_groups};

const ROW: &str = "line with a row";
const FOLDED: &str = "line that is folded";
const BELOW: &str = "line below the level";
const ENV_LOGGER_LINE: &str = "env_logger: line to a file";
const ENV_LOGGER_BELOW: &str = "env_logger: line below the level";

/// The cases in the order of the table.
const ROWS: [(&str, Option<f64>); 6] = [
    (floor::READS, None),
    (ROW, None),
    (ENV_LOGGER_LINE, None),
    (FOLDED, None),
    (BELOW, None),
    (ENV_LOGGER_BELOW, None),
];

/// The lines of a burst that have a row each. With the lines before them that are not measured, they are fewer than the
/// 100 lines of one place that may have a row each in a second.
const ROWS_A_SECOND: u32 = 99 - WARM;
/// The pause after which the lines of a place have rows again.
const SECOND: Duration = Duration::from_millis(1_050);

#[inline(never)]
fn silent(order: u64) -> u64 {
    black_box(order) + 1
}

#[inline(never)]
fn say(order: u64) -> u64 {
    log::warn!("attempt 3 of order {order} failed");
    black_box(order) + 1
}

#[inline(never)]
fn say_often(order: u64) -> u64 {
    log::warn!("attempt 3 of order {order} failed");
    black_box(order) + 1
}

#[inline(never)]
fn say_below(order: u64) -> u64 {
    log::debug!("attempt 3 of order {order} failed");
    black_box(order) + 1
}

/// Installs a logger in this process, at the first round.
fn install(logger: impl FnOnce()) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(logger);
}

fn flush() {
    let _ = monitored::flush(Duration::from_secs(10));
}

fn measure_ours(options: &Options) -> Figures {
    install(|| _ = monitored_log::init());
    let [reads, _] = floor::cases();
    let wait = || std::thread::sleep(SECOND);
    let rows = Bursts { threads: 1, repeats: options.amount(10, 2), calls: ROWS_A_SECOND, settle: &wait };
    let mut figures = rows.measure(&[case!(ROW, silent(black_box(71)), say(black_box(71)))]);
    let many = Bursts { threads: 1, repeats: options.amount(20, 5), calls: 2_000, settle: &flush };
    figures.extend(many.measure(&[
        reads,
        case!(FOLDED, silent(black_box(71)), say_often(black_box(71))),
        case!(BELOW, silent(black_box(71)), say_below(black_box(71))),
    ]));
    figures
}

fn measure_env_logger(options: &Options) -> Figures {
    install(|| {
        let Ok(file) = tempfile::tempfile() else { return };
        let target = env_logger::Target::Pipe(Box::new(file));
        let level = log::LevelFilter::Warn;
        env_logger::Builder::new().filter_level(level).target(target).init();
    });
    let [reads, _] = floor::cases();
    let many = Bursts { threads: 1, repeats: options.amount(20, 5), calls: 2_000, settle: &|| () };
    many.measure(&[
        reads,
        case!(ENV_LOGGER_LINE, silent(black_box(71)), say(black_box(71))),
        case!(ENV_LOGGER_BELOW, silent(black_box(71)), say_below(black_box(71))),
    ])
}

const GROUPS: [Group; 2] = [
    Group { name: "ours", variables: &[], measure: measure_ours },
    Group { name: "env_logger", variables: &[], measure: measure_env_logger },
];

fn main() -> std::io::Result<()> {
    measure_groups("log", &ROWS, &GROUPS)
}
