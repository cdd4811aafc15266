//! metrics with the Prometheus exporter: a counter and a histogram of durations, which each call looks up by macro
//! or finds in a static handle. The recorded values are aggregated between bursts, as the exporter does every
//! few seconds.

use std::hint::black_box;
use std::sync::{LazyLock, OnceLock};
use std::time::Instant;

use metrics::{Counter, Histogram, counter, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use monitor_benches::{Case, case};

use super::{CALL, HANDLES, Peer};
use crate::plain;

pub(super) const PEER: Peer =
    Peer { name: "metrics, counter and histogram", keeps: true, start, cases, settle };

static EXPORTER: OnceLock<PrometheusHandle> = OnceLock::new();

fn start() {
    if let Ok(exporter) = PrometheusBuilder::new().install_recorder() {
        let _ = EXPORTER.set(exporter);
    }
}

fn settle() {
    if let Some(exporter) = EXPORTER.get() {
        exporter.run_upkeep();
    }
}

fn cases() -> Vec<Case> {
    vec![
        case!(CALL, plain::number(black_box(1)), number_by_macro(black_box(1))),
        case!(HANDLES, plain::number(black_box(1)), number_by_handle(black_box(1))),
    ]
}

#[inline(never)]
fn number_by_macro(number: u64) -> u64 {
    let start = Instant::now();
    let result = black_box(number) + 1;
    counter!("calls", "function" => "number").increment(1);
    histogram!("seconds", "function" => "number").record(start.elapsed());
    result
}

static CALLS: LazyLock<Counter> = LazyLock::new(|| counter!("calls_kept", "function" => "number"));
static SECONDS: LazyLock<Histogram> = LazyLock::new(|| histogram!("seconds_kept", "function" => "number"));

#[inline(never)]
fn number_by_handle(number: u64) -> u64 {
    let start = Instant::now();
    let result = black_box(number) + 1;
    CALLS.increment(1);
    SECONDS.record(start.elapsed());
    result
}
