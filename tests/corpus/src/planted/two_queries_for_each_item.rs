//! A list makes two queries for each of its items, in turn.

use monitored::monitor;

use crate::wait;

#[monitor]
fn find_price(article: u32) -> u32 {
    wait(1);
    article % 7
}

#[monitor]
fn find_stock(article: u32) -> u32 {
    wait(1);
    article % 5
}

#[monitor]
fn show_category(category: u32) -> u32 {
    (0..13).map(|n| find_price(category * 13 + n) + find_stock(category * 13 + n)).sum()
}

pub(crate) fn run() {
    (0..5).for_each(|category| {
        show_category(category);
    });
}
