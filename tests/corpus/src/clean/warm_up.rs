//! A cache is filled once, when the program starts.

use monitored::monitor;

use crate::wait;

#[monitor]
fn load(key: u32) -> u32 {
    wait(1);
    key
}

#[monitor]
fn warm_up() -> u32 {
    (0..150).map(load).sum()
}

#[monitor]
fn look_up(key: u32) -> u32 {
    wait(1);
    key
}

pub(crate) fn run() {
    warm_up();
    (0..50).for_each(|key| {
        look_up(key);
    });
}
