//! The arguments of the view that fills the terminal.

use clap::Args;

use super::TopKey;
use crate::pattern::Pattern;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor tui
  monitor tui '*::orders::*' --since 1h
  monitor tui --ascii                  for terminals without UTF-8

The keys 1 to 7 open functions, calls, errors, live calls, findings, processes and health; enter opens what a row leads \
to, ? shows all keys, q quits. [ and ] move the span over the past six hours. Colours are the terminal's own; \
NO_COLOR=1 leaves them out. Commands that were copied with y are printed at the end.")]
pub(crate) struct Tui {
    /// Only functions with this name, or whose name ends with these segments; with `*`, which stands for any
    /// text, the whole name is compared
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Figure to sort functions by, largest first [default: total]
    #[arg(long, value_enum, value_name = "KEY")]
    pub(crate) sort: Option<TopKey>,
    /// Draw with characters of ASCII only
    #[arg(long)]
    pub(crate) ascii: bool,
}
