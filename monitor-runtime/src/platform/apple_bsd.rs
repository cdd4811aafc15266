//! The calls that Apple's systems and the BSDs have in common, and that Linux does otherwise.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::path::Path;

use super::process_end::ProcessEnd;
use super::unix::{address_space_limit, statfs};

/// Returns whether the process runs with more rights than the user who started it.
pub(crate) fn is_secure() -> bool {
    // SAFETY: always succeeds.
    unsafe { libc::issetugid() != 0 }
}

/// Returns the bytes that this process may map (`ulimit -v`), or `None` without a limit. The system does not report how
/// many are mapped.
pub(crate) fn address_space_left() -> Option<u64> {
    address_space_limit()
}

/// Returns eight random bytes from the system, or `None` if it gives none.
pub(crate) fn system_random() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is valid for writing.
    let result = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
    (result == 0).then(|| u64::from_ne_bytes(bytes))
}

/// Returns whether processes of this machine share the memory of files in a folder.
pub(crate) fn is_local(folder: &Path) -> bool {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between targets")]
    statfs(folder).is_some_and(|answer| answer.f_flags as u64 & libc::MNT_LOCAL as u64 != 0)
}

/// Returns `None`, because this system reports the end of a process to its parent only.
pub(crate) fn end_of(_: u32, _: &str) -> Option<ProcessEnd> {
    None
}

/// Returns false, because there are no ring files that could be mapped.
pub(crate) fn maps_file(_: &str) -> bool {
    false
}
