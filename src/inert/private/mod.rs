//! The items that the expansion of `#[monitor]` names.
//!
//! The attribute returns a function as it is if there is no recorder, and nothing here is used. Cargo joins the features
//! of one package over a whole build, so a build that records in one place, such as a build script, may hand the recording
//! attribute to another place that has no recorder. Its expansions then find these items, of which nothing is left in
//! machine code.

mod future;
mod hints;
mod plumbing;

pub mod dispatch;
pub mod returned;

pub use crate::{
    show_the_lifetime_of_the_error_if_this_fails, use_no_result_if_this_fails, use_skip_if_this_fails,
};
pub use future::{AsyncCall, Finish, Making, instrument};
pub use plumbing::{
    Branch, Function, holds, none, resolving_to, run, run0, run1, run2, run3, run4, run5, run6, unreached,
};
pub use std::boxed::Box;

use std::marker::PhantomData;

/// The writer of captured values, of which there is never one.
#[derive(Debug)]
pub struct Writer<'a>(PhantomData<&'a mut ()>);

impl Writer<'_> {
    /// Does nothing.
    pub fn redacted(&mut self) {}
}

/// The writer that a call hands out.
pub type ScratchWriter = &'static mut Writer<'static>;

/// The description of a function.
#[derive(Debug)]
pub struct Description(());

impl Description {
    /// Does nothing.
    #[must_use]
    pub const fn name(self, name: &'static str) -> Self {
        let _ = name;
        self
    }

    /// Does nothing.
    #[must_use]
    pub const fn group(self, group: &'static str) -> Self {
        let _ = group;
        self
    }

    /// Does nothing.
    #[must_use]
    pub const fn sample(self, rate: f64) -> Self {
        let _ = rate;
        self
    }

    /// Does nothing.
    #[must_use]
    pub const fn slow(self, nanoseconds: u64) -> Self {
        let _ = nanoseconds;
        self
    }
}

/// The names of a function that captures no arguments, or no fields.
pub const NO_NAMES: &[&str] = &[];

/// Returns a description without content.
#[must_use]
pub const fn describe(
    path: fn() -> &'static str,
    file: &'static str,
    line: u32,
    arguments: &'static [&'static str],
    fields: &'static [&'static str],
) -> Description {
    let _ = (path, file, line, arguments, fields);
    Description(())
}

/// Returns 0, because no call is timed.
#[must_use]
pub const fn duration(text: &str) -> u64 {
    let _ = text;
    0
}

/// The state of a function, of which there is none.
#[derive(Debug)]
pub struct CallSite(());

impl CallSite {
    /// Returns a site without content.
    #[must_use]
    pub const fn new(about: &'static Description) -> Self {
        let _ = about;
        Self(())
    }
}

/// The place of an entered call.
#[derive(Debug)]
pub struct Slot(());

impl Slot {
    /// Returns an empty slot.
    #[inline]
    #[must_use]
    pub const fn empty() -> Self {
        Self(())
    }
}

/// The way in which a call ended.
#[derive(Debug, Clone, Copy)]
pub struct Last(());

/// A call that is not recorded.
#[derive(Debug)]
pub struct Call<'a, const CRATE: u64>(PhantomData<&'a mut Slot>);

impl<'a, const CRATE: u64> Call<'a, CRATE> {
    /// Returns a call that is not recorded.
    #[inline]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        let _ = (slot, site);
        Self(PhantomData)
    }

    /// Does what `enter` does.
    #[inline]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::enter(slot, site)
    }

    /// Returns `None`, because nothing is captured.
    #[inline]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        None
    }

    /// Does nothing.
    #[inline]
    pub fn keep_args(&mut self, writer: ScratchWriter) {
        let _ = writer;
    }

    /// Does nothing.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let _ = capture;
    }

    /// Does nothing.
    #[inline]
    pub fn ok(&mut self) {}

    /// Returns `None`, because nothing is captured.
    #[inline]
    pub fn ok_with(&mut self) -> Option<(ScratchWriter, Last)> {
        None
    }

    /// Returns `None`, because nothing is captured.
    #[inline]
    pub fn error(&mut self) -> Option<(ScratchWriter, Last)> {
        None
    }

    /// Does nothing.
    #[inline]
    pub fn end_with(&mut self, writer: ScratchWriter, last: Last) {
        let _ = (writer, last);
    }
}

/// A call whose body is not a closure.
pub type MayReturn<'a, const CRATE: u64> = Call<'a, CRATE>;

/// A call whose result need not be seen.
pub type Scope<'a, const CRATE: u64> = Call<'a, CRATE>;
