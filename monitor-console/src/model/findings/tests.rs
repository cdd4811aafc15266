//! Tables of facts, each with one thing to find or with something like it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;

use super::facts::{FailureKind, FunctionSum, Values};
use super::*;
use crate::model::forest::Forest;
use crate::model::forest::tests::row;
use crate::model::period::Period;
use crate::model::processes::{Process, State};
use crate::model::resources::{Figure, Growth, Usage};
use crate::model::rows::{Row, Rows};
use crate::report::Cell;

const MS: i64 = 1_000_000;
const MINUTE: i64 = 60_000 * MS;

fn kinds(facts: &Facts) -> Vec<&'static str> {
    find(facts).findings.iter().map(|finding| finding.kind).collect()
}

fn with_rows(rows: Vec<Row>, names: &[&str]) -> Facts {
    let mut loaded = Rows { rows, ..Rows::default() };
    for name in names {
        loaded.names.add(name);
    }
    Facts { forest: Forest::plant(&loaded.rows), rows: loaded, ..Facts::default() }
}

/// Three parents that each await three functions, `gap` between them; each waits 10 ms.
fn serial(gap: i64) -> Facts {
    let mut rows = Vec::new();
    for parent in 1..=3 {
        let (span, start_ns) = (parent * 100, parent * 1_000 * MS);
        rows.push(Row { start_ns, duration_ns: 40 * MS, busy_ns: MS, ..row(span, None) });
        rows.extend((0..3).map(|n| Row {
            function: 1 + u32::try_from(n).unwrap(),
            start_ns: start_ns + n * (10 * MS + gap),
            duration_ns: 10 * MS,
            busy_ns: MS / 10,
            ..row(span + n + 1, Some(span))
        }));
    }
    with_rows(rows, &["shop::pay", "shop::quote", "shop::stock", "shop::tax"])
}

#[test]
fn calls_that_wait_one_after_the_other_are_told() {
    let facts = serial(0);
    let found = find(&facts).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, "serial_fanout");
    assert_eq!(
        found[0].sentence,
        "shop::pay waits for shop::quote, then for shop::stock, then for shop::tax: together they could take 10.0 ms \
         instead of 30.0 ms"
    );
}

#[test]
fn overlapping_calls_and_calls_with_pauses_are_not_serial() {
    assert_eq!(kinds(&serial(-9 * MS)), [""; 0]);
    assert_eq!(kinds(&serial(2 * MS)), [""; 0]);
}

#[test]
fn calls_that_need_what_the_one_before_returned_are_not_serial() {
    let mut facts = serial(0);
    let values =
        |args: &str, result: &str| Values { args: Some(args.to_owned()), result: Some(result.to_owned()) };
    let [first, second, third] = [101, 102, 103];
    facts.values.insert(first, values(r#"{"id":"a"}"#, r#""customer-77""#));
    facts.values.insert(second, values(r#"{"customer":"customer-77"}"#, "5"));
    facts.values.insert(third, values("{}", "6"));
    assert_eq!(kinds(&facts), [""; 0]);
    facts.values.insert(second, values(r#"{"customer":"other"}"#, "5"));
    assert_eq!(kinds(&facts), ["serial_fanout"]);
}

#[test]
fn an_async_function_that_runs_for_long_without_waiting_blocks_its_executor() {
    let call = |span, busy_ns| Row { duration_ns: 50 * MS, busy_ns, ..row(span, None) };
    let blocking = with_rows((1..=5).map(|span| call(span, 50 * MS - 1_000)).collect(), &["shop::parse"]);
    let found = find(&blocking).findings;
    assert_eq!((found[0].kind, found[0].level), ("blocks_executor", Level::Warning));
    let sync = with_rows((1..=5).map(|span| call(span, 50 * MS)).collect(), &["shop::parse"]);
    assert_eq!(kinds(&sync), [""; 0], "a call that never waited may be a sync one");
    let waiting = with_rows((1..=5).map(|span| call(span, 5 * MS)).collect(), &["shop::parse"]);
    assert_eq!(kinds(&waiting), [""; 0]);
}

#[test]
fn the_innermost_async_function_is_the_one_that_blocks() {
    let mut rows = Vec::new();
    for span in [10, 20, 30] {
        let start_ns = span * 100 * MS;
        rows.push(Row { start_ns, duration_ns: 60 * MS, busy_ns: 59 * MS, ..row(span, None) });
        let inner = Row {
            function: 1,
            start_ns,
            duration_ns: 58 * MS,
            busy_ns: 58 * MS - 500,
            ..row(span + 1, Some(span))
        };
        rows.push(inner);
    }
    let found = find(&with_rows(rows, &["shop::serve", "shop::parse"])).findings;
    assert_eq!(found.iter().map(|found| found.subject.as_str()).collect::<Vec<_>>(), ["shop::parse"]);
}

#[test]
fn one_function_with_most_of_the_time_is_hot_among_many() {
    let sum = |name: &str, self_ms| FunctionSum {
        name: name.to_owned(),
        calls: 10,
        self_ms,
        recorded: 10,
        ..FunctionSum::default()
    };
    let mut facts =
        Facts { functions: (0..12).map(|n| sum(&format!("f{n}"), 100.0)).collect(), ..Facts::default() };
    assert_eq!(kinds(&facts), [""; 0]);
    facts.functions[3].self_ms = 2_000.0;
    assert_eq!(kinds(&facts), ["hot"]);
    facts.functions.truncate(5);
    assert_eq!(kinds(&facts), [""; 0], "among five functions one is always ahead");
}

#[test]
fn functions_that_are_often_given_up_are_told() {
    let mut facts = Facts::default();
    let sum = |calls, cancelled| FunctionSum {
        name: "shop::similar".to_owned(),
        calls,
        cancelled,
        recorded: calls,
        ..FunctionSum::default()
    };
    for (calls, cancelled, expected) in [(100, 30, true), (100, 19, false), (10_000, 30, false)] {
        facts.functions = vec![sum(calls, cancelled)];
        assert_eq!(kinds(&facts) == ["cancelled_often"], expected, "{calls} {cancelled}");
    }
}

#[test]
fn bursts_and_new_kinds_of_failure_are_told_and_steady_ones_are_not() {
    let now = 300 * MINUTE;
    let kind = |count, first_ns, last_ns| FailureKind {
        function: "shop::charge".to_owned(),
        outcome: "error".to_owned(),
        message: "card declined".to_owned(),
        count,
        first_ns,
        last_ns,
        example: Some(7),
        is_origin: true,
    };
    let facts = |kind| Facts {
        failures: vec![kind],
        history_since_ns: Some(0),
        now_ns: now,
        period: Some(Period::WHOLE),
        ..Facts::default()
    };
    let burst = find(&facts(kind(212, now - 6 * MINUTE, now - 2 * MINUTE))).findings;
    assert_eq!(burst[0].kind, "bursts_of_failures");
    assert!(burst[0].sentence.contains("“card declined”: 212 failures in 4 min, none in the"), "{burst:?}");
    assert_eq!(kinds(&facts(kind(3, now - 6 * MINUTE, now - 2 * MINUTE))), ["new_failure"]);
    assert_eq!(kinds(&facts(kind(900, MINUTE, now))), [""; 0]);
    let passed_on = FailureKind { is_origin: false, ..kind(212, now - 6 * MINUTE, now - 2 * MINUTE) };
    assert_eq!(kinds(&facts(passed_on)), [""; 0]);
    let young = Facts {
        history_since_ns: Some(now - 7 * MINUTE),
        ..facts(kind(212, now - 6 * MINUTE, now - 2 * MINUTE))
    };
    assert_eq!(kinds(&young), [""; 0], "a minute of history shows no burst");
}

fn process(state: State) -> Process {
    Process {
        process_id: 1,
        service: "shop".to_owned(),
        host: "here".to_owned(),
        pid: 42,
        executable: Some("/opt/shop/bin/shop".to_owned()),
        program_version: None,
        build: None,
        started_ns: 0,
        last_seen_ns: 10 * MINUTE,
        ended_ns: None,
        state,
        level: None,
        calls: 0,
        failed: 0,
        calls_per_s: 0.0,
        lost: Some(0),
        rss_bytes: None,
    }
}

#[test]
fn deaths_losses_breakers_and_growth_are_told() {
    let mut facts = Facts { processes: vec![process(State::Crash)], ..Facts::default() };
    facts.last_calls = vec![(1, "shop::bank::charge".to_owned()), (1, "shop::place".to_owned())];
    let found = find(&facts).findings;
    assert_eq!((found[0].kind, found[0].level), ("died", Level::Critical));
    assert!(found[0].sentence.ends_with("while in bank::charge (2 calls under way)"), "{found:?}");
    let mut report: HashMap<String, Cell> = HashMap::from([
        ("process_id".to_owned(), 1.into()),
        ("level".to_owned(), "full".to_owned().into()),
        ("breaker".to_owned(), "closed".to_owned().into()),
        ("cost_pct".to_owned(), 0.2.into()),
        ("budget_pct".to_owned(), 1.0.into()),
    ]);
    let mut facts = Facts { processes: vec![process(State::Running)], ..Facts::default() };
    facts.reports = vec![report.clone()];
    assert_eq!(kinds(&facts), [""; 0]);
    report.insert("breaker".to_owned(), "open".to_owned().into());
    report.insert("level".to_owned(), "degraded".to_owned().into());
    report.insert("cost_pct".to_owned(), 0.9.into());
    facts.reports = vec![report];
    facts.processes[0].lost = Some(12_300);
    assert_eq!(kinds(&facts), ["breaker_open", "degraded", "lost_rows", "costly"]);
    let usage = |growth| Usage {
        process_id: 1,
        figure: Figure::Memory,
        samples: 60,
        since_ns: 0,
        until_ns: 1,
        series: Vec::new(),
        first: 0.0,
        last: 0.0,
        range: (0.0, 0.0),
        growth,
    };
    let growing = Facts {
        processes: vec![process(State::Running)],
        usages: vec![usage(Growth::Growing(1_048_576.0 * 30.0)), usage(Growth::Steady)],
        ..Facts::default()
    };
    let found = find(&growing).findings;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sentence, "The memory of shop (run 1, pid 42) grows by 30.0 MiB an hour");
}

#[test]
fn missing_rows_are_told_and_never_silence() {
    let unknown = find(&Facts::default()).unknown;
    assert!(unknown.iter().any(|text| text.contains("no call has a row")), "{unknown:?}");
    let mut facts = serial(0);
    facts.functions = vec![FunctionSum { name: "hot".to_owned(), calls: 5, ..FunctionSum::default() }];
    let unknown = find(&facts).unknown;
    assert!(unknown.iter().any(|text| text.contains("1 function is only counted")), "{unknown:?}");
}

#[test]
fn every_kind_that_a_rule_tells_is_a_kind_that_can_be_left_out() {
    let rules = [
        include_str!("calls.rs"),
        include_str!("changes.rs"),
        include_str!("failures.rs"),
        include_str!("functions.rs"),
        include_str!("processes.rs"),
        include_str!("secrets.rs"),
    ];
    for kind in KINDS {
        assert!(rules.iter().any(|rule| rule.contains(&format!("\"{kind}\""))), "{kind}");
    }
}
