//! fastrace: spans below a root that its user opens, say one per request, reported once that has ended.
//! The reporter drops them. Opening and closing the root counts, shared out among its calls: a hundred where
//! nothing else is said.

use std::hint::black_box;

use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::prelude::{Span, SpanContext};
use monitor_benches::Case;

use super::{ASYNC, CALL, IN_10, IN_1000, Peer, VALUES};
use crate::plain::{self, ID, NAME};

pub(super) const PEER: Peer = Peer { name: "fastrace", keeps: true, start, cases, settle: fastrace::flush };

struct Nowhere;

impl Reporter for Nowhere {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        drop(black_box(spans));
    }
}

fn start() {
    fastrace::set_reporter(Nowhere, Config::default());
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: CALL,
            calls: 1,
            without: plain_number,
            with: |calls| in_traces(calls, 100, traced_number),
        },
        Case {
            name: IN_10,
            calls: 1,
            without: plain_number,
            with: |calls| in_traces(calls, 10, traced_number),
        },
        Case {
            name: IN_1000,
            calls: 1,
            without: plain_number,
            with: |calls| in_traces(calls, 1000, traced_number),
        },
        Case {
            name: VALUES,
            calls: 1,
            without: |calls| {
                (0..calls).for_each(|_| _ = black_box(plain::values(black_box(ID), black_box(NAME))));
            },
            with: |calls| {
                in_traces(calls, 100, || _ = black_box(values(black_box(ID), black_box(NAME))));
            },
        },
        Case {
            name: ASYNC,
            calls: 1,
            without: |calls| {
                (0..calls).for_each(|_| _ = black_box(plain::finish(plain::ready(black_box(1)))));
            },
            with: |calls| in_traces(calls, 100, || _ = black_box(plain::finish(ready(black_box(1))))),
        },
    ]
}

fn plain_number(calls: u32) {
    (0..calls).for_each(|_| _ = black_box(plain::number(black_box(1))));
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as `in_traces`")]
fn traced_number() {
    black_box(number(black_box(1)));
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the call is to lie in this loop, as it does without the attribute")]
fn in_traces(calls: u32, spans: u32, call: impl Fn()) {
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
