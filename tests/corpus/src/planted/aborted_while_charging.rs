//! The process is aborted while it charges a card.

use std::time::Duration;

use monitored::monitor;

use crate::wait;

#[monitor]
fn charge(card: u32) {
    wait(2);
    if card == 4 {
        std::process::abort();
    }
}

#[monitor]
fn place(order: u32) {
    charge(order);
}

pub(crate) fn run() {
    place(0);
    // The store exists before the process dies.
    let _ = monitored::flush(Duration::from_secs(10));
    (1..8).for_each(place);
}
