//! Each step is given what the step before returned.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn reserve(order: u32) -> String {
    rest(8).await;
    format!("reservation-{order}")
}

#[monitor]
async fn charge(reservation: &str) -> String {
    rest(8).await;
    format!("receipt-{}", reservation.len())
}

#[monitor]
async fn ship(receipt: &str) -> usize {
    rest(8).await;
    receipt.len()
}

#[monitor]
async fn place(order: u32) -> usize {
    let reservation = reserve(order).await;
    let receipt = charge(&reservation).await;
    ship(&receipt).await
}

pub(crate) fn run() {
    block_on(async {
        for order in 100..108 {
            place(order).await;
        }
    });
}
