//! The peers, each with what its users write on the same functions, and with its usual collector behind
//! it. Each is alone in its worker process.
//!
//! A peer's module starts it, names its cases from [`KINDS`], and says how to wait until it has collected.

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

/// What is measured of a peer: also the order of its rows.
pub(crate) const KINDS: [&str; 9] =
    [CALL, IN_SCOPE, IN_10, IN_1000, VALUES, ERROR, ASYNC, THREADS_2, HANDLES];
/// The function of `plain` that does next to nothing.
pub(crate) const CALL: &str = "a call";
/// The same, below a span of the caller.
const IN_SCOPE: &str = "a call in a scope";
const IN_10: &str = "a call, 10 in a trace";
const IN_1000: &str = "a call, 1000 in a trace";
const VALUES: &str = "(u64, &str) captured";
const ERROR: &str = "Err with a message";
const ASYNC: &str = "ready async function";
const THREADS_2: &str = "a call, 2 threads";
const HANDLES: &str = "a call, handles kept";

/// A peer in one of its uses.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Whether something of each call can be read afterwards.
    pub(crate) keeps: bool,
    pub(crate) start: fn(),
    cases: fn() -> Vec<Case>,
    settle: fn(),
}

pub(crate) const PEERS: [Peer; 10] = [
    tracing::NOTHING,
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
    /// The row of one of its cases.
    pub(crate) fn row(&self, kind: &str) -> String {
        format!("{}: {kind}", self.name)
    }

    /// One round: the floors under their own names, the cases under those of their rows.
    pub(crate) fn round(&self, options: &Options) -> Figures {
        // Not all bursts of two threads coincide.
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

/// For peers that collect in a thread of their own and do not say when they are done.
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
