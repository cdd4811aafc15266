//! An async list awaits a query for each item.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn query(item: u32) -> u32 {
    rest(1).await;
    item + 1
}

#[monitor]
async fn list(customer: u32) -> u32 {
    let mut sum = 0;
    for item in 0..15 {
        sum += query(customer * 31 + item).await;
    }
    sum
}

pub(crate) fn run() {
    block_on(async {
        for customer in 0..6 {
            list(customer).await;
        }
    });
}
