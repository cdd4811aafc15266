//! `capture`: what it costs to capture a value, whatever its size.

use std::hint::black_box;

use monitor_benches::{Options, Table, ns_per_call};

fn main() -> std::io::Result<()> {
    let options = Options::from_args();
    let mut table = Table::new("capture", "ns", "format!(\"{:?}\") of the same value");
    let calls = options.amount(10_000, 10);
    for _ in 0..options.rounds() {
        let debug = ns_per_call(calls, || _ = black_box(format!("{:?}", black_box(42_u32))));
        let json = ns_per_call(calls, || _ = black_box(serde_json::to_string(black_box(&42_u32))));
        table.record("u32, serde_json::to_string", json, debug);
    }
    table.finish(&options)
}
