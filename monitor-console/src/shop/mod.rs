//! The shop whose orders `monitor demo` takes: a program like any other, with `#[monitor]` on what
//! matters, and books of its own that say exactly how often each function was called and how it ended.
//!
//! In goes a number of seconds, out come the books. What happens depends on nothing but the numbers of
//! orders and rounds, so the same seconds make the same calls each time. The shop knows neither
//! store nor console.

pub(crate) mod books;
mod orders;
mod payments;
mod stock;
mod shipping;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

/// Rounds in a second; a round is a batch of orders taken at once, then packed.
const ROUNDS_PER_SECOND: u32 = 10;
/// Orders taken at once.
const ORDERS_PER_ROUND: u32 = 100;
/// Items of the delivery that is booked in before the shop opens.
pub(crate) const DELIVERY_ITEMS: u32 = 10_000_000;

/// What the shop did.
pub(crate) struct Day {
    /// Every function called, with how often and how its calls ended.
    pub(crate) books: Vec<books::Line>,
    /// How long the call took that was given the whole delivery.
    pub(crate) delivery_took: Duration,
}

/// Lets panics that are part of the workload print nothing. To be called before the recorder starts:
/// its own hook then stands before this one and sees them all.
pub(crate) fn silence_expected_panics() {
    books::silence_expected_panics();
}

/// Opens the shop for so many seconds.
pub(crate) fn open(seconds: u32) -> Result<Day> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let delivery_took = take_delivery();
    for round in 0..seconds * ROUNDS_PER_SECOND {
        let began = Instant::now();
        payments::log_in("ada", "correct horse battery staple");
        runtime.block_on(take_orders(round)).context("a task of the shop failed")?;
        shipping::dispatch(round);
        // A shop has its pace; the figures of `top --watch` grow while it is open.
        std::thread::sleep((Duration::from_secs(1) / ROUNDS_PER_SECOND).saturating_sub(began.elapsed()));
    }
    Ok(Day { books: books::lines(), delivery_took })
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
        let order = orders::Order::number(round * ORDERS_PER_ROUND + number + 1);
        tasks.spawn(async move { drop(orders::place(order).await) });
    }
    payments::audit_until_closing(round).await?;
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}
