//! The captured values of a call: arguments and fields on entry, a result or an error on its end.
//!
//! In: closures of the expansion that write them. Out: words in the thread's arena, which lie there until
//! the call ends and its record takes them along. A call that ends by a panic ends here too.

use super::{Call, Entered, State, deliver, special};
use crate::arena::{self, Arena, Lent};
use crate::capture::{Writer, via};
use crate::clock::{Ticks, counter};
use crate::config::limits;
use crate::frames;
use crate::panic_text;
use crate::record::Outcome;

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
    /// Keeps what was written, and starts the call's time.
    #[inline(never)]
    fn keep_arguments(&mut self, arena: Arena) {
        let written = arena.len() - self.values.start();
        self.values = self.values.with_args(written as u16);
        arena::keep(arena);
        if self.special & special::OS_CLOCK != 0 {
            return self.begin();
        }
        self.start = counter();
        frames::start(self.thread.page.words, self.start);
    }

    /// The writer for values that come before the body, if this call captures them and it is not at hand.
    #[inline(never)]
    fn open_values(&mut self) -> Option<Arena> {
        let captures = self.special & special::UNDRAWN == 0 && self.thread.captures.args();
        if captures { self.open_arena() } else { None }
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

    fn open_arena(&mut self) -> Option<Arena> {
        self.arena = arena::take(self.thread);
        self.begin_values();
        self.arena.take()
    }

    /// Goes on behind what lies in the writer, if there is one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin_values(&mut self) {
        let Some(arena) = &mut self.arena else { return };
        arena.open(limits::VALUES_BYTES_MAX);
        if self.special & special::VALUES == 0 {
            self.values = Values::new(arena.len());
            self.special |= special::VALUES;
        }
    }

    /// Ends the call with what lies in the arena, its last value too.
    #[inline(never)]
    pub(super) fn end_with_values(&mut self, end: Ticks, outcome: Outcome, arena: Arena) {
        if self.special == special::VALUES {
            return self.end_with_few(end, outcome, arena);
        }
        let start = self.values.start();
        self.end_with(end, outcome, arena::since(arena, start));
        arena::close(self.thread, arena, start);
    }

    /// Ends a drawn call that has nothing to put back.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn end_with_few(&self, end: Ticks, outcome: Outcome, arena: Arena) {
        let (thread, start) = (self.thread, self.values.start());
        frames::pop(thread.page.words);
        thread.suppress();
        if let Some(values) = arena::written(arena, start)
            && let Some(room) = thread.ring.room_for_few(values.len())
        {
            self.put_header(&room, end, outcome, values.len());
            room.commit_few(0, values);
            thread.restore(self.parent);
            arena::close(thread, arena, start);
        } else {
            self.end_with_many(end, outcome, arena);
        }
    }

    /// The rest of that, for many words or a ring at a limit.
    #[inline(never)]
    fn end_with_many(&self, end: Ticks, outcome: Outcome, arena: Arena) {
        let (thread, start) = (self.thread, self.values.start());
        let values = arena::since(arena, start);
        deliver::deliver(thread, &self.drawn(end, outcome).encode(values.len()), values);
        thread.restore(self.parent);
        arena::close(thread, arena, start);
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
    pub(super) fn end_by_panic(&mut self) {
        if let Some((arena, end)) = self.open_last_of_counted(Outcome::Panic)
            && let State::Entered(entered) = &mut self.0
        {
            write_panic(entered.start, arena);
            entered.end_with_values(end, Outcome::Panic, arena);
        }
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
