//! A file on tmpfs that is mapped into memory, so that its content survives the death of the process.
//!
//! Takes a folder, a name and a bound; gives zeroed blocks of atomic words, or a refusal with its reason, after which
//! memory comes from the heap. Always holds: no page is touched before the file system has reserved it, because a page
//! that the file system cannot supply ends the process; a block belongs to one owner and stays mapped for the life of
//! the process; the child of a fork has other pages at these addresses. The file does not know what blocks hold, and
//! keeps no descriptor open.
#![allow(unsafe_code, reason = "mapping a file has no safe counterpart in the standard library")]
#![allow(clippy::disallowed_methods, reason = "ring files are no store's files")]

use std::fs::{File, OpenOptions, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::platform::own_file::lock;
use crate::ring::layout::{Kind, MAGIC, PAGE_BYTES, PAGE_WORDS, block, head};

/// The mapped file of this process.
#[derive(Debug)]
pub(crate) struct Mapping {
    words: &'static [AtomicU64],
    path: PathBuf,
    identity: (u64, u64),
    /// Bytes that are handed out; and bytes that are reserved, or that belong to a block whose owner reserves them
    /// itself.
    taken: Mutex<(usize, usize)>,
}

impl Mapping {
    /// Creates a file that only its owner can read, and maps as much of it as may ever be used. Pages are reserved when
    /// blocks are taken.
    ///
    /// # Errors
    /// The reason why there is no file, as a sentence.
    pub(crate) fn create(folder: &Path, name: &str, bytes_max: usize) -> Result<Self, String> {
        let path = folder.join(name);
        let failed = |what: &str, error: &std::io::Error| format!("{what} {}: {error}", path.display());
        crate::platform::file_system::claim_own_folder(folder)?;
        if !crate::platform::file_system::is_in_memory(folder) {
            return Err(format!("{} is no file system in memory", folder.display()));
        }
        // The kernel answers a file that grows past this limit with a signal that ends the process.
        if file_size_limit() < bytes_max as u64 {
            return Err("the limit on the size of files (ulimit -f) is too low".to_owned());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(|error| failed("cannot make", &error))?;
        let made = Self::map(&file, &path, bytes_max.next_multiple_of(PAGE_BYTES));
        made.map_err(|error| {
            let _ = std::fs::remove_file(&path);
            failed("cannot map", &error)
        })
    }

    fn map(file: &File, path: &Path, bytes: usize) -> std::io::Result<Self> {
        // The lock is held until the file is mapped, because a recoverer takes a file that is neither locked nor
        // mapped for one of a dead process.
        lock(file)?;
        // The umask may have removed even the owner's permissions.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.set_len(bytes as u64)?;
        reserve(file, 0, FIRST_RESERVE)?;
        let found = file.metadata()?;
        // SAFETY: the kernel chooses the address of the new mapping, so nothing of ours lies there.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the range was mapped just now. The advice keeps the rings out of core files; its failure does no
        // harm.
        unsafe { libc::madvise(memory, bytes, libc::MADV_DONTDUMP) };
        MAPPED.0.store(memory as usize, Ordering::Relaxed);
        MAPPED.1.store(bytes, Ordering::Relaxed);
        // SAFETY: the mapping is page-aligned, holds this many words and is never unmapped, and any bits are a value of
        // an atomic word. Pages that are not reserved are not touched: `take` hands out reserved ones only.
        let words = unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), bytes / 8) };
        words[head::END].store(PAGE_BYTES as u64, Ordering::Relaxed);
        let taken = Mutex::new((PAGE_BYTES, FIRST_RESERVE));
        Ok(Self { words, path: path.to_owned(), identity: (found.dev(), found.ino()), taken })
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

    /// Takes a zeroed block of this many bytes, whole pages, and writes its header. Returns `None` at the bound, or if
    /// the file system has no room.
    pub(crate) fn take(&self, kind: Kind, id: u32, bytes: usize) -> Option<&'static [AtomicU64]> {
        self.take_in_part(kind, id, bytes, bytes).map(|(words, _)| words)
    }

    /// Takes a block and reserves its first bytes. Returns the block and the number of reserved bytes; the rest must
    /// not be touched before [`Self::reserve_rest`].
    pub(crate) fn take_in_part(
        &self,
        kind: Kind,
        id: u32,
        bytes: usize,
        first: usize,
    ) -> Option<(&'static [AtomicU64], usize)> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, reserved) = *taken;
        let end = start.checked_add(bytes).filter(|end| *end <= self.words.len() * 8)?;
        let needed = start + first.min(bytes);
        if needed > reserved {
            let step = if needed == end { RESERVE_STEP } else { PAGE_BYTES };
            let goal = needed.next_multiple_of(step).min(self.words.len() * 8);
            let file = self.reopen()?;
            // The file system may have room for the block where it has none for the whole step.
            taken.1 = match reserve(&file, reserved, goal - reserved) {
                Ok(()) => goal,
                Err(_) => reserve(&file, reserved, needed - reserved).ok().map(|()| needed)?,
            };
        }
        let ready = taken.1.min(end) - start;
        *taken = (end, taken.1.max(end));
        let words = &self.words[start / 8..end / 8];
        words[block::BYTES].store(bytes as u64, Ordering::Relaxed);
        words[block::KIND].store(kind as u64 | u64::from(id) << 32, Ordering::Relaxed);
        // Publishes the block: a reader of the file walks the blocks up to this word.
        self.words[head::END].store(end as u64, Ordering::Release);
        Some((words, ready))
    }

    /// Reserves the rest of a block that was taken in part. Returns false if the file system has no room.
    pub(crate) fn reserve_rest(&self, block: &[AtomicU64]) -> bool {
        let start = block.as_ptr().addr().saturating_sub(self.words.as_ptr().addr());
        let is_ours = start + block.len() * 8 <= self.words.len() * 8;
        is_ours && self.reopen().is_some_and(|file| reserve(&file, start, block.len() * 8).is_ok())
    }

    /// Reserves this many bytes beyond those in use, if there is room. The collector calls it, because reserving a ring
    /// takes 25 µs, which callers would wait for.
    pub(crate) fn reserve_ahead(&self, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_use, reserved) = *taken;
        let goal = (in_use + bytes).next_multiple_of(RESERVE_STEP).min(self.words.len() * 8);
        if in_use + bytes / 2 > reserved
            && let Some(file) = self.reopen()
            && reserve(&file, reserved, goal - reserved).is_ok()
        {
            taken.1 = goal;
        }
    }

    /// Opens the file again. Returns `None` if another file, or none, lies at its path.
    fn reopen(&self) -> Option<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&self.path)
            .ok()?;
        let found = file.metadata().ok()?;
        ((found.dev(), found.ino()) == self.identity).then_some(file)
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file. The mapped memory stays as it is.
    pub(crate) fn remove(&self) {
        if self.reopen().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Bytes that are reserved at once when the file is created.
const FIRST_RESERVE: usize = 256 * 1024;
/// Bytes that are reserved at a time, because each reservation opens the file.
const RESERVE_STEP: usize = 256 * 1024;

/// Address and length in bytes of this process's mapping.
static MAPPED: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

/// Replaces the parent's file by private pages in the child of a fork. Guards of calls that were under way still hold
/// references to these addresses, and nobody reads what they write there. The function is safe in a fork handler,
/// because it is one system call.
pub(crate) fn leave_to_parent() {
    let (address, bytes) = (MAPPED.0.swap(0, Ordering::Relaxed), MAPPED.1.load(Ordering::Relaxed));
    if address == 0 {
        return;
    }
    // SAFETY: this replaces a mapping of our own, of exactly this range, by zeroed pages. Everything that points there
    // is an atomic word, of which zero is a value.
    unsafe {
        libc::mmap(
            std::ptr::without_provenance_mut(address),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
}

/// Returns the most bytes that a file of this process may have.
fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    match unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } {
        // The type of the limit differs between targets.
        #[allow(clippy::unnecessary_cast, reason = "see above")]
        0 => limit.rlim_cur as u64,
        _ => 0,
    }
}

/// Reserves space in the file: the file system allocates these bytes or refuses.
fn reserve(file: &File, from: usize, bytes: usize) -> std::io::Result<()> {
    // The type has 32 bits on some targets, where a file may be larger.
    let offset = |bytes: usize| {
        libc::off_t::try_from(bytes).map_err(|_| std::io::Error::from(std::io::ErrorKind::FileTooLarge))
    };
    let (from, bytes) = (offset(from)?, offset(bytes)?);
    // SAFETY: takes a descriptor that is open and two numbers.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), from, bytes) } {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error)),
    }
}
