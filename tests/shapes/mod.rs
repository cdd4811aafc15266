//! Every function shape that `#[monitor]` must accept, compiled by one crate per edition. A test is named by its rule.
//! Each shape compiles without a warning, and behaves as without the attribute.

pub mod support;
mod returns;
mod arguments;
mod items;
mod attributes;
mod flow;
mod lints;
mod everyday;
mod blanket_traits;
