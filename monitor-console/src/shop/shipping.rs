//! Shipping: couriers are asked, and not all of them answer; parcels are packed on threads, and not
//! all of them survive it.

use std::future;
use std::time::Duration;

use monitored::{Context, monitor};

use super::books::{self, End};

/// Threads that pack.
const PACKERS: u32 = 2;
/// Parcels that each of them packs in a round.
const PARCELS: u32 = 20;

/// How long to wait for a courier. One that hangs is given up soon; any other is given all the time it
/// may need on a busy machine, so that the same couriers answer in every run.
fn patience(order: u32) -> Duration {
    if is_lost(order) { Duration::from_millis(2) } else { Duration::from_secs(60) }
}

/// Every 41st courier never answers.
fn is_lost(order: u32) -> bool {
    order.is_multiple_of(41)
}

/// The courier for an order, where one answers in time.
pub(super) async fn courier(order: u32) -> Option<&'static str> {
    tokio::time::timeout(patience(order), quote(order)).await.ok()
}

#[monitor]
async fn quote(order: u32) -> &'static str {
    let function = concat!(module_path!(), "::quote");
    if is_lost(order) {
        books::note(function, End::Cancelled);
        future::pending::<()>().await;
    }
    tokio::task::yield_now().await;
    books::note(function, End::Ok);
    ["bicycle", "van", "drone"][order as usize % 3]
}

/// Packs a round's parcels on threads of their own, which carry on this call's tree.
#[monitor]
pub(super) fn dispatch(round: u32) -> u32 {
    let here = Context::current();
    std::thread::scope(|scope| {
        for packer in 0..PACKERS {
            let first = (round * PACKERS + packer) * PARCELS;
            let work = move || {
                for parcel in first + 1..=first + PARCELS {
                    books::expecting_panic(|| pack(parcel));
                }
            };
            scope.spawn(move || here.scope(work));
        }
    });
    books::note(concat!(module_path!(), "::dispatch"), End::Ok);
    PACKERS * PARCELS
}

/// Every 37th parcel tears.
#[monitor]
fn pack(parcel: u32) {
    let function = concat!(module_path!(), "::pack");
    if parcel.is_multiple_of(37) {
        books::note(function, End::Panic);
        panic!("parcel {parcel} is too heavy for its box");
    }
    books::note(function, End::Ok);
}
