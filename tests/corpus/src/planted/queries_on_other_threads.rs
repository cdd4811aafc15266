//! Each query of a handler runs on a thread that may block, one after the other.

use monitored::{Context, monitor};

use crate::{block_on, wait};

#[monitor]
fn query(row: u32) -> u32 {
    wait(1);
    row
}

#[monitor]
async fn handle(request: u32) -> u32 {
    let mut sum = 0;
    for row in 0..14 {
        let context = Context::current();
        let number = request * 50 + row;
        sum += tokio::task::spawn_blocking(move || context.scope(|| query(number))).await.unwrap_or(0);
    }
    sum
}

pub(crate) fn run() {
    block_on(async {
        for request in 0..6 {
            handle(request).await;
        }
    });
}
