//! Forty tasks are spawned and run at the same time.

use monitored::{Context, monitor};
use tokio::task::JoinSet;

use crate::{block_on, rest};

#[monitor]
async fn pack(parcel: u32) -> u32 {
    rest(5).await;
    parcel
}

#[monitor]
async fn dispatch(tour: u32) -> u32 {
    let mut tasks = JoinSet::new();
    for parcel in 0..40 {
        tasks.spawn(Context::current().instrument(pack(tour * 40 + parcel)));
    }
    let mut sum = 0;
    while let Some(parcel) = tasks.join_next().await {
        sum += parcel.unwrap_or(0);
    }
    sum
}

pub(crate) fn run() {
    block_on(async {
        for tour in 0..6 {
            dispatch(tour).await;
        }
    });
}
