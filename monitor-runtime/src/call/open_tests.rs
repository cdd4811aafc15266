#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::Ordering;

use super::captured::Captured;
use super::context::Context;
use super::entered::RUNTIME;
use super::guard::{Call, Slot};
use super::open::Open;
use crate::accountant::Accountant;
use crate::config::CaptureMode;
use crate::limits::VALUES_BYTES_MAX;
use crate::record::{Header, Outcome, Record, decode};
use crate::ring::memory::Memory;
use crate::sampling::Source;
use crate::site::{CallSite, Description};
use crate::thread::local;
use crate::thread::pool::ThreadPool;

fn site() -> &'static CallSite {
    static ABOUT: Description = Description::new(|| "shop::order", "src/shop.rs", 1, &[], &[]);
    let site: &'static CallSite = Box::leak(Box::new(CallSite::new(&ABOUT)));
    assert!(site.register());
    site.request(1.0, Source::Default);
    site
}

fn pool() -> &'static ThreadPool {
    let (overflow, _taken) = crossbeam_channel::unbounded();
    let accountant = Accountant::boundless();
    Box::leak(Box::new(ThreadPool::new(accountant, 7, CaptureMode::All, overflow, Memory::on_heap(None))))
}

/// Runs a closure on a thread with a state of this pool. Returns the headers of the records that the thread wrote.
fn run(pool: &'static ThreadPool, body: impl FnOnce() + Send + 'static) -> Vec<Header> {
    let on_thread = move || {
        let (state, _) = pool.acquire().unwrap();
        body();
        assert_eq!(state.current.load(Ordering::Relaxed), 0, "a call stays current");
        assert!(crate::ring::frames::under_way(state.page.words).is_empty());
        local::release(state);
        let mut words = Vec::new();
        state.rings().for_each(|(_, ring)| ring.drain(|_, piece| piece.append_to(&mut words)));
        words
    };
    let words = std::thread::spawn(on_thread).join().unwrap();
    let (mut at, mut headers) = (0, Vec::new());
    while let Some((record, used)) = decode(&words[at..]) {
        if let Record::Call(header, ..) = record {
            headers.push(header);
        }
        at += used;
    }
    headers
}

fn find(headers: &[Header], site: &CallSite) -> Header {
    *headers.iter().find(|header| header.site == site.id()).unwrap()
}

/// Begins a call below the current one.
fn begin(site: &'static CallSite) -> Open {
    let open = Open::vacant();
    assert!(open.begin(site));
    open
}

/// Begins a call below a context.
fn begin_below(site: &'static CallSite, context: Context) -> Open {
    let open = Open::vacant();
    assert!(open.begin_below(site, context));
    open
}

fn call(site: &'static CallSite) {
    Call::<RUNTIME>::enter(&mut Slot::empty(), site).ok();
}

#[test]
fn an_entered_call_is_the_parent_of_functions_and_of_other_open_calls() {
    let [outer, span, inner, leaf] = [site(), site(), site(), site()];
    let headers = run(pool(), move || {
        let mut slot = Slot::empty();
        let mut function = Call::<RUNTIME>::enter(&mut slot, outer);
        let open = begin(span);
        call(inner);
        open.enter();
        let below = begin(leaf);
        below.enter();
        below.exit();
        below.end();
        call(inner);
        open.exit();
        open.end();
        function.ok();
    });
    let of = |site| find(&headers, site);
    assert_eq!(headers.len(), 5);
    assert_eq!(of(span).parent, of(outer).span);
    assert_eq!(of(leaf).parent, of(span).span);
    let parents: Vec<u64> =
        headers.iter().filter(|header| header.site == inner.id()).map(|header| header.parent).collect();
    assert_eq!(parents, [of(outer).span, of(span).span]);
    assert!(headers.iter().all(|header| header.trace == of(outer).span && header.outcome == Outcome::Ok));
    assert!(of(span).busy <= of(span).duration && of(span).busy > 0);
}

#[test]
fn calls_that_are_left_out_of_order_leave_nothing_behind() {
    let [a, b, later, last] = [site(), site(), site(), site()];
    let headers = run(pool(), move || {
        let [first, second] = [begin(a), begin(b)];
        first.enter();
        second.enter();
        first.exit();
        call(later);
        second.exit();
        let root = begin(last);
        root.end();
        // Entered again, the call is current again, also after the visit of a call that was entered within it.
        first.enter();
        second.enter();
        second.exit();
        call(last);
        first.exit();
        first.end();
        second.end();
    });
    let of = |site| find(&headers, site);
    assert_eq!((of(later).parent, of(last).parent), (of(b).span, 0));
    assert_eq!(headers.iter().filter(|header| header.site == last.id()).nth(1).unwrap().parent, of(a).span);
}

#[test]
fn a_call_that_is_entered_twice_is_timed_once_and_left_twice() {
    let [a, b, leaf] = [site(), site(), site()];
    let headers = run(pool(), move || {
        let [first, second] = [begin(a), begin(b)];
        first.enter();
        second.enter();
        first.enter();
        call(leaf);
        first.exit();
        call(leaf);
        second.exit();
        call(leaf);
        first.exit();
        call(leaf);
        first.end();
        second.end();
    });
    let of = |site| find(&headers, site);
    let parents: Vec<u64> =
        headers.iter().filter(|header| header.site == leaf.id()).map(|header| header.parent).collect();
    assert_eq!(parents, [of(a).span, of(b).span, of(a).span, 0]);
    assert!(of(a).busy <= of(a).duration);
}

#[test]
fn a_call_that_ends_on_another_thread_is_written_there_with_the_span_of_its_begin() {
    let [moved, leaf, below] = [site(), site(), site()];
    let pool = pool();
    let (send, receive) = std::sync::mpsc::channel();
    let first = run(pool, move || {
        let open = begin(moved);
        open.enter();
        call(leaf);
        open.exit();
        send.send(open).unwrap();
    });
    let open: Open = receive.recv().unwrap();
    let span = open.span_id().unwrap();
    let second = run(pool, move || {
        let child = begin_below(below, open.context());
        open.enter();
        call(leaf);
        open.exit();
        child.end();
        open.end();
    });
    assert!(first.iter().all(|header| header.site == leaf.id() && header.parent == span));
    assert_eq!((find(&second, leaf).parent, find(&second, below).parent), (span, span));
    let header = find(&second, moved);
    assert_eq!((header.span, header.trace, header.outcome), (span, span, Outcome::Ok));
}

/// Leaves and ends a call when it is dropped, as the guard of a span does.
struct Guard(Option<Open>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.exit();
            open.end();
        }
    }
}

#[test]
fn a_call_that_is_dropped_was_cancelled_and_one_that_unwinds_panicked() {
    let [dropped, entered, panicking, failing] = [site(), site(), site(), site()];
    let headers = run(pool(), move || {
        drop(begin(dropped));
        let open = begin(entered);
        open.enter();
        drop(open);
        let unwound = std::panic::catch_unwind(|| {
            let open = begin(panicking);
            open.enter();
            let _guard = Guard(Some(open));
            std::panic::resume_unwind(Box::new("no"));
        });
        assert!(unwound.is_err());
        let open = begin(failing);
        open.fail(Captured::failure(&mut |text| text.write_str("refused")).unwrap());
        open.end();
    });
    let outcome = |site| find(&headers, site).outcome;
    let outcomes = [dropped, entered, panicking, failing].map(outcome);
    assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Cancelled, Outcome::Panic, Outcome::Error]);
}

#[test]
fn each_call_that_is_sampled_out_is_counted_once_with_its_times() {
    const CALLS: u64 = 100;
    let [unsampled, leaf] = [site(), site()];
    unsampled.request(0.0, Source::Default);
    let (send, receive) = std::sync::mpsc::channel();
    let headers = run(pool(), move || {
        let open = Open::vacant();
        for nth in 0..CALLS {
            assert!(open.begin(unsampled));
            // Most calls are direct. Some are entered twice, and some have a callee.
            open.enter();
            if nth % 10 == 3 {
                call(leaf);
            }
            open.exit();
            if nth % 10 == 7 {
                open.enter();
                open.exit();
            }
            open.end();
        }
        let thread = local::current().unwrap();
        send.send(thread.tally(unsampled.id()).unwrap().read()).unwrap();
    });
    assert!(headers.is_empty(), "the callees are sampled out with their callers");
    let counts = receive.recv().unwrap();
    assert_eq!((counts.calls()[Outcome::Ok as usize], counts.unrecorded()[0]), (CALLS, CALLS));
    let sums = counts.sums();
    assert!(sums.busy > 0 && sums.busy <= sums.durations && sums.self_ticks < sums.busy, "{sums:?}");
}

#[test]
fn values_are_bounded_and_the_last_of_a_name_stays() {
    let counted = site();
    let headers = run(pool(), move || {
        let open = begin(counted);
        open.capture(|fields| fields.value("order", &71_u64));
        let long = "x".repeat(200);
        for at in 0..1000_u64 {
            open.add(&Captured::fields(|fields| fields.value("progress", &at)).unwrap());
            open.add(&Captured::fields(|fields| fields.value("text", &*long)).unwrap());
        }
        assert!(open.values().len() <= VALUES_BYTES_MAX);
        let text = crate::capture::to_json(&open.values(), &[]);
        assert_eq!(text, format!("{{\"order\":71,\"progress\":999,\"text\":\"{long}\"}}"));
        open.end();
    });
    assert!(headers[0].args_bytes > 0);
}
