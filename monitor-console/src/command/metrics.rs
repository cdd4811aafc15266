//! `monitor metrics`: the program's own metrics, each series with its latest figures and its course.

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::top::repeat;
use super::{open_stores, print_failures, print_heading_of, print_note};
use crate::arguments::{Common, FormatName, Metrics};
use crate::format::{self, Pace};
use crate::model::metrics::{self, History, Kind, Metric, Selection};
use crate::model::period::Period;
use crate::model::scope::Scope;
use crate::report::{Cell, Column, Report, Unit};
use crate::stores::Stores;
use crate::units::{self, format_quantity};
use crate::{sparkline, terminal};

/// The series that a table shows without `--limit`.
const SERIES_SHOWN: usize = 50;
/// The bars of a sparkline.
const BARS: usize = 24;
/// The span without `--since` and `--until`, in ns.
const SPAN_NS: i64 = 600_000_000_000;
/// Lines of a frame that show no series: heading, blank line, titles, and the line of the cursor.
const OTHER_LINES: usize = 4;

pub(super) fn run(common: &Common, arguments: &Metrics) -> Result<()> {
    if arguments.watch {
        return repeat(common, |size| render_frame(common, arguments, size));
    }
    let stores = open_stores(common)?;
    let by_default = if common.format == FormatName::Table { SERIES_SHOWN } else { usize::MAX };
    let shown = arguments.limit.map_or(by_default, |limit| limit as usize);
    let gathered = gather(&stores, common, arguments, shown)?;
    let is_without = gathered.series == 0 && require_metrics(&stores, arguments)? == 0;
    print_failures(&gathered.failures);
    let title = if is_without { "no metrics".to_owned() } else { describe(&gathered) };
    print_heading_of(common, &stores, &title);
    format::print(&gathered.report, common.style())?;
    if is_without {
        print_note(common, NO_METRICS);
    }
    let left_out = gathered.series.saturating_sub(gathered.shown);
    if left_out > 0 && arguments.limit.is_none() {
        print_note(common, &format!("… {left_out} more: --limit {} shows them", gathered.series));
    }
    Ok(())
}

const NO_METRICS: &str = "there are no metrics here: a program records them with the crate `monitored-metrics` and the macros of `metrics`";

/// Returns the number of series that the stores have at any time. Fails if a name or tags select none, because an empty
/// table alone does not say why.
fn require_metrics(stores: &Stores, arguments: &Metrics) -> Result<usize> {
    let (mut all, mut selected) = (0, 0);
    for store in stores.list() {
        all += metrics::read(store, &Selection::default(), Period::WHOLE)?.len();
        selected += metrics::read(store, &select(arguments), Period::WHOLE)?.len();
    }
    if selected == 0 && (arguments.pattern.is_some() || !arguments.tag.is_empty()) {
        if all == 0 {
            bail!(NO_METRICS);
        }
        bail!("no metric here has such a name and tags: `monitor metrics` lists all {all} series")
    }
    Ok(all)
}

fn select(arguments: &Metrics) -> Selection {
    Selection { pattern: arguments.pattern.clone(), tags: arguments.tag.clone() }
}

/// The series of all stores.
struct Gathered {
    report: Report,
    /// The series that are selected, also those that are not shown.
    series: usize,
    shown: usize,
    failures: Vec<String>,
}

fn describe(gathered: &Gathered) -> String {
    match gathered.series {
        0 => "no metric changed in this span".to_owned(),
        series => format_quantity(series, "series", "series"),
    }
}

/// Reads the selected series of all stores, with rows for at most `shown` series of each store.
fn gather(stores: &Stores, common: &Common, arguments: &Metrics, shown: usize) -> Result<Gathered> {
    let chosen = arguments.span.period(common);
    let span = if chosen.is_whole() {
        Period { from_ns: units::now_ns().saturating_sub(SPAN_NS), until_ns: i64::MAX }
    } else {
        chosen
    };
    let (mut series, mut shown_series) = (0, 0);
    let (report, failures) = stores.join(|store| {
        let mut found = metrics::read(store, &select(arguments), chosen)?;
        series += found.len();
        found.truncate(shown);
        shown_series += found.len();
        let scope = Scope { period: span, processes: None };
        let mut rows = Vec::new();
        for metric in &found {
            let history = metrics::read_history(store, metric, &scope)?;
            if arguments.history {
                rows.extend(history_cells(metric, &history));
            } else {
                rows.push(build_cells(metric, &history));
            }
        }
        let columns = if arguments.history { history_columns() } else { list_columns() };
        Ok(Report { columns, rows })
    })?;
    Ok(Gathered { report, series, shown: shown_series, failures })
}

/// Renders a frame that fits this size, columns and rows.
fn render_frame(common: &Common, arguments: &Metrics, size: Option<(usize, usize)>) -> Result<String> {
    let stores = open_stores(common)?;
    let room = size.map_or(usize::MAX, |(_, rows)| rows.saturating_sub(OTHER_LINES));
    let limit = arguments.limit.map_or(SERIES_SHOWN, |limit| limit as usize);
    let gathered = gather(&stores, common, arguments, limit.min(room))?;
    let mut text = Vec::new();
    if common.format == FormatName::Table {
        let heading = format!("{} · {}", stores.describe(), describe(&gathered));
        let heading = terminal::escape(&heading);
        let columns = size.map(|(columns, _)| columns).filter(|_| !common.wide);
        let heading = columns.map_or(heading.clone(), |columns| terminal::truncate_start(&heading, columns));
        text.extend_from_slice(heading.as_bytes());
        text.extend_from_slice(b"\n\n");
    }
    format::write(&gathered.report, format::create(common.style(), Pace::Whole, &mut text).as_mut())?;
    let frame = String::from_utf8_lossy(&text).into_owned();
    let rows = size.map_or(usize::MAX, |(_, rows)| rows.saturating_sub(1).max(1));
    Ok(frame.split_inclusive('\n').take(rows).collect())
}

/// Returns the cells of a series.
pub(super) fn build_cells(metric: &Metric, history: &History) -> Vec<Cell> {
    let total = history.total();
    let optional = |value: Option<f64>| Cell::from(value.map_or(Value::Null, Value::from));
    let text = |value: Option<f64>| match value {
        Some(value) => Cell::from(metric.format_value(value)),
        None => Value::Null.into(),
    };
    let latest = match metric.kind {
        Kind::Counter => Cell::from(units::format_count(metric.latest.unwrap_or(0.0))),
        Kind::Gauge | Kind::Histogram => text(metric.latest),
    };
    let series = history.series(metric.kind, |window| window.value(metric.kind));
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| total.quantile(share));
    vec![
        metric.metric_id.into(),
        metric.name.clone().into(),
        metric.tags_json.clone().into(),
        metric.describe_tags().into(),
        metric.kind.as_str().to_owned().into(),
        metric.unit.clone().into(),
        optional(metric.latest),
        latest,
        optional(metric.rate),
        optional(p50),
        optional(p95),
        optional(p99),
        text(p50),
        text(p95),
        text(p99),
        optional(total.min),
        optional(total.max),
        metric.count.into(),
        metric.sum.into(),
        sparkline::draw(&sparkline::shorten(&series, BARS)).into(),
        metric.first_ns.into(),
        metric.last_ns.into(),
        metric.description.clone().into(),
    ]
}

/// The columns of [`build_cells`].
pub(super) fn list_columns() -> Vec<Column> {
    vec![
        Column::data("metric_id"),
        Column::titled("name", "METRIC", Unit::Name),
        Column::data("tags"),
        Column::table("TAGS", Unit::Text),
        Column::titled("kind", "KIND", Unit::Short),
        Column::data("unit"),
        Column::data("latest"),
        Column::table("LATEST", Unit::Text),
        Column::titled("rate", "RATE/S", Unit::Count),
        Column::data("p50"),
        Column::data("p95"),
        Column::data("p99"),
        Column::table("MEDIAN", Unit::Text),
        Column::table("P95", Unit::Text),
        Column::table("P99", Unit::Text),
        Column::data("min"),
        Column::data("max"),
        Column::data("count"),
        Column::data("sum"),
        Column::table("OVER TIME", Unit::Text),
        Column::data("first_ns"),
        Column::titled("last_ns", "CHANGED", Unit::Age),
        Column::data("description"),
    ]
}

/// Returns the cells of each window of a series, the newest first.
pub(super) fn history_cells(metric: &Metric, history: &History) -> Vec<Vec<Cell>> {
    let optional = |value: Option<f64>| Cell::from(value.map_or(Value::Null, Value::from));
    let text = |value: &Option<f64>| {
        Cell::from(value.map_or(Value::Null, |value| metric.format_value(value).into()))
    };
    let windows = history.windows.iter().rev();
    let build = |window: &metrics::Window| {
        let value = match metric.kind {
            Kind::Counter => Some(window.sum),
            Kind::Gauge => window.last,
            Kind::Histogram => window.mean(),
        };
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| window.quantile(share));
        let figures = [window.min, window.max, p50, p95, p99];
        let mut cells = vec![
            window.start_ns().into(),
            metric.name.clone().into(),
            metric.tags_json.clone().into(),
            metric.describe_tags().into(),
            optional(value),
            text(&value),
            optional((metric.kind != Kind::Gauge).then(|| window.rate())),
            i64::try_from(window.count).unwrap_or(i64::MAX).into(),
        ];
        cells.extend(figures.map(optional));
        cells.extend(figures.iter().map(text));
        cells
    };
    windows.map(build).collect()
}

/// The columns of [`history_cells`].
pub(super) fn history_columns() -> Vec<Column> {
    vec![
        Column::titled("start_ns", "WINDOW", Unit::Time),
        Column::titled("name", "METRIC", Unit::Name),
        Column::data("tags"),
        Column::table("TAGS", Unit::Text),
        Column::data("value"),
        Column::table("VALUE", Unit::Text),
        Column::titled("rate", "RATE/S", Unit::Count),
        Column::titled("count", "COUNT", Unit::Count),
        Column::data("min"),
        Column::data("max"),
        Column::data("p50"),
        Column::data("p95"),
        Column::data("p99"),
        Column::table("MIN", Unit::Text),
        Column::table("MAX", Unit::Text),
        Column::table("MEDIAN", Unit::Text),
        Column::table("P95", Unit::Text),
        Column::table("P99", Unit::Text),
    ]
}
