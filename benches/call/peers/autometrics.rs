//! autometrics on the crate `prometheus`: each function has a counter and a histogram of durations, with labels
//! for the function, its caller and its result.

use std::hint::black_box;

use autometrics::autometrics;
use monitor_benches::{Case, case};

use super::{ASYNC, CALL, ERROR, Peer};
use crate::plain::{self, Refused};

pub(super) const PEER: Peer = Peer { name: "autometrics", keeps: true, start: || (), cases, settle: || () };

fn cases() -> Vec<Case> {
    vec![
        case!(CALL, plain::number(black_box(1)), number(black_box(1))),
        case!(ERROR, plain::refuses(black_box(1)), refuses(black_box(1))),
        case!(ASYNC, plain::finish(plain::ready(black_box(1))), plain::finish(ready(black_box(1)))),
    ]
}

#[autometrics]
#[inline(never)]
fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[autometrics]
#[inline(never)]
fn refuses(number: u64) -> Result<u64, Refused> {
    if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
}

#[autometrics]
#[inline(never)]
async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}
