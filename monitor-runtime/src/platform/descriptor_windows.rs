//! A file that is known by its identity.
//!
//! Takes a file; gives it for as long as it is open, because programs do not close handles that they have not opened.
//! Also returns whether a name still leads to the file.

use std::fs::{File, Metadata};
use std::path::Path;

use super::file_system::{Identity, read_identity};
use super::system::identity_of;

/// An open file, known by volume and index.
#[derive(Debug)]
pub(crate) struct KnownFile {
    file: File,
    identity: Identity,
}

impl KnownFile {
    /// Remembers a file that was opened just now.
    ///
    /// # Errors
    /// When the identity of the file cannot be read.
    pub(crate) fn new(file: File) -> std::io::Result<Self> {
        let identity = identity_of(&file).ok_or_else(std::io::Error::last_os_error)?;
        Ok(Self { file, identity })
    }

    /// Returns the file and its state.
    pub(crate) fn get(&self) -> Option<(&File, Metadata)> {
        Some((&self.file, self.file.metadata().ok()?))
    }

    /// Returns true if the name leads to this file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        read_identity(path) == Some(self.identity)
    }
}
