//! `monitor sample`: shows and sets sampling rates.
//!
//! Setting a rate writes a row of the table `sampling`, which running processes read within two seconds, idle ones
//! within five. The rates in force are those that the processes themselves report, with what each function costs and
//! what its rate saves, both in percent of one core.

use std::path::Path;

use anyhow::{Result, bail};

use super::{
    EVERY_RUN, describe_effect, describe_user, open_store, open_store_for_control, print_heading, print_note,
};
use crate::arguments::{Common, Sample};
use crate::format;
use crate::pattern::Pattern;
use crate::report::{Column, Unit};
use crate::store::Store;
use crate::units::{self, format_quantity};

pub(super) fn run(common: &Common, arguments: &Sample) -> Result<()> {
    if let (Some(pattern), Some(rate)) = (&arguments.pattern, arguments.rate) {
        set(common, pattern, rate)?;
    }
    if let Some(pattern) = &arguments.reset {
        reset(common, pattern)?;
    }
    show(common)
}

/// Selects the patterns first, in the order in which they were set, because the last match wins. The
/// functions follow, as each running process samples them, or, if none is running, as the last one did.
const RATES: &str = "
WITH shown AS (
  SELECT process_id FROM processes WHERE ending = 'running'
  UNION SELECT MAX(process_id) FROM processes WHERE NOT EXISTS (SELECT 1 FROM processes WHERE ending = 'running')
)
SELECT 'pattern' AS kind, pattern AS name, rate AS asked, NULL AS rate, NULL AS fidelity, NULL AS calls_per_s,
  NULL AS rows_per_s, NULL AS ns_per_call, NULL AS cpu_pct, NULL AS saved_pct, NULL AS why, NULL AS process_id, set_ns, set_by, 0 AS part
FROM sampling
UNION ALL
SELECT 'function', f.name, r.asked, COALESCE(r.rate, f.sample_rate), r.fidelity, r.calls_per_s, r.rows_per_s,
  r.ns_per_call, r.cpu_pct, r.saved_pct, r.why, r.process_id, NULL, NULL, 1
FROM function f
LEFT JOIN rates r ON r.function = f.name AND r.process_id IN (SELECT process_id FROM shown)
ORDER BY part, set_ns, name, process_id";

fn show(common: &Common) -> Result<()> {
    let store = open_store(common)?;
    let columns = vec![
        Column::titled("kind", "KIND", Unit::Text),
        Column::titled("name", "NAME", Unit::Name),
        Column::titled("asked", "ASKED", Unit::Rate),
        Column::titled("rate", "RATE", Unit::Rate),
        Column::titled("fidelity", "FIDELITY", Unit::Text),
        Column::titled("calls_per_s", "CALLS/S", Unit::Count),
        Column::titled("rows_per_s", "ROWS/S", Unit::Count),
        Column::titled("ns_per_call", "COST", Unit::Nanoseconds),
        Column::titled("cpu_pct", "CORE", Unit::Percent),
        Column::titled("saved_pct", "SAVED", Unit::Percent),
        Column::titled("why", "WHY", Unit::Text),
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("set_ns", "SET", Unit::Age),
        Column::titled("set_by", "BY", Unit::Text),
    ];
    let report = store.read_report(columns, RATES, [])?;
    print_heading(common, &store, "rates set with `monitor sample`, then the rate of each function and why");
    format::print(&report, common.style())
}

fn set(common: &Common, pattern: &Pattern, rate: f64) -> Result<()> {
    print_note(common, &insert_rate(&open_store_for_control(common)?, pattern, rate)?);
    Ok(())
}

/// Sets a rate in the store at this path, and returns a sentence about its effect.
pub(super) fn write_rate(path: &Path, pattern: &Pattern, rate: f64) -> Result<String> {
    insert_rate(&Store::open_for_control(path)?, pattern, rate)
}

fn insert_rate(store: &Store, pattern: &Pattern, rate: f64) -> Result<String> {
    store.execute(
        "INSERT INTO sampling (pattern, rate, set_ns, set_by) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (pattern) DO UPDATE SET rate = excluded.rate, set_ns = excluded.set_ns, set_by = excluded.set_by",
        (pattern.as_str(), rate, units::now_ns(), describe_user()),
    )?;
    let (effect, advice) = (describe_match(store, pattern)?, suggest_whole_names(store, pattern)?);
    Ok(format!("set {} to {rate}: {effect}{advice}", pattern.as_str()))
}

fn reset(common: &Common, pattern: &Pattern) -> Result<()> {
    let store = open_store_for_control(common)?;
    // A deleted row does not show who deleted it, so the reset is written as an event.
    let event = "INSERT INTO event (at_ns, process_id, kind, detail)
         SELECT ?1, 0, 'rate', pattern || ' reset by ' || ?2 FROM sampling WHERE pattern = ?3";
    store.execute(event, (units::now_ns(), describe_user(), pattern.as_str()))?;
    if store.execute("DELETE FROM sampling WHERE pattern = ?1", [pattern.as_str()])? == 0 {
        let set = read_names(&store, "SELECT pattern FROM sampling ORDER BY set_ns")?;
        let set = match set.as_slice() {
            [] => "no pattern has one".to_owned(),
            set => format!("the patterns with a rate are {}", set.join(", ")),
        };
        bail!("no rate is set for `{}`: {set}", pattern.as_str());
    }
    print_note(common, &format!("reset {}: {}", pattern.as_str(), describe_match(&store, pattern)?));
    Ok(())
}

/// Describes which functions and processes a pattern reaches: `matches 3 functions known so far; 1 running process
/// reads it within two seconds`.
fn describe_match(store: &Store, pattern: &Pattern) -> Result<String> {
    let matched = count_names(store, |name| pattern.is_whole_match(name))?;
    Ok(format!(
        "matches {} known so far; {}",
        format_quantity(matched, "function", "functions"),
        describe_effect(store, EVERY_RUN)?
    ))
}

/// Suggests a pattern of whole names for one that matches only the last segments of names, as other commands
/// accept them.
fn suggest_whole_names(store: &Store, pattern: &Pattern) -> Result<String> {
    let by_ending = count_names(store, |name| pattern.is_match(name))?;
    if by_ending == 0 || count_names(store, |name| pattern.is_whole_match(name))? > 0 {
        return Ok(String::new());
    }
    let functions = format_quantity(by_ending, "function", "functions");
    Ok(format!(". A rate needs whole names: `*::{}` would match {functions}", pattern.as_str()))
}

fn count_names(store: &Store, is_counted: impl Fn(&str) -> bool) -> Result<usize> {
    let names = read_names(store, "SELECT DISTINCT name FROM function")?;
    Ok(names.iter().filter(|name| is_counted(name)).count())
}

fn read_names(store: &Store, sql: &str) -> Result<Vec<String>> {
    let report = store.read_report(vec![Column::data("name")], sql, [])?;
    let texts = report.rows.iter().filter_map(|row| row.first()?.as_text());
    Ok(texts.map(str::to_owned).collect())
}
