//! A start page waits for five parts in turn.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn news() -> bool {
    rest(7).await;
    true
}

#[monitor]
async fn weather() -> bool {
    rest(10).await;
    true
}

#[monitor]
async fn friends() -> bool {
    rest(7).await;
    true
}

#[monitor]
async fn start_page(visitor: u32) -> u32 {
    let first = news().await && weather().await && friends().await;
    let second = weather().await && news().await;
    visitor + u32::from(first && second)
}

pub(crate) fn run() {
    block_on(async {
        for visitor in 0..8 {
            start_page(visitor).await;
        }
    });
}
