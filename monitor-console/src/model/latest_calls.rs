//! The newest calls within a span, with the values that were captured.
//!
//! Takes a store, a span and the conditions on calls; gives structs, the newest first. The search looks at a bounded
//! number of rows and reports whether it stopped at the bound, so that a search for a rare function among ten million
//! rows does not make a view wait.

use anyhow::Result;
use rusqlite::types::Value;

use super::failures::message_kind;
use super::period::Period;
use super::ranges;
use super::rows;
use crate::pattern::Pattern;
use crate::report::{self, Cell};
use crate::store::Store;

/// The most rows that a search looks at.
const SCANNED_MAX: i64 = 300_000;
/// The most characters of a captured value: more than any screen shows.
const VALUE_CHARACTERS_MAX: i64 = 4_000;

/// A call with its values.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::struct_field_names, reason = "the number has the name of its column")]
pub(crate) struct Call {
    /// The id of the call.
    pub(crate) call_id: i64,
    /// The start, ns since the Unix epoch.
    pub(crate) start_ns: i64,
    /// The duration.
    pub(crate) duration_ns: i64,
    /// The function.
    pub(crate) function: String,
    /// The outcome: `ok`, `error`, `panic` or `cancelled`.
    pub(crate) outcome: String,
    /// True unless the outcome is `ok`.
    pub(crate) is_failed: bool,
    /// The calls that the row stands for.
    pub(crate) weight: f64,
    /// The arguments, a JSON object.
    pub(crate) args: Option<String>,
    /// The result.
    pub(crate) result: Option<String>,
    /// The error.
    pub(crate) error: Option<String>,
    /// Other values, a JSON object.
    pub(crate) fields: Option<String>,
    /// The thread.
    pub(crate) thread: String,
    /// The service of the call's process.
    pub(crate) service: String,
    /// The file and the line of the call's function.
    pub(crate) place: String,
}

/// The calls that a search wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Functions by a pattern; `None` for all.
    pub(crate) pattern: Option<Pattern>,
    /// The function with exactly this name.
    pub(crate) function: Option<String>,
    /// True for failed calls only.
    pub(crate) is_failed: bool,
    /// The shortest and the longest duration, in ns; `None` for all.
    pub(crate) durations_ns: Option<(i64, i64)>,
    /// The most calls.
    pub(crate) limit: usize,
}

/// The calls that a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FoundCalls {
    /// The calls, the newest first.
    pub(crate) calls: Vec<Call>,
    /// True if older rows of the span were not looked at, because there are too many.
    pub(crate) is_cut: bool,
}

const COLUMNS: &str = "call_id, start_ns, duration_ns, function, outcome, failed, weight,
  SUBSTR(args, 1, :characters), SUBSTR(result, 1, :characters), SUBSTR(error, 1, :characters),
  SUBSTR(fields, 1, :characters), thread, service, file, line";

/// Finds the newest calls of a span.
pub(crate) fn find(store: &Store, period: Period, wanted: &Wanted) -> Result<FoundCalls> {
    let (first, last) = rows::find_ids(store, period)?;
    let newest = ranges::find_newest_id(store)?;
    let last = last.min(newest);
    let bounded = first.max(last.saturating_sub(SCANNED_MAX));
    let mut conditions = vec![
        "c.id BETWEEN :first AND :last",
        "(SELECT base_ns FROM thread WHERE id = c.thread_id) + c.start BETWEEN :from AND :until",
    ];
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let mut bound: Vec<(&str, Value)> = vec![
        (":first", bounded.into()),
        (":last", last.into()),
        (":from", period.from_ns.into()),
        (":until", period.until_ns.into()),
        (":limit", limit.into()),
        (":characters", VALUE_CHARACTERS_MAX.into()),
    ];
    if wanted.is_failed {
        conditions.push("c.kind > 3");
    }
    if let Some((shortest, longest)) = wanted.durations_ns {
        conditions.push("c.duration BETWEEN :shortest AND :longest");
        bound.extend([(":shortest", shortest.into()), (":longest", longest.into())]);
    }
    if let Some(pattern) = &wanted.pattern {
        conditions
            .push("c.function_id IN (SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending)");
        let [whole, ending] = pattern.to_globs();
        bound.extend([(":whole", whole.into()), (":ending", ending.into())]);
    }
    if let Some(function) = &wanted.function {
        conditions.push("c.function_id IN (SELECT id FROM function WHERE name = :function)");
        bound.push((":function", function.clone().into()));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM calls WHERE call_id IN
           (SELECT c.id FROM call c WHERE {} ORDER BY c.id DESC LIMIT :limit) ORDER BY call_id DESC",
        conditions.join(" AND ")
    );
    let values: Vec<_> = bound.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect();
    let mut found = FoundCalls { calls: Vec::new(), is_cut: bounded > first };
    store.read_rows(&sql, values.as_slice(), |row| {
        found.calls.push(read_call(&report::read_cells(row, 15)?));
        Ok(())
    })?;
    found.is_cut &= found.calls.len() < wanted.limit;
    Ok(found)
}

/// Finds the newest calls that failed in one way: of this function, with this outcome and kind of message.
pub(crate) fn find_examples(
    store: &Store,
    period: Period,
    [function, outcome, message]: [&str; 3],
    limit: usize,
) -> Result<FoundCalls> {
    /// The most failed calls among which those of the kind are looked for.
    const FAILED_MAX: usize = 2_000;
    let wanted = Wanted {
        function: Some(function.to_owned()),
        is_failed: true,
        limit: FAILED_MAX,
        ..Wanted::default()
    };
    let mut found = find(store, period, &wanted)?;
    found.is_cut |= found.calls.len() == FAILED_MAX;
    found.calls.retain(|call| {
        call.outcome == outcome && message_kind(&call.outcome, call.error.as_deref()) == message
    });
    found.calls.truncate(limit);
    Ok(found)
}

fn read_call(cells: &[Cell]) -> Call {
    let number = |at: usize| cells[at].to_integer().unwrap_or(0);
    let text = |at: usize| cells[at].as_text().map(str::to_owned);
    Call {
        call_id: number(0),
        start_ns: number(1),
        duration_ns: number(2),
        function: text(3).unwrap_or_default(),
        outcome: text(4).unwrap_or_default(),
        is_failed: number(5) != 0,
        weight: cells[6].to_number().unwrap_or(1.0),
        args: text(7),
        result: text(8),
        error: text(9),
        fields: text(10),
        thread: text(11).unwrap_or_default(),
        service: text(12).unwrap_or_default(),
        place: format!("{}:{}", cells[13].to_plain_text(), cells[14].to_plain_text()),
    }
}
