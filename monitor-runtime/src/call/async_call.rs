//! A call of an async function: entered where the function is called, current while its future is polled, ended with
//! the future.
//!
//! Takes the polls of one future, on any thread; gives one record. After a poll, the thread's context is always what it
//! was before the poll. An unfinished call that is dropped ends as `cancelled`, or as `panic` if a poll unwound. The
//! file does not know futures.

use std::sync::atomic::Ordering;

use super::async_state::State;
use super::async_values::Values;
use super::context::Context;
use super::decision::{self, Decision, decide_fast};
use super::poll::{Poll, PollSpecial, Polled, leased_state};
use super::publish::{count, publish};
use super::slow_path::counted_interval;
use super::values::write_panic;
use crate::capture::Writer;
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::platform::coarse_clock::coarse;
use crate::record::{
    EXTENSION_WORDS, Header, Kept, NOT_KEPT, Outcome, first_word, of_async, place, sizes_word,
};
use crate::ring::frames;
use crate::ring::spsc::Room;
use crate::ring::suspended::Suspended;
use crate::site::{CallSite, Fidelity};
use crate::thread::local::{self, Lease};
use crate::thread::scratch::{self, Capture};
use crate::thread::state::{NO_SPAN, ThreadState, is_none_or_kept, is_reserved};
use crate::thread::tally::{Spent, Unrecorded};

/// An async call: entered where the function is called, current only while its future is polled. If it is dropped
/// before its future completed, it ends as `cancelled`.
///
/// The call is moved together with its future soon after both are made. It is kept small, so that the processor has to
/// wait for fewer words.
#[derive(Debug)]
pub struct AsyncCall {
    site: &'static CallSite,
    /// The context while the call is polled: its span, its tree, and the tree's weight. A call that gets a span with
    /// its record is polled in the context in which it was entered.
    span: u64,
    trace: u64,
    weight: f32,
    /// The call's slot among the suspended calls, from its first wait on; 0 for none.
    slot: u32,
    parent: u64,
    /// The moment of the first poll, in ticks; 0 before it. For a counted call, the coarse clock's reading when the
    /// function was called.
    start: Ticks,
    busy: Ticks,
    /// The part of `busy` that was spent in callees.
    callees: Ticks,
    values: Option<Box<Values>>,
    state: State,
}

/// The parts of a call that begins: its state, the context in it, its parent, and its start if it was counted.
pub(super) type Begun = (State, Context, u64, Ticks);

/// The parts of a call that passes through: its body runs, and the recorder takes no further notice of it.
const PASS: Begun = (State::ENDED, Context::NONE, NO_SPAN, 0);

impl AsyncCall {
    /// Enters a call; its parent is the call that is current now.
    #[inline]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let begun = Self::begin(site);
        // The call is built at its place from its parts. If it were returned through memory, its copy would wait until
        // the processor has combined the narrower stores.
        let (state, Context { span, trace, weight }, parent, start) = begun;
        let (slot, busy, callees, values) = (0, 0, 0, None);
        Self { site, span, trace, weight, slot, parent, start, busy, callees, values, state }
    }

    /// Begins a call, and returns its parts.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin(site: &'static CallSite) -> Begun {
        Self::begin_recorded(site).unwrap_or_else(|| Self::begin_elsewhere(site))
    }

    /// Does what [`Self::begin_unless_recorded`] does, as a function of its own.
    #[inline(never)]
    fn begin_elsewhere(site: &'static CallSite) -> Begun {
        Self::begin_unless_recorded(site)
    }

    /// Begins a call that is recorded like the call around it or as a root. Returns `None`, and changes nothing, for
    /// any other call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_recorded(site: &'static CallSite) -> Option<Begun> {
        if site.epoch().fidelity() != Fidelity::RECORDED {
            return None;
        }
        let thread = local::current_if_marked()?;
        let parent = thread.current.load(Ordering::Relaxed);
        if !is_none_or_kept(parent) {
            return None;
        }
        thread.suppress();
        let Some(span) = thread.next_span_of_prefix() else {
            thread.restore(parent);
            return None;
        };
        thread.restore(parent);
        let is_root = parent == NO_SPAN;
        let trace = if is_root { span } else { thread.trace.load(Ordering::Relaxed) };
        let weight = if is_root { 1.0 } else { thread.weight() };
        Some((State::SAMPLED, Context { span, trace, weight }, parent, 0))
    }

    /// Begins a call that [`Self::begin_recorded`] does not begin.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_unless_recorded(site: &'static CallSite) -> Begun {
        let epoch = site.epoch();
        if epoch.fidelity() == Fidelity::OFF {
            return PASS;
        }
        if let Some(thread) = local::current_if_marked() {
            let here = Context::for_new_call(thread);
            if is_reserved(here.span) {
                decision::count_if_passed(site, here.span);
                return PASS;
            }
            if epoch.fidelity() == Fidelity::COUNTED {
                let countdown = local::countdown(site.id());
                if countdown.is_some_and(|countdown| countdown.skip_counted(epoch.number())) {
                    return (State::COUNTED, here, here.span, coarse());
                }
            } else if let Some(tree) = decide_fast(site, epoch, here.span) {
                let weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
                return Self::open(thread, here, tree, weight);
            }
        }
        Self::enter_decided(site)
    }

    /// Enters a call that needs a decision: the first call of a function or on a thread, a call of a sampled function,
    /// or a call within a capture.
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
        let current = thread.current.load(Ordering::Relaxed);
        thread.suppress();
        let span = thread.next_span();
        thread.restore(current);
        let trace = if here.span == NO_SPAN { span } else { here.trace };
        let state = if tree == 0 { State::SAMPLED } else { State::UNSAMPLED };
        (state, Context { span: span | tree, trace, weight }, here.span, 0)
    }

    fn decide(site: &'static CallSite, thread: &'static ThreadState) -> Begun {
        let here = Context::for_new_call(thread);
        let tree = here.span & NOT_KEPT;
        let here_weight = if here.span == NO_SPAN { 1.0 } else { here.weight };
        let open = |tree, weight| Self::open(thread, here, tree, weight);
        let open_as = |state, (_, context, parent, start): Begun| (state, context, parent, start);
        match decision::decide(site, thread, here.span, here.weight) {
            Decision::Pass => {
                decision::count_if_passed(site, here.span);
                PASS
            }
            Decision::Follow => open(tree, here_weight),
            Decision::Sampled(weight) => open(0, weight),
            Decision::First => open_as(State::FIRST, open(0, 1.0)),
            Decision::Unsampled => open(NOT_KEPT, here_weight),
            Decision::SampledAlone(weight) => open_as(State::weighing(weight), open(tree, here_weight)),
            Decision::Timed => open_as(State::UNSAMPLED, open(tree, here_weight)),
            Decision::TimedAlone => (State::TIMED_ALONE, here, here.span, 0),
        }
    }

    /// Captures the arguments, in the order of the call site's names, as `Call::args` does.
    #[inline]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.captures() {
            let bytes = Values::capture(&mut self.values, thread, &mut to_repeatable(capture));
            if let Some(values) = &mut self.values {
                values.args_bytes = bytes;
            }
        }
    }

    /// Captures the extra fields if this call is sampled, as `Call::fields` does.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if self.state.is_sampled()
            && let Some(thread) = self.captures()
        {
            let bytes = Values::capture(&mut self.values, thread, &mut to_repeatable(capture));
            if let Some(values) = &mut self.values {
                values.fields_bytes = bytes;
            }
        }
    }

    /// Returns the calling thread's state if arguments of this call are captured on it, and `None` otherwise.
    #[inline]
    fn captures(&self) -> Option<&'static ThreadState> {
        let captures = self.state.is_sampled() || self.state.is_unsampled() && self.site.captures_unsampled();
        local::current().filter(|thread| captures && thread.captures.args())
    }

    /// Begins the part of a function that makes its future. The call is current and its time runs until [`Self::made`].
    /// If this part unwinds, the call ends as `panic`.
    #[inline]
    #[must_use]
    pub fn making(&mut self) -> Making {
        let mut making = Making(Polled::none());
        self.resume(&mut making.0);
        making
    }

    /// Ends the part of a function that makes its future.
    #[inline]
    pub fn made(&mut self, making: Making) {
        let Making(polled) = making;
        if let Polled(Some(poll)) = &polled {
            let now = self.pause(poll);
            self.suspend(poll.thread, now);
        }
    }

    /// Makes a call current whose unfinished future is about to be dropped, because calls made by the future's
    /// destructors belong below this call. The call stays current until it is dropped itself.
    #[inline]
    pub(super) fn begin_drop(&mut self) {
        if self.state.can_be_polled() && !self.state.is_alone() {
            self.enter_drop();
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_drop(&mut self) {
        let mut polled = Box::new(Polled::none());
        self.resume(&mut polled);
        if let Some(poll) = &polled.0 {
            let accountant = poll.thread.home.accountant;
            self.values.get_or_insert_with(|| Box::new(Values::new(accountant))).dropping = Some(polled);
        }
    }

    /// Begins a poll, which makes the call current. `polled` stays empty if the call passes through or has ended. The
    /// poll is built at its place, because a copy would wait until the processor has combined the narrower stores.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn resume(&mut self, polled: &mut Polled) {
        let thread = if self.state == State::SAMPLED { local::current_if_marked() } else { None };
        let Some(thread) = thread else {
            return self.resume_unless_recorded(polled);
        };
        let id = self.site.id();
        let poll = polled.0.insert(Poll::begin(thread, id));
        self.state = State::POLLED_SAMPLED;
        Context { span: self.span, trace: self.trace, weight: self.weight }.enter(thread);
        poll.since = counter();
        if self.start == 0 {
            self.start_at(poll, id);
        }
        frames::push(thread.page.words, id, self.start, self.span);
        if self.values.is_some() {
            self.show_arguments(poll);
        }
    }

    /// Begins a poll of a call that is not simply recorded, or of a thread that has not recorded yet.
    #[inline(never)]
    fn resume_unless_recorded(&mut self, polled: &mut Polled) {
        if !self.state.can_be_polled() {
            return;
        }
        let Some((thread, lease)) = leased_state() else { return };
        let id = self.site.id();
        let poll = polled.0.insert(Poll::begin(thread, id));
        if lease == Lease::Call {
            poll.special.set(PollSpecial::RETURNS_STATE);
        }
        self.state.set(State::POLLED);
        if self.state.is_counted() {
            poll.caller_state.restore(thread);
            poll.special.set(PollSpecial::UNTIMED);
            return;
        }
        if !self.state.is_alone() {
            Context { span: self.span, trace: self.trace, weight: self.weight }.enter(thread);
        }
        poll.since = counter();
        if self.start == 0 {
            self.start_at(poll, id);
        }
        frames::push(thread.page.words, id, self.start, self.shown_span());
        if self.values.is_some() {
            self.show_arguments(poll);
        }
    }

    /// Shows the arguments to readers of the ring file: in the scratch memory during the first poll, and beside the
    /// call's slot from the first wait on.
    #[inline(never)]
    fn show_arguments(&self, poll: &mut Poll) {
        if let Some(values) = &self.values
            && self.slot == 0
            && let Some(top) = scratch::push_copy(poll.thread, self.start, values.arguments())
        {
            poll.shown_at = top;
            poll.special.set(PollSpecial::SHOWS_ARGUMENTS);
        }
    }

    /// Begins the call's time with its first poll.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn start_at(&mut self, poll: &Poll, id: u32) {
        self.start = poll.since;
        if poll.caller_state.is_nested(poll.thread, id) {
            self.state.set(State::NESTED);
        }
    }

    /// Ends the time of a poll. Returns the moment of its end, or 0 if the poll is not timed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn pause(&mut self, poll: &Poll) -> Ticks {
        if poll.special != PollSpecial::NONE {
            return self.pause_flagged(poll);
        }
        self.pause_at(counter(), poll)
    }

    /// Ends the time of a poll with flags.
    #[cold]
    #[inline(never)]
    fn pause_flagged(&mut self, poll: &Poll) -> Ticks {
        if poll.special.has(PollSpecial::UNTIMED) { 0 } else { self.pause_at(counter(), poll) }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pause_at(&mut self, now: Ticks, poll: &Poll) -> Ticks {
        let passed = elapsed(poll.since, now);
        self.busy = self.busy.wrapping_add(passed);
        self.callees = self.callees.wrapping_add(poll.caller_state.leave(poll.thread, passed));
        now
    }

    /// Ends a poll that was not the last, at `now`, which is 0 if the poll was not timed.
    #[inline(never)]
    pub(super) fn suspend(&mut self, thread: &ThreadState, now: Ticks) {
        let now = if now == 0 { counter() } else { now };
        thread.keep_rows_under_way();
        let suspended = &thread.home.suspended;
        if self.slot == 0 {
            let arguments = self.values.as_ref().map(|values| values.arguments()).unwrap_or_default();
            let (site, start, span, since) = (self.site.id(), self.start, self.shown_span(), now);
            let call = Suspended { site, start, span, parent: self.parent & !NOT_KEPT, since, arguments };
            self.slot = suspended.take(&thread.home.memory, &thread.spare_slots, call);
        } else {
            suspended.wait(self.slot, now);
        }
        self.state.set_waiting();
    }

    /// Returns the span that the call's slot shows. A call that gets its span with its record shows none, because the
    /// span of its context is that of another call.
    #[inline]
    fn shown_span(&self) -> u64 {
        if self.state.is_alone() { self.span & NOT_KEPT } else { self.span }
    }

    /// Returns true if the call was counted when it was called.
    #[inline]
    pub(super) fn is_counted(&self) -> bool {
        self.state.is_counted()
    }

    /// Returns true if the call, whose last poll ended at `end`, would have a row with a result if it ended as `ok`.
    #[inline]
    pub(super) fn has_result(&self, end: Ticks) -> bool {
        let is_slow = || elapsed(self.start, end) >= self.site.slow_ticks.load(Ordering::Relaxed);
        self.state.is_polled() && (self.state.is_sampled() || self.state.is_unsampled() && is_slow())
    }

    /// Ends the call as `ok` and returns true if it leaves a record without values, or no record at all. Returns false,
    /// and changes nothing, for any other call, or if the ring is at a limit.
    #[inline]
    pub(super) fn end_ok_header_only(&mut self, thread: &ThreadState, end: Ticks) -> bool {
        let is_over = match self.state {
            State::POLLED_SAMPLED if self.values.is_none() => self.write_ok(thread, end),
            state if state.is_counted() => coarse() == self.start,
            _ => false,
        };
        if is_over {
            self.leave_slot(thread);
            self.state = State::ENDED;
        }
        is_over
    }

    /// Writes the record of a sampled `ok` call without values and flags. Returns false if the ring is at a limit.
    #[inline]
    fn write_ok(&self, thread: &ThreadState, end: Ticks) -> bool {
        write_ok(thread, self.site.id(), (self.start, end), |room| {
            room.put(place::SPAN, self.span);
            room.put(place::PARENT, self.parent);
            room.put(place::TRACE, self.trace);
            room.put(place::SIZES, sizes_word(self.weight, 0, 0));
            self.spent(0)
        })
    }

    /// Gives the call's slot among the suspended calls back, if the call has one.
    #[inline]
    fn leave_slot(&self, thread: &ThreadState) {
        if self.slot != 0 {
            let span = self.shown_span();
            thread.home.suspended.give_back(&thread.spare_slots, self.slot, self.start, span);
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

    /// Ends the call at `end`. The captured value is written behind the arguments and fields.
    #[inline(never)]
    pub(super) fn end(&mut self, end: Ticks, outcome: Outcome, value: Option<Capture<'_>>) {
        let state = self.state;
        if state.is_over() {
            return;
        }
        self.state.end();
        let Some((thread, lease)) = leased_state() else {
            // A call that was counted when it was called must not be counted again.
            if !state.is_counted() {
                self.site.count_passed();
            }
            return;
        };
        self.leave_slot(thread);
        let (start, end) =
            if state.is_counted() { counted_interval(self.start, end) } else { (self.start, end) };
        let start = if start == 0 { end } else { start };
        let duration = elapsed(start, end);
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
        let values = self.values.take();
        let earlier = values.as_ref().map(|values| values.tokens()).unwrap_or_default();
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
        scratch::write_captured(writer, earlier);
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

/// Writes the record of a sampled `ok` call without values and flags, which began and ended at these moments. `put`
/// writes the span, the parent, the trace and the sizes, and returns the busy time and the self time: the parts of the
/// call are read one by one between the stores, so they need not all be in registers at once. Returns false if the ring
/// is at a limit.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn write_ok(
    thread: &ThreadState,
    site: u32,
    (start, end): (Ticks, Ticks),
    put: impl FnOnce(&Room<'_>) -> Spent,
) -> bool {
    let current = thread.current.load(Ordering::Relaxed);
    thread.suppress();
    let room = thread.ring.room(EXTENSION_WORDS);
    let is_written = room.is_some();
    if let Some(room) = room {
        let first = first_word(EXTENSION_WORDS, Outcome::Ok, Kept::Sampled, false, site);
        room.put(place::FIRST, of_async(first));
        room.put(place::START, start);
        room.put(place::DURATION, elapsed(start, end));
        let Spent { busy, self_ticks, .. } = put(&room);
        room.commit_extension(busy, self_ticks);
    }
    thread.restore(current);
    is_written
}

// This function serves calls whose polls are begun and ended by hand: see `open`.
impl AsyncCall {
    /// Returns a call of these parts, whose last poll is over.
    pub(super) fn from_parts(
        site: &'static CallSite,
        (state, Context { span, trace, weight }, parent, start): Begun,
        slot: u32,
        (busy, callees): (Ticks, Ticks),
        values: Option<Box<Values>>,
    ) -> Self {
        Self { site, span, trace, weight, slot, parent, start, busy, callees, values, state }
    }
}

impl Drop for AsyncCall {
    #[inline]
    fn drop(&mut self) {
        if !self.state.is_over() {
            self.end_unfinished();
        }
    }
}

impl AsyncCall {
    /// Ends a call whose future was dropped, or unwound.
    #[cold]
    #[inline(never)]
    fn end_unfinished(&mut self) {
        let dropping = self.values.as_mut().and_then(|values| values.dropping.take());
        if let Some(poll) = dropping.as_ref().and_then(|polled| polled.0.as_ref()) {
            self.pause(poll);
            self.state.set_waiting();
        }
        drop(dropping);
        if !self.state.is_polled() {
            return self.end(counter(), Outcome::Cancelled, None);
        }
        if let Some(thread) = local::current() {
            thread.note_unwinding();
        }
        self.end(counter(), Outcome::Panic, None);
    }
}

/// The making of a future on this thread, from [`AsyncCall::making`] to [`AsyncCall::made`].
#[derive(Debug)]
pub struct Making(Polled);

/// Converts a closure that may be called once to one that does nothing when it is called again.
pub(super) fn to_repeatable(capture: impl FnOnce(&mut Writer<'_>)) -> impl FnMut(&mut Writer<'_>) {
    let mut capture = Some(capture);
    move |writer| {
        if let Some(capture) = capture.take() {
            capture(writer);
        }
    }
}
