//! A request awaits the same user for each permission.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn find_user(id: u32) -> u32 {
    rest(1).await;
    id
}

#[monitor]
async fn authorize(request: u32) -> u32 {
    let mut sum = request;
    for _ in 0..11 {
        sum += find_user(7).await;
    }
    sum
}

pub(crate) fn run() {
    block_on(async {
        for request in 0..6 {
            authorize(request).await;
        }
    });
}
