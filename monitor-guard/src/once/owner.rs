//! The mark of a living process: a file that it holds locked.
//!
//! Takes a folder; gives this process a name, and finds out whether the process of a name is alive. The system drops
//! the lock however the process ends. A process id would not do: it is used again, and means something else in another
//! container. All functions are called within a transaction that writes, of which there is one at a time, so nobody
//! looks at a file between its creation and its lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// The mark of this process.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) name: String,
    /// The open file, which holds the lock.
    _file: File,
}

/// The number of files of ended processes that are removed at a time.
const REMOVED_MAX: usize = 1000;

impl Owner {
    /// Makes a mark in this folder, and removes those of processes that have ended.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        for entry in std::fs::read_dir(folder)?.flatten().take(REMOVED_MAX) {
            remove_if_dead(&entry.path());
        }
        let half = || RandomState::new().build_hasher().finish();
        let name = format!("{:016x}{:016x}", half(), half());
        let file = OpenOptions::new().create_new(true).write(true).open(path(folder, &name))?;
        file.lock()?;
        Ok(Self { name, _file: file })
    }
}

/// Returns true unless it is certain that the process of this name has ended.
pub(super) fn is_alive(folder: &Path, name: &str) -> bool {
    !remove_if_dead(&path(folder, name))
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

/// Removes the file of a process that has ended. Returns true if the process has ended.
fn remove_if_dead(path: &Path) -> bool {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_owner_lives_until_its_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let first = Owner::new(folder).unwrap();
        let second = Owner::new(folder).unwrap();
        assert_ne!(first.name, second.name);
        assert!(is_alive(folder, &first.name) && is_alive(folder, &second.name));
        let name = first.name.clone();
        drop(first);
        assert!(!is_alive(folder, &name) && is_alive(folder, &second.name));
        assert!(!is_alive(folder, &name), "a process that ended stays ended");
        assert!(!path(folder, &name).exists());
    }
}
