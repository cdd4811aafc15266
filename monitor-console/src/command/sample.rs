//! `monitor sample`: rates in force, and rates set from outside.
//!
//! Setting a rate is writing a row of the table `sampling`; running processes read it within a second.
//! What is in force is what the processes themselves report.

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{counted, heading, open, remark, set_by};
use crate::arguments::{Common, Sample};
use crate::format::{self, Pace};
use crate::pattern::Pattern;
use crate::report::{Column, Unit};
use crate::store::Store;
use crate::{find, units};

pub(super) fn run(common: &Common, arguments: &Sample) -> Result<()> {
    if let (Some(pattern), Some(rate)) = (&arguments.pattern, arguments.rate) {
        set(common, pattern, rate)?;
    }
    if let Some(pattern) = &arguments.reset {
        reset(common, pattern)?;
    }
    show(common)
}

/// Patterns first, in the order in which they were set, since the last that matches holds; then functions, as
/// each running process samples them, or where none runs, as the last one did.
const RATES: &str = "
WITH shown AS (
  SELECT process_id FROM processes WHERE ending = 'running'
  UNION SELECT MAX(process_id) FROM processes WHERE NOT EXISTS (SELECT 1 FROM processes WHERE ending = 'running')
)
SELECT 'pattern' AS kind, pattern AS name, rate AS asked, NULL AS rate, NULL AS fidelity, NULL AS calls_per_s,
  NULL AS rows_per_s, NULL AS ns_per_call, NULL AS cpu_pct, NULL AS why, NULL AS process_id, set_ns, set_by, 0 AS part
FROM sampling
UNION ALL
SELECT 'function', f.name, r.asked, COALESCE(r.rate, f.sample_rate), r.fidelity, r.calls_per_s, r.rows_per_s,
  r.ns_per_call, r.cpu_pct, r.why, r.process_id, NULL, NULL, 1
FROM function f
LEFT JOIN rates r ON r.function = f.name AND r.process_id IN (SELECT process_id FROM shown)
ORDER BY part, set_ns, name, process_id";

fn show(common: &Common) -> Result<()> {
    let store = open(common)?;
    let columns = vec![
        Column::both("kind", "KIND", Unit::Text),
        Column::both("name", "NAME", Unit::Name),
        Column::both("asked", "ASKED", Unit::Rate),
        Column::both("rate", "RATE", Unit::Rate),
        Column::both("fidelity", "FIDELITY", Unit::Text),
        Column::both("calls_per_s", "CALLS/S", Unit::Count),
        Column::both("rows_per_s", "ROWS/S", Unit::Count),
        Column::both("ns_per_call", "COST", Unit::Nanoseconds),
        Column::both("cpu_pct", "CPU", Unit::Percent),
        Column::both("why", "WHY", Unit::Text),
        Column::both("process_id", "RUN", Unit::Number),
        Column::both("set_ns", "SET", Unit::Ago),
        Column::both("set_by", "BY", Unit::Text),
    ];
    let report = store.report(columns, RATES, [])?;
    heading(common, &store, "rates set from outside, and what is in force for each function, and why");
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

fn set(common: &Common, pattern: &Pattern, rate: f64) -> Result<()> {
    let store = Store::open_to_set(&find::store(common.db())?)?;
    store.change(
        "INSERT INTO sampling (pattern, rate, set_ns, set_by) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (pattern) DO UPDATE SET rate = excluded.rate, set_ns = excluded.set_ns, set_by = excluded.set_by",
        (pattern.as_str(), rate, units::now_ns(), set_by()),
    )?;
    remark(common, &format!("set {} to {rate}: {}", pattern.as_str(), effect(&store, pattern)?));
    Ok(())
}

fn reset(common: &Common, pattern: &Pattern) -> Result<()> {
    let store = Store::open_to_set(&find::store(common.db())?)?;
    // A row that is gone says nothing of who took it away, so the reset is an event of its own.
    let event = "INSERT INTO event (at_ns, process_id, kind, detail)
         SELECT ?1, 0, 'rate', pattern || ' reset by ' || ?2 FROM sampling WHERE pattern = ?3";
    store.change(event, (units::now_ns(), set_by(), pattern.as_str()))?;
    if store.change("DELETE FROM sampling WHERE pattern = ?1", [pattern.as_str()])? == 0 {
        let set = names(&store, "SELECT pattern FROM sampling ORDER BY set_ns")?;
        let set =
            if set.is_empty() { "none is set".to_owned() } else { format!("set are {}", set.join(", ")) };
        bail!("no rate is set for `{}`: {set}", pattern.as_str());
    }
    remark(common, &format!("reset {}: {}", pattern.as_str(), effect(&store, pattern)?));
    Ok(())
}

/// Whom a rate reaches: `3 functions so far, 2 running processes within a second`.
fn effect(store: &Store, pattern: &Pattern) -> Result<String> {
    let functions = names(store, "SELECT DISTINCT name FROM function")?;
    let functions = functions.iter().filter(|name| pattern.is_whole(name)).count();
    let running = names(store, "SELECT run_uuid FROM processes WHERE ending = 'running'")?.len();
    let running = match running {
        0 => "no process is running, the next one reads it at its start".to_owned(),
        1 => "1 running process reads it within a second".to_owned(),
        more => format!("{more} running processes read it within a second"),
    };
    Ok(format!("matches {} known so far; {running}", counted(functions, "function")))
}

fn names(store: &Store, sql: &str) -> Result<Vec<String>> {
    let report = store.report(vec![Column::data("name")], sql, [])?;
    let text = |row: Vec<crate::report::Cell>| match row.into_iter().next()?.value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    Ok(report.rows.into_iter().filter_map(text).collect())
}
