//! The wrapper around the future of a monitored async function: the call is entered where the
//! function is called, is current only while its future is polled, and ends when the future does.
//!
//! In: polls, on whichever thread. Out: one record. The drop of an unfinished future is `cancelled`,
//! or `panic` where a poll unwound. Invariant: the thread's context after a poll is what it was before.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};

use crate::call::context::Context;
use crate::call::guard::{self, Draw, deliver, write_panic};
use crate::capture::Writer;
use crate::platform::clock::{Ticks, ticks};
use crate::platform::coarse_clock::coarse;
use crate::record::{Header, Kept, Outcome};
use crate::ring::frames;
use crate::site::{CallSite, fidelity};
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::scratch::{self, Capture};
use crate::thread::state::{NO_SPAN, RESERVED_SPANS, ThreadState, UNSAMPLED};
use crate::thread::tally::Unrecorded;

/// An async call: entered where the function is called, current only while its future is polled.
/// Dropped before its future completed, it is `cancelled`.
///
/// It moves with the future, and soon after it was made: the smaller, the fewer words to wait for.
#[derive(Debug)]
pub struct AsyncCall {
    site: &'static CallSite,
    /// What is current while it is polled: its span, its tree, and the weight of that.
    span: u64,
    trace: u64,
    weight: f32,
    /// Its slot among the calls that wait, from its first wait on; 0 for none.
    slot: u32,
    parent: u64,
    /// 0 before the first poll; of a call that is only counted, when it was called by the coarse clock.
    start: Ticks,
    busy: Ticks,
    values: Option<Box<Values>>,
    state: State,
}

/// Captured values, in memory that travels with the future.
#[derive(Debug, Default)]
struct Values {
    tokens: Box<[u8]>,
    args_bytes: u16,
    fields_bytes: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Passes through.
    Pass,
    Drawn,
    Undrawn,
    /// Not drawn, and only counted: it was when it was called.
    Counted,
    /// Being polled; what is found like this on drop unwound.
    PolledDrawn,
    PolledUndrawn,
    PolledCounted,
    /// Ended.
    Ended,
}

impl State {
    #[inline]
    const fn is_drawn(self) -> bool {
        matches!(self, Self::Drawn | Self::PolledDrawn)
    }
    #[inline]
    const fn is_counted(self) -> bool {
        matches!(self, Self::Counted | Self::PolledCounted)
    }
    #[inline]
    const fn is_over(self) -> bool {
        matches!(self, Self::Pass | Self::Ended)
    }
    /// The same call while it is polled.
    #[inline]
    const fn polled(self) -> Option<Self> {
        match self {
            Self::Drawn => Some(Self::PolledDrawn),
            Self::Undrawn => Some(Self::PolledUndrawn),
            Self::Counted => Some(Self::PolledCounted),
            _ => None,
        }
    }
    /// The same call while it waits.
    #[inline]
    const fn waiting(self) -> Self {
        match self {
            Self::PolledDrawn => Self::Drawn,
            Self::PolledUndrawn => Self::Undrawn,
            Self::PolledCounted => Self::Counted,
            state => state,
        }
    }
}

/// In place of a parent: a root that is kept for being among the first calls of its function.
const FIRST: u64 = UNSAMPLED;

/// What a call begins as: its state, what is current in it, its parent.
type Begun = (State, Context, u64);

/// A call that passes through.
const PASS: Begun = (State::Pass, Context::NONE, NO_SPAN);
/// What is current in a call that was not drawn.
const LEFT_OUT: Context = Context { span: UNSAMPLED, ..Context::NONE };

impl AsyncCall {
    /// Enters a call; its parent is the call that is current here and now.
    #[inline]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let (state, own, parent) = Self::entered(site);
        let Context { span, trace, weight } = own;
        let start = if state.is_counted() { coarse() } else { 0 };
        Self { site, span, trace, weight, slot: 0, parent, start, busy: 0, values: None, state }
    }

    /// What a call begins as, in plain words: the call itself is built where it stays. Were it returned
    /// through memory, its copy would wait until the processor has put the narrower stores together.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entered(site: &'static CallSite) -> Begun {
        match (site.fidelity(), local::current()) {
            (fidelity::OFF, _) => return PASS,
            (fidelity::RECORDED, Some(thread)) => {
                let here = Context::of(thread);
                if here.span == NO_SPAN || here.span > RESERVED_SPANS {
                    let weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
                    return Self::open(thread, here, weight);
                }
            }
            // The countdown is that of a root.
            (fidelity::COUNTED, Some(thread)) => {
                let current = thread.current.load(Ordering::Relaxed);
                if matches!(current, NO_SPAN | UNSAMPLED)
                    && local::countdown(site.id())
                        .is_some_and(|countdown| countdown.skip_counted(site.epoch()))
                {
                    return (State::Counted, LEFT_OUT, NO_SPAN);
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
    fn enter_specially(site: &'static CallSite) -> Begun {
        let Some((thread, lease)) = guard::thread_for(site) else { return PASS };
        let entered = Self::draw(site, thread);
        if lease == Lease::Call {
            local::release(thread);
        }
        entered
    }

    /// A call that is recorded with this weight.
    #[inline]
    fn open(thread: &ThreadState, here: Context, weight: f32) -> Begun {
        thread.suppress();
        let span = thread.next_span();
        thread.restore(here.span);
        let trace = if here.span == NO_SPAN { span } else { here.trace };
        (State::Drawn, Context { span, trace, weight }, here.span)
    }

    fn draw(site: &'static CallSite, thread: &'static ThreadState) -> Begun {
        let here = Context::of(thread);
        let weight = match guard::draw(site, thread, here.span, here.weight) {
            Draw::Pass => return PASS,
            Draw::Undrawn => return (State::Undrawn, LEFT_OUT, NO_SPAN),
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

    /// As `Call::args`.
    #[inline]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.captures() {
            let bytes = self.capture(thread, &mut once(capture));
            if let Some(values) = &mut self.values {
                values.args_bytes = bytes;
            }
        }
    }

    /// As `Call::fields`.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.captures() {
            let bytes = self.capture(thread, &mut once(capture));
            if let Some(values) = &mut self.values {
                values.fields_bytes = bytes;
            }
        }
    }

    /// The thread, where it captures arguments and the call is recorded.
    #[inline]
    fn captures(&self) -> Option<&'static ThreadState> {
        local::current().filter(|thread| self.state.is_drawn() && thread.captures.args())
    }

    /// Captures behind what was captured before; how many bytes that adds.
    #[inline(never)]
    fn capture(&mut self, thread: &'static ThreadState, capture: Capture<'_>) -> u16 {
        let values = self.values.get_or_insert_default();
        let before = values.tokens.len();
        values.tokens = scratch::append_capture(thread, &values.tokens, capture);
        u16::try_from(values.tokens.len().saturating_sub(before)).unwrap_or(0)
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
        if let Making(Some(polled)) = making {
            let now = self.pause(&polled);
            self.suspend(polled.thread, now);
        }
    }

    /// Begins a poll: the call is current from here on.
    #[inline]
    fn resume(&mut self) -> Option<Polled> {
        let state = self.state.polled()?;
        let (thread, lease) = match local::current() {
            Some(thread) => (thread, Lease::Thread),
            None => pool::process_threads()?.acquire()?,
        };
        self.state = state;
        let before = Context::of(thread);
        if state.is_counted() {
            thread.set_current(UNSAMPLED);
            return Some(Polled { thread, lease, before, since: 0, is_timed: false });
        }
        Context { span: self.span, trace: self.trace, weight: self.weight }.enter(thread);
        let since = ticks();
        if self.start == 0 {
            self.start = since;
        }
        frames::push(thread.page.words, self.site.id(), self.start, self.span);
        Some(Polled { thread, lease, before, since, is_timed: true })
    }

    /// Ends the time of a poll; when that was.
    #[inline]
    fn pause(&mut self, polled: &Polled) -> Ticks {
        if !polled.is_timed {
            return 0;
        }
        let now = ticks();
        self.busy = self.busy.wrapping_add(now.wrapping_sub(polled.since));
        now
    }

    /// Ends a poll that was not the last, at this moment; 0 where its time was not taken.
    #[inline(never)]
    fn suspend(&mut self, thread: &ThreadState, now: Ticks) {
        let now = if now == 0 { ticks() } else { now };
        let flights = &thread.home.suspended;
        if self.slot == 0 {
            self.slot = flights.take(self.site.id(), self.start, self.span, now);
        } else {
            flights.wait(self.slot, now);
        }
        self.state = self.state.waiting();
    }

    /// Ends a call as `ok` that leaves no more than a header, or nothing, on a thread that has a ring.
    #[inline]
    fn end_plainly(&mut self, thread: &ThreadState, end: Ticks) -> bool {
        let is_over = match self.state {
            State::PolledDrawn if self.values.is_none() && self.parent != FIRST => {
                let duration = end.wrapping_sub(self.start);
                let current = thread.current.load(Ordering::Relaxed);
                thread.suppress();
                let header = || self.header(Outcome::Ok, Kept::Sampled, self.weight, duration);
                let is_written = thread.ring.room(0).map(|room| room.write_header(header().encode(0)));
                thread.restore(current);
                is_written.is_some()
            }
            State::PolledCounted => coarse() == self.start,
            _ => false,
        };
        if is_over {
            self.state = State::Ended;
            self.leave_slot(thread);
        }
        is_over
    }

    /// The call waits no more.
    #[inline]
    fn leave_slot(&self, thread: &ThreadState) {
        if self.slot != 0 {
            thread.home.suspended.give_back(self.slot, self.start, self.span);
        }
    }

    #[inline]
    fn header(&self, outcome: Outcome, kept: Kept, weight: f32, duration: Ticks) -> Header {
        let bytes = self.values.as_ref().map_or((0, 0), |values| (values.args_bytes, values.fields_bytes));
        Header {
            site: self.site.id(),
            outcome,
            kept,
            is_async: true,
            start: self.start,
            duration,
            span: self.span,
            parent: if self.parent == FIRST { NO_SPAN } else { self.parent },
            trace: self.trace,
            weight,
            args_bytes: bytes.0,
            fields_bytes: bytes.1,
            busy: self.busy,
        }
    }

    /// Ends the call. `end` is when; the value captured goes behind the arguments.
    #[inline(never)]
    fn end(&mut self, end: Ticks, outcome: Outcome, value: Option<Capture<'_>>) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if state.is_over() {
            return;
        }
        let (thread, lease) = match local::current() {
            Some(thread) => (thread, Lease::Thread),
            None => match pool::process_threads().and_then(pool::ThreadPool::acquire) {
                Some(taken) => taken,
                None => return,
            },
        };
        self.leave_slot(thread);
        let undrawn = !state.is_drawn();
        let (start, end) =
            if state.is_counted() { guard::end_of_counted(self.start, end) } else { (self.start, end) };
        let start = if start == 0 { end } else { start };
        let duration = end.wrapping_sub(start);
        let leaves_none =
            undrawn && outcome == Outcome::Ok && duration < self.site.slow_ticks.load(Ordering::Relaxed);
        let current = thread.current.load(Ordering::Relaxed);
        match (leaves_none, state.is_counted()) {
            (true, true) => {}
            (true, false) => {
                thread.suppress();
                guard::count(thread, self.site, outcome, Unrecorded::SampledOut, duration);
                thread.restore(current);
            }
            (false, is_counted) => {
                if is_counted {
                    let countdown = local::make_countdown(thread, self.site.id());
                    countdown.inspect(|countdown| countdown.note_recorded());
                }
                thread.suppress();
                self.record(thread, outcome, undrawn, (start, duration), value);
                thread.restore(current);
            }
        }
        if lease == Lease::Call {
            local::release(thread);
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
            Outcome::Ok => (Kept::Sampled, self.weight),
            _ => (Kept::Failed, 1.0),
        };
        let mut header = Header { start, ..self.header(outcome, kept, weight, duration) };
        if undrawn {
            header = header.as_root(thread.next_span());
        }
        let earlier = self.values.take().map(|values| values.tokens).unwrap_or_default();
        let value = value.filter(|_| outcome == Outcome::Ok || thread.captures.errors());
        let panicked = outcome == Outcome::Panic && thread.captures.errors();
        if earlier.is_empty() && value.is_none() && !panicked {
            return deliver(thread, &header.encode(0), &[]);
        }
        let Some(arena) = scratch::open(thread) else { return deliver(thread, &header.encode(0), &[]) };
        let top = arena.len();
        scratch::write_captured(arena, &earlier);
        match value {
            Some(value) => value(arena),
            None if panicked => write_panic(start, arena),
            None => {}
        }
        let values = scratch::words_from(arena, top);
        deliver(thread, &header.encode(values.len()), values);
        scratch::close(thread, arena, top);
    }
}

impl Drop for AsyncCall {
    #[inline]
    fn drop(&mut self) {
        match self.state {
            State::Pass | State::Ended => {}
            State::Drawn | State::Undrawn | State::Counted => self.end(ticks(), Outcome::Cancelled, None),
            State::PolledDrawn | State::PolledUndrawn | State::PolledCounted => {
                self.end(ticks(), Outcome::Panic, None);
            }
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
    /// Whether its time is taken, and a frame shows it.
    is_timed: bool,
}

impl Polled {
    /// Ends the poll; the thread, where it keeps its state.
    #[inline]
    fn leave(self) -> Option<&'static ThreadState> {
        let Self { thread, lease, .. } = self;
        drop(self);
        (lease == Lease::Thread).then_some(thread)
    }
}

impl Drop for Polled {
    #[inline]
    fn drop(&mut self) {
        if self.is_timed {
            self.before.enter(self.thread);
            frames::pop(self.thread.page.words);
        } else {
            self.thread.set_current(self.before.span);
        }
        if self.lease == Lease::Call {
            local::release(self.thread);
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
    thread: Option<&'static ThreadState>,
    end: Ticks,
}

impl Finish<'_> {
    /// As `Call::ok`.
    #[inline]
    pub fn ok(self) {
        if !self.thread.is_some_and(|thread| self.call.end_plainly(thread, self.end)) {
            self.end_otherwise(Outcome::Ok, None);
        }
    }

    /// As `Call::ok_with`.
    #[inline]
    pub fn ok_with(self, result: impl FnOnce(&mut Writer<'_>)) {
        let captures = self.call.state == State::PolledDrawn
            && self.thread.is_some_and(|thread| thread.captures.results());
        if captures {
            self.end_otherwise(Outcome::Ok, Some(&mut once(result)));
        } else {
            self.ok();
        }
    }

    /// As `Call::error`.
    #[inline]
    pub fn error(self, text: impl FnOnce(&mut Writer<'_>)) {
        self.end_otherwise(Outcome::Error, Some(&mut once(text)));
    }

    #[inline(never)]
    fn end_otherwise(self, outcome: Outcome, value: Option<Capture<'_>>) {
        let end = if self.call.state.is_counted() { ticks() } else { self.end };
        self.call.end(end, outcome, value);
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

/// Ends a call with a returned value that is no future.
pub(super) fn end_now<R>(mut call: AsyncCall, result: &R, end: impl FnOnce(Finish<'_>, &R)) {
    if let Some(polled) = call.resume() {
        let now = call.pause(&polled);
        let thread = polled.leave();
        end(Finish { call: &mut call, thread, end: now }, result);
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
        let now = this.call.pause(&polled);
        match &poll {
            Poll::Pending => this.call.suspend(polled.thread, now),
            Poll::Ready(output) => {
                // The call is over: what its result's capture calls is not below it.
                let thread = polled.leave();
                if let Some(end) = this.end.take() {
                    end(Finish { call: this.call, thread, end: now }, output);
                }
            }
        }
        poll
    }
}
