//! A VFS for SQLite whose N-th call of a kind fails, once or for ever.
//!
//! The usual VFS stays in charge: a file that it has opened gets a table of methods, and some of them first check
//! whether they are to fail. A fault is armed for one thread and counted there.
#![allow(unsafe_code, reason = "a VFS is a table of C functions")]
#![allow(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, reason = "see `Table`")]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, Once, PoisonError};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

/// Kinds of calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Open,
    Read,
    Write,
    Full,
    Sync,
    Truncate,
    Lock,
    Map,
    Delete,
}

impl Op {
    pub(crate) const ALL: [Self; 9] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Full,
        Self::Sync,
        Self::Truncate,
        Self::Lock,
        Self::Map,
        Self::Delete,
    ];

    fn code(self) -> c_int {
        match self {
            Self::Open => ffi::SQLITE_CANTOPEN,
            Self::Read => ffi::SQLITE_IOERR_READ,
            Self::Write => ffi::SQLITE_IOERR_WRITE,
            Self::Full => ffi::SQLITE_FULL,
            Self::Sync => ffi::SQLITE_IOERR_FSYNC,
            Self::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Self::Lock => ffi::SQLITE_IOERR_LOCK,
            Self::Map => ffi::SQLITE_IOERR_SHMMAP,
            Self::Delete => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

/// The duration of a fault: one call, or every call from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    Once,
    ForEver,
}

#[derive(Debug, Clone, Copy)]
struct Fault {
    op: Op,
    lasting: Lasting,
    /// The calls that still pass.
    left: u32,
    struck: u32,
}

thread_local!(static FAULT: Cell<Option<Fault>> = const { Cell::new(None) });

/// Makes the `nth` call of this kind on this thread fail.
pub(crate) fn arm(op: Op, nth: u32, lasting: Lasting) {
    FAULT.set(Some(Fault { op, lasting, left: nth - 1, struck: 0 }));
}

/// Ends the fault. Returns how often it struck.
pub(crate) fn disarm() -> u32 {
    FAULT.take().map_or(0, |fault| fault.struck)
}

fn strikes(ops: &[Op]) -> Option<c_int> {
    let mut fault = FAULT.get().filter(|fault| ops.contains(&fault.op))?;
    let is_struck = if fault.left > 0 {
        fault.left -= 1;
        false
    } else {
        fault.struck += 1;
        fault.lasting == Lasting::ForEver || fault.struck == 1
    };
    FAULT.set(Some(fault));
    is_struck.then(|| fault.op.code())
}

/// A file's methods as SQLite sees them, and behind them the real ones. SQLite passes to a method a file that it
/// opened through `open` below, whose `pMethods` therefore points to the first field of a `Table` that is never freed;
/// the arguments are passed on unchanged.
#[repr(C)]
struct Table {
    seen: sqlite3_io_methods,
    real: *const sqlite3_io_methods,
}

// SAFETY: the pointer is to one of SQLite's constant tables.
unsafe impl Sync for Table {}

static TABLES: Mutex<Vec<&'static Table>> = Mutex::new(Vec::new());
static REAL: Mutex<Option<usize>> = Mutex::new(None);

/// Puts its functions into the VFS that the recorder names for its stores. Files that were opened earlier cannot be made to
/// fail.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| unsafe {
        let recorders = find_recorders();
        *REAL.lock().unwrap() = Some(Box::into_raw(Box::new(*recorders)) as usize);
        (*recorders).xOpen = Some(open);
        (*recorders).xDelete = Some(delete);
    });
}

/// Returns the recorder's VFS, which is registered when the first store is opened.
fn find_recorders() -> *mut sqlite3_vfs {
    let folder = tempfile::tempdir().unwrap();
    let options = monitor_runtime::store::StoreOptions::file(folder.path().join("store.db"));
    drop(monitor_runtime::store::SqliteStore::open(&options, crate::rows::process(1), 0).unwrap());
    let mut vfs = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    while let Some(found) = unsafe { vfs.as_ref() } {
        let name = unsafe { std::ffi::CStr::from_ptr(found.zName) };
        if name.to_bytes().starts_with(b"monitored-") {
            return vfs;
        }
        vfs = found.pNext;
    }
    unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) }
}

fn real_vfs() -> *mut sqlite3_vfs {
    REAL.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(0) as *mut sqlite3_vfs
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    answer: *mut c_int,
) -> c_int {
    unsafe {
        if let Some(code) = strikes(&[Op::Open]) {
            (*file).pMethods = std::ptr::null();
            return code;
        }
        let real = real_vfs();
        let code = (*real).xOpen.unwrap()(real, name, file, flags, answer);
        if !(*file).pMethods.is_null() {
            (*file).pMethods = &raw const table_for((*file).pMethods).seen;
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    if let Some(code) = strikes(&[Op::Delete]) {
        return code;
    }
    let real = real_vfs();
    unsafe { (*real).xDelete.unwrap()(real, name, sync) }
}

fn table_for(real: *const sqlite3_io_methods) -> &'static Table {
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(table) = tables.iter().find(|table| table.real == real) {
        return table;
    }
    let mut seen = unsafe { *real };
    seen.xRead = Some(read);
    seen.xWrite = Some(write);
    seen.xTruncate = Some(truncate);
    seen.xSync = Some(sync);
    seen.xLock = Some(lock);
    if seen.iVersion >= 2 && seen.xShmMap.is_some() {
        seen.xShmMap = Some(shm_map);
        seen.xShmLock = Some(shm_lock);
    }
    let table: &'static Table = Box::leak(Box::new(Table { seen, real }));
    tables.push(table);
    table
}

unsafe fn real(file: *mut sqlite3_file) -> &'static sqlite3_io_methods {
    unsafe {
        let table = (*file).pMethods.cast::<Table>();
        &*(*table).real
    }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    size: c_int,
    at: sqlite3_int64,
) -> c_int {
    strikes(&[Op::Read]).unwrap_or_else(|| unsafe { real(file).xRead.unwrap()(file, into, size, at) })
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    size: c_int,
    at: sqlite3_int64,
) -> c_int {
    strikes(&[Op::Write, Op::Full])
        .unwrap_or_else(|| unsafe { real(file).xWrite.unwrap()(file, from, size, at) })
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    strikes(&[Op::Truncate]).unwrap_or_else(|| unsafe { real(file).xTruncate.unwrap()(file, size) })
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    strikes(&[Op::Sync]).unwrap_or_else(|| unsafe { real(file).xSync.unwrap()(file, flags) })
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    strikes(&[Op::Lock]).unwrap_or_else(|| unsafe { real(file).xLock.unwrap()(file, level) })
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    answer: *mut *mut c_void,
) -> c_int {
    strikes(&[Op::Map])
        .unwrap_or_else(|| unsafe { real(file).xShmMap.unwrap()(file, region, size, extend, answer) })
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // Taking a lock can fail, releasing one cannot.
    let taken = flags & ffi::SQLITE_SHM_LOCK != 0;
    let struck = taken.then(|| strikes(&[Op::Lock])).flatten();
    struck.unwrap_or_else(|| unsafe { real(file).xShmLock.unwrap()(file, offset, count, flags) })
}
