//! The arguments of the commands on alerts, and on their rules.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use monitor_runtime::alert::AlertLevel;

use crate::model::alerts::{Condition, parse};
use crate::pattern::Pattern;
use crate::units;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor alerts
  monitor alerts --watch               each change as it comes
  monitor alerts --format json | jq '.[] | select(.state == \"firing\") | .sentence'

An alert fires when a rule has held for long enough: `monitor alert list` shows the rules. It is recovering while the rule \
does not hold any more, and resolved after that has lasted. If the process ends meanwhile, the alert is ended. A window \
without calls changes nothing. Each process decides on its own figures once for each window of 10 s; the processes of one \
service share an alert. `monitor watch` tells a command or a webhook of them.")]
pub(crate) struct Alerts {
    /// Print alerts as they begin, change and end, until Ctrl-C
    #[arg(long, conflicts_with = "limit")]
    pub(crate) watch: bool,
    /// At most this many alerts [default: 20]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor alert list
  monitor alert set 'shop::pay' 'p99 > 50ms for 1m' --level critical
  monitor alert set '*' 'panics > 0'
  monitor alert set 'shop::*' 'errors_pct > 5 for 2m' --min-calls 20
  monitor alert set '*' 'stuck > 0' --level critical
  monitor alert set '*' 'rss_bytes > 2GiB for 5m'
  monitor alert set '*' 'metric:queue.depth > 1000 for 1m'
  monitor alert disable level
  monitor alert remove 'shop::pay p99_ms'

Rules are rows of the table `alert_rule`. Running processes read a change within two seconds.")]
pub(crate) struct Alert {
    #[command(subcommand)]
    pub(crate) action: AlertAction,
}

/// The actions on rules.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertAction {
    /// Lists the rules, or with --measures what rules can look at
    #[command(after_help = "Examples:\n  monitor alert list\n  monitor alert list --measures")]
    List(ListRules),
    /// Sets a rule, or changes the one of this name and level
    Set(SetRule),
    /// Removes a rule
    #[command(after_help = "Example:\n  monitor alert remove 'shop::pay p99_ms' --level critical")]
    Remove(NamedRule),
    /// Switches a rule on again
    #[command(after_help = "Example:\n  monitor alert enable level")]
    Enable(NamedRule),
    /// Switches a rule off and keeps it
    #[command(after_help = "Example:\n  monitor alert disable level")]
    Disable(NamedRule),
}

#[derive(Debug, Args)]
pub(crate) struct ListRules {
    /// List the measures, with their meanings
    #[arg(long)]
    pub(crate) measures: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor alert set 'shop::pay' 'p99 > 50ms for 1m' --level critical
  monitor alert set '*' 'failed > 10 for 30s' --keep 5m
  monitor alert set 'shop::*' 'new_failure > 0'            a kind of failure that the store did not have
  monitor alert set '*' 'stuck > 0'                        calls under way for far longer than usual
  monitor alert set '*' 'rss_bytes > 2GiB for 5m'          memory of the process
  monitor alert set '*' 'cost_pct > 2 for 1m'              cost of recording, in percent of a core

`monitor alert list --measures` explains the measures. Failures that clients cause by going away can be left out: `errors` \
and `panics` do not count them, `cancelled` counts nothing else, and `failed` counts all three.")]
pub(crate) struct SetRule {
    /// Functions, or metrics of the program, by their whole names; `*` stands for any text
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Pattern,
    /// Measure, `>` or `<`, threshold, and for how long: 'p99 > 50ms for 1m'
    #[arg(value_name = "CONDITION", value_parser = parse)]
    pub(crate) condition: Condition,
    /// Level of the alert
    #[arg(long, value_enum, default_value = "warning")]
    pub(crate) level: AlertLevelName,
    /// Name of the rule [default: pattern and measure]
    #[arg(long, value_name = "TEXT", value_parser = units::parse_reason)]
    pub(crate) name: Option<String>,
    /// Time for which the condition must not hold before the alert is resolved
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, default_value = "1m")]
    pub(crate) keep: Duration,
    /// Pass over windows of 10 s with fewer calls
    #[arg(long, value_name = "N", value_parser = units::parse_limit, default_value = "0")]
    pub(crate) min_calls: u32,
}

#[derive(Debug, Args)]
pub(crate) struct NamedRule {
    /// Name of the rule, as `monitor alert list` shows it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Only the rule of this level
    #[arg(long, value_enum)]
    pub(crate) level: Option<AlertLevelName>,
}

/// The name of a level of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertLevelName {
    /// The alert informs and needs no reaction
    Info,
    /// The alert needs a look on the same day
    Warning,
    /// The alert needs a look at once
    Critical,
}

impl AlertLevelName {
    /// Returns the level of this name.
    pub(crate) const fn to_level(self) -> AlertLevel {
        match self {
            Self::Info => AlertLevel::Info,
            Self::Warning => AlertLevel::Warning,
            Self::Critical => AlertLevel::Critical,
        }
    }
}
