//! Findings: what a person should know about a store, as sentences, each with its evidence and with what to type next.
//!
//! The rules are pure functions over [`Facts`], which queries fill. A finding that is wrong costs more than one that is
//! missing, so each rule has a bound below which it reports nothing, and it reports nothing where it lacks rows. The
//! kinds of findings that could not be looked for are listed.

mod facts;
mod calls;
mod changes;
mod failures;
mod functions;
mod processes;
mod secrets;
mod store;

use std::cmp::Ordering;

use anyhow::Result;

use crate::report::{self, Cell};
use crate::store::Store;

pub(crate) use facts::{Facts, gather};

/// The kinds of findings.
pub(crate) const KINDS: [&str; 24] = [
    "n_plus_one",
    "repeated_same",
    "serial_fanout",
    "blocks_executor",
    "slower",
    "slower_with_load",
    "faster",
    "fails_more",
    "bursts_of_failures",
    "new_failure",
    "hot",
    "cancelled_often",
    "leaks_secret",
    "died",
    "stuck",
    "growing",
    "lost_rows",
    "folded",
    "held",
    "breaker_open",
    "degraded",
    "costly",
    "exporter_behind",
    "nearly_full",
];

/// The rows behind a finding.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Evidence {
    /// The names of the columns.
    pub(crate) columns: Vec<String>,
    /// The rows.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// Reads the first rows, at most `limit`, of the statement behind a finding.
pub(crate) fn read_evidence(store: &Store, statement: &str, limit: i64) -> Result<Evidence> {
    let columns = store.read_column_names(statement)?;
    let mut rows = Vec::new();
    store.read_rows(&format!("SELECT * FROM ({statement}) LIMIT ?1"), [limit], |row| {
        rows.push(report::read_cells(row, columns.len())?);
        Ok(())
    })?;
    Ok(Evidence { columns, rows })
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Worth knowing.
    Info,
    /// Something is wrong, or expensive.
    Warning,
    /// Something is broken.
    Critical,
}

impl Level {
    /// Returns the level as a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// The kind of finding, a stable word.
    pub(crate) kind: &'static str,
    /// The level.
    pub(crate) level: Level,
    /// The function or the process that the finding is about.
    pub(crate) subject: String,
    /// The finding as a sentence.
    pub(crate) sentence: String,
    /// A statement that shows the rows behind the finding.
    pub(crate) evidence: String,
    /// The start of the data behind the finding.
    pub(crate) since_ns: Option<i64>,
    /// The time that could be saved within the span, in ns; 0 if the finding is not about time.
    pub(crate) saves_ns: f64,
    /// The number of rows, windows or reports that the finding rests on, in words.
    pub(crate) rests_on: String,
    /// True if its figures are estimates.
    pub(crate) is_estimated: bool,
    /// The command that leads on.
    pub(crate) next: String,
}

/// The findings of a store, and what could not be looked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Findings {
    /// The findings, the most important first.
    pub(crate) findings: Vec<Finding>,
    /// Sentences about kinds of findings that lack their rows.
    pub(crate) unknown: Vec<String>,
}

/// Applies all rules to the facts.
pub(crate) fn find(facts: &Facts) -> Findings {
    let mut findings = Vec::new();
    findings.extend(calls::find(facts));
    findings.extend(changes::find(facts));
    findings.extend(failures::find(facts));
    findings.extend(functions::find(facts));
    findings.extend(processes::find(facts));
    findings.extend(secrets::find(facts));
    findings.extend(store::find(facts));
    findings.sort_by(by_importance);
    Findings { findings, unknown: facts.describe_gaps() }
}

/// Orders findings: broken things first, then by the time that they cost.
pub(crate) fn by_importance(a: &Finding, b: &Finding) -> Ordering {
    let saved = |finding: &Finding| (finding.saves_ns / 1e6).round();
    (b.level == Level::Critical)
        .cmp(&(a.level == Level::Critical))
        .then_with(|| saved(b).total_cmp(&saved(a)))
        .then_with(|| b.level.cmp(&a.level))
        .then_with(|| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)))
}

/// Returns a text for SQL: in single quotes, with those inside doubled.
fn quote_sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a text for a shell: as it is if it is plain, otherwise in quotes that need the fewest escapes.
pub(crate) fn quote_shell(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_:.-".contains(c));
    match (is_plain, text.contains('\''), text.contains(['"', '$', '`', '\\', '!'])) {
        (true, ..) => text.to_owned(),
        (false, true, false) => format!("\"{text}\""),
        _ => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Returns the last two segments of a function's name: enough for a sentence.
fn shorten(name: &str) -> &str {
    let mut ends = name.rmatch_indices("::");
    ends.next();
    ends.next().map_or(name, |(at, _)| &name[at + 2..])
}

#[cfg(test)]
mod tests;
