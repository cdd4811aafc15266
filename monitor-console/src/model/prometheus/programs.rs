//! Families of the program's own metrics. The functions here are pure.
//!
//! Names and tags come from programs, so characters that Prometheus does not allow become `_`. A family whose samples
//! have names of another family gets its kind behind its name, and is left out if that name is taken too. Of series
//! whose labels become equal, one is kept. The number of series is bounded.

use std::collections::{BTreeMap, HashSet};

use super::facts::ProgramMetric;
use super::families::{FIRST_EDGE, Family, Kind, LAST_EDGE, Metric, Sample, Step, measure_within};
use crate::model::metrics;
use crate::model::number::to_f64;

/// The series that are exported at most: those that changed last.
const SERIES_MAX: usize = 2000;
/// The exponents of the edges of a histogram whose unit is not the second: from a thousandth to a trillion.
const WIDE_EDGES: (i32, i32) = (20, 70);

/// Adds the families of the program's metrics to the others.
pub(super) fn add(found: &[ProgramMetric], step: Step, families: &mut Vec<Family>) {
    if found.is_empty() {
        return;
    }
    let mut selected: Vec<&ProgramMetric> = found.iter().collect();
    selected.sort_by_key(|found| (std::cmp::Reverse(found.metric.last_ns), found.metric.metric_id));
    selected.truncate(SERIES_MAX);
    let mut groups: BTreeMap<(String, metrics::Kind), Vec<&ProgramMetric>> = BTreeMap::new();
    for metric in selected {
        let name = to_name(&metric.metric.name, metric.metric.kind);
        groups.entry((name, metric.metric.kind)).or_default().push(metric);
    }
    let mut taken: HashSet<String> =
        families.iter().flat_map(|family| list_samples(&family.name, family.kind)).collect();
    let mut exported = 0;
    for ((name, kind), mut series) in groups {
        series.sort_by_key(|found| found.metric.metric_id);
        let Some(name) = claim(&name, kind, &mut taken) else { continue };
        let family = build(name, kind, &series, step);
        exported += family.metrics.len();
        families.push(family);
    }
    families.push(Family {
        name: "monitored_metrics_left_out".into(),
        help: "Series of the program that are not exported, because only the 2000 that changed last are, or because their names are alike.".into(),
        kind: Kind::Gauge,
        unit: "",
        metrics: vec![number(Vec::new(), to_f64((found.len() - exported) as u64))],
    });
}

fn to_kind(kind: metrics::Kind) -> Kind {
    match kind {
        metrics::Kind::Counter => Kind::Counter,
        metrics::Kind::Gauge => Kind::Gauge,
        metrics::Kind::Histogram => Kind::Histogram,
    }
}

/// Returns the names of the samples of a family, and of the family.
fn list_samples(name: &str, kind: Kind) -> Vec<String> {
    let endings: &[&str] = match kind {
        Kind::Counter => &["", "_total", "_created"],
        Kind::Gauge => &[""],
        Kind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
    };
    endings.iter().map(|ending| format!("{name}{ending}")).collect()
}

/// Claims the names of a family's samples, so that no other family can have them. Returns the name, or the name with
/// the kind behind it if some of the samples are taken; `None` if both are taken.
fn claim(name: &str, kind: metrics::Kind, taken: &mut HashSet<String>) -> Option<String> {
    for name in [name.to_owned(), format!("{name}_{}", kind.as_str())] {
        let samples = list_samples(&name, to_kind(kind));
        if samples.iter().all(|sample| !taken.contains(sample)) {
            taken.extend(samples);
            return Some(name);
        }
    }
    None
}

fn build(name: String, kind: metrics::Kind, series: &[&ProgramMetric], step: Step) -> Family {
    let described = series.iter().find_map(|found| found.metric.description.clone());
    let mut known = HashSet::new();
    let mut built = Vec::new();
    for found in series {
        let labels = to_labels(&found.metric.tags);
        if known.insert(labels.clone()) {
            built.push(build_one(found, labels, step));
        }
    }
    let help = described.unwrap_or_else(|| format!("A {} of the program.", kind.as_str()));
    Family { name: name.into(), help: help.into(), kind: to_kind(kind), unit: "", metrics: built }
}

fn build_one(found: &ProgramMetric, labels: Vec<(String, String)>, step: Step) -> Metric {
    let metric = &found.metric;
    let created_ns = Some(metric.first_ns);
    match metric.kind {
        metrics::Kind::Counter => {
            let count = u64::try_from(metric.count).unwrap_or(0);
            Metric { created_ns, ..number(labels, to_f64(count)) }
        }
        metrics::Kind::Gauge => number(labels, metric.latest.unwrap_or(0.0)),
        metrics::Kind::Histogram => {
            let is_time = metric.unit.as_deref().is_none_or(|unit| unit == "seconds");
            let (edges, step) =
                if is_time { ((FIRST_EDGE, LAST_EDGE), step) } else { (WIDE_EDGES, Step::One) };
            let mut durations = measure_within(edges, (&found.histogram, metric.sum), None, step);
            // Values that found no memory for a bucket are in the count alone.
            durations.count = durations.count.max(u64::try_from(metric.count).unwrap_or(0));
            Metric { created_ns, value: Sample::Durations(durations), ..number(labels, 0.0) }
        }
    }
}

fn number(labels: Vec<(String, String)>, value: f64) -> Metric {
    let labels = labels.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Metric { labels, value: Sample::Number(value), created_ns: None }
}

/// Returns the name of a family: letters, digits, `_` and `:`, and no digit at its start. The ending `_total` belongs to the
/// samples of counters.
fn to_name(name: &str, kind: metrics::Kind) -> String {
    let name = sanitize(name, |character| character == ':');
    match name.strip_suffix("_total") {
        Some(stem) if kind == metrics::Kind::Counter && !stem.is_empty() => stem.to_owned(),
        _ => name,
    }
}

fn sanitize(name: &str, is_allowed: impl Fn(char) -> bool) -> String {
    let keep = |character: char| {
        let is_kept = character.is_ascii_alphanumeric() || character == '_' || is_allowed(character);
        if is_kept { character } else { '_' }
    };
    let text: String = name.chars().map(keep).collect();
    if text.starts_with(|first: char| first.is_ascii_digit()) || text.is_empty() {
        format!("_{text}")
    } else {
        text
    }
}

/// Returns the tags as labels. A name that begins with `__`, which Prometheus reserves, gets `tag` before it. A name
/// that buckets or quantiles have (`le`, `quantile`), or that an earlier tag has, gets `_` behind it.
fn to_labels(tags: &[(String, String)]) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, value) in tags {
        let mut name = sanitize(name, |_| false);
        if name.starts_with("__") {
            name = format!("tag{name}");
        }
        while name == "le" || name == "quantile" || labels.iter().any(|(known, _)| *known == name) {
            name.push('_');
        }
        labels.push((name, value.clone()));
    }
    labels
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use monitor_runtime::histogram::Histogram;

    use super::*;
    use crate::model::metrics::Metric as Found;

    fn metric(id: i64, name: &str, kind: metrics::Kind, tags: &[(&str, &str)]) -> ProgramMetric {
        let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let metric = Found {
            metric_id: id,
            name: name.to_owned(),
            kind,
            unit: None,
            description: None,
            tags_json: String::new(),
            tags,
            first_ns: 5,
            last_ns: id,
            latest: Some(1.5),
            rate: None,
            count: 7,
            sum: 7.0,
        };
        ProgramMetric { metric, histogram: Histogram::default() }
    }

    fn names(families: &[Family]) -> Vec<String> {
        families.iter().map(|family| format!("{} {}", family.name, family.metrics.len())).collect()
    }

    #[test]
    fn names_and_labels_become_those_that_prometheus_allows() {
        use metrics::Kind::{Counter, Gauge, Histogram};
        for (name, kind, expected) in [
            ("http.requests-total", Counter, "http_requests"),
            ("orders_total", Counter, "orders"),
            ("orders_total", Gauge, "orders_total"),
            ("_total", Counter, "_total"),
            ("9 lives", Gauge, "_9_lives"),
            ("größe:a", Histogram, "gr__e:a"),
            ("", Gauge, "_"),
        ] {
            assert_eq!(to_name(name, kind), expected);
        }
        let tags = [("le", "a"), ("a.b", "b"), ("a-b", "c"), ("__name__", "d")];
        let tags: Vec<_> =
            tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let names: Vec<String> = to_labels(&tags).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["le_", "a_b", "a_b_", "tag__name__"]);
    }

    #[test]
    fn names_that_are_alike_are_told_apart_or_left_out() {
        use metrics::Kind::{Counter, Gauge, Histogram};
        let found = [
            metric(1, "orders", Counter, &[("shop", "a")]),
            metric(2, "orders", Counter, &[("shop", "b")]),
            metric(3, "orders", Gauge, &[]),
            metric(4, "fill", Histogram, &[]),
            metric(5, "fill.sum", Gauge, &[]),
            metric(6, "or.ders", Counter, &[]),
            metric(7, "or-ders", Counter, &[]),
            metric(8, "monitored_store_bytes", Gauge, &[]),
        ];
        let own = Family {
            name: "monitored_store_bytes".into(),
            help: "".into(),
            kind: Kind::Gauge,
            unit: "",
            metrics: Vec::new(),
        };
        let mut families = vec![own];
        add(&found, Step::Two, &mut families);
        let expected = [
            "monitored_store_bytes 0",
            "fill 1",
            "fill_sum_gauge 1",
            "monitored_store_bytes_gauge 1",
            "or_ders 1",
            "orders 2",
            "orders_gauge 1",
            "monitored_metrics_left_out 1",
        ];
        assert_eq!(names(&families), expected);
        let left_out = &families.last().unwrap().metrics[0].value;
        assert!(matches!(left_out, Sample::Number(1.0)), "one of the two names that are alike: {left_out:?}");
    }

    #[test]
    fn the_number_of_series_is_bounded_and_a_store_without_metrics_has_no_family() {
        let found: Vec<ProgramMetric> = (0..2100)
            .map(|id| metric(id, "orders", metrics::Kind::Counter, &[("id", &id.to_string())]))
            .collect();
        let mut families = Vec::new();
        add(&found, Step::Two, &mut families);
        assert_eq!(names(&families), ["orders 2000", "monitored_metrics_left_out 1"]);
        assert!(matches!(families[1].metrics[0].value, Sample::Number(100.0)));
        let mut families = Vec::new();
        add(&[], Step::Two, &mut families);
        assert!(families.is_empty());
    }
}
