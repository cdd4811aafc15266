//! The writer of one value: tokens within a budget of bytes, depth and time.
//!
//! Takes tokens from `Direct`, `Serialize` and `Debug`; gives one complete value, or its start and a mark that it was
//! cut. Every refusal is an `Err` that the user's code is expected to return; the sandbox leaves code that does not, by
//! unwinding. The file does not know the values before and after.

use super::limits::{Limits, REFUSALS, STEPS_PER_LOOK};
use super::sandbox;
use super::summary::Summary;
use super::token;
use super::token_buffer::TokenBuffer;

/// The error that tells code to stop writing. [`ValueWriter::stop`] returns the reason.
#[derive(Debug, Clone, Copy)]
pub struct Stopped;

/// The reason why [`Stopped`] was returned to code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The budget of the whole value is used up.
    Cut,
    /// The current container is complete as it stands; the container around it goes on.
    Complete,
}

/// A place in the buffer to return to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    len: usize,
    depth: u32,
    wrappers: u32,
}

/// The writer of a value that is being captured.
#[derive(Debug)]
pub struct ValueWriter<'a> {
    buffer: TokenBuffer<'a>,
    limits: &'a Limits,
    start: usize,
    /// End of the memory that the value may use. Only [`token::END`] and [`token::CUT`] may use the last bytes.
    hard_end: usize,
    stop: Option<Stop>,
    /// Number of open containers.
    depth: u32,
    wrappers: u32,
    steps: u32,
    first_look: Option<u64>,
    refusals: u32,
}

impl<'a> ValueWriter<'a> {
    pub(super) fn new(mut buffer: TokenBuffer<'a>, limits: &'a Limits) -> Self {
        let start = buffer.len();
        let closers = limits.depth as usize + 2;
        let hard_end = buffer.end().min(start + limits.value_bytes + closers);
        buffer.set_end(hard_end.saturating_sub(closers));
        Self {
            buffer,
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

    /// Ends the value. Returns the length reached, and false if not even the mark of a cut fitted. The writer is not
    /// moved, because a copy would wait until the processor has combined the narrower stores.
    #[inline]
    pub(super) fn finish(&mut self) -> (usize, bool) {
        if self.stop.is_none() && self.depth == 0 && self.buffer.len() > self.start {
            return (self.buffer.len(), true);
        }
        self.finish_stopped()
    }

    /// Ends a value whose code was stopped, or that is not complete.
    #[cold]
    fn finish_stopped(&mut self) -> (usize, bool) {
        if self.stop == Some(Stop::Complete) {
            self.close_containers(0);
        }
        let unfinished = self.depth > 0 || self.buffer.len() == self.start;
        let marked = !unfinished || {
            self.buffer.set_end(self.hard_end);
            self.buffer.tag(token::CUT)
        };
        (self.buffer.len(), marked)
    }

    pub(super) fn limits(&self) -> &'a Limits {
        self.limits
    }

    pub(super) fn buffer(&mut self) -> &mut TokenBuffer<'a> {
        &mut self.buffer
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { len: self.buffer.len(), depth: self.depth, wrappers: self.wrappers }
    }

    /// Discards everything since the mark.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.buffer.rewind(mark.len);
        self.depth = mark.depth;
        self.wrappers = mark.wrappers;
    }

    /// Ends the value of code that returned an error, panicked or was left by the sandbox.
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

    /// Replaces the whole value by a token with its type's name.
    pub(super) fn replace(&mut self, tag: u8, type_name: &str) {
        self.rewind(Mark { len: self.start, depth: 0, wrappers: 0 });
        self.stop = None;
        // A name that does not fit leaves the mark of a cut.
        let _ended = self.name(tag, type_name);
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// Counts a step, and reads the clock once in [`STEPS_PER_LOOK`] steps.
    #[inline]
    pub(super) fn step(&mut self) -> Result<(), Stopped> {
        if self.stop == Some(Stop::Cut) {
            return Err(self.refuse());
        }
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_LOOK) && self.is_over_time() {
            return Err(self.cut());
        }
        Ok(())
    }

    #[cold]
    fn is_over_time(&mut self) -> bool {
        let now = (self.limits.ticks)();
        let spent = now.saturating_sub(*self.first_look.get_or_insert(now));
        spent >= self.limits.value_ticks
    }

    /// Refuses a write after the budget was used up.
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

    /// Writes `[redacted]` in place of a value. Returns the error that ends the value; the container around it goes on.
    pub(super) fn redacted(&mut self) -> Stopped {
        match self.put(|buffer| buffer.tag(token::REDACTED)) {
            Ok(()) => self.complete(),
            Err(stopped) => stopped,
        }
    }

    /// Clears the reason for stopping, because the caller has handled it.
    pub(super) fn resume(&mut self) {
        self.stop = None;
    }

    /// Writes one token.
    #[inline]
    pub(super) fn put(&mut self, write: impl FnOnce(&mut TokenBuffer<'a>) -> bool) -> Result<(), Stopped> {
        self.step()?;
        if write(&mut self.buffer) { Ok(()) } else { Err(self.cut()) }
    }

    pub(super) fn string(&mut self, text: &str) -> Result<(), Stopped> {
        let chars_max = self.limits.string_chars;
        self.put(|buffer| buffer.string(text, chars_max))
    }

    pub(super) fn name(&mut self, tag: u8, name: &str) -> Result<(), Stopped> {
        let chars_max = self.limits.string_chars;
        self.put(|buffer| buffer.name(tag, name, chars_max))
    }

    pub(super) fn summary(&mut self, summary: &Summary<'_>) -> Result<(), Stopped> {
        self.name(token::SUMMARY, summary.name())?;
        let extents = summary.dimensions();
        self.put(|buffer| {
            buffer.tag(extents.len().to_le_bytes()[0])
                && extents.iter().all(|&extent| buffer.raw(&(extent as u64).to_le_bytes()))
        })
    }

    /// Returns the string that was written since `before`; `None` if the value is not a complete string.
    pub(super) fn string_since(&self, before: Mark) -> Option<&str> {
        token::string_content(self.buffer.written_from(before.len))
    }

    /// Opens a container. A container that is nested too deeply is replaced by [`token::DEEP`] and counts as complete.
    pub(super) fn open(&mut self, tag: u8, total: Option<u64>) -> Result<(), Stopped> {
        if self.depth >= self.limits.depth {
            self.put(|buffer| buffer.tag(token::DEEP))?;
            return Err(self.complete());
        }
        self.put(|buffer| match total {
            Some(total) => buffer.fixed(tag, &total.to_le_bytes()),
            None => buffer.tag(tag),
        })?;
        self.depth += 1;
        Ok(())
    }

    /// Closes the innermost container. The bytes for that are reserved: see `hard_end`.
    pub(super) fn close(&mut self) {
        let end = self.buffer.end();
        self.buffer.set_end(self.hard_end);
        self.buffer.tag(token::END);
        self.buffer.set_end(end);
        self.depth = self.depth.saturating_sub(1);
    }

    fn close_containers(&mut self, depth: u32) {
        while self.depth > depth {
            self.close();
        }
    }

    /// Writes the content of a wrapper that adds no nesting. Too many wrappers are replaced by [`token::DEEP`].
    pub(super) fn wrapped(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.wrappers >= super::limits::WRAPPERS {
            self.put(|buffer| buffer.tag(token::DEEP))?;
            return Err(self.complete());
        }
        self.wrappers += 1;
        let outcome = write(self);
        self.wrappers -= 1;
        outcome
    }

    /// Decides what the end of an inner value means for the container around it. A complete value needs nothing more, a
    /// value whose own code failed is replaced by its type's name, and a cut is returned as an error.
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
                self.close_containers(before.depth);
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
