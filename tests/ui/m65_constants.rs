//! Values that are constants are checked by the compiler.
use monitored::monitor;

const RATE: f64 = 2.0;
const SLOW: &str = "soon";

#[monitor(sample = RATE)]
fn too_often() {}

#[monitor(slow = SLOW)]
fn soon() {}

#[monitor(name = 1 + 1)]
fn number() {}

#[monitor(error_if = |result: &u32| *result)]
fn not_a_test() -> u32 {
    1
}

#[monitor(fields(length = text.length()))]
fn no_such_method(text: &str) -> u32 {
    1
}

fn main() {
    too_often();
    soon();
    number();
    not_a_test();
    no_such_method("");
}
