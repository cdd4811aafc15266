//! The peers: other recorders, each alone in its worker process and with its usual collector.
//!
//! A peer's module starts the recorder, lists its cases by the names of [`KINDS`], and waits until the recorder
//! has collected. Each module has its own copy of the functions, because their attributes are the peer's and are
//! written as its users write them.

mod autometrics;
mod fastrace;
mod hotpath;
mod metered;
mod metrics;
mod puffin;
mod tracing;
mod tracy;

use std::time::Duration;

use monitor_benches::{Bursts, Case, Figures, Options, floor};

/// The cases that a peer may have, in the order of its rows.
pub(crate) const KINDS: [&str; 9] =
    [CALL, IN_SCOPE, IN_10, IN_1000, VALUES, ERROR, ASYNC, THREADS_2, HANDLES];
/// One call of the function `number`.
pub(crate) const CALL: &str = "a call";
/// One call of `number` inside a scope of the caller.
const IN_SCOPE: &str = "a call in a scope";
const IN_10: &str = "a call, 10 in a trace";
const IN_1000: &str = "a call, 1000 in a trace";
const VALUES: &str = "(u64, &str) captured";
const ERROR: &str = "Err with a message";
const ASYNC: &str = "ready async function";
const THREADS_2: &str = "a call, 2 threads";
const HANDLES: &str = "a call, handles kept";

/// A peer, set up in one of its usual ways.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Set if data of each call can be read afterwards.
    pub(crate) keeps: bool,
    /// Sets the recorder up in this process.
    pub(crate) start: fn(),
    cases: fn() -> Vec<Case>,
    /// Waits until the recorder has collected the calls of a burst.
    settle: fn(),
}

pub(crate) const PEERS: [Peer; 10] = [
    tracing::NO_SUBSCRIBER,
    tracing::REGISTRY,
    tracing::JSON,
    hotpath::PEER,
    fastrace::PEER,
    puffin::PEER,
    tracy::PEER,
    metered::PEER,
    metrics::PEER,
    autometrics::PEER,
];

impl Peer {
    /// Returns the name of the row for one of the peer's cases.
    pub(crate) fn row(&self, kind: &str) -> String {
        format!("{}: {kind}", self.name)
    }

    /// Measures one round. Returns the floors by their own names, and the cases by the names of their rows.
    pub(crate) fn round(&self, options: &Options) -> Figures {
        // More repeats for two threads, because not all of their bursts coincide.
        let bursts = |threads| Bursts {
            threads,
            repeats: options.amount(20, 2) * threads * threads,
            calls: 1_000,
            settle: &self.settle,
        };
        let cases = (self.cases)();
        let mut figures = bursts(1).measure(&floor::cases());
        let alone = bursts(1).measure(&cases);
        figures.extend(alone.into_iter().map(|(kind, ns)| (self.row(&kind), ns)));
        if let Some(call) = cases.iter().find(|case| case.name == CALL) {
            let together = bursts(2).measure(&[Case { name: THREADS_2, ..*call }]);
            figures.extend(together.into_iter().map(|(kind, ns)| (self.row(&kind), ns)));
        }
        figures
    }
}

/// Waits five milliseconds: for peers whose collecting thread does not report when it is done.
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
