//! The command `monitor`, seen from outside: its arguments in, its output and exit code out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod run;
mod usage;
mod opening;
mod reading;
mod safety;
mod hostile;
mod following;
mod sampling;
mod crash;
mod breaker;
mod corpus;
mod demo;
