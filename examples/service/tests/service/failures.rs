//! Every failure has its arguments, its caller and its origin.

use crate::books::{ATTEMPTS, Calls};
use crate::run::ORDINARY;
use crate::store::Store;

#[test]
fn every_failure_has_a_row_with_arguments_caller_and_trace() {
    let (run, store) = (&*ORDINARY, ORDINARY.store());
    let expected: u64 = run.books.calls().into_values().map(Calls::failed).sum();
    assert_eq!(store.one::<u64>("SELECT count(*) FROM errors"), expected);
    store.none("failures without arguments", "SELECT function FROM errors WHERE args IS NULL");
    store.none(
        "failures without a text",
        "SELECT function FROM errors WHERE error IS NULL AND outcome <> 'cancelled'",
    );
    store.none(
        "failures without a caller",
        "SELECT function FROM errors WHERE parent_id IS NULL AND function NOT LIKE 'service::api::%'
         AND function NOT IN ('service::payments::bank::receive', 'service::jobs::run')",
    );
    store.none(
        "failures without the root of their trace",
        "SELECT e.function FROM errors AS e LEFT JOIN calls AS root ON root.span_id = e.trace_id
         WHERE root.call_id IS NULL",
    );
}

#[test]
fn every_failure_is_told_at_its_origin() {
    let (run, store) = (&*ORDINARY, ORDINARY.store());
    let books = &run.books;
    let refused = books.get("create_order 402") + ATTEMPTS * books.get("create_order 502");
    let mut expected = [
        ("service::catalog::Catalog::product", books.get("show_product 404")),
        ("service::catalog::similar", books.get("recommend 200")),
        ("service::checkout::validate", books.get("create_order 400")),
        ("service::payments::bank::authorize", refused),
        ("service::payments::client::Client::post_charge", refused),
        ("service::receipts::initials", books.get("jobs panicked")),
    ]
    .map(|(function, count)| (function.to_owned(), count))
    .to_vec();
    expected.retain(|(_, count)| *count > 0);
    let origins = store.all(
        // The hung job is dropped as a whole, so its failures do not follow from each other.
        "SELECT function, count(*) FROM errors WHERE origin = 1 AND function NOT LIKE 'service::jobs::%'
         GROUP BY function ORDER BY function",
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)),
    );
    assert_eq!(origins, expected);
    store.none(
        "failures that are passed on from nowhere",
        "SELECT e.function FROM errors AS e LEFT JOIN errors AS cause ON cause.span_id = e.caused_by
         WHERE e.origin = 0 AND (cause.call_id IS NULL OR cause.parent_id <> e.span_id)",
    );
    assert_layers(&store, "no payment after 5 attempts", books.get("create_order 502"));
    assert_layers(&store, "the card was declined", books.get("create_order 402"));
}

#[test]
fn what_is_said_about_an_order_stands_in_its_trace() {
    let (run, store) = (&*ORDINARY, ORDINARY.store());
    let said = "body LIKE 'attempt % of order % failed: %'";
    // A hundred lines a second of one place have rows, and each row says how many lines it stands for.
    let lines = store.one::<u64>(&format!("SELECT coalesce(sum(lines), 0) FROM logs WHERE {said}"));
    assert_eq!(lines, ATTEMPTS * run.books.get("create_order 502"));
    assert!(lines > 0);
    store.none(
        "lines beside the call of another order",
        &format!(
            "SELECT l.body FROM logs AS l LEFT JOIN calls AS charge ON charge.call_id = l.call_id
             WHERE {said} AND coalesce(l.body NOT LIKE
               'attempt % of order ' || json_extract(charge.args, '$.charge.order') || ' failed: %', 1)"
        ),
    );
    store.none(
        "lines outside of the trace of a request",
        &format!(
            "SELECT l.body FROM logs AS l LEFT JOIN calls AS request ON request.span_id = l.trace_id
             WHERE {said} AND coalesce(request.function <> 'service::api::create_order', 1)"
        ),
    );
}

/// Asserts that each failure with this text in it can be followed through its four layers, and that each layer has
/// an error of its own.
fn assert_layers(store: &Store, text: &str, requests: u64) {
    assert!(requests > 0, "no request failed with {text}");
    let layers = store.all(
        &format!(
            "SELECT request.function, checkout.function, charge.function, post.function, post.origin,
                    request.error, checkout.error, charge.error, post.error
             FROM errors AS request
             LEFT JOIN errors AS checkout ON checkout.span_id = request.caused_by
             LEFT JOIN errors AS charge ON charge.span_id = checkout.caused_by
             LEFT JOIN errors AS post ON post.span_id = charge.caused_by
             WHERE request.function = 'service::api::create_order' AND request.error LIKE '%{text}%'"
        ),
        |row| {
            let functions: [Option<String>; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
            let errors: [Option<String>; 4] = [row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?];
            Ok((functions, row.get::<_, Option<i64>>(4)?, errors))
        },
    );
    assert_eq!(layers.len() as u64, requests, "{text}");
    for (functions, origin, errors) in layers {
        let functions = functions.map(Option::unwrap_or_default);
        assert_eq!(
            functions.each_ref().map(String::as_str),
            [
                "service::api::create_order",
                "service::checkout::checkout",
                "service::payments::client::Client::charge",
                "service::payments::client::Client::post_charge",
            ]
        );
        assert_eq!(origin, Some(1));
        let errors = errors.map(Option::unwrap_or_default);
        assert!(errors.windows(2).all(|pair| pair[0].ends_with(&pair[1])), "{errors:#?}");
        assert!(errors[3].starts_with("the payment service answered"), "{errors:#?}");
    }
}

#[test]
fn kinds_of_failure_name_the_way_that_they_took() {
    let (run, store) = (&*ORDINARY, ORDINARY.store());
    let refused = run.books.get("create_order 402") + ATTEMPTS * run.books.get("create_order 502");
    let groups = store
        .all("SELECT origin_count, path FROM error_groups WHERE function LIKE '%::post_charge'", |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()))
        });
    assert_eq!(groups.iter().map(|(count, _)| count).sum::<u64>(), refused);
    for (_, path) in groups {
        let at = ["create_order", "checkout", "charge", "post_charge"].map(|name| path.find(name));
        assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{path}");
    }
}
