//! Families of metrics, made from facts. The functions here are pure.
//!
//! Gives every metric its name, its unit and its labels, and bounds their number: of more functions than the bound only
//! the ones with the most calls have series. The rest are counted in a gauge and not in a series of their own, because
//! the value of such a series would fall whenever a function moved from the rest to those with series.

use std::borrow::Cow;
use std::collections::BTreeMap;

use monitor_runtime::histogram::Histogram;

use super::facts::{Example, Facts, Key, Process, Total};
use crate::model::guards::GuardState;
use crate::model::number::to_f64;

/// The functions that have series at most.
const FUNCTIONS_MAX: usize = 500;
/// The exponents of the first and the last edge of classic histograms: 2^8 ns is 256 ns, and 2^34 ns is 17 s.
pub(super) const FIRST_EDGE: i32 = 8;
pub(super) const LAST_EDGE: i32 = 34;
/// Buckets of the store's histograms per doubling.
const PER_DOUBLING: i32 = 8;

/// The options of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// The distance of the edges of classic histograms.
    pub(crate) step: Step,
    /// True if memory, threads and files of each process have series.
    pub(crate) is_per_process: bool,
}

/// The distance of the edges of classic histograms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// Each edge is 1.41 times the one before, which makes 53 edges.
    #[default]
    Half,
    /// Each edge is twice the one before, which makes 27 edges.
    One,
    /// Each edge is four times the one before, which makes 14 edges.
    Two,
}

impl Step {
    /// Returns the distance in buckets of the store's histograms.
    fn in_buckets(self) -> i32 {
        match self {
            Self::Half => PER_DOUBLING / 2,
            Self::One => PER_DOUBLING,
            Self::Two => 2 * PER_DOUBLING,
        }
    }
}

/// The metrics of one name.
#[derive(Debug, Clone)]
pub(super) struct Family {
    /// The name, without the ending `_total` of counters.
    pub(super) name: Cow<'static, str>,
    pub(super) help: Cow<'static, str>,
    pub(super) kind: Kind,
    /// The unit, if the name ends with it.
    pub(super) unit: &'static str,
    pub(super) metrics: Vec<Metric>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub(super) labels: Vec<(Cow<'static, str>, String)>,
    pub(super) value: Sample,
    /// The moment at which counting began, ns since the Unix epoch.
    pub(super) created_ns: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) enum Sample {
    Number(f64),
    Durations(Durations),
}

/// The durations of a function's calls.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    pub(super) count: u64,
    pub(super) sum_s: f64,
    /// Edges with the number of calls that lasted no longer, without the infinite one, and an example for each.
    pub(super) edges: Vec<Edge>,
    /// An example of the calls beyond the last edge.
    pub(super) beyond: Option<Example>,
    /// Buckets that are not empty, by the store's index, which counts eighths of a doubling of a nanosecond.
    pub(super) buckets: Vec<(i32, u64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) upper_s: f64,
    pub(super) cumulative: u64,
    pub(super) example: Option<Example>,
}

/// Makes all families.
pub(super) fn build(facts: &Facts, options: Options) -> Vec<Family> {
    let selected = select(facts);
    let left_out = facts.totals.len().saturating_sub(selected.len());
    let mut families = vec![calls(&selected), durations(facts, &selected, options.step), busy(&selected)];
    families.push(in_flight(facts, &selected));
    families.push(gauge(
        "monitored_functions_left_out",
        "Functions without series, because only 500 have them: those with the most calls.",
        "",
        vec![metric(Vec::new(), to_f64(left_out as u64))],
    ));
    families.extend(counters(facts));
    families.extend(states(&facts.processes));
    families.extend(guards(&facts.guards));
    families.push(gauge(
        "monitored_store_bytes",
        "Size of the store without its log.",
        "bytes",
        vec![metric(Vec::new(), to_f64(facts.store_bytes))],
    ));
    families.push(alerts(facts));
    if options.is_per_process {
        families.extend(per_process(&facts.processes));
    }
    families.retain(|family| !family.metrics.is_empty());
    families
}

/// Selects the functions that have series: those with the most calls, in the order of their names.
fn select(facts: &Facts) -> Vec<(&Key, &Total)> {
    let mut all: Vec<(&Key, &Total)> = facts.totals.iter().collect();
    all.sort_by(|(one, these), (other, those)| those.calls.cmp(&these.calls).then_with(|| one.cmp(other)));
    all.truncate(FUNCTIONS_MAX);
    all.sort_by_key(|(key, _)| *key);
    all
}

fn function_labels((service, function): &Key) -> Vec<(&'static str, String)> {
    vec![("service", service.clone()), ("function", function.clone())]
}

fn calls(selected: &[(&Key, &Total)]) -> Family {
    let mut metrics = Vec::new();
    for (key, total) in selected {
        let failed = total.errors.saturating_add(total.panics).saturating_add(total.cancelled);
        for (outcome, number) in [
            ("ok", total.calls.saturating_sub(failed)),
            ("error", total.errors),
            ("panic", total.panics),
            ("cancelled", total.cancelled),
        ] {
            let mut labels = function_labels(key);
            labels.push(("outcome", outcome.to_owned()));
            metrics.push(Metric { created_ns: total.since_ns, ..metric(labels, to_f64(number)) });
        }
    }
    let help = "Calls that ended, exact whatever was sampled or has expired.";
    Family { name: "monitored_calls".into(), help: help.into(), kind: Kind::Counter, unit: "", metrics }
}

fn durations(facts: &Facts, selected: &[(&Key, &Total)], step: Step) -> Family {
    let to_metric = |(key, total): &(&Key, &Total)| Metric {
        value: Sample::Durations(measure(total, facts.examples.get(*key), step)),
        created_ns: total.since_ns,
        ..metric(function_labels(key), 0.0)
    };
    Family {
        name: "monitored_call_duration_seconds".into(),
        help: "Durations of calls. Classic edges are exact. Edges of native histograms, which have schema 3, are 1.6 % low.".into(),
        kind: Kind::Histogram,
        unit: "seconds",
        metrics: selected.iter().map(to_metric).collect(),
    }
}

/// Counts the calls below each edge. An edge of a classic histogram is an edge of the store's histogram, so the counts are
/// exact.
fn measure(total: &Total, examples: Option<&BTreeMap<i32, Example>>, step: Step) -> Durations {
    let sum_s = to_f64(total.duration_ns) / 1e9;
    measure_within((FIRST_EDGE, LAST_EDGE), (&total.histogram, sum_s), examples, step)
}

/// Counts the values below each edge from the first to the last, which are given as exponents of 2, in billionths of
/// the unit.
pub(super) fn measure_within(
    (first, last): (i32, i32),
    (histogram, sum_s): (&Histogram, f64),
    examples: Option<&BTreeMap<i32, Example>>,
    step: Step,
) -> Durations {
    let buckets: Vec<(i32, u64)> = histogram.iter().collect();
    let newest = |from: Option<i32>, until: Option<i32>| {
        let within = examples.into_iter().flatten().filter(|(bucket, _)| {
            from.is_none_or(|from| **bucket >= from) && until.is_none_or(|until| **bucket < until)
        });
        within.map(|(_, example)| example).max_by_key(|example| example.call_id).cloned()
    };
    let mut edges = Vec::new();
    let (mut cumulative, mut at, mut from) = (0_u64, 0, None);
    let mut upper = first * PER_DOUBLING;
    while upper <= last * PER_DOUBLING {
        while let Some((_, count)) = buckets.get(at).filter(|(bucket, _)| *bucket < upper) {
            cumulative = cumulative.saturating_add(*count);
            at += 1;
        }
        let upper_s = (f64::from(upper) / f64::from(PER_DOUBLING)).exp2() / 1e9;
        edges.push(Edge { upper_s, cumulative, example: newest(from, Some(upper)) });
        from = Some(upper);
        upper += step.in_buckets();
    }
    Durations { count: histogram.total(), sum_s, edges, beyond: newest(from, None), buckets }
}

fn busy(selected: &[(&Key, &Total)]) -> Family {
    let to_metric = |(key, total): &(&Key, &Total)| Metric {
        created_ns: total.since_ns,
        ..metric(function_labels(key), to_f64(total.busy_ns) / 1e9)
    };
    Family {
        name: "monitored_call_busy_seconds".into(),
        help: "Time in which calls ran: of an async call its polls, of another its duration.".into(),
        kind: Kind::Counter,
        unit: "seconds",
        metrics: selected.iter().map(to_metric).collect(),
    }
}

fn in_flight(facts: &Facts, selected: &[(&Key, &Total)]) -> Family {
    let metrics = selected.iter().map(|(key, _)| {
        metric(function_labels(key), to_f64(facts.in_flight.get(*key).copied().unwrap_or(0)))
    });
    let help = "Calls under way in processes of this machine.";
    gauge("monitored_calls_in_flight", help, "", metrics.collect())
}

/// Returns the counters of health reports, by service.
fn counters(facts: &Facts) -> Vec<Family> {
    let by_service = |column: &str, labels: &[(&'static str, &str)]| -> Vec<Metric> {
        let found = facts.counters.iter().filter(|((_, name), _)| name == column);
        let to_metric = |((service, _), value): (&(String, String), &u64)| {
            let mut all = vec![("service", service.clone())];
            all.extend(labels.iter().map(|(name, value)| (*name, (*value).to_owned())));
            metric(all, to_f64(*value))
        };
        found.map(to_metric).collect()
    };
    let counter = |name: &'static str, help: &'static str, metrics| Family {
        name: name.into(),
        help: help.into(),
        kind: Kind::Counter,
        unit: "",
        metrics,
    };
    let reasons = ["ring_full", "backlog", "no_ring", "store", "passed"];
    let dropped =
        reasons.iter().flat_map(|reason| by_service(&format!("dropped_{reason}"), &[("reason", reason)]));
    vec![
        counter(
            "monitored_rows_dropped",
            "Rows that were lost, by reason. Their calls are counted.",
            dropped.collect(),
        ),
        counter("monitored_rows_written", "Rows that were written.", by_service("rows_written", &[])),
        counter(
            "monitored_failures_folded",
            "Failed calls that were counted by kind, without a row.",
            by_service("folded_errors", &[]),
        ),
        counter("monitored_store_write_errors", "Writes that failed.", by_service("writer_errors", &[])),
        counter(
            "monitored_store_write_retries",
            "Writes that were tried again.",
            by_service("write_retries", &[]),
        ),
        counter(
            "monitored_store_duplicates_avoided",
            "Batches that were sent again and turned out to be written already.",
            by_service("duplicates_avoided", &[]),
        ),
        counter(
            "monitored_breaker_openings",
            "Times that the breaker around the store opened.",
            by_service("breaker_openings", &[]),
        ),
    ]
}

/// Returns the figures of guards. Each process has series of its own, because a sum over processes would fall when one ends.
fn guards(guards: &[GuardState]) -> Vec<Family> {
    let labels = |guard: &GuardState| {
        vec![
            ("service", guard.service.clone()),
            ("guard", guard.name.clone()),
            ("run", guard.process_id.to_string()),
        ]
    };
    let each = |value: fn(&GuardState) -> f64| -> Vec<Metric> {
        guards.iter().map(|guard| metric(labels(guard), value(guard))).collect()
    };
    let counter = |name: &'static str, help: &'static str, value: fn(&GuardState) -> f64| Family {
        name: name.into(),
        help: help.into(),
        kind: Kind::Counter,
        unit: "",
        metrics: each(value),
    };
    let answered = guards.iter().flat_map(|guard| {
        let figures = &guard.figures;
        let answers =
            [("value", figures.by_value), ("cached", figures.by_cache), ("function", figures.by_function)];
        answers.map(|(kind, count)| {
            let labels = labels(guard).into_iter().chain([("kind", kind.to_owned())]).collect();
            metric(labels, from_signed(count))
        })
    });
    vec![
        gauge(
            "monitored_guard_state",
            "State of a guard's breaker: 0 closed, 1 half open, 2 open.",
            "",
            each(|guard| match guard.state.as_str() {
                "closed" => 0.0,
                "half_open" => 1.0,
                _ => 2.0,
            }),
        ),
        gauge(
            "monitored_guard_level",
            "Service level of a guard's part: 3 full, 2 degraded, 1 minimal, 0 unavailable.",
            "",
            each(|guard| match guard.level.as_str() {
                "full" => 3.0,
                "degraded" => 2.0,
                "minimal" => 1.0,
                _ => 0.0,
            }),
        ),
        counter("monitored_guard_calls", "Calls that a guard made, retries included.", |guard| {
            from_signed(guard.figures.calls)
        }),
        counter("monitored_guard_failures", "Calls that a guard made and that failed.", |guard| {
            from_signed(guard.figures.failures)
        }),
        counter("monitored_guard_rejected", "Calls that a guard did not make.", |guard| {
            from_signed(guard.figures.rejected)
        }),
        counter("monitored_guard_retries", "Attempts after the first one of a call.", |guard| {
            from_signed(guard.figures.retries)
        }),
        counter("monitored_guard_openings", "Times that a guard's breaker opened.", |guard| {
            from_signed(guard.figures.openings)
        }),
        Family {
            name: "monitored_guard_fallbacks".into(),
            help: "Answers in the place of a guard's part, by what answered.".into(),
            kind: Kind::Counter,
            unit: "",
            metrics: answered.collect(),
        },
    ]
}

/// Returns the state of each service: that of the process in the worst state.
fn states(processes: &[Process]) -> Vec<Family> {
    let worst = |value: fn(&Process) -> Option<f64>, choose: fn(f64, f64) -> f64| -> Vec<Metric> {
        let mut by_service: BTreeMap<&str, f64> = BTreeMap::new();
        for process in processes {
            if let Some(value) = value(process) {
                let known = by_service.entry(&process.service).or_insert(value);
                *known = choose(*known, value);
            }
        }
        by_service
            .into_iter()
            .map(|(service, value)| metric(vec![("service", service.to_owned())], value))
            .collect()
    };
    let level = |process: &Process| {
        Some(match process.level.as_deref()? {
            "full" => 3.0,
            "degraded" => 2.0,
            "minimal" => 1.0,
            _ => 0.0,
        })
    };
    let breaker = |process: &Process| {
        process.level.as_ref()?;
        Some(match process.breaker.as_str() {
            "closed" => 0.0,
            "half_open" => 1.0,
            _ => 2.0,
        })
    };
    let mut builds: BTreeMap<[&str; 3], u64> = BTreeMap::new();
    for process in processes {
        *builds.entry([&process.service, &process.program_version, &process.build]).or_default() += 1;
    }
    let builds = builds.into_iter().map(|([service, version, build], processes)| {
        let labels = vec![
            ("service", service.to_owned()),
            ("version", version.to_owned()),
            ("build", build.to_owned()),
        ];
        metric(labels, to_f64(processes))
    });
    vec![
        gauge(
            "monitored_level",
            "Level of service: 3 full, 2 degraded, 1 minimal, 0 off; of several processes the lowest.",
            "",
            worst(level, f64::min),
        ),
        gauge(
            "monitored_breaker_state",
            "State of the breaker around the store: 0 closed, 1 half open, 2 open; of several processes the highest.",
            "",
            worst(breaker, f64::max),
        ),
        gauge(
            "monitored_overhead_ratio",
            "Cost of recording, as a share of one core; of several processes the highest.",
            "ratio",
            worst(|process| process.cost_pct.map(|percent| percent / 100.0), f64::max),
        ),
        gauge(
            "monitored_overhead_budget_ratio",
            "Cost that recording may have, as a share of one core; of several processes the lowest.",
            "ratio",
            worst(|process| process.budget_pct.map(|percent| percent / 100.0), f64::min),
        ),
        gauge(
            "monitored_wal_bytes",
            "Size of the store's write-ahead log.",
            "bytes",
            worst(|process| Some(to_f64(process.wal_bytes)), f64::max),
        ),
        gauge(
            "monitored_report_age_seconds",
            "Time since the store heard of a process last; of several processes the longest.",
            "seconds",
            worst(|process| Some(process.age_s), f64::max),
        ),
        gauge("monitored_processes", "Processes that have not ended, by build.", "", builds.collect()),
    ]
}

fn alerts(facts: &Facts) -> Family {
    let metrics = facts.alerts.iter().map(|([rule, level, state], number)| {
        let labels = vec![("rule", rule.clone()), ("level", level.clone()), ("state", state.clone())];
        metric(labels, to_f64(*number))
    });
    gauge("monitored_alerts", "Alerts of the store, by rule, level and state.", "", metrics.collect())
}

fn per_process(processes: &[Process]) -> Vec<Family> {
    let by_process = |value: fn(&Process) -> Option<u64>| -> Vec<Metric> {
        let with = processes.iter().filter_map(|process| Some((process, value(process)?)));
        let to_metric = |(process, value): (&Process, u64)| {
            let labels = vec![
                ("service", process.service.clone()),
                ("process_id", process.process_id.to_string()),
                ("pid", process.pid.to_string()),
            ];
            metric(labels, to_f64(value))
        };
        with.map(to_metric).collect()
    };
    vec![
        gauge(
            "monitored_process_resident_memory_bytes",
            "Resident memory of a process.",
            "bytes",
            by_process(|process| process.rss_bytes),
        ),
        gauge(
            "monitored_process_open_fds",
            "Open files of a process.",
            "",
            by_process(|process| process.open_files),
        ),
        gauge(
            "monitored_process_threads",
            "Threads of a process.",
            "",
            by_process(|process| process.threads),
        ),
    ]
}

fn gauge(name: &'static str, help: &'static str, unit: &'static str, metrics: Vec<Metric>) -> Family {
    Family { name: name.into(), help: help.into(), kind: Kind::Gauge, unit, metrics }
}

fn metric(labels: Vec<(&'static str, String)>, value: f64) -> Metric {
    let labels = labels.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Metric { labels, value: Sample::Number(value), created_ns: None }
}

/// Returns a count of the store as the floating-point number that Prometheus uses.
fn from_signed(count: i64) -> f64 {
    to_f64(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn total(buckets: &[(i32, u64)]) -> Total {
        let histogram = Histogram::from_buckets(buckets);
        Total { calls: histogram.total(), duration_ns: 1_500_000_000, histogram, ..Total::default() }
    }

    #[test]
    fn edges_count_every_call_that_lasted_no_longer() {
        // Bucket 64 holds 256 ns and more, so it lies above the first edge. Bucket 500 lies beyond the last one.
        let total = total(&[(0, 1), (63, 2), (64, 4), (160, 8), (500, 16)]);
        let example = |call_id, duration_ns| Example { call_id, trace_id: 1, duration_ns, ended_ns: 5 };
        let examples = BTreeMap::from([
            (63, example(1, 250)),
            (160, example(2, 1_100_000)),
            (500, example(3, u64::MAX)),
        ]);
        for (step, edges) in [(Step::Half, 53), (Step::One, 27), (Step::Two, 14)] {
            let found = measure(&total, Some(&examples), step);
            assert_eq!((found.edges.len(), found.count), (edges, 31), "{step:?}");
            assert_eq!((found.edges[0].upper_s, found.edges[0].cumulative), (256e-9, 3));
            assert_eq!(found.edges.last().map(|edge| edge.cumulative), Some(15));
            assert!(found.edges.windows(2).all(|pair| pair[0].cumulative <= pair[1].cumulative));
            assert_eq!(found.edges[0].example.as_ref().map(|example| example.call_id), Some(1));
            assert_eq!(found.beyond.map(|example| example.call_id), Some(3));
            let with = found.edges.iter().filter(|edge| edge.example.is_some()).count();
            assert_eq!(with, 2, "an example stands at one edge");
            for Edge { upper_s, example, .. } in &found.edges {
                assert!(example.as_ref().is_none_or(|example| to_f64(example.duration_ns) / 1e9 <= *upper_s));
            }
        }
    }

    #[test]
    fn of_many_functions_those_with_the_most_calls_have_series() {
        let key = |at: u64| ("shop".to_owned(), format!("shop::f{at:04}"));
        let totals = (0..800).map(|at| (key(at), Total { calls: at, ..Total::default() })).collect();
        let families = build(&Facts { totals, ..Facts::default() }, Options::default());
        let find =
            |name: &str| families.iter().find(|family| family.name == name).map(|family| &family.metrics);
        let calls = find("monitored_calls").unwrap();
        assert_eq!(calls.len(), 4 * FUNCTIONS_MAX);
        assert_eq!(calls[0].labels[1].1, "shop::f0300");
        let Sample::Number(left_out) = find("monitored_functions_left_out").unwrap()[0].value else {
            panic!()
        };
        assert!((left_out - 300.0).abs() < f64::EPSILON);
    }
}
