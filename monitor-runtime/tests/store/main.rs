//! Tests of the store from outside: they write batches to a real SQLite file and read it with SQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests damage files and start processes")]

mod rows;
mod writing;
mod opening;
mod faults;
mod retention;
mod views;
mod reading;
mod processes;
mod zones;
mod totals;
mod chunks;
mod alerts;
mod metrics;
mod logs;
