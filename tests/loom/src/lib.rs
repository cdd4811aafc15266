//! The ring and the tally of the runtime, the same source files, over atomics that try all
//! interleavings and all values a load may see. Out: one function for each model, which fails where the
//! model does, and how often it ran. A model whose threads never meet passes with one run, so callers
//! look at that number as well.

// `cargo test NAME` builds libraries as tests whether they have any or not; those of the runtime's own
// modules are not at home here.
#![cfg(not(test))]
#![allow(
    clippy::pedantic,
    reason = "the runtime's modules are linted at home, where some of these are allowed"
)]
#![allow(unreachable_pub, dead_code, reason = "modules of another crate, of which models use a part")]

mod limits;
mod platform;
#[path = "../../../monitor-runtime/src/histogram.rs"]
mod histogram;
#[path = "../../../monitor-runtime/src/record/mod.rs"]
mod record;
mod ring;
mod thread;

mod sync;
mod explore;
pub mod models;

pub use explore::Explored;
pub use sync::Weakened;
