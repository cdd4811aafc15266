//! A monitored trading pipeline on an in-process event bus. Generated ticks become 5-minute bars, indicators judge the
//! bars, and indicators that agree make synergy events.
//!
//! The example shows that every stage of a pipeline with some hundred thousand events a second can be monitored, and
//! measures the cost. The same stages run with and without the attribute in turn, and their results must be equal
//! to the last bit. At the end some synergies are traded at a flaky exchange behind guards.
//!
//! ```text
//! cargo run --release --example trading_pipeline              # 300 000 ticks in each round
//! cargo run --release --example trading_pipeline -- 2000000   # two million
//! cargo run -p monitor-console -- top                         # the functions by their time
//! cargo run -p monitor-console -- errors                      # the bars that were too thin, and the exchange's failures
//! cargo run -p monitor-console -- health                      # the guards
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its result")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of this program are far below what a double holds"
)]

mod market;
mod bus;
mod stages;
mod exchange;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{Bus, Topic};
use market::{Event, Market, Synergy};

/// The number of rounds with the attribute, and of rounds without it. The result is their median.
const ROUNDS: usize = 5;

/// The results of a round. They must be the same in every round.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Round {
    events: u64,
    synergies: u64,
    watched: u64,
    checksum: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ticks: u32 = std::env::args().nth(1).map_or(Ok(300_000), |text| text.parse())?;
    let mut plain_times = Vec::new();
    let mut recorded_times = Vec::new();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (round, time) = run(&stages::plain::new_bus(), stages::plain::feed, ticks);
        rounds.push(round);
        plain_times.push(time);
        let (round, time) = run(&stages::recorded::new_bus(), stages::recorded::feed, ticks);
        rounds.push(round);
        recorded_times.push(time);
        // Waits until all rows are stored, because writing them would make the next round slower.
        monitored::flush(Duration::from_secs(60))?;
    }
    let first = rounds[0];
    assert!(rounds.iter().all(|round| *round == first), "the attribute changed a result: {rounds:?}");
    assert_eq!(first.watched, u64::from(ticks / 3), "the additional subscriber missed ticks");
    report(first, ticks, median(plain_times), median(recorded_times));
    let traded = exchange::trade(&find_synergies(ticks));
    assert_eq!(traded.placed, traded.at_the_exchange, "an order was placed twice");
    exchange::report(&traded);
    Ok(())
}

/// Returns the synergies of this many ticks.
fn find_synergies(ticks: u32) -> Vec<Synergy> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&found);
    let bus = stages::plain::new_bus();
    bus.subscribe(Topic::Synergy, move |_, event| {
        if let Event::Synergy(synergy) = event {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(*synergy);
        }
    });
    stages::plain::feed(&bus, &mut Market::new(), ticks);
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    found.clone()
}

/// Runs one round and measures its time. In the middle third an additional subscriber counts the ticks.
fn run(bus: &Bus, feed: fn(&Bus, &mut Market, u32), ticks: u32) -> (Round, Duration) {
    let (synergies, checksum, watched) = (counter(), counter(), counter());
    let (seen, sum) = (Arc::clone(&synergies), Arc::clone(&checksum));
    bus.subscribe(Topic::Synergy, move |_, event| {
        if let Event::Synergy(synergy) = event {
            seen.fetch_add(1, Ordering::Relaxed);
            let facts = u64::from(synergy.start_s) << 8 | u64::from(synergy.indicators) << 4;
            let facts = facts | (synergy.symbol as u64) << 1 | synergy.direction as u64;
            sum.store(mix(sum.load(Ordering::Relaxed), facts), Ordering::Relaxed);
        }
    });
    let mut market = Market::new();
    let start = Instant::now();
    feed(bus, &mut market, ticks / 3);
    let ticks_seen = Arc::clone(&watched);
    let subscription = bus.subscribe(Topic::Tick, move |_, _| {
        ticks_seen.fetch_add(1, Ordering::Relaxed);
    });
    feed(bus, &mut market, ticks / 3);
    bus.unsubscribe(subscription);
    feed(bus, &mut market, ticks - 2 * (ticks / 3));
    let time = start.elapsed();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let round = Round {
        events: bus.published(),
        synergies: read(&synergies),
        watched: read(&watched),
        checksum: read(&checksum),
    };
    (round, time)
}

fn counter() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(0))
}

/// Adds a word to a checksum, by FNV-1a over the bytes of the word.
fn mix(sum: u64, word: u64) -> u64 {
    word.to_le_bytes().iter().fold(sum ^ 0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(round: Round, ticks: u32, plain: Duration, recorded: Duration) {
    let rate = |time: Duration| round.events as f64 / time.as_secs_f64();
    let added = recorded.saturating_sub(plain).as_nanos() as f64 / f64::from(ticks);
    println!("{ticks} ticks made {} events, {} of them synergies", round.events, round.synergies);
    println!("checksum {:016x}, the same in all {} rounds", round.checksum, 2 * ROUNDS);
    println!("the subscriber of the middle third received {} ticks", round.watched);
    println!("without the attribute: {:>10.0} events/s", rate(plain));
    println!("with the attribute:    {:>10.0} events/s", rate(recorded));
    println!("added by the attribute: {added:.0} ns per tick, which makes three monitored calls");
    let health = monitored::health();
    println!("rows written: {}, rows dropped: {}", health.rows_written, health.dropped.total());
}
