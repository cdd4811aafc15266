//! puffin: each thread writes its scopes into a stream, and hands the stream over when the outermost scope ends.
//! A profiler collects the streams once per frame; `settle` ends a frame.

use std::hint::black_box;

use monitor_benches::{Case, case};

use super::{CALL, IN_SCOPE, Peer, VALUES};
use crate::plain::{self, ID, NAME};

pub(super) const PEER: Peer = Peer { name: "puffin", keeps: true, start, cases, settle };

fn start() {
    puffin::set_scopes_on(true);
}

fn settle() {
    puffin::GlobalProfiler::lock().new_frame();
}

fn cases() -> Vec<Case> {
    vec![
        case!(CALL, plain::number(black_box(1)), number(black_box(1))),
        Case {
            name: IN_SCOPE,
            calls: 1,
            baseline: |calls| (0..calls).for_each(|_| _ = black_box(plain::number(black_box(1)))),
            measured: |calls| {
                puffin::profile_scope!("burst");
                (0..calls).for_each(|_| _ = black_box(number(black_box(1))));
            },
        },
        case!(VALUES, plain::values(black_box(ID), black_box(NAME)), values(black_box(ID), black_box(NAME))),
    ]
}

#[inline(never)]
fn number(number: u64) -> u64 {
    puffin::profile_function!();
    black_box(number) + 1
}

/// Records the text only, because a scope takes one text and nothing else.
#[inline(never)]
fn values(id: u64, name: &str) -> u64 {
    puffin::profile_function!(name);
    black_box(id) + black_box(name).len() as u64
}
