//! The shop whose orders `monitor demo` takes: an ordinary program with `#[monitor]` on its functions.
//!
//! It takes a number of seconds and returns its ledger: how often each function was called, and with which
//! outcome. Everything that happens follows from the numbers of orders and rounds, so the same number of
//! seconds always makes the same calls. The shop knows neither the store nor the console.

pub(crate) mod ledger;
mod stock;
mod payments;
mod shipping;
mod orders;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::task::JoinSet;

/// Rounds per second. In a round, a batch of orders is taken concurrently, then packed.
const ROUNDS_PER_SECOND: u32 = 10;
/// Orders taken concurrently in a round.
const ORDERS_PER_ROUND: u32 = 100;
/// Items of the delivery that is booked in before the first order: large enough to show that the cost of
/// capturing an argument does not grow with its size.
pub(crate) const DELIVERY_ITEMS: u32 = 10_000_000;

/// One item of an order, with its quantity and the price of one piece.
#[derive(Debug, Clone, Serialize)]
struct Line {
    item: &'static str,
    quantity: u32,
    cents: u64,
}

/// The result of running the shop.
pub(crate) struct Day {
    /// An entry for each function that was called.
    pub(crate) entries: Vec<ledger::Entry>,
    /// The duration of the call whose argument was the whole delivery.
    pub(crate) delivery_took: Duration,
}

/// Silences the panics of the workload. Call it before the recorder starts: the recorder then installs its
/// own panic hook in front of this one and still sees every panic.
pub(crate) fn silence_expected_panics() {
    ledger::silence_expected_panics();
}

/// Runs the shop for this many seconds.
pub(crate) fn open(seconds: u32) -> Result<Day> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let delivery_took = take_delivery();
    for round in 0..seconds * ROUNDS_PER_SECOND {
        let began = Instant::now();
        payments::log_in("ada", "correct horse battery staple");
        runtime.block_on(take_orders(round)).context("a task of the shop failed")?;
        shipping::dispatch(round);
        // Rounds are spread over the seconds, so that `top --watch` shows growing figures.
        std::thread::sleep((Duration::from_secs(1) / ROUNDS_PER_SECOND).saturating_sub(began.elapsed()));
    }
    Ok(Day { entries: ledger::read_entries(), delivery_took })
}

fn take_delivery() -> Duration {
    let items: Vec<u32> = (0..DELIVERY_ITEMS).collect();
    let began = Instant::now();
    stock::book_in(&items);
    began.elapsed()
}

async fn take_orders(round: u32) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..ORDERS_PER_ROUND {
        let order = orders::Order::generate(round * ORDERS_PER_ROUND + number + 1);
        tasks.spawn(async move { drop(orders::place(order).await) });
    }
    payments::cancel_audit(round).await?;
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}
