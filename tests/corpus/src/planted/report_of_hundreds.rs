//! A report fetches hundreds of parts one by one, most of which share a row.

use monitored::monitor;

use crate::wait;

#[monitor]
fn fetch(part: u32) -> u32 {
    wait(1);
    part
}

#[monitor]
fn report(month: u32) -> u32 {
    (0..130).map(|part| fetch(month * 1000 + part)).sum()
}

pub(crate) fn run() {
    (0..4).for_each(|month| {
        report(month);
    });
}
