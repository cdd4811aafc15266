//! Writes the calls of a batch, their captured values, the range of their ids, and the days on which they started.
//!
//! Takes calls with the process's own ids and absolute times; gives rows with the store's ids and small differences, all
//! within a transaction that the caller opens and commits. The ids of a batch's calls follow each other without gaps.
//!
//! Calls are inserted by statements of many rows, each prepared once a batch. That is 1.3 times as fast as a
//! prepared statement of one row that is kept for ever, because starting and ending a statement costs more than a
//! row. Nothing is copied except into SQLite's own bindings.

use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use super::calendar;
use super::id_cache::{IdCache, ThreadSegment};
use super::rows::{functions, signed};
use super::zones::ZonedCall;
use crate::batch::{Batch, CallRow, SharedRow};
use crate::record::Outcome;

/// Rows in one statement. A statement of 32 rows takes 30 µs to prepare. One of 128 rows inserts 4 % faster but takes
/// 100 µs to prepare.
const CHUNK: usize = 32;

/// A row of `call_range` is closed after this time or this many calls, whichever comes first.
const RANGE_NS: i64 = 10_000_000_000;
const RANGE_CALLS: i64 = 20_000;
/// The number of further batches of the same size for which a range of ids is extended in advance: the five batches
/// that come within [`RANGE_NS`], one every two seconds, and a reserve of three.
const BATCHES_AHEAD: i64 = 8;

/// Bytes of a call's row without its captured values, for the count of bytes written.
const CALL_BYTES: u64 = 32;

/// The result of writing a batch's calls.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CallsWritten {
    /// Id of the first call. The others follow in order.
    pub(crate) first_id: i64,
    /// Number of the calls.
    count: i64,
    /// Bytes of the calls' content.
    pub(crate) bytes: u64,
}

impl CallsWritten {
    /// Returns the id of the last call, 0 if there was none.
    pub(crate) fn last_id(&self) -> i64 {
        self.first_id + self.count - i64::from(self.count > 0)
    }
}

/// Writes the calls of a batch and notes the range of their ids.
pub(crate) fn write(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
    batch: &Batch,
) -> rusqlite::Result<CallsWritten> {
    let Some(first) = batch.calls.first() else { return Ok(CallsWritten::default()) };
    let first_id = next_call_id(transaction)?;
    let last_id = first_id + i64::try_from(batch.calls.len()).unwrap_or(i64::MAX) - 1;
    let starts = batch.calls.iter().map(|call| call.start_ns);
    let (min, max) =
        starts.fold((first.start_ns, first.start_ns), |(min, max), at| (min.min(at), max.max(at)));
    let ahead = if batch.is_one_of_many { BATCHES_AHEAD * (last_id - first_id + 1) } else { 0 };
    let range = range(transaction, (first_id, last_id), (min, max), batch.at_ns, ahead)?;
    ids.zones.enter(transaction, range)?;
    let mut writer = CallWriter { transaction, ids, process_id, last_id, segment: None };
    // Only the first row names its id. The others get the following ids, because they are appended.
    let (head, tail) = batch.calls.split_at(1);
    writer.write(&mut Insert::prepare(transaction, 1, &first_id.to_string())?, head)?;
    let (chunks, rest) = tail.as_chunks::<CHUNK>();
    if !chunks.is_empty() {
        let mut insert = Insert::prepare(transaction, CHUNK, "NULL")?;
        for chunk in chunks {
            writer.write(&mut insert, chunk)?;
        }
    }
    if !rest.is_empty() {
        let mut insert = Insert::prepare(transaction, 1, "NULL")?;
        for call in rest {
            writer.write(&mut insert, std::slice::from_ref(call))?;
        }
    }
    shared_rows(transaction, &batch.calls, first_id)?;
    writer.causes(&batch.calls, first_id)?;
    ids.spans.end_batch();
    let bytes = values(transaction, &batch.calls, first_id)?;
    days(transaction, ids, &batch.calls)?;
    Ok(CallsWritten {
        first_id,
        count: last_id - first_id + 1,
        bytes: bytes + CALL_BYTES * batch.calls.len() as u64,
    })
}

/// Returns the id of the next call. Ids rise for ever, because the newest range stays even when its calls are gone.
/// While there are calls in the newest range, the id follows the last of them and not the end of the range, because the
/// range may be extended in advance.
fn next_call_id(transaction: &Connection) -> rusqlite::Result<i64> {
    let last =
        "WITH newest AS (SELECT first_call, last_call FROM call_range ORDER BY first_call DESC LIMIT 1),
                     id AS (SELECT max(coalesce((SELECT max(id) FROM call), 0),
                                       coalesce((SELECT max(id) FROM call_value), 0)) AS last)
                SELECT CASE WHEN last >= coalesce((SELECT first_call FROM newest), 0) THEN last
                       ELSE (SELECT last_call FROM newest) END + 1 FROM id";
    transaction.query_row(last, [], |row| row.get(0))
}

/// Columns of `call` without the id.
const COLUMNS: usize = 10;

/// A row of `call` without the id. `busy` is -1 for NULL, and the weight holds the bits of a float.
type Cells = [i64; COLUMNS];
const BUSY: usize = 4;
const WEIGHT: usize = 9;

/// A statement of several rows, and the cells that are bound to it. Most cells of a row equal those of the row at the
/// same position in the statement's last run (function, thread, outcome, weight). Not binding them again saves 7 % of
/// the instructions that a row costs from its ring to the file.
struct Insert<'a> {
    statement: Statement<'a>,
    bound: Vec<Option<Cells>>,
}

impl<'a> Insert<'a> {
    /// Prepares a statement of this many rows, all with this id. The id `NULL` stands for the id after the largest:
    /// SQLite then appends without searching for the place of each row, which saves a sixth of the whole insert.
    fn prepare(transaction: &'a Connection, rows: usize, id: &str) -> rusqlite::Result<Self> {
        let row = format!("({id}{})", ",?".repeat(COLUMNS));
        let sql = format!("INSERT INTO call VALUES {}", vec![row; rows].join(","));
        Ok(Self { statement: transaction.prepare(&sql)?, bound: vec![None; rows] })
    }

    /// Binds those cells of a row that differ from the bound ones.
    fn bind(&mut self, row: usize, cells: Cells) -> rusqlite::Result<()> {
        let bound = self.bound[row].replace(cells);
        for (column, cell) in cells.into_iter().enumerate() {
            if bound.is_some_and(|bound| bound[column] == cell) {
                continue;
            }
            let index = row * COLUMNS + column + 1;
            match column {
                BUSY if cell < 0 => self.statement.raw_bind_parameter(index, None::<i64>)?,
                WEIGHT => self.statement.raw_bind_parameter(index, f64::from_bits(cell.cast_unsigned()))?,
                _ => self.statement.raw_bind_parameter(index, cell)?,
            }
        }
        Ok(())
    }
}

struct CallWriter<'a> {
    transaction: &'a Connection,
    ids: &'a mut IdCache,
    process_id: i64,
    /// Id of the batch's last call.
    last_id: i64,
    /// The last thread and its segment, because calls come thread by thread.
    segment: Option<(u32, ThreadSegment)>,
}

/// The number of the outcome `exit` in the store. It is negative, because positive numbers stand for failures.
const EXIT_OUTCOME: i64 = -1;

impl CallWriter<'_> {
    /// Writes the calls. Their number is the statement's number of rows.
    fn write(&mut self, insert: &mut Insert<'_>, calls: &[CallRow]) -> rusqlite::Result<()> {
        for (at, call) in calls.iter().enumerate() {
            let function_id = self.function_id(call.function)?;
            let segment = self.segment_for(call)?;
            let span = self.span(call.span_id)?;
            let parent = if call.parent_id == 0 { 0 } else { span.wrapping_sub(self.span(call.parent_id)?) };
            let trace = span.wrapping_sub(parent).wrapping_sub(self.span(call.trace_id)?);
            let busy = if call.busy_ns == call.duration_ns { -1 } else { signed(call.busy_ns) };
            let outcome = if call.outcome == Outcome::Exit { EXIT_OUTCOME } else { call.outcome as i64 };
            let kind = outcome * 4 + call.kept as i64;
            let start = call.start_ns.wrapping_sub(segment.base_ns);
            self.ids.zones.note(ZonedCall {
                function_id,
                duration: signed(call.duration_ns),
                span,
                trace: span.wrapping_sub(parent).wrapping_sub(trace),
                failed: kind > 3,
            });
            let weight = if call.weight.is_finite() { call.weight } else { 1.0 };
            let row = [
                function_id,
                segment.id,
                start,
                signed(call.duration_ns),
                busy,
                span,
                parent,
                trace,
                kind,
                weight.to_bits().cast_signed(),
            ];
            insert.bind(at, row)?;
        }
        insert.statement.raw_execute()?;
        Ok(())
    }

    /// Writes the causes of failures.
    fn causes(&mut self, calls: &[CallRow], first_id: i64) -> rusqlite::Result<()> {
        if calls.iter().all(|call| call.cause.is_none()) {
            return Ok(());
        }
        let mut insert = self.transaction.prepare("INSERT INTO call_cause VALUES (?1, ?2)")?;
        for (call, id) in calls.iter().zip(first_id..) {
            let Some(cause) = &call.cause else { continue };
            let below = self.span(cause.caused_by)?;
            insert.execute([id, below.wrapping_sub(self.span(call.span_id)?)])?;
        }
        Ok(())
    }

    /// Returns the store's id of a span.
    fn span(&mut self, span: u64) -> rusqlite::Result<i64> {
        self.ids.spans.map(self.transaction, self.process_id, span, self.last_id)
    }

    /// Returns the store's id of a function, which is written first if the store does not have it.
    fn function_id(&mut self, function: u32) -> rusqlite::Result<i64> {
        if let Some(id) = self.ids.function_id(function) {
            return Ok(id);
        }
        // The collector has not reported this function, so it gets a row with a default name.
        self.ids.function(function)?;
        functions(self.transaction, self.ids, self.process_id)?;
        Ok(self.ids.function_id(function).unwrap_or_default())
    }

    /// Returns a segment of the call's thread that reaches the call, and begins one if there is none.
    fn segment_for(&mut self, call: &CallRow) -> rusqlite::Result<ThreadSegment> {
        let last = self.segment;
        if let Some((_, segment)) =
            last.filter(|(thread, segment)| *thread == call.thread && segment.reaches(call))
        {
            return Ok(segment);
        }
        let segment = match self.ids.segment_for(call, self.last_id) {
            Some(segment) => segment,
            None => self.begin_segment(call)?,
        };
        self.segment = Some((call.thread, segment));
        Ok(segment)
    }

    fn begin_segment(&mut self, call: &CallRow) -> rusqlite::Result<ThreadSegment> {
        let thread = self.ids.thread(call)?;
        let mut insert =
            self.transaction.prepare("INSERT INTO thread VALUES (NULL, ?1, ?2, ?3) RETURNING id")?;
        let id = insert.query_row(params![self.process_id, thread.name, call.start_ns], |row| row.get(0))?;
        let segment = ThreadSegment { id, base_ns: call.start_ns, last_call: self.last_id };
        self.ids.set_segment(call.thread, segment);
        Ok(segment)
    }
}

/// Writes the captured values of the calls that have any. Returns the bytes of the values.
fn values(transaction: &Connection, calls: &[CallRow], first_id: i64) -> rusqlite::Result<u64> {
    let has_any = |call: &CallRow| {
        call.args.is_some() || call.result.is_some() || call.error.is_some() || call.fields.is_some()
    };
    if !calls.iter().any(has_any) {
        return Ok(0);
    }
    let mut insert = transaction.prepare("INSERT INTO call_value VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut bytes = 0;
    for (call, id) in calls.iter().zip(first_id..).filter(|(call, _)| has_any(call)) {
        insert.execute(params![id, call.args, call.result, call.error, call.fields])?;
        bytes += call.value_bytes() as u64;
    }
    Ok(bytes)
}

/// Writes the sums of calls that share a row.
fn shared_rows(transaction: &Connection, calls: &[CallRow], first_id: i64) -> rusqlite::Result<()> {
    if calls.iter().all(|call| call.shared.is_none()) {
        return Ok(());
    }
    let mut insert = transaction.prepare("INSERT INTO call_fold VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (call, id) in calls.iter().zip(first_id..) {
        let Some(SharedRow { calls, total_ns, max_ns, last_ns }) = call.shared else { continue };
        insert.execute([id, signed(calls), signed(total_ns), signed(max_ns), last_ns])?;
    }
    Ok(())
}

/// Extends the newest range of call ids, or begins a range. Returns the range's first id. If `ahead` is not 0, the
/// range also covers that many further ids and the time until its period of [`RANGE_NS`] ends, so that the calls of
/// later batches need no change of the row. The next range begins where the calls of this one end.
fn range(
    transaction: &Connection,
    (first, last): (i64, i64),
    (min_start, max_start): (i64, i64),
    at_ns: i64,
    ahead: i64,
) -> rusqlite::Result<i64> {
    if ahead > 0 {
        let covering = "SELECT first_call FROM call_range
              WHERE first_call = (SELECT max(first_call) FROM call_range) AND failed_only = 0 AND last_call >= ?1
                AND min_start_ns <= ?2 AND max_start_ns >= ?3 AND at_ns >= ?4 AND at_ns / ?5 = ?4 / ?5";
        let known = params![last, min_start, max_start, at_ns, RANGE_NS];
        if let Some(range) = transaction.query_row(covering, known, |row| row.get(0)).optional()? {
            return Ok(range);
        }
    }
    let end_ns = at_ns - at_ns.rem_euclid(RANGE_NS) + RANGE_NS - 1;
    let (last, max_start, at_ns) =
        if ahead > 0 { (last + ahead, max_start.max(end_ns), end_ns) } else { (last, max_start, at_ns) };
    let extended: Option<i64> = transaction
        .prepare(
            "UPDATE call_range SET last_call = ?1, min_start_ns = min(min_start_ns, ?2),
           max_start_ns = max(max_start_ns, ?3), at_ns = max(at_ns, ?4)
         WHERE first_call = (SELECT max(first_call) FROM call_range) AND first_call <= last_call
           AND failed_only = 0 AND last_call - first_call < ?5 AND at_ns / ?6 = ?4 / ?6
         RETURNING first_call",
        )?
        .query_row(params![last, min_start, max_start, at_ns, RANGE_CALLS, RANGE_NS], |row| row.get(0))
        .optional()?;
    if let Some(range) = extended {
        return Ok(range);
    }
    transaction
        .prepare(
            "UPDATE call_range SET last_call = ?1 - 1
              WHERE first_call = (SELECT max(first_call) FROM call_range) AND first_call < ?1 AND last_call >= ?1",
        )?
        .execute([first])?;
    // This replaces the empty range that retention leaves, from which the next id follows.
    transaction
        .prepare("INSERT OR REPLACE INTO call_range VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)")?
        .execute([first, last, min_start, max_start, at_ns])?;
    Ok(first)
}

/// Enters the days on which calls started into the calendar, unless they are known to be there.
fn days(transaction: &Connection, ids: &mut IdCache, calls: &[CallRow]) -> rusqlite::Result<()> {
    for call in calls {
        let day = calendar::day(call.start_ns);
        if ids.is_new_day(day) {
            transaction
                .prepare("INSERT OR IGNORE INTO calendar VALUES (?1, ?2)")?
                .execute(params![day, calendar::date(day)])?;
        }
    }
    Ok(())
}
