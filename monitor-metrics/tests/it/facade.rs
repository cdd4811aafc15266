//! The macros of the facade.

use metrics::{Unit, counter, describe_counter, describe_histogram, gauge, histogram};
use monitored_metrics::timer;

use crate::child::{flush, integer, open, play, texts};

pub(crate) fn play_all_kinds() {
    describe_counter!("orders", "Orders that were placed.");
    describe_histogram!("size", Unit::Bytes, "Size of a message.");
    counter!("orders", "shop" => "berlin", "kind" => "new").increment(2);
    counter!("orders", "kind" => "new", "shop" => "berlin").increment(3);
    counter!("orders", "shop" => "köln").absolute(2);
    counter!("orders", "shop" => "köln").absolute(42);
    counter!("orders", "shop" => "köln").absolute(30);
    let depth = gauge!("queue.depth");
    depth.set(7.0);
    depth.increment(5.0);
    depth.decrement(10.0);
    gauge!("orders").set(-1.5);
    let size = histogram!("size");
    (1..=1000_u32).for_each(|bytes| size.record(bytes));
    histogram!("size").record_many(1_000_000.0, 3);
    size.record(f64::NAN);
    size.record(-1.0);
    timer!("fill", "venue" => "xetra").discard();
    let time = timer!("fill", "venue" => "xetra").stop();
    drop(timer!("fill", "venue" => "xetra"));
    assert!(time.as_secs() < 60);
}

pub(crate) fn play_facade() {
    counter!("orders").increment(1000);
    monitored_metrics::install().unwrap();
    play_all_kinds();
    flush();
    let report = monitored_metrics::report();
    assert_eq!((report.series, report.series_dropped), (6, 0));
    assert_eq!((report.values_not_finite, report.values_negative), (1, 1));
    assert!(report.bytes > 1000, "{report:?}");
}

type Row = (String, String, Option<String>, Option<String>, String, f64, i64, f64);

#[test]
fn counters_gauges_histograms_and_timers_are_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("facade", &path);
    let store = open(&path);
    let sql = "SELECT name, kind, unit, description, tags, latest, count, sum FROM metrics
               WHERE name <> 'fill' ORDER BY name, kind, tags";
    let mut select = store.prepare(sql).unwrap();
    let rows: Vec<Row> = select
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get(6)?,
                row.get(7)?,
            ))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let text = |text: &str| text.to_owned();
    let orders = Some(text("Orders that were placed."));
    let row = |name: &str, kind: &str, tags: &str, latest, count, sum| {
        (text(name), text(kind), None, None, text(tags), latest, count, sum)
    };
    let described = |row: Row| (row.0, row.1, row.2, orders.clone(), row.4, row.5, row.6, row.7);
    let dropped = |reason: &str| {
        let tags = format!(r#"{{"reason":"{reason}"}}"#);
        let why = Some(text("Metrics that are not recorded, by reason."));
        (text("monitored.values_dropped"), text("counter"), None, why, tags, 1.0, 1, 1.0)
    };
    let mean = 3_500_500.0 / 1003.0;
    let size = (
        text("size"),
        text("histogram"),
        Some(text("bytes")),
        Some(text("Size of a message.")),
        text("{}"),
        mean,
        1003,
        3_500_500.0,
    );
    let expected = [
        dropped("negative"),
        dropped("not_finite"),
        described(row("orders", "counter", r#"{"kind":"new","shop":"berlin"}"#, 5.0, 5, 5.0)),
        described(row("orders", "counter", r#"{"shop":"köln"}"#, 40.0, 40, 40.0)),
        row("orders", "gauge", "{}", -1.5, 1, 0.0),
        row("queue.depth", "gauge", "{}", 2.0, 3, 0.0),
        size,
    ];
    assert_eq!(rows, expected);
    let (min, max, p50, p99, value): (f64, f64, f64, f64, f64) = store
        .query_row("SELECT min, max, p50, p99, value FROM metric_history WHERE name = 'size'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .unwrap();
    assert_eq!((min, max, value), (1.0, 1e6, mean));
    assert!((p50 / 502.0 - 1.0).abs() < 0.05 && (p99 / 993.0 - 1.0).abs() < 0.05, "{p50} {p99}");
    let depth = "SELECT min = 2.0 AND max = 12.0 AND value = 2.0 AND rate IS NULL FROM metric_history WHERE name = 'queue.depth'";
    assert_eq!(integer(&path, depth), 1);
    let fill = "SELECT unit || ' ' || tags || ' ' || count FROM metrics WHERE name = 'fill'";
    assert_eq!(texts(&path, fill), [r#"seconds {"venue":"xetra"} 2"#]);
    assert_eq!(integer(&path, "SELECT max(max) < 60.0 FROM metric_history WHERE name = 'fill'"), 1);
    assert_eq!(integer(&path, "SELECT count(*) FROM processes"), 1);
}

pub(crate) fn play_several_times() {
    monitored_metrics::install().unwrap();
    let (orders, fill, depth) = (counter!("orders"), histogram!("fill"), gauge!("depth"));
    for at in 1..=20_u32 {
        orders.increment(u64::from(at));
        fill.record(at);
        depth.set(at);
        flush();
    }
    // The process writes these increments when it ends, because no flush follows them.
    orders.increment(1000);
}

#[test]
fn flushes_within_a_window_add_to_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("several times", &path);
    let sums = |view: &str| {
        format!(
            "SELECT group_concat(text, ' ') FROM (SELECT name || ':' || sum(count) || ':' || CAST(sum(sum) AS INTEGER) AS text FROM {view} GROUP BY name ORDER BY name)"
        )
    };
    let expected = ["depth:20:0 fill:20:210 orders:1210:1210"];
    assert_eq!(texts(&path, &sums("metric_history")), expected);
    assert_eq!(texts(&path, &sums("metrics")), expected);
    // A run may pass the edge of a window, seldom more than one.
    let windows = integer(&path, "SELECT count(*) FROM metric_history WHERE name = 'orders'");
    let distinct = integer(&path, "SELECT count(DISTINCT window) FROM metric_history");
    assert_eq!(windows, distinct);
    assert_eq!(
        integer(
            &path,
            "SELECT max(max) = 20.0 AND min(min) = 1.0 FROM metric_history WHERE name <> 'orders'"
        ),
        1
    );
}

pub(crate) fn play_taken() {
    metrics::set_global_recorder(metrics::NoopRecorder).unwrap();
    let error = monitored_metrics::install().unwrap_err();
    assert!(error.to_string().contains("FanoutBuilder"), "{error}");
    metrics::with_local_recorder(&monitored_metrics::recorder(), || counter!("orders").increment(4));
    counter!("orders").increment(100);
    flush();
}

#[test]
fn a_program_with_another_recorder_can_have_ours_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("taken", &path);
    assert_eq!(integer(&path, "SELECT count FROM metrics"), 4);
}
