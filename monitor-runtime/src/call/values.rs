//! The captured values of a call: arguments and fields on entry, a result or an error on its end.
//!
//! In: what the expansion writes to the writers that it is handed. Out: words in the thread's arena, which
//! lie there until the call ends and its record takes them along. A call that ends by a panic ends here too.

use super::guard::{Call, Entered, Slot, State, aside, end_counted, special};
use super::publish;
use crate::call::panic_hook;
use crate::capture::{Writer, dispatch};
use crate::limits;
use crate::platform::clock::{Ticks, counter};
use crate::record::Outcome;
use crate::ring::frames;
use crate::site::CallSite;
use crate::thread::scratch::{self, ScratchLoan, ScratchWriter};

/// Where the captured values lie: start in the arena (32 bits), bytes of arguments and of fields (16).
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
    fn with_args(self, bytes: u16) -> Self {
        Self(self.0 | u64::from(bytes) << 32)
    }
    fn with_fields(self, bytes: u16) -> Self {
        Self(self.0 | u64::from(bytes) << 48)
    }
}

/// The last value of a call that is about to end: when it ended, and how.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    end: Ticks,
    outcome: Outcome,
}

// The expansion is handed a writer and gives it back: a closure for each value would be compiled for each
// function, and with it whatever it is handed to. That was two thirds of what a function cost to compile.
impl<const IN_USER_CRATE: bool> Call<'_, IN_USER_CRATE> {
    /// The writer for the arguments, in the order of the call site's names, if this call captures them; it is
    /// given back by [`Self::keep_args`]. No code of the user's may run in between but what is contained.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        let entered = self.entered()?;
        let arena = match entered.arena.take() {
            None => entered.open_values(),
            arena => arena,
        };
        if arena.is_none() {
            entered.begin();
        }
        arena
    }

    /// Keeps the arguments that were written, and starts the call's time.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn keep_args(&mut self, arena: ScratchWriter) {
        if let Some(entered) = self.entered() {
            entered.keep_arguments::<IN_USER_CRATE>(arena);
        }
    }

    /// Captures the extra fields, in the order of the call site's names, if this call is recorded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let Some(entered) = self.entered() else { return };
        if let Some(arena) = entered.arena.take().or_else(|| entered.open_values()) {
            ScratchLoan::new(entered.thread, arena).fill(capture);
            entered.note_fields();
        }
        entered.begin();
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn entered(&mut self) -> Option<&mut Entered> {
        if self.state == State::ENTERED { self.slot.0.as_mut() } else { None }
    }

    /// Ends the call as `ok`: the writer for its value, if this call captures it, to be given back by
    /// [`Self::end_with`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn ok_with(&mut self) -> Option<(ScratchWriter, Last)> {
        self.end_by(Outcome::Ok)
    }

    /// Ends the call as `error`: the writer for its message, in the same way.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn error(&mut self) -> Option<(ScratchWriter, Last)> {
        self.end_by(Outcome::Error)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_by(&mut self, outcome: Outcome) -> Option<(ScratchWriter, Last)> {
        let is_over = self.state != State::ENTERED && {
            aside();
            self.state == State::NONE || outcome == Outcome::Ok && end_counted(self.state)
        };
        let opened =
            if is_over { None } else { self.slot.open_last::<IN_USER_CRATE>(self.site, self.state, outcome) };
        self.state = if opened.is_some() { State::ENTERED } else { State::NONE };
        opened.map(|(arena, end)| (arena, Last { end, outcome }))
    }

    /// Ends the call with the last value, which is written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn end_with(&mut self, arena: ScratchWriter, Last { end, outcome }: Last) {
        if let Some(entered) = self.entered() {
            entered.end_with_values::<IN_USER_CRATE>(end, outcome, arena);
        }
        self.state = State::NONE;
    }
}

impl Slot {
    /// As [`Entered::open_last`].
    #[inline(never)]
    fn open_last<const IN_USER_CRATE: bool>(
        &mut self,
        site: &'static CallSite,
        state: State,
        outcome: Outcome,
    ) -> Option<(ScratchWriter, Ticks)> {
        self.look_at(site, state)?.open_last::<IN_USER_CRATE>(outcome)
    }
}

impl Entered {
    /// Keeps what was written, and starts the call's time.
    #[inline(never)]
    fn keep_arguments<const IN_USER_CRATE: bool>(&mut self, arena: ScratchWriter) {
        let written = arena.len() - self.values.start();
        self.values = self.values.with_args(written as u16);
        scratch::put_back(arena);
        if self.special & special::OS_CLOCK != 0 {
            return self.begin();
        }
        self.start = counter();
        frames::start(self.thread.page.words, self.start);
    }

    /// The writer for values that come before the body, if this call captures them and it is not at hand.
    #[inline(never)]
    fn open_values(&mut self) -> Option<ScratchWriter> {
        let captures = self.special & special::UNDRAWN == 0 && self.thread.captures.args();
        if captures { self.open_arena() } else { None }
    }

    #[inline(never)]
    fn note_fields(&mut self) {
        if let Some(arena) = scratch::take(self.thread) {
            let written = arena.len() - self.values.start() - usize::from(self.values.args_bytes());
            self.values = self.values.with_fields(written as u16);
            scratch::put_back(arena);
        }
    }

    /// Ends the call's time and opens its last value; where there is none to capture, ends the call.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_last<const IN_USER_CRATE: bool>(&mut self, outcome: Outcome) -> Option<(ScratchWriter, Ticks)> {
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
            Outcome::Ok => self.end_ok::<IN_USER_CRATE>(),
            _ => self.end(self.now(), outcome),
        }
        None
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open_arena(&mut self) -> Option<ScratchWriter> {
        let arena = scratch::take(self.thread)?;
        self.begin_values(arena);
        Some(arena)
    }

    /// Opens the writer behind the values that it holds.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_values(&mut self, arena: &mut Writer<'_>) {
        arena.open(limits::VALUES_BYTES_MAX);
        if self.special & special::VALUES == 0 {
            self.values = Values::new(arena.len());
            self.special |= special::VALUES;
        }
    }

    /// Ends the call with what lies in the arena, its last value too.
    #[inline(never)]
    pub(super) fn end_with_values<const IN_USER_CRATE: bool>(
        &mut self,
        end: Ticks,
        outcome: Outcome,
        arena: ScratchWriter,
    ) {
        if self.special == special::VALUES {
            return self.end_with_few(end, outcome, arena);
        }
        let start = self.values.start();
        self.end_with(end, outcome, scratch::words_from(arena, start));
        scratch::close(self.thread, arena, start);
    }

    /// Ends an `ok` call that has captured values before its end and nothing to put back.
    #[inline(never)]
    pub(super) fn end_ok_with_values<const IN_USER_CRATE: bool>(&mut self) {
        match scratch::take_made() {
            Some(arena) => self.end_with_few(counter(), Outcome::Ok, arena),
            None => self.end_ok_otherwise(),
        }
    }

    /// Ends a drawn call that has nothing to put back.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_with_few(&self, end: Ticks, outcome: Outcome, arena: ScratchWriter) {
        let (thread, start) = (self.thread, self.values.start());
        frames::pop(thread.page.words);
        thread.suppress();
        if let Some(values) = scratch::checked_words_from(arena, start)
            && let Some(room) = thread.ring.room_for_few(values.len())
        {
            self.put_header(&room, end, outcome, values.len());
            room.commit_few(0, values);
            thread.restore(self.parent);
            scratch::close(thread, arena, start);
        } else {
            self.end_with_many(end, outcome, arena);
        }
    }

    /// The rest of that, for many words or a ring at a limit.
    #[inline(never)]
    fn end_with_many(&self, end: Ticks, outcome: Outcome, arena: ScratchWriter) {
        let (thread, start) = (self.thread, self.values.start());
        let values = scratch::words_from(arena, start);
        publish::deliver(thread, &self.drawn(end, outcome).encode(values.len()), values);
        thread.restore(self.parent);
        scratch::close(thread, arena, start);
    }
}

impl<const IN_USER_CRATE: bool> Drop for Call<'_, IN_USER_CRATE> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        if self.state != State::NONE {
            self.slot.end_by_panic(self.site, self.state);
        }
    }
}

impl Slot {
    #[cold]
    #[inline(never)]
    fn end_by_panic(&mut self, site: &'static CallSite, state: State) {
        if let Some(entered) = self.look_at(site, state) {
            entered.end_by_panic();
        }
    }
}

impl Entered {
    pub(super) fn end_by_panic(&mut self) {
        if let Some((arena, end)) = self.open_last::<false>(Outcome::Panic) {
            write_panic(self.start, arena);
            self.end_with_values::<false>(end, Outcome::Panic, arena);
        }
    }
}

/// Writes the text of the panic that ends a call begun at this moment.
pub(crate) fn write_panic(start: Ticks, writer: &mut Writer<'_>) {
    let text = panic_hook::since(start);
    if !text.is_empty() {
        use dispatch::traits::*;
        (&&&&&dispatch::ErrorValue(&text)).write(writer);
    }
}
