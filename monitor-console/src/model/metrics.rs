//! The metrics of programs: series with their latest figures, and their windows over time.
//!
//! Takes a store, a selection of names and tags, and a span; gives series whose windows are sums over the processes that
//! share them. A window of the store holds what changed: a window without a row is one in which a counter stood still and a
//! gauge kept its value. Stores of older schema versions have no metrics.

use std::collections::BTreeMap;

use anyhow::Result;
use monitor_runtime::histogram::Histogram;
use rusqlite::params;

use super::period::Period;
use super::scope::Scope;
use crate::pattern::Pattern;
use crate::report;
use crate::store::Store;
use crate::terminal;
use crate::units;

/// The length of a window in ns.
const WINDOW_NS: i64 = 10_000_000_000;
/// The most series that are searched for those with the chosen tags.
const SERIES_READ_MAX: i64 = 200_000;
/// The most windows that a span is read as: a week, which is more than the usual retention.
const WINDOWS_MAX: i64 = 60_480;

/// The most columns of a unit behind its number, because a program can choose any text.
const UNIT_COLUMNS: usize = 30;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution of values.
    Histogram,
}

impl Kind {
    /// Returns the word by which the store names the kind.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// Returns the kind that the store names by this word.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The series that are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Names as wholes, in which `*` stands for any text.
    pub(crate) pattern: Option<Pattern>,
    /// Tags that a series must have.
    pub(crate) tags: Vec<(String, String)>,
}

/// A series.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_field_names, reason = "`metric_id` is the name of the column")]
pub(crate) struct Metric {
    /// The number of the series in the store.
    pub(crate) metric_id: i64,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<String>,
    pub(crate) description: Option<String>,
    /// The tags as the store has them, a JSON object.
    pub(crate) tags_json: String,
    /// The tags, sorted by their names.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) first_ns: i64,
    /// The end of the last window in which the series changed.
    pub(crate) last_ns: i64,
    /// The total of a counter, the last value of a gauge, the mean of a histogram's last window.
    pub(crate) latest: Option<f64>,
    /// The increments, or values, a second in the last window.
    pub(crate) rate: Option<f64>,
    /// The sum of increments, or the number of values, since the series began.
    pub(crate) count: i64,
    pub(crate) sum: f64,
}

impl Metric {
    /// Returns the tags as `shop=berlin kind=new`; nothing without tags.
    pub(crate) fn describe_tags(&self) -> String {
        let tags = self.tags.iter().map(|(name, value)| format!("{name}={value}"));
        tags.collect::<Vec<_>>().join(" ")
    }

    /// Returns a value of the metric in words, by its unit. A unit that has no form of its own follows the number.
    pub(crate) fn format_value(&self, value: f64) -> String {
        let text = formatter(self.unit.as_deref())(value);
        match self.unit.as_deref() {
            Some(unit) if find_formatter(unit).is_none() => {
                let unit = unit.replace("_per_", "/");
                format!("{text} {}", terminal::truncate_end(&unit, UNIT_COLUMNS))
            }
            _ => text,
        }
    }
}

/// Returns the function that formats values of this unit; for a unit that has no form of its own, the number alone.
pub(crate) fn formatter(unit: Option<&str>) -> fn(f64) -> String {
    unit.and_then(find_formatter).unwrap_or(units::format_number)
}

fn find_formatter(unit: &str) -> Option<fn(f64) -> String> {
    Some(match unit {
        "" | "count" => units::format_number,
        "seconds" => |value| format_ns(value * 1e9),
        "milliseconds" => |value| format_ns(value * 1e6),
        "microseconds" => |value| format_ns(value * 1e3),
        "nanoseconds" => format_ns,
        "bytes" => format_bytes,
        "kibibytes" => |value| format_bytes(value * 1024.0),
        "mebibytes" => |value| format_bytes(value * 1_048_576.0),
        "gibibytes" => |value| format_bytes(value * 1_073_741_824.0),
        "tebibytes" => |value| format_bytes(value * 1_099_511_627_776.0),
        "percent" => |value| format!("{} %", units::format_number(value)),
        "count_per_second" => |value| format!("{} /s", units::format_number(value)),
        _ => return None,
    })
}

/// Formats ns. Parts of a nanosecond, which a measured duration never has, keep their digits.
fn format_ns(ns: f64) -> String {
    if ns.abs() < 0.9995 { format!("{} ns", units::format_number(ns)) } else { units::format_duration(ns) }
}

/// Formats bytes. Parts of a byte, which a size never has, keep their digits.
fn format_bytes(bytes: f64) -> String {
    if bytes.abs() < 0.9995 {
        format!("{} B", units::format_number(bytes))
    } else {
        units::format_bytes(bytes)
    }
}

/// A window of a series, summed over processes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Window {
    /// The number of the window.
    pub(crate) number: i64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    /// The last value of a gauge, in the process that started last.
    pub(crate) last: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    histogram: Histogram,
}

impl Window {
    /// Returns the start of the window, ns since the Unix epoch.
    pub(crate) fn start_ns(&self) -> i64 {
        self.number.saturating_mul(WINDOW_NS)
    }

    /// Returns the increments, or values, a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / 10.0
    }

    /// Returns the mean of the values.
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more digits")]
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Returns a percentile of the values; `None` without a histogram.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        self.histogram.quantile(share, (self.min.unwrap_or(0.0), self.max.unwrap_or(f64::MAX)))
    }

    /// Returns the figure of the window that stands for the series.
    pub(crate) fn value(&self, kind: Kind) -> Option<f64> {
        match kind {
            Kind::Counter => Some(self.rate()),
            Kind::Gauge => self.last,
            Kind::Histogram => self.quantile(0.95).or_else(|| self.mean()),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.last = other.last.or(self.last);
        self.min = [self.min, other.min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f64::max);
        self.histogram.merge(&other.histogram);
    }
}

/// The windows of a series within a span.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    /// The windows in which the series changed, the oldest first.
    pub(crate) windows: Vec<Window>,
    /// The first and the last window of the span, as far as the store has any.
    pub(crate) range: (i64, i64),
}

impl History {
    /// Returns all windows together.
    pub(crate) fn total(&self) -> Window {
        let mut total = Window::default();
        self.windows.iter().for_each(|window| total.merge(window));
        total
    }

    /// Returns a figure for each window of the span. In a window without a change a counter has the rate 0, a gauge keeps its
    /// value, and a histogram has none.
    pub(crate) fn series(&self, kind: Kind, figure: impl Fn(&Window) -> Option<f64>) -> Vec<Option<f64>> {
        let mut windows = self.windows.iter().peekable();
        let mut held = None;
        let span = self.range.0..=self.range.1;
        span.map(|number| match windows.next_if(|window| window.number == number) {
            Some(window) => {
                held = figure(window);
                held
            }
            None if kind == Kind::Gauge => held,
            None => (kind == Kind::Counter).then_some(0.0),
        })
        .collect()
    }

    /// Returns the span that the figures cover, ns since the Unix epoch.
    pub(crate) fn span_ns(&self) -> (i64, i64) {
        (self.range.0.saturating_mul(WINDOW_NS), self.range.1.saturating_add(1).saturating_mul(WINDOW_NS))
    }
}

/// Returns true if the store can have metrics.
pub(crate) fn has(store: &Store) -> Result<bool> {
    store.has(&["metric_history"])
}

/// Returns the names of all metrics that the store knows.
pub(crate) fn read_names(store: &Store) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if has(store)? {
        store.read_rows("SELECT DISTINCT name FROM metrics", [], |row| {
            names.extend(report::read_cells(row, 1)?[0].as_text().map(str::to_owned));
            Ok(())
        })?;
    }
    Ok(names)
}

/// The statement that shows the series that are selected, over the public views.
pub(crate) fn statement(selection: &Selection) -> String {
    let mut conditions: Vec<String> = Vec::new();
    if let Some(pattern) = &selection.pattern {
        let [glob, _] = pattern.to_globs();
        conditions.push(format!("name GLOB {}", super::schema::quote(&glob)));
    }
    for (name, value) in &selection.tags {
        let path = super::schema::quote(&format!("$.\"{}\"", name.replace('"', "\\\"")));
        conditions.push(format!("json_extract(tags, {path}) = {}", super::schema::quote(value)));
    }
    super::schema::select("metrics", None, &Scope::WHOLE, &conditions, "ORDER BY name, tags")
}

/// Reads the series that are selected and changed within a span, in the order of their names.
pub(crate) fn read(store: &Store, selection: &Selection, period: Period) -> Result<Vec<Metric>> {
    read_where(store, selection, period, None)
}

fn read_where(
    store: &Store,
    selection: &Selection,
    period: Period,
    metric_id: Option<i64>,
) -> Result<Vec<Metric>> {
    if !has(store)? {
        return Ok(Vec::new());
    }
    let glob = selection.pattern.as_ref().map(|pattern| {
        let [whole, _] = pattern.to_globs();
        whole
    });
    let sql =
        "SELECT metric_id, name, kind, unit, description, tags, first_ns, last_ns, latest, rate, count, sum
               FROM metrics WHERE (?1 IS NULL OR name GLOB ?1) AND last_ns > ?2 AND first_ns <= ?3
                 AND (?5 IS NULL OR metric_id = ?5)
               ORDER BY name, kind, tags LIMIT ?4";
    let mut found = Vec::new();
    let bounds = params![glob, period.from_ns, period.until_ns, SERIES_READ_MAX, metric_id];
    store.read_rows(sql, bounds, |row| {
        let cells = report::read_cells(row, 12)?;
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        let integer = |at: usize| cells[at].to_integer().unwrap_or(0);
        let Some(kind) = text(2).and_then(|kind| Kind::from_name(&kind)) else { return Ok(()) };
        let tags_json = text(5).unwrap_or_default();
        let tags = parse_tags(&tags_json);
        if selection.tags.iter().all(|wanted| tags.contains(wanted)) {
            found.push(Metric {
                metric_id: integer(0),
                name: text(1).unwrap_or_default(),
                kind,
                unit: text(3),
                description: text(4),
                tags_json,
                tags,
                first_ns: integer(6),
                last_ns: integer(7),
                latest: cells[8].to_number(),
                rate: cells[9].to_number(),
                count: integer(10),
                sum: cells[11].to_number().unwrap_or(0.0),
            });
        }
        Ok(())
    })?;
    Ok(found)
}

/// Parses the tags of a series. Anybody may have written them: text that is not a JSON object gives no tags, and a
/// value that is not a string is kept as JSON.
fn parse_tags(json: &str) -> Vec<(String, String)> {
    let parsed: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let to_text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    parsed.into_iter().map(|(name, value)| (name, to_text(value))).collect()
}

/// Reads one series.
pub(crate) fn read_one(store: &Store, metric_id: i64) -> Result<Option<Metric>> {
    let found = read_where(store, &Selection::default(), Period::WHOLE, Some(metric_id))?;
    Ok(found.into_iter().next())
}

/// Reads the windows of a series within a scope. The windows are looked up one by one, because the table is ordered by window.
pub(crate) fn read_history(store: &Store, metric: &Metric, scope: &Scope) -> Result<History> {
    let period = scope.period;
    let (first, last) = (metric.first_ns.div_euclid(WINDOW_NS), metric.last_ns.div_euclid(WINDOW_NS) - 1);
    let newest = store.read_integer("SELECT max(window) FROM metric_window", [])?.unwrap_or(last);
    let oldest = store.read_integer("SELECT min(window) FROM metric_window", [])?.unwrap_or(first);
    let until = period.until_ns.div_euclid(WINDOW_NS).min(newest);
    let from =
        period.from_ns.div_euclid(WINDOW_NS).max(first.max(oldest)).max(until.saturating_sub(WINDOWS_MAX));
    let mut history = History { windows: Vec::new(), range: (from, until.max(from)) };
    let sql = "WITH RECURSIVE span(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM span WHERE n < ?2)
               SELECT w.window, w.count, w.sum, w.last, w.min, w.max, w.histogram, w.process_id
               FROM span CROSS JOIN metric_window w ON w.window = span.n AND w.metric_id = ?3
               ORDER BY w.window, w.process_id";
    store.read_rows(sql, [from, until.min(last), metric.metric_id], |row| {
        if !scope.has_process(row.get(7).unwrap_or(0)) {
            return Ok(());
        }
        let number = |at: usize| row.get::<_, Option<f64>>(at).ok().flatten();
        let window = Window {
            number: row.get(0)?,
            count: row.get::<_, i64>(1).unwrap_or(0).max(0).cast_unsigned(),
            sum: number(2).unwrap_or(0.0),
            last: number(3),
            min: number(4),
            max: number(5),
            histogram: Histogram::from_bytes(row.get_ref(6)?.as_blob().unwrap_or_default()),
        };
        match history.windows.last_mut().filter(|last| last.number == window.number) {
            Some(last) => last.merge(&window),
            None => history.windows.push(window),
        }
        Ok(())
    })?;
    Ok(history)
}

/// Returns the end of the last window that a process wrote of its metrics within ten minutes before a moment; `None` if
/// it wrote none. If the process was killed, the changes after that window are lost.
pub(crate) fn read_last_end(store: &Store, process_id: i64, before_ns: i64) -> Result<Option<i64>> {
    if !has(store)? {
        return Ok(None);
    }
    let until = before_ns.div_euclid(WINDOW_NS);
    let sql = "SELECT max(window) FROM metric_window WHERE window BETWEEN ?1 AND ?2 AND process_id = ?3";
    let last = store.read_integer(sql, [until.saturating_sub(60), until, process_id])?;
    Ok(last.map(|window| window.saturating_add(1).saturating_mul(WINDOW_NS)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn window(number: i64, count: u64, last: Option<f64>) -> Window {
        Window { number, count, last, ..Window::default() }
    }

    #[test]
    fn windows_without_a_change_mean_what_the_kind_means() {
        let windows = vec![window(11, 20, Some(5.0)), window(13, 40, Some(6.0))];
        let history = History { windows, range: (10, 14) };
        let of = |kind: Kind| history.series(kind, |window| window.value(kind));
        assert_eq!(of(Kind::Counter), [Some(0.0), Some(2.0), Some(0.0), Some(4.0), Some(0.0)]);
        assert_eq!(of(Kind::Gauge), [None, Some(5.0), Some(5.0), Some(6.0), Some(6.0)]);
        let counts = history.series(Kind::Histogram, |window| Some(window.rate()));
        assert_eq!(counts, [None, Some(2.0), None, Some(4.0), None]);
        assert_eq!(history.total().count, 60);
        assert_eq!(history.span_ns(), (100_000_000_000, 150_000_000_000));
    }

    #[test]
    fn values_are_formatted_by_their_unit() {
        for (unit, value, expected) in [
            (Some("seconds"), 0.0123, "12.3 ms"),
            (Some("seconds"), 2.5e-12, "0.00250 ns"),
            (Some("milliseconds"), 1500.0, "1.50 s"),
            (Some("nanoseconds"), 0.0, "0 ns"),
            (Some("nanoseconds"), 1e308, "1.16e294 d"),
            (Some("bytes"), 2048.0, "2.00 KiB"),
            (Some("bytes"), 1e-9, "1.00e-9 B"),
            (Some("tebibytes"), 1.0, "1024 GiB"),
            (Some("percent"), 12.5, "12.5 %"),
            (Some("percent"), 0.004, "0.00400 %"),
            (Some("percent"), 0.0, "0 %"),
            (Some("count"), 7.0, "7"),
            (Some("count_per_second"), 12.5, "12.5 /s"),
            (None, 12_345.0, "12.3 k"),
            (None, 1e-9, "1.00e-9"),
            (None, -1e308, "-1.00e308"),
            (Some("parsecs"), 2.0, "2 parsecs"),
            (Some("kilobits_per_second"), 0.25, "0.250 kilobits/second"),
        ] {
            let metric = Metric { unit: unit.map(str::to_owned), ..metric() };
            assert_eq!(metric.format_value(value), expected);
        }
    }

    fn metric() -> Metric {
        Metric {
            metric_id: 1,
            name: "fill".to_owned(),
            kind: Kind::Gauge,
            unit: None,
            description: None,
            tags_json: "{}".to_owned(),
            tags: Vec::new(),
            first_ns: 0,
            last_ns: 0,
            latest: None,
            rate: None,
            count: 0,
            sum: 0.0,
        }
    }

    #[test]
    fn tags_that_are_no_object_of_texts_are_read_as_far_as_possible() {
        let pairs = |json: &str| {
            parse_tags(json).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(pairs(r#"{"b":"2","a":"1"}"#), ["a=1", "b=2"]);
        assert_eq!(pairs(r#"{"a":7,"b":["x"]}"#), ["a=7", r#"b=["x"]"#]);
        assert!(pairs("no JSON").is_empty() && pairs("[1]").is_empty());
    }

    #[test]
    fn the_statement_selects_by_name_and_tags() {
        let selection = Selection {
            pattern: Some("http.*".parse().unwrap()),
            tags: vec![("it's".to_owned(), "a'b".to_owned())],
        };
        assert_eq!(
            statement(&selection),
            "SELECT * FROM metrics\nWHERE name GLOB 'http.*' AND json_extract(tags, '$.\"it''s\"') = 'a''b'\nORDER BY name, tags"
        );
    }
}
