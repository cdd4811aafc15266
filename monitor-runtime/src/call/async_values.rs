//! The captured values of a call that moves between threads, in memory that travels with it.
//!
//! Takes what captures write; gives tokens for the call's record. The accountant counts the memory, and a capture for
//! which too little is left is refused. The file does not know the call.

use super::poll::Polled;
use crate::accountant::{Accountant, Part};
use crate::limits;
use crate::thread::scratch::{self, Capture};
use crate::thread::state::ThreadState;

/// Captured values.
#[derive(Debug)]
pub(super) struct Values {
    tokens: Box<[u8]>,
    pub(super) args_bytes: u16,
    pub(super) fields_bytes: u16,
    /// The poll that keeps the call current while its unfinished future is dropped.
    pub(super) dropping: Option<Box<Polled>>,
    accountant: &'static Accountant,
}

impl Values {
    pub(super) fn new(accountant: &'static Accountant) -> Self {
        accountant.add(Part::AsyncValues, size_of::<Self>());
        Self { tokens: Box::default(), args_bytes: 0, fields_bytes: 0, dropping: None, accountant }
    }

    /// Captures values and appends them to those captured before. Returns the number of bytes that were added; 0 if
    /// there is no memory for them.
    #[inline(never)]
    pub(super) fn capture(
        place: &mut Option<Box<Self>>,
        thread: &'static ThreadState,
        capture: Capture<'_>,
    ) -> u16 {
        let accountant = thread.home.accountant;
        if !has_room(accountant) {
            return 0;
        }
        let earlier = place.as_ref().map(|values| &*values.tokens).unwrap_or_default();
        let before = earlier.len();
        let tokens = scratch::append_capture(thread, earlier, capture);
        let added = tokens.len().saturating_sub(before);
        place.get_or_insert_with(|| Box::new(Self::new(accountant))).replace(tokens);
        u16::try_from(added).unwrap_or(0)
    }

    /// Replaces all values by these arguments. Without memory for them, the earlier ones stay.
    pub(super) fn set_arguments(place: &mut Option<Box<Self>>, thread: &ThreadState, tokens: Box<[u8]>) {
        let accountant = thread.home.accountant;
        if let Ok(bytes) = u16::try_from(tokens.len())
            && has_room(accountant)
        {
            let values = place.get_or_insert_with(|| Box::new(Self::new(accountant)));
            values.replace(tokens);
            values.args_bytes = bytes;
        }
    }

    fn replace(&mut self, tokens: Box<[u8]>) {
        self.accountant.add(Part::AsyncValues, tokens.len());
        self.accountant.give_back(Part::AsyncValues, self.tokens.len());
        self.tokens = tokens;
    }

    pub(super) fn tokens(&self) -> &[u8] {
        &self.tokens
    }

    pub(super) fn arguments(&self) -> &[u8] {
        self.tokens.get(..usize::from(self.args_bytes)).unwrap_or_default()
    }
}

/// Returns true if there is memory for the values of a call; counts the capture as refused otherwise.
fn has_room(accountant: &Accountant) -> bool {
    let has_room = accountant.room(Part::AsyncValues) >= size_of::<Values>() + limits::VALUES_BYTES_MAX;
    if !has_room {
        accountant.note_refused(Part::AsyncValues);
    }
    has_room
}

impl Drop for Values {
    fn drop(&mut self) {
        self.accountant.give_back(Part::AsyncValues, size_of::<Self>() + self.tokens.len());
    }
}
