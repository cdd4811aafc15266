//! `monitor sample`: shows, sets and removes rates.

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
    assert_eq!((&rows[0]["kind"], &rows[0]["asked"]), (&json!("pattern"), &json!(0.125)));
    assert_eq!(rows[0]["name"], json!("*::reserve"));
    let shown: Vec<_> = rows.iter().map(|row| (&row["kind"], &row["name"], &row["rate"])).collect();
    assert!(shown.contains(&(&json!("function"), &json!("shop::stock::reserve"), &json!(0.125))));
    assert_eq!(rows.len(), 4);
}

#[test]
fn what_a_function_costs_is_shown_with_why_it_is_sampled_like_that() {
    let fixture = Fixture::new();
    let insert = "INSERT INTO function_rate VALUES
        (1, 2, ?1, 1.0, 0.0004, 'counted', 2000000.0, 750.0, 2.5, 0.8, 3.25, 1.0,
         'only counted, because timing would cost more')";
    fixture.db.execute(insert, [fixture.now]).unwrap();
    let rows = monitor(&fixture.path, &["sample", "--format", "json"]).json();
    let row = rows.iter().find(|row| row["fidelity"] == "counted").unwrap();
    assert_eq!((&row["asked"], &row["rate"]), (&json!(1.0), &json!(0.0004)));
    let table = monitor(&fixture.path, &["sample"]).ok();
    let line = table.lines().find(|line| line.contains("counted")).unwrap();
    for part in ["0.0004", "2.00 M", "750", "2 ns", "0.80 %", "3.25 %", "only counted, because"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_rate_for_no_whole_name_says_which_pattern_would_match() {
    let fixture = Fixture::new();
    let set = monitor(&fixture.path, &["sample", "place", "0.5"]).err;
    assert!(
        set.contains("matches 0 functions") && set.contains("`*::place` would match 1 function"),
        "{set}"
    );
    let reset = monitor(&fixture.path, &["sample", "--reset", "place"]).err;
    assert!(!reset.contains("would match"), "{reset}");
}

#[test]
fn a_rate_that_is_set_or_reset_is_an_event_that_says_who() {
    let fixture = Fixture::new();
    monitor(&fixture.path, &["sample", "shop::a", "0"]).ok();
    monitor(&fixture.path, &["sample", "--reset", "shop::a"]).ok();
    let mut events =
        fixture.db.prepare("SELECT detail FROM events WHERE kind = 'rate' ORDER BY at_ns").unwrap();
    let details: Vec<String> = events.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(details, ["shop::a set to 0 by monitor:ada", "shop::a reset by monitor:ada"]);
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
