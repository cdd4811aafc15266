//! What goes, and when: rows past the age bound, the oldest rows when the size bound is near, one
//! short transaction at a time, so that nobody waits long for the write lock.
//!
//! Calls go by ranges of ids, oldest first: that frees whole pages and needs no index over time. For
//! want of room ordinary calls go before failed ones: a range is emptied and its few failed calls are
//! put back under their own ids, which packs them into few pages. This file opens nothing.

use super::known::Known;
use super::schema::{SLICE_NS, WINDOW_NS};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

/// Call ids deleted in one transaction: about 3 ms.
const STEP_CALLS: i64 = 8192;

/// Windows of 10 s deleted in one transaction, each a row per function.
const STEP_WINDOWS: i64 = 30;

/// Functions whose expired histogram buckets are deleted in one transaction.
const STEP_FUNCTIONS: i64 = 50;

/// Stretches of threads deleted in one transaction.
const STEP_LANES: usize = 2000;

/// Pause between two looks at the small tables.
const TIDY_NS: i64 = 60 * 1_000_000_000;

/// Events kept at most, whatever their age.
const EVENTS_MAX: i64 = 10_000;

/// Days of the calendar kept beyond the age bound, for calls that ran that long.
const CALENDAR_DAYS: i64 = 400;

/// The bounds in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) age_ns: i64,
    /// Pages in use at which the oldest calls go.
    pub(crate) pages_evict: u64,
}

/// What is known between two steps.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    tidied_ns: Option<i64>,
    /// Next function whose buckets are to be looked at, while slices have just expired.
    buckets_from: Option<i64>,
    /// A write found no room: evict even below the bound.
    pub(crate) pressed: bool,
}

/// What one step did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) rows: u64,
    pub(crate) more: bool,
}

/// The oldest range of calls, as a step takes it.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
    at_ns: i64,
}

impl Retention {
    /// One step: the first of what is due, in the order in which it frees room.
    pub(crate) fn step(
        &mut self,
        connection: &Connection,
        known: &mut Known,
        bounds: Bounds,
        now_ns: i64,
    ) -> rusqlite::Result<Step> {
        let cutoff = now_ns.saturating_sub(bounds.age_ns);
        if let Some(range) = oldest(connection, None)?.filter(|range| range.at_ns < cutoff) {
            return delete_calls(connection, range, false);
        }
        if std::mem::take(&mut self.pressed) || pages_used(connection)? > bounds.pages_evict {
            let step = evict(connection)?;
            if step.rows > 0 || step.more {
                return Ok(step);
            }
        }
        if let Some(from) = self.buckets_from {
            return self.buckets(connection, from, cutoff);
        }
        if self.tidied_ns.is_some_and(|at| (0..TIDY_NS).contains(&now_ns.saturating_sub(at))) {
            return Ok(Step::default());
        }
        let step = self.tidy(connection, known, cutoff)?;
        if !step.more {
            self.tidied_ns = Some(now_ns);
        }
        Ok(step)
    }

    /// Expired rows of the small tables.
    fn tidy(&mut self, connection: &Connection, known: &mut Known, cutoff: i64) -> rusqlite::Result<Step> {
        let transaction = begin(connection)?;
        let execute = |sql: &str, bound: i64| transaction.execute(sql, [bound]);
        let oldest_window: Option<i64> =
            transaction.query_row("SELECT min(window) FROM latency_window", [], |row| row.get(0))?;
        let expired = cutoff.div_euclid(WINDOW_NS);
        let until = oldest_window.map_or(expired, |oldest| expired.min(oldest + STEP_WINDOWS));
        let windows = execute("DELETE FROM latency_window WHERE window < ?1", until)?;
        // A slice expires when its end does.
        let slices = execute("DELETE FROM slice WHERE slice < ?1", cutoff.div_euclid(SLICE_NS))?;
        let small = execute("DELETE FROM error_group WHERE last_ns < ?1", cutoff)?
            + execute("DELETE FROM event WHERE at_ns < ?1", cutoff)?
            + execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?1", EVENTS_MAX)?
            + execute("DELETE FROM resource WHERE at_ns < ?1", cutoff)?
            + execute(
                "DELETE FROM calendar WHERE day < ?1",
                super::calendar::day(cutoff).saturating_sub(CALENDAR_DAYS),
            )?;
        let lanes = lanes(&transaction, known)?;
        let (processes, more_processes) = processes(&transaction, cutoff)?;
        transaction.commit()?;
        known.drop_lanes(&lanes);
        if slices > 0 || self.tidied_ns.is_none() {
            self.buckets_from = Some(0);
        }
        let more_windows = windows > 0 && until < expired;
        let more = slices > 0 || more_processes || more_windows || lanes.len() == STEP_LANES;
        Ok(Step { rows: (windows + slices + small + lanes.len() + processes) as u64, more })
    }

    /// Histogram buckets of expired slices, some functions at a time: their table is ordered by
    /// function, which is what `functions` reads it by.
    fn buckets(&mut self, connection: &Connection, from: i64, cutoff: i64) -> rusqlite::Result<Step> {
        let until = from + STEP_FUNCTIONS;
        let transaction = begin(connection)?;
        let rows = transaction.execute(
            "DELETE FROM slice_bucket WHERE function_id >= ?1 AND function_id < ?2 AND slice < ?3",
            [from, until, cutoff.div_euclid(SLICE_NS)],
        )?;
        let last: Option<i64> =
            transaction.query_row("SELECT max(function_id) FROM slice_bucket", [], |row| row.get(0))?;
        transaction.commit()?;
        self.buckets_from = last.is_some_and(|last| last >= until).then_some(until);
        Ok(Step { rows: rows as u64, more: true })
    }
}

fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Pages that hold something.
pub(crate) fn pages_used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    Ok(u64::try_from(pragma("page_count")? - pragma("freelist_count")?).unwrap_or(0))
}

/// The oldest range of calls: of those of which only failed calls are left, of the others, or of all.
fn oldest(connection: &Connection, failed_only: Option<bool>) -> rusqlite::Result<Option<Range>> {
    connection
        .query_row(
            "SELECT first_call, last_call, at_ns FROM call_range
             WHERE first_call <= last_call AND (?1 IS NULL OR failed_only = ?1)
             ORDER BY first_call LIMIT 1",
            [failed_only],
            |row| Ok(Range { first: row.get(0)?, last: row.get(1)?, at_ns: row.get(2)? }),
        )
        .optional()
}

/// Frees room: ordinary calls first, then failed ones, then the oldest windows.
fn evict(connection: &Connection) -> rusqlite::Result<Step> {
    if let Some(range) = oldest(connection, Some(false))? {
        return delete_calls(connection, range, true);
    }
    if let Some(range) = oldest(connection, Some(true))? {
        return delete_calls(connection, range, false);
    }
    let rows = connection.execute(
        "DELETE FROM latency_window WHERE window < (SELECT min(window) FROM latency_window) + ?1",
        [STEP_WINDOWS],
    )?;
    Ok(Step { rows: rows as u64, more: rows > 0 })
}

/// Deletes calls from the start of a range, with their values; where `keep_failed`, failed ones stay.
fn delete_calls(connection: &Connection, range: Range, keep_failed: bool) -> rusqlite::Result<Step> {
    let until = range.last.min(range.first + STEP_CALLS - 1);
    let part = [range.first, until];
    let transaction = begin(connection)?;
    let kept = if keep_failed { Failed::read(&transaction, part)? } else { Failed::default() };
    transaction.execute("DELETE FROM call_value WHERE id BETWEEN ?1 AND ?2", part)?;
    let rows = transaction.execute("DELETE FROM call WHERE id BETWEEN ?1 AND ?2", part)?;
    kept.write(&transaction)?;
    shorten(&transaction, range, until, !kept.calls.is_empty())?;
    transaction.commit()?;
    Ok(Step { rows: (rows - kept.calls.len()) as u64, more: true })
}

/// Failed calls of a range and their values, taken out and put back.
#[derive(Debug, Default)]
struct Failed {
    calls: Vec<[rusqlite::types::Value; 11]>,
    values: Vec<[rusqlite::types::Value; 5]>,
}

impl Failed {
    fn read(transaction: &Connection, part: [i64; 2]) -> rusqlite::Result<Self> {
        let calls = "SELECT * FROM call WHERE kind > 3 AND id BETWEEN ?1 AND ?2 ORDER BY id";
        let values = "SELECT * FROM call_value WHERE id IN
            (SELECT id FROM call WHERE kind > 3 AND id BETWEEN ?1 AND ?2) ORDER BY id";
        Ok(Self {
            calls: read_rows(transaction, calls, part)?,
            values: read_rows(transaction, values, part)?,
        })
    }

    fn write(&self, transaction: &Connection) -> rusqlite::Result<()> {
        let mut call =
            transaction.prepare("INSERT INTO call VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
        for row in &self.calls {
            call.execute(rusqlite::params_from_iter(row))?;
        }
        let mut value = transaction.prepare("INSERT INTO call_value VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for row in &self.values {
            value.execute(rusqlite::params_from_iter(row))?;
        }
        Ok(())
    }
}

fn read_rows<const N: usize>(
    transaction: &Connection,
    sql: &str,
    part: [i64; 2],
) -> rusqlite::Result<Vec<[rusqlite::types::Value; N]>> {
    let mut statement = transaction.prepare(sql)?;
    let rows = statement.query_map(part, |row| {
        let mut values = [const { rusqlite::types::Value::Null }; N];
        for (at, value) in values.iter_mut().enumerate() {
            *value = row.get(at)?;
        }
        Ok(values)
    })?;
    rows.collect()
}

/// Takes the deleted part off its range; where failed calls were kept, the part becomes a range of its
/// own. The newest range stays, though empty: the next id follows from it.
fn shorten(transaction: &Connection, range: Range, until: i64, failed_kept: bool) -> rusqlite::Result<()> {
    let newest: i64 =
        transaction.query_row("SELECT max(first_call) FROM call_range", [], |row| row.get(0))?;
    let whole = until == range.last;
    if whole && range.first == newest {
        // An empty range that still says which id comes next.
        transaction.execute(
            "UPDATE call_range SET first_call = last_call + 1, failed_only = 0 WHERE first_call = ?1",
            [range.first],
        )?;
    } else if whole && !failed_kept {
        transaction.execute("DELETE FROM call_range WHERE first_call = ?1", [range.first])?;
        return Ok(());
    } else if whole {
        transaction.execute("UPDATE call_range SET failed_only = 1 WHERE first_call = ?1", [range.first])?;
        return Ok(());
    } else {
        transaction.execute(
            "UPDATE call_range SET first_call = ?2 WHERE first_call = ?1",
            [range.first, until + 1],
        )?;
    }
    if failed_kept {
        transaction.execute(
            "INSERT INTO call_range SELECT ?1, ?2, min_start_ns, max_start_ns, at_ns, 1
             FROM call_range WHERE first_call = ?3",
            params![range.first, until, until + 1],
        )?;
    }
    Ok(())
}

/// Stretches of this process's own threads of which no call is left. Those of other processes are
/// theirs to delete, because they remember the ids.
fn lanes(transaction: &Connection, known: &Known) -> rusqlite::Result<Vec<i64>> {
    let first: Option<i64> = transaction.query_row(
        "SELECT min(first_call) FROM call_range WHERE first_call <= last_call",
        [],
        |row| row.get(0),
    )?;
    let mut unused = known.lanes_unused_before(first.unwrap_or(i64::MAX));
    unused.truncate(STEP_LANES);
    let mut delete = transaction.prepare("DELETE FROM thread WHERE id = ?1")?;
    for id in &unused {
        delete.execute([id])?;
    }
    Ok(unused)
}

/// One process that has ended, of which no call and no slice is left, with all that is its own;
/// functions that no process knows any more go with it.
fn processes(transaction: &Connection, cutoff: i64) -> rusqlite::Result<(usize, bool)> {
    let gone: Option<i64> = transaction
        .query_row(
            "SELECT p.id FROM process p LEFT JOIN progress g ON g.process_id = p.id AND g.ring = 0
             WHERE p.ending <> 'running' AND coalesce(g.at_ns, p.started_ns) < ?1
               AND coalesce(g.at_ns, p.started_ns) < coalesce(
                 (SELECT min(at_ns) FROM call_range WHERE first_call <= last_call), ?1)
             ORDER BY p.id LIMIT 1",
            [cutoff.saturating_sub(SLICE_NS)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = gone else { return Ok((0, false)) };
    let mut rows = 0;
    for table in ["progress", "process_function", "thread", "folded", "self_report", "resource", "event"] {
        rows += transaction.execute(&format!("DELETE FROM {table} WHERE process_id = ?1"), [id])?;
    }
    rows += transaction.execute("DELETE FROM process WHERE id = ?1", [id])?;
    rows += transaction.execute(
        "DELETE FROM function WHERE id NOT IN (SELECT function_id FROM process_function)
         AND id NOT IN (SELECT function_id FROM slice) AND id NOT IN (SELECT function_id FROM error_group)",
        [],
    )?;
    Ok((rows, true))
}
