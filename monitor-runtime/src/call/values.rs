//! The captured values of a call: arguments and fields on entry, a result or an error at its end.
//!
//! Takes what the expansion writes to the writers that it is handed. Gives words in the thread's scratch memory, which lie
//! there until the call ends and its record takes them along. A call that ends by a panic ends here too, because the
//! panic's text is its last value. The file does not know how a value is written.

use super::entered::{Entered, Slot, Special, State, Times, Values};
use std::sync::atomic::Ordering;

use super::{panic_hook, publish};
use crate::capture::{Writer, dispatch};
use crate::limits;
use crate::platform::clock::{Ticks, counter};
use crate::record::Outcome;
use crate::ring::frames;
use crate::site::CallSite;
use crate::thread::scratch::{self, ScratchWriter};

impl Slot {
    /// Does what [`Entered::open_last`] does.
    #[inline(never)]
    pub(super) fn open_last<const IN_USER_CRATE: bool>(
        &mut self,
        site: &'static CallSite,
        state: State,
        outcome: Outcome,
    ) -> Option<(ScratchWriter, Ticks)> {
        self.look_at(site, state)?.open_last::<IN_USER_CRATE>(outcome)
    }
}

impl Entered {
    /// Keeps the arguments that were written, and starts the call's time.
    #[inline(never)]
    pub(super) fn keep_arguments<const IN_USER_CRATE: bool>(&mut self, writer: ScratchWriter) {
        let first = self.values.start();
        let written = writer.len() - first;
        self.values = self.values.with_args(written as u16);
        let memory = writer.memory();
        self.start = self.now();
        frames::start_with_arguments(self.thread.page.words, self.start, memory, (first, written));
        scratch::put_back(writer);
    }

    /// Returns the writer for values that come before the body, if this call captures them.
    #[inline(never)]
    pub(super) fn open_values(&mut self) -> Option<ScratchWriter> {
        if self.captures_args() { self.open_scratch() } else { None }
    }

    #[inline(never)]
    pub(super) fn note_fields(&mut self) {
        if let Some(writer) = scratch::take(self.thread) {
            let written = writer.len() - self.values.start() - usize::from(self.values.args_bytes());
            self.values = self.values.with_fields(written as u16);
            scratch::put_back(writer);
        }
    }

    /// Ends the call's time and returns the writer for its last value. If no last value is captured, ends the call and returns
    /// `None`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn open_last<const IN_USER_CRATE: bool>(
        &mut self,
        outcome: Outcome,
    ) -> Option<(ScratchWriter, Ticks)> {
        let captures = self.thread.captures;
        let is_captured = match outcome {
            Outcome::Ok => captures.results() && (!self.special.is_unsampled() || self.is_slow_by_now()),
            _ => captures.errors(),
        };
        if is_captured {
            let end = self.now();
            if let Some(writer) = self.open_scratch() {
                return Some((writer, end));
            }
        }
        match outcome {
            Outcome::Ok => self.end_ok::<IN_USER_CRATE>(),
            _ => self.end(self.now(), outcome),
        }
        None
    }

    /// Returns true for a timed call that has taken so long that it will have a row.
    #[cold]
    #[inline(never)]
    fn is_slow_by_now(&self) -> bool {
        !self.special.is_counted()
            && self.now().wrapping_sub(self.start) >= self.site.slow_ticks.load(Ordering::Relaxed)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_scratch(&mut self) -> Option<ScratchWriter> {
        let writer = scratch::take(self.thread)?;
        self.begin_values(writer);
        Some(writer)
    }

    /// Opens the writer for values of this call, behind those that it holds.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_values(&mut self, writer: &mut Writer<'_>) {
        writer.open(limits::VALUES_BYTES_MAX);
        if !self.special.has_values() {
            self.values = Values::new(writer.len());
            self.special.set(Special::HAS_VALUES);
        }
    }

    /// Ends the call with its values in the scratch memory, the last one included.
    #[inline(never)]
    pub(super) fn end_with_values<const IN_USER_CRATE: bool>(
        &mut self,
        end: Ticks,
        outcome: Outcome,
        writer: ScratchWriter,
    ) {
        if self.special == Special::HAS_VALUES {
            return self.end_with_few_words(end, outcome, writer);
        }
        let start = self.values.start();
        self.end_with(end, outcome, scratch::words_from(writer, start));
        scratch::close(self.thread, writer, start);
    }

    /// Ends an `ok` call that has captured values before its end and restores nothing of its thread.
    #[inline(never)]
    pub(super) fn end_ok_with_values<const IN_USER_CRATE: bool>(&mut self) {
        match scratch::take_made() {
            Some(writer) => self.end_with_few_words(counter(), Outcome::Ok, writer),
            None => self.end_ok_rarely(),
        }
    }

    /// Ends a sampled call that restores nothing of its thread, by the fast way for few words of values.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_with_few_words(&self, end: Ticks, outcome: Outcome, writer: ScratchWriter) {
        let (thread, start) = (self.thread, self.values.start());
        let id = self.site.id();
        let times = self.leave(id, end);
        thread.suppress();
        if let Some(values) = scratch::checked_words_from(writer, start)
            && let Some(room) = thread.ring.room_for_few(values.len())
        {
            let last = self.put_header(&room, id, times, outcome, values.len());
            room.commit_few(last, values);
            thread.restore(self.parent);
            scratch::close(thread, writer, start);
        } else {
            self.end_with_many_words(times, outcome, writer);
        }
    }

    /// Ends the same call when it has many words of values, or when the ring is at a limit.
    #[inline(never)]
    fn end_with_many_words(&self, times: Times, outcome: Outcome, writer: ScratchWriter) {
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
        if let Some(entered) = self.look_at(site, state) {
            entered.end_by_panic();
        }
    }
}

impl Entered {
    /// Ends the call as `panic`, with the panic's text as its last value.
    pub(super) fn end_by_panic(&mut self) {
        self.thread.note_unwinding();
        if let Some((writer, end)) = self.open_last::<false>(Outcome::Panic) {
            write_panic(self.start, writer);
            self.end_with_values::<false>(end, Outcome::Panic, writer);
        }
    }
}

/// Writes the text of the panic that ends a call that began at `start`.
pub(crate) fn write_panic(start: Ticks, writer: &mut Writer<'_>) {
    let text = panic_hook::text_since(start);
    if !text.is_empty() {
        use dispatch::traits::*;
        (&&&&&dispatch::ErrorValue(&text)).write(writer);
    }
}
