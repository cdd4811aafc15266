//! Call trees made as fast as possible on two threads. Callees on the other thread end before or after their caller.

use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use monitored::{Context, monitor};

/// A twig to grow, and the channel that reports that it has grown.
type Order = (Context, Option<Sender<()>>);

#[monitor(skip_all, no_result)]
fn trunk(number: u64, orders: &Sender<Order>) -> u64 {
    // The trunk waits for some twigs. Other twigs may outlive their trunk.
    let answer = number.is_multiple_of(64).then(channel);
    if number.is_multiple_of(16) {
        let give = answer.as_ref().map(|(give, _)| give.clone());
        let _ = orders.send((Context::current(), give));
    }
    let sum = branch(number) + branch(number + 1);
    if let Some((_, grown)) = &answer {
        let _ = grown.recv_timeout(Duration::from_secs(1));
    }
    sum
}

#[monitor(skip_all, no_result)]
fn branch(number: u64) -> u64 {
    (0..3).map(|at| leaf(number + at)).sum()
}

#[monitor(skip_all, no_result)]
fn leaf(number: u64) -> u64 {
    black_box(number) / 3
}

#[monitor(skip_all, no_result)]
fn twig() -> u64 {
    leaf(1) + leaf(2)
}

fn grow_twigs(orders: &Receiver<Order>) -> u64 {
    let mut grown = 0;
    for (context, answer) in orders {
        grown += context.scope(twig) + 1;
        if let Some(answer) = answer {
            let _ = answer.send(());
        }
    }
    grown
}

/// Makes trees until it is over, and prints how many.
pub(crate) fn grow(mut is_over: impl FnMut() -> bool) {
    let (give, orders) = channel();
    let twigs = std::thread::spawn(move || grow_twigs(&orders));
    let mut number = 0;
    while !is_over() {
        number += 1;
        black_box(trunk(number, &give));
    }
    drop(give);
    let _ = twigs.join();
    println!("{number}");
}
