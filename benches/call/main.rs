//! `call`: nanoseconds that the attribute adds to a call.

use std::hint::black_box;

use monitor_benches::{Options, Table, ns_per_call};

#[monitored::monitor]
#[inline(never)]
fn monitored(number: u64) -> u64 {
    black_box(number) + 1
}

#[inline(never)]
fn plain(number: u64) -> u64 {
    black_box(number) + 1
}

fn main() -> std::io::Result<()> {
    let options = Options::from_args();
    let mut table = Table::new("call", "ns added", "the function without the attribute");
    let calls = options.amount(2_000, 100);
    for _ in 0..options.rounds() {
        let without = ns_per_call(calls, || _ = black_box(plain(black_box(1))));
        let with = ns_per_call(calls, || _ = black_box(monitored(black_box(1))));
        table.record("recorded", with - without, without);
    }
    table.finish(&options)
}
