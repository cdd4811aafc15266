//! The handler calls a service once, and the service calls the database for each item.

use monitored::monitor;

use crate::wait;

#[monitor]
fn price_of(article: u32) -> u32 {
    wait(1);
    article % 90
}

#[monitor]
fn total(basket: u32) -> u32 {
    (0..16).map(|n| price_of(basket * 16 + n)).sum()
}

#[monitor]
fn checkout(basket: u32) -> u32 {
    wait(1);
    total(basket)
}

pub(crate) fn run() {
    (0..6).for_each(|basket| {
        checkout(basket);
    });
}
