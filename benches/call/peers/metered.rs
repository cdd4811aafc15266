//! metered: each method has a counter and a histogram of durations, in a registry that belongs to the struct.

use std::hint::black_box;
use std::sync::LazyLock;

use metered::{HitCount, ResponseTime};
use monitor_benches::Case;

use super::{ASYNC, CALL, Peer};
use crate::plain;

pub(super) const PEER: Peer =
    Peer { name: "metered, hits and response time", keeps: true, start: || (), cases, settle: || () };

#[derive(Default)]
struct Service {
    metrics: ServiceMetrics,
}

static SERVICE: LazyLock<Service> = LazyLock::new(Service::default);

#[metered::metered(registry = ServiceMetrics)]
impl Service {
    #[measure([HitCount, ResponseTime])]
    #[inline(never)]
    fn number(&self, number: u64) -> u64 {
        black_box(number) + 1
    }

    #[measure([HitCount, ResponseTime])]
    #[inline(never)]
    async fn ready(&self, number: u64) -> u64 {
        black_box(number) + 1
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: CALL,
            calls: 1,
            baseline: |calls| (0..calls).for_each(|_| _ = black_box(plain::number(black_box(1)))),
            measured: |calls| {
                let service = &*SERVICE;
                (0..calls).for_each(|_| _ = black_box(service.number(black_box(1))));
            },
        },
        Case {
            name: ASYNC,
            calls: 1,
            baseline: |calls| {
                (0..calls).for_each(|_| _ = black_box(plain::finish(plain::ready(black_box(1)))));
            },
            measured: |calls| {
                let service = &*SERVICE;
                (0..calls).for_each(|_| _ = black_box(plain::finish(service.ready(black_box(1)))));
            },
        },
    ]
}
