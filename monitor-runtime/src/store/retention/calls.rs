//! Deletes calls by ranges of ids, the oldest first.
//!
//! Takes the cutoff of the age bound and the pages in use at which eviction begins; gives the calls to delete next, and
//! deletes a bounded number of them. A range of ids frees whole pages and needs no index over time. When room is short,
//! ordinary calls are deleted before failed ones: a range is emptied, and its few failed calls are put back under their
//! own ids, which packs them into few pages. The file does not decide how many calls a transaction deletes.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _};

use crate::store::error::collect_rows;
use crate::store::harden::pages_used;
use crate::store::zones;

/// Ranges of which only failed calls are left are joined if they end within the same 10 min.
const FAILED_RANGE_NS: i64 = 600 * 1_000_000_000;

/// Calls that are deleted at once to make room: [`PORTION_PER_PAGE`] for each page that the store may use, and at least
/// [`PORTION_MIN`]. A page holds some 16 to 60 calls, so this is an eighth of them or less: a store with a small bound
/// holds fewer calls than a batch may delete, and would lose its whole history.
const PORTION_PER_PAGE: i64 = 2;
const PORTION_MIN: i64 = 256;

/// A row of `call_range`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    first: i64,
    last: i64,
    min_start_ns: i64,
    max_start_ns: i64,
    /// Time of the last batch that extended the range.
    pub(super) at_ns: i64,
    /// True if hardly any but failed calls are left in the range.
    is_failed_only: bool,
}

/// Calls to delete next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) range: Range,
    /// True if the failed calls of the range stay.
    keep_failed: bool,
    /// The ids that are deleted at once at most.
    portion: i64,
}

/// Returns the calls to delete next: those older than the cutoff; then, if room is short, ordinary ones, and failed
/// ones when no others are left. Room is short if more than `pages_evict` pages are in use, or if `is_pressed`. Returns
/// `None` if nothing is to be deleted. With `searches_all`, all ranges are looked at for old ones: a range of a process
/// whose clock was ahead is younger than those behind it.
pub(super) fn find_due(
    connection: &Connection,
    pages_evict: u64,
    cutoff: i64,
    is_pressed: bool,
    searches_all: bool,
) -> rusqlite::Result<Option<Due>> {
    let mut expired = oldest_range(connection, None, i64::MAX)?.filter(|range| range.at_ns < cutoff);
    if expired.is_none() && searches_all {
        expired = oldest_range(connection, None, cutoff)?;
    }
    if let Some(range) = expired {
        return Ok(Some(Due { range, keep_failed: false, portion: i64::MAX }));
    }
    if !is_pressed && pages_used(connection)? <= pages_evict {
        return Ok(None);
    }
    let portion = PORTION_MIN.max(PORTION_PER_PAGE * i64::try_from(pages_evict).unwrap_or(0));
    if let Some(range) = oldest_range(connection, Some(false), i64::MAX)? {
        return Ok(Some(Due { range, keep_failed: true, portion }));
    }
    Ok(oldest_range(connection, Some(true), i64::MAX)?.map(|range| Due {
        range,
        keep_failed: false,
        portion,
    }))
}

/// Returns the first range that has calls and was extended before `before_ns`. `failed_only` selects the ranges of which
/// only failed calls are left, or the others.
fn oldest_range(
    connection: &Connection,
    failed_only: Option<bool>,
    before_ns: i64,
) -> rusqlite::Result<Option<Range>> {
    connection
        .query_row(
            "SELECT first_call, last_call, min_start_ns, max_start_ns, at_ns, failed_only FROM call_range
             WHERE first_call <= last_call AND (?1 IS NULL OR failed_only = ?1) AND at_ns < ?2
             ORDER BY first_call LIMIT 1",
            (failed_only, before_ns),
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

/// Deletes calls from the start of a range. `max` and the portion bound the ids, or the rows of a range of which only
/// failed calls are left. If there are hardly any but failed calls at the start of the range, these stay, and the
/// oldest failed calls of all ranges are deleted in their place. Returns the rows that were deleted, and the ids (or
/// rows) that count against `max`.
pub(super) fn delete_calls(transaction: &Connection, due: Due, max: i64) -> rusqlite::Result<(u64, i64)> {
    let (rows, passed) = delete_start(transaction, due, max)?;
    if rows > 0 || !due.keep_failed {
        return Ok((rows, passed));
    }
    let Some(range) = oldest_range(transaction, Some(true), i64::MAX)? else { return Ok((rows, passed)) };
    let (rows, more) = delete_start(transaction, Due { range, keep_failed: false, ..due }, max)?;
    Ok((rows, passed + more))
}

fn delete_start(transaction: &Connection, due: Due, max: i64) -> rusqlite::Result<(u64, i64)> {
    let Due { range, keep_failed, portion } = due;
    let max = max.min(portion);
    let until = if range.is_failed_only {
        // A bound on ids would delete next to nothing: if one call in a thousand fails, 2048 ids are two rows.
        nth_call(transaction, range, max)?.unwrap_or(range.last)
    } else {
        range.last.min(range.first + max - 1)
    };
    let part = [range.first, until];
    let failed = if keep_failed { count_failed(transaction, part)? } else { 0 };
    // Failed calls that are put back do not share pages as before, so where they are many, they may take more pages
    // than were freed.
    let rows = if failed > 0 && 2 * failed >= count(transaction, part)? {
        0
    } else {
        let kept = if failed > 0 { Failed::read(transaction, part)? } else { Failed::default() };
        transaction.execute("DELETE FROM call_value WHERE id BETWEEN ?1 AND ?2", part)?;
        transaction.execute("DELETE FROM call_fold WHERE id BETWEEN ?1 AND ?2", part)?;
        if failed == 0 {
            // Only failed calls have causes.
            transaction.execute("DELETE FROM call_cause WHERE id BETWEEN ?1 AND ?2", part)?;
        }
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

/// Returns the id of the n-th call of a range, or `None` if it has fewer calls.
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

/// Failed calls of a range and their captured values, which are taken out and put back.
#[derive(Debug, Default)]
struct Failed {
    calls: Vec<[Value; 11]>,
    values: Vec<[Value; 5]>,
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
) -> rusqlite::Result<Vec<[Value; N]>> {
    let mut statement = transaction.prepare(sql)?;
    let rows = statement.query_map(part, |row| {
        let mut values = [const { Value::Null }; N];
        for (at, value) in values.iter_mut().enumerate() {
            *value = row.get(at)?;
        }
        Ok(values)
    })?;
    collect_rows(rows)
}

/// Removes the deleted part from its range, and deletes the zones, because they describe the whole range. The newest
/// range stays, even if it is empty, because the next id follows from its last one.
fn shorten(transaction: &Connection, range: Range, until: i64) -> rusqlite::Result<()> {
    zones::delete(transaction, range.first)?;
    let newest: i64 =
        transaction.query_row("SELECT max(first_call) FROM call_range", [], |row| row.get(0))?;
    if until < range.last || range.first == newest {
        transaction.execute(
            "UPDATE call_range SET first_call = ?2, zoned = 0 WHERE first_call = ?1",
            [range.first, until + 1],
        )?;
    } else {
        transaction.execute("DELETE FROM call_range WHERE first_call = ?1", [range.first])?;
    }
    Ok(())
}

/// Notes a range of which only failed calls are left. It is joined to the range before if that is of the same kind and
/// of about the same age, because under a lasting load there would be millions of such ranges.
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
            "INSERT INTO call_range VALUES (?1, ?2, ?3, ?4, ?5, 1, 0)",
            [first, last, min_start_ns, max_start_ns, at_ns],
        )?;
    }
    Ok(())
}
