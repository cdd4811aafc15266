//! `cargo bench -p monitor-bridge-benches --bench guards` measures what a guard adds to a call of about a nanosecond
//! that returns a `Result`: with its breaker closed, on one thread and on two; with its breaker held open, so that the
//! call is not made; and with `MONITOR=off`. The peer is the circuit breaker of the package `failsafe`. The unit of the
//! ratios is two reads of the time stamp counter.

use std::hint::black_box;
use std::io::Error;
use std::sync::LazyLock;

use failsafe::CircuitBreaker as _;
use monitor_benches::{Bursts, Case, Figures, Group, Options, case, floor, measure_groups};
use monitored_guard::Guard;

static CLOSED: Guard = Guard::new("closed");
static OPEN: Guard = Guard::new("open");

/// The breaker of the peer, with its default rules.
type Peer = failsafe::StateMachine<
    failsafe::failure_policy::OrElse<
        failsafe::failure_policy::SuccessRateOverTimeWindow<failsafe::backoff::EqualJittered>,
        failsafe::failure_policy::ConsecutiveFailures<failsafe::backoff::EqualJittered>,
    >,
    (),
>;
static FAILSAFE: LazyLock<Peer> = LazyLock::new(|| failsafe::Config::new().build());

const CALL: &str = "guard, closed";
const THREADS: &str = "guard, closed, two threads";
const BLOCKED: &str = "guard, held open: the call is not made";
const OFF: &str = "guard, closed, with MONITOR=off";
const FAILSAFE_CALL: &str = "failsafe: closed";
const FAILSAFE_THREADS: &str = "failsafe: closed, two threads";

/// The cases in the order of the table, with the goals for their ratios.
const ROWS: [(&str, Option<f64>); 7] = [
    (floor::READS, None),
    (CALL, Some(0.3)),
    (FAILSAFE_CALL, None),
    (THREADS, None),
    (FAILSAFE_THREADS, None),
    (OFF, Some(0.3)),
    (BLOCKED, None),
];

#[inline(never)]
fn plain(number: u64) -> Result<u64, Error> {
    let number = black_box(number);
    if number == u64::MAX { Err(Error::other("the number is too large")) } else { Ok(number + 1) }
}

#[inline(never)]
fn guarded(number: u64) -> Option<u64> {
    CLOSED.call(|| plain(number)).into_result().ok()
}

#[inline(never)]
fn blocked(number: u64) -> Option<u64> {
    OPEN.call(|| plain(number)).into_result().ok()
}

#[inline(never)]
fn by_failsafe(number: u64) -> Option<u64> {
    FAILSAFE.call(|| plain(number)).ok()
}

#[inline(never)]
fn unguarded(number: u64) -> Option<u64> {
    plain(number).ok()
}

fn measure_one(options: &Options) -> Figures {
    OPEN.hold_open("the benchmark measures it");
    let [reads, _] = floor::cases();
    let cases = [
        reads,
        case!(CALL, unguarded(black_box(1)), guarded(black_box(1))),
        case!(FAILSAFE_CALL, unguarded(black_box(1)), by_failsafe(black_box(1))),
        case!(BLOCKED, unguarded(black_box(1)), blocked(black_box(1))),
    ];
    measure(options, 1, &cases)
}

fn measure_two(options: &Options) -> Figures {
    let [reads, _] = floor::cases();
    let cases = [
        reads,
        case!(THREADS, unguarded(black_box(1)), guarded(black_box(1))),
        case!(FAILSAFE_THREADS, unguarded(black_box(1)), by_failsafe(black_box(1))),
    ];
    measure(options, 2, &cases)
}

fn measure_off(options: &Options) -> Figures {
    let [reads, _] = floor::cases();
    measure(options, 1, &[reads, case!(OFF, unguarded(black_box(1)), guarded(black_box(1)))])
}

fn measure(options: &Options, threads: usize, cases: &[Case]) -> Figures {
    let repeats = options.amount(20, 5);
    Bursts { threads, repeats, calls: 20_000, settle: &|| () }.measure(cases)
}

const GROUPS: [Group; 3] = [
    Group { name: "one", variables: &[], measure: measure_one },
    Group { name: "two", variables: &[], measure: measure_two },
    Group { name: "off", variables: &[("MONITOR", "off")], measure: measure_off },
];

fn main() -> std::io::Result<()> {
    measure_groups("guards", &ROWS, &GROUPS)
}
