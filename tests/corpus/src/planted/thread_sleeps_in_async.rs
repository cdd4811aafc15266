//! An async function lets its thread sleep.

use monitored::monitor;

use crate::{block_on, wait};

#[monitor]
async fn parse(document: u32) -> u32 {
    tokio::task::yield_now().await;
    wait(25);
    document
}

pub(crate) fn run() {
    block_on(async {
        for document in 0..8 {
            parse(document).await;
        }
    });
}
