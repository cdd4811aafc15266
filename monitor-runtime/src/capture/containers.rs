//! Sequences and maps: how many of their items are written, and how the rest is told.
//!
//! Comes in: items one by one, and their number where it is known. Goes out: all of them, or the first few and a
//! token that says how many there were. A container that is complete answers every further item with an `Err`,
//! so that a loop over ten million items ends after the fourth.

use super::secret::is_secret;
use super::token;
use super::value_writer::{Draft, Mark, Stop, Stopped};

/// A sequence being written.
#[derive(Debug)]
pub struct Sequence<'d, 'b> {
    draft: &'d mut Draft<'b>,
    seen: usize,
    /// More items than are written were announced.
    shortened: bool,
    progress: Progress,
    /// Where the items that a long sequence keeps end.
    kept: Option<Mark>,
    /// It is a pair, whose first item may name a secret in the second.
    is_pair: bool,
    /// The next item is a secret.
    is_secret: bool,
}

/// How far a sequence has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Writing,
    /// The budget is used up; items are only counted, because many of them are told otherwise than few.
    Counting,
    Complete,
}

impl<'d, 'b> Sequence<'d, 'b> {
    /// Opens a sequence of so many items.
    pub(super) fn open(draft: &'d mut Draft<'b>, len: Option<usize>) -> Result<Self, Stopped> {
        let total = len.filter(|&len| len > draft.limits().items);
        match total {
            Some(total) => draft.open(token::SEQUENCE_CUT, Some(total as u64))?,
            None => draft.open(token::SEQUENCE, None)?,
        }
        let shortened = total.is_some();
        Ok(Self {
            draft,
            seen: 0,
            shortened,
            progress: Progress::Writing,
            kept: None,
            is_pair: false,
            is_secret: false,
        })
    }

    /// Opens a tuple. A pair is read like an entry of a map: many hold their headers as pairs.
    pub(super) fn open_tuple(draft: &'d mut Draft<'b>, len: usize) -> Result<Self, Stopped> {
        let sequence = Self::open(draft, Some(len))?;
        Ok(Self { is_pair: len == 2, ..sequence })
    }

    /// Writes the next item.
    pub(super) fn item(
        &mut self,
        type_name: &str,
        write: impl FnOnce(&mut Draft<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.progress == Progress::Complete {
            self.draft.refuse();
            return Err(self.draft.complete());
        }
        if self.draft.stop() == Some(Stop::Cut) {
            // Code that does not heed its errors goes on in the midst of what was cut.
            return Err(self.draft.refuse());
        }
        let limits = self.draft.limits();
        if self.shortened && self.seen == limits.items_kept {
            return Err(self.end_early());
        }
        if self.seen == limits.items {
            return Err(self.end_with_the_first());
        }
        self.seen += 1;
        if self.progress == Progress::Counting {
            return self.draft.step();
        }
        if self.is_secret {
            return self.draft.put(|tape| tape.tag(token::REDACTED));
        }
        let before = self.draft.mark();
        let outcome = write(self.draft);
        match self.draft.settle(before, outcome, type_name) {
            Ok(()) => {
                self.is_secret = self.is_pair && self.draft.string_since(before).is_some_and(is_secret);
                if self.seen == limits.items_kept {
                    self.kept = Some(self.draft.mark());
                }
                Ok(())
            }
            Err(Stopped) if self.kept.is_some() && !self.shortened => {
                self.progress = Progress::Counting;
                self.draft.go_on();
                Ok(())
            }
            Err(Stopped) => Err(Stopped),
        }
    }

    fn end_early(&mut self) -> Stopped {
        self.draft.close();
        self.progress = Progress::Complete;
        self.draft.complete()
    }

    /// More items came than are written: only the first few stay.
    fn end_with_the_first(&mut self) -> Stopped {
        let Some(kept) = self.kept else { return self.draft.cut() };
        let items = self.draft.limits().items as u64;
        self.draft.rewind(kept);
        if self.draft.put(|tape| tape.fixed(token::MORE, &items.to_le_bytes())).is_err() {
            return Stopped;
        }
        self.end_early()
    }

    /// Ends the sequence and the map around it that holds its tag.
    pub(super) fn end_with_tag(self) -> Result<(), Stopped> {
        let Self { draft, .. } = self;
        Sequence { draft: &mut *draft, ..self }.end()?;
        draft.close();
        Ok(())
    }

    /// Ends the sequence.
    pub(super) fn end(self) -> Result<(), Stopped> {
        if self.progress == Progress::Complete {
            self.draft.go_on();
            return Ok(());
        }
        if self.progress == Progress::Counting || self.draft.stop() == Some(Stop::Cut) {
            return Err(self.draft.cut());
        }
        self.draft.close();
        Ok(())
    }
}

/// A map or struct being written.
#[derive(Debug)]
pub struct Entries<'d, 'b> {
    draft: &'d mut Draft<'b>,
    seen: usize,
    shortened: bool,
    complete: bool,
    /// It stands for the value of its only field.
    is_transparent: bool,
    /// A key without its value, and whether that value is a secret.
    pending: Option<bool>,
}

impl<'d, 'b> Entries<'d, 'b> {
    /// Opens a map of so many entries.
    pub(super) fn open(draft: &'d mut Draft<'b>, len: Option<usize>) -> Result<Self, Stopped> {
        let total = len.filter(|&len| len > draft.limits().entries);
        match total {
            Some(total) => draft.open(token::MAP_CUT, Some(total as u64))?,
            None => draft.open(token::MAP, None)?,
        }
        let shortened = total.is_some();
        Ok(Self { draft, seen: 0, shortened, complete: false, is_transparent: false, pending: None })
    }

    /// Opens a struct that is nothing but its only field.
    pub(super) fn open_transparent(draft: &'d mut Draft<'b>) -> Self {
        Self { draft, seen: 0, shortened: false, complete: false, is_transparent: true, pending: None }
    }

    /// Writes a key.
    pub(super) fn key(
        &mut self,
        type_name: &str,
        write: impl FnOnce(&mut Draft<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        self.next_entry()?;
        let before = self.draft.mark();
        let outcome = write(self.draft);
        self.draft.settle(before, outcome, type_name)?;
        let secret = self.draft.string_since(before).is_some_and(is_secret);
        self.pending = Some(secret);
        Ok(())
    }

    fn next_entry(&mut self) -> Result<(), Stopped> {
        if self.complete {
            self.draft.refuse();
            return Err(self.draft.complete());
        }
        if self.draft.stop() == Some(Stop::Cut) {
            return Err(self.draft.refuse());
        }
        if self.pending.take().is_some() {
            self.draft.put(|tape| tape.tag(token::NULL))?;
        }
        if self.seen == self.draft.limits().entries {
            return Err(self.end_early());
        }
        self.seen += 1;
        Ok(())
    }

    /// Writes the value of the last key.
    pub(super) fn value(
        &mut self,
        type_name: &str,
        write: impl FnOnce(&mut Draft<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        match self.pending.take() {
            Some(true) => self.draft.put(|tape| tape.tag(token::REDACTED)),
            Some(false) => {
                let before = self.draft.mark();
                let outcome = write(self.draft);
                self.draft.settle(before, outcome, type_name)
            }
            None => Err(self.draft.refuse()),
        }
    }

    /// Writes a field.
    pub(super) fn field(
        &mut self,
        name: &str,
        type_name: &str,
        write: impl FnOnce(&mut Draft<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.is_transparent {
            return write(self.draft);
        }
        self.next_entry()?;
        self.draft.string(name)?;
        self.pending = Some(is_secret(name));
        self.value(type_name, write)
    }

    fn end_early(&mut self) -> Stopped {
        if !self.shortened {
            let entries = self.draft.limits().entries as u64;
            if self.draft.put(|tape| tape.fixed(token::MORE, &entries.to_le_bytes())).is_err() {
                return Stopped;
            }
        }
        self.draft.close();
        self.complete = true;
        self.draft.complete()
    }

    /// Ends the map and the map around it that holds its tag.
    pub(super) fn end_with_tag(self) -> Result<(), Stopped> {
        let Self { draft, .. } = self;
        Entries { draft: &mut *draft, ..self }.end()?;
        draft.close();
        Ok(())
    }

    /// Ends the map.
    pub(super) fn end(mut self) -> Result<(), Stopped> {
        if self.is_transparent {
            return Ok(());
        }
        if self.complete {
            self.draft.go_on();
            return Ok(());
        }
        if self.pending.take().is_some() {
            self.draft.put(|tape| tape.tag(token::NULL))?;
        }
        if self.draft.stop() == Some(Stop::Cut) {
            return Err(Stopped);
        }
        self.draft.close();
        Ok(())
    }
}
