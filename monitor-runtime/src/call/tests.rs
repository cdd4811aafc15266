//! Tests of calls as a whole: which records and counts a tree of calls leaves at which rates.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test fails by panicking; exact weights are meant"
)]

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{self, Poll, Waker};

use super::async_call::AsyncCall;
use super::entered::RUNTIME;
use super::future::instrument;
use super::guard::{Call, Slot};
use crate::capture::dispatch::{self, traits::*};
use crate::config::CaptureMode;
use crate::record::{Header, Kept, Outcome, Record, decode};
use crate::ring::memory::Memory;
use crate::sampling::Source;
use crate::site::{CallSite, Caps, Description};
use crate::thread::pool::ThreadPool;
use crate::thread::state::ThreadState;
use crate::thread::tally::TickSums;

/// Returns a new function with these sampling rates: `rate` for roots, and `callee_rate` below a kept call. Its first
/// calls are treated like any other.
fn function(rate: f64, callee_rate: f64) -> &'static CallSite {
    function_with(Caps { rate, callee_rate, ..Caps::NONE })
}

fn function_with(caps: Caps) -> &'static CallSite {
    let about = Description::new(|| "orders::place", "src/orders.rs", 1, &["number"], &[]);
    let site: &'static CallSite = Box::leak(Box::new(CallSite::new(Box::leak(Box::new(about)))));
    assert!(site.register());
    site.request(1.0, Source::Default);
    site.apply(caps);
    site
}

/// Returns a function whose calls are only counted, from its second call on.
fn counted() -> &'static CallSite {
    let site = function_with(Caps { rate: 1e-9, callee_rate: 1e-9, is_counted: true, ..Caps::NONE });
    assert!(site.is_counted());
    site
}

/// Begins a long countdown of a counted function on this thread.
fn count_only(site: &'static CallSite) {
    ok(site, || ());
    crate::thread::local::countdown(site.id()).unwrap().set_gap(site.epoch().number(), 1000);
}

/// A record with the number of its values.
#[derive(Debug, Clone)]
struct Left {
    header: Header,
    values: usize,
}

impl std::ops::Deref for Left {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

/// Runs `calls` on a thread of its own. Returns the records that the thread left, in order, and the thread's state.
fn run(calls: impl FnOnce() + Send + 'static) -> (Vec<Left>, &'static ThreadState) {
    // The mark of forks is set as in a process whose recorder runs, because no call takes the common way without it.
    crate::platform::fork_mark::prepare(|| ());
    let (overflow, _taken) = crossbeam_channel::unbounded();
    let rings = ThreadPool::new(
        Box::leak(Box::new(crate::accountant::Accountant::new(4 << 20))),
        1 << 40,
        CaptureMode::All,
        overflow,
        Memory::on_heap(None),
    );
    let rings: &'static ThreadPool = Box::leak(Box::new(rings));
    let thread = std::thread::spawn(move || {
        let (state, _) = rings.acquire().unwrap();
        calls();
        assert_eq!(state.current.load(std::sync::atomic::Ordering::Relaxed), 0, "no call is current");
        assert!(crate::ring::frames::under_way(state.page.words).is_empty(), "no call is under way");
        let writer = crate::thread::scratch::take(state).unwrap();
        assert_eq!(writer.len(), 0, "no values are left");
        crate::thread::scratch::put_back(writer);
        crate::thread::local::release(state);
        state
    });
    let state = thread.join().unwrap();
    let mut words = Vec::new();
    state.ring.drain(|_, piece| piece.append_to(&mut words));
    let (mut left, mut at) = (Vec::new(), 0);
    while let Some((record, used)) = decode(&words[at..]) {
        if let Record::Call(header, values, _) = record {
            left.push(Left { header, values: values.len() });
        }
        at += used;
    }
    (left, state)
}

/// Makes a call that captures its argument and ends by this outcome after `body`.
fn call(site: &'static CallSite, outcome: Outcome, body: impl FnOnce()) {
    let mut slot = Slot::empty();
    let mut call = Call::<RUNTIME>::prepare(&mut slot, site);
    if let Some(writer) = call.args() {
        (&&&&&dispatch::Value(&7_u64)).__monitor_capture(writer);
        call.keep_args(writer);
    }
    body();
    if outcome == Outcome::Ok {
        call.ok();
    } else if let Some((writer, last)) = call.error() {
        (&&&&&dispatch::ErrorValue(&"refused")).__monitor_write(writer);
        call.end_with(writer, last);
    }
}

fn ok(site: &'static CallSite, body: impl FnOnce()) {
    call(site, Outcome::Ok, body);
}

fn fail(site: &'static CallSite) {
    call(site, Outcome::Error, || ());
}

/// Makes an async call that is polled twice, with `body` in its first poll.
fn call_async(site: &'static CallSite, outcome: Outcome, body: impl FnOnce()) {
    let mut call = AsyncCall::enter(site);
    call.args(|writer| (&&&&&dispatch::Value(&7_u64)).__monitor_capture(writer));
    let mut body = Some(body);
    let twice = poll_fn(move |_| match body.take() {
        Some(body) => {
            body();
            Poll::Pending
        }
        None => Poll::Ready(()),
    });
    let mut future = pin!(instrument(call, twice, move |finish, ()| match outcome {
        Outcome::Ok => finish.ok(),
        _ => finish.error(|writer| (&&&&&dispatch::ErrorValue(&"refused")).__monitor_write(writer)),
    }));
    let mut task = task::Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut task).is_pending());
    if outcome != Outcome::Cancelled {
        assert!(future.as_mut().poll(&mut task).is_ready());
    }
}

fn make(is_async: bool, site: &'static CallSite, outcome: Outcome, body: impl FnOnce()) {
    if is_async { call_async(site, outcome, body) } else { call(site, outcome, body) }
}

fn of<'a>(left: &'a [Left], site: &CallSite) -> Vec<&'a Left> {
    left.iter().filter(|record| record.site == site.id()).collect()
}

fn only<'a>(left: &'a [Left], site: &CallSite) -> &'a Left {
    let found = of(left, site);
    assert_eq!(found.len(), 1, "{left:?}");
    found[0]
}

fn sums(state: &ThreadState, site: &CallSite) -> TickSums {
    state.tally(site.id()).unwrap().read().sums()
}

#[test]
fn a_failure_in_an_unsampled_tree_is_joined_with_the_failures_of_its_callers() {
    for is_async in [false, true] {
        let [root, middle, leaf] = [function(0.0, 0.0), function(1.0, 1.0), function(0.5, 0.5)];
        let (left, state) = run(move || {
            make(is_async, root, Outcome::Error, || {
                make(is_async, middle, Outcome::Error, || make(is_async, leaf, Outcome::Error, || ()));
            });
            make(is_async, root, Outcome::Ok, || make(is_async, middle, Outcome::Ok, || ()));
        });
        let [root_row, middle_row, leaf_row] = [root, middle, leaf].map(|site| only(&left, site));
        assert_eq!((root_row.parent, root_row.trace), (0, root_row.span));
        assert_eq!((middle_row.parent, middle_row.trace), (root_row.span, root_row.span));
        assert_eq!((leaf_row.parent, leaf_row.trace), (middle_row.span, root_row.span));
        for row in [root_row, middle_row, leaf_row] {
            assert_eq!((row.kept, row.outcome), (Kept::Failed, Outcome::Error));
            assert!(row.span < 1 << 63 && row.args_bytes > 0 && row.values > 1, "{row:?}");
        }
        let counted = |site: &CallSite| state.tally(site.id()).unwrap().read().calls();
        assert_eq!([counted(root), counted(middle), counted(leaf)], [[1, 0, 0, 0], [1, 0, 0, 0], [0; 4]]);
    }
}

#[test]
fn calls_below_one_that_is_only_counted_belong_to_the_call_above_it() {
    let [root, leaf, hot] = [function(1.0, 1.0), function(1.0, 1.0), counted()];
    for is_async in [false, true] {
        let (left, _) = run(move || {
            count_only(hot);
            ok(root, || make(is_async, hot, Outcome::Ok, || ok(leaf, || ())));
            ok(root, || make(is_async, hot, Outcome::Error, || ()));
            make(is_async, hot, Outcome::Ok, || ok(leaf, || ()));
        });
        let [roots, leaves] = [root, leaf].map(|site| of(&left, site));
        assert_eq!((leaves[0].parent, leaves[0].trace), (roots[0].span, roots[0].span));
        assert_eq!((leaves[1].parent, leaves[1].trace), (0, leaves[1].span));
        let failed = of(&left, hot).into_iter().find(|row| row.kept == Kept::Failed).unwrap();
        assert_eq!((failed.parent, failed.trace, failed.args_bytes), (roots[1].span, roots[1].span, 0));
        assert!(failed.span != 0 && left.iter().all(|row| row.kept == Kept::First || row.weight == 1.0));
    }
}

#[test]
fn below_a_kept_call_a_function_at_rate_zero_has_no_row_and_its_callees_have_theirs() {
    let [root, between, leaf] = [function(1.0, 1.0), function(1.0, 0.0), function(0.0, 1.0)];
    let (left, _) = run(move || {
        ok(root, || ok(between, || ok(leaf, || ())));
        ok(root, || call_async(between, Outcome::Ok, || call_async(leaf, Outcome::Ok, || ())));
        ok(root, || call(between, Outcome::Error, || ok(leaf, || ())));
    });
    let [roots, leaves] = [root, leaf].map(|site| of(&left, site));
    assert_eq!(leaves.len(), 3);
    for (root, leaf) in roots.iter().zip(&leaves) {
        assert!(leaf.parent != root.span && leaf.parent != 0 && leaf.trace == root.span, "{leaf:?}");
        assert_eq!((leaf.kept, leaf.weight), (Kept::Sampled, 1.0));
    }
    let failed = only(&left, between);
    assert_eq!((failed.parent, failed.span), (roots[2].span, leaves[2].parent));
}

#[test]
fn a_callee_that_is_sampled_further_takes_the_calls_below_it_along() {
    let [root, thinned, leaf] = [function(1.0, 1.0), function(1.0, 0.25), function(1.0, 1.0)];
    let (left, state) = run(move || (0..400).for_each(|_| ok(root, || ok(thinned, || ok(leaf, || ())))));
    let [roots, thinned_rows, leaves] = [root, thinned, leaf].map(|site| of(&left, site));
    assert!(roots.len() == 400 && roots.iter().all(|row| row.weight == 1.0));
    assert!((50..200).contains(&leaves.len()) && leaves.len() == thinned_rows.len(), "{}", leaves.len());
    assert!(leaves.iter().chain(&thinned_rows).all(|row| row.weight == 4.0));
    assert_eq!(state.tally(leaf.id()).unwrap().read().calls()[0] as usize + leaves.len(), 400);
}

#[test]
fn a_function_that_is_counted_is_sampled_with_a_weight_of_its_own() {
    let caps = Caps { rate: 0.1, callee_rate: 0.1, is_counted: true, ..Caps::NONE };
    let [root, dropped, hot, leaf] =
        [function(1.0, 1.0), function(0.0, 0.0), function_with(caps), function(1.0, 1.0)];
    let (left, _) = run(move || {
        (0..300).for_each(|_| ok(root, || ok(hot, || ok(leaf, || ()))));
        (0..300).for_each(|_| ok(dropped, || ok(hot, || ok(leaf, || ()))));
    });
    let [roots, hots, leaves] = [root, hot, leaf].map(|site| of(&left, site));
    assert!((25..110).contains(&hots.len()) && hots.iter().all(|row| row.weight == 10.0), "{}", hots.len());
    // The calls below the function are kept with the call around it, once for each.
    assert!(leaves.len() == 300 && leaves.iter().all(|row| row.weight == 1.0));
    assert_eq!(roots.len(), 300);
}

#[test]
fn self_time_and_the_durations_of_callees_make_up_a_calls_duration() {
    let [root, middle, leaf, timed, hot] =
        [function(1.0, 1.0), function(1.0, 1.0), function(1.0, 1.0), function(1.0, 0.0), counted()];
    let (left, state) = run(move || {
        count_only(hot);
        ok(root, || {
            ok(middle, || (0..3).for_each(|_| ok(leaf, || ())));
            ok(timed, || call_async(leaf, Outcome::Ok, || ok(middle, || ())));
            ok(hot, || ());
            fail(leaf);
        });
    });
    let duration = |row: &&Left| if row.is_async { row.busy } else { row.duration };
    let callees =
        |span: u64| left.iter().filter(|row| row.parent == span).map(|row| duration(&row)).sum::<u64>();
    for row in left.iter().filter(|row| [middle.id(), leaf.id()].contains(&row.site)) {
        assert_eq!(row.self_ticks + callees(row.span), duration(&row), "{row:?}");
    }
    let root = only(&left, root);
    let timed = sums(state, timed);
    assert_eq!(root.self_ticks + callees(root.span) + timed.durations, root.duration);
    // The async call is below the timed one, which has no row.
    let polled = left.iter().find(|row| row.is_async).unwrap();
    assert_eq!(timed.self_ticks + polled.busy, timed.durations);
    assert_eq!((timed.busy, timed.nested, timed.cancelled), (timed.durations, 0, 0));
}

/// Makes calls of two functions in turn, one within the other, the second async.
fn take_turns(outer: &'static CallSite, inner: &'static CallSite, depth: u32) {
    if depth > 0 {
        ok(outer, || call_async(inner, Outcome::Ok, || take_turns(outer, inner, depth - 1)));
    }
}

#[test]
fn only_the_outermost_of_recursive_calls_is_not_nested() {
    let [outer, inner] = [function(1.0, 1.0), function(1.0, 1.0)];
    // A function that shares its bit with the first.
    let other = std::iter::repeat_with(|| function(1.0, 1.0)).find(|site| site.id() % 64 == outer.id() % 64);
    let other = other.unwrap();
    let (left, _) = run(move || {
        ok(other, || take_turns(outer, inner, 3));
        ok(outer, || ok(other, || ()));
    });
    let nested = |site: &CallSite| of(&left, site).iter().map(|row| row.is_nested).collect::<Vec<_>>();
    assert_eq!(nested(outer), [true, true, false, false]);
    assert_eq!(nested(inner), [true, true, false]);
    assert_eq!(nested(other), [false, false]);
}

/// Makes calls of one function, one within the other.
fn descend(site: &'static CallSite, depth: u32) {
    ok(site, || {
        if depth > 0 {
            descend(site, depth - 1);
        }
    });
}

#[test]
fn recursion_deeper_than_the_frames_is_summed_once() {
    let site = function(0.0, 0.0);
    let (left, state) = run(move || descend(site, 200));
    let sums = sums(state, site);
    assert!(left.is_empty());
    // Self times add up to the outermost call's duration.
    assert_eq!(sums.durations - sums.nested, sums.self_ticks);
    assert_eq!(sums.busy, sums.self_ticks);
}

#[test]
fn a_function_whose_captures_cost_too_much_has_no_arguments_where_it_is_unsampled() {
    let site = function_with(Caps { rate: 0.0, callee_rate: 1.0, captures_unsampled: false, ..Caps::NONE });
    let root = function(1.0, 1.0);
    let (left, _) = run(move || {
        fail(site);
        call_async(site, Outcome::Error, || ());
        ok(root, || ok(site, || ()));
    });
    let args: Vec<bool> = of(&left, site).iter().map(|row| row.args_bytes > 0).collect();
    assert_eq!(args, [false, false, true]);
}

#[test]
fn a_slow_unsampled_call_has_its_arguments_and_its_result() {
    let site = function(0.0, 0.0);
    let (left, state) = run(move || {
        let with_result = || {
            let mut slot = Slot::empty();
            let mut call = Call::<RUNTIME>::prepare(&mut slot, site);
            if let Some(writer) = call.args() {
                (&&&&&dispatch::Value(&7_u64)).__monitor_capture(writer);
                call.keep_args(writer);
            }
            if let Some((writer, last)) = call.ok_with() {
                (&&&&&dispatch::Value(&8_u64)).__monitor_capture(writer);
                call.end_with(writer, last);
            }
        };
        with_result();
        site.slow_ticks.store(0, std::sync::atomic::Ordering::Relaxed);
        with_result();
    });
    let row = only(&left, site);
    assert_eq!((row.kept, row.weight), (Kept::Slow, 1.0));
    assert!(row.args_bytes > 0 && row.values * 8 > usize::from(row.args_bytes), "{row:?}");
    assert_eq!(state.tally(site.id()).unwrap().read().calls(), [1, 0, 0, 0]);
}

#[test]
fn a_cancelled_call_is_whole_at_any_rate() {
    let [root, site] = [function(0.0, 0.0), function(0.0, 0.0)];
    let (left, _) = run(move || {
        call_async(root, Outcome::Cancelled, || call_async(site, Outcome::Cancelled, || ()));
    });
    let [root, row] = [root, site].map(|site| only(&left, site));
    assert_eq!((row.parent, row.trace, row.kept), (root.span, root.span, Kept::Failed));
    assert!(row.args_bytes > 0 && row.busy <= row.duration && row.self_ticks <= row.busy, "{row:?}");
}
