//! Guards and `once` as a program uses them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod half_open;
mod asynchronous;
mod store;
mod once;
mod once_beside_store;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod once_descriptors;
mod once_killed;
