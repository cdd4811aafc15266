//! Long work runs on a thread that may block.

use monitored::{Context, monitor};

use crate::{block_on, compute};

#[monitor]
fn compress(block: u32) -> u64 {
    compute(30) + u64::from(block)
}

#[monitor]
async fn serve(request: u32) -> u64 {
    let context = Context::current();
    tokio::task::spawn_blocking(move || context.scope(|| compress(request))).await.unwrap_or(0)
}

pub(crate) fn run() {
    block_on(async {
        for request in 0..8 {
            serve(request).await;
        }
    });
}
