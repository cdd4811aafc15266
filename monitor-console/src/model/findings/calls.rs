//! Findings about single calls and their trees: repetitions, calls one after the other, blocked executors.

use std::collections::{HashMap, HashSet};

use super::{Facts, Finding, Level, Next, quote_shell, quote_sql, shorten};
use crate::model::cover::{Stretch, measure_cover};
use crate::model::names::Name;
use crate::model::number::to_f64;
use crate::model::repetition::Repetition;
use crate::model::rows::Row;
use crate::units::{format_count, format_duration, format_percent, format_quantity};

/// The fewest calls that wait one after the other, and the least time that each waits.
const SIBLINGS_MIN: usize = 3;
const WAIT_NS_MIN: i64 = 5_000_000;
/// The largest gap between two such calls, as a share of their time.
const GAP_MAX: f64 = 0.05;
/// The fewest parent calls with such siblings, and the fewest calls that block an executor.
const PARENTS_MIN: usize = 3;
/// The share of a function's calls that has to block: a few calls may only have been interrupted by other programs.
const BLOCKING_SHARE_MIN: f64 = 0.05;
/// The least time for which a call keeps its executor busy, and the share of its time.
const BUSY_NS_MIN: i64 = 10_000_000;
const BUSY_SHARE_MIN: f64 = 0.9;
/// The fewest calls with equal arguments.
const SAME_MIN: u64 = 3;
/// The fewest characters of a result that shows up in the arguments of a later call.
const RESULT_CHARACTERS_MIN: usize = 2;

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts
        .repetitions
        .iter()
        .map(|(repetition, same)| describe_repetition(facts, repetition, *same))
        .collect();
    findings.extend(
        find_serial(facts)
            .into_iter()
            .filter(|serial| !serial.is_dependent(facts))
            .map(|serial| serial.describe(facts)),
    );
    findings.extend(find_blocking(facts));
    findings
}

/// Returns the ids of the calls whose values the rules look at.
pub(super) fn list_wanted_values(facts: &Facts) -> Vec<i64> {
    find_serial(facts).into_iter().flat_map(|serial| serial.example_calls).collect()
}

fn describe_repetition(facts: &Facts, repetition: &Repetition, same: u64) -> Finding {
    let names = &facts.rows.names;
    let (caller, callee) = (names.text(repetition.caller), names.text(repetition.callee));
    let is_same = same >= SAME_MIN && same * 2 >= repetition.most;
    let saved = repetition.saved_ns;
    let same_text =
        if same >= SAME_MIN { format!(", {same} of them with the same arguments") } else { String::new() };
    let sentence = format!(
        "{} calls {} {} times in a row{same_text} ({} of its time, {} in one call): one call for all would save about {} over {}",
        shorten(caller),
        shorten(callee),
        repetition.most,
        format_percent(repetition.share * 100.0),
        format_duration(repetition.example_ns),
        format_duration(saved),
        format_quantity(format_count(repetition.weight.round()), "call", "calls"),
    );
    Finding {
        kind: if is_same { "repeated_same" } else { "n_plus_one" },
        level: Level::Warning,
        subject: caller.to_owned(),
        sentence,
        evidence: format!(
            "SELECT call_id, function, start_ns, duration_ms, args FROM calls WHERE parent_id = (SELECT span_id FROM calls \
             WHERE call_id = {}) ORDER BY start_ns",
            repetition.example.0
        ),
        since_ns: Some(repetition.since_ns),
        saves_ns: saved,
        rests_on: format_quantity(repetition.parents, "call of the caller", "calls of the caller"),
        is_estimated: repetition.weight.round() > to_f64(repetition.parents),
        next: format!("monitor trace {}", repetition.example.0).into(),
    }
}

/// Words that any result may hold.
const COMMON: [&str; 8] = ["Ok", "Some", "None", "null", "true", "false", "Err", "truncated"];

/// Calls that wait one after the other below one parent.
struct Serial {
    caller: Name,
    callees: Vec<Name>,
    parents: usize,
    weight: f64,
    together_ns: f64,
    longest_ns: f64,
    saved_ns: f64,
    since_ns: i64,
    example: i64,
    example_calls: Vec<i64>,
}

/// Finds chains of three or more async calls that wait one after the other, grouped by caller and callees.
fn find_serial(facts: &Facts) -> Vec<Serial> {
    let rows = &facts.rows.rows;
    let mut found: HashMap<(Name, Vec<Name>), Serial> = HashMap::new();
    for (at, parent) in rows.iter().enumerate() {
        let mut siblings: Vec<&Row> = facts.forest.children(at).map(|child| &rows[child]).collect();
        siblings.sort_by_key(|row| (row.start_ns, row.call_id));
        let chain = find_chain(&siblings);
        if chain.len() < SIBLINGS_MIN {
            continue;
        }
        let callees: Vec<Name> = chain.iter().map(|row| row.function).collect();
        // Ten or more calls of one function are a repetition, which another rule finds.
        let is_one = callees.iter().all(|callee| *callee == callees[0]);
        if is_one && callees.len() >= 10 {
            continue;
        }
        let together: f64 = chain.iter().map(|row| to_f64(row.duration_ns)).sum();
        let longest = chain.iter().map(|row| to_f64(row.duration_ns)).fold(0.0, f64::max);
        let serial = found.entry((parent.function, callees.clone())).or_insert_with(|| Serial {
            caller: parent.function,
            callees,
            parents: 0,
            weight: 0.0,
            together_ns: together,
            longest_ns: longest,
            saved_ns: 0.0,
            since_ns: i64::MAX,
            example: parent.call_id,
            example_calls: chain.iter().map(|row| row.call_id).collect(),
        });
        serial.parents += 1;
        serial.weight += parent.weight;
        serial.saved_ns += (together - longest) * parent.weight;
        serial.since_ns = serial.since_ns.min(parent.start_ns);
    }
    let mut found: Vec<_> = found.into_values().filter(|serial| serial.parents >= PARENTS_MIN).collect();
    found.sort_by(|a, b| {
        b.saved_ns.total_cmp(&a.saved_ns).then_with(|| (a.caller, &a.callees).cmp(&(b.caller, &b.callees)))
    });
    found
}

/// Returns the longest chain of successful siblings that each wait, the next starting where the last ended.
fn find_chain<'a>(siblings: &[&'a Row]) -> Vec<&'a Row> {
    let waits = |row: &Row| {
        row.duration_ns.saturating_sub(row.busy_ns) >= WAIT_NS_MIN && !row.is_failed && row.shared == 1
    };
    let (mut best, mut chain): (Vec<&Row>, Vec<&Row>) = (Vec::new(), Vec::new());
    for row in siblings {
        if !waits(row) {
            continue;
        }
        let follows = chain.last().is_none_or(|last| {
            let gap = row.start_ns.saturating_sub(last.end_ns());
            let allowed = to_f64(last.duration_ns.max(row.duration_ns)) * GAP_MAX;
            gap >= -1_000 && to_f64(gap) <= allowed
        });
        if !follows {
            chain.clear();
        }
        chain.push(row);
        if chain.len() > best.len() {
            best.clone_from(&chain);
        }
    }
    best
}

impl Serial {
    /// Returns true if a call was given what an earlier one returned, so the two cannot run together.
    fn is_dependent(&self, facts: &Facts) -> bool {
        let values: Vec<_> = self.example_calls.iter().filter_map(|call| facts.values.get(call)).collect();
        let pieces = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '.');
            words.filter(|word| word.chars().count() >= RESULT_CHARACTERS_MIN).map(str::to_owned).collect()
        };
        values.iter().enumerate().any(|(at, earlier)| {
            let results: HashSet<String> =
                earlier.result.as_deref().map(pieces).unwrap_or_default().into_iter().collect();
            let given = values[at + 1..]
                .iter()
                .flat_map(|later| later.args.as_deref().map(pieces).unwrap_or_default());
            given.into_iter().any(|word| results.contains(&word) && !COMMON.contains(&word.as_str()))
        })
    }

    fn describe(&self, facts: &Facts) -> Finding {
        let names = &facts.rows.names;
        let caller = names.text(self.caller);
        let chain: Vec<&str> = self.callees.iter().map(|callee| shorten(names.text(*callee))).collect();
        let sentence = format!(
            "{} waits for {}: together they could take {} instead of {}",
            shorten(caller),
            chain.join(", then for "),
            format_duration(self.longest_ns),
            format_duration(self.together_ns)
        );
        Finding {
            kind: "serial_fanout",
            level: Level::Info,
            subject: caller.to_owned(),
            sentence,
            evidence: format!(
                "SELECT call_id, function, start_ns, duration_ms, busy_ns / 1e6 AS busy_ms FROM calls WHERE parent_id = (SELECT \
                 span_id FROM calls WHERE call_id = {}) ORDER BY start_ns",
                self.example
            ),
            since_ns: Some(self.since_ns),
            saves_ns: self.saved_ns,
            rests_on: format_quantity(self.parents, "call of the caller", "calls of the caller"),
            is_estimated: self.weight.round() > to_f64(self.parents as u64),
            next: format!("monitor trace {}", self.example).into(),
        }
    }
}

/// Finds async functions that keep their executor busy: calls that run without waiting, apart from async calls below them.
fn find_blocking(facts: &Facts) -> Vec<Finding> {
    let rows = &facts.rows.rows;
    // Only an async call can be polled for less than its duration. A function of which every call ran through is
    // not known to be async.
    let is_async: HashSet<Name> =
        rows.iter().filter(|row| row.busy_ns < row.duration_ns).map(|row| row.function).collect();
    let mut found: HashMap<Name, Vec<(i64, &Row)>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let is_candidate = is_async.contains(&row.function) && row.shared == 1 && row.busy_ns >= BUSY_NS_MIN;
        if !is_candidate {
            continue;
        }
        let below = facts.forest.children(at).map(|child| &rows[child]);
        let below = below.filter(|child| is_async.contains(&child.function)).map(Stretch::new);
        let own = row.duration_ns.saturating_sub(measure_cover(Stretch::new(row), below));
        let waited = row.duration_ns.saturating_sub(row.busy_ns);
        let busy = own.saturating_sub(waited);
        if busy >= BUSY_NS_MIN && to_f64(busy) >= to_f64(own) * BUSY_SHARE_MIN {
            found.entry(row.function).or_default().push((busy, row));
        }
    }
    let mut calls: HashMap<Name, f64> = HashMap::new();
    for row in rows {
        *calls.entry(row.function).or_default() += row.weight;
    }
    let is_usual = |function: Name, blocking: &[(i64, &Row)]| {
        let weight: f64 = blocking.iter().map(|(_, row)| row.weight).sum();
        blocking.len() >= PARENTS_MIN
            && weight >= calls.get(&function).copied().unwrap_or(0.0) * BLOCKING_SHARE_MIN
    };
    let mut findings: Vec<Finding> = found
        .into_iter()
        .filter(|(function, calls)| is_usual(*function, calls))
        .filter_map(|(function, mut calls)| {
            calls.sort_by_key(|(busy, row)| (*busy, row.call_id));
            let (typical, example) = calls.get(calls.len() / 2)?;
            let name = facts.rows.names.text(function);
            Some(Finding {
                kind: "blocks_executor",
                level: Level::Warning,
                subject: name.to_owned(),
                sentence: format!(
                    "{} keeps its executor busy for {} at a time: other tasks wait meanwhile; spawn_blocking or a yield would let them run",
                    shorten(name),
                    format_duration(to_f64(*typical))
                ),
                evidence: format!(
                    "SELECT call_id, duration_ms, busy_ns / 1e6 AS busy_ms, args FROM calls WHERE function = {} AND busy_ns >= {BUSY_NS_MIN} \
                     ORDER BY busy_ns DESC LIMIT 20",
                    quote_sql(name)
                ),
                since_ns: calls.iter().map(|(_, row)| row.start_ns).min(),
                saves_ns: 0.0,
                rests_on: format_quantity(calls.len(), "call", "calls"),
                is_estimated: calls.iter().any(|(_, row)| row.weight > 1.0),
                next: Next::with_remark(
                    format!("monitor trace {}", example.call_id),
                    format!("monitor why {}", quote_shell(name)),
                ),
            })
        })
        .collect();
    findings.sort_by(|a, b| a.subject.cmp(&b.subject));
    findings
}
