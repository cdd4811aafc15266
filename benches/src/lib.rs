//! The parts that all benchmarks share: options, bursts and their spread, the table and its JSON, and worker
//! processes.
//!
//! A subject is one bench target. A subject measures its cases in rounds, and in each round it measures a case
//! next to the floor that the case is compared with, because absolute times drift with the load of the machine
//! while ratios of neighbouring measurements hold. This crate knows nothing of the recorder: each subject
//! sets its recorder up by itself.

mod burst;
mod command;
pub mod floor;
mod groups;
mod options;
mod spread;
mod table;
mod timing;
mod worker;

pub use burst::{Bursts, Case, WARM};
pub use command::build_monitor;
pub use groups::{Group, measure_groups};
pub use options::Options;
pub use spread::{Spread, median};
pub use table::Table;
pub use timing::{ns_per_call, seconds};
pub use worker::{Figures, Worker, serve, serve_or_exit};
