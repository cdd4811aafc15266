//! The tables of functions by which SQLite calls this VFS.
//!
//! Takes SQLite's pointers and numbers; gives the result of the file's method. Nothing else happens here.
#![allow(unsafe_code, reason = "a VFS is a table of C functions")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a method takes a file and a place for its answer together"
)]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::null_mut;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::file::OpenFile;
use super::locks;

/// SQLite's own VFS.
const USUAL: &CStr = c"unix";

/// The file as SQLite sees it. SQLite supplies the memory, and asks for `size_of` of it.
#[repr(C)]
struct SqliteFile {
    base: sqlite3_file,
    /// Never null while `base.pMethods` points to `METHODS`.
    file: *mut OpenFile,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Version 3 adds mapped reads, which no connection of ours uses.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(map),
    xShmLock: Some(lock_index),
    xShmBarrier: Some(barrier),
    xShmUnmap: Some(unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Registers the VFS beside the others of this SQLite, whose default stays the program's. Returns its name, which no other
/// copy of this code has; `None` if the system has no locks of open files.
pub(super) fn register() -> Option<&'static str> {
    if !has_file_locks() {
        return None;
    }
    let name = CString::new(format!("monitored-{:p}", &raw const METHODS)).ok()?;
    let name: &'static CStr = Box::leak(name.into_boxed_c_str());
    // SAFETY: the name is a C string, and SQLite owns what it returns.
    let usual = unsafe { ffi::sqlite3_vfs_find(USUAL.as_ptr()) };
    if usual.is_null() {
        return None;
    }
    // SAFETY: it is not null, and the tables of SQLite's own VFS are never freed.
    let mut ours: sqlite3_vfs = unsafe { *usual };
    ours.szOsFile = ours.szOsFile.max(c_int::try_from(size_of::<SqliteFile>()).ok()?);
    ours.zName = name.as_ptr();
    ours.pNext = null_mut();
    ours.xOpen = Some(open);
    #[expect(clippy::disallowed_methods, reason = "it adds a name that nobody else uses, and no default")]
    // SAFETY: the table lives for ever, and its functions are SQLite's own or keep to SQLite's rules.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0) };
    (code == ffi::SQLITE_OK).then_some(name.to_str().ok()?)
}

/// Returns true if the system locks open files.
fn has_file_locks() -> bool {
    use std::os::fd::FromRawFd as _;
    // SAFETY: takes a C string and a flag.
    let number = unsafe { libc::memfd_create(c"monitored".as_ptr(), libc::MFD_CLOEXEC) };
    if number < 0 {
        return false;
    }
    // SAFETY: the descriptor was made above and belongs to nobody else.
    let file = unsafe { std::fs::File::from_raw_fd(number) };
    locks::find_other(&file, (0, 1)).is_some()
}

/// Returns the file behind SQLite's pointer.
///
/// # Safety
/// The pointer has to be one that `open` has filled, and no other reference to the file may be in use. SQLite never uses a
/// file on two threads at once.
unsafe fn file<'a>(seen: *mut sqlite3_file) -> &'a mut OpenFile {
    // SAFETY: see above.
    unsafe { &mut *(*seen.cast::<SqliteFile>()).file }
}

fn code(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(ffi::SQLITE_OK)
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    seen: *mut sqlite3_file,
    flags: c_int,
    answer: *mut c_int,
) -> c_int {
    const OURS: c_int = ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL;
    if name.is_null() || flags & OURS == 0 {
        // SAFETY: the arguments are passed on; SQLite's own VFS is never unregistered.
        return unsafe {
            let usual = ffi::sqlite3_vfs_find(USUAL.as_ptr());
            match usual.as_ref().and_then(|usual| usual.xOpen) {
                Some(open) => open(usual, name, seen, flags, answer),
                None => ffi::SQLITE_CANTOPEN,
            }
        };
    }
    let _ = vfs;
    // SAFETY: SQLite supplies memory of the size that the VFS asks for, and a C string.
    unsafe {
        (*seen).pMethods = std::ptr::null();
        let path = Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()));
        match OpenFile::open(path, flags) {
            Ok((file, is_read_only)) => {
                if let Some(answer) = answer.as_mut() {
                    let read_only = flags & !ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_READONLY;
                    *answer = if is_read_only { read_only } else { flags };
                }
                (*seen.cast::<SqliteFile>()).file = Box::into_raw(Box::new(file));
                (*seen).pMethods = &raw const METHODS;
                ffi::SQLITE_OK
            }
            Err(code) => code,
        }
    }
}

unsafe extern "C" fn close(seen: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, and `open` made the box.
    unsafe {
        drop(Box::from_raw((*seen.cast::<SqliteFile>()).file));
        (*seen).pMethods = std::ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    seen: *mut sqlite3_file,
    into: *mut c_void,
    size: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite supplies this many bytes, which it has made readable and writable.
    let (file, into) = unsafe {
        let size = usize::try_from(size).unwrap_or(0);
        (file(seen), std::slice::from_raw_parts_mut(into.cast::<u8>(), size))
    };
    code(file.read(into, at.cast_unsigned()))
}

unsafe extern "C" fn write(
    seen: *mut sqlite3_file,
    from: *const c_void,
    size: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite supplies this many bytes.
    let (file, from) = unsafe {
        (file(seen), std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(size).unwrap_or(0)))
    };
    code(file.write(from, at.cast_unsigned()))
}

unsafe extern "C" fn truncate(seen: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    code(unsafe { file(seen) }.truncate(size.cast_unsigned()))
}

unsafe extern "C" fn sync(seen: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { file(seen) }.sync(flags & ffi::SQLITE_SYNC_DATAONLY != 0))
}

unsafe extern "C" fn size(seen: *mut sqlite3_file, answer: *mut sqlite3_int64) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    code(unsafe { file(seen).bytes().map(|bytes| *answer = bytes.cast_signed()) })
}

unsafe extern "C" fn lock(seen: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { file(seen) }.lock(level))
}

unsafe extern "C" fn unlock(seen: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { file(seen) }.unlock(level))
}

unsafe extern "C" fn check_reserved(seen: *mut sqlite3_file, answer: *mut c_int) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    code(unsafe { file(seen).is_reserved().map(|is_reserved| *answer = c_int::from(is_reserved)) })
}

unsafe extern "C" fn control(seen: *mut sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: an open file.
    let file = unsafe { file(seen) };
    let answer = argument.cast::<c_int>();
    match what {
        // SAFETY: the argument of these questions is an int.
        ffi::SQLITE_FCNTL_LOCKSTATE => unsafe { *answer = file.level() },
        // SAFETY: as above.
        ffi::SQLITE_FCNTL_HAS_MOVED => unsafe { *answer = c_int::from(file.has_moved()) },
        // SAFETY: as above; a negative number asks.
        ffi::SQLITE_FCNTL_PERSIST_WAL => unsafe {
            if *answer < 0 {
                *answer = c_int::from(file.keeps_log);
            } else {
                file.keeps_log = *answer != 0;
            }
        },
        _ => return ffi::SQLITE_NOTFOUND,
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn characteristics(_: *mut sqlite3_file) -> c_int {
    // A write that a power failure interrupts does not change the bytes beside it. SQLite's own VFS reports the same.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn map(
    seen: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    answer: *mut *mut c_void,
) -> c_int {
    let (Ok(region), Ok(size @ 1..)) = (usize::try_from(region), usize::try_from(size)) else {
        return ffi::SQLITE_MISUSE;
    };
    // SAFETY: an open file, and a place for the answer.
    unsafe {
        let mapped = file(seen).map(region, size, extend != 0);
        *answer = mapped.unwrap_or(null_mut());
        code(mapped.map(|_| ()))
    }
}

unsafe extern "C" fn lock_index(seen: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: an open file.
    match unsafe { file(seen) }.index() {
        Some(index) => code(index.lock(first, count, flags)),
        None => ffi::SQLITE_IOERR_SHMLOCK,
    }
}

unsafe extern "C" fn barrier(_: *mut sqlite3_file) {
    // Orders accesses to the index, whose other users are in other processes.
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn unmap(seen: *mut sqlite3_file, remove: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe { file(seen) }.unmap(remove != 0);
    ffi::SQLITE_OK
}
