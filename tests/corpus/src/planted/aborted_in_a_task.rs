//! The process is aborted in an async function while another one waits for it.

use std::time::Duration;

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn convert(picture: u32) -> u32 {
    rest(2).await;
    if picture == 3 {
        std::process::abort();
    }
    picture
}

#[monitor]
async fn publish(picture: u32) -> u32 {
    convert(picture).await
}

pub(crate) fn run() {
    block_on(async {
        publish(0).await;
        // The store exists before the process dies.
        let _ = monitored::flush(Duration::from_secs(10));
        for picture in 1..6 {
            publish(picture).await;
        }
    });
}
