//! tracy-client: each call puts a zone into a queue, which a viewer reads over the network. No viewer is connected
//! here, so the queue grows; a push costs the same as with a viewer.

use std::hint::black_box;

use monitor_benches::{Case, case};
use tracy_client::{Client, span};

use super::{CALL, Peer, VALUES};
use crate::plain::{self, ID, NAME};

pub(super) const PEER: Peer = Peer { name: "tracy-client", keeps: true, start, cases, settle: || () };

fn start() {
    // The client runs until the process ends.
    let _ = Client::start();
}

fn cases() -> Vec<Case> {
    vec![
        case!(CALL, plain::number(black_box(1)), number(black_box(1))),
        case!(VALUES, plain::values(black_box(ID), black_box(NAME)), values(black_box(ID), black_box(NAME))),
    ]
}

#[inline(never)]
fn number(number: u64) -> u64 {
    let _span = span!("number");
    black_box(number) + 1
}

#[inline(never)]
fn values(id: u64, name: &str) -> u64 {
    let span = span!("values");
    span.emit_value(id);
    span.emit_text(name);
    black_box(id) + black_box(name).len() as u64
}
