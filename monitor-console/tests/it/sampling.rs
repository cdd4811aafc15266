//! `monitor sample`: rates shown, set and taken back.

use serde_json::json;

use crate::fixture::Fixture;
use crate::run::monitor;

#[test]
fn a_rate_set_is_a_row_that_says_who_set_it() {
    let fixture = Fixture::new();
    let ran = monitor(&fixture.path, &["sample", "shop::*", "0.25"]);
    assert!(ran.err.contains("matches 3 functions known so far; 1 running process reads it"), "{}", ran.err);
    ran.ok();
    monitor(&fixture.path, &["sample", "shop::*", "0.5"]).ok();
    let row: (String, f64, i64, String) = fixture
        .db
        .query_row("SELECT pattern, rate, set_ns, set_by FROM sampling", [], |row| row.try_into())
        .unwrap();
    assert_eq!((row.0.as_str(), row.1, row.3.as_str()), ("shop::*", 0.5, "monitor:ada"));
    assert!(row.2 >= fixture.now);
}

#[test]
fn rates_set_and_rates_in_force_are_shown() {
    let fixture = Fixture::new();
    fixture.db.execute("UPDATE function SET sample_rate = 0.125 WHERE id = 2", []).unwrap();
    monitor(&fixture.path, &["sample", "*::reserve", "0.125"]).ok();
    let rows = monitor(&fixture.path, &["sample", "--format", "json"]).json();
    let shown: Vec<_> = rows.iter().map(|row| (&row["kind"], &row["name"], &row["rate"])).collect();
    assert_eq!(shown[0], (&json!("pattern"), &json!("*::reserve"), &json!(0.125)));
    assert!(shown.contains(&(&json!("function"), &json!("shop::stock::reserve"), &json!(0.125))));
    assert_eq!(rows.len(), 4);
}

#[test]
fn a_rate_is_taken_back_and_an_unknown_one_is_named() {
    let fixture = Fixture::new();
    monitor(&fixture.path, &["sample", "shop::a", "0"]).ok();
    let err = monitor(&fixture.path, &["sample", "--reset", "shop::b"]).failed(1);
    assert!(err.contains("no rate is set for `shop::b`") && err.contains("shop::a"), "{err}");
    monitor(&fixture.path, &["sample", "--reset", "shop::a"]).ok();
    let left: i64 = fixture.db.query_row("SELECT count(*) FROM sampling", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
