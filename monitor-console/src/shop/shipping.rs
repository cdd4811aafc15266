//! Shipping: couriers are asked for a quote, and some never answer; parcels are packed on threads, and
//! packing some of them panics.

use std::future;
use std::time::Duration;

use monitored::{Context, monitor};

use super::ledger::{self, Outcome};

/// Threads that pack parcels.
const PACKERS: u32 = 2;
/// Parcels that each thread packs in a round.
const PARCELS: u32 = 20;

/// Returns the timeout for a courier's quote. A courier that never answers gets a short one; any other gets
/// far more than it needs even on a busy machine, so that the same couriers answer in every run.
fn quote_timeout(order: u32) -> Duration {
    if is_lost(order) { Duration::from_millis(2) } else { Duration::from_secs(60) }
}

/// Returns true for every 41st order: its courier never answers.
fn is_lost(order: u32) -> bool {
    order.is_multiple_of(41)
}

/// Returns the courier for an order, or `None` if none answers in time.
pub(super) async fn find_courier(order: u32) -> Option<&'static str> {
    tokio::time::timeout(quote_timeout(order), quote(order)).await.ok()
}

#[monitor]
async fn quote(order: u32) -> &'static str {
    let function = concat!(module_path!(), "::quote");
    if is_lost(order) {
        ledger::count(function, Outcome::Cancelled);
        future::pending::<()>().await;
    }
    tokio::task::yield_now().await;
    ledger::count(function, Outcome::Ok);
    ["bicycle", "van", "drone"][order as usize % 3]
}

/// Packs a round's parcels on threads; the context makes their calls child calls of this one.
#[monitor]
pub(super) fn dispatch(round: u32) -> u32 {
    let context = Context::current();
    std::thread::scope(|scope| {
        for packer in 0..PACKERS {
            let first = (round * PACKERS + packer) * PARCELS;
            let work = move || {
                for parcel in first + 1..=first + PARCELS {
                    ledger::catch_expected_panic(|| pack(parcel));
                }
            };
            scope.spawn(move || context.scope(work));
        }
    });
    ledger::count(concat!(module_path!(), "::dispatch"), Outcome::Ok);
    PACKERS * PARCELS
}

/// Packs a parcel; panics for every 37th.
#[monitor]
fn pack(parcel: u32) {
    let function = concat!(module_path!(), "::pack");
    if parcel.is_multiple_of(37) {
        ledger::count(function, Outcome::Panic);
        panic!("parcel {parcel} is too heavy for its box");
    }
    ledger::count(function, Outcome::Ok);
}
