//! A call is tried again until it succeeds.

use monitored::monitor;

use crate::wait;

#[monitor]
fn attempt(number: u32) -> Result<u32, String> {
    wait(1);
    if number % 12 == 11 { Ok(number) } else { Err("not yet".to_owned()) }
}

#[monitor]
fn call(request: u32) -> Option<u32> {
    (0..12).find_map(|number| attempt(request * 12 + number).ok())
}

pub(crate) fn run() {
    (0..6).for_each(|request| {
        call(request);
    });
}
