//! The two text forms: Prometheus 0.0.4 and `OpenMetrics` 1.0. The functions here are pure.
//!
//! Only `OpenMetrics` has units, exemplars, the time at which counting began (`_created`) and a last line (`# EOF`). It
//! names the family of a counter without `_total`, and it escapes quotes in help texts.

use std::fmt::Write as _;

use super::facts::Example;
use super::families::{Durations, Family, Kind, Metric, Sample};

/// A text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Prometheus,
    OpenMetrics,
}

/// Writes all families.
pub(super) fn write(families: &[Family], dialect: Dialect) -> String {
    let mut out = String::new();
    for family in families {
        write_family(family, dialect, &mut out);
    }
    if dialect == Dialect::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_family(family: &Family, dialect: Dialect, out: &mut String) {
    let Family { name, help, kind, unit, metrics } = family;
    let ending = if *kind == Kind::Counter { "_total" } else { "" };
    let shown = if dialect == Dialect::Prometheus { format!("{name}{ending}") } else { name.to_string() };
    let kind_name = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let _ = writeln!(out, "# HELP {shown} {}", escape_help(help, dialect));
    let _ = writeln!(out, "# TYPE {shown} {kind_name}");
    if dialect == Dialect::OpenMetrics && !unit.is_empty() {
        let _ = writeln!(out, "# UNIT {shown} {unit}");
    }
    for metric in metrics {
        match &metric.value {
            Sample::Number(value) => {
                let _ = writeln!(out, "{name}{ending}{} {}", Labels(metric, None), Number(*value));
            }
            Sample::Durations(durations) => write_durations(name, metric, durations, dialect, out),
        }
        if dialect == Dialect::OpenMetrics
            && *kind != Kind::Gauge
            && let Some(created_ns) = metric.created_ns
        {
            let _ = writeln!(out, "{name}_created{} {}", Labels(metric, None), Seconds(created_ns));
        }
    }
}

/// Escapes what would end a line of help; `OpenMetrics` also escapes quotes.
fn escape_help(help: &str, dialect: Dialect) -> String {
    let escaped = help.replace('\\', "\\\\").replace('\n', "\\n");
    if dialect == Dialect::OpenMetrics { escaped.replace('"', "\\\"") } else { escaped }
}

fn write_durations(name: &str, metric: &Metric, durations: &Durations, dialect: Dialect, out: &mut String) {
    let Durations { count, sum_s, edges, beyond, .. } = durations;
    let finite = edges.iter().map(|edge| (edge.upper_s, edge.cumulative, edge.example.as_ref()));
    for (upper_s, cumulative, example) in finite.chain([(f64::INFINITY, *count, beyond.as_ref())]) {
        let edge = Number(upper_s).to_string();
        let _ = write!(out, "{name}_bucket{} {cumulative}", Labels(metric, Some(&edge)));
        if let Some(example) = example.filter(|_| dialect == Dialect::OpenMetrics) {
            let Example { call_id, trace_id, duration_ns, ended_ns } = example;
            #[expect(clippy::cast_precision_loss, reason = "a duration in seconds")]
            let seconds = *duration_ns as f64 / 1e9;
            let _ = write!(
                out,
                " # {{trace_id=\"{trace_id}\",call_id=\"{call_id}\"}} {seconds} {}",
                Seconds(*ended_ns)
            );
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{name}_sum{} {}", Labels(metric, None), Number(*sum_s));
    let _ = writeln!(out, "{name}_count{} {count}", Labels(metric, None));
}

/// The labels of a metric, with an edge if it is a bucket.
struct Labels<'a>(&'a Metric, Option<&'a str>);

impl std::fmt::Display for Labels<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(metric, edge) = self;
        let own = metric.labels.iter().map(|(name, value)| (&**name, value.as_str()));
        let mut separator = "{";
        for (name, value) in own.chain(edge.map(|edge| ("le", edge))) {
            write!(formatter, "{separator}{name}=\"")?;
            for character in value.chars() {
                match character {
                    '\\' => formatter.write_str("\\\\")?,
                    '"' => formatter.write_str("\\\"")?,
                    '\n' => formatter.write_str("\\n")?,
                    _ => formatter.write_char(character)?,
                }
            }
            formatter.write_char('"')?;
            separator = ",";
        }
        if separator == "," { formatter.write_char('}') } else { Ok(()) }
    }
}

/// A number as both forms write it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            number if number.is_nan() => formatter.write_str("NaN"),
            number if number == f64::INFINITY => formatter.write_str("+Inf"),
            number if number == f64::NEG_INFINITY => formatter.write_str("-Inf"),
            number => write!(formatter, "{number}"),
        }
    }
}

/// A moment in ns since the Unix epoch, written in seconds.
struct Seconds(i64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{:09}", self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::prometheus::families::Edge;

    fn families() -> Vec<Family> {
        let labels = vec![("service".into(), "a\\b \"c\"\nd".to_owned())];
        let number =
            Metric { labels: labels.clone(), value: Sample::Number(3.0), created_ns: Some(1_500_000_000) };
        let example = Example { call_id: 7, trace_id: 9, duration_ns: 200, ended_ns: 2_000_000_001 };
        let durations = Durations {
            count: 5,
            sum_s: 0.25,
            edges: vec![Edge { upper_s: 256e-9, cumulative: 2, example: Some(example) }],
            beyond: None,
            buckets: Vec::new(),
        };
        let histogram = Metric { labels: Vec::new(), value: Sample::Durations(durations), created_ns: None };
        vec![
            Family {
                name: "calls".into(),
                help: "Calls.".into(),
                kind: Kind::Counter,
                unit: "",
                metrics: vec![number],
            },
            Family {
                name: "duration_seconds".into(),
                help: "Durations.".into(),
                kind: Kind::Histogram,
                unit: "seconds",
                metrics: vec![histogram],
            },
        ]
    }

    #[test]
    fn prometheus_text_names_counters_by_their_sample_and_has_no_examples() {
        let expected = "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
                        calls_total{service=\"a\\\\b \\\"c\\\"\\nd\"} 3\n\
                        # HELP duration_seconds Durations.\n# TYPE duration_seconds histogram\n\
                        duration_seconds_bucket{le=\"0.000000256\"} 2\nduration_seconds_bucket{le=\"+Inf\"} 5\n\
                        duration_seconds_sum 0.25\nduration_seconds_count 5\n";
        assert_eq!(write(&families(), Dialect::Prometheus), expected);
    }

    #[test]
    fn openmetrics_has_units_examples_the_beginning_of_counting_and_an_end() {
        let expected = "# HELP calls Calls.\n# TYPE calls counter\n\
                        calls_total{service=\"a\\\\b \\\"c\\\"\\nd\"} 3\n\
                        calls_created{service=\"a\\\\b \\\"c\\\"\\nd\"} 1.500000000\n\
                        # HELP duration_seconds Durations.\n# TYPE duration_seconds histogram\n\
                        # UNIT duration_seconds seconds\n\
                        duration_seconds_bucket{le=\"0.000000256\"} 2 # {trace_id=\"9\",call_id=\"7\"} 0.0000002 2.000000001\n\
                        duration_seconds_bucket{le=\"+Inf\"} 5\n\
                        duration_seconds_sum 0.25\nduration_seconds_count 5\n# EOF\n";
        assert_eq!(write(&families(), Dialect::OpenMetrics), expected);
    }
}
