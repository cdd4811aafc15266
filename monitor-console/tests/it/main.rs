//! Tests of the command `monitor` from outside: they give arguments and check output and exit code.
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
mod terminal;
mod corpus;
mod demo;
