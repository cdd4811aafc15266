//! Tests the behaviour of `monitored` from outside: runs programs, each with a store of its own, and reads the store
//! with plain SQL.
#![allow(clippy::disallowed_methods, reason = "tests look at files and wait for programs")]
#![allow(clippy::unwrap_used, reason = "the panic of a test names the place at which the test cannot go on")]

mod patience;
mod victim;
mod outcomes;
mod counts;
mod parents;
mod trees;
mod process;
mod crash;
mod exit;
mod bounds;
mod tuning;
mod ladder;
mod control;
mod alerts;
mod settings;
mod reports;
mod idle;
mod short;

mod macro_ui;
mod macro_off;
mod macro_attributes;
mod macro_behaviour;

mod examples;
mod examples_surroundings;
