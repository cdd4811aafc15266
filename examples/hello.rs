//! The smallest monitored program. Run `cargo run --example hello`, then `cargo run -p monitor-console -- calls`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]
use monitored::monitor;
#[monitor]
fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}
fn main() {
    println!("{}", greet("world"));
}
