//! Asserts what the store keeps of a call: outcome, values, errors, durations.

use crate::victim::Stage;

#[test]
fn every_outcome_is_recorded_with_its_text_and_counted_exactly() {
    let stage = Stage::new();
    assert_eq!(stage.run("outcomes", 110), "120 10000000\n");
    let store = stage.store();
    let figures = |function: &str| -> String {
        store.one(&format!(
            "SELECT calls || ' ' || errors || ' ' || panics || ' ' || recorded FROM functions
             WHERE function = 'victim::orders::{function}'"
        ))
    };
    assert_eq!(figures("parse"), "220 110 0 220");
    assert_eq!(figures("must_be_small"), "110 0 10 110");
    let texts = |outcome: &str| -> Vec<String> {
        store.all(&format!("SELECT DISTINCT error FROM errors WHERE outcome = '{outcome}'"))
    };
    assert_eq!(texts("error"), ["order refused: invalid digit found in string"]);
    let panics = texts("panic");
    assert_eq!(panics.len(), 1);
    assert!(panics[0].starts_with("10 is not small, ") && panics[0].contains("orders.rs:"), "{panics:?}");
    let groups: Vec<i64> = store.all("SELECT count FROM error_groups ORDER BY count");
    assert_eq!(groups, [10, 110]);
}

#[test]
fn values_are_captured_truncated_and_redacted() {
    let stage = Stage::new();
    stage.run("outcomes", 3);
    let store = stage.store();
    let value = |column: &str, function: &str| -> String {
        store.one(&format!(
            "SELECT {column} FROM calls WHERE function = 'victim::orders::{function}' ORDER BY call_id LIMIT 1"
        ))
    };
    assert_eq!(value("args", "sum"), r#"{"items":[7,7,7,"[10000000 items, truncated]"]}"#);
    assert_eq!(value("result", "sum"), "10000000");
    assert_eq!(value("args", "parse"), r#"{"text":"0"}"#);
    assert_eq!(value("result", "parse"), "0");
    let login = r#"{"login":{"user":"ann","password":"[redacted]"},"token":"[redacted]","attempts":3}"#;
    assert_eq!(value("args", "log_in"), login);
    assert_eq!(value("fields", "log_in"), r#"{"kind":"known"}"#);
    for file in std::fs::read_dir(stage.folder()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in ["hunter2", "t0ken"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    }
}

#[test]
fn a_slow_call_of_a_function_that_is_sampled_out_is_kept() {
    let stage = Stage::new();
    stage.run("outcomes", 1);
    let store = stage.store();
    // On a busy machine the call that does nothing may be slow as well.
    let kept: Vec<String> = store.all(
        "SELECT DISTINCT kept || ' ' || weight || ' ' || (duration_ms >= 20) FROM calls
         WHERE function = 'victim::orders::sometimes_slow'",
    );
    assert_eq!(kept, ["slow 1.0 1"]);
    let calls: i64 =
        store.one("SELECT calls FROM functions WHERE function = 'victim::orders::sometimes_slow'");
    assert_eq!(calls, 2);
}

#[test]
fn a_dropped_future_is_cancelled_once_whether_polled_or_not() {
    let stage = Stage::new();
    assert_eq!(stage.run("cancel", 0), "true true\n");
    let store = stage.store();
    assert_eq!(store.all::<String>("SELECT outcome FROM calls"), ["cancelled"; 3]);
    assert_eq!(store.one::<i64>("SELECT cancelled FROM functions"), 3);
    let longest: i64 = store.one("SELECT MAX(duration_ns) FROM calls");
    assert!(longest >= 5_000_000, "{longest}");
    assert!(store.one::<i64>("SELECT MAX(busy_ns) FROM calls") < longest);
}

#[test]
fn a_hook_of_the_programs_is_called_and_texts_are_kept_again_soon_after() {
    let stage = Stage::new();
    assert_eq!(stage.run("hook", 0), "2\n");
    let texts: Vec<Option<String>> =
        stage.store().all("SELECT error FROM errors WHERE outcome = 'panic' ORDER BY start_ns");
    let starts = |text: &Option<String>, with: &str| text.as_ref().is_some_and(|text| text.starts_with(with));
    assert!(starts(&texts[0], "11 is not small"), "{texts:?}");
    // A panic whose text the recorder was not told does not get the text of another panic.
    assert!(!starts(&texts[1], "11"), "{texts:?}");
    assert!(starts(&texts[2], "13 is not small"), "{texts:?}");
    assert!(!starts(&texts[3], "13"), "{texts:?}");
}

#[test]
fn a_call_that_contained_several_panics_is_told_no_text_of_the_wrong_one() {
    let stage = Stage::new();
    assert_eq!(stage.run("nested-panics", 0), "Ok(())\n");
    let text = |function: &str| {
        let sql =
            format!("SELECT error FROM errors WHERE outcome = 'panic' AND function LIKE '%::{function}'");
        stage.store().all::<Option<String>>(&sql).into_iter().flatten().collect::<String>()
    };
    assert_eq!([text("contains_another"), text("rethrows_the_older")], ["", ""]);
    assert!(text("panics_plainly").starts_with("the only one, "), "{}", text("panics_plainly"));
    let long = text("panics_at_length");
    assert!(long.contains("long long") && long.contains("panics.rs") && long.len() < 1200, "{}", long.len());
}

#[test]
fn a_hook_of_the_programs_delays_no_first_call_and_may_flush_start_and_exit() {
    let stage = Stage::new();
    assert_eq!(stage.run("hook-waits", 0), "2 true true\n3 Ok(())\n");
    assert_eq!(stage.run("hook-flushes", 0), "Ok(())\n4\n");
}
