//! The guard of a synchronous call: opened on entry, closed on drop, decides the outcome.
//!
//! In: a call site, and what the expansion sees of the call. Out: one record in the thread's ring, or
//! one count in its tally. The way of a recorded call without values is `enter`, `ok` and
//! `Ring::push_header`, all inlined; whatever is rarer branches off to a cold function.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

use crate::arena::{self, Capture, Captured};
use crate::call_site::{CallSite, fidelity};
use crate::capture::{Writer, via};
use crate::clock::{Ticks, coarse, coarse_start, counter, is_counter, ticks};
use crate::panic_text;
use crate::record::{HEADER_WORDS, Header, Kept, Outcome, values_word};
use crate::ring::Push;
use crate::runtime;
use crate::sampling;
use crate::tally::{GAP_MASK, Unrecorded};
use crate::thread_rings::{self, Lease, NO_SPAN, RESERVED_SPANS, SUPPRESSED, ThreadState, UNSAMPLED};

/// A call whose result is seen: ends by `ok`, `ok_with`, `error`; dropped otherwise, it panicked.
#[derive(Debug)]
pub struct Call(Entered);

/// What is known of a call under way. Functions that are not inlined are given its words, never the
/// struct: so it stays in registers, where it would cost as much as the clock in memory.
#[derive(Debug, Clone, Copy)]
struct Entered {
    site: &'static CallSite,
    /// `None`: the call passes through.
    thread: Option<&'static ThreadState>,
    start: Ticks,
    span: u64,
    /// What was current before.
    parent: u64,
    /// Nothing for a drawn call without values; else flags, and the weight to put back above them.
    special: u64,
    values: Values,
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
    /// Set for a call that is only counted, and no other.
    pub(super) const JUST_COUNTED: u64 = UNDRAWN | COUNTED;
}

impl Entered {
    /// A call that passes through.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pass(site: &'static CallSite) -> Self {
        Self { site, thread: None, start: 0, span: NO_SPAN, parent: NO_SPAN, special: 0, values: Values(0) }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn enter(site: &'static CallSite) -> Self {
        match site.fidelity.load(Ordering::Relaxed) {
            fidelity::OFF => return Self::pass(site),
            fidelity::RECORDED => {
                if let Some(thread) = thread_rings::current() {
                    let parent = thread.current.load(Ordering::Relaxed);
                    if parent == NO_SPAN || parent > RESERVED_SPANS {
                        return Self::open(site, thread, parent);
                    }
                }
            }
            fidelity::COUNTED => {
                if let Some(thread) = thread_rings::current() {
                    let parent = thread.current.load(Ordering::Relaxed);
                    let epoch = site.epoch();
                    // The countdown is that of a root; it fits below one that was drawn for certain too.
                    let fits =
                        parent <= UNSAMPLED || (parent > RESERVED_SPANS && is_certain(thread.weight()));
                    if fits && thread.tallies.used(site.id()).is_some_and(|tally| tally.leave_out(epoch)) {
                        thread.set_current(UNSAMPLED);
                        let (start, special) = (coarse(), special::JUST_COUNTED);
                        return Self { thread: Some(thread), start, parent, special, ..Self::pass(site) };
                    }
                }
            }
            _ => {}
        }
        // Two words come back in registers; what else there is, is read from the thread.
        let (thread, special) = Self::enter_specially(site);
        let Some(thread) = thread else { return Self::pass(site) };
        let span = thread.current.load(Ordering::Relaxed);
        let parent = thread.parent.load(Ordering::Relaxed);
        Self { thread: Some(thread), span, parent, special, ..Self::pass(site) }
    }

    /// A call that is recorded like the one around it, or as a root.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open(site: &'static CallSite, thread: &'static ThreadState, parent: u64) -> Self {
        let span = thread.next_span();
        if parent == NO_SPAN {
            thread.trace.store(span, Ordering::Relaxed);
            thread.set_weight(1.0);
        }
        thread.set_current(span);
        Self { thread: Some(thread), span, parent, ..Self::pass(site) }
    }

    /// The first call of a function or a thread, a sampled function, a call below one that was not
    /// drawn or within a capture. Gives the thread, or none for a call that passes through, and
    /// `Entered::special`; leaves what was current in `ThreadState::parent`.
    #[cold]
    #[inline(never)]
    fn enter_specially(site: &'static CallSite) -> (Option<&'static ThreadState>, u64) {
        let Some((thread, lease)) = thread_for(site) else { return (None, 0) };
        let parent = thread.current.load(Ordering::Relaxed);
        let weight_before = thread.weight();
        thread.parent.store(parent, Ordering::Relaxed);
        let mut special = match draw(site, thread, parent, weight_before) {
            Draw::Pass => {
                if lease == Lease::Call {
                    thread.home.release(thread);
                }
                return (None, 0);
            }
            Draw::Follow => {
                Self::open(site, thread, parent);
                0
            }
            Draw::Drawn(weight) => {
                Self::open(site, thread, parent);
                thread.set_weight(weight);
                special::OWN_WEIGHT | u64::from(weight_before.to_bits()) << 32
            }
            Draw::First => {
                Self::open(site, thread, parent);
                special::FIRST
            }
            Draw::Undrawn => {
                thread.set_current(UNSAMPLED);
                special::UNDRAWN
            }
        };
        if lease == Lease::Call {
            special |= special::OWN_STATE;
        }
        if !is_counter() {
            special |= special::OS_CLOCK;
        }
        (Some(thread), special)
    }

    /// The thread, if this call has a record in which values can go.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn recording(&self) -> Option<&'static ThreadState> {
        self.thread.filter(|_| self.special & special::UNDRAWN == 0)
    }

    /// Captures values behind those captured before.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn capture(&mut self, thread: &ThreadState, part: Part, capture: Capture<'_>) {
        self.values = capture_part(thread, (self.special, self.values), part, capture);
        self.special |= special::VALUES;
    }

    /// Reads the clock.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn now(&self) -> Ticks {
        if self.special & special::OS_CLOCK == 0 { counter() } else { ticks() }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_ok(self, thread: &'static ThreadState) {
        if self.special == special::JUST_COUNTED && coarse() == self.start {
            return thread.set_current(self.parent);
        }
        let end = self.now();
        if self.special != 0 {
            return if self.special == special::VALUES {
                self.end_with_values(end, thread, None);
            } else {
                self.end(end, Outcome::Ok, None);
            };
        }
        thread.set_current(self.parent);
        let duration = end.wrapping_sub(self.start);
        let header = self.header(thread, Outcome::Ok, Kept::Sampled, thread.weight(), duration);
        if !thread.ring.push_header(header.encode(0)) {
            self.end(end, Outcome::Ok, None);
        }
    }

    /// Ends a drawn call that has values, or is about to get one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_with_values(self, end: Ticks, thread: &'static ThreadState, result: Option<Capture<'_>>) {
        let Self { site, start, span, parent, special, values, .. } = self;
        let first = if special & special::VALUES == 0 { None } else { Some(values.start()) };
        let times = (start, end.wrapping_sub(start));
        end_with_values((site, thread), times, (span, parent), (first, values), result);
    }

    /// Ends the call, whatever it is: also where the ring is at a limit.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end(self, end: Ticks, outcome: Outcome, value: Option<Capture<'_>>) {
        let Self { site, thread, start, span, parent, special, values } = self;
        let Some(thread) = thread else { return };
        end_specially((site, thread), (start, end), (span, parent), (special, values), outcome, value);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn header(
        self,
        thread: &ThreadState,
        outcome: Outcome,
        kept: Kept,
        weight: f32,
        duration: Ticks,
    ) -> Header {
        Header {
            site: self.site.id(),
            outcome,
            kept,
            is_async: false,
            start: self.start,
            duration,
            span: self.span,
            parent: self.parent,
            trace: thread.trace.load(Ordering::Relaxed),
            weight,
            args_bytes: self.values.args_bytes(),
            fields_bytes: self.values.fields_bytes(),
            busy: 0,
        }
    }

    #[inline]
    fn record(
        self,
        thread: &'static ThreadState,
        outcome: Outcome,
        duration: Ticks,
        value: Option<Capture<'_>>,
    ) {
        let undrawn = self.special & special::UNDRAWN != 0;
        let (kept, weight) = match outcome {
            Outcome::Ok if self.special & special::FIRST != 0 => (Kept::First, 1.0),
            Outcome::Ok if undrawn => (Kept::Slow, 1.0),
            Outcome::Ok => (Kept::Sampled, thread.weight()),
            _ => (Kept::Failed, 1.0),
        };
        let mut header = self.header(thread, outcome, kept, weight, duration);
        if undrawn {
            header.span = thread.next_span();
            header.parent = NO_SPAN;
            header.trace = header.span;
        }
        let start = (self.special & special::VALUES != 0).then(|| self.values.start());
        if start.is_none() && value.is_none() && outcome != Outcome::Panic {
            return deliver(thread, header.encode(0), Captured::default());
        }
        let (began, words) = (header.start, header.encode(0));
        let deliver = |values: Captured<'_>| deliver(thread, words, values);
        let value = value.filter(|_| outcome == Outcome::Ok || thread.captures.errors());
        match value {
            None if outcome == Outcome::Panic && thread.captures.errors() => {
                arena::conclude(thread, start, &[], Some(&mut |writer| write_panic(began, writer)), deliver);
            }
            value => arena::conclude(thread, start, &[], value, deliver),
        }
    }
}

/// Which of a call's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Arguments,
    Fields,
}

/// Captures values behind those captured before, if there are any.
#[inline(never)]
fn capture_part(
    thread: &ThreadState,
    (special, values): (u64, Values),
    part: Part,
    capture: Capture<'_>,
) -> Values {
    let (start, bytes) = arena::capture(thread, capture);
    let values = if special & special::VALUES == 0 { Values::new(start) } else { values };
    match part {
        Part::Arguments => values.with_args(bytes),
        Part::Fields => values.with_fields(bytes),
    }
}

/// The end of a drawn call with values and nothing else about it.
#[inline(never)]
fn end_with_values(
    (site, thread): (&'static CallSite, &'static ThreadState),
    (start, duration): (Ticks, Ticks),
    (span, parent): (u64, u64),
    (first, values): (Option<usize>, Values),
    result: Option<Capture<'_>>,
) {
    let header = Header {
        site: site.id(),
        outcome: Outcome::Ok,
        kept: Kept::Sampled,
        is_async: false,
        start,
        duration,
        span,
        parent,
        trace: thread.trace.load(Ordering::Relaxed),
        weight: thread.weight(),
        args_bytes: values.args_bytes(),
        fields_bytes: values.fields_bytes(),
        busy: 0,
    };
    // Encoded here, from registers: read back in wider pieces than it was written in, a header in memory
    // would hold up the processor as long as the clock does.
    let words = header.encode(0);
    arena::conclude(thread, first, &[], result, |values| deliver(thread, words, values));
    thread.set_current(parent);
}

/// The end of a call that has values, failed, was not drawn, holds something to put back, or found the
/// ring at a limit. The pairs are how the words of an `Entered` stay in registers.
#[inline(never)]
fn end_specially(
    (site, thread): (&'static CallSite, &'static ThreadState),
    (start, end): (Ticks, Ticks),
    (span, parent): (u64, u64),
    (special, values): (u64, Values),
    outcome: Outcome,
    value: Option<Capture<'_>>,
) {
    let counted = special & special::COUNTED != 0;
    let (start, end) = if counted { end_of_counted(start, end) } else { (start, end) };
    let duration = end.wrapping_sub(start);
    let leaves_none = special & special::UNDRAWN != 0
        && outcome == Outcome::Ok
        && duration < site.slow_ticks.load(Ordering::Relaxed);
    if leaves_none && !counted {
        count(thread, site, outcome, Unrecorded::SampledOut, duration);
    } else if !leaves_none {
        if counted {
            thread.tallies.used(site.id()).inspect(|tally| tally.take_back());
        }
        let call = Entered { site, thread: Some(thread), start, span, parent, special, values };
        call.record(thread, outcome, duration, value);
    }
    if special & special::OWN_WEIGHT != 0 {
        thread.set_weight(f32::from_bits((special >> 32) as u32));
    }
    thread.set_current(parent);
    if special & special::OWN_STATE != 0 {
        thread.home.release(thread);
    }
}

/// Start and end of a call that was only counted: as far as the coarse clock has moved. Where it has not,
/// it ended at once. The end was read by the counter, of whatever kind ticks are.
#[cold]
fn end_of_counted(seen: Ticks, end: Ticks) -> (Ticks, Ticks) {
    let end = if is_counter() { end } else { ticks() };
    (if coarse() == seen { end } else { coarse_start(seen).min(end) }, end)
}

impl Call {
    /// Enters a call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        Self(Entered::enter(site))
    }

    /// Captures the arguments, in the order of the call site's names, if this call captures them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.0.recording()
            && thread.captures.args()
        {
            self.0.capture(thread, Part::Arguments, &mut once(capture));
        }
    }

    /// Captures the extra fields, in the order of the call site's names, if this call is recorded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(thread) = self.0.recording()
            && thread.captures.args()
        {
            self.0.capture(thread, Part::Fields, &mut once(capture));
        }
    }

    /// Starts the call's time: the last thing before its body, so that captures do not count.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn begin(&mut self) {
        if self.0.thread.is_some() && self.0.special != special::JUST_COUNTED {
            self.0.start = self.0.now();
        }
    }

    /// What is known of the call, which is not ended by its drop any more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn into_entered(self) -> Entered {
        ManuallyDrop::new(self).0
    }

    /// Ends the call as `ok`, its result not captured.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok(self) {
        let entered = self.into_entered();
        if let Some(thread) = entered.thread {
            entered.end_ok(thread);
        }
    }

    /// Ends the call as `ok`; `result` captures its value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok_with(self, result: impl FnOnce(&mut Writer<'_>)) {
        let entered = self.into_entered();
        match entered.thread {
            Some(thread) if thread.captures.results() && entered.special & !special::VALUES == 0 => {
                entered.end_with_values(entered.now(), thread, Some(&mut once(result)));
            }
            Some(thread) if thread.captures.results() && entered.recording().is_some() => {
                entered.end(entered.now(), Outcome::Ok, Some(&mut once(result)));
            }
            Some(thread) => entered.end_ok(thread),
            None => {}
        }
    }

    /// Ends the call as `error`; `text` writes the error's message.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn error(self, text: impl FnOnce(&mut Writer<'_>)) {
        let entered = self.into_entered();
        if entered.thread.is_some() {
            entered.end(entered.now(), Outcome::Error, Some(&mut once(text)));
        }
    }
}

impl Drop for Call {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        let Entered { site, thread, start, span, parent, special, values } = self.0;
        end_by_panic((site, thread), (start, span), (parent, special), values);
    }
}

/// The end of a call that unwinds. As small a call as can be: what drops the guard in the landing pad is
/// inlined only if it is tiny, and where it is not, the guard has to lie in memory on every call.
#[cold]
#[inline(never)]
fn end_by_panic(
    (site, thread): (&'static CallSite, Option<&'static ThreadState>),
    (start, span): (Ticks, u64),
    (parent, special): (u64, u64),
    values: Values,
) {
    let entered = Entered { site, thread, start, span, parent, special, values };
    if thread.is_some() {
        entered.end(entered.now(), Outcome::Panic, None);
    }
}

/// A call whose result need not be seen (it returns `()` or never): dropped, it ended `ok`, or
/// `panic` where the thread has begun to unwind since.
#[derive(Debug)]
pub struct Scope {
    call: ManuallyDrop<Call>,
    unwinding_before: bool,
}

impl Scope {
    /// Enters a call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let call = ManuallyDrop::new(Call::enter(site));
        Self { unwinding_before: call.0.thread.is_some() && std::thread::panicking(), call }
    }

    /// As [`Call::args`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.call.args(capture);
    }

    /// As [`Call::fields`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.call.fields(capture);
    }

    /// As [`Call::begin`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn begin(&mut self) {
        self.call.begin();
    }
}

impl Drop for Scope {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        let entered = self.call.0;
        let Some(thread) = entered.thread else { return };
        if std::thread::panicking() && !self.unwinding_before {
            entered.end(entered.now(), Outcome::Panic, None);
        } else {
            entered.end_ok(thread);
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
pub(crate) fn draw(site: &CallSite, thread: &ThreadState, parent: u64, weight: f32) -> Draw {
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
fn draw_root(site: &CallSite, thread: &ThreadState) -> (bool, f64) {
    // The epoch first: a countdown that says it is of this epoch must not be of an older rate.
    let epoch = site.epoch();
    let rate = site.rate();
    // Where not all undrawn calls are timed, the countdown ends with one that is either drawn or timed.
    let stop = if site.is_counted() { (rate + TIMED_SHARE).min(1.0) } else { rate };
    let Some(tally) = thread.tallies.of(site.id()) else {
        return (sampling::next_gap(rate, random(thread)) == 0, rate);
    };
    if tally.gap_epoch.load(Ordering::Relaxed) != epoch {
        tally.gap_epoch.store(epoch, Ordering::Relaxed);
        tally.gap.store(next_gap(stop, thread), Ordering::Relaxed);
    }
    let gap = tally.gap.load(Ordering::Relaxed);
    if gap & GAP_MASK > 0 {
        tally.gap.store(gap - 1, Ordering::Relaxed);
        return (false, rate);
    }
    tally.gap.store(next_gap(stop, thread), Ordering::Relaxed);
    let ends = gap & REDRAW_FLAG == 0;
    (ends && (stop <= rate || sampling::next_gap(rate / stop, random(thread)) == 0), rate)
}

/// Share of the calls that are timed of a function whose calls are otherwise only counted.
const TIMED_SHARE: f64 = 1.0 / 256.0;

/// A gap, flagged where it ends in another draw instead of a drawn call.
fn next_gap(rate: f64, thread: &ThreadState) -> u64 {
    let gap = sampling::next_gap(rate, random(thread));
    if gap == sampling::REDRAW { u64::from(gap) | REDRAW_FLAG } else { u64::from(gap) }
}

const REDRAW_FLAG: u64 = GAP_MASK + 1;

fn random(thread: &ThreadState) -> u64 {
    let mut generator = sampling::Random::new(thread.random.load(Ordering::Relaxed));
    let random = generator.draw();
    thread.random.store(generator.state(), Ordering::Relaxed);
    random
}

/// Registers the site if need be, and finds or takes the calling thread's state.
pub(crate) fn thread_for(site: &'static CallSite) -> Option<(&'static ThreadState, Lease)> {
    if site.fidelity.load(Ordering::Relaxed) == fidelity::UNKNOWN {
        runtime::register(site);
    }
    if site.fidelity.load(Ordering::Relaxed) == fidelity::OFF {
        return None;
    }
    match thread_rings::current() {
        Some(thread) => Some((thread, Lease::Thread)),
        None => runtime::rings()?.acquire(),
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
#[inline]
pub(crate) fn deliver(thread: &'static ThreadState, mut words: [u64; HEADER_WORDS], values: Captured<'_>) {
    words[0] += values_word(values.bytes);
    if !thread.ring.push_values(words, values.padded) {
        deliver_slowly(thread, &words, values.padded);
    }
}

/// A push that found the ring at a limit. Where there is no room in any ring, an `ok` call is counted
/// as lost, and a failed one goes around it; where that way is full too, it is counted to be folded.
#[cold]
#[inline(never)]
fn deliver_slowly(thread: &'static ThreadState, words: &[u64; HEADER_WORDS], values: &[u8]) {
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

/// Makes a closure that is called once out of one that may be called once.
pub(crate) fn once(capture: impl FnOnce(&mut Writer<'_>)) -> impl FnMut(&mut Writer<'_>) {
    let mut capture = Some(capture);
    move |writer| {
        if let Some(capture) = capture.take() {
            capture(writer);
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
