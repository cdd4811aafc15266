//! The functions that every recorder monitors, here without any attribute. Each does about a nanosecond of work
//! that the compiler can neither predict nor remove.

use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// An error with a message of 20 bytes.
#[derive(Debug)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("quantity is too high")
    }
}

impl Error for Refused {}

/// The arguments of the functions that take two.
pub(crate) const ID: u64 = 4_711;
pub(crate) const NAME: &str = "order-0815";

#[inline(never)]
pub(crate) fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[inline(never)]
pub(crate) fn values(id: u64, name: &str) -> u64 {
    black_box(id) + black_box(name).len() as u64
}

#[inline(never)]
pub(crate) fn refuses(number: u64) -> Result<u64, Refused> {
    if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
}

#[inline(never)]
#[expect(clippy::unused_async, reason = "the benchmark measures a future that is ready at its first poll")]
pub(crate) async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}

/// Calls itself until the recursion is `depth` deep.
#[inline(never)]
pub(crate) fn nested(depth: u32) -> u32 {
    if depth > 1 { black_box(nested(black_box(depth - 1))) + 1 } else { black_box(depth) }
}

/// The depth of the recursion, which is the number of calls in a pass of the nested case.
pub(crate) const DEEP: u32 = 10;

/// Polls a future that is ready at its first poll. Returns its value.
#[inline]
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
