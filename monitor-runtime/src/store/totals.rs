//! Writes the totals of functions since their process began into `function_total`, and keeps those of processes that
//! retention deletes in `past_total`, with their counters in `past_report`. The sums of half hours that retention deletes
//! go into `function_expired`, so that a reader knows the sum of those that are left without reading them.
//!
//! Takes rows that hold everything since the process began, which replace the stored ones, and rows that hold what a
//! recovery adds; gives one row for each process and function. A stored total never falls: readers take it for a counter.
//! The caller opens and commits the transaction.

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::id_cache::IdCache;
use super::rows::signed;
use crate::batch::{CallStats, TotalRow, Update};
use crate::histogram::Histogram;

/// The rows of `past_total` that are kept at most: those whose processes ended last.
const PAST_MAX: i64 = 10_000;

/// The columns of these tables behind their keys.
const COLUMNS: &str = "calls, errors, panics, cancelled, dropped, roots, total_ns, self_ns, busy_ns, nested_ns, \
                       cancelled_ns, max_ns, estimated, histogram";

/// The columns of the health report that count since the start of the process.
const COUNTERS: [&str; 14] = [
    "recorded",
    "dropped_ring_full",
    "dropped_backlog",
    "dropped_no_ring",
    "dropped_store",
    "dropped_passed",
    "dropped_logs",
    "folded_errors",
    "writer_errors",
    "rows_written",
    "bytes_written",
    "breaker_openings",
    "write_retries",
    "duplicates_avoided",
];

/// The statistics of a function over the whole run of a process, or of several.
#[derive(Debug, Default)]
struct Total {
    stats: CallStats,
    histogram: Histogram,
}

impl Total {
    /// Reads the columns of [`COLUMNS`], which begin at column `first` of the row.
    fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let number =
            |at: usize| row.get::<_, i64>(first + at).map(|number| u64::try_from(number).unwrap_or(0));
        let stats = CallStats {
            calls: number(0)?,
            errors: number(1)?,
            panics: number(2)?,
            cancelled: number(3)?,
            dropped: number(4)?,
            roots: number(5)?,
            total_ns: number(6)?,
            self_ns: number(7)?,
            busy_ns: number(8)?,
            nested_ns: number(9)?,
            cancelled_ns: number(10)?,
            max_ns: number(11)?,
            is_estimated: number(12)? != 0,
            ..CallStats::default()
        };
        let histogram = Histogram::from_bytes(row.get_ref(first + 13)?.as_blob().unwrap_or_default());
        Ok(Self { stats, histogram })
    }

    fn merge(&mut self, other: &Self) {
        self.stats.merge(&other.stats);
        self.histogram.merge(&other.histogram);
    }

    /// Binds the columns of [`COLUMNS`] to the parameters from `first` on, and runs the statement.
    fn write(&self, statement: &mut Statement<'_>, first: usize) -> rusqlite::Result<()> {
        let stats = &self.stats;
        let numbers = [
            stats.calls,
            stats.errors,
            stats.panics,
            stats.cancelled,
            stats.dropped,
            stats.roots,
            stats.total_ns,
            stats.self_ns,
            stats.busy_ns,
            stats.nested_ns,
            stats.cancelled_ns,
            stats.max_ns,
            u64::from(stats.is_estimated),
        ];
        for (at, number) in numbers.into_iter().enumerate() {
            statement.raw_bind_parameter(first + at, signed(number))?;
        }
        statement.raw_bind_parameter(first + numbers.len(), self.histogram.to_bytes())?;
        statement.raw_execute()?;
        Ok(())
    }
}

/// Writes totals of a process.
pub(crate) fn write(
    transaction: &Connection,
    ids: &IdCache,
    process_id: i64,
    rows: &[TotalRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut select = transaction.prepare(&format!(
        "SELECT {COLUMNS} FROM function_total WHERE process_id = ?1 AND function_id = ?2"
    ))?;
    // A row that counts less than the stored one comes from a process that another one took for dead and recovered. The
    // stored row then holds calls that the process has yet to drain.
    let mut upsert = transaction.prepare(
        "INSERT INTO function_total VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (process_id, function_id) DO UPDATE SET
           calls = excluded.calls, errors = excluded.errors, panics = excluded.panics,
           cancelled = excluded.cancelled, dropped = excluded.dropped, roots = excluded.roots,
           total_ns = excluded.total_ns, self_ns = excluded.self_ns, busy_ns = excluded.busy_ns,
           nested_ns = excluded.nested_ns, cancelled_ns = excluded.cancelled_ns, max_ns = excluded.max_ns,
           estimated = excluded.estimated, histogram = excluded.histogram
         WHERE excluded.calls >= calls",
    )?;
    for row in rows {
        let Some(function_id) = ids.function_id(row.function) else { continue };
        let mut total = Total { stats: row.stats, histogram: row.histogram.clone() };
        if row.update == Update::Add {
            let key = [process_id, function_id];
            if let Some(stored) = select.query_row(key, |row| Total::read(row, 0)).optional()? {
                total.merge(&stored);
            }
        }
        upsert.raw_bind_parameter(1, process_id)?;
        upsert.raw_bind_parameter(2, function_id)?;
        total.write(&mut upsert, 3)?;
    }
    Ok(())
}

/// Adds the figures of half hours that are about to be deleted to those that were deleted before: of the half hour `slice`,
/// and of the functions from `first` to `last`.
pub(super) fn expire(
    transaction: &Connection,
    slice: i64,
    (first, last): (i64, i64),
) -> rusqlite::Result<()> {
    let figures = COLUMNS.trim_end_matches(", histogram");
    let mut of_slice = transaction.prepare(&format!(
        "SELECT process_id, function_id, {figures}, NULL FROM slice WHERE slice = ?1 AND function_id BETWEEN ?2 AND ?3"
    ))?;
    let mut buckets = transaction.prepare(
        "SELECT bucket, count FROM slice_bucket WHERE slice = ?1 AND function_id = ?2 AND process_id = ?3",
    )?;
    let mut before = transaction.prepare(&format!(
        "SELECT {COLUMNS} FROM function_expired WHERE process_id = ?1 AND function_id = ?2"
    ))?;
    let mut replace = transaction.prepare(
        "INSERT OR REPLACE INTO function_expired
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    let mut rows = of_slice.query([slice, first, last])?;
    while let Some(row) = rows.next()? {
        let (process_id, function_id): (i64, i64) = (row.get(0)?, row.get(1)?);
        let mut total = Total::read(row, 2)?;
        let mut counts = buckets.query([slice, function_id, process_id])?;
        while let Some(count) = counts.next()? {
            total.histogram.add_to(count.get(0)?, u64::try_from(count.get::<_, i64>(1)?).unwrap_or(0));
        }
        let key = [process_id, function_id];
        if let Some(stored) = before.query_row(key, |row| Total::read(row, 0)).optional()? {
            total.merge(&stored);
        }
        replace.raw_bind_parameter(1, process_id)?;
        replace.raw_bind_parameter(2, function_id)?;
        total.write(&mut replace, 3)?;
    }
    Ok(())
}

/// Adds the totals of a process that is about to be deleted to those of its service, by the names of functions. Beyond
/// [`PAST_MAX`] rows the ones whose processes ended first are deleted.
pub(super) fn keep(transaction: &Connection, process_id: i64) -> rusqlite::Result<()> {
    let found: Option<(String, i64, i64)> = transaction
        .query_row(
            "SELECT service, started_ns, coalesce(ended_ns, started_ns) FROM process WHERE id = ?1",
            [process_id],
            |row| row.try_into(),
        )
        .optional()?;
    let Some((service, started_ns, ended_ns)) = found else { return Ok(()) };
    let mut of_process = transaction.prepare(&format!(
        "SELECT (SELECT name FROM function WHERE id = function_id), {COLUMNS} FROM function_total
         WHERE process_id = ?1"
    ))?;
    let mut of_service = transaction.prepare(&format!(
        "SELECT since_ns, {COLUMNS} FROM past_total WHERE service = ?1 AND function = ?2"
    ))?;
    let mut replace = transaction.prepare(
        "INSERT OR REPLACE INTO past_total
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    let mut rows = of_process.query([process_id])?;
    let mut has_any = false;
    while let Some(row) = rows.next()? {
        let Some(function) = row.get::<_, Option<String>>(0)? else { continue };
        let mut total = Total::read(row, 1)?;
        let mut since_ns = started_ns;
        let stored = of_service
            .query_row(params![service, function], |row| Ok((row.get::<_, i64>(0)?, Total::read(row, 1)?)))
            .optional()?;
        if let Some((stored_since_ns, stored)) = stored {
            since_ns = since_ns.min(stored_since_ns);
            total.merge(&stored);
        }
        replace.raw_bind_parameter(1, &service)?;
        replace.raw_bind_parameter(2, &function)?;
        replace.raw_bind_parameter(3, since_ns)?;
        replace.raw_bind_parameter(4, ended_ns)?;
        total.write(&mut replace, 5)?;
        has_any = true;
    }
    if has_any {
        transaction.execute(
            "DELETE FROM past_total WHERE (service, function) IN (
               SELECT service, function FROM past_total ORDER BY until_ns, service, function
               LIMIT max(0, (SELECT count(*) FROM past_total) - ?1))",
            [PAST_MAX],
        )?;
    }
    for counter in COUNTERS {
        transaction.execute(
            &format!(
                "INSERT INTO past_report
                 SELECT ?2, ?3, {counter} FROM self_report WHERE process_id = ?1 AND {counter} > 0
                 ON CONFLICT (service, counter) DO UPDATE SET value = min(value + excluded.value, {})",
                i64::MAX
            ),
            params![process_id, service, counter],
        )?;
    }
    Ok(())
}
