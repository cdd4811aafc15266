//! `monitor metrics`, and metrics where other tools ask for them.

use monitor_runtime::store::schema::WINDOW_NS;
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::run::monitor;

fn filled() -> Fixture {
    let fixture = Fixture::new();
    fixture.metrics();
    fixture
}

fn rows(fixture: &Fixture, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["metrics"], arguments, &["--format", "json"]].concat();
    monitor(&fixture.path, &arguments).json()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn a_line_is_a_series_with_its_figures() {
    let fixture = filled();
    let found = rows(&fixture, &[]);
    assert_eq!(names(&found), ["fill", "orders", "queue.depth"]);
    let (fill, orders, depth) = (&found[0], &found[1], &found[2]);
    let part =
        |row: &Value, columns: &[&str]| columns.iter().map(|column| row[*column].clone()).collect::<Vec<_>>();
    let figures = ["kind", "latest", "rate", "count", "sum", "min", "max"];
    let counter =
        [json!("counter"), json!(100.0), json!(5.0), json!(100), json!(100.0), Value::Null, Value::Null];
    assert_eq!(part(orders, &figures), counter);
    assert_eq!(orders["description"], "Orders that were placed.");
    assert_eq!(
        part(depth, &figures),
        [json!("gauge"), json!(7.0), Value::Null, json!(2), json!(0.0), json!(7.0), json!(9.0)]
    );
    assert_eq!(
        part(fill, &figures),
        [json!("histogram"), json!(0.375), json!(0.2), json!(4), json!(1.5), json!(0.25), json!(0.5)]
    );
    for (column, expected) in [("p50", 0.25), ("p99", 0.5)] {
        let found = fill[column].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 0.046, "{column}: {found}");
    }
    let table = monitor(&fixture.path, &["metrics", "--wide"]).ok();
    let orders = table.lines().find(|line| line.starts_with("orders")).unwrap();
    assert!(
        orders.contains("kind=new shop=berlin") && orders.contains("counter") && orders.contains("100"),
        "{table}"
    );
    let fill = table.lines().find(|line| line.starts_with("fill")).unwrap();
    assert!(fill.contains("375 ms"), "values have the unit of their metric: {table}");
}

#[test]
fn series_are_selected_by_name_and_tag_and_time() {
    let fixture = filled();
    let select = |arguments: &[&str]| rows(&fixture, arguments).len();
    assert_eq!(select(&["orders"]), 1);
    assert_eq!(select(&["*e*"]), 2);
    assert_eq!(select(&["--tag", "shop=berlin"]), 1);
    assert_eq!(select(&["--tag", "shop=berlin", "--tag", "kind=new"]), 1);
    assert_eq!(select(&["--limit", "2"]), 2);
    assert_eq!(select(&["--until", "1h"]), 0);
    let unknown = monitor(&fixture.path, &["metrics", "--tag", "shop=köln"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("lists all 3 series"), "{}", unknown.err);
    let none = Fixture::new();
    let ran = monitor(&none.path, &["metrics"]);
    assert!(ran.err.contains("no metrics") && ran.err.contains("monitored-metrics"), "{}", ran.err);
    ran.ok();
    assert!(rows(&none, &[]).is_empty());
    let err = monitor(&none.path, &["metrics", "orders"]).failed(1);
    assert!(err.contains("there are no metrics here") && err.contains("monitored-metrics"), "{err}");
}

#[test]
fn the_history_has_a_row_for_each_window_with_the_sums_of_all_processes() {
    let fixture = filled();
    let window = fixture.now / WINDOW_NS;
    let found = rows(&fixture, &["--history", "orders"]);
    let parts: Vec<_> =
        found.iter().map(|row| (row["start_ns"].as_i64().unwrap(), row["value"].as_f64().unwrap())).collect();
    assert_eq!(parts, [((window - 1) * WINDOW_NS, 50.0), ((window - 3) * WINDOW_NS, 50.0)]);
    let depth = rows(&fixture, &["--history", "queue.depth"]);
    assert_eq!(depth.iter().map(|row| row["value"].as_f64().unwrap()).collect::<Vec<_>>(), [7.0, 9.0]);
}

#[test]
fn values_of_any_size_and_unit_can_be_read() {
    let fixture = filled();
    let set = "UPDATE metric SET unit = ?1 WHERE id = 2";
    let window = "UPDATE metric_window SET last = ?1, min = ?1, max = ?1 WHERE metric_id = 2";
    for (value, unit, expected) in [
        (1e-9, None, "1.00e-9"),
        (1e308, None, "1.00e308"),
        (0.25, Some("kilobits_per_second"), "0.250 kilobits/second"),
        (12e6, Some("furlongs"), "12.0 M furlongs"),
    ] {
        fixture.db.execute(set, [unit]).unwrap();
        fixture.db.execute(window, [value]).unwrap();
        let shown = monitor(&fixture.path, &["metrics", "queue.depth", "--wide"]).ok();
        assert!(shown.contains(expected), "{shown}");
        let shown = monitor(&fixture.path, &["metrics", "queue.depth", "--wide", "--history"]).ok();
        let line = shown.lines().find(|line| line.contains("queue.depth")).unwrap();
        assert_eq!(line.matches(expected).count(), 3, "value, least and most: {line}");
    }
}

#[test]
fn prometheus_gets_the_metrics_under_their_own_names() {
    let fixture = filled();
    let text = monitor(&fixture.path, &["export", "prometheus", "--bucket-step", "2"]).ok();
    for line in [
        "# HELP orders_total Orders that were placed.",
        "# TYPE orders_total counter",
        "orders_total{kind=\"new\",shop=\"berlin\"} 100",
        "# TYPE queue_depth gauge",
        "queue_depth 7",
        "# TYPE fill histogram",
        "fill_bucket{le=\"+Inf\"} 4",
        "fill_sum 1.5",
        "fill_count 4",
        "monitored_metrics_left_out 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let counts: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("fill_bucket"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(counts.is_sorted() && counts.contains(&0) && counts.ends_with(&[4, 4]), "{counts:?}");
    let open = monitor(&fixture.path, &["export", "prometheus", "--form", "openmetrics"]).ok();
    assert!(open.contains("# TYPE orders counter") && open.contains("orders_created{kind=\"new\""), "{open}");
    assert!(open.ends_with("# EOF\n"));
}

#[test]
fn a_store_without_metrics_exports_none() {
    let text = monitor(&Fixture::new().path, &["export", "prometheus"]).ok();
    assert!(!text.contains("monitored_metrics_left_out"), "{text}");
}

#[test]
fn a_death_tells_up_to_when_the_metrics_are_known() {
    let fixture = filled();
    let died = (fixture.now / WINDOW_NS) * WINDOW_NS + 4_200_000_000;
    fixture.db.execute("UPDATE process SET ended_ns = ?1 WHERE id = 2", [died]).unwrap();
    let text = monitor(&fixture.path, &["crash"]).ok();
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("metrics "))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains("in the store up to") && line.contains("changes of the 4.20 s after it are lost"),
        "{line}"
    );
}
