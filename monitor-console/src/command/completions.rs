//! `monitor completions SHELL`: prints the script with which a shell completes commands and options.

use std::io::{self, Write};

use anyhow::Result;
use clap::CommandFactory;

use crate::arguments::{Arguments, Completions};

pub(super) fn run(arguments: &Completions) -> Result<()> {
    // The script is generated in memory, because the generator panics if its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "monitor", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
