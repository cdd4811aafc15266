//! Linux and Android.
//!
//! Processes are seen in `/proc`, and files on tmpfs are memory that outlives its process. Both may be missing, in a
//! container or behind a sandbox.
#![allow(clippy::disallowed_methods, reason = "reads files of /proc")]
#![allow(unsafe_code, reason = "calls into the C library")]

use std::path::{Path, PathBuf};

use super::process_end::ProcessEnd;
pub(crate) use super::unix::page_bytes;
use super::unix::{address_space_limit, statfs};
pub(crate) use super::unix::{
    ask_private, ask_without_waiting, at_fork, effective_user, file_number, free_bytes, host_name,
    is_other_users, is_transient, is_writable, make_private_folder, process_cpu, read_identity, set_private,
    thread_cpu,
};

/// The abilities that this system does not give, each with the reason.
pub(super) const LACKS: [&str; 0] = [];

const TMPFS: u64 = 0x0102_1994;

/// File systems on which a write-ahead log is safe, by the numbers of `linux/magic.h`.
const LOCAL: &[u64] = &[
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x2fc1_2fc1, // ZFS
    0xf2f5_2010, // F2FS
    TMPFS,       // tmpfs
    0x8584_58f6, // ramfs
    0xca45_1a4e, // bcachefs
    0x3153_464a, // JFS
    0x0000_4d44, // FAT
    0x2011_bab0, // exFAT
];

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "a magic number of 32 bits, not a quantity"
)]
fn magic_number(answer: &libc::statfs) -> u64 {
    answer.f_type as u64 & 0xffff_ffff
}

/// Returns whether processes of this machine share the memory of files in a folder.
pub(crate) fn is_local(folder: &Path) -> bool {
    statfs(folder).is_some_and(|answer| LOCAL.contains(&magic_number(&answer)))
}

/// Returns whether the files in this folder are memory. On a disk, the kernel would write a mapped ring back
/// all the time.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    statfs(folder).is_some_and(|answer| magic_number(&answer) == TMPFS)
}

/// Returns whether a process with this number runs.
pub(crate) fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Returns how a process ended, if its parent has not waited for it yet; otherwise `None`. The system reports the end
/// only to the user of the parent.
#[must_use]
pub(crate) fn end_of(pid: u32, mark: &str) -> Option<ProcessEnd> {
    let (place, began) = mark.rsplit_once('/')?;
    if place != own_place()? {
        return None;
    }
    let stat = stat(pid)?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let (is_zombie, found) = (fields.next()? == "Z", fields.nth(18)?);
    // Field 52 is the status as `wait` would give it.
    let status: i32 = fields.nth(29)?.trim().parse().ok()?;
    if !is_zombie || found != began {
        return None;
    }
    Some(match status & 0x7F {
        0 => ProcessEnd::Exited(status >> 8 & 0xFF),
        signal => ProcessEnd::Signal(signal),
    })
}

fn stat(pid: u32) -> Option<String> {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()
}

/// Returns true if this process maps a file whose path contains this text.
#[must_use]
pub(crate) fn maps_file(part: &str) -> bool {
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains(part))
}

/// Returns true if a process of this machine certainly maps no file of this name.
#[must_use]
pub(crate) fn is_unmapped(pid: u32, name: &[u8]) -> bool {
    let Ok(maps) = std::fs::read(Path::new("/proc").join(pid.to_string()).join("maps")) else { return false };
    !maps.is_empty() && !maps.windows(name.len().max(1)).any(|window| window == name)
}

/// Returns false, because files in memory end with the boot of the machine.
pub(crate) fn is_of_earlier_boot(_: &str) -> bool {
    false
}

/// Returns the boot and the pid namespace of this process.
pub(super) fn own_place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// Returns whether the process has threads besides its first one. They may run on after the first thread has ended,
/// which makes the process look like a zombie.
fn has_threads(pid: u32) -> bool {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    tasks.is_ok_and(|tasks| tasks.count() > 1)
}

/// Returns the start of a process, field 22 of `/proc/<pid>/stat`, or `None` if it has ended or is a zombie. The
/// second field is the program's name in parentheses and may itself contain blanks and parentheses, so fields
/// are counted from the last parenthesis.
pub(super) fn started(pid: u32) -> Option<String> {
    let stat = stat(pid)?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") && !has_threads(pid) {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Returns whether the process runs with more rights than the user who started it.
pub(crate) fn is_secure() -> bool {
    // SAFETY: reads a value handed over by the kernel at start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Returns the bytes that this process may still map (`ulimit -v`), or `None` without a limit.
pub(crate) fn address_space_left() -> Option<u64> {
    let bytes = address_space_limit()?;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Some(bytes.saturating_sub(pages * page_bytes() as u64))
}

/// Returns resident memory in bytes, threads and open files; zeros for those that the system does not report.
pub(crate) fn footprint() -> (u64, u32, u32) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let entries =
        |path| u32::try_from(std::fs::read_dir(path).map_or(0, Iterator::count)).unwrap_or(u32::MAX);
    // The listing itself has one of the descriptors.
    (pages * page_bytes() as u64, entries("/proc/self/task"), entries("/proc/self/fd").saturating_sub(1))
}

/// Returns eight random bytes from the system. Returns `None`, instead of waiting, if the system has not gathered
/// enough randomness yet, as may happen while the machine starts.
#[cfg(not(miri))]
pub(crate) fn system_random() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is valid for writing.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    (usize::try_from(filled) == Ok(bytes.len())).then(|| u64::from_ne_bytes(bytes))
}

/// Returns `None`, because the interpreter has no such source.
#[cfg(miri)]
pub(crate) fn system_random() -> Option<u64> {
    None
}

/// Returns the folder below which programs keep their state: `$XDG_STATE_HOME`, or `~/.local/state`.
pub(crate) fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")))
}
