//! A crawler fetches three known addresses in turn.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn fetch(address: &str) -> usize {
    rest(9).await;
    address.len() % 2
}

#[monitor]
async fn crawl(round: u32) -> usize {
    let mut found = round as usize;
    for address in ["alpha.example", "bravo.example", "delta.example"] {
        found += fetch(address).await;
    }
    found
}

pub(crate) fn run() {
    block_on(async {
        for round in 0..8 {
            crawl(round).await;
        }
    });
}
