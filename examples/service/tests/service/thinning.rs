//! A function that is called very often is folded or counted, and the traces around it stay whole and say so.

use crate::books::{ORDERS_OF_THE_WHOLESALER, STEPS};
use crate::run::{Bound, Run};
use crate::wholeness::assert_whole;

/// The function that is called 20 000 times in one request.
const LINES: &str = "service::db::session::Session::lines";

/// The most rows of one function under one parent before the rest is folded.
const ROWS_BEFORE_FOLDING: u64 = 64;

#[test]
fn twenty_thousand_queries_of_one_request_are_folded_exactly() {
    let run = Run::start(&["--n-plus-one"], Bound::DefaultInRelease);
    let store = run.store();
    assert_eq!(store.functions(), run.books.calls(), "{:?}", run.books);
    let lists = run.books.get("list_orders (wholesaler) 200");
    assert!(lists > 0);
    assert_whole(&run, &[LINES]);
    let trees = store.all(
        r#"SELECT sum(c.weight), sum(c.folded IS NULL), sum(c.folded IS NOT NULL), root.call_id
           FROM calls AS root JOIN calls AS c ON c.parent_id = root.span_id
           WHERE root.function = 'service::api::list_orders' AND root.args LIKE '%"customer":2}'
             AND c.function LIKE '%::Session::lines'
           GROUP BY root.call_id"#,
        |row| {
            Ok((row.get::<_, f64>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?, row.get::<_, i64>(3)?))
        },
    );
    assert_eq!(trees.len() as u64, lists);
    // A burst of queries can outrun the ring. Then some find no room in it, and for a moment the function is sampled, so
    // the rows of such a list stand for an estimate.
    let queries = f64::from(u32::try_from(ORDERS_OF_THE_WHOLESALER).unwrap());
    let is_exact = |weight: f64| (weight - queries).abs() < 0.5;
    let exact = trees.iter().filter(|(weight, ..)| is_exact(*weight)).count();
    println!("{exact} of {} lists are exact", trees.len());
    assert!(exact > 0, "none of {} lists is exact", trees.len());
    let stand_for: f64 = trees.iter().map(|(weight, ..)| weight).sum();
    let made = queries * f64::from(u32::try_from(lists).unwrap());
    assert!((stand_for / made - 1.0).abs() < 0.1, "{stand_for} of {made}");
    for (_, rows, folded, call_id) in trees.into_iter().filter(|(weight, ..)| is_exact(*weight)) {
        assert_eq!(rows, ROWS_BEFORE_FOLDING, "call {call_id}");
        assert!(folded >= 1, "call {call_id}");
        let trace = run.trace(call_id);
        assert!(trace.contains("Session::lines × "), "{trace}");
    }
    run.assert_cost();
}

#[test]
fn a_function_of_five_million_calls_a_second_is_counted_and_traces_say_so() {
    let run = Run::start(&["--hot"], Bound::Default);
    let store = run.store();
    assert_eq!(store.functions(), run.books.calls(), "{:?}", run.books);
    let forecasts = run.books.get("show_forecast 200");
    assert!(forecasts > 0);
    let steps: u64 = store.one("SELECT calls FROM functions WHERE function = 'service::forecast::step'");
    assert_eq!(steps, forecasts * STEPS);
    let fidelity: String = store.one("SELECT fidelity FROM rates WHERE function = 'service::forecast::step'");
    assert_eq!(fidelity, "counted");
    if !cfg!(debug_assertions) {
        assert_whole(&run, &["service::forecast::step"]);
    }
    let last: i64 =
        store.one("SELECT max(call_id) FROM calls WHERE function = 'service::api::show_forecast'");
    let trace = run.trace(last);
    assert!(trace.contains("service::forecast::step") && trace.contains("only counted"), "{trace}");
    store.none(
        "functions lowered for one that is too expensive to count",
        "SELECT DISTINCT function FROM rates WHERE fidelity = 'counted' AND function <> 'service::forecast::step'",
    );
}
