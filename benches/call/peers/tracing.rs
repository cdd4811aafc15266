//! tracing in three setups: without a subscriber, with a registry that keeps spans while they are open, and with
//! a subscriber that writes a JSON line to a file, through a non-blocking writer, when a span closes.

use std::hint::black_box;

use monitor_benches::{Case, case};
use tracing::instrument;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry};

use super::{ASYNC, CALL, ERROR, Peer, VALUES, pause};
use crate::plain::{self, ID, NAME, Refused};

pub(super) const NO_SUBSCRIBER: Peer =
    Peer { name: "tracing, no subscriber", keeps: false, start: || (), cases, settle: || () };
pub(super) const REGISTRY: Peer =
    Peer { name: "tracing, Registry", keeps: false, start: start_registry, cases, settle: || () };
pub(super) const JSON: Peer =
    Peer { name: "tracing, JSON lines to a file", keeps: true, start: start_json, cases, settle: pause };

/// A layer that enables all spans and does nothing with them.
struct IdleLayer;

impl Layer<Registry> for IdleLayer {}

fn start_registry() {
    tracing_subscriber::registry().with(IdleLayer).init();
}

fn start_json() {
    let Ok(file) = tempfile::tempfile() else { return };
    let (writer, guard) = tracing_appender::non_blocking(file);
    tracing_subscriber::fmt().json().with_span_events(FmtSpan::CLOSE).with_writer(writer).init();
    // The writer's thread ends when its guard is dropped, so the guard is kept until the process ends.
    std::mem::forget(guard);
}

fn cases() -> Vec<Case> {
    vec![
        case!(CALL, plain::number(black_box(1)), number(black_box(1))),
        case!(VALUES, plain::values(black_box(ID), black_box(NAME)), values(black_box(ID), black_box(NAME))),
        case!(ERROR, plain::refuses(black_box(1)), refuses(black_box(1))),
        case!(ASYNC, plain::finish(plain::ready(black_box(1))), plain::finish(ready(black_box(1)))),
    ]
}

#[instrument(skip_all)]
#[inline(never)]
fn number(number: u64) -> u64 {
    black_box(number) + 1
}

#[instrument]
#[inline(never)]
fn values(id: u64, name: &str) -> u64 {
    black_box(id) + black_box(name).len() as u64
}

#[instrument(skip_all, err)]
#[inline(never)]
fn refuses(number: u64) -> Result<u64, Refused> {
    if black_box(number) > 0 { Err(Refused) } else { Ok(number) }
}

#[instrument(skip_all)]
#[inline(never)]
async fn ready(number: u64) -> u64 {
    black_box(number) + 1
}
