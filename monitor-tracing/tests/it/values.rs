//! The fields of spans, in `args`.

use std::fmt;

use tracing::field::Empty;
use tracing::{Span, info_span, instrument};

use crate::stage::{install, store_of};

#[derive(Debug)]
#[expect(dead_code, reason = "shown by its Debug")]
struct Order {
    id: u64,
    token: &'static str,
}

struct Shown;

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("shown")
    }
}

#[instrument]
fn arguments(id: u64, name: &str, order: &Order, password: &str, ratio: f64, is_paid: bool) {
    let _ = (id, name, order, password, ratio, is_paid);
}

pub(crate) fn program() {
    install();
    arguments(71, "lamp", &Order { id: 3, token: "abc" }, "hunter2", 0.5, true);
    let span = info_span!("later", status = Empty, user.name = Empty, never = Empty, api_key = Empty);
    span.in_scope(|| {
        Span::current().record("status", 200);
        span.record("user.name", tracing::field::display("Ann \"A\" Lee"));
        span.record("status", 503);
        span.record("api_key", "sk-123456");
    });
    let span = info_span!("often", progress = Empty);
    (0..10_000_u64).for_each(|at| {
        span.record("progress", at);
    });
    info_span!("none").in_scope(|| ());
    let elsewhere = info_span!("elsewhere", at = Empty);
    std::thread::scope(|scope| scope.spawn(|| elsewhere.record("at", 7)).join().map(|_| ()).unwrap());
    info_span!("wide", value = i128::MIN, big = u128::MAX, minus = -5, text = %Shown);
}

#[test]
fn fields_are_arguments_also_those_recorded_later() {
    let store = store_of("values");
    let args = store.args("values::arguments");
    let expected = serde_json::json!({
        "id": 71, "name": "lamp", "order": "Order { id: 3, token: \"[redacted]\" }", "password": "[redacted]",
        "ratio": 0.5, "is_paid": true,
    });
    assert_eq!(args, expected);
    let expected =
        serde_json::json!({ "status": 503, "user.name": "Ann \"A\" Lee", "api_key": "[redacted]" });
    assert_eq!(store.args("values::later"), expected);
    assert_eq!(store.args("values::often"), serde_json::json!({ "progress": 9999 }));
    let none: Option<String> = store.one("SELECT args FROM calls WHERE function = 'it::values::none'");
    assert_eq!(none, None);
    assert_eq!(store.args("values::wide")["text"], "shown");
    assert_eq!(store.args("values::wide")["minus"], -5);
    let args: String = store.one("SELECT group_concat(args) FROM calls");
    assert!(!args.contains("hunter2") && !args.contains("sk-123456") && !args.contains("abc"), "{args}");
}

/// Makes a span of ten fields for each name.
macro_rules! wide_span {
    ($($name:ident)*) => {
        info_span!(
            "wider",
            $($name.a = 0, $name.b = 1, $name.c = 2, $name.d = 3, $name.e = 4,
            $name.f = 5, $name.g = 6, $name.h = 7, $name.i = 8, $name.j = 9,)*
        )
    };
}

pub(crate) fn record_much() {
    install();
    info_span!(
        "many",
        a0 = 0,
        a1 = 1,
        a2 = 2,
        a3 = 3,
        a4 = 4,
        a5 = 5,
        a6 = 6,
        a7 = 7,
        a8 = 8,
        a9 = 9,
        b0 = 0,
        b1 = 1,
        b2 = 2,
        b3 = 3,
        b4 = 4,
        b5 = 5,
        b6 = 6,
        b7 = 7,
        b8 = 8,
        b9 = 9,
        c0 = 0,
        c1 = 1,
        c2 = 2,
        c3 = 3,
        c4 = 4,
        c5 = 5,
        c6 = 6,
        c7 = 7,
        c8 = 8,
        c9 = 9,
    );
    drop(wide_span!(a b c d e f g h i j k l m));
    let long = "x".repeat(1 << 20);
    let span = info_span!("long", text = &*long, debug = ?long, again = Empty, after = 1);
    (0..100).for_each(|_| {
        span.record("again", &*long);
    });
}

#[test]
fn large_values_are_cut_and_the_first_hundred_are_kept() {
    let store = store_of("many-fields");
    let many = store.args("values::many");
    assert_eq!(many.as_object().unwrap().len(), 30);
    assert_eq!(many["c9"], 9);
    let wider = store.args("values::wider");
    assert_eq!(wider.as_object().unwrap().len(), 100, "{wider}");
    assert_eq!((&wider["a.a"], &wider["j.j"]), (&serde_json::json!(0), &serde_json::json!(9)));
    let long = store.args("values::long");
    assert_eq!(long["after"], 1);
    assert!(long["text"].as_str().unwrap().len() < 10_000);
    assert!(store.one::<i64>("SELECT MAX(LENGTH(args)) FROM calls") < 40_000);
}
