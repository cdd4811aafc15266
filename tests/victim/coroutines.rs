//! Stackful coroutines that switch to another stack while monitored calls are under way.

use std::hint::black_box;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use monitored::monitor;

#[monitor(skip(yielder))]
fn outer(yielder: &Yielder<(), ()>, number: u64) -> u64 {
    yielder.suspend(());
    inner(yielder, number) + 1
}

#[monitor(skip(yielder))]
fn inner(yielder: &Yielder<(), ()>, number: u64) -> u64 {
    yielder.suspend(());
    black_box(number)
}

#[monitor(skip(yielder))]
fn fails(yielder: &Yielder<(), ()>, number: u64) -> Result<(), String> {
    yielder.suspend(());
    Err(format!("number {number}"))
}

#[monitor]
fn between(number: u64) -> u64 {
    black_box(number)
}

#[monitor]
fn ordinary(number: u64) -> u64 {
    between(number) + 1
}

/// Runs this many rounds of coroutines that take turns on one thread, with a call between any two of them, and an ordinary tree
/// of calls on another thread. In each round, four coroutines make three calls each: they begin one after the other, and the
/// order in which they end is another one each time.
pub(crate) fn take_turns(rounds: u64) {
    let mut sum = 0;
    for round in 0..rounds {
        let coroutine = |number: u64| {
            Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
                let failed = fails(yielder, number).is_err();
                outer(yielder, number) + u64::from(failed)
            })
        };
        let mut running: Vec<_> = (0..4).map(|number| coroutine(round * 4 + number)).collect();
        let mut turn = round;
        while !running.is_empty() {
            let at = usize::try_from(turn.wrapping_mul(2_654_435_761) >> 7).unwrap_or(0) % running.len();
            turn += 1;
            if let CoroutineResult::Return(number) = running[at].resume(()) {
                sum += number;
                drop(running.swap_remove(at));
            }
            sum += between(turn);
        }
    }
    let other = std::thread::spawn(move || (0..rounds).map(ordinary).sum::<u64>());
    println!("{sum} {}", other.join().unwrap_or(0));
}
