//! macOS, iOS and their relatives.
//!
//! The kernel reports the start and the memory of processes. There is no file system in memory, so rings lie on the
//! heap and end with the process.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::path::PathBuf;

pub(crate) use super::apple_bsd::{
    address_space_left, end_of, is_local, is_secure, maps_file, system_random,
};
pub(crate) use super::unix::{
    ask_private, ask_without_waiting, at_fork, effective_user, file_number, free_bytes, host_name,
    is_other_users, is_transient, is_writable, make_private_folder, process_cpu, read_identity, set_private,
    thread_cpu,
};

/// The abilities that this system does not give, each with the reason.
pub(super) const LACKS: [&str; 0] = [];

/// The first part of the mark of every process on this system: see `liveness::mark`.
const PLACE: &str = "apple";

/// Asks the kernel about a process. Returns `None` if there is no such process, or if it is another user's.
fn ask<T>(pid: u32, what: libc::c_int) -> Option<T> {
    let mut answer = std::mem::MaybeUninit::<T>::zeroed();
    let bytes = libc::c_int::try_from(size_of::<T>()).ok()?;
    let pid = libc::c_int::try_from(pid).ok()?;
    // SAFETY: the answer is valid for writing this many bytes.
    let written = unsafe { libc::proc_pidinfo(pid, what, 0, answer.as_mut_ptr().cast(), bytes) };
    // SAFETY: the call has filled the structure, which holds numbers only, so that any bits are a value of it.
    (written == bytes).then(|| unsafe { answer.assume_init() })
}

/// Returns the start of a process, or `None` if it has ended.
pub(super) fn started(pid: u32) -> Option<String> {
    let found: libc::proc_bsdinfo = ask(pid, libc::PROC_PIDTBSDINFO)?;
    Some(format!("{}.{:06}", found.pbi_start_tvsec, found.pbi_start_tvusec))
}

/// Returns resident memory in bytes, threads and open files; zeros if the system does not report them.
pub(crate) fn footprint() -> (u64, u32, u32) {
    let found: Option<libc::proc_taskinfo> = ask(std::process::id(), libc::PROC_PIDTASKINFO);
    let (bytes, threads) = found
        .map_or((0, 0), |found| (found.pti_resident_size, u32::try_from(found.pti_threadnum).unwrap_or(0)));
    #[expect(clippy::disallowed_methods, reason = "lists descriptors")]
    let files = std::fs::read_dir("/dev/fd").map_or(0, Iterator::count);
    // The listing itself has one of the descriptors.
    (bytes, threads, u32::try_from(files.saturating_sub(1)).unwrap_or(u32::MAX))
}

/// Returns whether a process with this number runs.
pub(crate) fn is_running(pid: u32) -> bool {
    started(pid).is_some()
}

/// Returns the first part of every mark that is taken on this system (see `liveness::mark`). It is the same for all
/// processes, because each of them sees all others on the machine.
pub(super) fn own_place() -> Option<String> {
    Some(PLACE.to_owned())
}

/// Returns the folder below which programs keep their state: `$XDG_STATE_HOME`, or `~/Library/Application Support`.
pub(crate) fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join("Library/Application Support")))
}
