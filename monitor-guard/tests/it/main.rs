//! Guards and `once` as a program uses them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod half_open;
mod asynchronous;
mod store;
mod once;
mod once_beside_store;
mod once_killed;
