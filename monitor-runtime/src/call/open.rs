//! An open call, which belongs to no function: it is begun, entered, left and ended by hand, on any threads. The spans
//! of bridges are open calls.
//!
//! Takes the moments of a call and its values; gives one record, which the ending thread writes. While the call is
//! entered it is the current call of its thread. Sampling, counting and the record are those of an async call, and from
//! its begin to its end a slot shows the call to readers of the ring file. The file does not know what the call
//! represents.
//!
//! The common call is entered and left on the thread that began it, has no values, and does not fail. Its words are
//! written by that thread alone, so no step takes a lock or changes a shared word. If the calls of its callsite are
//! entered as soon as they begin and end as soon as they are left, two readings of the clock are enough instead of
//! four: see `direct`. The ends of calls are in `open_end`. Everything else is left to `open_cold`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::async_call::{AsyncCall, Begun};
use super::async_state::State;
use super::async_values::Values;
use super::captured::is_recorders;
use super::context::Context;
use super::direct;
use super::out_of_order;
use super::visit::{ColdState, Visit};
use crate::platform::clock::{Ticks, counter, elapsed};
use crate::record::NOT_KEPT;
use crate::ring::frames;
use crate::ring::suspended::Suspended;
use crate::site::{self, CallSite};
use crate::thread::local;
use crate::thread::state::{CallerState, NO_SPAN, ThreadState};

/// The course of a call that is assumed to be direct: to be entered as soon as it begins, and to end as soon as it is
/// left.
pub(super) const ASSUMED: u32 = 0;
/// The course of a call that was direct so far, and is timed in full to find out whether it stays so.
pub(super) const LOOKED_AT: u32 = 1;
/// The course of a call that is not direct.
const WINDING: u32 = 2;

/// The place of a call that is begun, entered, left and ended by hand, on any threads. The place can be used again once
/// the call has ended. If it is dropped before, the call ends as `cancelled`.
#[derive(Debug)]
#[repr(align(128))]
pub struct Open {
    /// The call's state, as the bits of a [`State`].
    state: AtomicU64,
    pub(super) site: AtomicU32,
    /// The call's slot among the calls in flight; 0 for none.
    pub(super) slot: AtomicU32,
    /// The context while the call is entered: its span, its tree, and the tree's weight. A call that gets a span with
    /// its record is entered in the context in which it began.
    pub(super) span: AtomicU64,
    pub(super) trace: AtomicU64,
    weight: AtomicU32,
    /// The number of visits in `cold`.
    pub(super) others: AtomicU32,
    pub(super) parent: AtomicU64,
    start: AtomicU64,
    /// The address of the state of the thread that began the call; 0 for a thread without one. This home thread alone
    /// writes the following words.
    home: AtomicUsize,
    /// The busy time on the home thread, and the part of it that was spent in callees.
    busy: AtomicU64,
    callees: AtomicU64,
    /// The moment at which the home thread entered the call; 0 while the thread is not in it.
    pub(super) since: AtomicU64,
    /// The home thread's context around its visit, and what the visit changes of the thread's state.
    before_span: AtomicU64,
    before_trace: AtomicU64,
    before_weight: AtomicU32,
    /// True if `cold` holds anything.
    pub(super) has_cold: AtomicBool,
    caller_state: [AtomicU64; 2],
    /// The moment at which the home thread left the call last, or 0, and the last span of the thread then.
    pub(super) left: AtomicU64,
    pub(super) left_span: AtomicU64,
    /// The course of the call so far: `ASSUMED`, `LOOKED_AT` or `WINDING`.
    pub(super) course: AtomicU32,
    pub(super) cold: Mutex<ColdState>,
}

impl Open {
    /// Returns a place without a call.
    #[must_use]
    pub const fn vacant() -> Self {
        Self {
            state: AtomicU64::new(State::ENDED.to_bits()),
            site: AtomicU32::new(0),
            slot: AtomicU32::new(0),
            span: AtomicU64::new(NO_SPAN),
            trace: AtomicU64::new(NO_SPAN),
            weight: AtomicU32::new(0),
            others: AtomicU32::new(0),
            parent: AtomicU64::new(NO_SPAN),
            start: AtomicU64::new(0),
            home: AtomicUsize::new(0),
            busy: AtomicU64::new(0),
            callees: AtomicU64::new(0),
            since: AtomicU64::new(0),
            before_span: AtomicU64::new(NO_SPAN),
            before_trace: AtomicU64::new(NO_SPAN),
            before_weight: AtomicU32::new(0),
            has_cold: AtomicBool::new(false),
            caller_state: [AtomicU64::new(0), AtomicU64::new(0)],
            left: AtomicU64::new(0),
            left_span: AtomicU64::new(NO_SPAN),
            course: AtomicU32::new(WINDING),
            cold: Mutex::new(ColdState::none()),
        }
    }

    /// Begins a call whose parent is the call that is current now. Its time starts. Returns false if the call passes
    /// through; the place then stays vacant.
    #[inline]
    #[must_use]
    pub fn begin(&self, site: &'static CallSite) -> bool {
        out_of_order::settle();
        match AsyncCall::begin_recorded(site) {
            Some(begun) => self.take(site, begun),
            None => self.begin_unless_recorded(site),
        }
    }

    /// Begins a call that is not simply recorded.
    #[inline(never)]
    fn begin_unless_recorded(&self, site: &'static CallSite) -> bool {
        self.take(site, AsyncCall::begin_unless_recorded(site))
    }

    /// Begins a call whose parent is the call of this context. Its time starts. Returns false if the call passes
    /// through; the place then stays vacant.
    #[must_use]
    pub fn begin_below(&self, site: &'static CallSite, context: Context) -> bool {
        self.take(site, context.scope(|| AsyncCall::begin(site)))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn take(&self, site: &'static CallSite, (state, context, parent, start): Begun) -> bool {
        if state.is_over() {
            return false;
        }
        let start = if state.is_counted() { start } else { counter() };
        self.state.store(state.to_bits(), Ordering::Relaxed);
        self.site.store(site.id(), Ordering::Relaxed);
        self.span.store(context.span, Ordering::Relaxed);
        self.trace.store(context.trace, Ordering::Relaxed);
        self.weight.store(context.weight.to_bits(), Ordering::Relaxed);
        self.parent.store(parent, Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.busy.store(0, Ordering::Relaxed);
        self.callees.store(0, Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        let course = if direct::is_assumed(site.id()) { ASSUMED } else { LOOKED_AT };
        self.course.store(course, Ordering::Relaxed);
        let thread = local::current_if_marked();
        self.home.store(thread.map_or(0, address), Ordering::Relaxed);
        let slot = thread.map_or(0, |thread| self.show(thread, site.id()));
        self.slot.store(slot, Ordering::Relaxed);
        if std::thread::panicking() {
            self.note_unwinding();
        }
        true
    }

    /// Shows the call to readers of the ring file. Returns the number of its slot.
    #[inline]
    fn show(&self, thread: &ThreadState, site: u32) -> u32 {
        thread.spans_begun.store(thread.spans_begun.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let (start, span) = (self.start(), self.shown_span());
        let parent = self.parent.load(Ordering::Relaxed) & !NOT_KEPT;
        let call = Suspended { site, start, span, parent, since: start, arguments: &[] };
        thread.home.suspended.take(&thread.home.memory, &thread.spare_slots, call)
    }

    /// Makes the call current on this thread until [`Self::exit`], and starts its busy time. If the call is already
    /// entered, here or on another thread, it becomes current here too, and the new visit is not added to its busy
    /// time.
    #[inline]
    pub fn enter(&self) {
        out_of_order::settle();
        match local::current_if_marked() {
            Some(thread) if self.is_enterable_at_home(thread) => self.enter_at_home(thread),
            _ => self.enter_cold(),
        }
    }

    #[inline]
    fn is_enterable_at_home(&self, thread: &ThreadState) -> bool {
        self.home.load(Ordering::Relaxed) == address(thread)
            && self.since.load(Ordering::Relaxed) == 0
            && self.others.load(Ordering::Relaxed) == 0
            && self.state().has_context()
            && !is_recorders(thread)
            && !std::thread::panicking()
    }

    #[inline]
    fn enter_at_home(&self, thread: &'static ThreadState) {
        let (id, context) = (self.site.load(Ordering::Relaxed), self.context());
        out_of_order::forget(context.span);
        let Visit { before, caller_state, .. } = Visit::begin(thread, id);
        self.before_span.store(before.span, Ordering::Relaxed);
        self.before_trace.store(before.trace, Ordering::Relaxed);
        self.before_weight.store(before.weight.to_bits(), Ordering::Relaxed);
        for (place, word) in self.caller_state.iter().zip(caller_state.to_words()) {
            place.store(word, Ordering::Relaxed);
        }
        context.enter(thread);
        let start = self.start();
        let since = self.enter_time(start, thread.last_span() == context.span & !NOT_KEPT);
        self.since.store(since, Ordering::Relaxed);
        frames::push(thread.page.words, id, start, context.span);
        if caller_state.may_be_nested(id) {
            self.note_nested(thread);
        }
    }

    /// Returns the moment at which the call is entered. `is_next` is true if no other call has begun on this thread
    /// since the call began.
    #[inline]
    fn enter_time(&self, start: Ticks, is_next: bool) -> Ticks {
        let is_next = is_next && self.left.load(Ordering::Relaxed) == 0;
        let course = self.course.load(Ordering::Relaxed);
        if course == ASSUMED && is_next {
            return start;
        }
        self.enter_time_read(course, start, is_next)
    }

    /// Reads the moment at which the call is entered.
    #[inline(never)]
    fn enter_time_read(&self, course: u32, start: Ticks, is_next: bool) -> Ticks {
        let now = counter();
        if course != WINDING && !(is_next && direct::is_gap_short(elapsed(start, now))) {
            self.note_winding();
        }
        now
    }

    /// Ends the last visit that [`Self::enter`] began on this thread.
    #[inline]
    pub fn exit(&self) {
        match local::current_if_marked() {
            Some(thread) if self.is_innermost_at_home(thread) => {
                let visit = self.leave_home(thread);
                let (busy, callees) = visit.end_time();
                self.add_busy(busy, callees);
                visit.before.enter(thread);
                frames::pop(thread.page.words);
                let now = visit.since.wrapping_add(busy);
                self.left.store(now, Ordering::Relaxed);
                self.left_span.store(thread.last_span(), Ordering::Relaxed);
                self.wait(thread, now);
            }
            _ => self.exit_cold(),
        }
        out_of_order::settle();
    }

    /// Returns true if the thread that began the call has entered it, and has entered no other call since.
    #[inline]
    fn is_innermost_at_home(&self, thread: &ThreadState) -> bool {
        self.is_entered_at_home(thread)
            && self.others.load(Ordering::Relaxed) == 0
            && thread.current.load(Ordering::Relaxed) == self.span.load(Ordering::Relaxed)
            && !std::thread::panicking()
    }

    /// Notes that the call is not entered and left like a direct call.
    pub(super) fn note_winding(&self) {
        self.course.store(WINDING, Ordering::Relaxed);
    }

    /// Returns the call as an [`AsyncCall`], which then ends it; `None` if the call has already ended.
    #[inline]
    pub(super) fn to_call(&self, busy: (Ticks, Ticks), values: Option<Box<Values>>) -> Option<AsyncCall> {
        let state = self.state();
        let site = self.site().filter(|_| !state.is_over())?;
        let begun = (state, self.context(), self.parent.load(Ordering::Relaxed), self.start());
        Some(AsyncCall::from_parts(site, begun, self.slot.load(Ordering::Relaxed), busy, values))
    }

    /// Makes the place vacant.
    #[inline]
    pub(super) fn vacate(&self, thread: Option<&ThreadState>) {
        self.state.store(State::ENDED.to_bits(), Ordering::Relaxed);
        if let Some(thread) = thread {
            thread.spans_ended.store(thread.spans_ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        out_of_order::settle();
    }
}

// The words of the call.
impl Open {
    #[inline]
    pub(super) fn state(&self) -> State {
        State::from_bits(self.state.load(Ordering::Relaxed))
    }

    /// Adds a flag to the call's state.
    pub(super) fn set_state(&self, flag: u64) {
        self.state.fetch_or(flag, Ordering::Relaxed);
    }

    /// Returns the call's function.
    #[inline]
    pub(super) fn site(&self) -> Option<&'static CallSite> {
        site::by_id(self.site.load(Ordering::Relaxed))
    }

    /// Returns the moment at which the call began.
    #[inline]
    pub(super) fn start(&self) -> Ticks {
        self.start.load(Ordering::Relaxed)
    }

    /// Returns the context of calls below this one.
    #[inline]
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            span: self.span.load(Ordering::Relaxed),
            trace: self.trace.load(Ordering::Relaxed),
            weight: f32::from_bits(self.weight.load(Ordering::Relaxed)),
        }
    }

    /// Returns the span that the call's slot and frame show. A call that gets its span with its record shows none,
    /// because the span of its context is that of another call.
    #[inline]
    pub(super) fn shown_span(&self) -> u64 {
        let span = self.span.load(Ordering::Relaxed);
        if self.state().is_alone() { span & NOT_KEPT } else { span }
    }

    /// Returns the name of the call's function.
    #[must_use]
    pub fn function(&self) -> String {
        self.site().map(CallSite::shown_name).unwrap_or_default()
    }

    /// Returns the span id; `None` if the call gets one with its record.
    #[must_use]
    pub fn span_id(&self) -> Option<u64> {
        (!self.state().is_alone()).then_some(self.context().span & !NOT_KEPT)
    }

    /// Returns true if the call began on this thread, which has entered it.
    #[inline]
    pub(super) fn is_entered_at_home(&self, thread: &ThreadState) -> bool {
        self.is_at_home(thread) && self.since.load(Ordering::Relaxed) != 0
    }

    /// Returns true if the call began on this thread.
    #[inline]
    pub(super) fn is_at_home(&self, thread: &ThreadState) -> bool {
        self.home.load(Ordering::Relaxed) == address(thread)
    }

    /// Returns true while the thread that began the call has entered it.
    pub(super) fn is_timed_at_home(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// Ends the visit of the thread that began the call, and returns it.
    #[inline]
    pub(super) fn leave_home(&self, thread: &'static ThreadState) -> Visit {
        let before = Context {
            span: self.before_span.load(Ordering::Relaxed),
            trace: self.before_trace.load(Ordering::Relaxed),
            weight: f32::from_bits(self.before_weight.load(Ordering::Relaxed)),
        };
        let [callees, under_way] = &self.caller_state;
        let caller_state =
            CallerState::from_words([callees.load(Ordering::Relaxed), under_way.load(Ordering::Relaxed)]);
        let since = self.since.load(Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
        Visit { thread, before, caller_state, since }
    }

    /// Adds busy time on the thread that began the call.
    #[inline]
    pub(super) fn add_busy(&self, busy: Ticks, callees: Ticks) {
        self.busy.store(self.busy.load(Ordering::Relaxed).wrapping_add(busy), Ordering::Relaxed);
        self.callees.store(self.callees.load(Ordering::Relaxed).wrapping_add(callees), Ordering::Relaxed);
    }

    /// Returns the busy time on the thread that began the call, and the part of it that was spent in callees.
    #[inline]
    pub(super) fn busy(&self) -> (Ticks, Ticks) {
        (self.busy.load(Ordering::Relaxed), self.callees.load(Ordering::Relaxed))
    }

    /// Notes that the call waits from `now` on.
    #[inline]
    pub(super) fn wait(&self, thread: &ThreadState, now: Ticks) {
        thread.keep_rows_under_way();
        thread.home.suspended.wait(self.slot.load(Ordering::Relaxed), now);
    }
}

/// Returns the address of a thread's state, which identifies the thread while it owns the state.
#[inline]
fn address(thread: &ThreadState) -> usize {
    std::ptr::from_ref(thread).addr()
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.state().is_over() {
            self.cancel();
        }
    }
}
