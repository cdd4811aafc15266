//! The command line: one type per command, with its help and examples. The commands that read and those that
//! change running processes have a file each.
//!
//! Everything that can be checked without a store (durations, rates, patterns, sort keys) is checked here, so
//! that a wrong value ends in exit code 2 and never reaches SQL as text.

mod reading;
mod control;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use monitor_runtime::config::process_variable;

use crate::format::Style;
use crate::units;

pub(crate) use control::{Breaker, BreakerAction, HoldOptions, Sample};
pub(crate) use reading::{
    CallKey, Calls, Crash, Errors, Health, Live, Sql, Tail, Top, TopKey, TopOptions, Trace,
};

/// Parses the command line; ends the process on help, version and wrong usage.
pub(crate) fn parse() -> Arguments {
    let arguments = Arguments::parse();
    if arguments.command.is_some() && arguments.top != TopOptions::default() {
        Arguments::command()
            .error(
                ErrorKind::ArgumentConflict,
                "options before a command belong to `top`: put those of another command after its name",
            )
            .exit();
    }
    arguments
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(about = "Shows what #[monitor] recorded: functions, calls, errors and traces")]
#[command(name = "monitor", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "\
Examples:
  monitor                              functions by total time
  monitor demo                         record a small workload and look at it
  monitor calls place --failed         the latest failed calls of a function
  monitor trace 1042                   the tree of one call, as a waterfall
  monitor errors --since 15m           kinds of failure in the last 15 minutes
  monitor sql 'SELECT function, p99_ms FROM functions' --format csv

Tables show durations in ns, µs, ms, s, min, h or d; k, M and G are thousands, millions and billions. \
Times of day are UTC. Figures marked ~ are estimates from a sample.

Exit codes: 0 done, 1 failed, 2 wrong usage.")]
pub(crate) struct Arguments {
    // The heading of the common options would apply to the options after them.
    #[command(flatten)]
    pub(crate) top: TopOptions,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Store to read [default: `MONITOR_DB`, otherwise the store written last in the default folder]
    #[arg(long, value_name = "PATH", global = true)]
    db: Option<PathBuf>,
    /// Output format; json, jsonl and csv have raw numbers and every column
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: FormatName,
    /// Only what happened within this time before now, such as 90s, 15m, 1h30m or 2d; trace,
    /// live, sample, breaker, sql and demo ignore it
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, global = true)]
    pub(crate) since: Option<Duration>,
    /// Tables with all columns and whole texts, even if lines are wider than the terminal
    #[arg(long, global = true)]
    pub(crate) wide: bool,
    /// CSV cells as stored; without it, `'` precedes a text that a spreadsheet would run as a formula
    #[arg(long, global = true)]
    pub(crate) raw: bool,
}

impl Common {
    /// Returns how reports are printed.
    pub(crate) fn style(&self) -> Style {
        Style { name: self.format, is_wide: self.wide, is_raw: self.raw }
    }

    /// Returns the options with this store and without `--since`.
    pub(crate) fn with_store(&self, path: PathBuf) -> Self {
        Self { db: Some(path), since: None, ..self.clone() }
    }

    /// Returns the store that `--db` or `MONITOR_DB` names; an empty name counts as none.
    pub(crate) fn store_path(&self) -> Option<PathBuf> {
        let variable = || process_variable("MONITOR_DB").map(PathBuf::from);
        self.db.clone().or_else(variable).filter(|path| !path.as_os_str().is_empty())
    }
}

/// The name of an output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// Aligned columns, numbers with units
    #[default]
    Table,
    /// One array of objects
    Json,
    /// One object per line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
}

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows functions by total time (the default command)
    Top(Top),
    /// Shows recent calls, newest first
    Calls(Calls),
    /// Shows kinds of failure: count, first and last seen, an example
    Errors(Errors),
    /// Shows the tree of one call, as a waterfall
    Trace(Trace),
    /// Prints new calls as they are recorded
    Tail(Tail),
    /// Shows or sets the sampling rates of running processes
    Sample(Sample),
    /// Shows the recorder of each process: level, drops, breaker, sizes, cost
    Health(Health),
    /// Shows the circuit breakers around the store's writes, or holds them open or closed
    Breaker(Breaker),
    /// Shows the calls in flight in running processes, stuck calls first
    Live(Live),
    /// Shows processes that died: when, how, calls in flight, the last calls before
    Crash(Crash),
    /// Runs one SQL statement that reads
    Sql(Sql),
    /// Records a small order-processing workload and shows what was recorded
    Demo(Demo),
    /// Prints a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor demo
  monitor demo --seconds 10            watch it in another terminal: monitor top --watch
  monitor demo --db /tmp/demo.db

The same number of seconds always makes the same calls. The demo counts its calls itself, compares them \
with the store, and fails if one is missing.")]
pub(crate) struct Demo {
    /// Seconds to run, from 1 to 3600
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = units::parse_demo_seconds)]
    pub(crate) seconds: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor completions bash > ~/.local/share/bash-completion/completions/monitor
  monitor completions zsh > ~/.zfunc/_monitor
  monitor completions fish > ~/.config/fish/completions/monitor.fish")]
pub(crate) struct Completions {
    /// Shell that reads the script
    pub(crate) shell: clap_complete::Shell,
}
