//! Every trace of an ordinary service is whole.

use std::collections::BTreeMap;

use crate::books::ORDERS_OF_THE_REGULAR;
use crate::run::{ORDINARY, Run};
use crate::store::Store;

#[test]
fn every_call_of_an_ordinary_service_is_counted_and_has_its_row() {
    let (run, store) = (&*ORDINARY, ORDINARY.store());
    let expected = run.books.calls();
    assert_eq!(store.functions(), expected, "{:?}", run.books);
    store.none("lowered", "SELECT function || ': ' || why FROM rates WHERE rate < 1");
    assert_eq!(store.dropped(), BTreeMap::new());
    assert_whole(run, &[]);
    assert_trees_of_the_regular(&store);
}

/// Asserts that the rows stand for exactly the calls that were made, but for those that are counted as dropped, and that
/// each has its caller's row. The functions that are too hot for rows are left out.
pub(crate) fn assert_whole(run: &Run, too_hot: &[&str]) {
    let store = run.store();
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for (function, calls) in run.books.calls() {
        expected.insert(function, f64::from(u32::try_from(calls.all).unwrap()));
    }
    let mut weights = store.weights();
    for (function, dropped) in store.dropped() {
        *weights.entry(function).or_default() += dropped;
    }
    for function in too_hot {
        expected.remove(*function);
        weights.remove(*function);
    }
    assert_eq!(weights, expected);
    let too_hot = too_hot.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    store.none(
        "rows that stand for other calls without being folded",
        &format!(
            "SELECT function FROM calls WHERE weight <> 1 AND folded IS NULL AND function NOT IN ({too_hot})"
        ),
    );
    store.none(
        "rows without their caller's row",
        "SELECT c.function FROM calls AS c LEFT JOIN calls AS p ON p.span_id = c.parent_id
         WHERE c.parent_id IS NOT NULL AND p.call_id IS NULL",
    );
    store.none(
        "roots that are no entry points",
        "SELECT DISTINCT function FROM calls WHERE parent_id IS NULL AND function NOT LIKE 'service::api::%'
         AND function NOT IN ('service::payments::bank::receive', 'service::jobs::run')",
    );
    store.none(
        "rows outside of their caller's trace",
        "SELECT c.function FROM calls AS c JOIN calls AS p ON p.span_id = c.parent_id
         WHERE c.trace_id <> p.trace_id",
    );
}

/// Asserts that each list of the regular customer has the row of each of its 42 queries.
fn assert_trees_of_the_regular(store: &Store) {
    let trees = store.all(
        r#"SELECT sum(c.function LIKE '%::Session::orders'), sum(c.function LIKE '%::Session::lines'), count(*)
           FROM calls AS root JOIN calls AS c ON c.trace_id = root.trace_id
           WHERE root.function = 'service::api::list_orders' AND root.args LIKE '%"customer":1}'
           GROUP BY root.call_id"#,
        |row| Ok([row.get::<_, u64>(0)?, row.get(1)?, row.get(2)?]),
    );
    assert!(!trees.is_empty());
    for tree in trees {
        assert_eq!(tree, [1, ORDERS_OF_THE_REGULAR, ORDERS_OF_THE_REGULAR + 2]);
    }
}
