//! A stream waits for most of its time.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn follow(channel: u32) -> u32 {
    for _ in 0..20 {
        rest(2).await;
    }
    channel
}

pub(crate) fn run() {
    block_on(async {
        for channel in 0..8 {
            follow(channel).await;
        }
    });
}
