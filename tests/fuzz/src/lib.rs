//! Fuzz targets. Each takes any bytes, makes its input of them and panics where something is wrong. `drive` runs them
//! without any tool, with bytes of its own making, the same bytes for the same seed; a coverage-guided fuzzer may call
//! the targets as well.

// `cargo test NAME` also builds libraries without tests as tests. The unit tests of the runtime's modules do not
// belong here.
#![cfg(not(test))]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "as in the runtime")]
#![allow(clippy::inline_always, reason = "as in the runtime")]
#![allow(clippy::needless_borrow, reason = "the references of the expansion choose how a type is captured")]
#![allow(clippy::print_stderr, reason = "the path of the failing bytes is printed beside the failure")]
#![allow(clippy::missing_panics_doc, reason = "a target fails by a panic")]
#![allow(clippy::disallowed_methods, reason = "targets write files and read the environment")]

mod input;
mod ring_file;
mod recover;
mod ring;
pub mod drive;
pub mod targets;

// Where the runtime's own modules look for what is public there.
use monitor_runtime::{batch, capture, units};

#[path = "../../../monitor-runtime/src/growth.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
mod growth;
#[path = "../../../monitor-runtime/src/record/mod.rs"]
#[allow(unreachable_pub, dead_code, reason = "a module of another crate, of which targets use a part")]
mod record;
mod platform;
