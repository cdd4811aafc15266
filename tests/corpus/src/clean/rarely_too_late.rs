//! A few of many calls are given up.

use std::time::Duration;

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn similar(article: u32) -> u32 {
    rest(if article % 100 == 7 { 3_000 } else { 1 }).await;
    article
}

pub(crate) fn run() {
    block_on(async {
        for article in 0..300 {
            let _ = tokio::time::timeout(Duration::from_millis(500), similar(article)).await;
        }
    });
}
