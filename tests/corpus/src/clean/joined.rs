//! Three services are asked at the same time.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn quote(cart: u32) -> u32 {
    rest(8).await;
    cart
}

#[monitor]
async fn stock(cart: u32) -> u32 {
    rest(8).await;
    cart
}

#[monitor]
async fn tax(cart: u32) -> u32 {
    rest(8).await;
    cart
}

#[monitor]
async fn pay(cart: u32) -> u32 {
    let (price, pieces, rate) = tokio::join!(quote(cart), stock(cart), tax(cart));
    price + pieces + rate
}

pub(crate) fn run() {
    block_on(async {
        for cart in 0..8 {
            pay(cart).await;
        }
    });
}
