//! The schema as the store explains it, and the statements behind the pages: queries over public views, which any SQLite
//! tool runs as they are.

use anyhow::Result;

use super::scope::Scope;
use crate::report;
use crate::store::Store;

/// A view or table, its purpose and its columns, each with its meaning.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object {
    /// The name.
    pub(crate) name: String,
    /// The meaning.
    pub(crate) text: String,
    /// Names and meanings of the columns.
    pub(crate) columns: Vec<(String, String)>,
}

/// Reads the explanations, in the order of the store.
pub(crate) fn read(store: &Store) -> Result<Vec<Object>> {
    let mut objects: Vec<Object> = Vec::new();
    store.read_rows("SELECT object, \"column\", text FROM schema_doc", [], |row| {
        let cells = report::read_cells(row, 3)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let name = text(0);
        if objects.last().is_none_or(|last| last.name != name) {
            objects.push(Object { name: name.clone(), ..Object::default() });
        }
        if let Some(object) = objects.last_mut() {
            match text(1) {
                column if column.is_empty() => object.text = text(2),
                column => object.columns.push((column, text(2))),
            }
        }
        Ok(())
    })?;
    Ok(objects)
}

/// Examples of statements, each with its question.
pub(crate) const EXAMPLES: [(&str, &str); 9] = [
    (
        "Where does the time go?",
        "SELECT function, calls, total_ms, p95_ms, error_pct FROM functions ORDER BY total_ms DESC LIMIT 10",
    ),
    ("What failed last?", "SELECT function, error, args FROM errors ORDER BY call_id DESC LIMIT 10"),
    (
        "The tree of the latest call",
        "SELECT span_id, parent_id, function, duration_ms, outcome FROM calls\nWHERE trace_id = (SELECT trace_id FROM calls ORDER BY call_id DESC LIMIT 1) ORDER BY start_ns",
    ),
    (
        "Calls by function, estimated from rows",
        "SELECT function, sum(weight) AS calls FROM calls GROUP BY function ORDER BY calls DESC",
    ),
    (
        "Kinds of failure",
        "SELECT function, outcome, message, count FROM error_groups ORDER BY count DESC LIMIT 20",
    ),
    (
        "The 95th percentile over time",
        "SELECT start_s, function, calls, p95_ms FROM latency ORDER BY start_ns DESC LIMIT 100",
    ),
    ("Outcomes", "SELECT outcome, count(*) AS calls FROM calls GROUP BY outcome"),
    (
        "What recording costs",
        "SELECT function, fidelity, rate, calls_per_s, cpu_pct, why FROM rates ORDER BY cpu_pct DESC LIMIT 20",
    ),
    (
        "Which runs there were",
        "SELECT process_id, service, build, ending, started_ns, last_seen_ns FROM processes ORDER BY last_seen_ns DESC",
    ),
];

/// The statement that reads the explanations.
pub(crate) const EXPLANATIONS: &str = "SELECT * FROM schema_doc";

/// Returns the statement that selects the first rows of a view or table.
pub(crate) fn select_first_rows(name: &str) -> String {
    format!("SELECT * FROM {name} LIMIT 50")
}

/// Returns a text for SQL: in single quotes, with those inside doubled.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the statement that selects rows of a view within a scope, in this order.
pub(crate) fn select(
    view: &str,
    time: Option<&str>,
    scope: &Scope,
    conditions: &[String],
    rest: &str,
) -> String {
    let mut conditions = conditions.to_vec();
    if let Some(time) = time {
        let period = scope.period;
        if period.from_ns != i64::MIN {
            conditions.push(format!("{time} >= {}", period.from_ns));
        }
        if period.until_ns != i64::MAX {
            conditions.push(format!("{time} <= {}", period.until_ns));
        }
    }
    let selected =
        if conditions.is_empty() { String::new() } else { format!("\nWHERE {}", conditions.join(" AND ")) };
    format!("SELECT * FROM {view}{selected}\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::period::Period;

    #[test]
    fn a_statement_has_the_bounds_of_its_scope_and_quotes_texts() {
        let scope = Scope { period: Period { from_ns: 5, until_ns: i64::MAX }, processes: None };
        let conditions = [format!("function = {}", quote("it's"))];
        assert_eq!(
            select("calls", Some("start_ns"), &scope, &conditions, "ORDER BY call_id DESC"),
            "SELECT * FROM calls\nWHERE function = 'it''s' AND start_ns >= 5\nORDER BY call_id DESC"
        );
        assert_eq!(
            select("functions", None, &Scope::WHOLE, &[], "LIMIT 5"),
            "SELECT * FROM functions\nLIMIT 5"
        );
    }
}
