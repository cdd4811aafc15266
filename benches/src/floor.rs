//! The floors that all ratios refer to: the least that a timed call costs, and the least that a call costs
//! which leaves a record. Both are cases, measured like any other.
#![expect(unsafe_code, reason = "the counter is read by an intrinsic")]

use std::cell::Cell;
use std::hint::black_box;

use crate::{Case, case};

/// The floor R, the unit of all ratios: the counter is read before and after the body.
pub const READS: &str = "two counter reads";
/// The floor of a recorded call: the two reads, and a store of one cache line.
pub const STORE: &str = "two reads and a 64-byte store";

/// Returns both floors as cases, each against the same body without it.
#[must_use]
pub fn cases() -> [Case; 2] {
    [
        case!(READS, plain(black_box(1)), reads(black_box(1))),
        case!(STORE, plain(black_box(1)), store(black_box(1))),
    ]
}

#[inline(never)]
fn plain(number: u64) -> u64 {
    black_box(number) + 1
}

/// Reads the processor's time stamp counter; elsewhere than on x86-64, a clock in nanoseconds.
#[inline(always)]
#[must_use]
#[expect(clippy::inline_always, reason = "the cost of a call around the instruction would be measured too")]
pub fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86_64 processor has the instruction, which reads a register.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::time::Instant;
        thread_local!(static FIRST: Instant = Instant::now());
        FIRST.with(|first| first.elapsed().as_nanos() as u64)
    }
}

#[inline(never)]
fn reads(number: u64) -> u64 {
    let start = counter();
    let result = black_box(number) + 1;
    black_box(counter().wrapping_sub(start));
    result
}

#[repr(align(64))]
struct Line(Cell<[u64; 8]>);

thread_local!(static LINE: Line = const { Line(Cell::new([0; 8])) });

#[inline(never)]
fn store(number: u64) -> u64 {
    let start = counter();
    let result = black_box(number) + 1;
    let duration = counter().wrapping_sub(start);
    LINE.with(|line| {
        line.0.set([number, start, duration, result, 1, 2, 3, 4]);
        black_box(line.0.as_ptr());
    });
    result
}
