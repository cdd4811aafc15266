//! Fields whose formatting panics, speaks, or opens spans.

use std::fmt;

use monitored::monitor;
use tracing::field::{Empty, debug};
use tracing::{error, info, info_span};

use crate::stage::{install, store_of};

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("not shown")
    }
}

struct Speaks;

impl fmt::Debug for Speaks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("formatting");
        error!(speaker = ?Quiet, "formatting fails");
        info_span!("within", more = ?Quiet).in_scope(function);
        out.write_str("spoke")
    }
}

#[derive(Debug)]
struct Quiet;

/// Enters, records into and leaves the span that it is a field of.
struct Touches;

impl fmt::Debug for Touches {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = tracing::Span::current();
        span.record("other", 1);
        span.in_scope(function);
        out.write_str("touched")
    }
}

#[monitor]
fn function() {}

#[monitor]
fn last() {}

pub(crate) fn program() {
    install();
    info_span!("panics", value = ?Panics, after = 1).in_scope(|| error!(error = ?Panics, "cannot"));
    info_span!("speaks", value = ?Speaks).in_scope(|| error!(error = ?Speaks));
    let span = info_span!("touches", value = Empty, other = Empty);
    span.in_scope(|| span.record("value", debug(Touches)));
    let span = info_span!("outside", value = Empty);
    span.record("value", debug(Touches));
    drop(span);
    last();
}

#[test]
fn a_value_that_panics_or_uses_tracing_while_it_is_formatted_does_no_harm() {
    let store = store_of("hostile");
    let panics = store.args("hostile::panics");
    assert!(panics["value"].as_str().unwrap().contains("panicked"), "{panics}");
    assert_eq!(panics["after"], 1);
    assert!(store.outcome("hostile::panics").starts_with("error: "));
    assert_eq!(store.args("hostile::speaks"), serde_json::json!({ "value": "spoke" }));
    assert_eq!(store.outcome("hostile::speaks"), "error: spoke");
    assert_eq!(store.args("hostile::touches"), serde_json::json!({ "value": "touched" }));
    assert_eq!(store.args("hostile::outside"), serde_json::json!({ "value": "touched" }));
    let links = [
        "hostile::last < -",
        "hostile::outside < -",
        "hostile::panics < -",
        "hostile::speaks < -",
        "hostile::touches < -",
    ];
    assert_eq!(store.links(), links);
}
