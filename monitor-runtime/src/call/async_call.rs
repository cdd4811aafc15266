//! A call of an async function: entered where the function is called, current while its future is polled, ended with the
//! future.
//!
//! Takes the polls of one future, on any thread; gives one record. After a poll, the thread's context is always what it was
//! before. The drop of an unfinished call is `cancelled`, or `panic` if a poll unwound. The file does not know futures.

use std::sync::atomic::Ordering;

use super::context::Context;
use super::decision::{self, Decision};
use super::publish::{count, publish};
use super::slow_path::counted_interval;
use super::values::write_panic;
use crate::capture::Writer;
use crate::platform::clock::{Ticks, ticks};
use crate::platform::coarse_clock::coarse;
use crate::record::{Header, Kept, Outcome};
use crate::ring::frames;
use crate::ring::suspended::Suspended;
use crate::site::{CallSite, Fidelity};
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::scratch::{self, Capture};
use crate::thread::state::{NO_SPAN, RESERVED_SPANS, ThreadState, UNSAMPLED};
use crate::thread::tally::Unrecorded;

/// An async call: entered where the function is called, current only while its future is polled. If it is dropped before its
/// future completed, it ends as `cancelled`.
///
/// It moves with the future, soon after it was made: the smaller it is, the fewer words the processor has to wait for.
#[derive(Debug)]
pub struct AsyncCall {
    site: &'static CallSite,
    /// The context while the call is polled: its span, its tree, and the tree's weight.
    span: u64,
    trace: u64,
    weight: f32,
    /// The call's slot among the suspended calls, from its first wait on; 0 for none.
    slot: u32,
    parent: u64,
    /// The moment of the first poll, or 0 before it. For a counted call, the coarse clock's moment of the call.
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

impl Values {
    fn arguments(&self) -> &[u8] {
        self.tokens.get(..usize::from(self.args_bytes)).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The call passes through.
    Pass,
    Sampled,
    Unsampled,
    /// Unsampled, and counted when it was called.
    Counted,
    /// Being polled; a call that is dropped in one of these states unwound.
    PolledSampled,
    PolledUnsampled,
    PolledCounted,
    Ended,
}

impl State {
    #[inline]
    const fn is_sampled(self) -> bool {
        matches!(self, Self::Sampled | Self::PolledSampled)
    }
    #[inline]
    const fn is_counted(self) -> bool {
        matches!(self, Self::Counted | Self::PolledCounted)
    }
    #[inline]
    const fn is_over(self) -> bool {
        matches!(self, Self::Pass | Self::Ended)
    }
    /// Returns the state of the same call while it is polled.
    #[inline]
    const fn polled(self) -> Option<Self> {
        match self {
            Self::Sampled => Some(Self::PolledSampled),
            Self::Unsampled => Some(Self::PolledUnsampled),
            Self::Counted => Some(Self::PolledCounted),
            _ => None,
        }
    }
    /// Returns the state of the same call while it waits.
    #[inline]
    const fn waiting(self) -> Self {
        match self {
            Self::PolledSampled => Self::Sampled,
            Self::PolledUnsampled => Self::Unsampled,
            Self::PolledCounted => Self::Counted,
            state => state,
        }
    }
}

/// The parent of a root that is kept because it is among the first calls of its function.
const FIRST: u64 = UNSAMPLED;

/// The parts of a call that begins: its state, the context in it, its parent.
type Begun = (State, Context, u64);

/// The parts of a call that passes through.
const PASS: Begun = (State::Pass, Context::NONE, NO_SPAN);
/// The context in an unsampled call.
const UNSAMPLED_CONTEXT: Context = Context { span: UNSAMPLED, ..Context::NONE };

impl AsyncCall {
    /// Enters a call; its parent is the call that is current now.
    #[inline]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let (state, own, parent) = Self::entered(site);
        let Context { span, trace, weight } = own;
        let start = if state.is_counted() { coarse() } else { 0 };
        Self { site, span, trace, weight, slot: 0, parent, start, busy: 0, values: None, state }
    }

    /// Returns the parts of a call that begins, from which the call is built at its place. If the call were returned through
    /// memory, its copy would wait until the processor has combined the narrower stores.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entered(site: &'static CallSite) -> Begun {
        match (site.fidelity(), local::current()) {
            (Fidelity::OFF, _) => return PASS,
            (Fidelity::RECORDED, Some(thread)) => {
                let here = Context::from_state(thread);
                if here.span == NO_SPAN || here.span > RESERVED_SPANS {
                    let weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
                    return Self::open(thread, here, weight);
                }
            }
            // The countdown is a root's.
            (Fidelity::COUNTED, Some(thread)) => {
                let current = thread.current.load(Ordering::Relaxed);
                if matches!(current, NO_SPAN | UNSAMPLED)
                    && local::countdown(site.id())
                        .is_some_and(|countdown| countdown.skip_counted(site.epoch().number()))
                {
                    return (State::Counted, UNSAMPLED_CONTEXT, NO_SPAN);
                }
            }
            _ => {}
        }
        Self::enter_decided(site)
    }

    /// Enters a call that needs a decision: the first of a function or a thread, a call of a sampled function, a call below an
    /// unsampled one or within a capture.
    #[cold]
    #[inline(never)]
    fn enter_decided(site: &'static CallSite) -> Begun {
        let Some((thread, lease)) = decision::state_for(site) else { return PASS };
        let entered = Self::decide(site, thread);
        if lease == Lease::Call {
            local::release(thread);
        }
        entered
    }

    /// Returns the parts of a call that is recorded with this weight.
    #[inline]
    fn open(thread: &ThreadState, here: Context, weight: f32) -> Begun {
        thread.suppress();
        let span = thread.next_span();
        thread.restore(here.span);
        let trace = if here.span == NO_SPAN { span } else { here.trace };
        (State::Sampled, Context { span, trace, weight }, here.span)
    }

    fn decide(site: &'static CallSite, thread: &'static ThreadState) -> Begun {
        let here = Context::from_state(thread);
        let weight = match decision::decide(site, thread, here.span, here.weight) {
            Decision::Pass => return PASS,
            Decision::Unsampled => return (State::Unsampled, UNSAMPLED_CONTEXT, NO_SPAN),
            Decision::First => {
                let (state, own, _) = Self::open(thread, here, 1.0);
                return (state, own, FIRST);
            }
            Decision::Follow if here.span == NO_SPAN => 1.0,
            Decision::Follow => here.weight,
            Decision::Sampled(weight) => weight,
        };
        Self::open(thread, here, weight)
    }

    /// Does what `Call::args` does.
    #[inline]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.captures() {
            let bytes = self.capture(thread, &mut once(capture));
            if let Some(values) = &mut self.values {
                values.args_bytes = bytes;
            }
        }
    }

    /// Does what `Call::fields` does.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.captures() {
            let bytes = self.capture(thread, &mut once(capture));
            if let Some(values) = &mut self.values {
                values.fields_bytes = bytes;
            }
        }
    }

    /// Returns the thread, if it captures arguments and the call is recorded.
    #[inline]
    fn captures(&self) -> Option<&'static ThreadState> {
        local::current().filter(|thread| self.state.is_sampled() && thread.captures.args())
    }

    /// Captures values behind those captured before. Returns the number of bytes that this adds.
    #[inline(never)]
    fn capture(&mut self, thread: &'static ThreadState, capture: Capture<'_>) -> u16 {
        let values = self.values.get_or_insert_default();
        let before = values.tokens.len();
        values.tokens = scratch::append_capture(thread, &values.tokens, capture);
        u16::try_from(values.tokens.len().saturating_sub(before)).unwrap_or(0)
    }

    /// Begins the part of a function that makes its future. The call is current and its time runs until [`Self::made`]. If
    /// that part unwinds, the call ends as `panic`.
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

    /// Begins a poll, which makes the call current. Returns `None` if the call passes through or has ended.
    #[inline]
    pub(super) fn resume(&mut self) -> Option<Polled> {
        let state = self.state.polled()?;
        let (thread, lease) = match local::current() {
            Some(thread) => (thread, Lease::Thread),
            None => pool::process_threads()?.acquire()?,
        };
        self.state = state;
        let before = Context::from_state(thread);
        if state.is_counted() {
            thread.set_current(UNSAMPLED);
            return Some(Polled { thread, lease, before, since: 0, is_timed: false, shown_at: None });
        }
        Context { span: self.span, trace: self.trace, weight: self.weight }.enter(thread);
        let since = ticks();
        if self.start == 0 {
            self.start = since;
        }
        frames::push(thread.page.words, self.site.id(), self.start, self.span);
        // During the first poll a reader of the ring file finds the arguments in the scratch memory; from the first wait on,
        // beside the call's slot.
        let shown_at = match &self.values {
            Some(values) if self.slot == 0 => scratch::push_copy(thread, self.start, values.arguments()),
            _ => None,
        };
        Some(Polled { thread, lease, before, since, is_timed: true, shown_at })
    }

    /// Ends the time of a poll. Returns the moment, or 0 if the poll is not timed.
    #[inline]
    pub(super) fn pause(&mut self, polled: &Polled) -> Ticks {
        if !polled.is_timed {
            return 0;
        }
        let now = ticks();
        self.busy = self.busy.wrapping_add(now.wrapping_sub(polled.since));
        now
    }

    /// Ends a poll that was not the last, at `now`, which is 0 if the poll was not timed.
    #[inline(never)]
    pub(super) fn suspend(&mut self, thread: &ThreadState, now: Ticks) {
        let now = if now == 0 { ticks() } else { now };
        let suspended = &thread.home.suspended;
        if self.slot == 0 {
            let arguments = self.values.as_ref().map(|values| values.arguments()).unwrap_or_default();
            let parent = if self.parent == FIRST { NO_SPAN } else { self.parent };
            let (site, start, span, since) = (self.site.id(), self.start, self.span, now);
            let call = Suspended { site, start, span, parent, since, arguments };
            self.slot = suspended.take(&thread.home.memory, call);
        } else {
            suspended.wait(self.slot, now);
        }
        self.state = self.state.waiting();
    }

    /// Returns true if the call was counted when it was called.
    #[inline]
    pub(super) fn is_counted(&self) -> bool {
        self.state.is_counted()
    }

    /// Returns true if the call is sampled and its poll has just ended.
    #[inline]
    pub(super) fn is_polled_sampled(&self) -> bool {
        self.state == State::PolledSampled
    }

    /// Ends a call as `ok` that leaves a header or nothing, and returns true. Returns false, and changes nothing, for a call
    /// that needs more, or if the ring is at a limit.
    #[inline]
    pub(super) fn end_ok_header_only(&mut self, thread: &ThreadState, end: Ticks) -> bool {
        let is_over = match self.state {
            State::PolledSampled if self.values.is_none() && self.parent != FIRST => {
                let duration = end.wrapping_sub(self.start);
                let current = thread.current.load(Ordering::Relaxed);
                thread.suppress();
                let header = || self.header(Outcome::Ok, Kept::Sampled, self.weight, duration);
                let is_written = thread.ring.room_for_few(1).map(|room| {
                    let header = header();
                    room.write_few(header.encode(0), &[header.extension()]);
                });
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

    /// Returns the call's slot among the suspended calls.
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
            self_ticks: self.busy,
            is_nested: false,
        }
    }

    /// Ends the call at `end`. The captured value goes behind the arguments.
    #[inline(never)]
    pub(super) fn end(&mut self, end: Ticks, outcome: Outcome, value: Option<Capture<'_>>) {
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
        let unsampled = !state.is_sampled();
        let (start, end) =
            if state.is_counted() { counted_interval(self.start, end) } else { (self.start, end) };
        let start = if start == 0 { end } else { start };
        let duration = end.wrapping_sub(start);
        let leaves_none =
            unsampled && outcome == Outcome::Ok && duration < self.site.slow_ticks.load(Ordering::Relaxed);
        let current = thread.current.load(Ordering::Relaxed);
        match (leaves_none, state.is_counted()) {
            (true, true) => {}
            (true, false) => {
                thread.suppress();
                count(thread, self.site, outcome, Unrecorded::SampledOut, duration);
                thread.restore(current);
            }
            (false, is_counted) => {
                if is_counted {
                    let countdown = local::make_countdown(thread, self.site.id());
                    countdown.inspect(|countdown| countdown.note_recorded());
                }
                thread.suppress();
                self.record(thread, outcome, unsampled, (start, duration), value);
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
        unsampled: bool,
        (start, duration): (Ticks, Ticks),
        value: Option<Capture<'_>>,
    ) {
        let is_first = self.parent == FIRST;
        let (kept, weight) = match outcome {
            Outcome::Ok if unsampled => (Kept::Slow, 1.0),
            Outcome::Ok if is_first => (Kept::First, 1.0),
            Outcome::Ok => (Kept::Sampled, self.weight),
            _ => (Kept::Failed, 1.0),
        };
        let mut header = Header { start, ..self.header(outcome, kept, weight, duration) };
        if unsampled {
            header = header.as_root(thread.next_span());
        }
        let earlier = self.values.take().map(|values| values.tokens).unwrap_or_default();
        let value = value.filter(|_| outcome == Outcome::Ok || thread.captures.errors());
        let panicked = outcome == Outcome::Panic && thread.captures.errors();
        let bare = |header: Header| publish(thread, &header.encode(0), &[header.extension()]);
        if earlier.is_empty() && value.is_none() && !panicked {
            return bare(header);
        }
        let Some(writer) = scratch::open(thread) else { return bare(header) };
        let top = writer.len();
        scratch::write_captured(writer, &header.extension());
        scratch::write_captured(writer, &earlier);
        match value {
            Some(value) => value(writer),
            None if panicked => write_panic(start, writer),
            None => {}
        }
        let behind = scratch::words_from(writer, top);
        publish(thread, &header.encode(behind.len() - 1), behind);
        scratch::close(thread, writer, top);
    }
}

impl Drop for AsyncCall {
    #[inline]
    fn drop(&mut self) {
        match self.state {
            State::Pass | State::Ended => {}
            State::Sampled | State::Unsampled | State::Counted => self.end(ticks(), Outcome::Cancelled, None),
            State::PolledSampled | State::PolledUnsampled | State::PolledCounted => {
                if let Some(thread) = local::current() {
                    thread.note_unwinding();
                }
                self.end(ticks(), Outcome::Panic, None);
            }
        }
    }
}

/// The making of a future on this thread, from [`AsyncCall::making`] to [`AsyncCall::made`].
#[derive(Debug)]
pub struct Making(Option<Polled>);

/// A poll under way on this thread. Its drop restores the thread's context of before.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) thread: &'static ThreadState,
    lease: Lease,
    before: Context,
    since: Ticks,
    /// True if the poll is timed and a frame shows it.
    is_timed: bool,
    /// The place in the scratch memory from which on the call's arguments lie there for this poll.
    shown_at: Option<usize>,
}

impl Polled {
    /// Ends the poll. Returns the thread, if it keeps its state.
    #[inline]
    pub(super) fn leave(self) -> Option<&'static ThreadState> {
        let Self { thread, lease, .. } = self;
        drop(self);
        (lease == Lease::Thread).then_some(thread)
    }
}

impl Drop for Polled {
    #[inline]
    fn drop(&mut self) {
        if let Some(top) = self.shown_at {
            scratch::pop_copy(top);
        }
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

/// Converts a closure that may be called once to one that does nothing when it is called again.
pub(super) fn once(capture: impl FnOnce(&mut Writer<'_>)) -> impl FnMut(&mut Writer<'_>) {
    let mut capture = Some(capture);
    move |writer| {
        if let Some(capture) = capture.take() {
            capture(writer);
        }
    }
}
