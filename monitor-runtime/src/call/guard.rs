//! The guard of a synchronous call: opened on entry, closed on drop; it decides the outcome.
//!
//! Takes a call site, and what the expansion sees of the call. Gives one record in the thread's ring, or one count in
//! its tally. A call that is recorded or timed takes `Slot::open` and `Slot::end_ok`, from which every rarer case
//! branches off. The guard does not know why a call is recorded or not.

use std::sync::atomic::Ordering;

use super::decision::decide_fast;
pub use super::entered::Slot;
use super::entered::{Entered, RUNTIME, Special, State, Times, begin_span, cold_path};
use super::publish::publish_at_limit;
use crate::capture::Writer;
use crate::platform::clock::{Ticks, counter, processor_counter};
use crate::platform::coarse_clock::coarse;
use crate::record::Outcome;
use crate::ring::frames::{self, OpenFrame};
use crate::site::{CallSite, Fidelity};
use crate::thread::local;
use crate::thread::scratch::{self, ScratchLoan, ScratchWriter};
use crate::thread::state::{CallerState, is_none_or_kept, is_reserved};

/// A call whose result the expansion examines. It ends by `ok`, `ok_with` or `error`. If it is dropped without one of
/// these, it ends as `panic`.
///
/// No function that is not inlined borrows it, not even when unwinding drops it, so its few words stay in registers. A
/// counted call needs nothing but these words.
///
/// In a release build it is inlined into the crate whose functions are monitored. The functions that it calls are
/// generic, so that they are compiled into that crate too. There they are called directly. A call through an address in
/// a table would have to wait for that address, at each of a program's thousands of functions. In that crate, a thread
/// also finds its own state by one load.
///
/// In a debug build it is compiled into the runtime alone, so that a profile can optimise it without the user's crate.
#[derive(Debug)]
pub struct Call<'a, const CRATE: u64> {
    pub(super) slot: &'a mut Slot,
    pub(super) site: &'static CallSite,
    pub(super) state: State,
}

/// The end of a call whose last value is still to be written.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    end: Ticks,
    outcome: Outcome,
}

impl<'a, const CRATE: u64> Call<'a, CRATE> {
    /// Enters a call; its time starts.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::begin(slot, site, Slot::open::<CRATE>, || true)
    }

    /// Enters a call whose time starts after its last capture, so that the time of captures does not count.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::begin(slot, site, Slot::open_untimed::<CRATE>, || true)
    }

    /// Enters a call with `open`, unless its function is off or the call is only counted. A call can be only counted if
    /// `may_be_counted` returns true.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin(
        slot: &'a mut Slot,
        site: &'static CallSite,
        open: fn(&mut Slot, &'static CallSite) -> State,
        may_be_counted: fn() -> bool,
    ) -> Self {
        let epoch = site.epoch();
        let fidelity = epoch.fidelity();
        let state = if fidelity.may_need_no_entry() {
            cold_path();
            if fidelity == Fidelity::OFF {
                State::NONE
            } else {
                let counted = if may_be_counted() { count_on_entry(site, epoch) } else { None };
                counted.unwrap_or_else(|| open(slot, site))
            }
        } else {
            open(slot, site)
        };
        Self { slot, site, state }
    }

    /// Ends the call as `ok`, its result not captured.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok(&mut self) {
        if self.state == State::ENTERED {
            self.slot.end_ok::<CRATE>();
        } else {
            cold_path();
            if self.state.is_counted() && !self.state.has_counted_all() {
                self.slot.end_overlong_counted(self.site, self.state);
            }
        }
        self.state = State::NONE;
    }
}

impl Slot {
    // These functions write the call in place. Returning it cost 7 ns more: the call was copied in wider pieces than
    // those in which it had been written, and the processor had to wait for the stores.

    #[inline(never)]
    pub(super) fn open<const CRATE: u64>(&mut self, site: &'static CallSite) -> State {
        match self.begin::<true>(site) {
            Some(begun) => start(begun),
            None => self.open_unless_recorded::<CRATE>(site),
        }
    }

    #[inline(never)]
    pub(super) fn open_untimed<const CRATE: u64>(&mut self, site: &'static CallSite) -> State {
        match self.begin::<true>(site) {
            Some(begun) => {
                let captures_args = begun.0.thread.captures.args();
                start_untimed(begun, captures_args)
            }
            None => self.open_untimed_unless_recorded::<CRATE>(site),
        }
    }

    #[inline(never)]
    fn open_unless_recorded<const CRATE: u64>(&mut self, site: &'static CallSite) -> State {
        match self.begin::<false>(site) {
            Some(begun) => start(begun),
            None => self.open_decided(site),
        }
    }

    #[inline(never)]
    fn open_untimed_unless_recorded<const CRATE: u64>(&mut self, site: &'static CallSite) -> State {
        match self.begin::<false>(site) {
            Some(begun) => {
                let captures_args = begun.0.captures_args();
                start_untimed(begun, captures_args)
            }
            None => self.open_decided(site),
        }
    }

    #[inline(never)]
    pub(super) fn end_ok<const CRATE: u64>(&mut self) {
        if let Some(entered) = &mut self.0 {
            entered.end_ok::<CRATE>();
        }
    }

    /// Ends a counted call during which the coarse clock has moved.
    #[cold]
    #[inline(never)]
    fn end_overlong_counted(&mut self, site: &'static CallSite, state: State) {
        if let Some(entered) = self.examine(site, state) {
            entered.end_ok::<RUNTIME>();
        }
    }
}

/// A call that lacks its start, and its frame.
type Begun<'a> = (&'a mut Entered, OpenFrame);

/// Starts the time of a call.
#[cfg_attr(not(debug_assertions), inline(always))]
fn start((entered, frame): Begun<'_>) -> State {
    // The clock is read last, so that none of the recorder's own time counts.
    let Some(start) = processor_counter() else { return start_by_os_clock(entered, frame) };
    entered.start = start;
    frame.push(start);
    State::ENTERED
}

#[cold]
#[inline(never)]
fn start_by_os_clock(entered: &mut Entered, frame: OpenFrame) -> State {
    let start = counter();
    entered.start = start;
    frame.push(start);
    State::ENTERED
}

/// Pushes the frame of a call whose time starts later, once its arguments are captured.
#[cfg_attr(not(debug_assertions), inline(always))]
fn start_untimed((entered, frame): Begun<'_>, captures_args: bool) -> State {
    frame.push(0);
    if captures_args && let Some(writer) = scratch::take_made() {
        entered.begin_first_values(writer);
        entered.scratch = Some(writer);
    }
    State::ENTERED
}

/// Begins a call that is only counted, and returns its state. Returns `None` if the call needs a full entry. The
/// function is inlined, as the call's end is: a monitored function that is called too often even to be timed should not
/// wait for a function call of the recorder.
#[cfg_attr(not(debug_assertions), inline(always))]
fn count_on_entry(site: &'static CallSite, epoch: crate::site::Epoch) -> Option<State> {
    let thread = local::current_if_marked()?;
    if is_reserved(thread.current.load(Ordering::Relaxed)) {
        return None;
    }
    // The call is transparent: nothing of the thread changes but its countdown, which is the function's own.
    local::countdown(site.id())?.skip_counted(epoch.number()).then(|| State::counted(coarse()))
}

impl Slot {
    /// Begins a call that is recorded like the call around it or as a root, and unless `IS_RECORDED` also one that is
    /// timed. Returns `None` for any other call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn begin<const IS_RECORDED: bool>(&mut self, site: &'static CallSite) -> Option<Begun<'_>> {
        let epoch = site.epoch();
        if IS_RECORDED && epoch.fidelity() != Fidelity::RECORDED {
            return None;
        }
        let thread = local::current_if_marked()?;
        let parent = thread.current.load(Ordering::Relaxed);
        let tree = if IS_RECORDED {
            if !is_none_or_kept(parent) {
                return None;
            }
            0
        } else {
            if is_reserved(parent) {
                return None;
            }
            decide_fast(site, epoch, parent)?
        };
        let id = site.id();
        // A call that interrupted here would be given the same span.
        thread.suppress();
        // No function call from here on: it would have to save the registers that are in use.
        let Some(span) = thread.next_span_of_prefix() else {
            thread.restore(parent);
            return None;
        };
        let (caller_state, special) = (CallerState::enter(thread, id), Special::for_tree(tree));
        let entered =
            self.0.insert(Entered { span, special, parent, caller_state, ..Entered::blank(site, thread) });
        let frame = frames::open(thread.page.words, id, span | tree);
        begin_span(thread, parent, span, tree);
        Some((entered, frame))
    }
}

impl Entered {
    /// Returns true if the arguments of the call are captured.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn captures_args(&self) -> bool {
        self.thread.captures.args() && (!self.special.is_unsampled() || self.site.captures_unsampled())
    }

    // Rare cases are tail calls, so the common path saves no registers.

    /// Ends the call as `ok`, without a last value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn end_ok<const CRATE: u64>(&mut self) {
        if self.special != Special::NONE {
            cold_path();
            if self.special == Special::UNSAMPLED {
                return self.end_timed::<CRATE>();
            }
            return self.end_ok_with_flags::<CRATE>();
        }
        let Some(end) = processor_counter() else { return self.end_ok_by_os_clock() };
        let id = self.site.id();
        if self.needs_check(id, 0) {
            cold_path();
            return self.end_ok_nested::<CRATE>(end);
        }
        self.write_ok(id, self.leave_outermost(end));
    }

    #[cold]
    #[inline(never)]
    fn end_ok_by_os_clock(&self) {
        self.end_ok_nested::<RUNTIME>(counter());
    }

    /// Ends a sampled call around which another one of its function may be under way, or that is not the innermost one.
    #[inline(never)]
    fn end_ok_nested<const CRATE: u64>(&self, end: Ticks) {
        if self.is_late() {
            return self.end_late(end, Outcome::Ok, &[]);
        }
        let id = self.site.id();
        self.write_ok(id, self.leave(id, end));
    }

    /// Writes the record of a sampled `ok` call without values.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn write_ok(&self, id: u32, times: Times) {
        let Self { thread, parent, .. } = *self;
        thread.suppress();
        let Some(room) = thread.ring.room(0) else {
            return self.end_ok_at_limit(times.duration, times.self_ticks, times.is_nested);
        };
        let last = self.put_header(&room, id, times, Outcome::Ok, 0);
        room.commit(last);
        thread.restore(parent);
    }

    /// Ends a sampled call whose thread's ring is at a limit.
    #[cold]
    #[inline(never)]
    fn end_ok_at_limit(&self, duration: Ticks, self_ticks: Ticks, is_nested: bool) {
        // The times are handed over one by one. As one value they would pass through memory, and the common path would
        // have to write them there.
        let times = Times { duration, self_ticks, is_nested };
        publish_at_limit(self.thread, &self.sampled_header(times, Outcome::Ok).encode(0), &[]);
        self.thread.restore(self.parent);
    }
}

// The expansion is handed a writer and gives it back. A closure for each value would be compiled for each function,
// together with the function that takes the closure. That was two thirds of the time for compiling a monitored
// function.
impl<const CRATE: u64> Call<'_, CRATE> {
    /// Returns the writer for the arguments, in the order of the call site's names, if this call captures them.
    /// [`Self::keep_args`] takes the writer back. In between, user code may run only within captures, which contain it.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        let entered = self.entered()?;
        let writer = match entered.scratch.take() {
            None => entered.open_values(),
            writer => writer,
        };
        if writer.is_none() {
            entered.start_time();
        }
        writer
    }

    /// Keeps the arguments that were written, and starts the call's time.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn keep_args(&mut self, writer: ScratchWriter) {
        if let Some(entered) = self.entered() {
            entered.keep_arguments::<CRATE>(writer);
        }
    }

    /// Captures the extra fields, in the order of the call site's names, if this call is sampled: their expressions are
    /// the user's code, which does not run for a row that most likely is never written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let Some(entered) = self.entered() else { return };
        if entered.special.is_unsampled() {
            entered.scratch.take().into_iter().for_each(scratch::put_back);
        } else if let Some(writer) = entered.scratch.take().or_else(|| entered.open_values()) {
            ScratchLoan::new(entered.thread, writer).fill(capture);
            entered.note_fields();
        }
        entered.start_time();
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entered(&mut self) -> Option<&mut Entered> {
        if self.state == State::ENTERED { self.slot.0.as_mut() } else { None }
    }

    /// Ends the call as `ok`. Returns the writer for its value, if this call captures it; [`Self::end_with`] takes the
    /// writer back.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok_with(&mut self) -> Option<(ScratchWriter, Last)> {
        self.end_by(Outcome::Ok)
    }

    /// Ends the call as `error`. Returns the writer for its message, as [`Self::ok_with`] does for a value.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn error(&mut self) -> Option<(ScratchWriter, Last)> {
        self.end_by(Outcome::Error)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_by(&mut self, outcome: Outcome) -> Option<(ScratchWriter, Last)> {
        let is_over = self.state != State::ENTERED && {
            cold_path();
            self.state == State::NONE || outcome == Outcome::Ok && self.state.has_counted_all()
        };
        let opened =
            if is_over { None } else { self.slot.open_last::<CRATE>(self.site, self.state, outcome) };
        self.state = if opened.is_some() { State::ENTERED } else { State::NONE };
        opened.map(|(writer, end)| (writer, Last { end, outcome }))
    }

    /// Ends the call after its last value was written.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn end_with(&mut self, writer: ScratchWriter, Last { end, outcome }: Last) {
        if let Some(entered) = self.entered() {
            entered.end_with_values::<CRATE>(end, outcome, writer);
        }
        self.state = State::NONE;
    }
}

impl<const CRATE: u64> Drop for Call<'_, CRATE> {
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        if self.state != State::NONE {
            self.slot.end_by_panic(self.site, self.state);
        }
    }
}

/// Calls the body as `FnOnce`, so that it may move its captured variables out.
#[cfg_attr(not(debug_assertions), inline(always))]
pub fn run<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Returns `None` of a stated type, which pins the type that an async block returns.
#[cfg_attr(not(debug_assertions), inline(always))]
#[must_use]
pub const fn none<R>() -> Option<R> {
    None
}
