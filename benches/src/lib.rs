//! What the benchmarks share: rounds, their spread, the table and its JSON, and worker processes.
//!
//! A subject is one bench target. It measures its cases in rounds, each case of a round next to the
//! floor it is compared with, since absolute times drift with the neighbours of a machine while ratios
//! of neighbouring measurements hold. What it knows of the recorder, each subject knows by itself.

mod burst;
pub mod floor;
mod options;
mod spread;
mod table;
mod timing;
mod worker;

pub use burst::{Bursts, Case};
pub use options::Options;
pub use spread::Spread;
pub use table::Table;
pub use timing::{ns_per_call, seconds};
pub use worker::{Figures, Worker, serve};
