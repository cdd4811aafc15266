//! A file of a store: the database, its log, or a rollback journal.
//!
//! Takes a path and SQLite's flags; gives what SQLite reads, writes and locks. Each use begins with a look at the
//! descriptor. The file does not know what a page is.
#![allow(
    clippy::disallowed_methods,
    reason = "the file is locked as an open file, whose locks no other descriptor drops"
)]

use std::ffi::{OsStr, c_int, c_void};
use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::ffi;

use super::TAKEN;
use super::index::{self, Index};
use super::locks;
use crate::platform::descriptor::KnownFile;
use crate::platform::file_system::effective_user;

/// The rights of a file whose database cannot be seen: the owner's only.
const MODE: u32 = 0o600;

/// An open file of a store.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: KnownFile,
    path: PathBuf,
    level: c_int,
    index: Option<Index>,
    /// True until the folder of a file that may be new has been synced.
    syncs_folder: bool,
    /// True if the log stays when the last connection closes.
    pub(super) keeps_log: bool,
}

impl OpenFile {
    /// Opens a file. Returns it, and true if it can only be read.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn open(path: &Path, flags: c_int) -> Result<(Self, bool), c_int> {
        let has = |flag: c_int| flags & flag != 0;
        let is_companion = !has(ffi::SQLITE_OPEN_MAIN_DB);
        let database = find_database(path).filter(|_| is_companion);
        let mode = database.as_ref().map_or(MODE, |found| found.mode() & 0o777);
        let open = |write: bool| {
            let mut options = OpenOptions::new();
            options.read(true).write(write).mode(mode);
            options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
            options.create(write && has(ffi::SQLITE_OPEN_CREATE));
            options.create_new(write && has(ffi::SQLITE_OPEN_EXCLUSIVE) && has(ffi::SQLITE_OPEN_CREATE));
            options.open(path)
        };
        let writes = has(ffi::SQLITE_OPEN_READWRITE);
        let (opened, writes) = match open(writes) {
            Err(error) if writes && error.kind() != ErrorKind::IsADirectory => (open(false), false),
            opened => (opened, writes),
        };
        let file = opened.and_then(KnownFile::new).map_err(|_| ffi::SQLITE_CANTOPEN)?;
        if let (Some(database), 0) = (database, effective_user()) {
            let (file, _) = file.get().ok_or(TAKEN)?;
            let _ = std::os::unix::fs::fchown(file, Some(database.uid()), Some(database.gid()));
        }
        let syncs_folder = is_companion && has(ffi::SQLITE_OPEN_CREATE);
        let path = path.to_owned();
        Ok((Self { file, path, level: 0, index: None, syncs_folder, keeps_log: false }, !writes))
    }

    fn file(&self) -> Result<(&File, Metadata), c_int> {
        self.file.get().ok_or(TAKEN)
    }

    /// Reads from a place on. Beyond the end there are zeros.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn read(&self, mut into: &mut [u8], mut at: u64) -> Result<(), c_int> {
        let (file, _) = self.file()?;
        while !into.is_empty() {
            match file.read_at(into, at) {
                Ok(0) => {
                    into.fill(0);
                    return Err(ffi::SQLITE_IOERR_SHORT_READ);
                }
                Ok(read) => {
                    at += read as u64;
                    into = into.get_mut(read..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(ffi::SQLITE_IOERR_READ),
            }
        }
        Ok(())
    }

    /// Writes from a place on.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn write(&self, from: &[u8], at: u64) -> Result<(), c_int> {
        let (file, _) = self.file()?;
        file.write_all_at(from, at).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero => ffi::SQLITE_FULL,
            _ => ffi::SQLITE_IOERR_WRITE,
        })
    }

    /// Cuts or lengthens the file.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn truncate(&self, bytes: u64) -> Result<(), c_int> {
        self.file()?.0.set_len(bytes).map_err(|_| ffi::SQLITE_IOERR_TRUNCATE)
    }

    /// Waits until the disk has the content, and the name of a new file.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn sync(&mut self, content_only: bool) -> Result<(), c_int> {
        let (file, _) = self.file()?;
        let synced = if content_only { file.sync_data() } else { file.sync_all() };
        synced.map_err(|_| ffi::SQLITE_IOERR_FSYNC)?;
        if self.syncs_folder {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            // Some systems do not open folders, and then there is nothing to be done.
            if let Ok(folder) = File::open(folder).and_then(KnownFile::new)
                && let Some((folder, _)) = folder.get()
            {
                let _ = folder.sync_all();
            }
            self.syncs_folder = false;
        }
        Ok(())
    }

    /// Returns the size in bytes.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn bytes(&self) -> Result<u64, c_int> {
        Ok(self.file()?.1.len())
    }

    /// Raises the state of the database.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn lock(&mut self, level: c_int) -> Result<(), c_int> {
        let (file, _) = self.file.get().ok_or(TAKEN)?;
        locks::raise(file, &mut self.level, level)
    }

    /// Lowers the state of the database.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn unlock(&mut self, level: c_int) -> Result<(), c_int> {
        let (file, _) = self.file.get().ok_or(TAKEN)?;
        locks::lower(file, &mut self.level, level)
    }

    /// Returns true if somebody is about to write to the database.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn is_reserved(&self) -> Result<bool, c_int> {
        if self.level >= ffi::SQLITE_LOCK_RESERVED {
            return Ok(true);
        }
        locks::is_reserved(self.file()?.0)
    }

    /// Returns the state of the database as this connection has it.
    pub(super) fn level(&self) -> c_int {
        self.level
    }

    /// Returns true if the file is not at its path any more.
    pub(super) fn has_moved(&self) -> bool {
        !self.file.is_at(&self.path)
    }

    /// Returns the address of a region of the log's index.
    ///
    /// # Errors
    /// SQLite's result code.
    pub(super) fn map(&mut self, region: usize, bytes: usize, extend: bool) -> Result<*mut c_void, c_int> {
        let mode = self.file()?.1.mode() & 0o777;
        let index = match &mut self.index {
            Some(index) => index,
            empty => empty.insert(Index::open(index::path_for(&self.path), mode)?),
        };
        index.map(region, bytes, extend)
    }

    /// Returns the log's index, which is open.
    pub(super) fn index(&mut self) -> Option<&mut Index> {
        self.index.as_mut()
    }

    /// Closes the log's index, and removes its file if nobody else uses it.
    pub(super) fn unmap(&mut self, remove: bool) {
        if let Some(index) = self.index.take() {
            index.close(remove);
        }
    }
}

/// Returns the state of the database that a log or journal belongs to.
fn find_database(companion: &Path) -> Option<Metadata> {
    let name = companion.as_os_str().as_bytes();
    let dash = name.iter().rposition(|byte| *byte == b'-')?;
    std::fs::symlink_metadata(OsStr::from_bytes(name.get(..dash)?)).ok()
}
