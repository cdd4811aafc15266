//! Tables of facts, each with one thing to find or with something like it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;

use monitor_runtime::batch::{ProcessRow, Program};
use monitor_runtime::recover::{LiveProcess, UnderWay};

use super::facts::{FunctionSum, Values};
use super::store::{Lag, Shortage};
use super::*;
use crate::model::failures::Kind;
use crate::model::forest::Forest;
use crate::model::forest::tests::row;
use crate::model::period::Period;
use crate::model::processes::{Process, State};
use crate::model::rates::Rate;
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
    let kind = |count, first_ns, last_ns| Kind {
        function: "shop::charge".to_owned(),
        outcome: "error".to_owned(),
        message: "card declined".to_owned(),
        count,
        first_ns,
        last_ns: Some(last_ns),
        example: Some(7),
        origins: count,
        ..Kind::default()
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
    let passed_on = Kind { origins: 0, ..kind(212, now - 6 * MINUTE, now - 2 * MINUTE) };
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
    let cost = |process_id, function: &str, cpu_pct| Rate {
        process_id: Some(process_id),
        function: function.to_owned(),
        rate: Some(0.5),
        cpu_pct: Some(cpu_pct),
        why: Some("it is called often".to_owned()),
        ..Rate::default()
    };
    facts.rates = vec![cost(1, "shop::a", 0.1), cost(1, "shop::tick", 0.7), cost(2, "shop::b", 0.9)];
    assert_eq!(kinds(&facts), ["breaker_open", "degraded", "lost_rows", "costly"]);
    let found = find(&facts).findings;
    assert!(found[3].sentence.ends_with("0.70 % of it for shop::tick (it is called often)"), "{found:?}");
    assert_eq!(found[3].next, "monitor sample shop::tick 0.05");
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

/// A process with calls under way: function, minutes since its start, span and parent.
fn living(calls: &[(&str, i64, u64, Option<u64>)]) -> LiveProcess {
    let call = |(function, minutes, span_id, parent_id): &(&str, i64, u64, Option<u64>)| UnderWay {
        function: (*function).to_owned(),
        thread: None,
        thread_id: None,
        depth: 0,
        start_ns: 100 * MINUTE - minutes * MINUTE,
        waiting_since_ns: Some(0),
        slow_ns: None,
        span_id: *span_id,
        parent_id: *parent_id,
        args: None,
    };
    let process = ProcessRow {
        run_uuid: String::new(),
        service: "shop".to_owned(),
        version: String::new(),
        host: String::new(),
        pid: 42,
        started_ns: 0,
        program: Program::default(),
    };
    LiveProcess { process, calls: calls.iter().map(call).collect(), alive_ns: 0, lost: 0 }
}

#[test]
fn a_hung_call_is_told_also_if_it_is_the_first_of_its_function_and_the_loop_of_a_server_is_not() {
    let functions =
        vec![FunctionSum { name: "jobs::run".to_owned(), calls: 9, p99_ms: 100.0, ..FunctionSum::default() }];
    let find_in = |calls: &[(&str, i64, u64, Option<u64>)]| {
        let living = vec![living(calls)];
        find(&Facts { now_ns: 100 * MINUTE, living, functions: functions.clone(), ..Facts::default() })
            .findings
    };
    let hung = [("main", 90, 1, None), ("jobs::run", 5, 2, None), ("jobs::reindex", 4, 3, Some(2))];
    let found = find_in(&hung);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].subject.as_str()), ("stuck", "jobs::reindex"));
    assert!(found[0].sentence.ends_with("far longer than its caller's calls take (pid 42)"), "{found:?}");
    assert_eq!(find_in(&[hung[0], ("serve", 90, 2, Some(1))]), []);
    assert_eq!(find_in(&hung[1..2])[0].subject, "jobs::run");
}

#[test]
fn a_receiver_that_has_not_taken_alerts_for_long_is_told_with_the_reason() {
    let lag = |receiver: &str, since_ns, failures| Lag {
        receiver: receiver.to_owned(),
        waiting: 3,
        since_ns,
        failures,
        last_failure: (failures > 0).then(|| "status 503".to_owned()),
    };
    let now_ns = 100 * MINUTE;
    let lags = vec![lag("pager", 70 * MINUTE, 12), lag("chat", 60 * MINUTE, 0), lag("new", 95 * MINUTE, 1)];
    let found = find(&Facts { lags, now_ns, ..Facts::default() }).findings;
    let sentences: Vec<_> = found.iter().map(|finding| finding.sentence.as_str()).collect();
    assert_eq!(
        sentences,
        [
            "3 alerts wait for the receiver chat for 40.0 min already: no `monitor watch` has asked for them",
            "3 alerts wait for the receiver pager for 30.0 min already: 12 deliveries failed, the last one with: status 503",
        ]
    );
    assert!(found.iter().all(|finding| finding.kind == "exporter_behind" && finding.level == Level::Warning));
}

#[test]
fn calls_that_were_deleted_for_want_of_room_are_told() {
    let shortage = Some(Shortage { from_ns: MINUTE, until_ns: 9 * MINUTE });
    let found = find(&Facts { now_ns: 100 * MINUTE, shortage, ..Facts::default() }).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].level), ("nearly_full", Level::Info));
    assert!(found[0].sentence.contains("from 00:01:00.000 to 00:09:00.000 UTC were deleted"), "{found:?}");
}

#[test]
fn what_lies_outside_of_a_span_is_not_told() {
    let shortage = Some(Shortage { from_ns: 20 * MINUTE, until_ns: 30 * MINUTE });
    let lag = Lag { receiver: "pager".to_owned(), waiting: 1, since_ns: 25 * MINUTE, ..Lag::default() };
    let hung = [("main", 90, 1, None), ("jobs::run", 5, 2, None), ("jobs::reindex", 4, 3, Some(2))];
    let p99_ms = 100.0;
    let functions = vec![FunctionSum { name: "jobs::run".to_owned(), p99_ms, ..FunctionSum::default() }];
    let kinds_of = |from: i64, until: i64| {
        let period = Some(Period { from_ns: from * MINUTE, until_ns: until * MINUTE });
        let (lags, living, functions) = (vec![lag.clone()], vec![living(&hung)], functions.clone());
        kinds(&Facts { now_ns: 100 * MINUTE, period, shortage, lags, living, functions, ..Facts::default() })
    };
    assert_eq!(kinds_of(0, 101), ["stuck", "exporter_behind", "nearly_full"]);
    assert_eq!(kinds_of(90, 101), ["stuck", "exporter_behind"]);
    assert_eq!(kinds_of(0, 15), [""; 0]);
    assert_eq!(kinds_of(0, 25), ["nearly_full"]);
    assert_eq!(kinds_of(31, 90), [""; 0]);
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
        include_str!("store.rs"),
    ];
    for kind in KINDS {
        assert!(rules.iter().any(|rule| rule.contains(&format!("\"{kind}\""))), "{kind}");
    }
}
