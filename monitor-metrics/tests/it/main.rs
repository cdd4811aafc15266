//! Metrics as a program records them, read from its store.
//!
//! A store belongs to a process, so each test runs a part of [`child::child`] in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a child tells its parent how far it is")]

mod child;
mod facade;
mod exact;
mod bounds;
mod quiet;
mod alert;
#[cfg(unix)]
mod fork;
