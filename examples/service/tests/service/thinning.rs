//! A function that is called very often is folded or counted, and the traces around it stay whole and say so.

use std::collections::BTreeMap;

use crate::books::{Books, ORDERS_OF_THE_WHOLESALER, STEPS};
use crate::run::{Bound, Run, assert_within_bound};
use crate::wholeness::assert_whole;

/// The most rows of one function under one parent before the rest is folded.
const ROWS_BEFORE_FOLDING: u64 = 64;

#[test]
fn twenty_thousand_queries_of_one_request_are_folded_exactly() {
    let run = Run::start_within_bound(&["--n-plus-one"]);
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
    let queries = f64::from(u32::try_from(ORDERS_OF_THE_WHOLESALER).unwrap());
    for (weight, rows, folded, call_id) in trees {
        assert!((weight - queries).abs() < 0.5, "call {call_id} has {weight} queries");
        assert_eq!((rows, folded), (ROWS_BEFORE_FOLDING, 1), "call {call_id}");
        let trace = run.trace(call_id);
        assert!(trace.contains("Session::lines × "), "{trace}");
    }
    assert_eq!(store.dropped(), BTreeMap::new());
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
    let last: i64 =
        store.one("SELECT max(call_id) FROM calls WHERE function = 'service::api::show_forecast'");
    let trace = run.trace(last);
    assert!(trace.contains("service::forecast::step") && trace.contains("only counted"), "{trace}");
    store.none(
        "functions lowered for one that is too expensive to count",
        "SELECT DISTINCT function FROM rates WHERE fidelity = 'counted' AND function <> 'service::forecast::step'",
    );
    if costs_what_it_says(&run, forecasts) {
        assert_whole(&run, &["service::forecast::step"]);
    }
}

/// Returns true if counting costs what the recorder says, by the CPU time of the same loop without the recorder, and all else
/// of the recorder stays within its budget, so that no other function is lowered.
fn costs_what_it_says(run: &Run, forecasts: u64) -> bool {
    const CPU: &str = "ns of CPU in forecasts";
    let unrecorded = Run::unrecorded(&["--hot"]);
    let per_step = |books: &Books| {
        let steps = u32::try_from(books.get("show_forecast 200") * STEPS / 1000).unwrap();
        f64::from(u32::try_from(books.get(CPU) / 1000).unwrap()) / f64::from(steps)
    };
    let more = per_step(&run.books) - per_step(&unrecorded);
    let store = run.store();
    let step = "FROM rates WHERE function = 'service::forecast::step'";
    let told: f64 = store.one(&format!("SELECT ns_per_call {step}"));
    let counting: f64 = store.one(&format!("SELECT cpu_pct {step}"));
    let all: f64 = store.one("SELECT cost_pct FROM health");
    let costs = format!(
        "a step of {forecasts} forecasts took {more:.2} ns more than without the recorder, which says {told:.2} ns; \
         it cost {all:.2} % of a core, {counting:.2} % of it for counting"
    );
    // A step that is timed takes 15 ns more. The recorder says what a count takes at best.
    let lowered = run.lowered_besides("service::forecast::step");
    let is_within = more < 3.0 * told + 2.0 && all - counting < 1.0 && lowered.is_empty();
    assert_within_bound(is_within || !Run::has_usual_costs(), &costs);
    is_within
}
