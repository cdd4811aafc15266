//! The command `monitor`: reads, follows and tunes what `#[monitor]` records.
//!
//! The command takes arguments and a store. It prints reports on standard output and notes on standard error, and ends
//! with an exit code: 0 done, 1 failed, 2 wrong usage. A reader that closes the pipe early is no failure, and changes
//! no verdict: `findings --fail-on`, `diff --fail-on` and `health --exit-code` end with the same code whoever reads.
//!
//! Only `demo` runs monitored code. The other commands recover the ring files of dead processes into the
//! store, then open it read-only; only `sample`, `breaker`, `alert`, `watch`, `serve`
//! and `tui` also write, to its control tables.
#![forbid(unsafe_code)]

mod pattern;
mod units;
mod moment;
mod sparkline;
mod arguments;
mod find;
mod configuration;
mod report;
mod store;
mod stores;
mod full_screen;
mod terminal;
mod progress;
mod format;
mod model;
mod shop;
mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if command::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
