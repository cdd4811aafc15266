//! A program ends right after its calls.

use monitored::monitor;

#[monitor]
fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}

pub(crate) fn run() {
    for name in ["Ada", "Grace", "Mary"] {
        greet(name);
    }
}
