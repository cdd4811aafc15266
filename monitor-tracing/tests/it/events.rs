//! Events, as log lines of the call that they happen in.

use monitored::monitor;
use tracing::{Level, error, info, info_span, instrument, warn};
use tracing_subscriber::prelude::*;

use crate::stage::store_of;

#[instrument]
fn order(number: u32) {
    charge(number);
}

#[monitor]
fn charge(number: u32) {
    for attempt in 1..=3 {
        warn!(attempt, "attempt {attempt} of order {number} failed");
    }
}

pub(crate) fn program() {
    tracing_subscriber::registry().with(monitored_tracing::layer().events(Level::INFO)).init();
    order(71);
    order(72);
    tracing::debug!("not wanted");
    info!("outside");
    let far = info_span!("far");
    info_span!("near").in_scope(|| {
        info!(parent: &far, "named");
        info!(parent: None, "none");
        error!(token = "abcdef", count = 3, ratio = 0.5, list = ?[1, 2], "in a span");
    });
}

#[test]
fn events_stand_beside_the_call_that_they_happened_in() {
    let store = store_of("events");
    let lines: Vec<String> = store.all(
        "SELECT level || ' ' || COALESCE(REPLACE(function, 'it::events::', ''), '-') || ': ' || body
         FROM logs ORDER BY at_ns, log_id",
    );
    assert_eq!(
        lines,
        [
            "warn charge: attempt 1 of order 71 failed",
            "warn charge: attempt 2 of order 71 failed",
            "warn charge: attempt 3 of order 71 failed",
            "warn charge: attempt 1 of order 72 failed",
            "warn charge: attempt 2 of order 72 failed",
            "warn charge: attempt 3 of order 72 failed",
            "info -: outside",
            "info far: named",
            "info -: none",
            "error near: in a span",
        ]
    );
    // The line stands in the trace of its order.
    let in_trace: String = store.one(
        "SELECT group_concat(l.body, '; ') FROM logs l JOIN calls c ON c.trace_id = l.trace_id
         WHERE c.function = 'it::events::order' AND json_extract(c.args, '$.number') = 71",
    );
    assert!(in_trace.contains("attempt 3 of order 71 failed") && !in_trace.contains("72"), "{in_trace}");
    let fields: String = store.one("SELECT fields FROM logs WHERE level = 'error'");
    let fields: serde_json::Value = serde_json::from_str(&fields).unwrap();
    let expected = serde_json::json!({ "token": "[redacted]", "count": 3, "ratio": 0.5, "list": "[1, 2]" });
    assert_eq!(fields, expected);
    assert_eq!(store.outcome("events::near"), "error: in a span");
    let place: String = store.one("SELECT target || ' ' || file FROM logs WHERE level = 'error'");
    assert!(place.starts_with("it::events ") && place.ends_with("events.rs"), "{place}");
}

pub(crate) fn name_fields_like_the_facade() {
    // `init` would set the logger too if another package asks tracing-subscriber for it.
    let subscriber = tracing_subscriber::registry().with(monitored_tracing::layer());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    warn!(log.file = "audit.log", log.offset = 7, log.line = 3, log.target = "disk", "turned over");
    warn!(target: "log", { log.file = "audit.log" }, "of a module that is named log");
    tracing_log::LogTracer::init().unwrap();
    log::warn!(target: "shop::pay", "by the facade");
}

#[test]
fn only_an_event_of_the_log_facade_has_its_place_in_fields() {
    let store = store_of("facade");
    let lines: Vec<String> =
        store.all("SELECT target || ': ' || body || COALESCE(' ' || fields, '') FROM logs ORDER BY log_id");
    assert_eq!(
        lines,
        [
            r#"it::events: turned over {"log.file":"audit.log","log.offset":7,"log.line":3,"log.target":"disk"}"#,
            r#"log: of a module that is named log {"log.file":"audit.log"}"#,
            "shop::pay: by the facade",
        ]
    );
    let place: String = store.one("SELECT file FROM logs WHERE target = 'shop::pay'");
    assert!(place.ends_with("events.rs"), "{place}");
}
