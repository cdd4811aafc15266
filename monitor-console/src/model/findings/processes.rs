//! Findings about processes and their recorders: deaths, hung calls, lost rows, breakers, cost, growth.

use std::collections::HashMap;

use monitor_runtime::alert::{AgedCall, find_stuck_calls, stuck_limit_ns};
use monitor_runtime::recover::UnderWay;

use super::facts::name_program;
use super::{Facts, Finding, Level, Next, quote_shell, quote_sql, shorten};
use crate::model::number::to_f64;
use crate::model::processes::{Process, State};
use crate::model::rates::Rate;
use crate::model::resources::{Figure, Growth};
use crate::report::Cell;
use crate::units::{
    self, format_bytes, format_count, format_nanoseconds, format_percent, format_quantity, format_rate,
};

/// The share of the budget from which the recorder counts as expensive.
const COST_SHARE: f64 = 0.8;
/// The most deaths that are reported one by one.
const DEATHS_MAX: usize = 3;

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let mut findings = find_deaths(facts);
    findings.extend(find_stuck(facts));
    findings.extend(facts.usages.iter().filter_map(|usage| {
        let Growth::Growing(per_hour) = usage.growth else { return None };
        Some(describe_growth(facts, usage.process_id, usage.figure, per_hour, usage.samples))
    }));
    for report in &facts.reports {
        let Some(process) = find_process(facts, report) else { continue };
        findings.extend(judge_report(facts, process, report));
    }
    findings
}

fn find_process<'a>(facts: &'a Facts, report: &HashMap<String, Cell>) -> Option<&'a Process> {
    let id = report.get("process_id").and_then(Cell::to_integer)?;
    facts.processes.iter().find(|process| process.process_id == id)
}

fn name(process: &Process) -> String {
    format!("{} (run {}, pid {})", name_program(process), process.process_id, process.pid)
}

fn finding(
    kind: &'static str,
    level: Level,
    process: &Process,
    sentence: String,
    next: impl Into<Next>,
) -> Finding {
    Finding {
        kind,
        level,
        subject: name(process),
        sentence,
        evidence: format!("SELECT * FROM health WHERE process_id = {}", process.process_id),
        since_ns: Some(process.started_ns),
        saves_ns: 0.0,
        rests_on: "the latest report of the recorder".to_owned(),
        is_estimated: false,
        next: next.into(),
    }
}

fn find_deaths(facts: &Facts) -> Vec<Finding> {
    let died_ns = |process: &Process| process.ended_ns.unwrap_or(process.last_seen_ns);
    let is_within = |process: &&Process| facts.period.is_none_or(|period| period.holds(died_ns(process)));
    let dead = facts.processes.iter().filter(|process| process.state == State::Crash).filter(is_within);
    let describe = |process: &Process| {
        let under_way: Vec<&str> = facts
            .last_calls
            .iter()
            .filter(|(id, _)| *id == process.process_id)
            .map(|(_, function)| function.as_str())
            .collect();
        let while_in = match under_way.first() {
            Some(innermost) => format!(
                " while in {} ({} under way)",
                shorten(innermost),
                format_quantity(under_way.len(), "call", "calls")
            ),
            None => String::new(),
        };
        let at = died_ns(process);
        let sentence = format!(
            "The process {} that started at {} UTC died at {}{while_in}",
            name(process),
            units::format_time(process.started_ns, facts.now_ns),
            units::format_time(at, facts.now_ns)
        );
        Finding {
            evidence: format!("SELECT * FROM in_flight WHERE process_id = {}", process.process_id),
            rests_on: format_quantity(under_way.len(), "call under way", "calls under way"),
            since_ns: Some(at),
            ..finding("died", Level::Critical, process, sentence, "monitor crash")
        }
    };
    dead.take(DEATHS_MAX).map(describe).collect()
}

/// Finds calls under way that take far longer than those of their function, by the rule of alerts.
fn find_stuck(facts: &Facts) -> Vec<Finding> {
    let p99: HashMap<&str, f64> =
        facts.functions.iter().map(|function| (function.name.as_str(), function.p99_ms * 1e6)).collect();
    let mut findings = Vec::new();
    for living in &facts.living {
        let aged = age_calls(&living.calls, &p99, facts.now_ns);
        for at in find_stuck_calls(&aged) {
            let call = &living.calls[at];
            // A call that began after the span was not under way within it.
            if facts.period.is_some_and(|period| call.start_ns > period.until_ns) {
                continue;
            }
            let how = if call.waiting_since_ns.is_some() { "waits" } else { "runs" };
            let elapsed_ns = facts.now_ns.saturating_sub(call.start_ns);
            let beyond =
                if aged[at].limit_ns.is_some() { "its calls take" } else { "its caller's calls take" };
            findings.push(Finding {
                kind: "stuck",
                level: Level::Critical,
                subject: call.function.clone(),
                sentence: format!(
                    "{} {how} for {} already, far longer than {beyond} (pid {})",
                    shorten(&call.function),
                    format_nanoseconds(elapsed_ns),
                    living.process.pid
                ),
                evidence: format!(
                    "SELECT calls, p50_ms, p99_ms, max_ms FROM functions WHERE function = {}",
                    quote_sql(&call.function)
                ),
                since_ns: Some(call.start_ns),
                saves_ns: 0.0,
                rests_on: "the ring file of the process".to_owned(),
                is_estimated: false,
                next: format!("monitor live {}", quote_shell(&call.function)).into(),
            });
        }
    }
    findings
}

/// Returns the calls of a process in the form that the rule takes. The call around another one is its parent, or else
/// the call below it on its thread's stack.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration in ns")]
fn age_calls(calls: &[UnderWay], p99_ns: &HashMap<&str, f64>, now_ns: i64) -> Vec<AgedCall> {
    let spans: HashMap<u64, usize> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.span_id != 0)
        .map(|(at, call)| (call.span_id, at))
        .collect();
    let frames: HashMap<(u32, u32), usize> =
        calls.iter().enumerate().filter_map(|(at, call)| Some(((call.thread_id?, call.depth), at))).collect();
    let caller = |call: &UnderWay| {
        let parent = call.parent_id.and_then(|parent| spans.get(&parent));
        let below = || frames.get(&(call.thread_id?, call.depth.checked_sub(1)?));
        parent.or_else(below).copied()
    };
    let aged = |call: &UnderWay| {
        let p99 = p99_ns.get(call.function.as_str()).filter(|p99| **p99 > 0.0);
        AgedCall {
            age_ns: u64::try_from(now_ns.saturating_sub(call.start_ns)).unwrap_or(0),
            limit_ns: stuck_limit_ns(p99.map(|p99| *p99 as u64), call.slow_ns),
            caller: caller(call),
        }
    };
    calls.iter().map(aged).collect()
}

fn describe_growth(facts: &Facts, process_id: i64, figure: Figure, per_hour: f64, samples: u64) -> Finding {
    let process = facts.processes.iter().find(|process| process.process_id == process_id);
    let who = process.map_or_else(|| format!("run {process_id}"), name);
    let what = match figure {
        Figure::Memory => format!("The memory of {who} grows by {} an hour", format_bytes(per_hour)),
        Figure::Threads => format!("{who} gets {} threads more an hour", format_count(per_hour)),
        Figure::Descriptors | Figure::Cpu => {
            format!("{who} leaves {} descriptors open an hour", format_count(per_hour))
        }
    };
    Finding {
        kind: "growing",
        level: Level::Warning,
        subject: who,
        sentence: what,
        evidence: format!(
            "SELECT at_ns, {} FROM resources WHERE process_id = {process_id} ORDER BY at_ns",
            figure.column()
        ),
        since_ns: process.map(|process| process.started_ns),
        saves_ns: 0.0,
        rests_on: format_quantity(samples, "sample", "samples"),
        is_estimated: false,
        next: format!("monitor resources --process {process_id}").into(),
    }
}

/// Returns the function whose recording costs a process most, and that cost in percent of one core.
fn find_dearest(rates: &[Rate], process_id: i64) -> Option<(&Rate, f64)> {
    let of_process = rates.iter().filter(|rate| rate.process_id == Some(process_id));
    let costs = of_process.filter_map(|rate| Some((rate, rate.cpu_pct.filter(|cost| *cost > 0.0)?)));
    costs.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// Judges the latest report of a recorder. The totals in the report are judged if the span holds the whole life of the
/// process, and its state if the span reaches the present.
fn judge_report(facts: &Facts, process: &Process, report: &HashMap<String, Cell>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let figure = |name: &str| Facts::figure(report, name);
    let text = |name: &str| report.get(name).and_then(Cell::as_text);
    let runs = process.state == State::Running && facts.reaches_present();
    let spans_totals = facts.spans_totals(process);
    let who = name(process);
    if let Some(lost) = process.lost.filter(|lost| *lost > 0 && spans_totals) {
        let sentence = format!(
            "{} of {who} were lost for want of room; counts and times of functions are exact",
            format_quantity(format_count(to_f64(lost)), "row", "rows")
        );
        findings.push(finding(
            "lost_rows",
            Level::Warning,
            process,
            sentence,
            Next::with_remark("monitor health", "monitor sample PATTERN RATE records less"),
        ));
    }
    if let Some(folded) = figure("folded_errors").filter(|folded| *folded > 0.0 && spans_totals) {
        let sentence = format!(
            "{} of {who} were only counted, because they came too fast for rows",
            format_quantity(format_count(folded), "failure", "failures")
        );
        findings.push(finding("folded", Level::Info, process, sentence, "monitor errors"));
    }
    let held = text("breaker_held");
    if let Some(reason) = held.filter(|_| runs) {
        let sentence = format!("A person holds the breaker of {who}: {reason}");
        findings.push(finding("held", Level::Warning, process, sentence, "monitor breaker"));
    } else if runs && text("breaker").is_some_and(|state| state != "closed") {
        let why = text("last_failure").unwrap_or("the store takes no writes");
        let sentence = format!("{who} cannot write its records: the breaker is open ({why})");
        findings.push(finding("breaker_open", Level::Critical, process, sentence, "monitor breaker"));
    }
    if let Some(level) = text("level").filter(|level| runs && *level != "full") {
        let sentence = format!("{who} records at the level `{level}`, not fully");
        findings.push(finding("degraded", Level::Warning, process, sentence, "monitor health"));
    }
    if let (Some(cost), Some(budget)) = (figure("cost_pct"), figure("budget_pct"))
        && runs
        && cost >= budget * COST_SHARE
        && budget > 0.0
    {
        let dearest = find_dearest(&facts.rates, process.process_id);
        let most = dearest.map_or_else(String::new, |(rate, cost)| {
            let why = rate.why.as_deref().filter(|why| !why.is_empty());
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            format!(", {} of it for {}{why}", format_percent(cost), shorten(&rate.function))
        });
        let sentence = format!(
            "Recording costs {who} {} of a core, of {} allowed{most}",
            format_percent(cost),
            format_percent(budget)
        );
        let next = match dearest {
            Some((rate, _)) => {
                let lower = rate.rate.filter(|rate| *rate > 0.0).unwrap_or(1.0) / 10.0;
                format!("monitor sample {} {}", quote_shell(&rate.function), format_rate(lower))
            }
            None => "monitor sample".to_owned(),
        };
        findings.push(finding("costly", Level::Info, process, sentence, next));
    }
    findings
}
