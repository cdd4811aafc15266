//! The captured values of a call: arguments and fields on entry, a result or an error at its end.
//!
//! Takes what the expansion writes to the writers that it is handed. Gives words in the thread's scratch memory, which
//! stay there until the call ends and they are copied into its record. A call that ends by a panic ends here too,
//! because the panic's text is its last value. The file does not know how a value is written.

use super::entered::{Entered, RUNTIME, Slot, Special, State, Times, Values, cold_path};
use std::sync::atomic::Ordering;

use super::{panic_hook, publish};
use crate::capture::{Writer, dispatch};
use crate::limits;
use crate::platform::clock::{Ticks, counter, elapsed, processor_counter};
use crate::record::Outcome;
use crate::ring::frames;
use crate::site::CallSite;
use crate::thread::scratch::{self, ScratchWriter};

impl Slot {
    /// Ends the call's time and returns the writer for its last value, as [`Entered::open_last`] does.
    #[inline(never)]
    pub(super) fn open_last<const CRATE: u64>(
        &mut self,
        site: &'static CallSite,
        state: State,
        outcome: Outcome,
    ) -> Option<(ScratchWriter, Ticks)> {
        if state.is_counted() {
            return self.open_last_of_counted(site, state, outcome);
        }
        self.0.as_mut()?.open_last::<CRATE>(outcome)
    }

    /// Opens the last value of a counted call, which is not in the slot yet.
    #[cold]
    #[inline(never)]
    fn open_last_of_counted(
        &mut self,
        site: &'static CallSite,
        state: State,
        outcome: Outcome,
    ) -> Option<(ScratchWriter, Ticks)> {
        self.examine(site, state)?.open_last_cold::<RUNTIME>(outcome)
    }
}

impl Entered {
    /// Keeps the arguments that were written, and starts the call's time.
    #[inline(never)]
    pub(super) fn keep_arguments<const CRATE: u64>(&mut self, writer: ScratchWriter) {
        let first = self.values.start();
        let written = writer.len() - first;
        self.values = self.values.with_args(written as u16);
        let Some(start) = processor_counter() else {
            return self.start_by_os_clock(writer, first, written);
        };
        self.start_with_arguments(start, writer, (first, written));
    }

    #[cold]
    #[inline(never)]
    fn start_by_os_clock(&mut self, writer: ScratchWriter, first: usize, written: usize) {
        self.start_with_arguments(counter(), writer, (first, written));
    }

    /// Starts the call's time, shows a reader of the ring file the arguments, and puts the writer back.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn start_with_arguments(&mut self, start: Ticks, writer: ScratchWriter, place: (usize, usize)) {
        self.start = start;
        frames::start_with_arguments(self.thread.page.words, start, writer.memory(), place);
        scratch::put_back(writer);
    }

    /// Returns the writer for values that come before the body, if this call captures them.
    #[inline(never)]
    pub(super) fn open_values(&mut self) -> Option<ScratchWriter> {
        if self.captures_args() && !self.special.is_detached() { self.open_scratch() } else { None }
    }

    #[inline(never)]
    pub(super) fn note_fields(&mut self) {
        if let Some(writer) = scratch::take(self.thread) {
            let written = writer.len() - self.values.start() - usize::from(self.values.args_bytes());
            self.values = self.values.with_fields(written as u16);
            scratch::put_back(writer);
        }
    }

    /// Ends the call's time and returns the writer for its last value. If no last value is captured, ends the call and
    /// returns `None`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn open_last<const CRATE: u64>(&mut self, outcome: Outcome) -> Option<(ScratchWriter, Ticks)> {
        if self.special.cleared_of(Special::HAS_VALUES) == Special::NONE
            && self.is_innermost(0)
            && self.captures_last(outcome)
            && let Some(end) = processor_counter()
            && let Some(writer) = scratch::take_made()
        {
            self.begin_values(writer);
            return Some((writer, end));
        }
        self.open_last_cold::<CRATE>(outcome)
    }

    /// Returns true if a sampled call with this outcome captures its last value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn captures_last(&self, outcome: Outcome) -> bool {
        let captures = self.thread.captures;
        if outcome == Outcome::Ok { captures.results() } else { captures.errors() }
    }

    /// Does what [`Self::open_last`] does for a call with flags, for the first value on a thread, and if no last value
    /// is captured.
    #[inline(never)]
    fn open_last_cold<const CRATE: u64>(&mut self, outcome: Outcome) -> Option<(ScratchWriter, Ticks)> {
        if self.is_late() {
            self.drop_values();
        }
        let leaves_row = outcome != Outcome::Ok || !self.special.is_unsampled() || self.is_slow_by_now();
        if leaves_row && self.captures_last(outcome) {
            let end = counter();
            if let Some(writer) = self.open_scratch() {
                return Some((writer, end));
            }
        }
        match outcome {
            Outcome::Ok => self.end_ok::<CRATE>(),
            _ => self.end(counter(), outcome),
        }
        None
    }

    /// Returns true for a timed call that has taken so long that it will have a row.
    #[cold]
    #[inline(never)]
    fn is_slow_by_now(&self) -> bool {
        !self.special.is_counted()
            && elapsed(self.start, counter()) >= self.site.slow_ticks.load(Ordering::Relaxed)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_scratch(&mut self) -> Option<ScratchWriter> {
        let writer = scratch::take(self.thread)?;
        self.begin_values(writer);
        Some(writer)
    }

    /// Opens the writer for values of this call, after those that were already captured.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_values(&mut self, writer: &mut Writer<'_>) {
        if self.special.has_values() {
            writer.open(limits::VALUES_BYTES_MAX);
        } else {
            self.begin_first_values(writer);
        }
    }

    /// Opens the writer for the first values of this call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_first_values(&mut self, writer: &mut Writer<'_>) {
        writer.open(limits::VALUES_BYTES_MAX);
        self.values = Values::new(writer.len());
        self.special.set(Special::HAS_VALUES);
    }

    /// Ends the call with its values in the scratch memory, the last one included.
    #[inline(never)]
    pub(super) fn end_with_values<const CRATE: u64>(
        &mut self,
        end: Ticks,
        outcome: Outcome,
        writer: ScratchWriter,
    ) {
        if self.special == Special::HAS_VALUES && self.is_innermost(0) {
            return self.end_sampled(end, outcome, writer);
        }
        let start = self.values.start();
        self.end_with(end, outcome, scratch::words_from(writer, start));
        scratch::close(self.thread, writer, start);
    }

    /// Ends an `ok` call that has captured values before its end and restores nothing of its thread.
    #[inline(never)]
    pub(super) fn end_ok_with_values<const CRATE: u64>(&mut self) {
        if !self.is_innermost(0) {
            cold_path();
            if self.is_late() {
                self.drop_values();
                return self.end_ok_rarely();
            }
        }
        match scratch::take_made() {
            Some(writer) => self.end_sampled(counter(), Outcome::Ok, writer),
            None => self.end_ok_rarely(),
        }
    }

    /// Ends a sampled call with values that restores nothing of its thread.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_sampled(&self, end: Ticks, outcome: Outcome, writer: ScratchWriter) {
        let id = self.site.id();
        if self.may_be_nested_or_forked(id) {
            cold_path();
            return self.end_sampled_nested(end, outcome, writer);
        }
        self.write_sampled(id, self.leave_outermost(end), outcome, writer);
    }

    /// Ends a sampled call with values around which another one of its function may be under way.
    #[inline(never)]
    fn end_sampled_nested(&self, end: Ticks, outcome: Outcome, writer: ScratchWriter) {
        let id = self.site.id();
        self.write_sampled(id, self.leave(id, end), outcome, writer);
    }

    /// Writes the record of a sampled call with values.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn write_sampled(&self, id: u32, times: Times, outcome: Outcome, writer: ScratchWriter) {
        let Self { thread, parent, values, .. } = *self;
        let start = values.start();
        thread.suppress();
        if let Some(values) = scratch::checked_words_from(writer, start)
            && let Some(room) = thread.ring.room(values.len())
        {
            let last = self.put_header(&room, id, times, outcome, values.len());
            room.commit_values(last, values);
            thread.restore(parent);
            scratch::close(thread, writer, start);
        } else {
            self.end_sampled_at_limit(times.duration, times.self_ticks, times.is_nested, outcome, writer);
        }
    }

    /// Ends a sampled call with values whose thread's ring is at a limit, or for which no values were written.
    #[cold]
    #[inline(never)]
    fn end_sampled_at_limit(
        &self,
        duration: Ticks,
        self_ticks: Ticks,
        is_nested: bool,
        outcome: Outcome,
        writer: ScratchWriter,
    ) {
        // The times are handed over one by one, as in `end_ok_at_limit`.
        let times = Times { duration, self_ticks, is_nested };
        let (thread, start) = (self.thread, self.values.start());
        let values = scratch::words_from(writer, start);
        publish::publish(thread, &self.sampled_header(times, outcome).encode(values.len()), values);
        thread.restore(self.parent);
        scratch::close(thread, writer, start);
    }
}

impl Slot {
    #[cold]
    #[inline(never)]
    pub(super) fn end_by_panic(&mut self, site: &'static CallSite, state: State) {
        if let Some(entered) = self.examine(site, state) {
            entered.end_by_panic();
        }
    }
}

impl Entered {
    /// Ends the call as `panic`, with the panic's text as its last value.
    pub(super) fn end_by_panic(&mut self) {
        self.thread.note_unwinding();
        if let Some((writer, end)) = self.open_last::<RUNTIME>(Outcome::Panic) {
            write_panic(self.start, writer);
            self.end_with_values::<RUNTIME>(end, Outcome::Panic, writer);
        }
    }
}

/// Writes the text of the panic that ends a call that began at `start`.
pub(crate) fn write_panic(start: Ticks, writer: &mut Writer<'_>) {
    let text = panic_hook::text_since(start);
    if !text.is_empty() {
        use dispatch::traits::*;
        (&&&&&dispatch::ErrorValue(&text)).__monitor_write(writer);
    }
}
