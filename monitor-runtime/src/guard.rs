//! The guard of a synchronous call: opened on entry, closed on drop, decides the outcome.
//!
//! In: a call site, and what the expansion sees of the call. Out: one record in the thread's ring, or
//! one count in its tally. The way of a recorded call without values is `Call::open` and
//! `Entered::end_ok`; whatever is rarer branches off from there.

use std::sync::atomic::Ordering;

use crate::apart::apart;
use crate::arena::{self, Arena, Lent};
use crate::call_site::{CallSite, fidelity};
use crate::capture::{Writer, via};
use crate::clock::{Ticks, coarse, coarse_start, counter, is_counter, ticks};
use crate::countdown::GAP_MASK;
use crate::frames;
use crate::panic_text;
use crate::record::{HEADER_WORDS, Header, Kept, Outcome, Word};
use crate::ring::Push;
use crate::runtime;
use crate::sampling;
use crate::tally::Unrecorded;
use crate::thread_rings::{self, Lease, NO_SPAN, RESERVED_SPANS, SUPPRESSED, ThreadState, UNSAMPLED};

/// A call whose result is seen: ends by `ok`, `ok_with`, `error`; dropped otherwise, it panicked.
///
/// It is built where the expansion puts it and stays there; what it does is behind calls that take it by
/// reference. Inlined, entry and exit took a kilobyte of every monitored function, which a program
/// with many of them pays for in cache misses; copied, it would keep the processor waiting for
/// its words to come together.
#[derive(Debug)]
pub struct Call(State);

#[derive(Debug)]
enum State {
    /// No call so far, or one that passes through or has ended.
    None,
    Counted(Counted),
    Entered(Entered),
}

/// A call under way that is only counted, and has been. Below another such call, or a root.
#[derive(Debug, Clone, Copy)]
struct Counted {
    thread: &'static ThreadState,
    site: &'static CallSite,
    /// By the coarse clock.
    start: Ticks,
    is_root: bool,
}

/// Any other call under way that does not pass through. Aligned as the stack is, so that two
/// words that are written at once never lie in two cache lines.
#[derive(Debug)]
#[repr(align(16))]
struct Entered {
    thread: &'static ThreadState,
    site: &'static CallSite,
    start: Ticks,
    span: u64,
    /// Nothing for a drawn call without values; else flags, and the weight to put back above them.
    special: u64,
    values: Values,
    /// What was current before.
    parent: u64,
    /// The writer, from the entry of a call that captures arguments until these are written.
    arena: Option<Arena>,
}

/// Where the captured values lie: start in the arena (32 bits), bytes of arguments and of fields (16).
#[derive(Debug, Clone, Copy, Default)]
struct Values(u64);

impl Values {
    fn new(start: usize) -> Self {
        Self(start as u64 & 0xFFFF_FFFF)
    }
    fn start(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }
    fn args_bytes(self) -> u16 {
        (self.0 >> 32) as u16
    }
    fn fields_bytes(self) -> u16 {
        (self.0 >> 48) as u16
    }
    fn with_args(self, bytes: u16) -> Self {
        Self(self.0 | u64::from(bytes) << 32)
    }
    fn with_fields(self, bytes: u16) -> Self {
        Self(self.0 | u64::from(bytes) << 48)
    }
}

/// Flags of `Entered::special`.
mod special {
    /// Not drawn: leaves a record only if it fails or is slow.
    pub(super) const UNDRAWN: u64 = 1;
    /// The thread's weight is to be put back.
    pub(super) const OWN_WEIGHT: u64 = 2;
    /// The thread's state was taken for this call.
    pub(super) const OWN_STATE: u64 = 4;
    /// There are captured values in the arena.
    pub(super) const VALUES: u64 = 8;
    /// Ticks are those of the OS clock.
    pub(super) const OS_CLOCK: u64 = 16;
    /// Not drawn and not timed; its tally has counted it, and its start is that of the coarse clock.
    pub(super) const COUNTED: u64 = 32;
    /// Among the first calls of its function.
    pub(super) const FIRST: u64 = 64;
    /// The thread was unwinding when the call was entered.
    pub(super) const UNWINDING: u64 = 128;
    /// Set for a call that is only counted, and no other.
    pub(super) const JUST_COUNTED: u64 = UNDRAWN | COUNTED;
}

// The way of a recorded call without values.

impl Call {
    /// No call so far.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub const fn none() -> Self {
        Self(State::None)
    }

    /// Enters a call; its time starts.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn enter(&mut self, site: &'static CallSite) {
        match site.fidelity() {
            fidelity::RECORDED => self.open(site),
            fidelity::OFF => {}
            fidelity::COUNTED if self.leave_out(site) => {}
            _ => self.open_otherwise(site),
        }
    }

    /// Enters a call whose time starts with the last of its captures, so that they do not count.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn prepare(&mut self, site: &'static CallSite) {
        match site.fidelity() {
            fidelity::OFF => {}
            fidelity::RECORDED => self.open_untimed(site),
            fidelity::COUNTED if self.leave_out(site) => {}
            _ => self.open_otherwise(site),
        }
    }

    /// Enters a call that is only counted, if this is one. Inlined: what is called so often that not even
    /// its time is read should not be kept waiting by a call of ours.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn leave_out(&mut self, site: &'static CallSite) -> bool {
        let Some(thread) = thread_rings::current() else { return false };
        let current = thread.current.load(Ordering::Relaxed);
        // The countdown is that of a root.
        let fits = current <= UNSAMPLED;
        if !fits
            || !thread_rings::countdown(site.id()).is_some_and(|countdown| countdown.leave_out(site.epoch()))
        {
            return false;
        }
        thread.set_current(UNSAMPLED);
        self.0 = State::Counted(Counted { thread, site, start: coarse(), is_root: current == NO_SPAN });
        true
    }

    // These write to where the call lies. Returned, it was copied, in wider pieces than it had been
    // written in, for which the processor waited 7 ns.

    #[inline(never)]
    fn open(&mut self, site: &'static CallSite) {
        match Entered::recorded(site) {
            // The clock last: nothing of ours counts.
            Some(entered) => {
                let start = counter();
                frames::push(entered.thread.page.words, site.id(), start, entered.span);
                self.0 = State::Entered(Entered { start, ..entered });
            }
            None => self.open_otherwise(site),
        }
    }

    #[inline(never)]
    fn open_untimed(&mut self, site: &'static CallSite) {
        match Entered::recorded(site) {
            Some(mut entered) => {
                frames::push(entered.thread.page.words, site.id(), 0, entered.span);
                entered.prepare();
                self.0 = State::Entered(entered);
            }
            None => self.open_otherwise(site),
        }
    }

    /// Ends the call as `ok`, its result not captured.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok(&mut self) {
        match &mut self.0 {
            State::None => {}
            State::Counted(counted) => counted.end_ok(),
            State::Entered(entered) => entered.end_ok(),
        }
        self.0 = State::None;
    }
}

impl Counted {
    /// Ends the call, unless the coarse clock has moved under it. Whether it did. What is put back is a
    /// constant: read from where it was put, what was current would keep the next call waiting for this one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end(&self) -> bool {
        if coarse() != self.start {
            return false;
        }
        if self.is_root {
            self.thread.set_current(NO_SPAN);
        }
        true
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_ok(&self) {
        if coarse() != self.start {
            self.end_late();
        } else if self.is_root {
            self.thread.set_current(NO_SPAN);
        }
    }

    #[cold]
    #[inline(never)]
    fn end_late(&self) {
        self.entered().end(counter(), Outcome::Ok);
    }

    /// The same call, as one that has to be looked at.
    fn entered(&self) -> Entered {
        let Self { thread, site, start, is_root } = *self;
        let parent = if is_root { NO_SPAN } else { UNSAMPLED };
        Entered { start, parent, special: special::JUST_COUNTED, ..Entered::nothing(site, thread) }
    }
}

impl Entered {
    /// A call that is recorded like the one around it, or as a root; none where that is not so.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn recorded(site: &'static CallSite) -> Option<Self> {
        let thread = thread_rings::current()?;
        let parent = thread.current.load(Ordering::Relaxed);
        if parent != NO_SPAN && parent <= RESERVED_SPANS {
            return None;
        }
        // What comes between would be given the same span.
        thread.suppress();
        // No call from here: it would have to save what it finds in registers.
        let Some(span) = thread.span_at_hand() else {
            thread.restore(parent);
            return None;
        };
        begin_span(thread, parent, span);
        Some(Self { span, parent, ..Self::nothing(site, thread) })
    }

    #[inline(never)]
    fn end_ok(&mut self) {
        let Self { thread, parent, special, .. } = *self;
        if special != 0 {
            return self.end_ok_specially();
        }
        let end = counter();
        frames::pop(thread.page.words);
        thread.suppress();
        if !thread.ring.push_header(|| self.drawn(end, Outcome::Ok).encode(0)) {
            self.end_slowly(end, Outcome::Ok, &[]);
        }
        thread.restore(parent);
    }

    /// A call of its own, so that nothing has to be saved for it on the way there.
    #[cold]
    #[inline(never)]
    fn end_slowly(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        deliver_slowly(self.thread, &self.drawn(end, outcome).encode(values.len()), values);
    }

    /// The header of a drawn call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drawn(&self, end: Ticks, outcome: Outcome) -> Header {
        let (kept, weight) = match outcome {
            Outcome::Ok => (Kept::Sampled, self.thread.weight()),
            _ => (Kept::Failed, 1.0),
        };
        self.header(outcome, kept, weight, end.wrapping_sub(self.start))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn header(&self, outcome: Outcome, kept: Kept, weight: f32, duration: Ticks) -> Header {
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
    fn nothing(site: &'static CallSite, thread: &'static ThreadState) -> Self {
        let (span, parent, values) = (NO_SPAN, NO_SPAN, Values::default());
        Self { thread, site, start: 0, span, parent, special: 0, values, arena: None }
    }

    /// Reads the clock.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn now(&self) -> Ticks {
        if self.special & special::OS_CLOCK == 0 { counter() } else { ticks() }
    }
}

/// Makes a drawn call current, which ends what [`ThreadState::suppress`] began.
#[cfg_attr(not(debug_assertions), inline(always))]
fn begin_span(thread: &ThreadState, parent: u64, span: u64) {
    if parent == NO_SPAN {
        thread.trace.store(span, Ordering::Relaxed);
        thread.set_weight(1.0);
    }
    thread.restore(span);
}

// Calls that are sampled, and first ones.

impl Call {
    #[inline(never)]
    fn open_otherwise(&mut self, site: &'static CallSite) {
        if site.is_counted()
            && let Some(thread) = thread_rings::current()
        {
            let parent = thread.current.load(Ordering::Relaxed);
            // A root's countdown fits below a call that was drawn for certain, too.
            let fits = parent > RESERVED_SPANS && is_certain(thread.weight());
            if fits
                && thread_rings::countdown(site.id())
                    .is_some_and(|countdown| countdown.leave_out(site.epoch()))
            {
                thread.set_current(UNSAMPLED);
                let (start, special) = (coarse(), special::JUST_COUNTED);
                let nothing = Entered::nothing(site, thread);
                self.0 = State::Entered(Entered { start, special, parent, ..nothing });
                return;
            }
        }
        self.open_specially(site);
    }

    /// The first call of a function or a thread, a sampled function, a call below one that was not
    /// drawn or within a capture.
    #[cold]
    #[inline(never)]
    fn open_specially(&mut self, site: &'static CallSite) {
        let Some((thread, lease)) = thread_for(site) else { return };
        let parent = thread.current.load(Ordering::Relaxed);
        let weight_before = thread.weight();
        let mut entered = Entered { parent, ..Entered::nothing(site, thread) };
        thread.suppress();
        match draw(site, thread, parent, weight_before) {
            Draw::Pass => {
                thread.restore(parent);
                if lease == Lease::Call {
                    thread.home.release(thread);
                }
                return;
            }
            Draw::Follow => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
            }
            Draw::Drawn(weight) => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
                thread.set_weight(weight);
                entered.special = special::OWN_WEIGHT | u64::from(weight_before.to_bits()) << 32;
            }
            Draw::First => {
                entered.span = thread.next_span();
                begin_span(thread, parent, entered.span);
                entered.special = special::FIRST;
            }
            Draw::Undrawn => {
                thread.restore(UNSAMPLED);
                entered.special = special::UNDRAWN;
            }
        }
        if lease == Lease::Call {
            entered.special |= special::OWN_STATE;
        }
        if !is_counter() {
            entered.special |= special::OS_CLOCK;
        }
        entered.start = entered.now();
        frames::push(thread.page.words, site.id(), entered.start, entered.frame_span());
        self.0 = State::Entered(entered);
    }
}

impl Entered {
    /// Starts the call's time.
    #[inline(never)]
    fn begin(&mut self) {
        if self.special & special::COUNTED == 0 {
            self.start = self.now();
            frames::start(self.thread.page.words, self.start);
        }
    }

    /// The span that its frame shows.
    fn frame_span(&self) -> u64 {
        if self.special & special::UNDRAWN == 0 { self.span } else { UNSAMPLED }
    }

    #[inline(never)]
    fn end_ok_specially(&mut self) {
        if self.special == special::VALUES
            && let Some(arena) = arena::take(self.thread)
        {
            let start = self.values.start();
            self.end_drawn(counter(), Outcome::Ok, arena::since(arena, start));
            arena::close(self.thread, arena, start);
        } else if !self.end_counted() {
            self.end(self.now(), Outcome::Ok);
        }
    }

    /// Ends a drawn call that has nothing to put back.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_drawn(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let thread = self.thread;
        frames::pop(thread.page.words);
        thread.suppress();
        if !thread.ring.push_values(|| self.drawn(end, outcome).encode(values.len()), values) {
            self.end_slowly(end, outcome, values);
        }
        thread.restore(self.parent);
    }

    /// Ends a call that was only counted below one that was drawn, unless the coarse clock has moved under
    /// it. Whether it did.
    fn end_counted(&self) -> bool {
        let ends = self.special == special::JUST_COUNTED && coarse() == self.start;
        if ends {
            self.thread.set_current(self.parent);
        }
        ends
    }

    /// Ends the call without a last value.
    #[inline(never)]
    fn end(&mut self, end: Ticks, outcome: Outcome) {
        if self.special & special::VALUES != 0
            && let Some(arena) = arena::take(self.thread)
        {
            return self.end_with_values(end, outcome, arena);
        }
        self.end_with(end, outcome, &[]);
    }

    /// Ends the call, whatever it is.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_with(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        if self.special & !special::VALUES == 0 {
            self.end_drawn(end, outcome, values);
        } else {
            self.thread.suppress();
            self.end_specially(end, outcome, values);
        }
    }

    /// The end of a call that was not drawn or holds something to put back.
    #[inline(never)]
    fn end_specially(&self, end: Ticks, outcome: Outcome, values: &[Word]) {
        let Self { thread, site, parent, special, .. } = *self;
        let counted = special & special::COUNTED != 0;
        let (start, end) = if counted { end_of_counted(self.start, end) } else { (self.start, end) };
        let duration = end.wrapping_sub(start);
        let undrawn = special & special::UNDRAWN != 0;
        let leaves_none =
            undrawn && outcome == Outcome::Ok && duration < site.slow_ticks.load(Ordering::Relaxed);
        if leaves_none && !counted {
            count(thread, site, outcome, Unrecorded::SampledOut, duration);
        } else if !leaves_none {
            if counted {
                thread_rings::countdown(site.id()).inspect(|countdown| countdown.take_back());
            }
            let (kept, weight) = match outcome {
                Outcome::Ok if special & special::FIRST != 0 => (Kept::First, 1.0),
                Outcome::Ok if undrawn => (Kept::Slow, 1.0),
                Outcome::Ok => (Kept::Sampled, thread.weight()),
                _ => (Kept::Failed, 1.0),
            };
            let mut header = Header { start, ..self.header(outcome, kept, weight, duration) };
            if undrawn {
                header.span = thread.next_span();
                header.parent = NO_SPAN;
                header.trace = header.span;
            }
            deliver(thread, &header.encode(values.len()), values);
        }
        if special & special::OWN_WEIGHT != 0 {
            thread.set_weight(f32::from_bits((special >> 32) as u32));
        }
        if !counted {
            frames::pop(thread.page.words);
        }
        thread.restore(parent);
        if special & special::OWN_STATE != 0 {
            thread.home.release(thread);
        }
    }
}

/// Start and end of a call that was only counted: as far as the coarse clock has moved. Where it has not,
/// it ended at once. The end was read by the counter, of whatever kind ticks are.
#[cold]
pub(crate) fn end_of_counted(seen: Ticks, end: Ticks) -> (Ticks, Ticks) {
    let end = if is_counter() { end } else { ticks() };
    (if coarse() == seen { end } else { coarse_start(seen).min(end) }, end)
}

// Values, and calls that fail.

impl Call {
    /// Captures the arguments, in the order of the call site's names, if this call captures them. No
    /// code of the user's runs in `capture` but what is contained.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let State::Entered(entered) = &mut self.0 else { return };
        match entered.arena.take().or_else(|| entered.open_values()) {
            Some(arena) => {
                capture(arena);
                entered.keep_arguments(arena);
            }
            None => entered.begin(),
        }
    }

    /// Captures the extra fields, in the order of the call site's names, if this call is recorded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let State::Entered(entered) = &mut self.0 else { return };
        if let Some(arena) = entered.arena.take().or_else(|| entered.open_values()) {
            Lent::new(entered.thread, arena).fill(capture);
            entered.note_fields();
        }
        entered.begin();
    }

    /// Ends the call as `ok`; `result` captures its value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok_with(&mut self, result: impl FnOnce(&mut Writer<'_>)) {
        self.end_by(Outcome::Ok, result);
    }

    /// Ends the call as `error`; `text` writes the error's message.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn error(&mut self, text: impl FnOnce(&mut Writer<'_>)) {
        self.end_by(Outcome::Error, text);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_by(&mut self, outcome: Outcome, capture: impl FnOnce(&mut Writer<'_>)) {
        let opened = match &mut self.0 {
            State::None => None,
            State::Counted(counted) if outcome == Outcome::Ok && counted.end() => None,
            State::Counted(_) => self.open_last_of_counted(outcome),
            State::Entered(entered) => entered.open_last(outcome),
        };
        if let Some((arena, end)) = opened
            && let State::Entered(entered) = &mut self.0
        {
            capture(arena);
            entered.end_with_values(end, outcome, arena);
        }
        self.0 = State::None;
    }

    /// As [`Entered::open_last`] of a call that was only counted, and has to be looked at.
    #[cold]
    #[inline(never)]
    fn open_last_of_counted(&mut self, outcome: Outcome) -> Option<(Arena, Ticks)> {
        if let State::Counted(counted) = &self.0 {
            self.0 = State::Entered(counted.entered());
        }
        match &mut self.0 {
            State::Entered(entered) => entered.open_last(outcome),
            _ => None,
        }
    }
}

impl Entered {
    /// Has the writer ready for the arguments, if this call captures them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn prepare(&mut self) {
        if self.special & special::UNDRAWN == 0 && self.thread.captures.args() {
            self.arena = self.open_arena();
        }
    }

    /// Keeps what was written, and starts the call's time.
    #[inline(never)]
    fn keep_arguments(&mut self, arena: Arena) {
        let written = arena.len() - self.values.start();
        self.values = self.values.with_args(written as u16);
        arena::keep(arena);
        self.start = self.now();
        frames::start(self.thread.page.words, self.start);
    }

    /// The writer for values that come before the body, if this call captures them and it is not at hand.
    #[inline(never)]
    fn open_values(&mut self) -> Option<Arena> {
        self.prepare();
        self.arena.take()
    }

    #[inline(never)]
    fn note_fields(&mut self) {
        if let Some(arena) = arena::take(self.thread) {
            let written = arena.len() - self.values.start() - usize::from(self.values.args_bytes());
            self.values = self.values.with_fields(written as u16);
            arena::keep(arena);
        }
    }

    /// Ends the call's time and opens its last value; where there is none to capture, ends the call.
    #[inline(never)]
    fn open_last(&mut self, outcome: Outcome) -> Option<(Arena, Ticks)> {
        let captures = self.thread.captures;
        let (special, is_captured) = match outcome {
            Outcome::Ok => (self.special, captures.results()),
            _ => (self.special & !special::UNDRAWN, captures.errors()),
        };
        if special & special::UNDRAWN == 0 && is_captured {
            let end = self.now();
            if let Some(arena) = self.open_arena() {
                return Some((arena, end));
            }
        }
        match outcome {
            Outcome::Ok => self.end_ok(),
            _ => self.end(self.now(), outcome),
        }
        None
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_arena(&mut self) -> Option<Arena> {
        let arena = arena::open(self.thread)?;
        if self.special & special::VALUES == 0 {
            self.values = Values::new(arena.len());
            self.special |= special::VALUES;
        }
        Some(arena)
    }

    #[inline(never)]
    fn end_with_values(&mut self, end: Ticks, outcome: Outcome, arena: Arena) {
        let start = self.values.start();
        self.end_with(end, outcome, arena::since(arena, start));
        arena::close(self.thread, arena, start);
    }
}

impl Drop for Call {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        if !matches!(self.0, State::None) {
            self.end_by_panic();
        }
    }
}

impl Call {
    #[cold]
    #[inline(never)]
    fn end_by_panic(&mut self) {
        if let Some((arena, end)) = self.open_last_of_counted(Outcome::Panic)
            && let State::Entered(entered) = &mut self.0
        {
            write_panic(entered.start, arena);
            entered.end_with_values(end, Outcome::Panic, arena);
        }
    }
}

/// A call whose result need not be seen (it returns `()` or never): dropped, it ended `ok`, or
/// `panic` where the thread has begun to unwind since.
#[derive(Debug)]
pub struct Scope(Call);

impl Scope {
    /// As [`Call::none`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub const fn none() -> Self {
        Self(Call::none())
    }

    /// As [`Call::enter`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn enter(&mut self, site: &'static CallSite) {
        if !site.is_off() && std::thread::panicking() {
            return self.open_unwinding(site);
        }
        self.0.enter(site);
    }

    /// As [`Call::prepare`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn prepare(&mut self, site: &'static CallSite) {
        self.enter(site);
    }

    #[cold]
    #[inline(never)]
    fn open_unwinding(&mut self, site: &'static CallSite) {
        // A call that is only counted would have no place for it.
        self.0.open_specially(site);
        if let State::Entered(entered) = &mut self.0.0 {
            entered.special |= special::UNWINDING;
        }
    }

    /// As [`Call::args`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.args(capture);
    }

    /// As [`Call::fields`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
}

impl Drop for Scope {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        // A call that was only counted is not looked at for having panicked where nothing is unwinding.
        match &mut self.0.0 {
            State::None => {}
            State::Counted(counted) if !std::thread::panicking() && counted.end() => {}
            _ => self.end(),
        }
        self.0.0 = State::None;
    }
}

impl Scope {
    #[inline(never)]
    fn end(&mut self) {
        let was_unwinding =
            matches!(&self.0.0, State::Entered(entered) if entered.special & special::UNWINDING != 0);
        if std::thread::panicking() && !was_unwinding {
            self.0.end_by_panic();
        } else {
            self.0.ok();
        }
    }
}

/// Whether what has this weight was drawn for certain.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_certain(weight: f32) -> bool {
    weight.to_bits() == 1_f32.to_bits()
}

/// What becomes of a call.
pub(crate) enum Draw {
    /// Nothing: it passes through.
    Pass,
    /// As the call around it.
    Follow,
    /// Recorded with this weight.
    Drawn(f32),
    /// Recorded for being among the first calls of its function.
    First,
    /// Left out, and all below it.
    Undrawn,
}

/// Draws a call: a root at its function's rate, a callee with its root, or less often where its own
/// rate is lower than the probability that its root was drawn with.
pub(crate) fn draw(site: &CallSite, thread: &'static ThreadState, parent: u64, weight: f32) -> Draw {
    if parent == SUPPRESSED {
        return Draw::Pass;
    }
    if parent == UNSAMPLED {
        if site.is_counted() {
            // The countdown has ended with this call, which is timed; it begins anew.
            draw_root(site, thread);
        }
        return Draw::Undrawn;
    }
    if site.fidelity.load(Ordering::Relaxed) == fidelity::RECORDED {
        return Draw::Follow;
    }
    if parent == NO_SPAN && site.take_first() {
        return Draw::First;
    }
    let (drawn, rate) = if parent == NO_SPAN || (site.is_counted() && is_certain(weight)) {
        draw_root(site, thread)
    } else {
        let rate = site.rate();
        match sampling::child(1.0 / f64::from(weight), rate) {
            sampling::Child::Follow => return Draw::Follow,
            sampling::Child::Subsample { probability } => {
                (sampling::next_gap(probability, random(thread)) == 0, rate)
            }
        }
    };
    if drawn { Draw::Drawn(sampling::weight(rate) as f32) } else { Draw::Undrawn }
}

/// Counts down to the next root call that is drawn; gives the rate as well.
fn draw_root(site: &CallSite, thread: &'static ThreadState) -> (bool, f64) {
    // The epoch first: a countdown that says it is of this epoch must not be of an older rate.
    let epoch = site.epoch();
    let rate = site.rate();
    // Where not all undrawn calls are timed, the countdown ends with one that is either drawn or timed.
    let stop = if site.is_counted() { (rate + TIMED_SHARE).min(1.0) } else { rate };
    let Some(countdown) = thread_rings::countdown_of(thread, site.id()) else {
        return (sampling::next_gap(rate, random(thread)) == 0, rate);
    };
    let gap = countdown.gap(epoch).unwrap_or_else(|| next_gap(stop, thread));
    if gap & GAP_MASK > 0 {
        countdown.set_gap(epoch, gap - 1);
        return (false, rate);
    }
    countdown.set_gap(epoch, next_gap(stop, thread));
    let ends = gap & REDRAW_FLAG == 0;
    (ends && (stop <= rate || sampling::next_gap(rate / stop, random(thread)) == 0), rate)
}

/// Share of the calls that are timed of a function whose calls are otherwise only counted.
const TIMED_SHARE: f64 = 1.0 / 256.0;

/// A gap, flagged where it ends in another draw instead of a drawn call: gaps have no memory, so a long
/// one may be taken in pieces.
fn next_gap(rate: f64, thread: &ThreadState) -> u32 {
    let gap = sampling::next_gap(rate, random(thread));
    if gap >= GAP_MASK { GAP_MASK | REDRAW_FLAG } else { gap }
}

const REDRAW_FLAG: u32 = GAP_MASK + 1;

fn random(thread: &ThreadState) -> u64 {
    let mut generator = sampling::Random::new(thread.random.load(Ordering::Relaxed));
    let random = generator.draw();
    thread.random.store(generator.state(), Ordering::Relaxed);
    random
}

/// Registers the site if need be, and finds or takes the calling thread's state.
pub(crate) fn thread_for(site: &'static CallSite) -> Option<(&'static ThreadState, Lease)> {
    if site.fidelity.load(Ordering::Relaxed) == fidelity::UNKNOWN {
        apart(|| runtime::register(site))?;
    }
    if site.fidelity.load(Ordering::Relaxed) == fidelity::OFF {
        return None;
    }
    match thread_rings::current() {
        Some(thread) => Some((thread, Lease::Thread)),
        None => apart(|| runtime::rings()?.acquire())?,
    }
}

/// Writes the text of the panic that ends a call begun at this moment.
pub(crate) fn write_panic(start: Ticks, writer: &mut Writer<'_>) {
    let text = panic_text::since(start);
    if !text.is_empty() {
        use via::traits::*;
        (&&&&&via::ErrorValue(&text)).write(writer);
    }
}

/// Puts a record into the ring.
pub(crate) fn deliver(thread: &'static ThreadState, header: &[u64; HEADER_WORDS], values: &[Word]) {
    if !thread.ring.push_values(|| *header, values) {
        deliver_slowly(thread, header, values);
    }
}

/// A push that found the ring at a limit. Where there is no room in any ring, an `ok` call is counted
/// as lost, and a failed one goes around it; where that way is full too, it is counted to be folded.
#[cold]
#[inline(never)]
fn deliver_slowly(thread: &'static ThreadState, words: &[u64; HEADER_WORDS], values: &[Word]) {
    let push = thread.push(words, values);
    if push == Push::Written {
        return;
    }
    let is_late = thread.home.wake();
    let header = Header::decode(words);
    if is_late
        && thread.home.brakes.load(Ordering::Relaxed)
        && let Some(site) = crate::call_site::by_id(header.site)
    {
        site.brake();
    }
    if push != Push::Full {
        return;
    }
    let failed = header.outcome != Outcome::Ok;
    if failed && thread.home.give_overflow(thread, crate::record::with_values(words, values)) {
        return;
    }
    if let Some(site) = crate::call_site::by_id(header.site) {
        let has_ring = thread.ring.capacity() >= HEADER_WORDS;
        let reason = match (failed, has_ring) {
            (true, _) => Unrecorded::Folded,
            (false, true) => Unrecorded::RingFull,
            (false, false) => Unrecorded::NoRing,
        };
        count(thread, site, header.outcome, reason, header.duration);
    }
}

/// Counts a call that leaves no record.
pub(crate) fn count(
    thread: &ThreadState,
    site: &CallSite,
    outcome: Outcome,
    reason: Unrecorded,
    duration: Ticks,
) {
    match thread.tallies.of(site.id()) {
        Some(tally) => tally.count(outcome, reason, duration),
        None => {
            if let Some(tally) = thread.home.shared_tallies.of_unbounded(site.id()) {
                tally.count_shared(outcome, reason, duration);
            }
        }
    }
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
