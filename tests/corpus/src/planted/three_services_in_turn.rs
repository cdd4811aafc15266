//! A payment waits for three services in turn that do not need one another.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn quote(cart: u32) -> u32 {
    rest(8).await;
    cart % 5
}

#[monitor]
async fn stock(cart: u32) -> bool {
    rest(8).await;
    cart > 1_000_000
}

#[monitor]
async fn tax(cart: u32) -> u32 {
    rest(8).await;
    cart % 3
}

#[monitor]
async fn pay(cart: u32) -> u32 {
    let price = quote(cart).await;
    let is_there = stock(cart).await;
    price + u32::from(is_there) + tax(cart).await
}

pub(crate) fn run() {
    block_on(async {
        for cart in 0..8 {
            pay(cart).await;
        }
    });
}
