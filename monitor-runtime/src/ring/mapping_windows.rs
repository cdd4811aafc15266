//! A file that is mapped into memory, so that its content survives the death of the process.
//!
//! Takes a folder, a name and a bound; gives zeroed blocks of atomic words, or a refusal with its reason, after which
//! memory comes from the heap. The file lies on a disk of this machine, because the system has no file system in
//! memory. It is marked as temporary, so that the system writes it to the disk only where memory is short, and as
//! sparse, so that it takes no more room there than is used. A block belongs to one owner and stays mapped for the life
//! of the process. The file does not know what blocks hold, and keeps no handle open.
#![allow(unsafe_code, reason = "mapping a file has no safe counterpart in the standard library")]
#![allow(clippy::disallowed_methods, reason = "ring files are no store's files")]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::platform::file_system::{file_identity, free_bytes, is_local, make_private_folder};
use crate::platform::own_file;
use crate::ring::layout::{DONE, Kind, MAGIC, PAGE_BYTES, PAGE_WORDS, block, head};

#[link(name = "kernel32")]
unsafe extern "system" {
    fn CreateFileMappingW(
        file: *mut c_void,
        attributes: *const c_void,
        protection: u32,
        bytes_high: u32,
        bytes_low: u32,
        name: *const u16,
    ) -> *mut c_void;
    fn MapViewOfFile(
        mapping: *mut c_void,
        access: u32,
        offset_high: u32,
        offset_low: u32,
        bytes: usize,
    ) -> *mut c_void;
    fn DeviceIoControl(
        device: *mut c_void,
        code: u32,
        input: *const c_void,
        input_bytes: u32,
        output: *mut c_void,
        output_bytes: u32,
        returned: *mut u32,
        overlapped: *mut c_void,
    ) -> i32;
}

/// A file that is deleted soon, whose content need not be written to the disk, and that is not searched.
const TEMPORARY: u32 = 0x0100 | 0x2000;
/// Pages that can be read and written.
const READ_WRITE: u32 = 4;
/// A view that can be read and written.
const VIEW_WRITE: u32 = 2;
/// Makes a file take room only for the parts that were written.
const SET_SPARSE: u32 = 0x0009_00c4;

/// The mapped file of this process.
#[derive(Debug)]
pub(crate) struct Mapping {
    words: &'static [AtomicU64],
    path: PathBuf,
    identity: (u64, u64),
    /// Bytes that are handed out.
    taken: Mutex<usize>,
}

impl Mapping {
    /// Creates a file in a folder of this user's, and maps as much of it as may ever be used.
    ///
    /// # Errors
    /// The reason why there is no file, as a sentence.
    pub(crate) fn create(folder: &Path, name: &str, bytes_max: usize) -> Result<Self, String> {
        let path = folder.join(name);
        let failed = |what: &str, error: &std::io::Error| format!("{what} {}: {error}", path.display());
        make_private_folder(folder).map_err(|error| failed("cannot make the folder of", &error))?;
        if !is_local(folder) {
            return Err(format!("{} lies on no disk of this machine", folder.display()));
        }
        if free_bytes(folder).is_some_and(|free| free < bytes_max as u64) {
            return Err(format!("the disk of {} has no room for {bytes_max} bytes", folder.display()));
        }
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).attributes(TEMPORARY).open(&path);
        let file = file.map_err(|error| failed("cannot make", &error))?;
        let made = Self::map(&file, &path, bytes_max.next_multiple_of(PAGE_BYTES));
        drop(file);
        made.map_err(|error| {
            let _ = std::fs::remove_file(&path);
            failed("cannot map", &error)
        })
    }

    fn map(file: &File, path: &Path, bytes: usize) -> std::io::Result<Self> {
        // The lock is held until the file is mapped, because a recoverer takes a file that is not locked, and whose head is
        // not published, for one of a dead process.
        own_file::lock(file)?;
        set_sparse(file);
        file.set_len(bytes as u64)?;
        let (high, low) = ((bytes as u64 >> 32) as u32, bytes as u32);
        let (no_attributes, no_name) = (std::ptr::null(), std::ptr::null());
        // SAFETY: the file is open for reading and writing; the other arguments are numbers, or absent.
        let mapping = unsafe {
            CreateFileMappingW(file.as_raw_handle(), no_attributes, READ_WRITE, high, low, no_name)
        };
        if mapping.is_null() {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the handle was made just now and belongs to nobody else. The view keeps the mapping when it is closed.
        let mapping = unsafe { OwnedHandle::from_raw_handle(mapping) };
        // SAFETY: the system chooses the address of the new view, so nothing of ours lies there.
        let memory = unsafe { MapViewOfFile(mapping.as_raw_handle(), VIEW_WRITE, 0, 0, bytes) };
        if memory.is_null() {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the view is page-aligned, holds this many words and is never unmapped, and any bits are a value of an
        // atomic word.
        let words = unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), bytes / 8) };
        words[head::END].store(PAGE_BYTES as u64, Ordering::Relaxed);
        let identity = file_identity(path).ok_or_else(std::io::Error::last_os_error)?;
        Ok(Self { words, path: path.to_owned(), identity, taken: Mutex::new(PAGE_BYTES) })
    }

    /// Returns the head page.
    pub(crate) fn head(&self) -> &'static [AtomicU64] {
        &self.words[..PAGE_WORDS]
    }

    /// Publishes the file: from now on other processes can read it, because the head page is complete.
    pub(crate) fn declare(&self) {
        // Publishes the head page. Its partner is in another process: a reader of the file looks at this word first.
        self.words[head::MAGIC].store(MAGIC, Ordering::Release);
    }

    /// Takes a zeroed block of this many bytes, whole pages, and writes its header. Returns `None` at the bound.
    pub(crate) fn take(&self, kind: Kind, id: u32, bytes: usize) -> Option<&'static [AtomicU64]> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *taken;
        let end = start.checked_add(bytes).filter(|end| *end <= self.words.len() * 8)?;
        *taken = end;
        let words = &self.words[start / 8..end / 8];
        words[block::BYTES].store(bytes as u64, Ordering::Relaxed);
        words[block::KIND].store(kind as u64 | u64::from(id) << 32, Ordering::Relaxed);
        // Publishes the block: a reader of the file walks the blocks up to this word.
        self.words[head::END].store(end as u64, Ordering::Release);
        Some(words)
    }

    /// Takes a block, all of which may be touched at once, because the system finds room for a page when it is touched.
    pub(crate) fn take_in_part(
        &self,
        kind: Kind,
        id: u32,
        bytes: usize,
        _: usize,
    ) -> Option<(&'static [AtomicU64], usize)> {
        self.take(kind, id, bytes).map(|words| (words, bytes))
    }

    /// Returns true, because all of a block may be touched.
    #[expect(clippy::unused_self, reason = "other systems reserve it in their file")]
    pub(crate) fn reserve_rest(&self, _: &[AtomicU64]) -> bool {
        true
    }

    /// Does nothing, because nothing has to be reserved.
    #[expect(clippy::unused_self, reason = "other systems reserve it in their file")]
    pub(crate) fn reserve_ahead(&self, _: usize) {}

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Marks the file as one that the store has all of, and removes it. Where the system keeps a file that is mapped, the
    /// next recoverer removes it by its mark.
    pub(crate) fn remove(&self) {
        // Observed by a recoverer in another process, which reads the head under its lock.
        self.words[head::MAGIC].store(DONE, Ordering::Release);
        if file_identity(&self.path) == Some(self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Asks for a file that takes room only for the parts that were written. A file system without such files refuses
/// without harm.
fn set_sparse(file: &File) {
    let nothing = std::ptr::null_mut();
    let mut returned = 0;
    // SAFETY: the file is open, the number is valid for writing, and the request takes and gives no data.
    let _ = unsafe {
        DeviceIoControl(file.as_raw_handle(), SET_SPARSE, nothing, 0, nothing, 0, &raw mut returned, nothing)
    };
}

/// Does nothing, because there are no forks.
pub(crate) fn leave_to_parent() {}
