//! The smallest monitored program. Run it, then type `monitor calls`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]
use monitored::monitor;
#[monitor]
fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}
fn main() {
    println!("{}", greet("world"));
}
