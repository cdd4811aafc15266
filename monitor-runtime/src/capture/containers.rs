//! Sequences and maps of bounded length.
//!
//! Takes items one by one, and their number if it is known; gives all of them, or the first few and a token with the
//! total. A complete container answers every further item with an `Err`, so that a loop over ten million items ends
//! after the fourth. The file does not know how an item is written.

use super::Limits;
use super::secret::{Header, is_name_of_name, is_name_of_value, is_secret};
use super::token;
use super::value_writer::{Mark, Stop, Stopped, ValueWriter};

/// A sequence that is being written.
#[derive(Debug)]
pub struct Sequence<'d, 'b> {
    out: &'d mut ValueWriter<'b>,
    seen: usize,
    /// True if more items were announced than are written.
    shortened: bool,
    progress: Progress,
    /// The end of the first [`Limits::items_kept`] items, once they are written. A sequence that turns out too long is
    /// cut back to it.
    kept: Option<Mark>,
    /// True for a pair: its first item may say that the second one is a secret.
    is_pair: bool,
    /// True if the next item is a secret.
    is_secret: bool,
}

/// The progress of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Writing,
    /// The budget is used up. Items are only counted, because a long sequence is shown by its first items and a total.
    Counting,
    Complete,
}

impl<'d, 'b> Sequence<'d, 'b> {
    /// Opens a sequence of this many items; `None` if their number is not known.
    pub(super) fn open(out: &'d mut ValueWriter<'b>, len: Option<usize>) -> Result<Self, Stopped> {
        let total = len.filter(|&len| len > out.limits().items);
        match total {
            Some(total) => out.open(token::SEQUENCE_CUT, Some(total as u64))?,
            None => out.open(token::SEQUENCE, None)?,
        }
        let shortened = total.is_some();
        Ok(Self {
            out,
            seen: 0,
            shortened,
            progress: Progress::Writing,
            kept: None,
            is_pair: false,
            is_secret: false,
        })
    }

    /// Opens a tuple. A pair is treated like an entry of a map, because many programs hold headers as pairs.
    pub(super) fn open_tuple(out: &'d mut ValueWriter<'b>, len: usize) -> Result<Self, Stopped> {
        let sequence = Self::open(out, Some(len))?;
        Ok(Self { is_pair: len == 2, ..sequence })
    }

    /// Writes the next item.
    pub(super) fn item(
        &mut self,
        type_name: &str,
        write: impl FnOnce(&mut ValueWriter<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.progress == Progress::Complete {
            self.out.refuse();
            return Err(self.out.complete());
        }
        if self.out.stop() == Some(Stop::Cut) {
            // Code that ignores its errors goes on in the middle of a container that was cut.
            return Err(self.out.refuse());
        }
        let limits = self.out.limits();
        if self.shortened && self.seen == limits.items_kept {
            return Err(self.end_early());
        }
        if self.seen == limits.items {
            return Err(self.end_with_the_first());
        }
        self.seen += 1;
        if self.progress == Progress::Counting {
            return self.out.step();
        }
        if self.is_secret {
            return self.out.put(|buffer| buffer.tag(token::REDACTED));
        }
        let before = self.out.mark();
        let outcome = write(self.out);
        match self.out.settle(before, outcome, type_name) {
            Ok(()) => {
                self.is_secret = self.is_pair && self.out.string_since(before).is_some_and(is_secret);
                if self.seen == limits.items_kept {
                    self.kept = Some(self.out.mark());
                }
                Ok(())
            }
            Err(Stopped) if self.kept.is_some() && !self.shortened => {
                self.progress = Progress::Counting;
                self.out.resume();
                Ok(())
            }
            Err(Stopped) => Err(Stopped),
        }
    }

    fn end_early(&mut self) -> Stopped {
        self.out.close();
        self.progress = Progress::Complete;
        self.out.complete()
    }

    /// Ends a sequence that turned out to be too long: only its first items are kept.
    fn end_with_the_first(&mut self) -> Stopped {
        let Some(kept) = self.kept else { return self.out.cut() };
        let items = self.out.limits().items as u64;
        self.out.rewind(kept);
        if self.out.put(|buffer| buffer.fixed(token::MORE, &items.to_le_bytes())).is_err() {
            return Stopped;
        }
        self.end_early()
    }

    /// Ends the content of an enum variant: the sequence, and the map around it whose key is the variant's tag.
    pub(super) fn end_with_tag(self) -> Result<(), Stopped> {
        let Self { out, .. } = self;
        Sequence { out: &mut *out, ..self }.end()?;
        out.close();
        Ok(())
    }

    /// Ends the sequence.
    pub(super) fn end(self) -> Result<(), Stopped> {
        if self.progress == Progress::Complete {
            self.out.resume();
            return Ok(());
        }
        if self.progress == Progress::Counting || self.out.stop() == Some(Stop::Cut) {
            return Err(self.out.cut());
        }
        self.out.close();
        Ok(())
    }
}

/// Returns whether the value of a key is a secret, and the state, after the key, of a pair of fields `name` and
/// `value`.
fn judge_key(key: &str, header: Header) -> (bool, Header) {
    if is_name_of_name(key) {
        return (false, Header::Name);
    }
    (is_secret(key) || (header == Header::Secret && is_name_of_value(key)), header)
}

/// A map or struct that is being written.
#[derive(Debug)]
pub struct Entries<'d, 'b> {
    out: &'d mut ValueWriter<'b>,
    seen: usize,
    shortened: bool,
    complete: bool,
    /// True for a struct that is written as the value of its only field.
    is_transparent: bool,
    /// Set while a key has no value yet; true if its value is a secret.
    pending: Option<bool>,
    /// The state of a pair of fields `name` and `value`.
    header: Header,
}

impl<'d, 'b> Entries<'d, 'b> {
    /// Opens a map of this many entries; `None` if their number is not known.
    pub(super) fn open(out: &'d mut ValueWriter<'b>, len: Option<usize>) -> Result<Self, Stopped> {
        let total = len.filter(|&len| len > out.limits().entries);
        match total {
            Some(total) => out.open(token::MAP_CUT, Some(total as u64))?,
            None => out.open(token::MAP, None)?,
        }
        let shortened = total.is_some();
        Ok(Self {
            out,
            seen: 0,
            shortened,
            complete: false,
            is_transparent: false,
            pending: None,
            header: Header::None,
        })
    }

    /// Opens a struct that is written as the value of its only field.
    pub(super) fn open_transparent(out: &'d mut ValueWriter<'b>) -> Self {
        Self {
            out,
            seen: 0,
            shortened: false,
            complete: false,
            is_transparent: true,
            pending: None,
            header: Header::None,
        }
    }

    /// Returns the budget of the value that the map is part of.
    pub(super) fn limits(&self) -> &'b Limits {
        self.out.limits()
    }

    /// Writes a key.
    pub(super) fn key(
        &mut self,
        type_name: &str,
        write: impl FnOnce(&mut ValueWriter<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        self.next_entry()?;
        let before = self.out.mark();
        let outcome = write(self.out);
        self.out.settle(before, outcome, type_name)?;
        let header = self.header;
        let (secret, header) =
            self.out.string_since(before).map_or((false, header), |name| judge_key(name, header));
        (self.pending, self.header) = (Some(secret), header);
        Ok(())
    }

    fn next_entry(&mut self) -> Result<(), Stopped> {
        if self.complete {
            self.out.refuse();
            return Err(self.out.complete());
        }
        if self.out.stop() == Some(Stop::Cut) {
            return Err(self.out.refuse());
        }
        if self.pending.take().is_some() {
            self.out.put(|buffer| buffer.tag(token::NULL))?;
        }
        if self.seen == self.out.limits().entries {
            return Err(self.end_early());
        }
        self.seen += 1;
        Ok(())
    }

    /// Writes the value of the last key.
    pub(super) fn value(
        &mut self,
        type_name: &str,
        write: impl FnOnce(&mut ValueWriter<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        match self.pending.take() {
            Some(true) => self.out.put(|buffer| buffer.tag(token::REDACTED)),
            Some(false) => {
                let before = self.out.mark();
                let outcome = write(self.out);
                self.out.settle(before, outcome, type_name)?;
                if self.header == Header::Name {
                    let is_secret = self.out.string_since(before).is_some_and(is_secret);
                    self.header = Header::after_name(is_secret);
                }
                Ok(())
            }
            None => Err(self.out.refuse()),
        }
    }

    /// Writes a field.
    pub(super) fn field(
        &mut self,
        name: &str,
        type_name: &str,
        write: impl FnOnce(&mut ValueWriter<'b>) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.is_transparent {
            return write(self.out);
        }
        self.next_entry()?;
        self.out.string(name)?;
        let (secret, header) = judge_key(name, self.header);
        (self.pending, self.header) = (Some(secret), header);
        self.value(type_name, write)
    }

    fn end_early(&mut self) -> Stopped {
        if !self.shortened {
            let entries = self.out.limits().entries as u64;
            if self.out.put(|buffer| buffer.fixed(token::MORE, &entries.to_le_bytes())).is_err() {
                return Stopped;
            }
        }
        self.out.close();
        self.complete = true;
        self.out.complete()
    }

    /// Ends the content of an enum variant: the map, and the map around it whose key is the variant's tag.
    pub(super) fn end_with_tag(self) -> Result<(), Stopped> {
        let Self { out, .. } = self;
        Entries { out: &mut *out, ..self }.end()?;
        out.close();
        Ok(())
    }

    /// Ends the map.
    pub(super) fn end(mut self) -> Result<(), Stopped> {
        if self.is_transparent {
            return Ok(());
        }
        if self.complete {
            self.out.resume();
            return Ok(());
        }
        if self.pending.take().is_some() {
            self.out.put(|buffer| buffer.tag(token::NULL))?;
        }
        if self.out.stop() == Some(Stop::Cut) {
            return Err(Stopped);
        }
        self.out.close();
        Ok(())
    }
}
