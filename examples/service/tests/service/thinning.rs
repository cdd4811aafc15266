//! A function that is called very often is folded or counted, and the traces around it stay whole and say so.

use crate::books::{ORDERS_OF_THE_WHOLESALER, STEPS};
use crate::run::{Bound, Run};
use crate::wholeness::assert_whole;

/// The most rows of one function under one parent before the rest is folded.
const ROWS_BEFORE_FOLDING: u64 = 64;

#[test]
fn twenty_thousand_queries_of_one_request_are_folded_exactly() {
    let run = Run::start(&["--n-plus-one"], Bound::DefaultInRelease);
    let store = run.store();
    assert_eq!(store.functions(), run.books.calls(), "{:?}", run.books);
    let lists = run.books.get("list_orders (wholesaler) 200");
    assert!(lists > 0);
    assert_whole(&run, &[]);
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
    // A burst of queries can outrun the ring. Queries that found no room in it are counted as dropped.
    let queries = f64::from(u32::try_from(ORDERS_OF_THE_WHOLESALER).unwrap());
    let dropped: f64 = store.dropped().values().sum();
    let stand_for: f64 = trees.iter().map(|(weight, ..)| weight).sum();
    let made = queries * f64::from(u32::try_from(lists).unwrap());
    assert!((stand_for + dropped - made).abs() < 0.5, "{stand_for} and {dropped} dropped of {made}");
    for (weight, rows, folded, call_id) in trees {
        assert!(weight < queries + 0.5, "{weight} queries in call {call_id}");
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
