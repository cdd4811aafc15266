//! `monitor why FUNCTION`: one page about the slow and the failed calls of a function.
#![allow(
    clippy::similar_names,
    reason = "callers and callees, names and named values are the words of the subject"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{answer, open_stores, print_heading_of, print_lines, require_known_in};
use crate::arguments::{Common, FormatName, Why};
use crate::format;
use crate::model::findings::quote_shell;
use crate::model::period::Period;
use crate::model::rows::ROWS_MAX;
use crate::model::why::{self, Answer, Condition, Facts, Group, Lift, Part, PartName};
use crate::model::{functions, last_lines, repetition};
use crate::report::{Cell, Column, Report};
use crate::stores::{Stores, store_column};
use crate::units::{format_duration, format_exact, format_percent, format_quantity};
use crate::{sparkline, terminal, units};

/// The names that an error lists if a pattern selects several functions.
const NAMES_SHOWN: usize = 5;
/// The width of the labels before the lines of a section.
const LABEL: usize = 10;

pub(super) fn run(common: &Common, arguments: &Why) -> Result<()> {
    let stores = open_stores(common)?;
    require_known_in(&stores, Some(&arguments.pattern))?;
    let function = choose_function(&stores, arguments)?;
    let period = arguments.span.period(common);
    let bounds = why::Bounds::from_rows(arguments.rows.or(ROWS_MAX));
    let facts = why::read_all(&stores.iter().collect::<Vec<_>>(), &function, period, bounds)?;
    let both = arguments.slow == arguments.failed;
    let groups = [(Group::Slow, both || arguments.slow), (Group::Failed, both || arguments.failed)];
    let answers: Vec<Answer> = groups
        .into_iter()
        .filter(|(_, is_wanted)| *is_wanted)
        .filter_map(|(group, _)| why::answer(&facts, group))
        .collect();
    if common.format != FormatName::Table {
        return format::print(&build_report(Some(&stores), &function, &facts, &answers), common.style());
    }
    print_heading_of(common, &stores, &facts.basis.describe());
    let mut page = describe_function(&function, &facts);
    for answer in &answers {
        write_answer(&mut page, &stores, &function, &facts, answer)?;
    }
    if answers.is_empty() {
        writeln!(page, "\n{}", describe_nothing(&facts, period))?;
    }
    print_lines(common, &page)
}

/// Returns the one function that the pattern selects.
fn choose_function(stores: &Stores, arguments: &Why) -> Result<String> {
    let mut names = BTreeSet::new();
    for store in stores.list() {
        names.extend(functions::find(store, &arguments.pattern)?);
    }
    let names: Vec<String> = names.into_iter().collect();
    if let [name] = names.as_slice() {
        return Ok(name.clone());
    }
    let shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
    bail!(
        "`{}` selects {} functions: name one of {}{more}",
        arguments.pattern.as_str(),
        names.len(),
        shown.join(", ")
    )
}

fn describe_function(function: &str, facts: &Facts) -> String {
    let sum = &facts.sum;
    let mark = if sum.is_estimated { "~" } else { "" };
    let mut parts = vec![format!(
        "{} ({} failed)",
        format_quantity(format_exact(to_i64(sum.calls)), "call", "calls"),
        format_exact(to_i64(sum.failed))
    )];
    for (share, name) in [(0.5, "median"), (0.95, "p95"), (0.99, "p99")] {
        if let Some(ns) = sum.percentile(share) {
            parts.push(format!("{name} {mark}{}", units::format_nanoseconds(to_i64(ns))));
        }
    }
    if sum.calls > 0 {
        parts.push(format!("longest {}", units::format_nanoseconds(to_i64(sum.max_ns))));
    }
    format!("{}\n{}\n", terminal::escape(function), parts.join(" · "))
}

fn describe_nothing(facts: &Facts, period: Period) -> String {
    match (facts.calls.is_empty(), facts.sum.calls) {
        (true, 0) if period.is_whole() => "It was not called.".to_owned(),
        (true, 0) => "It was not called in this span.".to_owned(),
        (true, _) => {
            "cannot tell: none of its calls has a row here. `monitor sample` shows its rate and sets it."
                .to_owned()
        }
        (false, _) => "Its calls last alike, and none failed.".to_owned(),
    }
}

fn write_answer(
    page: &mut String,
    stores: &Stores,
    function: &str,
    facts: &Facts,
    answer: &Answer,
) -> Result<()> {
    writeln!(page, "\n{}", describe_group(answer))?;
    write_common(page, facts, answer)?;
    for (at, part) in answer.parts.iter().enumerate() {
        let label = if at == 0 { "time" } else { "" };
        writeln!(page, "  {label:<LABEL$} {}", describe_part(part))?;
    }
    writeln!(page, "  {:<LABEL$} {}", "when", describe_when(answer))?;
    for (at, line) in list_said(stores, answer)?.iter().enumerate() {
        let label = if at == 0 { "said last" } else { "" };
        writeln!(page, "  {label:<LABEL$} {line}")?;
    }
    for (at, command) in list_commands(stores, function, answer)?.iter().enumerate() {
        let label = if at == 0 { "next" } else { "" };
        writeln!(page, "  {label:<LABEL$} {}", terminal::escape(command))?;
    }
    Ok(())
}

/// Describes the group in a line: `SLOW  38 of 150 calls (25.3 %) took at least 2.03 ms, …`.
pub(super) fn describe_group(answer: &Answer) -> String {
    let all = answer.calls[0] + answer.calls[1];
    let is_estimated = answer.rows.iter().sum::<u64>() < round(all);
    let mark = if is_estimated { "~" } else { "" };
    let share = format_percent(answer.calls[0] / all * 100.0);
    let numbers = format!(
        "{mark}{} of {mark}{} calls with a row ({share})",
        format_exact(to_i64(round(answer.calls[0]))),
        format_exact(to_i64(round(all)))
    );
    let means = match answer.rows[1] {
        0 => format!("mean {}", format_duration(answer.mean_ns[0])),
        _ => format!(
            "mean {} against {} of the others",
            format_duration(answer.mean_ns[0]),
            format_duration(answer.mean_ns[1])
        ),
    };
    match answer.cut {
        Some(cut) => {
            let kind = if cut.is_gap { "" } else { ", the slowest ones: there is no gap in the durations" };
            format!(
                "SLOW    {numbers} took at least {}{kind}; {means}",
                units::format_nanoseconds(cut.from_ns)
            )
        }
        None if answer.group == Group::Chosen => format!("CHOSEN  {numbers} were chosen; {means}"),
        None => format!("FAILED  {numbers} failed; {means}"),
    }
}

fn write_common(page: &mut String, facts: &Facts, answer: &Answer) -> Result<()> {
    let label = "in common";
    match &answer.common {
        Err(reason) => writeln!(page, "  {label:<LABEL$} cannot tell: {reason}")?,
        Ok(lifts) if lifts.is_empty() => {
            let without = if facts.has_args { "" } else { " (arguments were not recorded)" };
            writeln!(page, "  {label:<LABEL$} nothing that the rows show{without}")?;
        }
        Ok(lifts) => {
            for (at, lift) in lifts.iter().enumerate() {
                let label = if at == 0 { label } else { "" };
                let line = format!(
                    "{} of the {} calls have {}, {} of the others",
                    format_percent(lift.shares[0] * 100.0),
                    answer.group.as_str(),
                    describe_condition(lift),
                    format_percent(lift.shares[1] * 100.0)
                );
                writeln!(page, "  {label:<LABEL$} {}", terminal::escape(&line))?;
            }
        }
    }
    Ok(())
}

pub(super) fn describe_condition(lift: &Lift) -> String {
    let Lift { key, condition, .. } = lift;
    match condition {
        Condition::Is(value) => format!("{key} = {value}"),
        Condition::Like(shape) => format!("{key} like \"{shape}\""),
        Condition::AtLeast(bound) => format!("{key} ≥ {bound}"),
        Condition::Below(bound) => format!("{key} < {bound}"),
    }
}

/// Describes a part of the time: `19.0 ms against 500 µs in db::query × 1.0`.
pub(super) fn describe_part(part: &Part) -> String {
    let times =
        format!("{:>8} against {:>8}", format_duration(part.mean_ns[0]), format_duration(part.mean_ns[1]));
    let name = match &part.name {
        PartName::Callee(callee) => {
            let calls = part.calls.map(units::format_count);
            let calls = if calls[0] == calls[1] {
                format!("× {}", calls[0])
            } else {
                format!("× {} against × {}", calls[0], calls[1])
            };
            format!("in {} {calls}", terminal::escape(callee))
        }
        PartName::Computing => "itself".to_owned(),
        PartName::Waiting => "waiting, itself".to_owned(),
    };
    format!("{times}  {name}")
}

#[allow(clippy::single_match_else, reason = "both cases are equal")]
pub(super) fn describe_when(answer: &Answer) -> String {
    let now = units::now_ns();
    let time = |ns: i64| units::format_time(ns, now);
    let picture = sparkline::draw_counts(&answer.when.counts);
    match answer.when.burst_ns {
        Some((from, until)) => {
            format!("{picture}  nine of ten from {} to {} UTC", time(from), time(until))
        }
        None => {
            let (from, until) = answer.when.range_ns;
            format!("{picture}  all along, from {} to {} UTC", time(from), time(until))
        }
    }
}

/// Lists the last log lines of the example of the failed calls; none for other groups.
fn list_said(stores: &Stores, answer: &Answer) -> Result<Vec<String>> {
    let Some(example) = answer.example.filter(|_| answer.group == Group::Failed) else {
        return Ok(Vec::new());
    };
    let lines = last_lines::find(stores.get_or_first(answer.example_store), example, last_lines::SHOWN)?;
    Ok(lines.iter().map(super::logs::describe).collect())
}

/// Lists the commands that lead on.
fn list_commands(stores: &Stores, function: &str, answer: &Answer) -> Result<Vec<String>> {
    let name = quote_shell(function);
    let store = stores.get_or_first(answer.example_store);
    // Ids of calls are unique only within one store.
    let of_store = if stores.are_several() {
        format!(" --db {}", quote_shell(&store.path().display().to_string()))
    } else {
        String::new()
    };
    let mut commands = Vec::new();
    if let Some(example) = answer.example {
        let args = repetition::read_args(store, example)?;
        let args =
            args.map_or_else(String::new, |args| format!("   # {}", terminal::truncate_end(&args, 60)));
        commands.push(format!("monitor trace {example}{of_store}{args}"));
    }
    commands.push(match answer.group {
        Group::Slow | Group::Chosen => format!("monitor calls {name} --sort duration"),
        Group::Failed => format!("monitor errors {name}"),
    });
    let has_callee = answer.parts.first().is_some_and(|part| matches!(part.name, PartName::Callee(_)));
    if has_callee {
        commands.push(format!("monitor callees {name}"));
    }
    Ok(commands)
}

/// Builds the page as data: a row for each value that calls have in common, for each part of the time, and for each group.
pub(super) fn build_report(
    stores: Option<&Stores>,
    function: &str,
    facts: &Facts,
    answers: &[Answer],
) -> Report {
    let stores = stores.filter(|stores| stores.are_several());
    let names = [
        "function",
        "group",
        "about",
        "key",
        "condition",
        "share",
        "share_of_others",
        "rows",
        "rows_of_others",
        "calls",
        "calls_of_others",
        "mean_ns",
        "mean_ns_of_others",
        "from_ns",
        "p",
        "example_call_id",
        "cannot_tell",
    ];
    let mut columns: Vec<_> = names.into_iter().map(Column::data).collect();
    columns.extend(answer::basis_columns());
    if stores.is_some() {
        columns.push(store_column());
    }
    let mut rows = Vec::new();
    let mut add = |answer: &Answer, about: &str, values: [(&str, Value); 12]| {
        let mut row: Vec<Cell> = vec![Value::Null.into(); names.len()];
        let named = [("function", function), ("group", answer.group.as_str()), ("about", about)];
        let named = named.into_iter().map(|(name, text)| (name, Value::from(text.to_owned())));
        for (name, value) in named.chain(values) {
            if let Some(at) = names.iter().position(|known| *known == name) {
                row[at] = value.into();
            }
        }
        row.extend(answer::basis_cells(&facts.basis));
        if let Some(stores) = stores {
            row.push(stores.label(answer.example_store).to_owned().into());
        }
        rows.push(row);
    };
    for answer in answers {
        let mut values = [const { ("", Value::Null) }; 12];
        values[0] = ("rows", to_i64(answer.rows[0]).into());
        values[1] = ("rows_of_others", to_i64(answer.rows[1]).into());
        values[2] = ("calls", answer.calls[0].into());
        values[3] = ("calls_of_others", answer.calls[1].into());
        values[4] = ("mean_ns", answer.mean_ns[0].into());
        values[5] = ("mean_ns_of_others", answer.mean_ns[1].into());
        values[6] = ("from_ns", answer.cut.map_or(Value::Null, |cut| cut.from_ns.into()));
        values[7] = ("example_call_id", answer.example.map_or(Value::Null, Value::from));
        values[8] = ("cannot_tell", answer.common.as_ref().err().cloned().map_or(Value::Null, Value::from));
        add(answer, "group", values);
        for lift in answer.common.iter().flatten() {
            let mut values = [const { ("", Value::Null) }; 12];
            values[0] = ("key", lift.key.clone().into());
            values[1] = ("condition", describe_condition(lift).into());
            values[2] = ("share", lift.shares[0].into());
            values[3] = ("share_of_others", lift.shares[1].into());
            values[4] = ("rows", to_i64(lift.rows).into());
            values[5] = ("p", lift.p.into());
            add(answer, "common", values);
        }
        for part in &answer.parts {
            let mut values = [const { ("", Value::Null) }; 12];
            let key = match &part.name {
                PartName::Callee(callee) => callee.clone(),
                PartName::Computing => "(itself)".to_owned(),
                PartName::Waiting => "(waiting)".to_owned(),
            };
            values[0] = ("key", key.into());
            values[1] = ("mean_ns", part.mean_ns[0].into());
            values[2] = ("mean_ns_of_others", part.mean_ns[1].into());
            values[3] = ("calls", part.calls[0].into());
            values[4] = ("calls_of_others", part.calls[1].into());
            add(answer, "time", values);
        }
    }
    Report { columns, rows }
}

fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of calls")]
fn round(number: f64) -> u64 {
    number.round() as u64
}
