//! FreeBSD.
//!
//! The kernel reports the start and the memory of processes. No file system in memory is relied on, so rings lie on the
//! heap and end with the process.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::path::PathBuf;

pub(crate) use super::apple_bsd::{
    address_space_left, end_of, is_local, is_secure, maps_file, system_random,
};
use super::unix::page_bytes;
pub(crate) use super::unix::{
    ask_private, ask_without_waiting, at_fork, effective_user, file_number, free_bytes, host_name,
    is_other_users, is_transient, is_writable, make_private_folder, process_cpu, read_identity, set_private,
    thread_cpu,
};

/// The abilities that this system does not give, each with the reason.
pub(super) const LACKS: [&str; 0] = [];

/// The first part of the mark of every process on this system: see `liveness::mark`.
const PLACE: &str = "freebsd";
/// The state of a zombie (`SZOMB`): a process that has ended and whose parent has not waited for it yet.
const ZOMBIE: libc::c_char = 5;

/// Asks the kernel about a process. Returns `None` if there is no such process.
fn ask(pid: u32) -> Option<libc::kinfo_proc> {
    let pid = libc::c_int::try_from(pid).ok()?;
    let name = [libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PID, pid];
    let mut answer = std::mem::MaybeUninit::<libc::kinfo_proc>::zeroed();
    let mut bytes = size_of::<libc::kinfo_proc>();
    // SAFETY: the name has four parts, and the answer is valid for writing this many bytes.
    let result = unsafe {
        libc::sysctl(name.as_ptr(), 4, answer.as_mut_ptr().cast(), &raw mut bytes, std::ptr::null(), 0)
    };
    // SAFETY: the call has filled the structure, which holds numbers and pointers only, so that any bits are a value of it.
    (result == 0 && bytes == size_of::<libc::kinfo_proc>()).then(|| unsafe { answer.assume_init() })
}

/// Returns the start of a process, or `None` if it has ended.
pub(super) fn started(pid: u32) -> Option<String> {
    let found = ask(pid).filter(|found| found.ki_stat != ZOMBIE)?;
    Some(format!("{}.{:06}", found.ki_start.tv_sec, found.ki_start.tv_usec))
}

/// Returns resident memory in bytes, threads and open files; zeros for those that the system does not report, such as
/// open files.
pub(crate) fn footprint() -> (u64, u32, u32) {
    let Some(found) = ask(std::process::id()) else { return (0, 0, 0) };
    let pages = u64::try_from(found.ki_rssize).unwrap_or(0);
    (pages * page_bytes() as u64, u32::try_from(found.ki_numthreads).unwrap_or(0), 0)
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

/// Returns the folder below which programs keep their state: `$XDG_STATE_HOME`, or `~/.local/state`.
pub(crate) fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")))
}
