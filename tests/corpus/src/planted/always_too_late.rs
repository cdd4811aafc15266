//! A caller waits less long than a function takes.

use std::time::Duration;

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn similar(article: u32) -> u32 {
    rest(60).await;
    article
}

#[monitor]
async fn show(article: u32) -> u32 {
    tokio::time::timeout(Duration::from_millis(2), similar(article)).await.unwrap_or(0)
}

pub(crate) fn run() {
    block_on(async {
        for article in 0..40 {
            show(article).await;
        }
    });
}
