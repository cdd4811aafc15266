//! The command `monitor`: reads, follows and tunes what `#[monitor]` records.
//!
//! It takes arguments and a store. It prints reports on standard output and notes on standard error, and ends
//! with an exit code: 0 done, 1 failed, 2 wrong usage. A reader that closes the pipe early is no failure.
//!
//! Only `demo` runs monitored code. The other commands recover the ring files of dead processes into the
//! store, then open it read-only; only `sample` and `breaker` also write, to the store's control tables.
#![forbid(unsafe_code)]

mod pattern;
mod units;
mod arguments;
mod find;
mod report;
mod store;
mod terminal;
mod format;
mod shop;
mod command;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}
