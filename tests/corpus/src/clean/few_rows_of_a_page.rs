//! A page renders eight rows.

use monitored::monitor;

use crate::wait;

#[monitor]
fn render_row(row: u32) -> u32 {
    wait(1);
    row
}

#[monitor]
fn render(page: u32) -> u32 {
    (0..8).map(|row| render_row(page * 8 + row)).sum()
}

pub(crate) fn run() {
    (0..8).for_each(|page| {
        render(page);
    });
}
