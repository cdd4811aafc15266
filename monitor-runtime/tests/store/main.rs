//! The store seen from outside: batches in, a real SQLite file, queries out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests harm files and start processes")]

mod rows;
mod writing;
mod opening;
mod faults;
mod retention;
mod views;
mod reading;
mod processes;
