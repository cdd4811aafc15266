//! Lints fire inside of monitored functions as they do elsewhere.
#![deny(dead_code, unused, unused_must_use, unreachable_code, unused_parens, unused_braces)]

use monitored::monitor;

#[monitor]
fn never_called(number: u32) -> u32 {
    number
}

#[monitor]
async fn never_called_later() {}

#[monitor]
pub fn body(number: u32) -> Result<u32, String> {
    let unused = (number + 1);
    let mut unneeded = 1;
    body(unneeded);
    return Ok(1);
    println!("unreachable");
}

#[monitor]
#[must_use]
pub fn must_be_used() -> u32 {
    1
}

#[monitor]
#[must_use]
pub async fn must_be_used_later() -> u32 {
    body(1);
    1
}

pub async fn calls() {
    must_be_used();
    must_be_used_later().await;
    must_be_used_later();
}

fn main() {}
