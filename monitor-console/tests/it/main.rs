//! Tests of the command `monitor` from outside: they give arguments and check output and exit code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod run;
mod usage;
mod opening;
mod stores;
mod reading;
mod logs;
mod answers;
mod exports;
mod safety;
mod hostile;
mod metrics;
mod following;
mod sampling;
mod crash;
mod breaker;
mod terminal;
mod tui;
mod corpus;
mod demo;
mod probes;
mod alerts;
mod watch;
mod serve;
