//! Writes alerts, ends those of processes that have ended, and reads the rules.
//!
//! Takes the current alerts of a process; writes one row for each. Later states of the alert replace the row, and the
//! processes of a service share it, so that 64 processes raise one alert. Every change gets a number of its own, so
//! that a reader who follows alerts misses none. Anybody may have written rules, so a rule that makes no sense is
//! passed over. The caller opens and commits the transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::collect_rows;
use super::id_cache::IdCache;
use crate::alert::{AlertLevel, Measure, Rule};
use crate::batch::AlertRow;
use crate::limits::{ALERT_RULES_MAX, ALERTS_KEPT, PATTERN_BYTES_MAX};
use crate::sampling::Pattern;

/// The function id of an alert that concerns no function.
const NO_FUNCTION: i64 = 0;

/// Writes alerts of a process. The processes of a service share an alert of a rule on a function: the alert fires for
/// as long as it fires for one of them, and has the highest level among them.
pub(crate) fn write(
    transaction: &Connection,
    ids: &IdCache,
    process_id: i64,
    rows: &[AlertRow],
) -> rusqlite::Result<()> {
    for row in rows {
        let function_id = row.function.map_or(Some(NO_FUNCTION), |function| ids.function_id(function));
        let Some(function_id) = function_id else { continue };
        let open = find_open(transaction, process_id, &row.rule, function_id)?;
        match (open, row.until_ns) {
            (None, _) => {
                let id = insert(transaction, process_id, function_id, row)?;
                if row.until_ns.is_none() {
                    write_part(transaction, id, process_id, row)?;
                }
            }
            (Some(id), None) => {
                write_part(transaction, id, process_id, row)?;
                summarize(transaction, id)?;
            }
            (Some(id), Some(until_ns)) => {
                leave(transaction, id, process_id, ("resolved", until_ns), Some(&row.sentence))?;
            }
        }
    }
    Ok(())
}

/// Returns the id of the alert of this rule and function that the service of the process has and that has not ended;
/// `None` if there is none.
fn find_open(
    transaction: &Connection,
    process_id: i64,
    rule: &str,
    function_id: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut select = transaction.prepare(
        "SELECT a.id FROM alert a JOIN process p ON p.id = a.process_id
         WHERE a.rule = ?2 AND a.function_id = ?3 AND a.until_ns IS NULL
           AND p.service = (SELECT service FROM process WHERE id = ?1)",
    )?;
    select.query_row(params![process_id, rule, function_id], |row| row.get(0)).optional()
}

/// Inserts an alert, and returns its id. If the alert has a row already, because it was ended when its process was
/// taken for dead, that row is updated and the alert goes on.
fn insert(
    transaction: &Connection,
    process_id: i64,
    function_id: i64,
    row: &AlertRow,
) -> rusqlite::Result<i64> {
    let mut insert = transaction.prepare(
        "INSERT INTO alert (change, process_id, rule, function_id, level, state, since_ns, until_ns, value, peak, sentence)
         VALUES ((SELECT coalesce(max(change), 0) + 1 FROM alert), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (process_id, rule, function_id, since_ns) DO UPDATE SET
           change = excluded.change, level = excluded.level, state = excluded.state, until_ns = excluded.until_ns,
           value = excluded.value, peak = excluded.peak, sentence = excluded.sentence
         RETURNING id",
    )?;
    let values = params![
        process_id,
        row.rule,
        function_id,
        row.level,
        row.state,
        row.since_ns,
        row.until_ns,
        finite(row.value),
        finite(row.peak),
        row.sentence
    ];
    insert.query_row(values, |row| row.get(0))
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// Writes the state of an alert in one of the processes for which it fires.
fn write_part(transaction: &Connection, id: i64, process_id: i64, row: &AlertRow) -> rusqlite::Result<()> {
    let mut replace =
        transaction.prepare("INSERT OR REPLACE INTO alert_part VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let values = params![
        id,
        process_id,
        row.level,
        row.state,
        row.since_ns,
        finite(row.value),
        finite(row.peak),
        row.sentence
    ];
    replace.execute(values).map(|_| ())
}

/// Sets an alert to the state in that process for which it is worst. The alert gets a new change number if its level or
/// its state changed, but not if it only fires for one more process.
fn summarize(transaction: &Connection, id: i64) -> rusqlite::Result<()> {
    let mut update = transaction.prepare(
        "WITH worst AS (
           SELECT level, state, value, peak, sentence FROM alert_part WHERE alert_id = ?1
           ORDER BY CASE level WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, state = 'recovering', since_ns
           LIMIT 1)
         UPDATE alert SET
           change = CASE WHEN alert.level = worst.level AND alert.state = worst.state THEN alert.change
             ELSE (SELECT max(change) + 1 FROM alert) END,
           level = worst.level, state = worst.state, value = worst.value, peak = worst.peak, sentence = worst.sentence,
           processes = max(processes, (SELECT count(*) FROM alert_part WHERE alert_id = ?1))
         FROM worst WHERE alert.id = ?1",
    )?;
    update.execute([id]).map(|_| ())
}

/// Notes that an alert does not fire for a process any more. If that process was the last one, ends the alert with this
/// state at this time.
fn leave(
    transaction: &Connection,
    id: i64,
    process_id: i64,
    (state, at_ns): (&str, i64),
    sentence: Option<&str>,
) -> rusqlite::Result<()> {
    transaction
        .prepare("DELETE FROM alert_part WHERE alert_id = ?1 AND process_id = ?2")?
        .execute([id, process_id])?;
    let mut end = transaction.prepare(
        "UPDATE alert SET state = ?2, until_ns = max(?3, since_ns), sentence = coalesce(?4, sentence),
           change = (SELECT max(change) + 1 FROM alert)
         WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM alert_part WHERE alert_id = ?1)",
    )?;
    if end.execute(params![id, state, at_ns, sentence])? > 0 {
        return Ok(());
    }
    // The alert now belongs to another process, because the entry of this one may be deleted.
    transaction
        .prepare(
            "UPDATE OR IGNORE alert SET process_id = (SELECT min(process_id) FROM alert_part WHERE alert_id = ?1)
             WHERE id = ?1 AND process_id = ?2",
        )?
        .execute([id, process_id])?;
    summarize(transaction, id)
}

/// Ends the alerts of a process that has ended, except those that fire for another process as well.
pub(crate) fn end(transaction: &Connection, process_id: i64, at_ns: i64) -> rusqlite::Result<()> {
    let mut select =
        transaction.prepare("SELECT alert_id FROM alert_part WHERE process_id = ?1 ORDER BY alert_id")?;
    let ids: Vec<i64> = collect_rows(select.query_map([process_id], |row| row.get(0))?)?;
    ids.into_iter().try_for_each(|id| leave(transaction, id, process_id, ("ended", at_ns), None))
}

/// Deletes alerts that ended before the cutoff, and the oldest ones beyond [`ALERTS_KEPT`]. The latest change stays, because
/// its number must not be given again. Returns the number of deleted rows.
pub(super) fn delete_ended(transaction: &Connection, cutoff: i64) -> rusqlite::Result<usize> {
    let deleted = transaction.execute(
        "DELETE FROM alert WHERE until_ns IS NOT NULL AND change < (SELECT max(change) FROM alert)
           AND (until_ns < ?1 OR id IN (
             SELECT id FROM alert WHERE until_ns IS NOT NULL ORDER BY until_ns DESC LIMIT -1 OFFSET ?2))",
        [cutoff, ALERTS_KEPT],
    )?;
    if deleted > 0 {
        transaction.execute("DELETE FROM alert_told WHERE alert_id NOT IN (SELECT id FROM alert)", [])?;
    }
    Ok(deleted)
}

/// Reads the rules. Returns `None` if `PRAGMA data_version` is still `seen`, because then no other connection has changed the
/// file. `seen` becomes the version that was read.
pub(super) fn read_changed_rules(
    connection: &Connection,
    seen: &mut Option<i64>,
) -> rusqlite::Result<Option<Vec<Rule>>> {
    let version: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
    if *seen == Some(version) {
        return Ok(None);
    }
    let rules = read_rules(connection)?;
    *seen = Some(version);
    Ok(Some(rules))
}

/// Reads the rules that are switched on and make sense.
fn read_rules(connection: &Connection) -> rusqlite::Result<Vec<Rule>> {
    let mut select = connection.prepare(
        "SELECT name, level, pattern, measure, op, threshold, for_s, keep_s, min_calls FROM alert_rule
         WHERE enabled <> 0 AND octet_length(pattern) <= ?1 AND octet_length(measure) <= 100 ORDER BY name, level LIMIT ?2",
    )?;
    let bounds = params![PATTERN_BYTES_MAX.cast_signed(), ALERT_RULES_MAX.cast_signed()];
    let rules = select.query_map(bounds, |row| {
        let text = |at: usize| row.get::<_, String>(at);
        let (level, pattern, measure) = (text(1)?, text(2)?, text(3)?);
        // A measure may name its metric itself: `metric:orders`.
        let (measure, pattern) = match Measure::split_metric(&measure) {
            Some((measure, name)) => (Some(measure), Pattern::new(name)),
            None => (Measure::from_name(&measure), Pattern::new(&pattern)),
        };
        let (Some(level), Ok(pattern), Some(measure)) = (AlertLevel::from_name(&level), pattern, measure)
        else {
            return Ok(None);
        };
        Ok(Some(Rule {
            name: text(0)?,
            level,
            pattern,
            measure,
            is_above: text(4)? == ">",
            threshold: row.get(5)?,
            for_windows: Rule::windows_of(row.get(6)?),
            keep_windows: Rule::windows_of(row.get(7)?),
            min_calls: row.get::<_, i64>(8)?.max(0).cast_unsigned(),
        }))
    })?;
    collect_rows(rules.filter_map(Result::transpose))
}
