//! A call under way: the slot that holds it, its fields, and its packed words.
//!
//! Takes a call's site and the state of its thread; gives the header of its record. A slot is written in place and
//! never copied. The file does not know how a call begins or ends.

use std::sync::atomic::Ordering;

use crate::platform::clock::{Ticks, elapsed};
use crate::platform::coarse_clock::coarse;
use crate::platform::fork_mark::is_marked;
use crate::record::{Header, Kept, NOT_KEPT, Outcome, SELF_TICKS_MAX, first_word, place, sizes_word};
use crate::ring::frames;
use crate::ring::spsc::Room;
use crate::site::CallSite;
use crate::thread::local;
use crate::thread::scratch::ScratchWriter;
use crate::thread::state::{CallerState, NO_SPAN, ThreadState};

/// The key of the runtime: the `CRATE` of the functions that the runtime compiles for itself.
///
/// The functions that a call takes are generic over a key, so that each monitored crate compiles its own ones. A key of
/// each crate is needed because the compiler shares an instance that is not inlined with all crates above. A shared
/// instance is called through an address in a table, and finds the state of its thread by a function call: recorded
/// calls took 1.2 to 1.4 times as long.
pub(crate) const RUNTIME: u64 = 0;

/// The place of an entered call. The call is built there and stays there, and functions that take it by reference work
/// on it. Inlined, entry and exit took a kilobyte of every monitored function, which a program with many of them pays
/// for in cache misses. Copied, a call would keep the processor waiting until its narrow stores are combined.
#[derive(Debug)]
pub struct Slot(pub(super) Option<Entered>);

impl Slot {
    /// Returns a place without a call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Returns the call in the slot, after a counted call was moved into it; `None` if there is no call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn examine(&mut self, site: &'static CallSite, state: State) -> Option<&mut Entered> {
        if state.is_counted() {
            self.enter_counted(site, state);
        }
        self.0.as_mut()
    }

    /// Gives a counted call a place in the slot.
    #[cold]
    #[inline(never)]
    fn enter_counted(&mut self, site: &'static CallSite, state: State) {
        let entered = |thread: &'static ThreadState| {
            let parent = thread.current.load(Ordering::Relaxed);
            Entered { start: state.0, special: Special::COUNTED_CALL, parent, ..Entered::blank(site, thread) }
        };
        self.0 = local::current().map(entered);
    }
}

/// The state of a call, in one word that stays in a register.
///
/// | value | meaning |
/// |---|---|
/// | 0 | no call, or one that passes through or has ended |
/// | 1 | an entered call, which is in the slot |
/// | above 1 | a counted call, which is not in the slot: the coarse clock's ticks at its entry |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    /// No call, or one that passes through or has ended.
    pub(super) const NONE: Self = Self(0);
    /// An entered call, which is in the slot.
    pub(super) const ENTERED: Self = Self(1);

    /// Returns the state of a call that was counted at its entry. `start` is the reading of the coarse clock, which is
    /// always above 1.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn counted(start: Ticks) -> Self {
        Self(start)
    }

    /// Returns true for a call that was counted at its entry.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn is_counted(self) -> bool {
        self.0 > Self::ENTERED.0
    }

    /// Returns true if a counted call needs nothing at its end. Returns false if the coarse clock has moved since the
    /// call's entry, because the call may then have been slow.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn has_counted_all(self) -> bool {
        self.0 == coarse()
    }
}

/// A call under way that does not pass through. A counted call has this form only at its end. It is aligned like the
/// stack, so that two words that one instruction writes are never in two cache lines. The words that are zero for a
/// sampled call are next to each other in pairs, and one instruction writes each pair.
#[derive(Debug)]
#[repr(C, align(16))]
pub(super) struct Entered {
    pub(super) thread: &'static ThreadState,
    pub(super) site: &'static CallSite,
    pub(super) start: Ticks,
    /// The span id; [`NO_SPAN`] for a call that gets one with its record.
    pub(super) span: u64,
    /// The flags that set the call apart from a sampled call without values.
    pub(super) special: Special,
    pub(super) values: Values,
    /// The scratch writer, from the entry of a call that captures arguments until these are written.
    pub(super) scratch: Option<ScratchWriter>,
    /// The span that was current before the call.
    pub(super) parent: u64,
    pub(super) caller_state: CallerState,
}

/// The times of a call that has ended, without its start. The self time fits into a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) duration: Ticks,
    pub(super) self_ticks: Ticks,
    pub(super) is_nested: bool,
}

/// The flags that set an entered call apart from a sampled call without values, for which the word is zero.
///
/// | bits | content |
/// |---|---|
/// | 63–32 | a weight, as the bits of an `f32`: with bit 1 the thread's before the call, with bit 8 the call's own |
/// | 9 | the call is recorded without a parent, because coroutines interleave on its thread |
/// | 8 | the call was sampled with a weight of its own, which calls below it do not share |
/// | 7 | the thread was unwinding when the call was entered |
/// | 6 | the call is among the first of its function |
/// | 5 | the call is unsampled and not timed: its countdown has counted it, and its start is the coarse clock's |
/// | 3 | captured values are in the scratch memory |
/// | 2 | the thread's state was taken for this call, which returns it |
/// | 1 | the thread's weight is to be restored when the call ends |
/// | 0 | the call is unsampled: it leaves a record only if it fails or is slow |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Special(u64);

impl Special {
    /// A sampled call without values.
    pub(super) const NONE: Self = Self(0);
    pub(super) const UNSAMPLED: Self = Self(1);
    const RESTORES_WEIGHT: Self = Self(1 << 1);
    pub(super) const RETURNS_STATE: Self = Self(1 << 2);
    pub(super) const HAS_VALUES: Self = Self(1 << 3);
    const COUNTED: Self = Self(1 << 5);
    pub(super) const FIRST: Self = Self(1 << 6);
    pub(super) const UNWINDING: Self = Self(1 << 7);
    const OWN_WEIGHT: Self = Self(1 << 8);
    pub(super) const DETACHED: Self = Self(1 << 9);
    /// The flags of an unsampled call with captured values.
    pub(super) const UNSAMPLED_WITH_VALUES: Self = Self(Self::UNSAMPLED.0 | Self::HAS_VALUES.0);
    /// The flags of a counted call. No other call has this combination.
    pub(super) const COUNTED_CALL: Self = Self(Self::UNSAMPLED.0 | Self::COUNTED.0);

    /// Returns the flags of a call that sets the thread's weight back to `before` when it ends.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn restoring_weight(before: f32) -> Self {
        Self(Self::RESTORES_WEIGHT.0 | (before.to_bits() as u64) << 32)
    }

    /// Returns the flags of a call with a weight of its own.
    pub(super) const fn weighing(weight: f32) -> Self {
        Self(Self::OWN_WEIGHT.0 | (weight.to_bits() as u64) << 32)
    }

    /// Returns the weight of the call's own, if it has one.
    pub(super) const fn own_weight(self) -> Option<f32> {
        if self.has(Self::OWN_WEIGHT) { Some(f32::from_bits((self.0 >> 32) as u32)) } else { None }
    }

    /// Returns [`Self::UNSAMPLED`] for the bit [`NOT_KEPT`], else [`Self::NONE`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn for_tree(not_kept: u64) -> Self {
        Self(not_kept >> NOT_KEPT.ilog2())
    }

    /// Returns the weight to restore at the end of the call, if there is one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn weight_to_restore(self) -> Option<f32> {
        if self.has(Self::RESTORES_WEIGHT) { Some(f32::from_bits((self.0 >> 32) as u32)) } else { None }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn set(&mut self, flag: Self) {
        self.0 |= flag.0;
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn cleared_of(self, flag: Self) -> Self {
        Self(self.0 & !flag.0)
    }

    pub(super) const fn is_detached(self) -> bool {
        self.has(Self::DETACHED)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn is_unsampled(self) -> bool {
        self.has(Self::UNSAMPLED)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn is_counted(self) -> bool {
        self.has(Self::COUNTED)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn is_first(self) -> bool {
        self.has(Self::FIRST)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn has_values(self) -> bool {
        self.has(Self::HAS_VALUES)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn was_unwinding(self) -> bool {
        self.has(Self::UNWINDING)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn returns_state(self) -> bool {
        self.has(Self::RETURNS_STATE)
    }
}

/// The place and the sizes of a call's captured values in the scratch memory.
///
/// | bits | content |
/// |---|---|
/// | 63–48 | bytes of the fields |
/// | 47–32 | bytes of the arguments |
/// | 31–0 | start in the scratch memory, in bytes |
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values(u64);

impl Values {
    pub(super) fn new(start: usize) -> Self {
        Self(start as u64 & 0xFFFF_FFFF)
    }
    pub(super) fn start(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }
    pub(super) fn args_bytes(self) -> u16 {
        (self.0 >> 32) as u16
    }
    pub(super) fn fields_bytes(self) -> u16 {
        (self.0 >> 48) as u16
    }
    pub(super) fn with_args(self, bytes: u16) -> Self {
        Self(self.0 | u64::from(bytes) << 32)
    }
    pub(super) fn with_fields(self, bytes: u16) -> Self {
        Self(self.0 | u64::from(bytes) << 48)
    }
}

impl Entered {
    /// Returns a call with no span, no start and no flags.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn blank(site: &'static CallSite, thread: &'static ThreadState) -> Self {
        let (span, parent, values) = (NO_SPAN, NO_SPAN, Values::default());
        let special = Special::NONE;
        Self {
            thread,
            site,
            start: 0,
            span,
            special,
            values,
            scratch: None,
            parent,
            caller_state: CallerState::default(),
        }
    }

    /// Ends the call's time at `end`, and leaves the stack of calls under way.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn leave(&self, id: u32, end: Ticks) -> Times {
        let Self { thread, start, caller_state, .. } = *self;
        frames::pop(thread.page.words);
        let times = leave_frame_popped(thread, caller_state, elapsed(start, end));
        Times { is_nested: caller_state.is_nested(thread, id), ..times }
    }

    /// Ends the call's time at `end`, and leaves the stack of calls under way, for a call of which
    /// [`Self::may_be_nested_or_forked`] is false.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn leave_outermost(&self, end: Ticks) -> Times {
        // The fields are read before the first store, after which the compiler would have to read them again.
        let Self { thread, start, caller_state, .. } = *self;
        frames::pop_if_marked(thread.page.words);
        leave_frame_popped(thread, caller_state, elapsed(start, end))
    }

    /// Returns false if the call is not nested, is the innermost one, and this process is the one that it began in.
    /// `tree` is [`NOT_KEPT`] if the call's tree may not be kept.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn needs_check(&self, id: u32, tree: u64) -> bool {
        !self.is_innermost(tree) || self.may_be_nested_or_forked(id)
    }

    /// Returns false if the call is not nested, and this process is the one that it began in.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn may_be_nested_or_forked(&self, id: u32) -> bool {
        self.caller_state.may_be_nested(id) || !is_marked()
    }

    /// Returns true if the call is the current one of its thread. `tree` is [`NOT_KEPT`] if the call's tree may not be
    /// kept.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_innermost(&self, tree: u64) -> bool {
        self.thread.current.load(Ordering::Relaxed) & !tree == self.span
    }

    /// Writes the header of a sampled call, except for its last word, which is returned. `id` is the id of the call's
    /// site, which the caller has read already.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn put_header(
        &self,
        room: &Room<'_>,
        id: u32,
        times: Times,
        outcome: Outcome,
        value_words: usize,
    ) -> u64 {
        let thread = self.thread;
        let (kept, weight) = match outcome {
            Outcome::Ok => (Kept::Sampled, thread.weight()),
            _ => (Kept::Failed, 1.0),
        };
        room.put(place::FIRST, first_word(value_words, outcome, kept, times.is_nested, id));
        room.put(place::START, self.start);
        room.put(place::DURATION, times.duration);
        room.put(place::SPAN, self.span);
        room.put(place::PARENT, self.parent);
        room.put(place::TRACE, thread.trace.load(Ordering::Relaxed));
        let (args_bytes, fields_bytes) = (self.values.args_bytes(), self.values.fields_bytes());
        room.put(place::SIZES, sizes_word(weight, args_bytes, fields_bytes));
        times.self_ticks
    }

    /// Returns the header of a sampled call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn sampled_header(&self, times: Times, outcome: Outcome) -> Header {
        match outcome {
            Outcome::Ok => self.header(outcome, Kept::Sampled, self.thread.weight(), times),
            _ => self.header(outcome, Kept::Failed, 1.0, times),
        }
    }

    /// Returns the header of a call, whose record is kept for the reason `kept` and has this weight. A call without a
    /// span gets one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn header(&self, outcome: Outcome, kept: Kept, weight: f32, times: Times) -> Header {
        let Times { duration, self_ticks, is_nested } = times;
        let span = if self.span == NO_SPAN { self.thread.next_span() } else { self.span };
        let parent = self.parent & !NOT_KEPT;
        let is_lone_root = self.span == NO_SPAN && parent == NO_SPAN;
        Header {
            site: self.site.id(),
            outcome,
            kept,
            is_async: false,
            start: self.start,
            duration,
            span,
            parent,
            trace: if is_lone_root { span } else { self.thread.trace.load(Ordering::Relaxed) },
            weight,
            args_bytes: self.values.args_bytes(),
            fields_bytes: self.values.fields_bytes(),
            busy: 0,
            self_ticks,
            is_nested,
        }
    }
}

/// Ends the time of a call whose frame is popped.
#[cfg_attr(not(debug_assertions), inline(always))]
fn leave_frame_popped(thread: &ThreadState, caller_state: CallerState, duration: Ticks) -> Times {
    let callees = caller_state.leave(thread, duration);
    let mut self_ticks = duration.wrapping_sub(callees);
    // A time below zero, from clocks that differ, wraps to a huge one, so this test finds it and a time of more than a
    // day.
    if self_ticks > SELF_TICKS_MAX {
        cold_path();
        self_ticks = duration.saturating_sub(callees).min(SELF_TICKS_MAX);
    }
    Times { duration, self_ticks, is_nested: false }
}

/// Makes a call current, which ends what [`ThreadState::suppress`] began. `tree` is [`NOT_KEPT`] if the calls below it
/// are not kept, else 0.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn begin_span(thread: &ThreadState, parent: u64, span: u64, tree: u64) {
    if parent == NO_SPAN {
        thread.trace.store(span, Ordering::Relaxed);
        thread.set_weight(1.0);
    }
    thread.restore(span | tree);
}

/// Marks a cold path: the compiler places it after the function's end, so the common path of each of thousands of
/// functions is two cache lines without a taken branch.
#[cold]
#[inline]
pub(super) fn cold_path() {}
