//! The subscriber of a program that has none.
//!
//! Takes the variable `RUST_LOG`; installs a registry with the layer. A subscriber that is installed already stays. The file does
//! not know spans.

use std::fmt::Display;
use std::io::Write as _;

use tracing_core::{Dispatch, LevelFilter, dispatcher};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::layer::layer;

/// Installs a subscriber that records spans, for a program that has none: a registry with [`layer`], filtered by the targets
/// and levels in `RUST_LOG` (`info,hyper=warn`), without it from level `INFO` up.
///
/// If another subscriber is installed already, it stays, and a line on stderr says so. If recording is off, nothing is installed.
pub fn init() {
    if monitor_runtime::bridge::is_off() {
        return;
    }
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.trim().is_empty());
    let targets = match wanted.as_deref().map(str::parse::<Targets>) {
        None => Targets::new().with_default(LevelFilter::INFO),
        Some(Ok(targets)) => targets,
        Some(Err(error)) => {
            say(format_args!(
                "RUST_LOG is not understood, so spans are recorded from level INFO up: {error}"
            ));
            Targets::new().with_default(LevelFilter::INFO)
        }
    };
    // The subscriber's filter decides, so the layer takes all that it lets through.
    let layer = layer().spans(LevelFilter::TRACE).events(LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(targets).with(layer);
    if dispatcher::set_global_default(Dispatch::new(subscriber)).is_err() {
        say(
            "a tracing subscriber is installed already, so spans are not recorded; add monitored_tracing::layer() to it",
        );
    }
}

fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "monitored-tracing: {line}");
}
