//! A file whose descriptor is checked before each use.
//!
//! A program may close descriptors that it did not open, as daemons do, and then open files of its own, which get the same
//! numbers. Takes a file; gives it as long as its descriptor is still that of the same file, by device and inode. A
//! descriptor that is another file's by now is neither used nor closed.

use std::fs::{File, Metadata};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The first descriptor that is not one of the standard streams.
const FIRST_FREE: i32 = 3;

/// The most descriptors that the child of a fork closes: more than the recorder ever has open at once, which are the
/// database, its log and index, a second connection to them, a folder, and the ring file of a dead process. The rest is
/// for the program's files of keys, of which each has two connections with three descriptors.
const OPEN_MAX: usize = 128;

/// A descriptor that the child of a fork closes, with the device and inode of its file. `number` is the descriptor plus
/// one; 0 marks a free entry, and -1 one that is being filled.
#[derive(Debug)]
struct Known {
    number: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

static OPEN: [Known; OPEN_MAX] =
    [const { Known { number: AtomicI32::new(0), device: AtomicU64::new(0), inode: AtomicU64::new(0) } };
        OPEN_MAX];

/// Closes, in the child of a fork, all descriptors that the recorder had open, unless they are another file's by now. It
/// takes no lock.
#[allow(unsafe_code, reason = "the values that own these descriptors are never used or dropped in the child")]
pub(crate) fn close_all() {
    for known in &OPEN {
        let number = known.number.swap(0, Ordering::Relaxed) - 1;
        // SAFETY: an all-zero state is valid to be filled.
        let mut found: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `found` is valid for writing; a number that is not open is an error.
        if number < FIRST_FREE || unsafe { libc::fstat(number, &raw mut found) } != 0 {
            continue;
        }
        // The types of both numbers differ between targets.
        #[allow(clippy::unnecessary_cast, reason = "see above")]
        let is_it = (known.device.load(Ordering::Relaxed), known.inode.load(Ordering::Relaxed))
            == (found.st_dev as u64, found.st_ino as u64);
        if is_it {
            // SAFETY: the descriptor is a copy of the parent's, which only the recorder's own thread used.
            unsafe { libc::close(number) };
        }
    }
}

/// Notes an open descriptor for [`close_all`]. If all [`OPEN_MAX`] entries are in use, nothing is noted, and the child
/// of a fork keeps the descriptor open.
fn note_open(number: RawFd, (device, inode): (u64, u64)) {
    for known in &OPEN {
        let free = known.number.compare_exchange(0, -1, Ordering::Relaxed, Ordering::Relaxed);
        if free.is_ok() {
            known.device.store(device, Ordering::Relaxed);
            known.inode.store(inode, Ordering::Relaxed);
            return known.number.store(number + 1, Ordering::Release);
        }
    }
}

/// Notes that a descriptor is not the recorder's any more.
fn note_closed(number: RawFd) {
    for known in &OPEN {
        let _ = known.number.compare_exchange(number + 1, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// An open file, known by device and inode.
#[derive(Debug)]
pub(crate) struct KnownFile {
    /// `None` only while it is dropped.
    file: Option<File>,
    device: u64,
    inode: u64,
}

impl KnownFile {
    /// Remembers a file that was opened just now. If the file has the number of a standard stream that the program has
    /// closed, a duplicate is kept instead, and the number is left to the program.
    ///
    /// # Errors
    /// When the metadata of the file cannot be read, or no other descriptor is free.
    pub(crate) fn new(file: File) -> std::io::Result<Self> {
        // A duplicate never has the number of a standard stream.
        let file = if file.as_raw_fd() < FIRST_FREE { file.try_clone()? } else { file };
        let found = file.metadata()?;
        note_open(file.as_raw_fd(), (found.dev(), found.ino()));
        Ok(Self { device: found.dev(), inode: found.ino(), file: Some(file) })
    }

    /// Returns the file and its state; `None` if the program has closed the descriptor, or has put another file there.
    pub(crate) fn get(&self) -> Option<(&File, Metadata)> {
        let file = self.file.as_ref()?;
        let found = file.metadata().ok()?;
        self.matches(&found).then_some((file, found))
    }

    /// Returns true if the name leads to this file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|found| self.matches(&found))
    }

    fn matches(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode)
    }
}

impl Drop for KnownFile {
    fn drop(&mut self) {
        let is_ours = self.get().is_some();
        let file = self.file.take();
        if let Some(file) = &file {
            note_closed(file.as_raw_fd());
        }
        if !is_ours {
            std::mem::forget(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Puts another file in the place of an open descriptor, as a program does that closes descriptors and opens files.
    #[allow(unsafe_code, reason = "dup2 has no safe counterpart")]
    fn replace(known: &KnownFile, by: &File) {
        let taken = known.get().unwrap().0.as_raw_fd();
        // SAFETY: both descriptors are open, and the replaced one belongs to `known`, which is made to expect that.
        assert_eq!(unsafe { libc::dup2(by.as_raw_fd(), taken) }, taken);
    }

    #[test]
    fn a_descriptor_that_is_another_files_is_neither_used_nor_closed() {
        let known = KnownFile::new(tempfile::tempfile().unwrap()).unwrap();
        let number = known.get().unwrap().0.as_raw_fd();
        replace(&known, &tempfile::tempfile().unwrap());
        assert!(known.get().is_none());
        drop(known);
        let link = std::path::PathBuf::from(format!("/proc/self/fd/{number}"));
        let mut still_open = File::options().write(true).open(link).unwrap();
        still_open.write_all(b"the program's").unwrap();
    }

    #[test]
    fn a_file_is_known_by_its_name_until_the_name_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let known = KnownFile::new(File::create(&path).unwrap()).unwrap();
        assert!(known.is_at(&path));
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(!known.is_at(&path));
        std::fs::write(&path, b"").unwrap();
        assert!(!known.is_at(&path) && known.get().is_some());
    }
}
