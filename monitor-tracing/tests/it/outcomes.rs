//! Failures of spans.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::field::Empty;
use tracing::{Span, error, info_span, instrument, warn};

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
