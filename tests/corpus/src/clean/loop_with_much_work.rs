//! A loop spends its time in its own work, not in the many short calls.

use monitored::monitor;

use crate::wait;

#[monitor]
fn check(part: u32) -> u32 {
    part.rotate_left(3)
}

#[monitor]
fn build(product: u32) -> u32 {
    let mut sum = 0;
    for part in 0..25 {
        wait(1);
        sum += check(product * 25 + part) % 7;
    }
    sum
}

pub(crate) fn run() {
    (0..6).for_each(|product| {
        build(product);
    });
}
