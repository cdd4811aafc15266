//! A batch into tables, within a transaction that someone else opened and will commit: ids of the
//! process become ids of the store, absolute figures become small differences.
//!
//! Calls go in by statements of many rows, each prepared once a batch: 1.3 times the speed of a
//! prepared statement of one row kept for ever, because a statement's start and end cost more than a
//! row. Nothing is copied but into SQLite's own bindings.

use super::id_cache::{Known, Lane};
use super::schema::SLICE_NS;
use crate::batch::{
    Batch, CallRow, EventRow, Figured, Figures, HEALTH_COLUMNS, HealthRow, HealthValue, RateRow,
    ResourcesRow, SliceRow,
};
use rusqlite::types::Null;
use rusqlite::{Connection, Statement, params};

/// Rows in one statement: 32 need 30 µs to prepare; 128 are 4 % faster and need 100 µs.
const CHUNK: usize = 32;

/// A row of `call_range` is closed after this long or this many calls, whichever comes first.
const RANGE_NS: i64 = 10_000_000_000;
const RANGE_CALLS: i64 = 20_000;

/// Bytes of a call's row without its values, for the count of bytes written.
pub(crate) const CALL_BYTES: u64 = 32;

/// Unsigned to SQLite's signed integers: what does not fit stays at the largest.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes the functions that the open file lacks.
pub(crate) fn functions(
    transaction: &Connection,
    known: &mut Known,
    process_id: i64,
) -> rusqlite::Result<()> {
    let missing = known.take_missing();
    if missing.is_empty() {
        return Ok(());
    }
    let mut upsert = transaction.prepare(
        "INSERT INTO function (name, file, line, group_name, sample_rate) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name, file, line)
         DO UPDATE SET group_name = excluded.group_name, sample_rate = excluded.sample_rate
         RETURNING id",
    )?;
    let mut link = transaction.prepare("INSERT OR IGNORE INTO process_function VALUES (?1, ?2)")?;
    for id in missing {
        let row = known.function(id);
        let stored: i64 = upsert
            .query_row(params![row.name, row.file, row.line, row.group, finite(row.sample_rate)], |row| {
                row.get(0)
            })?;
        link.execute([process_id, stored])?;
        known.set_function_id(id, stored);
    }
    Ok(())
}

/// What was written of a batch's calls.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CallsWritten {
    /// Id of the first; the others follow in order.
    pub(crate) first_id: i64,
    /// Bytes of their content.
    pub(crate) bytes: u64,
}

/// Writes the calls and notes their range of ids.
pub(crate) fn calls(
    transaction: &Connection,
    known: &mut Known,
    process_id: i64,
    batch: &Batch,
) -> rusqlite::Result<CallsWritten> {
    let Some(first) = batch.calls.first() else { return Ok(CallsWritten::default()) };
    let first_id = next_call_id(transaction)?;
    let last_id = first_id + i64::try_from(batch.calls.len()).unwrap_or(i64::MAX) - 1;
    let mut writer = CallWriter { transaction, known, process_id, last_id, lane: None };
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
    let bytes = values(transaction, &batch.calls, first_id)?;
    days(transaction, known, &batch.calls)?;
    let starts = batch.calls.iter().map(|call| call.start_ns);
    let (min, max) =
        starts.fold((first.start_ns, first.start_ns), |(min, max), at| (min.min(at), max.max(at)));
    range(transaction, (first_id, last_id), (min, max), batch.at_ns)?;
    Ok(CallsWritten { first_id, bytes: bytes + CALL_BYTES * batch.calls.len() as u64 })
}

/// Ids rise for ever: the newest range stays even when its calls are gone. A row that is not ours may
/// have a larger one.
fn next_call_id(transaction: &Connection) -> rusqlite::Result<i64> {
    let last = "SELECT max(coalesce((SELECT last_call FROM call_range ORDER BY first_call DESC LIMIT 1), 0),
                           coalesce((SELECT max(id) FROM call), 0)) + 1";
    transaction.query_row(last, [], |row| row.get(0))
}

/// Columns of `call` but the id.
const COLUMNS: usize = 10;

/// A row of `call` but for its id, as bits: `busy` is -1 where it is NULL, the weight that of a float.
type Cells = [i64; COLUMNS];
const BUSY: usize = 4;
const WEIGHT: usize = 9;

/// A statement of some rows, and what is bound to it. Most cells of a row are those of the row in the same
/// place of the statement's last run (function, thread, outcome, weight): not binding them again saves 7 %
/// of the instructions that a row costs from its ring to the file.
struct Insert<'a> {
    statement: Statement<'a>,
    bound: Vec<Option<Cells>>,
}

impl<'a> Insert<'a> {
    /// A statement of so many rows with this id. `NULL` is the id after the largest: SQLite then appends
    /// without looking for the place of each row, which saves a sixth of the whole insert.
    fn prepare(transaction: &'a Connection, rows: usize, id: &str) -> rusqlite::Result<Self> {
        let row = format!("({id}{})", ",?".repeat(COLUMNS));
        let sql = format!("INSERT INTO call VALUES {}", vec![row; rows].join(","));
        Ok(Self { statement: transaction.prepare(&sql)?, bound: vec![None; rows] })
    }

    /// Binds a row, as far as it is not bound.
    fn bind(&mut self, row: usize, cells: Cells) -> rusqlite::Result<()> {
        let bound = self.bound[row].replace(cells);
        for (column, cell) in cells.into_iter().enumerate() {
            if bound.is_some_and(|bound| bound[column] == cell) {
                continue;
            }
            let place = row * COLUMNS + column + 1;
            match column {
                BUSY if cell < 0 => self.statement.raw_bind_parameter(place, None::<i64>)?,
                WEIGHT => self.statement.raw_bind_parameter(place, f64::from_bits(cell.cast_unsigned()))?,
                _ => self.statement.raw_bind_parameter(place, cell)?,
            }
        }
        Ok(())
    }
}

struct CallWriter<'a> {
    transaction: &'a Connection,
    known: &'a mut Known,
    process_id: i64,
    /// Id of the batch's last call.
    last_id: i64,
    /// The thread met last and its lane: calls come thread by thread.
    lane: Option<(u32, Lane)>,
}

impl CallWriter<'_> {
    /// Writes as many calls as the statement has rows.
    fn write(&mut self, insert: &mut Insert<'_>, calls: &[CallRow]) -> rusqlite::Result<()> {
        for (at, call) in calls.iter().enumerate() {
            let function_id = self.function_id(call.function)?;
            let lane = self.lane(call)?;
            let span = signed(call.span_id);
            let parent = if call.parent_id == 0 { 0 } else { span.wrapping_sub(signed(call.parent_id)) };
            let trace = span.wrapping_sub(parent).wrapping_sub(signed(call.trace_id));
            let busy = if call.busy_ns == call.duration_ns { -1 } else { signed(call.busy_ns) };
            let kind = (call.outcome as i64) * 4 + call.kept as i64;
            let start = call.start_ns.wrapping_sub(lane.base_ns);
            let weight = if call.weight.is_finite() { call.weight } else { 1.0 };
            let row = [
                function_id,
                lane.id,
                start,
                signed(call.duration_ns),
                busy,
                span.wrapping_sub(lane.span_base),
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

    fn function_id(&mut self, function: u32) -> rusqlite::Result<i64> {
        if let Some(id) = self.known.function_id(function) {
            return Ok(id);
        }
        // A call of a function that was never given: it gets a made-up row.
        self.known.function(function);
        functions(self.transaction, self.known, self.process_id)?;
        Ok(self.known.function_id(function).unwrap_or_default())
    }

    fn lane(&mut self, call: &CallRow) -> rusqlite::Result<Lane> {
        if let Some((_, lane)) =
            self.lane.filter(|(thread, lane)| *thread == call.thread && lane.reaches(call))
        {
            return Ok(lane);
        }
        let lane = match self.known.lane(call, self.last_id) {
            Some(lane) => lane,
            None => self.new_lane(call)?,
        };
        self.lane = Some((call.thread, lane));
        Ok(lane)
    }

    fn new_lane(&mut self, call: &CallRow) -> rusqlite::Result<Lane> {
        let thread = self.known.thread(call);
        let span_base = i64::from(thread.prefix) << 32;
        let mut insert =
            self.transaction.prepare("INSERT INTO thread VALUES (NULL, ?1, ?2, ?3, ?4) RETURNING id")?;
        let id = insert
            .query_row(params![self.process_id, thread.name, call.start_ns, span_base], |row| row.get(0))?;
        let lane = Lane { id, base_ns: call.start_ns, span_base, last_call: self.last_id };
        self.known.set_lane(call.thread, lane);
        Ok(lane)
    }
}

/// Writes the captured values of those calls that have any; returns their bytes.
fn values(transaction: &Connection, calls: &[CallRow], first_id: i64) -> rusqlite::Result<u64> {
    let texts = |call: &CallRow| {
        [&call.args, &call.result, &call.error, &call.fields]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>()
    };
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
        bytes += texts(call) as u64;
    }
    Ok(bytes)
}

/// Extends the newest range of call ids or begins one.
fn range(
    transaction: &Connection,
    (first, last): (i64, i64),
    (min_start, max_start): (i64, i64),
    at_ns: i64,
) -> rusqlite::Result<()> {
    let extended = transaction
        .prepare(
            "UPDATE call_range SET last_call = ?1, min_start_ns = min(min_start_ns, ?2),
           max_start_ns = max(max_start_ns, ?3), at_ns = max(at_ns, ?4)
         WHERE first_call = (SELECT max(first_call) FROM call_range) AND first_call <= last_call
           AND failed_only = 0 AND last_call - first_call < ?5 AND at_ns / ?6 = ?4 / ?6",
        )?
        .execute(params![last, min_start, max_start, at_ns, RANGE_CALLS, RANGE_NS])?;
    if extended == 0 {
        // Replaces the empty range that retention leaves to say which id comes next.
        transaction
            .prepare("INSERT OR REPLACE INTO call_range VALUES (?1, ?2, ?3, ?4, ?5, 0)")?
            .execute([first, last, min_start, max_start, at_ns])?;
    }
    Ok(())
}

/// Enters the days on which calls started, as far as they are not known to be entered.
fn days(transaction: &Connection, known: &mut Known, calls: &[CallRow]) -> rusqlite::Result<()> {
    for call in calls {
        let day = super::calendar::day(call.start_ns);
        if known.is_new_day(day) {
            transaction
                .prepare("INSERT OR IGNORE INTO calendar VALUES (?1, ?2)")?
                .execute(params![day, super::calendar::date(day)])?;
        }
    }
    Ok(())
}

/// What becomes of a slice that is there already, with its columns that are sums.
fn onto(figured: Figured, sums: &[&str]) -> String {
    if figured == Figured::All {
        return String::new();
    }
    // A sum that does not fit an integer would become a float, which the table refuses for ever.
    let sums = sums.iter().map(|name| format!("{name} = min({name} + excluded.{name}, {})", i64::MAX));
    // Fewer, where rows that were counted as recorded have been lost since.
    let recorded = format!(
        "recorded = max(min(recorded + (excluded.calls - excluded.sampled_out - excluded.dropped), {}), 0)",
        i64::MAX
    );
    let others = ["max_ns = max(max_ns, excluded.max_ns)", "estimated = max(estimated, excluded.estimated)"];
    let all: Vec<String> = sums.chain([recorded]).chain(others.map(str::to_owned)).collect();
    format!(" ON CONFLICT (slice, function_id, process_id) DO UPDATE SET {}", all.join(", "))
}

fn insert_or(figured: Figured) -> &'static str {
    if figured == Figured::All { "INSERT OR REPLACE" } else { "INSERT" }
}

/// Writes slices and the buckets that changed.
pub(crate) fn slices(
    transaction: &Connection,
    known: &Known,
    process_id: i64,
    rows: &[SliceRow],
) -> rusqlite::Result<()> {
    for figured in [Figured::All, Figured::More] {
        let mut rows = rows.iter().filter(|row| row.figured == figured).peekable();
        if rows.peek().is_some() {
            slices_figured(transaction, known, process_id, rows, figured)?;
        }
    }
    Ok(())
}

fn slices_figured<'a>(
    transaction: &Connection,
    known: &Known,
    process_id: i64,
    rows: impl Iterator<Item = &'a SliceRow>,
    figured: Figured,
) -> rusqlite::Result<()> {
    let sums = ["calls", "errors", "panics", "cancelled", "sampled_out", "dropped", "total_ns"];
    let mut replace = transaction.prepare(&format!(
        "{} INTO slice VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13){}",
        insert_or(figured),
        onto(figured, &sums)
    ))?;
    let added =
        " ON CONFLICT (function_id, bucket, slice, process_id) DO UPDATE SET count = count + excluded.count";
    let mut bucket = transaction.prepare(&format!(
        "{} INTO slice_bucket VALUES (?1, ?2, ?3, ?4, ?5){}",
        insert_or(figured),
        if figured == Figured::More { added } else { "" }
    ))?;
    for row in rows {
        let Some(function_id) = known.function_id(row.function) else { continue };
        let Figures {
            calls,
            errors,
            panics,
            cancelled,
            recorded,
            sampled_out,
            dropped,
            total_ns,
            max_ns,
            ..
        } = row.figures;
        let slice = row.start_ns.div_euclid(SLICE_NS);
        let [calls, errors, panics, cancelled, recorded, sampled_out, dropped, total, max] =
            [calls, errors, panics, cancelled, recorded, sampled_out, dropped, total_ns, max_ns].map(signed);
        replace.execute([
            slice,
            function_id,
            process_id,
            calls,
            errors,
            panics,
            cancelled,
            recorded,
            sampled_out,
            dropped,
            total,
            max,
            i64::from(row.figures.is_estimated),
        ])?;
        for (index, count) in &row.buckets {
            bucket.execute([slice, function_id, i64::from(*index), process_id, signed(*count)])?;
        }
    }
    Ok(())
}

/// Writes what the recorder went through.
pub(crate) fn events(transaction: &Connection, process_id: i64, rows: &[EventRow]) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare("INSERT INTO event VALUES (NULL, ?1, ?2, ?3, ?4)")?;
    for row in rows {
        insert.execute(params![row.at_ns, process_id, row.kind, row.detail])?;
    }
    Ok(())
}

/// Replaces the process's report of itself.
pub(crate) fn health(transaction: &Connection, process_id: i64, row: &HealthRow) -> rusqlite::Result<()> {
    let places = ", ?".repeat(HEALTH_COLUMNS.len());
    let mut insert =
        transaction.prepare(&format!("INSERT OR REPLACE INTO self_report VALUES (?{places})"))?;
    insert.raw_bind_parameter(1, process_id)?;
    for (at, column) in (2..).zip(&HEALTH_COLUMNS) {
        match column.value(row) {
            HealthValue::Missing => insert.raw_bind_parameter(at, Null)?,
            HealthValue::Integer(number) => insert.raw_bind_parameter(at, number)?,
            HealthValue::Real(number) if column.is_optional => insert.raw_bind_parameter(at, number)?,
            HealthValue::Real(number) => insert.raw_bind_parameter(at, finite(number))?,
            HealthValue::Text(text) => insert.raw_bind_parameter(at, text)?,
        }
    }
    insert.raw_execute()?;
    Ok(())
}

/// Replaces what is known of the sampling of functions.
pub(crate) fn rates(
    transaction: &Connection,
    known: &Known,
    process_id: i64,
    rows: &[RateRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut replace = transaction.prepare(
        "INSERT OR REPLACE INTO function_rate VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for row in rows {
        let Some(function_id) = known.function_id(row.function) else { continue };
        replace.execute(params![
            process_id,
            function_id,
            row.at_ns,
            finite(row.asked),
            finite(row.rate),
            row.fidelity,
            finite(row.calls_per_s),
            finite(row.rows_per_s),
            finite(row.ns_per_call),
            finite(row.cpu_pct),
            row.why,
        ])?;
    }
    Ok(())
}

/// Adds a sample of the process's use of the machine.
pub(crate) fn resources(
    transaction: &Connection,
    process_id: i64,
    row: &ResourcesRow,
) -> rusqlite::Result<()> {
    transaction.prepare("INSERT INTO resource VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        process_id,
        row.at_ns,
        finite(row.cpu_pct),
        signed(row.rss_bytes),
        row.threads,
        row.open_files
    ])?;
    Ok(())
}

/// SQLite stores NaN as NULL, which a NOT NULL column refuses.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
