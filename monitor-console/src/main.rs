//! The command `monitor`: reads, follows and tunes what `#[monitor]` records.
//!
//! In come arguments and a store; out come reports on standard output, remarks on standard error and
//! an exit code: 0 done, 1 failed, 2 wrong usage. A reader that closes the pipe early is success.
//! Only `demo` runs monitored code; every other command opens the store from outside, read-only
//! unless it sets a rate.
#![forbid(unsafe_code)]

mod arguments;
mod pattern;
mod units;
mod find;
mod store;
mod report;
mod terminal;
mod format;
mod command;
mod shop;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::remark(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}
