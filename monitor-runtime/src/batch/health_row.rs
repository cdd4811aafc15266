//! The recorder's report of itself, and the one table of its columns.
//!
//! A column of the view `health` is a field of [`HealthRow`] and a line of [`HEALTH_COLUMNS`]. The table of the store,
//! the view, the statement that writes a row, the explanation in `schema_doc` and the units of `monitor health` come
//! from that line. A column that is added here needs a migration of stores that exist, as any other.

/// The recorder's report of itself: [`HEALTH_COLUMNS`] explains each field.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "each field is explained where its column is defined, in HEALTH_COLUMNS")]
pub struct HealthRow {
    pub at_ns: i64,
    pub level: String,
    pub recorded: u64,
    pub dropped_ring_full: u64,
    pub dropped_backlog: u64,
    pub dropped_no_ring: u64,
    pub dropped_store: u64,
    pub folded_errors: u64,
    pub breaker: String,
    pub writer_errors: u64,
    pub rows_written: u64,
    pub bytes_written: u64,
    pub db_bytes: u64,
    pub wal_bytes: u64,
    pub own_cpu_pct: f64,
    pub overhead_ns_per_call: f64,
    pub breaker_since_ns: i64,
    pub breaker_held: Option<String>,
    pub breaker_openings: u64,
    pub breaker_next_try_ns: Option<i64>,
    pub last_failure: Option<String>,
    pub writes_ok_pct: Option<f64>,
    pub writes_blocked_pct: Option<f64>,
    pub write_retries: u64,
    pub write_retries_per_min: u64,
    pub duplicates_avoided: u64,
    pub cost_pct: Option<f64>,
    pub budget_pct: Option<f64>,
    pub fixed_pct: Option<f64>,
    pub saved_pct: Option<f64>,
    pub off: Option<String>,
    pub dropped_passed: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub memory_parts: Option<String>,
    pub memory_refused: Option<String>,
    pub dropped_logs: Option<u64>,
    pub open_spans: Option<u64>,
}

/// A column of the view `health`.
#[derive(Debug, Clone, Copy)]
pub struct HealthColumn {
    /// The name, which is that of the field as well.
    pub name: &'static str,
    /// The unit of its values.
    pub unit: HealthUnit,
    /// The meaning, as `schema_doc` has it.
    pub text: &'static str,
    /// True if the value may be missing.
    pub is_optional: bool,
    /// True if the value changes by itself, though nothing happens to calls or store.
    is_restless: bool,
    value: fn(&HealthRow) -> HealthValue<'_>,
}

/// The unit of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthUnit {
    /// A word or a sentence.
    Text,
    /// A count without a unit.
    Count,
    /// Bytes.
    Bytes,
    /// Nanoseconds since the Unix epoch.
    Moment,
    /// A duration in nanoseconds, with a fraction.
    Nanoseconds,
    /// Percent.
    Percent,
}

/// A value of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum HealthValue<'a> {
    Missing,
    Integer(i64),
    Real(f64),
    Text(&'a str),
}

impl HealthColumn {
    const fn new(
        name: &'static str,
        unit: HealthUnit,
        value: fn(&HealthRow) -> HealthValue<'_>,
        text: &'static str,
    ) -> Self {
        Self { name, unit, text, is_optional: false, is_restless: false, value }
    }

    const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    const fn restless(self) -> Self {
        Self { is_restless: true, ..self }
    }

    /// Returns the type and constraint of the column in the store's table.
    pub(crate) fn sql_type(&self) -> &'static str {
        match (self.unit, self.is_optional) {
            (HealthUnit::Text, false) => "TEXT NOT NULL",
            (HealthUnit::Text, true) => "TEXT",
            (HealthUnit::Nanoseconds | HealthUnit::Percent, false) => "REAL NOT NULL",
            (HealthUnit::Nanoseconds | HealthUnit::Percent, true) => "REAL",
            (_, false) => "INTEGER NOT NULL",
            (_, true) => "INTEGER",
        }
    }

    /// Returns the value of a report in this column.
    pub(crate) fn value<'a>(&self, row: &'a HealthRow) -> HealthValue<'a> {
        (self.value)(row)
    }
}

impl HealthRow {
    /// Returns true if something has happened to calls or store since another report. Values that change by themselves
    /// are not compared: a report of them alone would keep an idle program writing.
    pub(crate) fn differs_from(&self, last: &Self) -> bool {
        HEALTH_COLUMNS.iter().any(|column| !column.is_restless && column.value(self) != column.value(last))
    }
}

fn integer(number: u64) -> HealthValue<'static> {
    HealthValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn optional<'a, T>(value: Option<T>, convert: fn(T) -> HealthValue<'a>) -> HealthValue<'a> {
    value.map_or(HealthValue::Missing, convert)
}

use HealthUnit::{Bytes, Count, Moment, Nanoseconds, Percent, Text};

/// The columns of the view `health`, in their order, after `process_id`.
#[rustfmt::skip]
pub const HEALTH_COLUMNS: [HealthColumn; 37] = [
    HealthColumn::new("at_ns", Moment, |row| HealthValue::Integer(row.at_ns),
        "When it reported, nanoseconds since the Unix epoch.").restless(),
    HealthColumn::new("level", Text, |row| HealthValue::Text(&row.level),
        "`full` (all as asked), `degraded` (store down, buffering), `minimal` (failures and counts only) or `off`."),
    HealthColumn::new("recorded", Count, |row| integer(row.recorded),
        "Calls recorded since start."),
    HealthColumn::new("dropped_ring_full", Count, |row| integer(row.dropped_ring_full),
        "Rows lost because a thread's ring was full."),
    HealthColumn::new("dropped_backlog", Count, |row| integer(row.dropped_backlog),
        "Rows lost because the backlog was full."),
    HealthColumn::new("dropped_no_ring", Count, |row| integer(row.dropped_no_ring),
        "Rows lost because their thread could get no ring."),
    HealthColumn::new("dropped_store", Count, |row| integer(row.dropped_store),
        "Rows lost because the store could not take them."),
    HealthColumn::new("folded_errors", Count, |row| integer(row.folded_errors),
        "Failures stored as a count in their group rather than as a row of their own."),
    HealthColumn::new("breaker", Text, |row| HealthValue::Text(&row.breaker),
        "`closed`, `open` or `half_open`."),
    HealthColumn::new("writer_errors", Count, |row| integer(row.writer_errors),
        "Failed writes since start."),
    HealthColumn::new("rows_written", Count, |row| integer(row.rows_written),
        "Rows written since start."),
    HealthColumn::new("bytes_written", Bytes, |row| integer(row.bytes_written),
        "Bytes of content written since start.").restless(),
    HealthColumn::new("db_bytes", Bytes, |row| integer(row.db_bytes),
        "Size of the database file.").restless(),
    HealthColumn::new("wal_bytes", Bytes, |row| integer(row.wal_bytes),
        "Size of its write-ahead log.").restless(),
    HealthColumn::new("own_cpu_pct", Percent, |row| HealthValue::Real(row.own_cpu_pct),
        "CPU time of the recorder's thread, in percent of one core.").restless(),
    HealthColumn::new("overhead_ns_per_call", Nanoseconds, |row| HealthValue::Real(row.overhead_ns_per_call),
        "Estimated cost of a monitored call in nanoseconds.").restless(),
    HealthColumn::new("breaker_since_ns", Moment, |row| HealthValue::Integer(row.breaker_since_ns),
        "When the breaker entered its state, nanoseconds since the Unix epoch."),
    HealthColumn::new("breaker_held", Text, |row| optional(row.breaker_held.as_deref(), HealthValue::Text),
        "Why a person holds the breaker; NULL where nobody does.").optional(),
    HealthColumn::new("breaker_openings", Count, |row| integer(row.breaker_openings),
        "How often the breaker opened since start."),
    HealthColumn::new("breaker_next_try_ns", Moment, |row| optional(row.breaker_next_try_ns, HealthValue::Integer),
        "When the store is tried again; NULL where the breaker does not wait for that.").optional().restless(),
    HealthColumn::new("last_failure", Text, |row| optional(row.last_failure.as_deref(), HealthValue::Text),
        "Why the last write that failed did; NULL where none has.").optional(),
    HealthColumn::new("writes_ok_pct", Percent, |row| optional(row.writes_ok_pct, HealthValue::Real),
        "Writes that succeeded, in percent of those tried to their end.").optional().restless(),
    HealthColumn::new("writes_blocked_pct", Percent, |row| optional(row.writes_blocked_pct, HealthValue::Real),
        "Writes that the breaker did not permit, in percent of those asked for.").optional().restless(),
    HealthColumn::new("write_retries", Count, |row| integer(row.write_retries),
        "Writes that were tried again since start."),
    HealthColumn::new("write_retries_per_min", Count, |row| integer(row.write_retries_per_min),
        "The same within the last minute.").restless(),
    HealthColumn::new("duplicates_avoided", Count, |row| integer(row.duplicates_avoided),
        "Batches sent again that were found to be committed already."),
    HealthColumn::new("cost_pct", Percent, |row| optional(row.cost_pct, HealthValue::Real),
        "Cost of recording over the last second, on the callers' threads and on its own, in percent of one core; NULL where an older version measured it against the process's CPU time.").optional().restless(),
    HealthColumn::new("budget_pct", Percent, |row| optional(row.budget_pct, HealthValue::Real),
        "What recording may cost, in percent of one core: `MONITOR_MAX_OVERHEAD` of one core or of the process's CPU time, whichever is more; NULL without a bound.").optional().restless(),
    HealthColumn::new("fixed_pct", Percent, |row| optional(row.fixed_pct, HealthValue::Real),
        "The part of `cost_pct` that does not depend on calls and rows: wake-ups and transactions. It lowers no function.").optional().restless(),
    HealthColumn::new("saved_pct", Percent, |row| optional(row.saved_pct, HealthValue::Real),
        "What functions that are recorded less than requested save, in percent of one core.").optional().restless(),
    HealthColumn::new("off", Text, |row| optional(row.off.as_deref(), HealthValue::Text),
        "What is off in this process, each with the reason; NULL where nothing is.").optional(),
    HealthColumn::new("dropped_passed", Count, |row| optional(row.dropped_passed, integer),
        "Calls that passed through the recorder: made in a signal handler that interrupted it, or on a thread for which it had no memory. They are counted as calls of their functions, and nothing else is known of them.").optional(),
    HealthColumn::new("memory_bytes", Bytes, |row| optional(row.memory_bytes, integer),
        "Memory whose size depends on load, of all parts of the recorder together; `MONITOR_MAX_MEMORY` bounds it.").optional().restless(),
    HealthColumn::new("memory_parts", Text, |row| optional(row.memory_parts.as_deref(), HealthValue::Text),
        "The same by part, as a JSON object of bytes; parts that hold nothing are left out.").optional().restless(),
    HealthColumn::new("memory_refused", Text, |row| optional(row.memory_refused.as_deref(), HealthValue::Text),
        "How often parts were refused memory since start, as a JSON object; NULL where none was.").optional().restless(),
    HealthColumn::new("dropped_logs", Count, |row| optional(row.dropped_logs, integer),
        "Log lines lost: their thread's ring or the backlog was full, the store could not take them, or they were said by code that interrupted the recorder.").optional(),
    HealthColumn::new("open_spans", Count, |row| optional(row.open_spans, integer),
        "Spans of tracing that have begun and not ended.").optional().restless(),
];
