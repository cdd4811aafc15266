//! Folders and their entries are visited by two functions that call each other.

use monitored::monitor;

use crate::wait;

#[monitor]
fn visit_folder(path: u32, depth: u32) -> u32 {
    (0..12).map(|entry| visit_entry(path * 12 + entry, depth)).sum()
}

#[monitor]
fn visit_entry(path: u32, depth: u32) -> u32 {
    wait(1);
    if depth > 0 && path.is_multiple_of(12) { visit_folder(path, depth - 1) } else { path }
}

pub(crate) fn run() {
    (0..5).for_each(|root| {
        visit_folder(root, 1);
    });
}
