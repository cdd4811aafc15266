//! Failures of spans.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::field::Empty;
use tracing::{Span, debug_span, error, info_span, instrument, trace_span, warn};
use tracing_subscriber::prelude::*;

use crate::stage::{install, store_of};

#[derive(Debug)]
struct Refused(std::io::Error);

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("order refused")
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[instrument(err)]
fn by_attribute() -> Result<(), Refused> {
    Err(Refused(std::io::Error::other("no stock")))
}

#[instrument(err)]
fn fine() -> Result<u8, Refused> {
    Ok(1)
}

#[instrument]
fn panics() {
    panic!("shelf {} is empty", 7);
}

/// A destructor that opens a span while its thread unwinds.
struct Cleanup;

impl Drop for Cleanup {
    fn drop(&mut self) {
        info_span!("cleanup").in_scope(|| ());
    }
}

#[instrument]
fn cleans_up() {
    let _cleanup = Cleanup;
    panic!("shelf is empty");
}

pub(crate) fn program() {
    install();
    let _ = (by_attribute(), fine());
    info_span!("event").in_scope(|| error!("attempt {} failed", 3));
    info_span!("warned").in_scope(|| warn!("attempt 3 failed"));
    let refused = Refused(std::io::Error::other("no stock"));
    let source: &dyn Error = &refused;
    info_span!("both").in_scope(|| error!(error = source, order = 71, "cannot place"));
    info_span!("bare").in_scope(|| error!(order = 71));
    info_span!("field", error = %refused);
    info_span!("late", err = Empty).in_scope(|| {
        Span::current().record("err", source);
    });
    info_span!("not", error = false, err = Empty);
    info_span!("outer").in_scope(|| info_span!("inner").in_scope(|| error!("only the inner one")));
    info_span!("secret").in_scope(|| error!("refused, password=hunter2"));
    let quiet = tracing::subscriber::NoSubscriber::default();
    tracing::subscriber::with_default(quiet, || error!("no subscriber"));
    let _ = catch_unwind(panics);
    let _ = catch_unwind(cleans_up);
    let _ = catch_unwind(|| info_span!("contains").in_scope(|| catch_unwind(panics).is_err()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = runtime.spawn(async_panics());
    assert!(runtime.block_on(task).is_err());
    for _ in 0..3 {
        let span = info_span!("plain");
        let _ = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| panic!("in a span"))));
    }
}

/// The status of a span, as a program shows it by its `Debug`.
#[derive(Debug)]
enum Status {
    Error,
    Ok,
}

/// A status whose `Debug` panics.
struct NoStatus;

impl fmt::Debug for NoStatus {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no status");
    }
}

/// A program that was written for `tracing-opentelemetry`.
pub(crate) fn record_status() {
    install();
    let span = info_span!("code_first", otel.status_code = Empty, otel.status_message = Empty);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_message", "db down");
    let span = info_span!("text_first", otel.status_code = Empty, otel.status_description = Empty);
    span.record("otel.status_description", tracing::field::display("db down"));
    span.record("otel.status_code", "ERROR");
    info_span!("at_once", otel.status_message = "db down", otel.status_code = "error", order = 71);
    info_span!("code_alone", otel.status_code = "Error");
    info_span!("shown", otel.status_code = ?Status::Error);
    info_span!("event_first", otel.status_code = Empty).in_scope(|| {
        error!("attempt 3 failed");
        Span::current().record("otel.status_code", "ERROR");
    });
    info_span!("fine", otel.status_code = "OK", otel.status_message = "200", otel.name = "ERROR");
    info_span!("shown_fine", otel.status_code = ?Status::Ok);
    info_span!("unset", otel.status_code = "UNSET", otel.status_message = "");
    info_span!("longer", otel.status_code = "ERRORS");
    info_span!("unshowable", otel.status_code = ?NoStatus);
}

#[test]
fn a_status_of_opentelemetry_is_an_outcome() {
    let store = store_of("status");
    for (function, outcome) in [
        ("code_first", "error: db down"),
        ("text_first", "error: db down"),
        ("at_once", "error: db down"),
        ("code_alone", "error: otel.status_code = ERROR"),
        ("shown", "error: otel.status_code = ERROR"),
        ("event_first", "error: attempt 3 failed"),
        ("fine", "ok"),
        ("shown_fine", "ok"),
        ("unset", "ok"),
        ("longer", "ok"),
        ("unshowable", "ok"),
    ] {
        assert_eq!(store.outcome(&format!("outcomes::{function}")), outcome, "{function}");
    }
}

/// A program that writes errors in spans that are below the level of the layer.
pub(crate) fn fail_within() {
    tracing_subscriber::registry().with(monitored_tracing::layer()).init();
    error!("outside");
    debug_span!("alone").in_scope(|| error!("in no recorded span"));
    info_span!("around").in_scope(|| debug_span!("below").in_scope(|| error!("within")));
    info_span!("far_around").in_scope(|| {
        let below = trace_span!("below");
        info_span!("between").in_scope(|| {
            debug_span!("below")
                .in_scope(|| debug_span!(parent: &below, "named").in_scope(|| error!("named")));
        });
    });
    let outer = info_span!("named_around");
    let below = debug_span!(parent: &outer, "below");
    info_span!("other").in_scope(|| {
        error!(parent: &below, "explicit");
        error!(parent: None, "none");
    });
}

#[test]
fn an_error_in_a_span_that_is_not_recorded_fails_the_recorded_one_around() {
    let store = store_of("within");
    for (function, outcome) in [
        ("around", "error: within"),
        ("far_around", "error: named"),
        ("between", "ok"),
        ("named_around", "error: explicit"),
        ("other", "ok"),
    ] {
        assert_eq!(store.outcome(&format!("outcomes::{function}")), outcome, "{function}");
    }
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 5);
}

#[instrument]
async fn async_panics() {
    tokio::task::yield_now().await;
    panic!("poll {}", 2);
}

#[test]
fn failures_of_spans_have_their_outcome_and_text() {
    let store = store_of("outcomes");
    for (function, outcome) in [
        ("by_attribute", "error: order refused"),
        ("fine", "ok"),
        ("event", "error: attempt 3 failed"),
        ("warned", "ok"),
        ("both", "error: cannot place: order refused: no stock"),
        ("bare", "error: it::outcomes"),
        ("field", "error: order refused"),
        ("late", "error: order refused: no stock"),
        ("not", "ok"),
        ("outer", "ok"),
        ("inner", "error: only the inner one"),
        ("cleanup", "ok"),
        ("contains", "ok"),
    ] {
        assert_eq!(store.outcome(&format!("outcomes::{function}")), outcome, "{function}");
    }
    let panics: Vec<String> =
        store.all("SELECT function || ': ' || error FROM calls WHERE outcome = 'panic' ORDER BY 1");
    let starts = [
        "it::outcomes::async_panics: poll 2, ",
        "it::outcomes::cleans_up: shelf is empty, ",
        "it::outcomes::panics: shelf 7 is empty, ",
        "it::outcomes::panics: shelf 7 is empty, ",
        "it::outcomes::plain: in a span, ",
        "it::outcomes::plain: in a span, ",
        "it::outcomes::plain: in a span, ",
    ];
    assert_eq!(panics.len(), starts.len(), "{panics:#?}");
    for (panic, start) in panics.iter().zip(starts) {
        assert!(panic.starts_with(start) && panic.contains("outcomes.rs:"), "{panic}");
    }
    let secret: String = store.outcome("outcomes::secret");
    assert!(secret.starts_with("error: refused") && !secret.contains("hunter2"), "{secret}");
}
