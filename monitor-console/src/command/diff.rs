//! `monitor diff`: which functions got slower, faster or fail more often between two sides.

use std::io::Write as _;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{answer, conclude, open_stores, print_heading_of, print_note, require_known_in};
use crate::arguments::{Common, Diff, FailOn, FormatName, refuse};
use crate::format;
use crate::model::basis::Basis;
use crate::model::compare::{self, Change, Measure, Side, SideName, Verdict};
use crate::model::edges;
use crate::model::period::Period;
use crate::report::{Cell, Column, Report, Unit};
use crate::stores::Stores;
use crate::units::{self, format_quantity};
use crate::{find, terminal};

/// The functions that the sentence names.
const NAMES_SHOWN: usize = 3;

pub(super) fn run(common: &Common, arguments: &Diff) -> Result<()> {
    let [before, after] = choose_sides(common, arguments);
    let (first, last_write, _) = read_side(common, &before, arguments)?;
    let (second, last_write_after, edges) = read_side(common, &after, arguments)?;
    let mut changes = compare::compare(&first, &second, arguments.min_change);
    compare::trace_causes(&mut changes, [&first, &second], &edges);
    changes.sort_by_key(|change| (change.verdict, change.is_passed_on));
    let basis = Basis {
        windows: first.windows + second.windows,
        since_ns: [first.range_ns, second.range_ns].iter().flatten().map(|range| range.0).min(),
        last_write_ns: last_write.max(last_write_after),
        ..Basis::default()
    };
    let verdict = judge(&changes, &arguments.fail_on);
    conclude(print(common, arguments, &changes, [&first, &second], &basis), verdict)
}

/// Prints the comparison as a sentence and a table.
fn print(
    common: &Common,
    arguments: &Diff,
    changes: &[Change],
    sides: [&Side; 2],
    basis: &Basis,
) -> Result<()> {
    let sentence = describe(changes, sides);
    match common.format {
        FormatName::Markdown => writeln!(std::io::stdout().lock(), "{}\n", terminal::escape(&sentence))?,
        _ => print_note(common, &format!("{sentence}\n{}", basis.describe())),
    }
    let is_shown = |change: &&Change| {
        let is_plain = matches!(common.format, FormatName::Table | FormatName::Markdown);
        arguments.all || !is_plain || !matches!(change.verdict, Verdict::Same | Verdict::TooFew)
    };
    let mut shown: Vec<Change> = changes.iter().filter(is_shown).cloned().collect();
    compare::add_intervals(&mut shown, sides);
    if !shown.is_empty() || common.format != FormatName::Markdown {
        let rows = shown.iter().map(|change| {
            let mut cells = build_cells(change, sides);
            cells.extend(answer::basis_cells(basis));
            cells
        });
        format::print(&Report { columns: list_columns(), rows: rows.collect() }, common.style())?;
    }
    if shown.len() < changes.len() {
        let count = |verdict| changes.iter().filter(|change| change.verdict == verdict).count();
        let (same, few) = (count(Verdict::Same), count(Verdict::TooFew));
        let hidden = format!("{same} the same, {few} with too few calls or windows: --all shows them");
        match common.format {
            FormatName::Markdown => {
                let gap = if shown.is_empty() { "" } else { "\n" };
                writeln!(std::io::stdout().lock(), "{gap}{hidden}")?;
            }
            _ => print_note(common, &hidden),
        }
    }
    Ok(())
}

/// Returns the sides: those that were named, or the last ten minutes, or the time of `--since`, against the hour
/// before. Where one side is named, the other one follows from it. Ends the process if no time follows the first side, or if
/// `--since` stands beside a span, which has a start of its own.
fn choose_sides(common: &Common, arguments: &Diff) -> [SideName; 2] {
    let named = [arguments.before.as_ref(), arguments.after.as_ref()];
    let is_span = |side: &&SideName| matches!(side, SideName::Span(_));
    if common.since.is_some() && named.iter().flatten().any(is_span) {
        refuse(
            "--since narrows sides that are builds, versions, runs or stores, and a span has a start of its own: write it into \
             the span, such as --before 1h..10m --after 10m.., or give --since alone, which compares that time with the hour before",
        );
    }
    let now = units::now_ns();
    let unnamed = match common.since {
        Some(_) => Period::select(common.since, None, None).after_earlier(),
        None => Period::earlier_and_recent(now),
    };
    SideName::complete(named, unnamed, now).unwrap_or_else(|reason| refuse(&reason))
}

/// A side, the last write to its store, and the pairs of caller and callee in it.
type ReadSide = (Side, Option<i64>, Vec<(String, String)>);

fn read_side(common: &Common, name: &SideName, arguments: &Diff) -> Result<ReadSide> {
    let stores = match name {
        SideName::Store(path) => Stores::open(&[find::find_store(Some(path.clone()))?])?,
        _ => open_stores(common)?,
    };
    if !matches!(name, SideName::Store(_)) || arguments.before.is_none() {
        require_known_in(&stores, arguments.pattern.as_ref())?;
    }
    print_heading_of(common, &stores, &describe_side(name));
    let period = Period::select(common.since, None, None);
    let all = stores.list();
    let side = Side::read_all(&all, name, period, arguments.pattern.as_ref())?;
    let basis = Basis::default().with_last_write_of(&all)?;
    let mut pairs = Vec::new();
    for store in all {
        pairs.extend(edges::read_pairs(store)?);
    }
    Ok((side, basis.last_write_ns, pairs))
}

fn describe_side(name: &SideName) -> String {
    let now = units::now_ns();
    match name {
        SideName::Span(span) => format!(
            "{} to {} UTC",
            units::format_time(span.from_ns, now),
            units::format_time(span.until_ns, now)
        ),
        SideName::Build(build) => format!("build {build}"),
        SideName::Version(version) => format!("version {version}"),
        SideName::Process(run) => format!("run {run}"),
        SideName::Store(_) => "all runs".to_owned(),
    }
}

/// Describes the comparison in a sentence.
pub(super) fn describe(changes: &[Change], sides: [&Side; 2]) -> String {
    for (side, name) in sides.into_iter().zip(["before", "after"]) {
        if side.windows == 0 {
            return format!("cannot tell: the side {name} has no windows with calls");
        }
    }
    // A slowdown is reported only for the function in which it began.
    let of = |verdict: Verdict| {
        changes.iter().filter(move |change| change.verdict == verdict && !change.is_passed_on)
    };
    let mut parts = Vec::new();
    for (verdict, words) in [
        (Verdict::Slower, "got slower"),
        (Verdict::FailsMore, "fails more often"),
        (Verdict::FailsLess, "fails less often"),
        (Verdict::Faster, "got faster"),
    ] {
        let names: Vec<_> = of(verdict).take(NAMES_SHOWN).map(describe_change).collect();
        let more = of(verdict).count().saturating_sub(NAMES_SHOWN);
        if !names.is_empty() {
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("{words}: {}{more}", names.join(", ")));
        }
    }
    let callers = changes.iter().filter(|change| change.is_passed_on).count();
    if callers > 0 {
        parts.push(format!("and {} with them", format_quantity(callers, "caller", "callers")));
    }
    let functions = format_quantity(changes.len(), "function", "functions");
    let few = of(Verdict::TooFew).count();
    match (parts.is_empty(), few == changes.len()) {
        (true, true) => format!("cannot tell: {functions}, each with too few calls or windows on a side"),
        (true, false) => {
            format!("no change found in {functions}, {few} of them with too few calls or windows")
        }
        (false, _) => format!("of {functions} {}", parts.join("; ")),
    }
}

fn describe_change(change: &Change) -> String {
    match (change.verdict, change.measure) {
        (Verdict::FailsMore | Verdict::FailsLess, _) => format!(
            "{} ({} → {})",
            change.function,
            units::format_percent(failed_pct(change, 0)),
            units::format_percent(failed_pct(change, 1))
        ),
        (_, Some(Measure::Body)) => format!("{} (× {:.2})", change.function, change.ratio),
        _ => format!("{} (its slowest calls)", change.function),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn failed_pct(change: &Change, side: usize) -> f64 {
    change.failed[side] as f64 * 100.0 / change.calls[side].max(1) as f64
}

/// Returns the calls a second of a function on one side.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn calls_per_s(change: &Change, side: usize, sides: [&Side; 2]) -> f64 {
    let (from, until) = sides[side].range_ns.unwrap_or((0, 0));
    change.calls[side] as f64 / (until.saturating_sub(from).max(1_000_000_000) as f64 / 1e9)
}

pub(super) fn build_cells(change: &Change, sides: [&Side; 2]) -> Vec<Cell> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let real = |number: f64| Cell::from(if number.is_finite() { Value::from(number) } else { Value::Null });
    let has_ratio = change.calls.iter().all(|calls| *calls > 0);
    let interval = match has_ratio && change.interval.0.is_finite() {
        true => format!("× {:.2}  ({:.2} to {:.2})", change.ratio, change.interval.0, change.interval.1),
        false if has_ratio => format!("× {:.2}", change.ratio),
        false => String::new(),
    };
    let measure = match change.measure {
        Some(Measure::Body) => "body",
        Some(Measure::Tail) => "tail",
        Some(Measure::FarTail) => "far tail",
        None => "",
    };
    let rates = [0, 1].map(|side| calls_per_s(change, side, sides));
    let arrow = |texts: [String; 2]| format!("{} → {}", texts[0], texts[1]);
    vec![
        change.verdict.as_str().to_owned().into(),
        change.function.clone().into(),
        measure.to_owned().into(),
        i64::from(change.is_passed_on).into(),
        if change.is_passed_on { "by its callees".to_owned() } else { String::new() }.into(),
        if has_ratio { real(change.ratio) } else { Value::Null.into() },
        real(change.interval.0),
        real(change.interval.1),
        interval.into(),
        if has_ratio { real(change.tail_ratio) } else { Value::Null.into() },
        if has_ratio { format!("× {:.2}", change.tail_ratio).into() } else { Value::Null.into() },
        count(change.percentiles[0][0]).into(),
        count(change.percentiles[1][0]).into(),
        count(change.percentiles[0][1]).into(),
        count(change.percentiles[1][1]).into(),
        arrow([0, 1].map(|side| units::format_nanoseconds(count(change.percentiles[side][1])))).into(),
        rates[0].into(),
        rates[1].into(),
        arrow(rates.map(units::format_count)).into(),
        failed_pct(change, 0).into(),
        failed_pct(change, 1).into(),
        arrow([0, 1].map(|side| units::format_percent(failed_pct(change, side)))).into(),
        count(change.calls[0]).into(),
        count(change.calls[1]).into(),
        count(change.windows[0]).into(),
        count(change.windows[1]).into(),
        arrow(change.windows.map(|windows| windows.to_string())).into(),
        change.p.into(),
    ]
}

pub(super) fn list_columns() -> Vec<Column> {
    let mut columns = vec![
        Column::titled("verdict", "VERDICT", Unit::Text),
        Column::titled("function", "FUNCTION", Unit::Name),
        Column::data("measure"),
        Column::data("is_passed_on"),
        Column::table("WHERE", Unit::Text),
        Column::data("ratio"),
        Column::data("ratio_from"),
        Column::data("ratio_to"),
        Column::table("CHANGE (95 %)", Unit::Text),
        Column::data("tail_ratio"),
        Column::table("TAIL", Unit::Text),
        Column::data("p50_ns_before"),
        Column::data("p50_ns_after"),
        Column::data("p99_ns_before"),
        Column::data("p99_ns_after"),
        Column::table("P99", Unit::Text),
        Column::data("calls_per_s_before"),
        Column::data("calls_per_s_after"),
        Column::table("CALLS/S", Unit::Text),
        Column::data("failed_pct_before"),
        Column::data("failed_pct_after"),
        Column::table("FAILED", Unit::Text),
        Column::data("calls_before"),
        Column::data("calls_after"),
        Column::data("windows_before"),
        Column::data("windows_after"),
        Column::table("WINDOWS", Unit::Text),
        Column::data("p"),
    ];
    columns.extend(answer::basis_columns());
    columns
}

/// Fails if a function has a verdict that is a failure.
fn judge(changes: &[Change], fail_on: &[FailOn]) -> Result<()> {
    let is_failure = |change: &&Change| {
        fail_on.iter().any(|verdict| match verdict {
            FailOn::Slower => change.verdict == Verdict::Slower,
            FailOn::FailsMore => change.verdict == Verdict::FailsMore,
            FailOn::Faster => change.verdict == Verdict::Faster,
        })
    };
    let failures: Vec<_> = changes.iter().filter(is_failure).map(describe_change).collect();
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}: {}", format_quantity(failures.len(), "function", "functions"), failures.join(", "))
}
