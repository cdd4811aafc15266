//! The arguments of the commands that change running processes: sampling rates and breakers.

use clap::{Args, Subcommand};

use crate::pattern::Pattern;
use crate::units;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor sample                       the rates in force, and why
  monitor sample '*::with_tax' 0.01    a row for one call in a hundred
  monitor sample --reset '*::with_tax'

Running processes read a rate within two seconds. If several patterns match a function, the one set last \
wins. At any rate counts stay exact and failed calls get a row.")]
pub(crate) struct Sample {
    /// Whole function names; `*` stands for any text: `shop::pay`, `*::orders::*`, `*`
    #[arg(value_name = "PATTERN", requires = "rate", conflicts_with = "reset")]
    pub(crate) pattern: Option<Pattern>,
    /// Share of the calls that get a row, from 0 to 1
    #[arg(value_name = "RATE", value_parser = units::parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Remove the rate set for this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) reset: Option<Pattern>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor breaker                              the state of each breaker
  monitor breaker open --reason 'disk swap'    stop writing to the store
  monitor breaker close --reason 'known noise' try every write
  monitor breaker auto                         end the hold
  monitor breaker rates                        the guard `rates` of your program, in each process
  monitor breaker rates open --reason 'maintenance until 15:00'

A circuit breaker opens by itself when writes to the store fail; records then wait in memory. Behind a NAME stands \
a guard, a breaker that the program has around a part of its own: held open, it makes no call. Running processes \
read a change within two seconds, later ones when they start. Every change is a row of the view `events`, with who \
and why.")]
pub(crate) struct Breaker {
    /// Guard of the program, as `monitor health` shows it [default: the breaker around the store]
    #[arg(value_name = "NAME", value_parser = units::parse_reason)]
    pub(crate) name: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Option<BreakerAction>,
}

/// A change to the breakers.
#[derive(Debug, Subcommand)]
pub(crate) enum BreakerAction {
    /// Holds breakers open: nothing is written, records wait in memory; a guard makes no call
    #[command(after_help = "Example:\n  monitor breaker open --reason 'the disk is being replaced'")]
    Open(HoldOptions),
    /// Holds breakers closed: every write is tried, even after failures; a guard makes every call
    #[command(after_help = "Example:\n  monitor breaker close --reason 'known noise' --process 3")]
    Close(HoldOptions),
    /// Ends the hold: breakers open and close by themselves
    #[command(after_help = "Example:\n  monitor breaker auto --reason 'the disk is back'")]
    Auto(HoldOptions),
}

/// The options of a change to the breakers.
#[derive(Debug, Args)]
pub(crate) struct HoldOptions {
    /// Reason, stored with the event; `open` and `close` need one, `auto` does not
    #[arg(long, value_name = "TEXT", value_parser = units::parse_reason)]
    pub(crate) reason: Option<String>,
    /// Only the process of this run, as `monitor health` shows it [default: every process]
    #[arg(long, value_name = "RUN", value_parser = units::parse_run)]
    pub(crate) process: Option<u32>,
}
