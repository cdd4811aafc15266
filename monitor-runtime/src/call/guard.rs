//! The guard of a synchronous call: opened on entry, closed on drop, decides the outcome.
//!
//! In: a call site, and what the expansion sees of the call. Out: one record in the thread's ring, or
//! one count in its tally. The way of a recorded call without values is `Slot::open` and
//! `Slot::end_ok`; whatever is rarer branches off from there.

use std::sync::atomic::Ordering;

use crate::platform::clock::{Ticks, counter, ticks};
use crate::platform::coarse_clock::coarse;
use crate::record::{Header, Kept, Outcome, first_word, place, sizes_word};
use crate::ring::frames;
use crate::ring::spsc::Room;
use crate::site::{CallSite, fidelity};
use crate::thread::local;
use crate::thread::scratch::{self, ScratchWriter};
use crate::thread::state::{NO_SPAN, RESERVED_SPANS, ThreadState, UNSAMPLED};
use crate::thread::tally::Durations;

pub(crate) use super::decision::{Draw, draw, thread_for};
use super::publish;
pub(crate) use super::publish::{count, deliver};
pub(crate) use super::scope::Scope;
pub(crate) use super::slow_path::end_of_counted;
pub use super::values::Last;
use super::values::Values;
pub(crate) use super::values::write_panic;

/// Where an entered call lies. It is built there and stays there; what it does is behind calls that take it
/// by reference. Inlined, entry and exit took a kilobyte of every monitored function, which a program with
/// many of them pays for in cache misses; copied, it would keep the processor waiting for its words to come
/// together.
#[derive(Debug)]
pub struct Slot(pub(super) Option<Entered>);

impl Slot {
    /// A place without a call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }
}

/// A call whose result is seen: ends by `ok`, `ok_with`, `error`; dropped otherwise, it panicked.
///
/// It is never lent to what is not inlined, its drop where something unwinds included: so its few words
/// stay in registers, which is all that a call needs that is only counted.
///
/// What it calls of ours is compiled into the crate whose functions are monitored, for which it is generic:
/// from there it is called straight, not by an address from a table, which a program of thousands of
/// functions would have to wait for at each, and a thread finds its own by one load.
#[derive(Debug)]
pub struct Call<'a, const IN_USER_CRATE: bool> {
    pub(super) slot: &'a mut Slot,
    pub(super) site: &'static CallSite,
    pub(super) state: State,
}

/// What a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    /// None so far, or one that passes through or has ended.
    pub(super) const NONE: Self = Self(0);
    /// In the slot, unless it passes through.
    pub(super) const ENTERED: Self = Self(1);

    /// One that is only counted, and has been, below another such call, or a root, as what was current says:
    /// what the coarse clock said at its start, whose lowest bits are those of a root.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn counted(start: Ticks, current: u64) -> Self {
        Self(start + current)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) const fn is_counted(self) -> bool {
        self.0 > Self::ENTERED.0
    }

    /// When a call began that is only counted.
    pub(super) const fn start(self) -> Ticks {
        self.0 & !1
    }

    /// What was current when a call began that is only counted.
    pub(super) const fn parent(self) -> u64 {
        self.0 & 1
    }
}

/// A call under way, but one that passes through, or is only counted and has no drawn one above it. Aligned as
/// the stack is, so that two words that are written at once never lie in two cache lines. The words that are zero
/// for a drawn call lie in pairs, each of which one instruction writes.
#[derive(Debug)]
#[repr(C, align(16))]
pub(super) struct Entered {
    pub(super) thread: &'static ThreadState,
    pub(super) site: &'static CallSite,
    pub(super) start: Ticks,
    pub(super) span: u64,
    /// Nothing for a drawn call without values; else flags, and the weight to put back above them.
    pub(super) special: u64,
    pub(super) values: Values,
    /// The writer, from the entry of a call that captures arguments until these are written.
    pub(super) arena: Option<ScratchWriter>,
    /// The durations that count a call that is sampled out but timed, if its thread has counted such a call before.
    pub(super) durations: Option<&'static Durations>,
    /// What was current before.
    pub(super) parent: u64,
}

/// Flags of `Entered::special`.
pub(super) mod special {
    /// Not drawn: leaves a record only if it fails or is slow.
    pub(in crate::call) const UNDRAWN: u64 = 1;
    /// The thread's weight is to be put back.
    pub(in crate::call) const OWN_WEIGHT: u64 = 2;
    /// The thread's state was taken for this call.
    pub(in crate::call) const OWN_STATE: u64 = 4;
    /// There are captured values in the arena.
    pub(in crate::call) const VALUES: u64 = 8;
    /// Ticks are those of the OS clock.
    pub(in crate::call) const OS_CLOCK: u64 = 16;
    /// Not drawn and not timed; its tally has counted it, and its start is that of the coarse clock.
    pub(in crate::call) const COUNTED: u64 = 32;
    /// Among the first calls of its function.
    pub(in crate::call) const FIRST: u64 = 64;
    /// The thread was unwinding when the call was entered.
    pub(in crate::call) const UNWINDING: u64 = 128;
    /// Set for a call that is only counted, and no other.
    pub(in crate::call) const JUST_COUNTED: u64 = UNDRAWN | COUNTED;
}

impl<'a, const IN_USER_CRATE: bool> Call<'a, IN_USER_CRATE> {
    /// Enters a call; its time starts.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::begin(slot, site, Slot::open::<IN_USER_CRATE>, || true)
    }

    /// Enters a call whose time starts with the last of its captures, so that they do not count.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::begin(slot, site, Slot::open_untimed::<IN_USER_CRATE>, || true)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin(
        slot: &'a mut Slot,
        site: &'static CallSite,
        open: fn(&mut Slot, &'static CallSite) -> State,
        may_be_left_out: fn() -> bool,
    ) -> Self {
        let epoch = site.epoch();
        let state = match fidelity::of(epoch) {
            fidelity::OFF => {
                aside();
                State::NONE
            }
            fidelity::COUNTED => {
                aside();
                let left_out = if may_be_left_out() { leave_out(site, epoch) } else { None };
                left_out.unwrap_or_else(|| open(slot, site))
            }
            _ => open(slot, site),
        };
        Self { slot, site, state }
    }

    /// Ends the call as `ok`, its result not captured.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok(&mut self) {
        if self.state == State::ENTERED {
            self.slot.end_ok::<IN_USER_CRATE>();
        } else {
            aside();
            if self.state.is_counted() && !end_counted(self.state) {
                self.slot.end_late(self.site, self.state);
            }
        }
        self.state = State::NONE;
    }
}

impl Slot {
    // These write to where the call lies. Returned, it was copied, in wider pieces than it had been
    // written in, for which the processor waited 7 ns.

    #[inline(never)]
    pub(super) fn open<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite) -> State {
        let Some(entered) = Entered::recorded(site) else { return self.open_timed::<IN_USER_CRATE>(site) };
        // The clock last: nothing of ours counts.
        let start = counter();
        frames::push(entered.thread.page.words, site.id(), start, entered.span);
        self.0 = Some(Entered { start, ..entered });
        State::ENTERED
    }

    #[inline(never)]
    pub(super) fn open_untimed<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite) -> State {
        let Some(mut entered) = Entered::recorded(site) else {
            return self.open_timed::<IN_USER_CRATE>(site);
        };
        frames::push(entered.thread.page.words, site.id(), 0, entered.span);
        if entered.thread.captures.args()
            && let Some(arena) = scratch::take_made()
        {
            entered.begin_values(arena);
            entered.arena = Some(arena);
        }
        self.0 = Some(entered);
        State::ENTERED
    }

    #[inline(never)]
    pub(super) fn end_ok<const IN_USER_CRATE: bool>(&mut self) {
        if let Some(entered) = &mut self.0 {
            entered.end_ok::<IN_USER_CRATE>();
        }
    }

    /// A call that was only counted took longer than the coarse clock stood still.
    #[cold]
    #[inline(never)]
    pub(super) fn end_late(&mut self, site: &'static CallSite, state: State) {
        if let Some(entered) = self.look_at(site, state) {
            entered.end_ok::<false>();
        }
    }

    /// The call, as one that has to be looked at.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn look_at(&mut self, site: &'static CallSite, state: State) -> Option<&mut Entered> {
        if state.is_counted() {
            self.enter_counted(site, state);
        }
        self.0.as_mut()
    }

    /// Gives a call that was only counted a place in the slot.
    #[cold]
    #[inline(never)]
    fn enter_counted(&mut self, site: &'static CallSite, state: State) {
        let (start, parent, special) = (state.start(), state.parent(), special::JUST_COUNTED);
        let entered = |thread| Entered { start, special, parent, ..Entered::nothing(site, thread) };
        self.0 = local::current().map(entered);
    }
}

/// Begins a call that is only counted, if this is one. Inlined, as its end is: who is called so often that not
/// even its time is read should not be kept waiting by a call of ours.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn leave_out(site: &'static CallSite, epoch: u32) -> Option<State> {
    let thread = local::current()?;
    let current = thread.current.load(Ordering::Relaxed);
    // The countdown is that of a root.
    let fits = current <= UNSAMPLED;
    if !fits || !local::countdown(site.id()).is_some_and(|countdown| countdown.skip_counted(epoch)) {
        return None;
    }
    thread.set_current(UNSAMPLED);
    Some(State::counted(coarse(), current))
}

/// Ends a call that is only counted, unless the coarse clock has moved under it. Whether it did. What is
/// put back is a constant: read from where it was put, what was current would keep the next call waiting
/// for this one.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn end_counted(state: State) -> bool {
    match state.0 ^ coarse() {
        NO_SPAN => {
            if let Some(thread) = local::current() {
                thread.set_current(NO_SPAN);
            }
            true
        }
        since => since == UNSAMPLED,
    }
}

impl Entered {
    /// A call that is recorded like the one around it, or as a root; none where that is not so.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn recorded(site: &'static CallSite) -> Option<Self> {
        if site.fidelity() != fidelity::RECORDED {
            return None;
        }
        let thread = local::current()?;
        let parent = thread.current.load(Ordering::Relaxed);
        if parent != NO_SPAN && parent <= RESERVED_SPANS {
            return None;
        }
        // What comes between would be given the same span.
        thread.suppress();
        // No call from here: it would have to save what it finds in registers.
        let Some(span) = thread.next_span_of_prefix() else {
            thread.restore(parent);
            return None;
        };
        begin_span(thread, parent, span);
        Some(Self { span, parent, ..Self::nothing(site, thread) })
    }

    // What is rare is left to calls at the end, for which nothing has to be saved on the usual way.

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn end_ok<const IN_USER_CRATE: bool>(&mut self) {
        if self.special != 0 {
            aside();
            return match self.special {
                special::UNDRAWN => self.end_timed::<IN_USER_CRATE>(),
                special::VALUES => self.end_ok_with_values::<IN_USER_CRATE>(),
                _ => self.end_ok_otherwise(),
            };
        }
        let end = counter();
        frames::pop(self.thread.page.words);
        self.thread.suppress();
        let Some(room) = self.thread.ring.room(0) else { return self.end_slowly(end) };
        self.put_header(&room, end, Outcome::Ok, 0);
        room.commit(0);
        self.thread.restore(self.parent);
    }

    #[cold]
    #[inline(never)]
    pub(super) fn end_slowly(&self, end: Ticks) {
        publish::deliver_slowly(self.thread, &self.drawn(end, Outcome::Ok).encode(0), &[]);
        self.thread.restore(self.parent);
    }

    /// Writes the header of a drawn call, but for its last word.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn put_header(&self, room: &Room<'_>, end: Ticks, outcome: Outcome, value_words: usize) {
        let (kept, weight) = self.kept(outcome);
        room.put(place::FIRST, first_word(value_words, outcome, kept, false, self.site.id()));
        room.put(place::START, self.start);
        room.put(place::DURATION, end.wrapping_sub(self.start));
        room.put(place::SPAN, self.span);
        room.put(place::PARENT, self.parent);
        room.put(place::TRACE, self.thread.trace.load(Ordering::Relaxed));
        let (args_bytes, fields_bytes) = (self.values.args_bytes(), self.values.fields_bytes());
        room.put(place::SIZES, sizes_word(weight, args_bytes, fields_bytes));
    }

    /// Why the record of a drawn call is kept, and for how many it stands.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn kept(&self, outcome: Outcome) -> (Kept, f32) {
        match outcome {
            Outcome::Ok => (Kept::Sampled, self.thread.weight()),
            _ => (Kept::Failed, 1.0),
        }
    }

    /// The header of a drawn call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn drawn(&self, end: Ticks, outcome: Outcome) -> Header {
        let (kept, weight) = self.kept(outcome);
        self.header(outcome, kept, weight, end.wrapping_sub(self.start))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn header(&self, outcome: Outcome, kept: Kept, weight: f32, duration: Ticks) -> Header {
        Header {
            site: self.site.id(),
            outcome,
            kept,
            is_async: false,
            start: self.start,
            duration,
            span: self.span,
            parent: self.parent,
            trace: self.thread.trace.load(Ordering::Relaxed),
            weight,
            args_bytes: self.values.args_bytes(),
            fields_bytes: self.values.fields_bytes(),
            busy: 0,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn nothing(site: &'static CallSite, thread: &'static ThreadState) -> Self {
        let (span, parent, values) = (NO_SPAN, NO_SPAN, Values::default());
        Self { thread, site, start: 0, span, special: 0, values, arena: None, durations: None, parent }
    }

    /// Reads the clock.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn now(&self) -> Ticks {
        if self.special & special::OS_CLOCK == 0 { counter() } else { ticks() }
    }
}

/// Makes a drawn call current, which ends what [`ThreadState::suppress`] began.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn begin_span(thread: &ThreadState, parent: u64, span: u64) {
    if parent == NO_SPAN {
        thread.trace.store(span, Ordering::Relaxed);
        thread.set_weight(1.0);
    }
    thread.restore(span);
}

/// Calls the body as `FnOnce`, so that it may give out what it was given.
#[cfg_attr(not(debug_assertions), inline(always))]
pub fn run<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// `None` of a stated type: pins the type that an async block returns.
#[cfg_attr(not(debug_assertions), inline(always))]
#[must_use]
pub const fn none<R>() -> Option<R> {
    None
}

/// What is done beside this is laid out behind the rest of the function: the usual way of thousands of
/// functions takes two cache lines of each, and no branch of it is taken.
#[cold]
#[inline]
pub(super) fn aside() {}
