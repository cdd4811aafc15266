//! A call that is no function's: begun, entered, left and ended by hand, on any threads. The spans of bridges are such calls.
//!
//! Takes the moments of a call and its values; gives one record, which the ending thread writes. An open call is an async
//! call whose polls are the times for which it is entered, so sampling, counting, busy time, calls in flight and recovery are
//! those of async calls. While it is entered it is the current call of its thread. The file does not know what the call
//! stands for.
//!
//! A poll ends before the polls around it do, but an open call may be left out of order: `enter a, enter b, leave a, leave b`.
//! It then stays in the context that `b` restores, so each thread remembers the last of such calls, with the context around
//! them, and passes over them.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::async_call::AsyncCall;
use super::context::Context;
use super::panic_hook;
use super::poll::{Polled, leased_state};
use crate::capture::{Fields, Writer, keep_newest};
use crate::limits::VALUES_BYTES_MAX;
use crate::platform::clock::counter;
use crate::record::{NOT_KEPT, Outcome};
use crate::site::CallSite;
use crate::thread::local::{self, Lease};
use crate::thread::scratch;
use crate::thread::state::{SUPPRESSED, ThreadState, WRITING};

/// A call that is begun, entered, left and ended by hand. If it is dropped before it is ended, it ends as `cancelled`.
#[derive(Debug)]
pub struct Open {
    call: AsyncCall,
    /// The time for which the call is entered, on the first thread of those that have entered it now.
    polled: Polled,
    /// The further times for which the call is entered now: on other threads, or again on one thread.
    visits: Vec<Visit>,
    /// The text of the failure, as a token.
    failure: Option<Captured>,
    /// True once a panic has unwound through the call.
    has_panicked: bool,
    /// True if the call began, or was entered, while its thread unwound, so that its end in the same panic says nothing.
    is_in_unwinding: bool,
}

/// A time for which an open call is entered that is not timed, because the call is entered elsewhere already.
#[derive(Debug)]
struct Visit {
    thread: &'static ThreadState,
    before: Context,
}

/// Values that were captured and belong to no call yet.
#[derive(Debug)]
pub struct Captured(Box<[u8]>);

impl Captured {
    /// Captures values with their names. Monitored calls and open calls within `write` pass through. Returns `None` where
    /// nothing is captured: on a thread without a call, and within another capture.
    pub fn fields(mut write: impl FnMut(&mut Fields<'_, '_>)) -> Option<Self> {
        Self::capture(&mut |writer| write(&mut Fields::new(writer)))
    }

    /// Captures the text of a failure, under the same conditions.
    pub fn failure(write: &mut dyn FnMut(&mut dyn std::fmt::Write) -> std::fmt::Result) -> Option<Self> {
        Self::capture(&mut |writer| writer.failure(write))
    }

    fn capture(capture: scratch::Capture<'_>) -> Option<Self> {
        let thread = local::current().filter(|thread| !is_recorders(thread))?;
        let tokens = scratch::append_capture(thread, &[], capture);
        (!tokens.is_empty()).then_some(Self(tokens))
    }
}

/// Returns the calling thread's state, taken if necessary; `None` on a thread that would have to give it back at once.
fn kept_state() -> Option<&'static ThreadState> {
    let (thread, lease) = leased_state()?;
    if lease == Lease::Call {
        local::release(thread);
        return None;
    }
    Some(thread)
}

/// Returns true while the recorder works on this thread: the code that runs belongs to a capture, or interrupts a record.
fn is_recorders(thread: &ThreadState) -> bool {
    matches!(thread.current.load(Ordering::Relaxed), SUPPRESSED | WRITING)
}

impl Open {
    /// Begins a call whose parent is the call that is current now. Its time starts. Returns `None` if the call passes through.
    #[inline]
    #[must_use]
    pub fn begin(site: &'static CallSite) -> Option<Self> {
        settle();
        Self::from_call(AsyncCall::enter(site))
    }

    /// Begins a call below this context.
    #[must_use]
    pub fn begin_below(site: &'static CallSite, context: Context) -> Option<Self> {
        Self::from_call(context.scope(|| AsyncCall::enter(site)))
    }

    fn from_call(mut call: AsyncCall) -> Option<Self> {
        if call.is_over() {
            return None;
        }
        call.start_now();
        let is_in_unwinding = std::thread::panicking();
        let (polled, visits, failure, has_panicked) = (Polled::none(), Vec::new(), None, false);
        Some(Self { call, polled, visits, failure, has_panicked, is_in_unwinding })
    }

    /// Returns the context of calls below this one.
    #[must_use]
    pub fn context(&self) -> Context {
        self.call.context()
    }

    /// Returns the name of the call's function.
    #[must_use]
    pub fn function(&self) -> String {
        self.call.site().shown_name()
    }

    /// Returns the span id; `None` if the call gets one with its record.
    #[must_use]
    pub fn span_id(&self) -> Option<u64> {
        self.call.own_span()
    }

    /// Makes the call current on this thread until [`Self::exit`]; its busy time runs. If it is entered already, here or on
    /// another thread, it becomes current all the same, and its busy time runs on.
    pub fn enter(&mut self) {
        settle();
        if local::current().is_some_and(is_recorders) {
            return;
        }
        let context = self.context();
        if self.polled.0.is_none() {
            self.call.resume_open(&mut self.polled);
        } else if let Some(thread) = kept_state() {
            self.visits.push(Visit { thread, before: Context::from_state(thread) });
            self.call.enter_context(thread);
        }
        if self.call.own_span().is_some() {
            GONE.with(|gone| gone.forget(context.span & !NOT_KEPT));
        }
        self.is_in_unwinding |= std::thread::panicking();
    }

    /// Ends what [`Self::enter`] began on this thread last.
    pub fn exit(&mut self) {
        let Some(thread) = local::current().filter(|thread| !is_recorders(thread)) else { return };
        if std::thread::panicking() && !self.is_in_unwinding {
            self.note_panic();
        }
        let is_here = |of: &'static ThreadState| std::ptr::eq(of, thread);
        if let Some(at) = self.visits.iter().rposition(|visit| is_here(visit.thread)) {
            let before = self.visits.swap_remove(at).before;
            match self.is_current(thread) {
                true => before.enter(thread),
                false if self.call.sets_context() => self.leave_late(before),
                false => {}
            }
        } else if let Some(poll) = self.polled.0.as_ref().filter(|poll| is_here(poll.thread)) {
            let now = self.call.pause(poll);
            let before = poll.before();
            let here = Context::from_state(thread);
            let is_late = self.call.sets_context() && !self.is_current(thread);
            self.call.suspend(thread, now);
            if self.polled.leave().is_some() && is_late {
                // The context of the call that was entered later stays.
                here.enter(thread);
                self.leave_late(before);
            }
        }
        settle();
    }

    /// Captures values of the call, with their names, before anybody else can see the call.
    pub fn capture(&mut self, mut write: impl FnMut(&mut Fields<'_, '_>)) {
        self.call.args(|writer: &mut Writer<'_>| write(&mut Fields::new(writer)));
    }

    /// Returns true if values of this call are captured on this thread.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.call.captures_values()
    }

    /// Adds values to those of the call. A value replaces an earlier one of its name. Beyond the bound for the values of a call,
    /// values are left out.
    pub fn add(&mut self, more: &Captured) {
        let earlier = self.call.values();
        let room = VALUES_BYTES_MAX.saturating_sub(more.0.len());
        let all = if earlier.len() <= room {
            [earlier, &*more.0].concat()
        } else {
            [&*keep_newest(earlier), &*more.0].concat()
        };
        if all.len() <= VALUES_BYTES_MAX {
            self.call.set_values(all.into_boxed_slice());
        }
    }

    /// Notes that the call fails, with this text. The last text counts.
    pub fn fail(&mut self, text: Captured) {
        self.failure = Some(text);
    }

    /// Ends the call: as `panic` if a panic unwinds or has unwound through it, else as `error` if it was noted to fail, else as
    /// `ok`. The record goes into the ring of this thread.
    pub fn end(mut self) {
        if std::thread::panicking() && !self.is_in_unwinding {
            self.note_panic();
        }
        let outcome = match (self.has_panicked, &self.failure) {
            (true, _) => Outcome::Panic,
            (false, Some(_)) => Outcome::Error,
            (false, None) => Outcome::Ok,
        };
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        self.leave_all();
        let failure = self.failure.take();
        let mut text = failure.as_ref().map(|text| move |writer: &mut Writer<'_>| writer.put(&text.0));
        self.call.end_open(counter(), outcome, text.as_mut().map(|text| text as scratch::Capture<'_>));
        settle();
    }

    /// Leaves the call where it is still entered. A thread other than this one restores its context by itself.
    fn leave_all(&mut self) {
        self.visits.clear();
        let Some(poll) = &self.polled.0 else { return };
        match local::current() {
            Some(thread) if std::ptr::eq(poll.thread, thread) && !is_recorders(thread) => self.exit(),
            // The context belongs to another thread, or to the recorder.
            _ => self.polled.0 = None,
        }
    }

    /// Notes the panic that unwinds through the call, with its text, which only this thread knows.
    #[cold]
    fn note_panic(&mut self) {
        if self.has_panicked {
            return;
        }
        self.has_panicked = true;
        if let Some(thread) = local::current() {
            thread.note_unwinding();
        }
        let text = panic_hook::text_since(self.call.start());
        self.failure =
            if text.is_empty() { None } else { Captured::failure(&mut |out| out.write_str(&text)) };
    }

    /// Returns true if the call is the current one of this thread.
    fn is_current(&self, thread: &ThreadState) -> bool {
        thread.current.load(Ordering::Relaxed) == self.context().span
    }

    /// Notes that the call was left while another one was current, which may restore its context.
    #[cold]
    fn leave_late(&self, before: Context) {
        GONE.with(|gone| gone.note(self.context().span & !NOT_KEPT, before));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.call.is_over() {
            self.finish(Outcome::Cancelled);
        }
    }
}

/// The number of calls left out of order that a thread remembers.
const GONE_MAX: usize = 8;

/// The calls that this thread left out of order last: the span of each, and the context around it.
struct Gone {
    calls: [Cell<(u64, Context)>; GONE_MAX],
    count: Cell<usize>,
}

thread_local! {
    /// Const and without `Drop`: an access is one load, and it works in destructors of other thread-locals.
    static GONE: Gone =
        const { Gone { calls: [const { Cell::new((0, Context::NONE)) }; GONE_MAX], count: Cell::new(0) } };
}

impl Gone {
    fn note(&self, span: u64, before: Context) {
        let count = self.count.get();
        self.calls[count % GONE_MAX].set((span, before));
        self.count.set(count + 1);
    }

    /// Returns the context around the call, if it was left out of order.
    fn find_around(&self, span: u64) -> Option<Context> {
        self.calls
            .iter()
            .map(Cell::get)
            .find(|(gone, _)| *gone == span && span != 0)
            .map(|(_, around)| around)
    }

    /// Forgets a call, because it is entered again.
    fn forget(&self, span: u64) {
        if self.count.get() > 0 {
            self.calls
                .iter()
                .filter(|call| call.get().0 == span)
                .for_each(|call| call.set((0, Context::NONE)));
        }
    }
}

/// Passes over a current call that was left out of order: the one around it becomes current.
#[inline]
fn settle() {
    GONE.with(|gone| {
        if gone.count.get() > 0 {
            pass_over(gone);
        }
    });
}

#[cold]
fn pass_over(gone: &Gone) {
    let Some(thread) = local::current().filter(|thread| !is_recorders(thread)) else { return };
    for _ in 0..GONE_MAX {
        let span = thread.current.load(Ordering::Relaxed) & !NOT_KEPT;
        let Some(around) = gone.find_around(span) else { return };
        around.enter(thread);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::accountant::Accountant;
    use crate::config::CaptureMode;
    use crate::private::{Call, Slot};
    use crate::record::{Header, Record, decode};
    use crate::ring::memory::Memory;
    use crate::sampling::Source;
    use crate::site::Description;
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

    fn call(site: &'static CallSite) {
        Call::enter(&mut Slot::empty(), site).ok();
    }

    #[test]
    fn an_entered_call_is_the_parent_of_functions_and_of_other_open_calls() {
        let [outer, span, inner, leaf] = [site(), site(), site(), site()];
        let headers = run(pool(), move || {
            let mut slot = Slot::empty();
            let mut function = Call::enter(&mut slot, outer);
            let mut open = Open::begin(span).unwrap();
            call(inner);
            open.enter();
            let mut below = Open::begin(leaf).unwrap();
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
            let [mut first, mut second] = [Open::begin(a).unwrap(), Open::begin(b).unwrap()];
            first.enter();
            second.enter();
            first.exit();
            call(later);
            second.exit();
            let root = Open::begin(last).unwrap();
            root.end();
            // Entered anew, the call is current again, also behind one that was entered within it.
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
        assert_eq!(
            headers.iter().filter(|header| header.site == last.id()).nth(1).unwrap().parent,
            of(a).span
        );
    }

    #[test]
    fn a_call_that_is_entered_twice_is_timed_once_and_left_twice() {
        let [a, b, leaf] = [site(), site(), site()];
        let headers = run(pool(), move || {
            let [mut first, mut second] = [Open::begin(a).unwrap(), Open::begin(b).unwrap()];
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
            let mut open = Open::begin(moved).unwrap();
            open.enter();
            call(leaf);
            open.exit();
            send.send(open).unwrap();
        });
        let mut open: Open = receive.recv().unwrap();
        let span = open.span_id().unwrap();
        let second = run(pool, move || {
            let child = Open::begin_below(below, open.context()).unwrap();
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
            if let Some(mut open) = self.0.take() {
                open.exit();
                open.end();
            }
        }
    }

    #[test]
    fn a_call_that_is_dropped_was_cancelled_and_one_that_unwinds_panicked() {
        let [dropped, entered, panicking, failing] = [site(), site(), site(), site()];
        let headers = run(pool(), move || {
            drop(Open::begin(dropped).unwrap());
            let mut open = Open::begin(entered).unwrap();
            open.enter();
            drop(open);
            let unwound = std::panic::catch_unwind(|| {
                let mut open = Open::begin(panicking).unwrap();
                open.enter();
                let _guard = Guard(Some(open));
                std::panic::resume_unwind(Box::new("no"));
            });
            assert!(unwound.is_err());
            let mut open = Open::begin(failing).unwrap();
            open.fail(Captured::failure(&mut |text| text.write_str("refused")).unwrap());
            open.end();
        });
        let outcome = |site| find(&headers, site).outcome;
        let outcomes = [dropped, entered, panicking, failing].map(outcome);
        assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Cancelled, Outcome::Panic, Outcome::Error]);
    }

    #[test]
    fn values_are_bounded_and_the_last_of_a_name_stays() {
        let counted = site();
        let headers = run(pool(), move || {
            let mut open = Open::begin(counted).unwrap();
            open.capture(|fields| fields.value("order", &71_u64));
            let long = "x".repeat(200);
            for at in 0..1000_u64 {
                open.add(&Captured::fields(|fields| fields.value("progress", &at)).unwrap());
                open.add(&Captured::fields(|fields| fields.value("text", &*long)).unwrap());
            }
            assert!(open.call.values().len() <= VALUES_BYTES_MAX);
            let text = crate::capture::to_json(open.call.values(), &[]);
            assert_eq!(text, format!("{{\"order\":71,\"progress\":999,\"text\":\"{long}\"}}"));
            open.end();
        });
        assert!(headers[0].args_bytes > 0);
    }
}
