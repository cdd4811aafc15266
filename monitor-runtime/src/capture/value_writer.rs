//! One value while it is being captured: tokens within a budget of bytes, depth and time.
//!
//! Comes in: tokens from `Direct`, `Serialize` and `Debug`. Goes out: one whole value, or its start and a mark
//! that it was cut. Every refusal is an `Err` that the user's code is expected to hand up; code that does not is
//! left by unwinding. Knows nothing of the values before and after.

use super::limits::{Limits, REFUSALS, STEPS_PER_LOOK};
use super::sandbox;
use super::summary::Summary;
use super::token;
use super::token_buffer::Tape;

/// Told to code that shall stop writing. Why is in [`Draft::stop`].
#[derive(Debug, Clone, Copy)]
pub struct Stopped;

/// Why code was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The budget of the whole value is used up.
    Cut,
    /// The container being written is complete as it stands; what surrounds it goes on.
    Complete,
}

/// A place on the tape to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    len: usize,
    depth: u32,
    wrappers: u32,
}

/// A value being captured.
#[derive(Debug)]
pub struct Draft<'a> {
    tape: Tape<'a>,
    limits: &'a Limits,
    start: usize,
    /// End of the memory that the value may use; tokens other than [`token::END`] and [`token::CUT`] end earlier.
    hard_end: usize,
    stop: Option<Stop>,
    /// Containers open on the tape.
    depth: u32,
    wrappers: u32,
    steps: u32,
    first_look: Option<u64>,
    refusals: u32,
}

impl<'a> Draft<'a> {
    pub(super) fn new(mut tape: Tape<'a>, limits: &'a Limits) -> Self {
        let start = tape.len();
        let closers = limits.depth as usize + 2;
        let hard_end = tape.end().min(start + limits.value_bytes + closers);
        tape.set_end(hard_end.saturating_sub(closers));
        Self {
            tape,
            limits,
            start,
            hard_end,
            stop: None,
            depth: 0,
            wrappers: 0,
            steps: 0,
            first_look: None,
            refusals: 0,
        }
    }

    /// Ends the value; the length reached, and whether the mark of a cut did not even fit.
    pub(super) fn finish(mut self) -> (usize, bool) {
        if self.stop == Some(Stop::Complete) {
            self.close_to(0);
        }
        let unfinished = self.depth > 0 || self.tape.len() == self.start;
        let marked = !unfinished || {
            self.tape.set_end(self.hard_end);
            self.tape.tag(token::CUT)
        };
        (self.tape.len(), marked)
    }

    pub(super) fn limits(&self) -> &'a Limits {
        self.limits
    }

    pub(super) fn tape(&mut self) -> &mut Tape<'a> {
        &mut self.tape
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { len: self.tape.len(), depth: self.depth, wrappers: self.wrappers }
    }

    /// Forgets what was written since.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.tape.rewind(mark.len);
        self.depth = mark.depth;
        self.wrappers = mark.wrappers;
    }

    /// The end of code that did not come to its own, or failed.
    #[cold]
    #[inline(never)]
    pub(super) fn end_early(&mut self, ending: sandbox::Ending, type_name: &str) {
        match ending {
            sandbox::Ending::Returned if self.stop.is_none() => self.replace(token::FAILED, type_name),
            sandbox::Ending::Returned => {}
            sandbox::Ending::Escaped => drop(self.cut()),
            sandbox::Ending::Panicked => self.replace(token::PANICKED, type_name),
        }
    }

    /// Replaces all of the value by a word on its type.
    pub(super) fn replace(&mut self, tag: u8, type_name: &str) {
        self.rewind(Mark { len: self.start, depth: 0, wrappers: 0 });
        self.stop = None;
        // What does not fit ends as a cut.
        let _ended = self.name(tag, type_name);
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// Counts a step and looks at the clock now and then.
    #[inline]
    pub(super) fn step(&mut self) -> Result<(), Stopped> {
        if self.stop == Some(Stop::Cut) {
            return Err(self.refuse());
        }
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_LOOK) && self.is_late() {
            return Err(self.cut());
        }
        Ok(())
    }

    #[cold]
    fn is_late(&mut self) -> bool {
        let now = (self.limits.ticks)();
        let spent = now.saturating_sub(*self.first_look.get_or_insert(now));
        spent >= self.limits.value_ticks
    }

    /// The answer to a write that came too late.
    #[cold]
    pub(super) fn refuse(&mut self) -> Stopped {
        self.refusals += 1;
        if self.refusals > REFUSALS {
            self.refusals = 0;
            sandbox::escape();
        }
        Stopped
    }

    #[cold]
    pub(super) fn cut(&mut self) -> Stopped {
        self.stop = Some(Stop::Cut);
        Stopped
    }

    #[cold]
    pub(super) fn complete(&mut self) -> Stopped {
        self.stop = Some(Stop::Complete);
        Stopped
    }

    /// Writes that a secret was here; what surrounds it goes on.
    pub(super) fn redacted(&mut self) -> Stopped {
        match self.put(|tape| tape.tag(token::REDACTED)) {
            Ok(()) => self.complete(),
            Err(stopped) => stopped,
        }
    }

    /// Takes back a cut or a completion, because the caller deals with it.
    pub(super) fn go_on(&mut self) {
        self.stop = None;
    }

    /// Writes one token.
    #[inline]
    pub(super) fn put(&mut self, write: impl FnOnce(&mut Tape<'a>) -> bool) -> Result<(), Stopped> {
        self.step()?;
        if write(&mut self.tape) { Ok(()) } else { Err(self.cut()) }
    }

    pub(super) fn string(&mut self, text: &str) -> Result<(), Stopped> {
        let chars_max = self.limits.string_chars;
        self.put(|tape| tape.string(text, chars_max))
    }

    pub(super) fn name(&mut self, tag: u8, name: &str) -> Result<(), Stopped> {
        let chars_max = self.limits.string_chars;
        self.put(|tape| tape.name(tag, name, chars_max))
    }

    pub(super) fn summary(&mut self, summary: &Summary<'_>) -> Result<(), Stopped> {
        self.name(token::SUMMARY, summary.name())?;
        let extents = summary.dimensions();
        self.put(|tape| {
            tape.tag(extents.len().to_le_bytes()[0])
                && extents.iter().all(|&extent| tape.raw(&(extent as u64).to_le_bytes()))
        })
    }

    /// The string that was written last, from `before` on.
    pub(super) fn string_since(&self, before: Mark) -> Option<&str> {
        token::string_of(self.tape.since(before.len))
    }

    /// Opens a container; one too deep is written as such and is complete.
    pub(super) fn open(&mut self, tag: u8, total: Option<u64>) -> Result<(), Stopped> {
        if self.depth >= self.limits.depth {
            self.put(|tape| tape.tag(token::DEEP))?;
            return Err(self.complete());
        }
        self.put(|tape| match total {
            Some(total) => tape.fixed(tag, &total.to_le_bytes()),
            None => tape.tag(tag),
        })?;
        self.depth += 1;
        Ok(())
    }

    /// Closes the innermost container. Room for this was set aside when it was opened.
    pub(super) fn close(&mut self) {
        let end = self.tape.end();
        self.tape.set_end(self.hard_end);
        self.tape.tag(token::END);
        self.tape.set_end(end);
        self.depth = self.depth.saturating_sub(1);
    }

    fn close_to(&mut self, depth: u32) {
        while self.depth > depth {
            self.close();
        }
    }

    /// Enters a wrapper that adds no nesting; too many of them are written as too deep.
    pub(super) fn wrapped(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.wrappers >= super::limits::WRAPPERS {
            self.put(|tape| tape.tag(token::DEEP))?;
            return Err(self.complete());
        }
        self.wrappers += 1;
        let outcome = write(self);
        self.wrappers -= 1;
        outcome
    }

    /// What the end of an inner value means to what surrounds it: one that is complete is done, one whose own code
    /// failed is replaced by a word on its type, and a cut goes up.
    #[inline]
    pub(super) fn settle(
        &mut self,
        before: Mark,
        outcome: Result<(), Stopped>,
        type_name: &str,
    ) -> Result<(), Stopped> {
        if outcome.is_ok() {
            return Ok(());
        }
        match self.stop {
            Some(Stop::Cut) => Err(Stopped),
            Some(Stop::Complete) => {
                self.stop = None;
                self.close_to(before.depth);
                self.wrappers = before.wrappers;
                Ok(())
            }
            None => {
                self.rewind(before);
                self.name(token::FAILED, type_name.trim_start_matches('&'))
            }
        }
    }
}
