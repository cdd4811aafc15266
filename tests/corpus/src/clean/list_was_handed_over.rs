//! A batch saves each item of the list that it was handed.

use monitored::monitor;

use crate::wait;

#[monitor]
fn save(item: u32) -> u32 {
    wait(1);
    item
}

#[monitor]
fn save_all(items: &[u32]) -> u32 {
    items.iter().map(|item| save(*item)).sum()
}

pub(crate) fn run() {
    for batch in 0..6 {
        let items: Vec<u32> = (0..15).map(|n| batch * 15 + n).collect();
        save_all(&items);
    }
}
