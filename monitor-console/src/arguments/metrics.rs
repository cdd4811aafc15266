//! The arguments of the command on the program's own metrics.

use clap::Args;

use super::SpanOptions;
use crate::pattern::Pattern;
use crate::units;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor metrics
  monitor metrics 'http.*' --tag method=GET --since 1h
  monitor metrics --watch
  monitor metrics orders --history --since 10m     each window of 10 s
  monitor metrics --format json | jq '.[] | select(.kind == \"gauge\") | .latest'

A program records metrics with the crate `monitored-metrics`. A line is one series, that is a metric with its tags. LATEST is \
the total of a counter, the last value of a gauge, and the mean of a histogram's last window; RATE is increments, or \
values, a second in the last window of 10 s. MEDIAN, P95 and P99 are those of a histogram's values within the span. OVER \
TIME shows the rate of a counter, the value of a gauge, and the 95th percentile of a histogram. The span is the last ten \
minutes unless --since or --until says otherwise; series that did not change within the retention are gone.")]
pub(crate) struct Metrics {
    /// Only metrics with this name; `*` stands for any text
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<Pattern>,
    /// Only series with this tag; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    pub(crate) tag: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    /// Each window of 10 s of the series instead of a line for each
    #[arg(long, conflicts_with = "watch")]
    pub(crate) history: bool,
    /// Refresh every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// At most this many series [default: 50 in a table, all in data]
    #[arg(long, value_name = "N", value_parser = units::parse_limit)]
    pub(crate) limit: Option<u32>,
}

/// Parses `shop=berlin`.
fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a tag is a name and a value, such as shop=berlin".to_owned()),
    }
}
