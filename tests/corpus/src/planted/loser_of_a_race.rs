//! A slow source loses every race against a fast one.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn from_archive(key: u32) -> u32 {
    rest(50).await;
    key
}

async fn from_cache(key: u32) -> u32 {
    rest(2).await;
    key
}

pub(crate) fn run() {
    block_on(async {
        for key in 0..40 {
            tokio::select! {
                _ = from_archive(key) => {}
                _ = from_cache(key) => {}
            }
        }
    });
}
