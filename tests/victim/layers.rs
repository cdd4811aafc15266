//! A failure that passes through the layers of a service, sync and async.

use std::time::Duration;

use monitored::monitor;

#[monitor]
fn query(order: u64) -> Result<u64, String> {
    if order.is_multiple_of(3) { Err(format!("order {order} is gone")) } else { Ok(order) }
}

/// A layer whose calls are often only a part of a longer one.
#[monitor]
fn load(order: u64) -> Result<u64, String> {
    query(order).map_err(|error| format!("load: {error}"))
}

#[monitor]
async fn fetch(order: u64) -> Result<u64, String> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    load(order).map_err(|error| format!("fetch: {error}"))
}

#[monitor]
async fn handle(order: u64) -> Result<u64, String> {
    fetch(order).await.map_err(|error| format!("handle: {error}"))
}

/// Handles this many orders, of which each third fails in all four layers.
pub(crate) fn run(number: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let failed = runtime.block_on(async {
        let mut failed = 0;
        for order in 0..number {
            failed += u64::from(handle(order).await.is_err());
        }
        failed
    });
    println!("{failed}");
}
