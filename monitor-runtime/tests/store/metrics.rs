//! Metrics of programs: changes add up, over windows, processes and files, and series come and go.

use std::path::Path;
use std::sync::Arc;

use crate::rows::*;
use monitor_runtime::batch::{Batch, MetricKind, MetricRow, MetricStats, MetricWindowRow};
use monitor_runtime::histogram::place_of_value;
use monitor_runtime::store::{SqliteStore, Store as _};

/// The start of the first window.
const START: i64 = T0 - T0 % (10 * SECOND);

fn metric(id: u32, kind: MetricKind, name: &str) -> Arc<MetricRow> {
    let tags = r#"{"shop":"berlin"}"#.to_owned();
    Arc::new(MetricRow { id, kind, name: name.to_owned(), unit: None, description: None, tags })
}

fn count(metric: &Arc<MetricRow>, start_ns: i64, count: u64) -> MetricWindowRow {
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let stats = MetricStats { count, sum: count as f64, ..MetricStats::default() };
    MetricWindowRow { metric: Arc::clone(metric), start_ns, stats }
}

/// Values of a histogram.
fn values(metric: &Arc<MetricRow>, start_ns: i64, values: &[f64]) -> MetricWindowRow {
    let bucket = |value: &f64| (i32::try_from(place_of_value(*value)).unwrap() - 8, 1);
    let stats = MetricStats {
        count: values.len() as u64,
        sum: values.iter().sum(),
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
        buckets: values.iter().map(bucket).collect(),
        last: None,
    };
    MetricWindowRow { metric: Arc::clone(metric), start_ns, stats }
}

fn write(store: &mut SqliteStore, sequence: u64, at_ns: i64, metrics: Vec<MetricWindowRow>) {
    store.write(&Batch { at_ns, metrics, ..batch(sequence, Vec::new()) }).unwrap();
}

fn texts(path: &Path, sql: &str) -> Vec<String> {
    query_column(&tool(path), sql)
}

const HISTORY: &str =
    "SELECT name || ' ' || ((start_ns - 1709210090000000000) / 10000000000) || ' ' || count FROM metric_history
                       ORDER BY name, window, process_id";
const SERIES: &str = "SELECT name || ' ' || count || ' ' || sum FROM metrics ORDER BY name";

#[test]
fn changes_of_a_window_add_up_and_a_batch_that_comes_twice_is_added_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let (orders, fill) = (metric(1, MetricKind::Counter, "orders"), metric(2, MetricKind::Histogram, "fill"));
    let next = START + 10 * SECOND;
    let first = vec![count(&orders, START, 5), values(&fill, START, &[0.5, 0.25])];
    write(&mut store, 1, T0, first.clone());
    write(&mut store, 1, T0, first);
    write(
        &mut store,
        2,
        T0,
        vec![count(&orders, START, 7), values(&fill, START, &[8.0]), count(&orders, next, 1)],
    );
    assert_eq!(texts(&path, HISTORY), ["fill 0 3", "orders 0 12", "orders 1 1"]);
    assert_eq!(texts(&path, SERIES), ["fill 3 8.75", "orders 13 13.0"]);
    let (min, max, p50): (f64, f64, f64) = tool(&path)
        .query_row("SELECT min, max, p50 FROM metric_history WHERE name = 'fill'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((min, max), (0.25, 8.0));
    assert!((p50 / 0.5 - 1.0).abs() < 0.046, "{p50}");
    let latest: f64 = query_value(&tool(&path), "SELECT rate FROM metrics WHERE name = 'orders'");
    assert!((latest - 0.1).abs() < 1e-9, "the rate is that of the last window: {latest}");
}

#[test]
fn processes_share_a_series_and_a_later_description_reaches_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let (mut one, mut other) = (open(&path, 1), open(&path, 2));
    // The ids are those of each process.
    write(&mut one, 1, T0, vec![count(&metric(1, MetricKind::Counter, "orders"), START, 5)]);
    write(&mut other, 1, T0, vec![count(&metric(9, MetricKind::Counter, "orders"), START, 3)]);
    let mut described = MetricRow::clone(&metric(1, MetricKind::Counter, "orders"));
    described.description = Some("Orders.".to_owned());
    write(&mut one, 2, T0, vec![count(&Arc::new(described), START, 1)]);
    write(&mut other, 2, T0, vec![count(&metric(9, MetricKind::Counter, "orders"), START, 1)]);
    assert_eq!(texts(&path, SERIES), ["orders 10 10.0"]);
    assert_eq!(texts(&path, "SELECT description FROM metrics"), ["Orders."]);
    assert_eq!(texts(&path, HISTORY), ["orders 0 6", "orders 0 4"]);
    let rate: f64 = query_value(&tool(&path), "SELECT rate FROM metrics");
    assert!((rate - 1.0).abs() < 1e-9, "both processes count: {rate}");
}

#[test]
fn a_series_that_was_deleted_comes_back_and_its_id_is_not_given_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let (orders, late) = (metric(1, MetricKind::Counter, "orders"), metric(2, MetricKind::Counter, "late"));
    write(&mut store, 1, T0, vec![count(&orders, START, 5), count(&late, START, 1)]);
    let now = T0 + 7 * HOUR;
    while store.retain(now).unwrap().more {}
    assert_eq!(texts(&path, HISTORY), [""; 0]);
    assert_eq!(texts(&path, SERIES), ["late 1 1.0"], "the newest series keeps its id");
    let start = now - now % (10 * SECOND);
    write(
        &mut store,
        2,
        now,
        vec![count(&orders, start, 2), count(&metric(3, MetricKind::Gauge, "new"), start, 1)],
    );
    assert_eq!(texts(&path, SERIES), ["late 1 1.0", "new 1 1.0", "orders 2 2.0"]);
    let names = texts(&path, "SELECT name FROM metric_history ORDER BY name");
    assert_eq!(names, ["new", "orders"]);
}

#[test]
fn numbers_at_the_ends_of_their_types_are_stored_as_the_nearest_that_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    let orders = metric(1, MetricKind::Counter, "orders");
    let endless = MetricStats {
        count: u64::MAX,
        sum: f64::INFINITY,
        last: Some(f64::NEG_INFINITY),
        min: Some(f64::NAN),
        max: Some(f64::INFINITY),
        buckets: vec![(i32::MAX, u64::MAX), (i32::MIN, u64::MAX)],
    };
    let row = |kind: MetricKind, name: &str, id| MetricWindowRow {
        metric: metric(id, kind, name),
        start_ns: i64::MAX,
        stats: endless.clone(),
    };
    let rows =
        vec![count(&orders, START, 1), row(MetricKind::Gauge, "g", 2), row(MetricKind::Histogram, "h", 3)];
    write(&mut store, 1, T0, rows.clone());
    write(&mut store, 2, T0, rows);
    assert_eq!(
        query_value::<i64>(&tool(&path), "SELECT count(*) FROM metric_history WHERE sum IS NOT NULL"),
        3
    );
    assert_eq!(query_value::<i64>(&tool(&path), "SELECT max(count) FROM metrics"), i64::MAX);
}
