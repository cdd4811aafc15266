//! An async function computes for 40 ms in a single poll, so its thread runs no other task in that time.

use monitored::monitor;

use crate::{block_on, compute, rest};

#[monitor]
async fn compress(block: u32) -> u64 {
    rest(1).await;
    compute(40) + u64::from(block)
}

pub(crate) fn run() {
    block_on(async {
        for block in 0..8 {
            compress(block).await;
        }
    });
}
