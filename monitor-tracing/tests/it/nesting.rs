//! Spans and `#[monitor]` calls within each other.

use monitored::monitor;
use rayon::prelude::*;
use tracing::{Instrument, Span, info_span, instrument};

use crate::stage::{install, store_of};

#[monitor]
fn function() {
    span_in_function();
    let span = info_span!("block");
    span.in_scope(leaf);
}

#[instrument]
fn span_in_function() {
    leaf();
    function_in_span();
}

#[monitor]
fn function_in_span() {
    span_leaf();
    leaf();
}

#[monitor]
fn leaf() {}

#[instrument]
fn span_leaf() {}

#[monitor]
async fn async_function() {
    async_span().await;
    tokio::task::yield_now().await;
    leaf();
}

#[instrument]
async fn async_span() {
    tokio::task::yield_now().await;
    async_leaf().await;
    span_in_function();
    tokio::task::yield_now().await;
    leaf();
}

#[monitor]
async fn async_leaf() {
    tokio::task::yield_now().await;
    span_leaf();
}

pub(crate) fn program() {
    install();
    function();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { tokio::join!(async_function(), async_function()) });
}

#[test]
fn spans_and_functions_nest_in_each_other_to_any_depth() {
    let store = store_of("nesting");
    let count = |link: &str| store.links().iter().filter(|other| *other == link).count();
    for (link, expected) in [
        ("nesting::function < -", 1),
        ("nesting::span_in_function < nesting::function", 1),
        ("nesting::block < nesting::function", 1),
        ("nesting::leaf < nesting::block", 1),
        ("nesting::async_function < -", 2),
        ("nesting::async_span < nesting::async_function", 2),
        ("nesting::async_leaf < nesting::async_span", 2),
        ("nesting::span_leaf < nesting::async_leaf", 2),
        ("nesting::span_in_function < nesting::async_span", 2),
        ("nesting::leaf < nesting::span_in_function", 3),
        ("nesting::function_in_span < nesting::span_in_function", 3),
        ("nesting::span_leaf < nesting::function_in_span", 3),
        ("nesting::leaf < nesting::function_in_span", 3),
        ("nesting::leaf < nesting::async_span", 2),
        ("nesting::leaf < nesting::async_function", 2),
    ] {
        assert_eq!(count(link), expected, "{link} in {:#?}", store.links());
    }
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 30);
    assert_eq!(store.one::<i64>("SELECT COUNT(DISTINCT trace_id) FROM calls"), 3);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE outcome <> 'ok'"), 0);
    // The row of a span has a busy time, as the row of a call has: more than zero, and at most the duration.
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE busy_ns > duration_ns OR busy_ns <= 0"), 0);
    let waited =
        "SELECT COUNT(*) FROM calls WHERE function = 'it::nesting::async_span' AND busy_ns < duration_ns";
    assert_eq!(store.one::<i64>(waited), 2);
}

#[test]
fn the_source_of_a_span_is_that_of_its_callsite() {
    let store = store_of("nesting");
    let place: String =
        store.one("SELECT file || ' ' || group_name FROM functions WHERE function = 'it::nesting::block'");
    assert!(place.ends_with("nesting.rs it"), "{place}");
    let line: i64 = store.one("SELECT line FROM functions WHERE function = 'it::nesting::block'");
    let text = include_str!("nesting.rs").lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
    assert!(text.contains("info_span!(\"block\")"), "{text}");
}

pub(crate) fn name_parents() {
    install();
    let outer = info_span!("outer");
    let entered = outer.enter();
    let far = info_span!(parent: None, "root");
    info_span!(parent: &far, "explicit").in_scope(leaf);
    let unrecorded = info_span!("inner");
    info_span!(parent: &unrecorded, "below_inner").in_scope(|| ());
    // The span is entered here, and on a thread that has recorded nothing so far.
    std::thread::scope(|scope| {
        scope.spawn(|| outer.in_scope(leaf));
    });
    drop(entered);
    // The parent is neither entered nor on this thread.
    std::thread::scope(|scope| {
        scope.spawn(|| info_span!(parent: &outer, "elsewhere").in_scope(leaf));
    });
    let follower = info_span!("follower");
    follower.follows_from(&outer);
    follower.follows_from(&far);
    follower.follows_from(&outer);
}

#[test]
fn explicit_parents_and_causes_are_known() {
    let store = store_of("parents");
    let links = store.links();
    assert_eq!(
        links,
        [
            "nesting::below_inner < nesting::inner",
            "nesting::elsewhere < nesting::outer",
            "nesting::explicit < nesting::root",
            "nesting::follower < -",
            "nesting::inner < nesting::outer",
            "nesting::leaf < nesting::elsewhere",
            "nesting::leaf < nesting::explicit",
            "nesting::leaf < nesting::outer",
            "nesting::outer < -",
            "nesting::root < -",
        ]
    );
    let expected = serde_json::json!({ "follows": ["it::nesting::outer", "it::nesting::root"] });
    assert_eq!(store.args("nesting::follower"), expected);
}

#[instrument]
async fn task() {
    tokio::task::yield_now().await;
    leaf();
}

#[monitor]
async fn spawns() {
    let tasks = [
        tokio::spawn(task().in_current_span()),
        tokio::spawn(task().instrument(info_span!("around"))),
        tokio::spawn(task()),
    ];
    for task in tasks {
        task.await.unwrap();
    }
    let span = info_span!("blocking");
    tokio::task::spawn_blocking(move || span.in_scope(leaf)).await.unwrap();
}

pub(crate) fn run_tasks() {
    install();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async { spawns().await }.instrument(info_span!("request")));
}

#[test]
fn spans_carry_their_place_in_the_trace_to_tasks_and_threads() {
    let store = store_of("tasks");
    assert_eq!(
        store.links(),
        [
            "nesting::around < nesting::spawns",
            "nesting::blocking < nesting::spawns",
            "nesting::leaf < nesting::blocking",
            "nesting::leaf < nesting::task",
            "nesting::leaf < nesting::task",
            "nesting::leaf < nesting::task",
            "nesting::request < -",
            "nesting::spawns < nesting::request",
            // A span is created when its future is first polled: in the task, unless it was carried there.
            "nesting::task < -",
            "nesting::task < nesting::around",
            "nesting::task < nesting::request",
        ]
    );
}

pub(crate) fn leave_out_of_order() {
    install();
    let [first, second] = [info_span!("first"), info_span!("second")];
    let a = first.enter();
    let b = second.enter();
    drop(a);
    leaf();
    drop(b);
    span_leaf();
    // A guard that outlives the function that entered the span.
    let guard = enters(&first);
    drop(guard);
    span_leaf();
    let again = first.enter();
    let twice = first.enter();
    drop(twice);
    function_in_span();
    drop(again);
    assert!(Span::current().is_none());
    span_leaf();
}

#[monitor]
fn enters(span: &Span) -> tracing::span::Entered<'_> {
    let _ = span;
    let inner: &'static Span = Box::leak(Box::new(info_span!("kept")));
    inner.enter()
}

#[test]
fn spans_that_are_left_out_of_order_leave_no_false_parents() {
    let store = store_of("order");
    assert_eq!(
        store.links(),
        [
            "nesting::enters < -",
            "nesting::first < -",
            "nesting::function_in_span < nesting::first",
            "nesting::kept < nesting::enters",
            "nesting::leaf < nesting::function_in_span",
            "nesting::leaf < nesting::second",
            "nesting::second < -",
            "nesting::span_leaf < -",
            "nesting::span_leaf < -",
            "nesting::span_leaf < -",
            "nesting::span_leaf < nesting::function_in_span",
        ]
    );
}

#[instrument]
fn resize(image: u32) {
    leaf();
}

/// Splits its work in two halves, which any thread of the pool takes. A thread that waits for one half may take that of another
/// call meanwhile.
#[instrument]
fn split(depth: u32) {
    if depth > 0 {
        let here = Span::current();
        let half = || here.in_scope(|| split(depth - 1));
        rayon::join(half, half);
    }
}

#[monitor]
fn resize_all() {
    info_span!("batch").in_scope(|| {
        let here = Span::current();
        (0..8).into_par_iter().for_each(|image| here.in_scope(|| resize(image)));
        (0..4).into_par_iter().for_each(resize);
    });
    split(6);
}

pub(crate) fn run_pool() {
    install();
    rayon::ThreadPoolBuilder::new().num_threads(4).build_global().unwrap();
    resize_all();
}

#[test]
fn spans_carry_their_place_in_the_trace_to_the_threads_of_a_pool() {
    let store = store_of("rayon");
    let links = store.links();
    let count = |link: &str| links.iter().filter(|other| *other == link).count();
    for (link, expected) in [
        ("nesting::resize_all < -", 1),
        ("nesting::batch < nesting::resize_all", 1),
        ("nesting::resize < nesting::batch", 8),
        // The pool's threads know nothing of the span that is not carried there.
        ("nesting::resize < -", 4),
        ("nesting::leaf < nesting::resize", 12),
        ("nesting::split < nesting::resize_all", 1),
        ("nesting::split < nesting::split", 126),
    ] {
        assert_eq!(count(link), expected, "{link} in {links:#?}");
    }
    let depth = |call: &str| format!("json_extract({call}.args, '$.depth')");
    let (of_call, of_parent) = (depth("c"), depth("p"));
    let wrong = format!(
        "SELECT COUNT(*) FROM calls c JOIN calls p ON p.span_id = c.parent_id
         WHERE c.function = 'it::nesting::split' AND p.function = c.function AND {of_parent} <> {of_call} + 1"
    );
    assert_eq!(store.one::<i64>(&wrong), 0);
    assert_eq!(
        store.one::<i64>("SELECT COUNT(*) FROM calls WHERE busy_ns > duration_ns OR outcome <> 'ok'"),
        0
    );
}
