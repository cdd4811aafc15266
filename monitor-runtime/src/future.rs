//! The wrapper around the future of a monitored async function: the call is entered where the
//! function is called, is current only while its future is polled, and ends when the future does.
//!
//! In: polls, on whichever thread. Out: one record. The drop of an unfinished future is `cancelled`,
//! or `panic` where a poll unwound. Invariant: the thread's context after a poll is what it was before.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};

use crate::arena::{self, Capture};
use crate::call_site::{CallSite, fidelity};
use crate::capture::Writer;
use crate::clock::{Ticks, ticks};
use crate::context::Context;
use crate::frames;
use crate::guard::{self, Draw, deliver, write_panic};
use crate::record::{Header, Kept, Outcome};
use crate::runtime;
use crate::tally::Unrecorded;
use crate::thread_rings::{self, Lease, NO_SPAN, RESERVED_SPANS, ThreadState, UNSAMPLED};

/// An async call: entered where the function is called, current only while its future is polled.
/// Dropped before its future completed, it is `cancelled`.
#[derive(Debug)]
pub struct AsyncCall {
    site: &'static CallSite,
    state: State,
    /// What is current while it is polled.
    own: Context,
    parent: u64,
    /// 0 before the first poll.
    start: Ticks,
    busy: Ticks,
    values: Option<Box<[u8]>>,
    args_bytes: u16,
    fields_bytes: u16,
    /// Its slot among the calls that wait, from its first wait on; 0 for none.
    slot: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Passes through.
    Pass,
    Drawn,
    Undrawn,
    /// Being polled; what is found like this on drop unwound.
    PolledDrawn,
    PolledUndrawn,
    /// Ended.
    Ended,
}

/// In place of a parent: a root that is kept for being among the first calls of its function.
const FIRST: u64 = UNSAMPLED;

/// A call that passes through.
const PASS: (State, Context, u64) = (State::Pass, Context::NONE, NO_SPAN);

impl AsyncCall {
    /// Enters a call; its parent is the call that is current here and now.
    #[inline]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let (state, own, parent) = Self::entered(site);
        Self::new(site, state, own, parent)
    }

    /// What a call begins as, in plain words: the call itself is built where it stays. Were it returned
    /// through memory, its copy would wait until the processor has put the narrower stores together.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entered(site: &'static CallSite) -> (State, Context, u64) {
        match site.fidelity.load(Ordering::Relaxed) {
            fidelity::OFF => return PASS,
            fidelity::RECORDED => {
                if let Some(thread) = thread_rings::current() {
                    let here = Context::of(thread);
                    if here.span == NO_SPAN || here.span > RESERVED_SPANS {
                        let weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
                        return Self::open(thread, here, weight);
                    }
                }
            }
            _ => {}
        }
        Self::enter_specially(site)
    }

    /// The first call of a function or a thread, a sampled function, a call below one that was not
    /// drawn or within a capture.
    #[cold]
    #[inline(never)]
    fn enter_specially(site: &'static CallSite) -> (State, Context, u64) {
        let Some((thread, lease)) = guard::thread_for(site) else { return PASS };
        let entered = Self::draw(site, thread);
        if lease == Lease::Call {
            thread.home.release(thread);
        }
        entered
    }

    /// A call that is recorded with this weight.
    #[inline]
    fn open(thread: &ThreadState, here: Context, weight: f32) -> (State, Context, u64) {
        let span = thread.next_span();
        let trace = if here.span == NO_SPAN { span } else { here.trace };
        (State::Drawn, Context { span, trace, weight }, here.span)
    }

    fn draw(site: &'static CallSite, thread: &'static ThreadState) -> (State, Context, u64) {
        let here = Context::of(thread);
        let weight = match guard::draw(site, thread, here.span, here.weight) {
            Draw::Pass => return PASS,
            Draw::Undrawn => {
                return (State::Undrawn, Context { span: UNSAMPLED, ..Context::NONE }, NO_SPAN);
            }
            Draw::First => {
                let (state, own, _) = Self::open(thread, here, 1.0);
                return (state, own, FIRST);
            }
            Draw::Follow if here.span == NO_SPAN => 1.0,
            Draw::Follow => here.weight,
            Draw::Drawn(weight) => weight,
        };
        Self::open(thread, here, weight)
    }

    #[inline]
    fn new(site: &'static CallSite, state: State, own: Context, parent: u64) -> Self {
        Self {
            site,
            state,
            own,
            parent,
            start: 0,
            busy: 0,
            values: None,
            args_bytes: 0,
            fields_bytes: 0,
            slot: 0,
        }
    }

    /// As [`crate::guard::Call::args`].
    #[inline]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if matches!(self.state, State::Drawn | State::PolledDrawn)
            && let Some(thread) = thread_rings::current()
            && thread.captures.args()
        {
            self.args_bytes = self.capture(thread, &mut once(capture));
        }
    }

    /// As [`crate::guard::Call::fields`].
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if matches!(self.state, State::Drawn | State::PolledDrawn)
            && let Some(thread) = thread_rings::current()
            && thread.captures.args()
        {
            self.fields_bytes = self.capture(thread, &mut once(capture));
        }
    }

    /// Captures into the arena and moves the bytes into memory that travels with the future.
    fn capture(&mut self, thread: &'static ThreadState, capture: Capture<'_>) -> u16 {
        let before = self.values.take().unwrap_or_default();
        let all = arena::collect(thread, &before, capture);
        let added = all.len().saturating_sub(before.len());
        self.values = Some(all);
        u16::try_from(added).unwrap_or(0)
    }

    /// Begins the part of a function that makes its future: the call is current and its time runs until
    /// [`Self::made`]; where that part unwinds, it panicked.
    #[inline]
    #[must_use]
    pub fn making(&mut self) -> Making {
        Making(self.resume())
    }

    /// Ends the part of a function that makes its future.
    #[inline]
    pub fn made(&mut self, making: Making) {
        let Making(polled) = making;
        if let Some(polled) = polled {
            let now = ticks();
            self.busy = self.busy.wrapping_add(now.wrapping_sub(polled.since));
            self.suspend(polled.thread, now);
        }
    }

    /// Begins a poll: the call is current from here on.
    #[inline]
    fn resume(&mut self) -> Option<Polled> {
        let polled = match self.state {
            State::Drawn => State::PolledDrawn,
            State::Undrawn => State::PolledUndrawn,
            _ => return None,
        };
        let (thread, lease) = match thread_rings::current() {
            Some(thread) => (thread, Lease::Thread),
            None => runtime::rings()?.acquire()?,
        };
        self.state = polled;
        let before = Context::of(thread);
        self.own.enter(thread);
        let since = ticks();
        if self.start == 0 {
            self.start = since;
        }
        frames::push(thread.page.words, self.site.id(), self.start, self.own.span);
        Some(Polled { thread, lease, before, since })
    }

    /// Ends a poll that was not the last.
    fn suspend(&mut self, thread: &ThreadState, now: Ticks) {
        let flights = &thread.home.flights;
        if self.slot == 0 {
            self.slot = flights.take(self.site.id(), self.start, self.own.span, now);
        } else {
            flights.wait(self.slot, now);
        }
        self.state = match self.state {
            State::PolledDrawn => State::Drawn,
            State::PolledUndrawn => State::Undrawn,
            state => state,
        };
    }

    /// Ends a drawn call without values as `ok`, on a thread that has a ring.
    #[inline]
    fn end_plainly(&mut self, end: Ticks) -> bool {
        let plain = self.state == State::PolledDrawn && self.values.is_none() && self.parent != FIRST;
        let Some(thread) = thread_rings::current().filter(|_| plain) else { return false };
        let header = self.header(Outcome::Ok, Kept::Sampled, self.own.weight, end.wrapping_sub(self.start));
        let written = thread.ring.push_header(|| header.encode(0));
        if written {
            self.state = State::Ended;
            self.leave_slot(thread);
        }
        written
    }

    /// The call waits no more.
    #[inline]
    fn leave_slot(&self, thread: &ThreadState) {
        if self.slot != 0 {
            thread.home.flights.give_back(self.slot, self.start, self.own.span);
        }
    }

    #[inline]
    fn header(&self, outcome: Outcome, kept: Kept, weight: f32, duration: Ticks) -> Header {
        Header {
            site: self.site.id(),
            outcome,
            kept,
            is_async: true,
            start: self.start,
            duration,
            span: self.own.span,
            parent: if self.parent == FIRST { NO_SPAN } else { self.parent },
            trace: self.own.trace,
            weight,
            args_bytes: self.args_bytes,
            fields_bytes: self.fields_bytes,
            busy: self.busy,
        }
    }

    /// Ends the call. `end` is when; the value captured goes behind the arguments.
    fn end(&mut self, end: Ticks, outcome: Outcome, value: Option<Capture<'_>>) {
        let undrawn = matches!(self.state, State::Undrawn | State::PolledUndrawn);
        if matches!(self.state, State::Pass | State::Ended) {
            return;
        }
        self.state = State::Ended;
        let (thread, lease) = match thread_rings::current() {
            Some(thread) => (thread, Lease::Thread),
            None => match runtime::rings().and_then(thread_rings::ThreadRings::acquire) {
                Some(taken) => taken,
                None => return,
            },
        };
        self.leave_slot(thread);
        let start = if self.start == 0 { end } else { self.start };
        let duration = end.wrapping_sub(start);
        if undrawn && outcome == Outcome::Ok && duration < self.site.slow_ticks.load(Ordering::Relaxed) {
            guard::count(thread, self.site, outcome, Unrecorded::SampledOut, duration);
        } else {
            self.record(thread, outcome, undrawn, (start, duration), value);
        }
        if lease == Lease::Call {
            thread.home.release(thread);
        }
    }

    fn record(
        &mut self,
        thread: &'static ThreadState,
        outcome: Outcome,
        undrawn: bool,
        (start, duration): (Ticks, Ticks),
        value: Option<Capture<'_>>,
    ) {
        let is_first = self.parent == FIRST;
        let (kept, weight) = match outcome {
            Outcome::Ok if undrawn => (Kept::Slow, 1.0),
            Outcome::Ok if is_first => (Kept::First, 1.0),
            Outcome::Ok => (Kept::Sampled, self.own.weight),
            _ => (Kept::Failed, 1.0),
        };
        let mut header = Header { start, ..self.header(outcome, kept, weight, duration) };
        if undrawn {
            header.span = thread.next_span();
            header.parent = NO_SPAN;
            header.trace = header.span;
        }
        let earlier = self.values.take().unwrap_or_default();
        let value = value.filter(|_| outcome == Outcome::Ok || thread.captures.errors());
        let panicked = outcome == Outcome::Panic && thread.captures.errors();
        if earlier.is_empty() && value.is_none() && !panicked {
            return deliver(thread, &header.encode(0), &[]);
        }
        let Some(arena) = arena::open(thread) else { return deliver(thread, &header.encode(0), &[]) };
        let top = arena.len();
        arena::put(arena, &earlier);
        match value {
            Some(value) => value(arena),
            None if panicked => write_panic(start, arena),
            None => {}
        }
        let values = arena::since(arena, top);
        deliver(thread, &header.encode(values.len()), values);
        arena::close(thread, arena, top);
    }
}

impl Drop for AsyncCall {
    #[inline]
    fn drop(&mut self) {
        match self.state {
            State::Pass | State::Ended => {}
            State::Drawn | State::Undrawn => self.end(ticks(), Outcome::Cancelled, None),
            State::PolledDrawn | State::PolledUndrawn => self.end(ticks(), Outcome::Panic, None),
        }
    }
}

/// The making of a future under way on this thread, from [`AsyncCall::making`] to [`AsyncCall::made`].
#[derive(Debug)]
pub struct Making(Option<Polled>);

/// A poll under way on this thread; on drop the thread's context is what it was before.
#[derive(Debug)]
struct Polled {
    thread: &'static ThreadState,
    lease: Lease,
    before: Context,
    since: Ticks,
}

impl Drop for Polled {
    #[inline]
    fn drop(&mut self) {
        self.before.enter(self.thread);
        frames::pop(self.thread.page.words);
        if self.lease == Lease::Call {
            self.thread.home.release(self.thread);
        }
    }
}

/// Makes a closure that is called once out of one that may be called once.
fn once(capture: impl FnOnce(&mut Writer<'_>)) -> impl FnMut(&mut Writer<'_>) {
    let mut capture = Some(capture);
    move |writer| {
        if let Some(capture) = capture.take() {
            capture(writer);
        }
    }
}

/// The end of an async call, handed to the expansion's last closure.
#[derive(Debug)]
pub struct Finish<'a> {
    call: &'a mut AsyncCall,
    end: Ticks,
}

impl Finish<'_> {
    /// As [`crate::guard::Call::ok`].
    #[inline]
    pub fn ok(self) {
        if !self.call.end_plainly(self.end) {
            self.call.end(self.end, Outcome::Ok, None);
        }
    }

    /// As [`crate::guard::Call::ok_with`].
    #[inline]
    pub fn ok_with(self, result: impl FnOnce(&mut Writer<'_>)) {
        let captures = self.call.state == State::PolledDrawn
            && thread_rings::current().is_some_and(|thread| thread.captures.results());
        if captures {
            self.call.end(self.end, Outcome::Ok, Some(&mut once(result)));
        } else {
            self.ok();
        }
    }

    /// As [`crate::guard::Call::error`].
    #[inline]
    pub fn error(self, text: impl FnOnce(&mut Writer<'_>)) {
        self.call.end(self.end, Outcome::Error, Some(&mut once(text)));
    }
}

pin_project_lite::pin_project! {
    /// The future of a monitored async function. `call` is declared, and so dropped, behind
    /// `future`: what the future's destructors do belongs to the call.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Instrumented<F, E> {
        #[pin]
        future: F,
        end: Option<E>,
        call: AsyncCall,
    }
}

/// Wraps the future of a monitored function; `end` sees its output and calls one method of [`Finish`].
#[inline]
pub fn instrument<F, E>(call: AsyncCall, future: F, end: E) -> Instrumented<F, E>
where
    F: Future,
    E: FnOnce(Finish<'_>, &F::Output),
{
    Instrumented { future, end: Some(end), call }
}

impl<F, E> Future for Instrumented<F, E>
where
    F: Future,
    E: FnOnce(Finish<'_>, &F::Output),
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(polled) = this.call.resume() else { return this.future.poll(task) };
        let poll = this.future.poll(task);
        let now = ticks();
        this.call.busy = this.call.busy.wrapping_add(now.wrapping_sub(polled.since));
        match &poll {
            Poll::Pending => this.call.suspend(polled.thread, now),
            Poll::Ready(output) => {
                // The call is over: what its result's capture calls is not below it.
                drop(polled);
                if let Some(end) = this.end.take() {
                    end(Finish { call: this.call, end: now }, output);
                }
            }
        }
        poll
    }
}
