//! The files of a store as SQLite opens, reads, writes and locks them in this process.
//!
//! SQLite's own VFS differs in two points. It keeps its descriptors to itself, so nobody notices when the program
//! closes one and opens a file of its own under the same number; here each descriptor is looked at before each use. And
//! its locks belong to the process: they are dropped when any code closes any descriptor of the file, and two copies of
//! SQLite in one process do not see each other's locks. Here a lock belongs to the open file (`F_OFD_SETLK`). Other
//! processes see the same locks on the same bytes, whichever VFS they use.
//!
//! Takes a path; gives the name of the VFS to open it with. Temporary files are left to SQLite's own VFS. Where the system
//! has no locks of open files, SQLite's own VFS is named, so that no default of the program's applies.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod file;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod index;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod locks;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod methods;

/// SQLite's result for a descriptor that is another file's. SQLite itself returns it on one other system only.
pub(super) const TAKEN: i32 = rusqlite::ffi::SQLITE_IOERR_VNODE;

/// SQLite's own VFS.
const USUAL: &str = if cfg!(windows) { "win32" } else { "unix" };

/// Returns the name of the VFS for the stores of this process.
pub(crate) fn name() -> &'static str {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    {
        use std::sync::OnceLock;
        static NAME: OnceLock<&'static str> = OnceLock::new();
        NAME.get_or_init(|| methods::register().unwrap_or(USUAL))
    }
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    {
        USUAL
    }
}
