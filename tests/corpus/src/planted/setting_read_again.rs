//! A page reads one setting again for each of its parts.

use monitored::monitor;

use crate::wait;

#[monitor]
fn read_setting(name: &str) -> usize {
    wait(1);
    name.len()
}

#[monitor]
fn render(page: u32) -> usize {
    (0..12).map(|_| read_setting("theme")).sum::<usize>() + page as usize
}

pub(crate) fn run() {
    (0..6).for_each(|page| {
        render(page);
    });
}
