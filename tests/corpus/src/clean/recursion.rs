//! A tree of twelve branches at each node is walked by recursion.

use monitored::monitor;

use crate::wait;

#[monitor]
fn walk(node: u32, depth: u32) -> u32 {
    wait(1);
    if depth == 0 { node } else { (0..12).map(|branch| walk(node * 12 + branch, depth - 1)).sum() }
}

pub(crate) fn run() {
    (0..5).for_each(|tree| {
        walk(tree, 1);
    });
}
