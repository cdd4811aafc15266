//! The file of rings where there is none: its type has no value, and every request to make one is refused with the reason.

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use crate::ring::layout::Kind;

/// A mapped file, of which there is none.
#[derive(Debug)]
pub(crate) struct Mapping(Infallible);

impl Mapping {
    /// Refuses to make a file.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub(crate) fn create(_: &Path, _: &str, _: usize) -> Result<Self, String> {
        Err(crate::platform::missing_ring_files().unwrap_or("there is no file of rings").to_owned())
    }

    pub(crate) fn head(&self) -> &'static [AtomicU64] {
        match self.0 {}
    }

    pub(crate) fn declare(&self) {
        match self.0 {}
    }

    pub(crate) fn take(&self, _: Kind, _: u32, _: usize) -> Option<&'static [AtomicU64]> {
        match self.0 {}
    }

    pub(crate) fn take_in_part(
        &self,
        _: Kind,
        _: u32,
        _: usize,
        _: usize,
    ) -> Option<(&'static [AtomicU64], usize)> {
        match self.0 {}
    }

    pub(crate) fn reserve_rest(&self, _: &[AtomicU64]) -> bool {
        match self.0 {}
    }

    pub(crate) fn reserve_ahead(&self, _: usize) {
        match self.0 {}
    }

    pub(crate) fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn remove(&self) {
        match self.0 {}
    }
}

/// Does nothing, because nothing is mapped.
pub(crate) fn leave_to_parent() {}
