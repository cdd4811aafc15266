//! A handler awaits a function that blocks.

use monitored::monitor;

use crate::{block_on, rest, wait};

#[monitor]
async fn render(template: u32) -> u32 {
    tokio::task::yield_now().await;
    wait(30);
    template
}

#[monitor]
async fn serve(request: u32) -> u32 {
    rest(3).await;
    render(request).await
}

pub(crate) fn run() {
    block_on(async {
        for request in 0..8 {
            serve(request).await;
        }
    });
}
