//! Standard error of a Windows process, by its handle.
#![allow(unsafe_code, reason = "the standard library waits for a lock")]

use std::fs::File;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _};

/// Does nothing, because a handle that is closed is not given to another file while the process has it in its slot for
/// standard error.
pub(crate) fn remember_stderr() {}

/// Returns true if the process has a standard error.
pub(super) fn is_stderr() -> bool {
    !std::io::stderr().as_raw_handle().is_null()
}

/// Returns true, because the system does not report whether a pipe has room.
pub(super) fn has_room() -> bool {
    true
}

/// Writes bytes. The recorder's thread waits where a pipe is full, and nobody else.
pub(super) fn write(bytes: &[u8]) {
    // SAFETY: the handle is that of standard error, which is not closed, because the file is not dropped.
    let stderr = unsafe { File::from_raw_handle(std::io::stderr().as_raw_handle()) };
    let _ = ManuallyDrop::new(stderr).write(bytes);
}
