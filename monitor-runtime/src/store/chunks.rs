//! Chunks of windows: the windows of a function within five minutes in one row, behind their sum.
//!
//! Takes the shown windows of `latency_window`; gives rows of `latency_chunk`, so that a reader of long spans reads one
//! row where there were thirty. Chunks only repeat windows: a window that is written late takes its chunk from
//! `latency_chunked`, and the chunk is built anew. Several processes may build the same chunk. How far it is built stands
//! in the store, because a late window of another process ends that.

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::error::no_memory;
use super::schema::WINDOW_NS;
use super::window_stats::{COLUMNS, WindowStats};
use crate::batch::CallStats;
use crate::growth::MakeRoom as _;
use crate::histogram::{pull, push};

/// The windows of a chunk: five minutes.
pub const WINDOWS: i64 = 30;
/// The bits of a row's id below the chunk: the id of the function. Rows of a table without such ids would be an index, whose
/// pages hold long rows badly.
pub const FUNCTION_BITS: u32 = 32;
/// The time after the end of a chunk before it is built. Windows are written within some seconds of their end.
const DELAY_NS: i64 = 60 * 1_000_000_000;
/// The functions whose windows are read in one transaction, which takes some milliseconds.
const STEP_FUNCTIONS: i64 = 200;
/// The numbers with which each entry begins: position, calls, roots, total, total − maximum, and the length of the
/// histogram with two flags below it.
const NUMBERS: usize = 6;
/// The numbers that follow in an entry with [`HAS_RARE`]: errors, panics, cancelled, total − self, total − busy, nested, and
/// the time of cancelled calls. They are all 0 if no call failed, called another function, or was async.
const RARE: usize = 7;
/// The flags of the length.
const IS_ESTIMATED: u64 = 1;
const HAS_RARE: u64 = 2;
const FLAG_BITS: u32 = 2;

/// An entry of a chunk: a window, or the sum of all its windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The position of the window within the chunk; 0 for the sum.
    pub position: i64,
    /// The figures. `recorded`, `sampled_out` and `dropped` are 0, as in windows.
    pub stats: CallStats,
    /// The bytes of the histogram, as [`crate::histogram::Histogram::from_bytes`] takes them.
    pub histogram: &'a [u8],
}

/// Returns the entries in the bytes of a chunk: the sum, then the windows in the order of time. The entries end at the first
/// bytes that this module cannot have written, because a store may have been tampered with.
pub fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let [position, calls, roots, total_ns, less_max, flags] = pull_all::<NUMBERS>(&mut bytes)?;
        let rare = if flags & HAS_RARE == 0 { [0; RARE] } else { pull_all(&mut bytes)? };
        let [errors, panics, cancelled, less_self, less_busy, nested_ns, cancelled_ns] = rare;
        let length = usize::try_from(flags >> FLAG_BITS).ok()?;
        let (histogram, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let position = i64::try_from(position).ok().filter(|position| *position < WINDOWS)?;
        let [self_ns, busy_ns, max_ns] =
            [less_self, less_busy, less_max].map(|less| total_ns.wrapping_sub(from_zigzag(less)));
        let stats = CallStats {
            calls,
            errors,
            panics,
            cancelled,
            roots,
            total_ns,
            self_ns,
            busy_ns,
            nested_ns,
            cancelled_ns,
            max_ns,
            is_estimated: flags & IS_ESTIMATED != 0,
            ..CallStats::default()
        };
        Some(Entry { position, stats, histogram })
    })
}

fn pull_all<const N: usize>(bytes: &mut &[u8]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = pull(bytes)?;
    }
    Some(numbers)
}

/// Appends an entry. Returns `None` if there is no memory for it.
fn append(bytes: &mut Vec<u8>, position: i64, window: &WindowStats) -> Option<()> {
    let CallStats { calls, errors, panics, cancelled, roots, total_ns, .. } = window.stats;
    let CallStats { self_ns, busy_ns, nested_ns, cancelled_ns, max_ns, .. } = window.stats;
    let histogram = window.histogram.to_bytes();
    // A number takes up to ten bytes.
    if !bytes.make_room((NUMBERS + RARE) * 10 + histogram.len()) {
        return None;
    }
    let [less_self, less_busy, less_max] =
        [self_ns, busy_ns, max_ns].map(|ns| to_zigzag(total_ns.wrapping_sub(ns)));
    let rare = [errors, panics, cancelled, less_self, less_busy, nested_ns, cancelled_ns];
    let has_rare = rare.iter().any(|number| *number > 0);
    let flags = if has_rare { HAS_RARE } else { 0 } | u64::from(window.stats.is_estimated);
    let length = (histogram.len() as u64) << FLAG_BITS | flags;
    let common = [position.unsigned_abs(), calls, roots, total_ns, less_max, length];
    let rare = if has_rare { rare.as_slice() } else { &[] };
    common.iter().chain(rare).for_each(|number| push(bytes, *number));
    bytes.extend_from_slice(&histogram);
    Some(())
}

/// Makes a difference a small number if it is near 0, whatever its sign: 0, −1, 1, −2 become 0, 1, 2, 3.
fn to_zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (difference.cast_signed() >> 63).cast_unsigned()
}

fn from_zigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Returns the chunk of a window.
#[must_use]
pub fn find(window: i64) -> i64 {
    window.div_euclid(WINDOWS)
}

/// Returns the lowest id that a row of the chunk can have.
fn first_row(chunk: i64) -> i64 {
    chunk.saturating_mul(1 << FUNCTION_BITS)
}

/// Returns the chunk and the function of the row with this id.
#[must_use]
pub fn split_id(id: i64) -> (i64, i64) {
    (id >> FUNCTION_BITS, id & ((1 << FUNCTION_BITS) - 1))
}

/// Notes that a window of this chunk was written, so that the chunk is built anew.
pub(super) fn mark_changed(connection: &Connection, chunk: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM latency_chunked WHERE chunk = ?1", [chunk])?;
    Ok(())
}

/// Deletes the chunks all of whose windows are before this one. Returns the rows that were deleted.
pub(super) fn delete_before(connection: &Connection, window: i64) -> rusqlite::Result<usize> {
    let chunk = find(window);
    connection.execute("DELETE FROM latency_chunked WHERE chunk < ?1", [chunk])?;
    connection.execute("DELETE FROM latency_chunk WHERE id < ?1", [first_row(chunk)])
}

/// Builds a part of the newest chunk that is over and not built yet. Returns true if there is more to build.
pub(super) fn build(transaction: Transaction<'_>, now_ns: i64) -> rusqlite::Result<bool> {
    let end = find(now_ns.saturating_sub(DELAY_NS).div_euclid(WINDOW_NS));
    let Some((chunk, upto)) = find_due(&transaction, end)? else { return Ok(false) };
    let upto = build_functions(&transaction, chunk, upto)?;
    transaction.execute("INSERT OR REPLACE INTO latency_chunked VALUES (?1, ?2)", (chunk, upto))?;
    transaction.commit()?;
    Ok(true)
}

/// Builds a chunk for the functions with the next ids, and returns the last of them; `None` if no more follow.
fn build_functions(connection: &Connection, chunk: i64, upto: i64) -> rusqlite::Result<Option<i64>> {
    let mut functions = connection.prepare("SELECT id FROM function WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut select = connection.prepare(&format!(
        "WITH RECURSIVE n(at) AS (SELECT ?1 UNION ALL SELECT at + 1 FROM n WHERE at < ?1 + {WINDOWS} - 1)
         SELECT w.window - ?1, {COLUMNS} FROM n CROSS JOIN latency_window w
         WHERE w.window = n.at AND w.function_id = ?2 AND w.shown = 1"
    ))?;
    let mut insert = connection.prepare("INSERT OR REPLACE INTO latency_chunk VALUES (?1, ?2)")?;
    let (mut last, mut number) = (None, 0);
    let mut found = functions.query([upto, STEP_FUNCTIONS])?;
    while let Some(row) = found.next()? {
        let function: i64 = row.get(0)?;
        if let Some(bytes) = encode(&mut select.query([chunk * WINDOWS, function])?)? {
            insert.execute((first_row(chunk).saturating_add(function), bytes))?;
        }
        last = Some(function);
        number += 1;
    }
    Ok(last.filter(|_| number == STEP_FUNCTIONS))
}

/// Returns the newest chunk before `end` that has windows and is not complete, and the function up to which it is built.
fn find_due(connection: &Connection, end: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    // The statement jumps from chunk to chunk by the key of the windows, however far apart clocks have set them.
    let sql = format!(
        "WITH RECURSIVE c(chunk) AS (
           SELECT MAX(window) / {WINDOWS} FROM latency_window WHERE window >= 0 AND window < ?1 * {WINDOWS}
           UNION ALL
           SELECT (SELECT MAX(window) / {WINDOWS} FROM latency_window WHERE window >= 0 AND window < c.chunk * {WINDOWS})
           FROM c WHERE c.chunk IS NOT NULL)
         SELECT c.chunk, COALESCE(d.functions_upto, 0) FROM c LEFT JOIN latency_chunked d ON d.chunk = c.chunk
         WHERE c.chunk IS NOT NULL AND (d.chunk IS NULL OR d.functions_upto IS NOT NULL) LIMIT 1"
    );
    connection.query_row(&sql, [end], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Encodes the windows of a function in a chunk. Returns `None` if there are none.
fn encode(rows: &mut rusqlite::Rows<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    let (mut sum, mut windows) = (WindowStats::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let window = WindowStats::read(row)?;
        sum.merge(&window);
        append(&mut windows, row.get(0)?, &window).ok_or_else(no_memory)?;
    }
    if windows.is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    append(&mut bytes, 0, &sum).ok_or_else(no_memory)?;
    if !bytes.make_room(windows.len()) {
        return Err(no_memory());
    }
    bytes.extend_from_slice(&windows);
    Ok(Some(bytes))
}
