//! A call of an async function: entered where the function is called, current while its future is polled, ended with the
//! future.
//!
//! Takes the polls of one future, on any thread; gives one record. After a poll, the thread's context is always what it was
//! before. The drop of an unfinished call is `cancelled`, or `panic` if a poll unwound. The file does not know futures.

use std::sync::atomic::Ordering;

use super::context::Context;
use super::decision::{self, Decision, decide_quickly};
use super::publish::{count, publish};
use super::slow_path::counted_interval;
use super::values::write_panic;
use crate::capture::Writer;
use crate::platform::clock::{Ticks, ticks};
use crate::platform::coarse_clock::coarse;
use crate::record::{
    EXTENSION_WORDS, Header, Kept, NOT_KEPT, Outcome, first_word, of_async, place, sizes_word,
};
use crate::ring::frames;
use crate::ring::suspended::Suspended;
use crate::site::{CallSite, Fidelity};
use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::scratch::{self, Capture};
use crate::thread::state::{Around, NO_SPAN, ThreadState, is_reserved};
use crate::thread::tally::{Spent, Unrecorded};

/// An async call: entered where the function is called, current only while its future is polled. If it is dropped before its
/// future completed, it ends as `cancelled`.
///
/// It moves with the future, soon after it was made: the smaller it is, the fewer words the processor has to wait for.
#[derive(Debug)]
pub struct AsyncCall {
    site: &'static CallSite,
    /// The context while the call is polled: its span, its tree, and the tree's weight. A call that gets a span with its
    /// record is polled in the context in which it was entered.
    span: u64,
    trace: u64,
    weight: f32,
    /// The call's slot among the suspended calls, from its first wait on; 0 for none.
    slot: u32,
    parent: u64,
    /// The moment of the first poll, or 0 before it. For a counted call, the coarse clock's moment of the call.
    start: Ticks,
    busy: Ticks,
    /// The part of `busy` that was spent in callees.
    callees: Ticks,
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

/// The state of a call, in one word: the processor would have to combine narrower ones when the call moves.
///
/// | bits | content |
/// |---|---|
/// | 63–32 | with bit 7 the call's own weight, as the bits of an `f32` |
/// | 7 | the call was sampled with a weight of its own, which calls below it do not share |
/// | 6 | the call gets a span with its record, and its callees are those of the call around it |
/// | 5 | the call is among the first of its function |
/// | 4 | another call of the function was under way around its first poll |
/// | 3 | the call is being polled; if it is dropped meanwhile, it unwound |
/// | 1–0 | 0: the call passes through or has ended, 1: it is sampled, 2: it is unsampled, 3: it was counted when it was called |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State(u64);

impl State {
    /// The call passes through, or has ended.
    const OVER: Self = Self(0);
    const SAMPLED: Self = Self(1);
    const UNSAMPLED: Self = Self(2);
    const COUNTED: Self = Self(3 | Self::ALONE);
    const FIRST: Self = Self(Self::SAMPLED.0 | 1 << 5);
    const TIMED_ALONE: Self = Self(Self::UNSAMPLED.0 | Self::ALONE);
    /// A sampled call that is polled and has nothing else to it.
    const POLLED_SAMPLED: Self = Self(Self::SAMPLED.0 | Self::POLLED);

    const POLLED: u64 = 1 << 3;
    const NESTED: u64 = 1 << 4;
    const ALONE: u64 = 1 << 6;
    const WEIGHING: u64 = 1 << 7;

    /// Returns the state of a sampled call with a weight of its own.
    const fn weighing(weight: f32) -> Self {
        Self(Self::SAMPLED.0 | Self::WEIGHING | (weight.to_bits() as u64) << 32)
    }
    #[inline]
    const fn kind(self) -> u64 {
        self.0 & 3
    }
    #[inline]
    const fn is_sampled(self) -> bool {
        self.kind() == Self::SAMPLED.0
    }
    #[inline]
    const fn is_unsampled(self) -> bool {
        self.kind() == Self::UNSAMPLED.0
    }
    #[inline]
    const fn is_counted(self) -> bool {
        self.kind() == Self::COUNTED.kind()
    }
    #[inline]
    const fn is_over(self) -> bool {
        self.kind() == Self::OVER.0
    }
    #[inline]
    const fn can_be_polled(self) -> bool {
        !self.is_over() && !self.is_polled()
    }
    #[inline]
    const fn is_polled(self) -> bool {
        self.0 & Self::POLLED != 0
    }
    #[inline]
    const fn is_nested(self) -> bool {
        self.0 & Self::NESTED != 0
    }
    #[inline]
    const fn is_first(self) -> bool {
        self.0 & Self::FIRST.0 == Self::FIRST.0
    }
    #[inline]
    const fn is_alone(self) -> bool {
        self.0 & Self::ALONE != 0
    }
    const fn own_weight(self) -> Option<f32> {
        if self.0 & Self::WEIGHING != 0 { Some(f32::from_bits((self.0 >> 32) as u32)) } else { None }
    }
    #[inline]
    const fn set(&mut self, flag: u64) {
        self.0 |= flag;
    }
    /// Notes that the call has ended.
    #[inline]
    const fn end(&mut self) {
        self.0 &= !3;
    }
    /// Notes that the call waits.
    #[inline]
    const fn set_waiting(&mut self) {
        self.0 &= !Self::POLLED;
    }
}

/// The parts of a call that begins: its state, the context in it, its parent.
type Begun = (State, Context, u64);

/// The parts of a call that passes through.
const PASS: Begun = (State::OVER, Context::NONE, NO_SPAN);

impl AsyncCall {
    /// Enters a call; its parent is the call that is current now.
    #[inline]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let (state, own, parent) = Self::entered(site);
        let Context { span, trace, weight } = own;
        let start = if state.is_counted() { coarse() } else { 0 };
        let (slot, busy, callees, values) = (0, 0, 0, None);
        Self { site, span, trace, weight, slot, parent, start, busy, callees, values, state }
    }

    /// Returns the parts of a call that begins, from which the call is built at its place. If the call were returned through
    /// memory, its copy would wait until the processor has combined the narrower stores.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entered(site: &'static CallSite) -> Begun {
        let epoch = site.epoch();
        if epoch.fidelity() == Fidelity::OFF {
            return PASS;
        }
        if let Some(thread) = local::current_if_marked() {
            let here = Context::from_state(thread);
            if is_reserved(here.span) {
                return PASS;
            }
            if epoch.fidelity() == Fidelity::COUNTED {
                let countdown = local::countdown(site.id());
                if countdown.is_some_and(|countdown| countdown.skip_counted(epoch.number())) {
                    return (State::COUNTED, here, here.span);
                }
            } else if let Some(tree) = decide_quickly(site, epoch, here.span) {
                let weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
                return Self::open(thread, here, tree, weight);
            }
        }
        Self::enter_decided(site)
    }

    /// Enters a call that needs a decision: the first of a function or a thread, a call of a sampled function or within a
    /// capture.
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

    /// Returns the parts of a call with a span. `tree` is [`NOT_KEPT`] if the call and those below it are unsampled.
    #[inline]
    fn open(thread: &ThreadState, here: Context, tree: u64, weight: f32) -> Begun {
        thread.suppress();
        let span = thread.next_span();
        thread.restore(here.span);
        let trace = if here.span == NO_SPAN { span } else { here.trace };
        let state = if tree == 0 { State::SAMPLED } else { State::UNSAMPLED };
        (state, Context { span: span | tree, trace, weight }, here.span)
    }

    fn decide(site: &'static CallSite, thread: &'static ThreadState) -> Begun {
        let here = Context::from_state(thread);
        let tree = here.span & NOT_KEPT;
        let here_weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
        let open = |tree, weight| Self::open(thread, here, tree, weight);
        let open_as = |state, (_, context, parent): Begun| (state, context, parent);
        match decision::decide(site, thread, here.span, here.weight) {
            Decision::Pass => PASS,
            Decision::Follow => open(tree, here_weight),
            Decision::Sampled(weight) => open(0, weight),
            Decision::First => open_as(State::FIRST, open(0, 1.0)),
            Decision::Unsampled => open(NOT_KEPT, here_weight),
            Decision::SampledAlone(weight) => open_as(State::weighing(weight), open(tree, here_weight)),
            Decision::Timed => open_as(State::UNSAMPLED, open(tree, here_weight)),
            Decision::TimedAlone => (State::TIMED_ALONE, here, here.span),
        }
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
        if self.state.is_sampled()
            && let Some(thread) = self.captures()
        {
            let bytes = self.capture(thread, &mut once(capture));
            if let Some(values) = &mut self.values {
                values.fields_bytes = bytes;
            }
        }
    }

    /// Returns the thread, if it captures arguments of this call.
    #[inline]
    fn captures(&self) -> Option<&'static ThreadState> {
        let captures = self.state.is_sampled() || self.state.is_unsampled() && self.site.captures_unsampled();
        local::current().filter(|thread| captures && thread.captures.args())
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
        if !self.state.can_be_polled() {
            return None;
        }
        if self.state.is_alone() {
            return self.resume_alone();
        }
        let mut polled = Polled::begin(self.site)?;
        self.state.set(State::POLLED);
        Context { span: self.span, trace: self.trace, weight: self.weight }.enter(polled.thread);
        polled.since = ticks();
        if self.start == 0 {
            self.start_at(&polled);
        }
        frames::push(polled.thread.page.words, self.site.id(), self.start, self.span);
        polled.shown_at = self.show_arguments(polled.thread);
        Some(polled)
    }

    /// Begins a poll of a call that does not become current.
    #[cold]
    #[inline(never)]
    fn resume_alone(&mut self) -> Option<Polled> {
        let mut polled = Polled::begin(self.site)?;
        self.state.set(State::POLLED);
        if self.state.is_counted() {
            polled.around.restore(polled.thread);
            polled.is_timed = false;
            return Some(polled);
        }
        polled.since = ticks();
        if self.start == 0 {
            self.start_at(&polled);
        }
        frames::push(polled.thread.page.words, self.site.id(), self.start, self.shown_span());
        polled.shown_at = self.show_arguments(polled.thread);
        Some(polled)
    }

    /// Shows a reader of the ring file the arguments, which it finds in the scratch memory during the first poll, and from the
    /// first wait on beside the call's slot.
    #[inline]
    fn show_arguments(&self, thread: &ThreadState) -> Option<usize> {
        match &self.values {
            Some(values) if self.slot == 0 => scratch::push_copy(thread, self.start, values.arguments()),
            _ => None,
        }
    }

    /// Begins the call's time with its first poll.
    #[inline]
    fn start_at(&mut self, polled: &Polled) {
        self.start = polled.since;
        if polled.around.is_nested(polled.thread, self.site.id()) {
            self.state.set(State::NESTED);
        }
    }

    /// Ends the time of a poll. Returns the moment, or 0 if the poll is not timed.
    #[inline]
    pub(super) fn pause(&mut self, polled: &Polled) -> Ticks {
        if !polled.is_timed {
            return 0;
        }
        let now = ticks();
        let passed = now.wrapping_sub(polled.since);
        self.busy = self.busy.wrapping_add(passed);
        self.callees = self.callees.wrapping_add(polled.around.leave(polled.thread, passed));
        now
    }

    /// Ends a poll that was not the last, at `now`, which is 0 if the poll was not timed.
    #[inline(never)]
    pub(super) fn suspend(&mut self, thread: &ThreadState, now: Ticks) {
        let now = if now == 0 { ticks() } else { now };
        let suspended = &thread.home.suspended;
        if self.slot == 0 {
            let arguments = self.values.as_ref().map(|values| values.arguments()).unwrap_or_default();
            let (site, start, span, since) = (self.site.id(), self.start, self.shown_span(), now);
            let call = Suspended { site, start, span, parent: self.parent & !NOT_KEPT, since, arguments };
            self.slot = suspended.take(&thread.home.memory, call);
        } else {
            suspended.wait(self.slot, now);
        }
        self.state.set_waiting();
    }

    /// Returns the span that the call's slot shows: that of its context, unless this is another call's.
    #[inline]
    fn shown_span(&self) -> u64 {
        if self.state.is_alone() { self.span & NOT_KEPT } else { self.span }
    }

    /// Returns true if the call was counted when it was called.
    #[inline]
    pub(super) fn is_counted(&self) -> bool {
        self.state.is_counted()
    }

    /// Returns true if the call, whose last poll ended at `end`, has a row if it is `ok`, with a result.
    #[inline]
    pub(super) fn has_result(&self, end: Ticks) -> bool {
        let is_slow = || end.wrapping_sub(self.start) >= self.site.slow_ticks.load(Ordering::Relaxed);
        self.state.is_polled() && (self.state.is_sampled() || self.state.is_unsampled() && is_slow())
    }

    /// Ends a call as `ok` that leaves a header or nothing, and returns true. Returns false, and changes nothing, for a call
    /// that needs more, or if the ring is at a limit.
    #[inline]
    pub(super) fn end_ok_header_only(&mut self, thread: &ThreadState, end: Ticks) -> bool {
        let is_over = match self.state {
            State::POLLED_SAMPLED if self.values.is_none() => self.write_ok(thread, end),
            state if state.is_counted() => coarse() == self.start,
            _ => false,
        };
        if is_over {
            self.state = State::OVER;
            self.leave_slot(thread);
        }
        is_over
    }

    /// Writes the record of a sampled `ok` call without values and flags. Returns false if the ring is at a limit.
    #[inline]
    fn write_ok(&self, thread: &ThreadState, end: Ticks) -> bool {
        let current = thread.current.load(Ordering::Relaxed);
        thread.suppress();
        let room = thread.ring.room(EXTENSION_WORDS);
        let is_written = room.is_some();
        if let Some(room) = room {
            let first = first_word(EXTENSION_WORDS, Outcome::Ok, Kept::Sampled, false, self.site.id());
            room.put(place::FIRST, of_async(first));
            room.put(place::START, self.start);
            room.put(place::DURATION, end.wrapping_sub(self.start));
            room.put(place::SPAN, self.span);
            room.put(place::PARENT, self.parent);
            room.put(place::TRACE, self.trace);
            room.put(place::SIZES, sizes_word(self.weight, 0, 0));
            let Spent { busy, self_ticks, .. } = self.spent(0);
            room.commit_extension(busy, self_ticks);
        }
        thread.restore(current);
        is_written
    }

    /// Returns the call's slot among the suspended calls.
    #[inline]
    fn leave_slot(&self, thread: &ThreadState) {
        if self.slot != 0 {
            thread.home.suspended.give_back(self.slot, self.start, self.shown_span());
        }
    }

    #[inline]
    fn header(
        &self,
        thread: &ThreadState,
        outcome: Outcome,
        kept: Kept,
        weight: f32,
        duration: Ticks,
    ) -> Header {
        let bytes = self.values.as_ref().map_or((0, 0), |values| (values.args_bytes, values.fields_bytes));
        let parent = self.parent & !NOT_KEPT;
        let (span, trace) = if self.state.is_alone() {
            let span = thread.next_span();
            (span, if parent == NO_SPAN { span } else { self.trace })
        } else {
            (self.span & !NOT_KEPT, self.trace)
        };
        let Spent { self_ticks, busy, is_nested, .. } = self.spent(duration);
        Header {
            site: self.site.id(),
            outcome,
            kept,
            is_async: true,
            start: self.start,
            duration,
            span,
            parent,
            trace,
            weight,
            args_bytes: bytes.0,
            fields_bytes: bytes.1,
            busy,
            self_ticks,
            is_nested,
        }
    }

    #[inline]
    fn spent(&self, duration: Ticks) -> Spent {
        let (busy, self_ticks) = (self.busy, self.busy.saturating_sub(self.callees));
        Spent { duration, self_ticks, busy, is_nested: self.state.is_nested() }
    }

    /// Ends the call at `end`. The captured value goes behind the arguments.
    #[inline(never)]
    pub(super) fn end(&mut self, end: Ticks, outcome: Outcome, value: Option<Capture<'_>>) {
        let state = self.state;
        if state.is_over() {
            return;
        }
        self.state.end();
        let (thread, lease) = match local::current() {
            Some(thread) => (thread, Lease::Thread),
            None => match pool::process_threads().and_then(pool::ThreadPool::acquire) {
                Some(taken) => taken,
                None => return,
            },
        };
        self.leave_slot(thread);
        let (start, end) =
            if state.is_counted() { counted_interval(self.start, end) } else { (self.start, end) };
        let start = if start == 0 { end } else { start };
        let duration = end.wrapping_sub(start);
        let is_fast = duration < self.site.slow_ticks.load(Ordering::Relaxed);
        let leaves_none = !state.is_sampled() && outcome == Outcome::Ok && is_fast;
        let current = thread.current.load(Ordering::Relaxed);
        match (leaves_none, state.is_counted()) {
            (true, true) => {}
            (true, false) => {
                thread.suppress();
                count(thread, self.site, outcome, Unrecorded::SampledOut, self.spent(duration));
                thread.restore(current);
            }
            (false, is_counted) => {
                if is_counted {
                    let countdown = local::make_countdown(thread, self.site.id());
                    countdown.inspect(|countdown| countdown.note_recorded());
                }
                thread.suppress();
                self.start = start;
                self.record(thread, state, outcome, duration, value);
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
        state: State,
        outcome: Outcome,
        duration: Ticks,
        value: Option<Capture<'_>>,
    ) {
        let (kept, weight) = match outcome {
            Outcome::Ok if !state.is_sampled() => (Kept::Slow, 1.0),
            Outcome::Ok if state.is_first() => (Kept::First, 1.0),
            Outcome::Ok => (Kept::Sampled, state.own_weight().unwrap_or(self.weight)),
            _ => (Kept::Failed, 1.0),
        };
        let header = self.header(thread, outcome, kept, weight, duration);
        let earlier = self.values.take().map(|values| values.tokens).unwrap_or_default();
        let value = value.filter(|_| outcome == Outcome::Ok || thread.captures.errors());
        let panicked = outcome == Outcome::Panic && thread.captures.errors();
        let bare = |header: Header| publish(thread, &header.encode(0), &[header.extension()]);
        if earlier.is_empty() && value.is_none() && !panicked {
            return bare(header);
        }
        let Some(writer) = scratch::open(thread) else {
            return bare(Header { args_bytes: 0, fields_bytes: 0, ..header });
        };
        let top = writer.len();
        scratch::write_captured(writer, &header.extension());
        scratch::write_captured(writer, &earlier);
        match value {
            Some(value) => value(writer),
            None if panicked => write_panic(self.start, writer),
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
        if self.state.is_over() {
            return;
        }
        if !self.state.is_polled() {
            return self.end(ticks(), Outcome::Cancelled, None);
        }
        if let Some(thread) = local::current() {
            thread.note_unwinding();
        }
        self.end(ticks(), Outcome::Panic, None);
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
    around: Around,
    since: Ticks,
    /// True if the poll is timed and a frame shows it.
    is_timed: bool,
    /// The place in the scratch memory from which on the call's arguments lie there for this poll.
    shown_at: Option<usize>,
}

impl Polled {
    /// Begins a poll of a call of this function. The call's context is not entered yet.
    #[inline]
    fn begin(site: &'static CallSite) -> Option<Self> {
        let (thread, lease) = match local::current() {
            Some(thread) => (thread, Lease::Thread),
            None => pool::process_threads()?.acquire()?,
        };
        let (before, around) = (Context::from_state(thread), Around::enter(thread, site.id()));
        Some(Self { thread, lease, before, around, since: 0, is_timed: true, shown_at: None })
    }

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
            self.around.restore(self.thread);
            frames::pop(self.thread.page.words);
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
