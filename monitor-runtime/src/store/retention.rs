//! What goes, and when: rows past the age bound, the oldest rows when the size bound is near, in short
//! transactions, so that nobody waits long for the write lock.
//!
//! Calls go by ranges of ids, oldest first: that frees whole pages and needs no index over time. While
//! batches come, as many calls go as come, in the batch's own transaction: the pages freed are filled
//! again before they are written, so that expiry costs no writing of its own; by itself it would write
//! each page twice more, to the log and to the database. For want of room ordinary calls go before
//! failed ones: a range is emptied and its few failed calls are put back under their own ids, which
//! packs them into few pages. This file opens nothing.

use super::id_cache::{Known, Left};
use super::schema::{SLICE_NS, WINDOW_NS};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use std::collections::HashSet;

/// Call ids deleted in a transaction of its own: half a millisecond, with values 2 ms. The first commit to a
/// log that begins anew, one step in 140, holds the lock for as long as the disk takes to sync the log's
/// header as well: without that a loss of power in this moment could damage the file.
const STEP_CALLS: i64 = 2048;

/// Call ids deleted in the transaction of a batch at most. As many go as come, because a page that is
/// freed and not filled again in the same transaction is written for nothing; twice as many where that
/// did not suffice, so that the store does not stay at its bound for ever.
const BATCH_CALLS_MAX: i64 = 6144;

/// A smaller batch leaves expiry to steps of its own: it would change more pages by it than they do.
const BATCH_CALLS_MIN: usize = 256;

/// While batches come, steps of their own leave calls to them that are past the age bound by no more
/// than this, or than a sixteenth of that bound.
const LEFT_TO_BATCHES_NS: i64 = 60 * 1_000_000_000;
const LEFT_TO_BATCHES_SHARE: i64 = 16;

/// Ranges of which only failed calls are left are joined as far as they end within the same 10 min.
const FAILED_RANGE_NS: i64 = 600 * 1_000_000_000;

/// Windows of 10 s deleted in one transaction, each a row per function.
const STEP_WINDOWS: i64 = 30;

/// Functions whose slices, and functions whose histogram buckets, are deleted in one transaction.
const STEP_SLICES: i64 = 2000;
const STEP_BUCKETS: i64 = 100;

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
    /// When a batch last came that made way for itself.
    batch_ns: Option<i64>,
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
    min_start_ns: i64,
    max_start_ns: i64,
    at_ns: i64,
    /// Only failed calls are left of it: far fewer than it has ids.
    is_failed_only: bool,
}

/// Calls that are to go.
#[derive(Debug, Clone, Copy)]
struct Due {
    range: Range,
    keep_failed: bool,
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
        let pressed = std::mem::take(&mut self.pressed);
        let left_to_batches = bounds.left_to_batches_ns();
        let batches_come =
            self.batch_ns.is_some_and(|at| (0..left_to_batches).contains(&now_ns.saturating_sub(at)));
        let calls_cutoff = if batches_come { cutoff.saturating_sub(left_to_batches) } else { cutoff };
        if let Some(due) = due(connection, bounds, calls_cutoff, pressed)? {
            let transaction = begin(connection)?;
            let (rows, _) = delete_calls(&transaction, due, STEP_CALLS)?;
            transaction.commit()?;
            return Ok(Step { rows, more: true });
        }
        if pressed || pages_used(connection)? > bounds.pages_evict {
            let rows = evict_windows(connection)?;
            if rows > 0 {
                return Ok(Step { rows, more: true });
            }
        }
        let rows = expire_slices(connection, cutoff.div_euclid(SLICE_NS))?;
        if rows > 0 {
            return Ok(Step { rows, more: true });
        }
        if self.tidied_ns.is_some_and(|at| (0..TIDY_NS).contains(&now_ns.saturating_sub(at))) {
            return Ok(Step::default());
        }
        let step = Self::tidy(connection, known, cutoff)?;
        if !step.more {
            self.tidied_ns = Some(now_ns);
        }
        Ok(step)
    }

    /// Expired rows of the small tables.
    fn tidy(connection: &Connection, known: &mut Known, cutoff: i64) -> rusqlite::Result<Step> {
        let transaction = begin(connection)?;
        let execute = |sql: &str, bound: i64| transaction.execute(sql, [bound]);
        let oldest_window: Option<i64> =
            transaction.query_row("SELECT min(window) FROM latency_window", [], |row| row.get(0))?;
        let expired = cutoff.div_euclid(WINDOW_NS);
        let until = oldest_window.map_or(expired, |oldest| expired.min(oldest + STEP_WINDOWS));
        let windows = execute("DELETE FROM latency_window WHERE window < ?1", until)?;
        let small = execute("DELETE FROM error_group WHERE last_ns < ?1", cutoff)?
            + execute("DELETE FROM event WHERE at_ns < ?1", cutoff)?
            + execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?1", EVENTS_MAX)?
            + execute("DELETE FROM resource WHERE at_ns < ?1", cutoff)?
            + execute(
                "DELETE FROM calendar WHERE day < ?1",
                super::calendar::day(cutoff).saturating_sub(CALENDAR_DAYS),
            )?;
        let (lanes, left) = lanes(&transaction, known)?;
        let (processes, more_processes) = processes(&transaction, cutoff)?;
        transaction.commit()?;
        known.drop_lanes(&lanes);
        if left == LeftLanes::Gone {
            known.drop_left();
        }
        let more_windows = windows > 0 && until < expired;
        let more = more_processes || more_windows || lanes.len() == STEP_LANES;
        Ok(Step { rows: (windows + small + lanes.len() + processes) as u64, more })
    }

    /// In the transaction of a batch: deletes calls that are due, about as many as the batch brings.
    pub(crate) fn make_way(
        &mut self,
        transaction: &Connection,
        bounds: Bounds,
        now_ns: i64,
        calls: usize,
    ) -> rusqlite::Result<()> {
        if calls < BATCH_CALLS_MIN {
            return Ok(());
        }
        self.batch_ns = Some(now_ns);
        let coming = i64::try_from(calls).unwrap_or(i64::MAX);
        let cutoff = now_ns.saturating_sub(bounds.age_ns);
        let overdue = cutoff.saturating_sub(bounds.left_to_batches_ns() / 2);
        let mut gone = 0;
        while let Some(due) = due(transaction, bounds, cutoff, false)? {
            let expires = (overdue..cutoff).contains(&due.range.at_ns);
            let most = if expires { coming } else { coming.saturating_mul(2) }.min(BATCH_CALLS_MAX);
            if gone >= most {
                break;
            }
            gone += delete_calls(transaction, due, most - gone)?.1;
        }
        Ok(())
    }
}

impl Bounds {
    fn left_to_batches_ns(self) -> i64 {
        LEFT_TO_BATCHES_NS.min(self.age_ns / LEFT_TO_BATCHES_SHARE)
    }
}

/// Slices before this one and their histogram buckets, those of some functions at a time. A slice expires
/// when its end does.
fn expire_slices(connection: &Connection, before: i64) -> rusqlite::Result<u64> {
    let mut rows = 0;
    for (table, step) in [("slice", STEP_SLICES), ("slice_bucket", STEP_BUCKETS)] {
        rows += connection.execute(
            &format!(
                "DELETE FROM {table} WHERE slice = (SELECT min(slice) FROM {table}) AND slice < ?1
                 AND function_id < ?2 + (SELECT min(function_id) FROM {table}
                   WHERE slice = (SELECT min(slice) FROM {table}))"
            ),
            [before, step],
        )?;
    }
    Ok(rows as u64)
}

fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Pages that hold something.
pub(crate) fn pages_used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    Ok(u64::try_from(pragma("page_count")? - pragma("freelist_count")?).unwrap_or(0))
}

/// The calls that are to go first: those past the age bound; then, for want of room, ordinary ones,
/// and failed ones when no others are left.
fn due(connection: &Connection, bounds: Bounds, cutoff: i64, pressed: bool) -> rusqlite::Result<Option<Due>> {
    if let Some(range) = oldest(connection, None)?.filter(|range| range.at_ns < cutoff) {
        return Ok(Some(Due { range, keep_failed: false }));
    }
    if !pressed && pages_used(connection)? <= bounds.pages_evict {
        return Ok(None);
    }
    if let Some(range) = oldest(connection, Some(false))? {
        return Ok(Some(Due { range, keep_failed: true }));
    }
    Ok(oldest(connection, Some(true))?.map(|range| Due { range, keep_failed: false }))
}

/// The oldest range of calls: of those of which only failed calls are left, of the others, or of all.
fn oldest(connection: &Connection, failed_only: Option<bool>) -> rusqlite::Result<Option<Range>> {
    connection
        .query_row(
            "SELECT first_call, last_call, min_start_ns, max_start_ns, at_ns, failed_only FROM call_range
             WHERE first_call <= last_call AND (?1 IS NULL OR failed_only = ?1)
             ORDER BY first_call LIMIT 1",
            [failed_only],
            |row| {
                Ok(Range {
                    first: row.get(0)?,
                    last: row.get(1)?,
                    min_start_ns: row.get(2)?,
                    max_start_ns: row.get(3)?,
                    at_ns: row.get(4)?,
                    is_failed_only: row.get(5)?,
                })
            },
        )
        .optional()
}

/// Where no call is left to go, the oldest windows make room.
fn evict_windows(connection: &Connection) -> rusqlite::Result<u64> {
    let rows = connection.execute(
        "DELETE FROM latency_window WHERE window < (SELECT min(window) FROM latency_window) + ?1",
        [STEP_WINDOWS],
    )?;
    Ok(rows as u64)
}

/// Deletes calls with their values from the start of a range, at most so many: ids, or of a range of which
/// only failed calls are left, rows. Returns the rows that went and how many of those it were.
fn delete_calls(transaction: &Connection, due: Due, most: i64) -> rusqlite::Result<(u64, i64)> {
    let Due { range, keep_failed } = due;
    let until = if range.is_failed_only {
        // By ids next to nothing would go: where one call in a thousand fails, two rows of 2048.
        nth_call(transaction, range, most)?.unwrap_or(range.last)
    } else {
        range.last.min(range.first + most - 1)
    };
    let part = [range.first, until];
    let failed = if keep_failed { count_failed(transaction, part)? } else { 0 };
    let rows = if failed > 0 && failed == count(transaction, part)? {
        0
    } else {
        let kept = if failed > 0 { Failed::read(transaction, part)? } else { Failed::default() };
        transaction.execute("DELETE FROM call_value WHERE id BETWEEN ?1 AND ?2", part)?;
        let rows = transaction.execute("DELETE FROM call WHERE id BETWEEN ?1 AND ?2", part)?;
        kept.write(transaction)?;
        (rows - kept.calls.len()) as u64
    };
    shorten(transaction, range, until)?;
    if failed > 0 {
        keep_range(transaction, Range { last: until, ..range })?;
    }
    let passed = if range.is_failed_only { rows.cast_signed() } else { until - range.first + 1 };
    Ok((rows, passed))
}

/// The id of the n-th call of a range, if it has so many.
fn nth_call(transaction: &Connection, range: Range, number: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM call WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1 OFFSET ?3";
    transaction.query_row(sql, [range.first, range.last, number - 1], |row| row.get(0)).optional()
}

fn count(transaction: &Connection, part: [i64; 2]) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM call WHERE id BETWEEN ?1 AND ?2";
    transaction.query_row(sql, part, |row| row.get(0))
}

fn count_failed(transaction: &Connection, part: [i64; 2]) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM call WHERE kind > 3 AND id BETWEEN ?1 AND ?2";
    transaction.query_row(sql, part, |row| row.get(0))
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

/// Takes the part that was deleted off its range. The newest range stays, though empty, with its last
/// id: the next one follows from it.
fn shorten(transaction: &Connection, range: Range, until: i64) -> rusqlite::Result<()> {
    let newest: i64 =
        transaction.query_row("SELECT max(first_call) FROM call_range", [], |row| row.get(0))?;
    if until < range.last || range.first == newest {
        transaction.execute(
            "UPDATE call_range SET first_call = ?2, failed_only = 0 WHERE first_call = ?1",
            [range.first, until + 1],
        )?;
    } else {
        transaction.execute("DELETE FROM call_range WHERE first_call = ?1", [range.first])?;
    }
    Ok(())
}

/// Notes a range of which only failed calls are left, joined to the one before where that is such a
/// range of about the same age: under a lasting load there would be millions of them.
fn keep_range(transaction: &Connection, range: Range) -> rusqlite::Result<()> {
    let Range { first, last, min_start_ns, max_start_ns, at_ns, .. } = range;
    let joined = transaction.execute(
        "UPDATE call_range SET last_call = ?2, min_start_ns = min(min_start_ns, ?3),
           max_start_ns = max(max_start_ns, ?4), at_ns = max(at_ns, ?5)
         WHERE first_call = (SELECT max(first_call) FROM call_range WHERE first_call < ?1)
           AND failed_only = 1 AND at_ns / ?6 = ?5 / ?6",
        [first, last, min_start_ns, max_start_ns, at_ns, FAILED_RANGE_NS],
    )?;
    if joined == 0 {
        transaction.execute(
            "INSERT INTO call_range VALUES (?1, ?2, ?3, ?4, ?5, 1)",
            [first, last, min_start_ns, max_start_ns, at_ns],
        )?;
    }
    Ok(())
}

/// Stretches of this process's own threads of which no call is left. Those of other processes are
/// theirs to delete, because they remember the ids.
fn lanes(transaction: &Connection, known: &Known) -> rusqlite::Result<(Vec<i64>, LeftLanes)> {
    let first: Option<i64> = transaction.query_row(
        "SELECT min(first_call) FROM call_range WHERE first_call <= last_call",
        [],
        |row| row.get(0),
    )?;
    let first = first.unwrap_or(i64::MAX);
    let mut unused = known.lanes_unused_before(first);
    let mut left = LeftLanes::Some;
    if let Some(Left { last_id, .. }) = known.left_unused_before(first) {
        let (kept, wanted) = (known.lane_ids(), STEP_LANES.saturating_sub(unused.len()));
        let gone = lanes_up_to(transaction, last_id, &kept, wanted)?;
        if gone.len() < wanted {
            left = LeftLanes::Gone;
        }
        unused.extend(gone);
    }
    unused.truncate(STEP_LANES);
    let mut delete = transaction.prepare("DELETE FROM thread WHERE id = ?1")?;
    for id in &unused {
        delete.execute([id])?;
    }
    Ok((unused, left))
}

/// What became of lanes of forgotten threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftLanes {
    /// There are none to go, or more than went.
    Some,
    /// The oldest of them are gone.
    Gone,
}

/// Lanes of the process whose own is this one, up to it, as many as wanted of those that are not kept.
fn lanes_up_to(
    transaction: &Connection,
    last_id: i64,
    kept: &HashSet<i64>,
    wanted: usize,
) -> rusqlite::Result<Vec<i64>> {
    let mut select = transaction.prepare(
        "SELECT id FROM thread
         WHERE id <= ?1 AND process_id = (SELECT process_id FROM thread WHERE id = ?1) ORDER BY id",
    )?;
    let ids = select.query_map([last_id], |row| row.get(0))?;
    ids.filter(|id| !id.as_ref().is_ok_and(|id| kept.contains(id))).take(wanted).collect()
}

/// One process that has ended, of which no call and no slice is left, with all that is its own;
/// functions that no process knows any more go with it.
fn processes(transaction: &Connection, cutoff: i64) -> rusqlite::Result<(usize, bool)> {
    let gone: Option<i64> = transaction
        .query_row(
            // What was recovered of it was written later than it ended.
            "SELECT id FROM (
               SELECT id, coalesce(
                 (SELECT max(at_ns) FROM progress WHERE process_id = process.id), started_ns) AS at_ns
               FROM process WHERE ending <> 'running')
             WHERE at_ns < ?1
               AND at_ns < coalesce((SELECT min(at_ns) FROM call_range WHERE first_call <= last_call), ?1)
             ORDER BY id LIMIT 1",
            [cutoff.saturating_sub(SLICE_NS)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = gone else { return Ok((0, false)) };
    let mut rows = 0;
    for table in [
        "progress",
        "process_function",
        "function_rate",
        "thread",
        "folded",
        "self_report",
        "resource",
        "flight",
        "event",
    ] {
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
