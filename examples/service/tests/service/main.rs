//! Runs the service under load and compares its store with its books: every trace is whole, every failure can be
//! followed to its origin, and the recorder stays within its budget.
//!
//! A run takes 2 s, or `MONITOR_TEST_SECONDS`. The defaults promise this for a release build; a debug build of the
//! recorder costs many times as much, so its runs lift the bound on the cost. On a machine without neighbours
//! `MONITOR_TEST_COST=1` asserts the cost as well:
//!
//! ```text
//! MONITOR_TEST_COST=1 MONITOR_TEST_SECONDS=30 cargo test --release -p monitored-service -- --test-threads=1
//! ```
#![allow(clippy::print_stdout, reason = "a test tells what it measured")]
#![allow(clippy::unwrap_used, reason = "the panic of a test names the place at which the test cannot go on")]

mod books;
mod store;
mod run;
mod wholeness;
mod failures;
mod thinning;
mod pages;
mod answers;
