#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod builder;
mod logger;

pub use builder::{Builder, builder, init, wrap};
pub use logger::Logger;
