//! hotpath: each call sends its duration to a thread that keeps statistics per function.

use std::hint::black_box;

use monitor_benches::{Case, case};

use super::{ASYNC, CALL, ERROR, Peer, pause};
use crate::plain::{self, Refused};

pub(super) const PEER: Peer = Peer { name: "hotpath", keeps: true, start, cases, settle: pause };

fn start() {
    let guard = hotpath::HotpathGuardBuilder::new("call").format(hotpath::Format::None).build();
    // The guard would print a report when it is dropped.
    std::mem::forget(guard);
}

fn cases() -> Vec<Case> {
    vec![
        case!(CALL, plain::number(black_box(1)), number(black_box(1))),
        case!(ERROR, plain::refuses(black_box(1)), refuses(black_box(1))),
        case!(ASYNC, plain::finish(plain::ready(black_box(1))), plain::finish(ready(black_box(1)))),
    ]
}

#[hotpath::measure]
#[inline(never)]
fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[hotpath::measure(log = true)]
#[inline(never)]
fn refuses(number: u64) -> Result<u64, Refused> {
    if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
}

#[hotpath::measure]
#[inline(never)]
async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}
