//! The shapes in edition 2021.
#![deny(warnings, rust_2018_idioms, rust_2021_compatibility, clippy::all, clippy::pedantic)]
#![allow(
    clippy::large_types_passed_by_value,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    clippy::unused_async,
    clippy::uninlined_format_args,
    clippy::allow_attributes_without_reason,
    reason = "shapes have arguments for their own sake, and edition 2018 cannot inline them in `panic!`"
)]
#![forbid(unsafe_code)]
#![cfg(test)]

#[path = "../../../shapes/mod.rs"]
mod shapes;

/// The shapes that have to be public.
#[path = "../../../shapes/public.rs"]
pub mod public;
