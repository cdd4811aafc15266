//! Compiles the ring and the tally of the runtime, the same source files, over loom's atomics, which try all
//! interleavings and all values that a load may see. Offers a function for each model, which fails where the model
//! does and returns how often it ran. A model whose threads never meet passes with one run, so callers check that
//! number as well.

// `cargo test NAME` also builds libraries without tests as tests. The unit tests of the runtime's modules do not
// belong here.
#![cfg(not(test))]
#![allow(
    clippy::pedantic,
    reason = "the runtime's modules are linted in the runtime, which allows some of these"
)]
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "the models use only a part of another crate's modules"
)]

mod limits;
#[path = "../../../monitor-runtime/src/accountant.rs"]
mod accountant;
mod platform;
#[path = "../../../monitor-runtime/src/record/mod.rs"]
mod record;
mod ring;
mod thread;
mod guard;

mod sync;
mod explore;
pub mod models;

pub use explore::Explored;
pub use sync::Weakened;
