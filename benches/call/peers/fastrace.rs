//! fastrace: spans below a root span that its user opens, for example one per request. fastrace reports them when
//! the root ends; the reporter here drops them. The cost of opening and closing the root is part of the figure,
//! divided among the root's calls: a hundred, unless the case's name gives another number.

use std::hint::black_box;

use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::prelude::{Span, SpanContext};
use monitor_benches::Case;

use super::{ASYNC, CALL, IN_10, IN_1000, Peer, VALUES};
use crate::plain::{self, ID, NAME};

pub(super) const PEER: Peer = Peer { name: "fastrace", keeps: true, start, cases, settle: fastrace::flush };

struct DroppingReporter;

impl Reporter for DroppingReporter {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        drop(black_box(spans));
    }
}

fn start() {
    fastrace::set_reporter(DroppingReporter, Config::default());
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: CALL,
            calls: 1,
            baseline: call_plain,
            measured: |calls| call_in_traces(calls, 100, call_number),
        },
        Case {
            name: IN_10,
            calls: 1,
            baseline: call_plain,
            measured: |calls| call_in_traces(calls, 10, call_number),
        },
        Case {
            name: IN_1000,
            calls: 1,
            baseline: call_plain,
            measured: |calls| call_in_traces(calls, 1000, call_number),
        },
        Case {
            name: VALUES,
            calls: 1,
            baseline: |calls| {
                (0..calls).for_each(|_| _ = black_box(plain::values(black_box(ID), black_box(NAME))));
            },
            measured: |calls| {
                call_in_traces(calls, 100, || _ = black_box(values(black_box(ID), black_box(NAME))));
            },
        },
        Case {
            name: ASYNC,
            calls: 1,
            baseline: |calls| {
                (0..calls).for_each(|_| _ = black_box(plain::finish(plain::ready(black_box(1)))));
            },
            measured: |calls| {
                call_in_traces(calls, 100, || _ = black_box(plain::finish(ready(black_box(1)))));
            },
        },
    ]
}

fn call_plain(calls: u32) {
    (0..calls).for_each(|_| _ = black_box(plain::number(black_box(1))));
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the reason of `call_in_traces`")]
fn call_number() {
    black_box(number(black_box(1)));
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "the call must be inlined into this loop, like the one without the attribute"
)]
fn call_in_traces(calls: u32, spans: u32, call: impl Fn()) {
    let mut left = calls;
    while left > 0 {
        let root = Span::root("burst", SpanContext::random());
        let _guard = root.set_local_parent();
        let now = left.min(spans);
        (0..now).for_each(|_| call());
        left -= now;
    }
}

#[fastrace::trace]
#[inline(never)]
fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[fastrace::trace(properties = { "id": "{id}", "name": "{name}" })]
#[inline(never)]
fn values(id: u64, name: &str) -> u64 {
    black_box(id) + black_box(name).len() as u64
}

#[fastrace::trace]
#[inline(never)]
async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}
