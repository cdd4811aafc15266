//! A program without async functions computes for long.

use monitored::monitor;

use crate::compute;

#[monitor]
fn analyze(sample: u32) -> u64 {
    compute(30) + u64::from(sample)
}

pub(crate) fn run() {
    (0..10).for_each(|sample| {
        analyze(sample);
    });
}
