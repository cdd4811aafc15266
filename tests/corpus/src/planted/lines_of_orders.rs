//! A function that lists orders makes one query for the line of each order.

use monitored::monitor;

use crate::wait;

#[monitor]
fn find_line(order: u32) -> u32 {
    wait(1);
    order * 7
}

#[monitor]
fn list_orders(customer: u32) -> u32 {
    (0..12).map(|n| find_line(customer * 100 + n)).sum()
}

pub(crate) fn run() {
    (0..6).for_each(|customer| {
        list_orders(customer);
    });
}
