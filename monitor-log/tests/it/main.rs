//! Log lines as a program says them, and as a reader finds them in its store. A logger and a recorder belong to a process, so
//! each test runs programs of its own: this test binary, as one of the children below.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod children;
mod program;
mod said;
mod wrapped;
