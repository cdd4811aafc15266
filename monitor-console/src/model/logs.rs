//! The log lines of a program: all of them, and those of a trace.
//!
//! Takes conditions; gives lines by the time at which they were written. The lines of a trace are found through an
//! index, and the newest lines by their ids, so that neither reads the whole log. A store of an older version has
//! none.

use anyhow::Result;
use monitor_runtime::record::LogLevel;

use crate::pattern::{self, Pattern};
use crate::report::{self, Cell};
use crate::store::Store;

/// The columns of the view `logs`, in its order.
pub(crate) const COLUMNS: [&str; 16] = [
    "log_id",
    "at_ns",
    "at_s",
    "level",
    "target",
    "body",
    "fields",
    "lines",
    "function",
    "call_id",
    "span_id",
    "trace_id",
    "service",
    "process_id",
    "file",
    "line",
];

/// The lines of a trace that are read at most, the latest ones.
pub(crate) const TRACE_LINES_MAX: usize = 2_000;

/// A log line, or lines of one place that share a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Line {
    /// The cells of the view, by [`COLUMNS`].
    pub(crate) cells: Vec<Cell>,
    /// The id of the row.
    pub(crate) log_id: i64,
    /// The time, ns since the Unix epoch.
    pub(crate) at_ns: i64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) level: String,
    /// The target that the program names.
    pub(crate) target: String,
    /// The text; `None` if the row only stands for lines without a row of their own.
    pub(crate) body: Option<String>,
    /// The fields as a JSON object.
    pub(crate) fields: Option<String>,
    /// The number of lines that the row stands for.
    pub(crate) lines: i64,
    /// The function whose call wrote the line.
    pub(crate) function: Option<String>,
    /// The call that wrote the line.
    pub(crate) call_id: Option<i64>,
    /// The span of that call.
    pub(crate) span: Option<i64>,
    /// The run of the program.
    pub(crate) process_id: Option<i64>,
}

impl Line {
    /// Returns the line as one text: body, fields, and how many lines share the row.
    pub(crate) fn text(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.body.clone().filter(|body| !body.is_empty()));
        parts.extend(self.fields.clone());
        let others = if self.body.is_some() { self.lines - 1 } else { self.lines };
        if others > 0 {
            parts.push(format!("+ {} more", crate::units::format_exact(others)));
        }
        parts.join("  ")
    }

    /// Returns the name of the place that is shown: the function, otherwise the target.
    pub(crate) fn place(&self) -> &str {
        self.function.as_deref().unwrap_or(&self.target)
    }

    fn read(cells: Vec<Cell>) -> Self {
        let at = |name: &str| COLUMNS.iter().position(|column| *column == name).and_then(|at| cells.get(at));
        let number = |name: &str| at(name).and_then(Cell::to_integer);
        let text = |name: &str| at(name).and_then(Cell::as_text).map(str::to_owned);
        Self {
            log_id: number("log_id").unwrap_or(0),
            at_ns: number("at_ns").unwrap_or(0),
            level: text("level").unwrap_or_default(),
            target: text("target").unwrap_or_default(),
            body: text("body"),
            fields: text("fields"),
            lines: number("lines").unwrap_or(1),
            function: text("function"),
            call_id: number("call_id"),
            span: number("span_id"),
            process_id: number("process_id"),
            cells,
        }
    }
}

/// The conditions on lines.
#[derive(Debug, Clone)]
pub(crate) struct Query<'a> {
    /// The functions, or the targets.
    pub(crate) pattern: Option<&'a Pattern>,
    /// The least severe level.
    pub(crate) level: LogLevel,
    /// The span of time, ns since the Unix epoch.
    pub(crate) span_ns: (i64, i64),
    /// The first and the last id of the lines, both included.
    pub(crate) ids: (i64, i64),
    /// The runs of the program as a JSON array; all runs if it is `None`.
    pub(crate) processes: Option<String>,
    /// The most lines: the newest ones.
    pub(crate) limit: usize,
}

impl Query<'_> {
    /// Returns conditions that select the newest lines, at most `limit`.
    pub(crate) const fn newest(limit: usize) -> Self {
        let whole = (i64::MIN, i64::MAX);
        Self { pattern: None, level: LogLevel::Trace, span_ns: whole, ids: whole, processes: None, limit }
    }
}

/// Returns true if the store can have log lines: older versions have none.
pub(crate) fn are_kept(store: &Store) -> Result<bool> {
    store.has(&["logs"])
}

/// Returns the id of the newest line; 0 if there is none.
pub(crate) fn newest_id(store: &Store) -> Result<i64> {
    if !are_kept(store)? {
        return Ok(0);
    }
    Ok(store.read_integer("SELECT MAX(id) FROM log", [])?.unwrap_or(0))
}

/// Returns true if the pattern selects a target of the store.
pub(crate) fn has_target(store: &Store, pattern: &Pattern) -> Result<bool> {
    if !are_kept(store)? {
        return Ok(false);
    }
    let sql = "SELECT COUNT(*) FROM log_target WHERE target GLOB ?1 OR target GLOB ?2";
    Ok(store.read_integer(sql, pattern.to_globs())?.unwrap_or(0) > 0)
}

/// Finds the newest lines that meet the conditions, by the time at which they were written.
pub(crate) fn find(store: &Store, query: &Query<'_>) -> Result<Vec<Line>> {
    if !are_kept(store)? {
        return Ok(Vec::new());
    }
    let sql = select(
        "SELECT l.id FROM log l
         WHERE l.id BETWEEN :first AND :last AND l.at_ns BETWEEN :from AND :until AND l.level <= :level
           AND (:whole IS NULL OR l.target_id IN (SELECT id FROM log_target WHERE target GLOB :whole OR target GLOB :ending)
             OR COALESCE(l.function_id, (SELECT c.function_id FROM call c WHERE c.id = l.call_id)) IN
               (SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending))
           AND (:processes IS NULL OR l.process_id IN (SELECT value FROM json_each(:processes)))
         ORDER BY l.id DESC LIMIT :limit",
    );
    let [whole, ending] = pattern::to_optional_globs(query.pattern);
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let level = i64::from(query.level as u8);
    let bound: [(&str, &dyn rusqlite::ToSql); 9] = [
        (":first", &query.ids.0),
        (":last", &query.ids.1),
        (":from", &query.span_ns.0),
        (":until", &query.span_ns.1),
        (":level", &level),
        (":whole", &whole),
        (":ending", &ending),
        (":processes", &query.processes),
        (":limit", &limit),
    ];
    read(store, &sql, &bound)
}

/// Returns the latest lines that the calls of a trace wrote, at most `limit`.
pub(crate) fn find_in_trace(store: &Store, trace_id: i64, limit: usize) -> Result<Vec<Line>> {
    if trace_id == 0 || !are_kept(store)? {
        return Ok(Vec::new());
    }
    let sql = select(
        "SELECT l.id FROM log l WHERE l.trace = :trace AND l.trace <> 0 ORDER BY l.id DESC LIMIT :limit",
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read(store, &sql, &[(":trace", &trace_id), (":limit", &limit)])
}

/// Returns the statement that reads the lines with these ids, by time.
fn select(ids: &str) -> String {
    format!("SELECT {} FROM logs WHERE log_id IN ({ids}) ORDER BY at_ns, log_id", COLUMNS.join(", "))
}

fn read(store: &Store, sql: &str, bound: &[(&str, &dyn rusqlite::ToSql)]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    store.read_rows(sql, bound, |row| {
        lines.push(Line::read(report::read_cells(row, COLUMNS.len())?));
        Ok(())
    })?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_line_says_what_shares_its_row() {
        let line =
            |body: Option<&str>, lines| Line { body: body.map(str::to_owned), lines, ..Line::default() };
        assert_eq!(line(Some("slow"), 1).text(), "slow");
        assert_eq!(line(Some("slow"), 1201).text(), "slow  + 1 200 more");
        assert_eq!(line(None, 7).text(), "+ 7 more");
        let with_fields = Line { fields: Some("{\"a\":1}".to_owned()), ..line(Some("slow"), 1) };
        assert_eq!(with_fields.text(), "slow  {\"a\":1}");
    }
}
