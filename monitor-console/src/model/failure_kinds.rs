//! The kinds of failure within a span, each with its number and its course.
//!
//! Takes a store and a span; gives structs, the most frequent first. A kind that began within a span which lasts until now has
//! its exact count; another one is counted by its rows, which is a lower bound if rows are missing.

use std::collections::HashMap;

use anyhow::Result;

use super::failures::message_kind;
use super::period::Period;
use super::rows;
use crate::report::{self, Cell};
use crate::store::Store;

/// The most kinds that are read, those seen last.
const KINDS_MAX: i64 = 500;
/// The most rows of failed calls that are counted.
const ROWS_MAX: i64 = 100_000;

/// A kind of failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kind {
    /// The function in which it was seen.
    pub(crate) function: String,
    /// The outcome: `error`, `panic` or `cancelled`.
    pub(crate) outcome: String,
    /// The message, with numbers as `#`.
    pub(crate) message: String,
    /// The failures within the span.
    pub(crate) count: u64,
    /// True if the count is a lower bound.
    pub(crate) is_lower_bound: bool,
    /// The failures in each part of the span, by their rows.
    pub(crate) parts: Vec<f64>,
    /// The first and the last failure of the kind, also outside of the span.
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    /// The id of a call with this kind of failure.
    pub(crate) example: Option<i64>,
    /// The way of the latest failure from the outermost call that failed to its origin.
    pub(crate) path: Option<String>,
    /// False if no failure of the kind began in the function, because all of them were passed on.
    pub(crate) is_origin: bool,
}

/// Reads the kinds of failure of a span, with their course in this many parts. Kinds that were only passed on come last.
pub(crate) fn read(store: &Store, period: Period, parts: usize, now_ns: i64) -> Result<Vec<Kind>> {
    let (mut kinds, is_partial) = (read_kinds(store, period)?, lacks_rows(store, period)?);
    let (counts, is_cut) = count_rows(store, period, parts)?;
    let lasts_until_now = period.until_ns >= now_ns;
    for kind in &mut kinds {
        let key = [&kind.function, &kind.outcome, &kind.message].map(String::clone);
        kind.parts = counts.get(&key).cloned().unwrap_or_else(|| vec![0.0; parts]);
        if !(lasts_until_now && kind.first_ns >= period.from_ns) {
            let whole = kind.count;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
            let rows = kind.parts.iter().sum::<f64>() as u64;
            kind.count = rows.min(whole);
            kind.is_lower_bound = is_partial || is_cut;
        }
    }
    kinds.retain(|kind| kind.count > 0);
    kinds.sort_by_key(|kind| (!kind.is_origin, std::cmp::Reverse((kind.count, kind.last_ns))));
    Ok(kinds)
}

fn read_kinds(store: &Store, period: Period) -> Result<Vec<Kind>> {
    let (origins, path) = if store.has_span_blocks()? { ("origin_count", "path") } else { ("count", "NULL") };
    let sql = format!(
        "SELECT function, outcome, message, count, first_ns, last_ns, example_call_id, {origins}, {path} FROM error_groups
         WHERE last_ns >= ?1 AND first_ns <= ?2 ORDER BY last_ns DESC LIMIT ?3"
    );
    let mut kinds = Vec::new();
    store.read_rows(&sql, (period.from_ns, period.until_ns, KINDS_MAX), |row| {
        let cells = report::read_cells(row, 9)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let number = |at: usize| cells[at].to_integer().unwrap_or(0);
        kinds.push(Kind {
            function: text(0),
            outcome: text(1),
            message: text(2),
            count: number(3).max(0).cast_unsigned(),
            first_ns: number(4),
            last_ns: number(5),
            example: cells[6].to_integer(),
            is_origin: number(7) > 0,
            path: cells[8].as_text().map(str::to_owned),
            ..Kind::default()
        });
        Ok(())
    })?;
    Ok(kinds)
}

/// The failures in each part of a span by function, outcome and kind of message.
type Counts = HashMap<[String; 3], Vec<f64>>;

/// Counts the rows of failed calls by function, outcome and kind of message, in parts of the span. Returns true beside the counts
/// if older rows were not counted.
fn count_rows(store: &Store, period: Period, parts: usize) -> Result<(Counts, bool)> {
    let (first, last) = rows::find_ids(store, period)?;
    let sql = "SELECT function, outcome, error, start_ns FROM errors
               WHERE call_id BETWEEN ?1 AND ?2 AND start_ns BETWEEN ?3 AND ?4 ORDER BY call_id DESC LIMIT ?5";
    let mut by_text: Counts = HashMap::new();
    let mut rows = 0;
    let span = i128::from(period.until_ns) - i128::from(period.from_ns) + 1;
    store.read_rows(sql, (first, last, period.from_ns, period.until_ns, ROWS_MAX), |row| {
        let cells = report::read_cells(row, 4)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let outcome = text(1);
        let error = cells[2].as_text().map_or_else(|| outcome.clone(), str::to_owned);
        let since = i128::from(Cell::to_integer(&cells[3]).unwrap_or(0)) - i128::from(period.from_ns);
        let part = usize::try_from(since * parts as i128 / span).unwrap_or(0).min(parts.saturating_sub(1));
        let counts = by_text.entry([text(0), outcome, error]).or_insert_with(|| vec![0.0; parts]);
        counts[part] += 1.0;
        rows += 1;
        Ok(())
    })?;
    let mut by_kind: Counts = HashMap::new();
    for ([function, outcome, error], counts) in by_text {
        let message = message_kind(&outcome, Some(&error));
        let sums = by_kind.entry([function, outcome, message]).or_insert_with(|| vec![0.0; parts]);
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    Ok((by_kind, rows >= ROWS_MAX))
}

/// Returns true if failures within the span may lack a row.
fn lacks_rows(store: &Store, period: Period) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM folded) OR COALESCE(MIN(min_start_ns) > ?1, TRUE) FROM call_range";
    Ok(store.read_integer(sql, [period.from_ns])? != Some(0))
}
