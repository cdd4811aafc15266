//! `monitor completions SHELL`: the script that a shell reads to complete our words.

use std::io::{self, Write};

use anyhow::Result;
use clap::CommandFactory;

use crate::arguments::{Arguments, Completions};

pub(super) fn run(arguments: &Completions) -> Result<()> {
    // Through memory, because the generator panics where its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "monitor", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
