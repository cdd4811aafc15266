//! A library that programs load while they run: by `dlopen`, or as a module of an interpreter. It has a recorder of its own,
//! because everything that it uses is linked into it.
#![allow(unsafe_code, reason = "functions that C calls have names of their own")]

use std::hint::black_box;
use std::time::Duration;

/// The longest time for a flush, on the busiest machine and disk.
const IN_TIME: Duration = Duration::from_secs(60);

#[monitored::monitor]
fn plugged_in(number: u64) -> Result<u64, String> {
    if number % 10 == 9 { Err(format!("refused {number}")) } else { Ok(black_box(number) + 1) }
}

/// Calls a monitored function this often; every tenth call fails. Returns the sum of the results.
// SAFETY: no other library has a function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_work(times: u64) -> u64 {
    (0..times).filter_map(|number| plugged_in(number).ok()).sum()
}

/// Waits until the store has all calls so far, at most for `IN_TIME`. Returns 1 if the store has them, else 0.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_flush() -> u64 {
    u64::from(monitored::flush(IN_TIME).is_ok())
}
