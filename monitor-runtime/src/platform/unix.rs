//! The calls that Linux, Apple's systems and the BSDs have in common.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::ffi::CString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use super::file_system::Identity;

/// Returns the bytes that may still be written in a folder, if the system reports them.
// The lints are allowed, not expected, because the types of these fields differ between targets.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "block sizes are positive and small"
)]
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let answer = statfs(folder)?;
    Some((answer.f_bavail as u64).saturating_mul(answer.f_bsize as u64))
}

/// Returns what the system says of the file system that holds a folder.
pub(crate) fn statfs(folder: &Path) -> Option<libc::statfs> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` ends in NUL and lives through the call; `answer` is as large as the call writes.
    let failed = unsafe { libc::statfs(path.as_ptr(), answer.as_mut_ptr()) } != 0;
    if failed {
        return None;
    }
    // SAFETY: `statfs` returned 0, so it filled the struct; any bits are valid in it.
    Some(unsafe { answer.assume_init() })
}

/// Makes `faccessat` check the rights of the effective user, as opening a file does. Android does not know this flag,
/// and its programs have one user.
#[cfg(not(target_os = "android"))]
const AS_EFFECTIVE_USER: libc::c_int = libc::AT_EACCESS;
#[cfg(target_os = "android")]
const AS_EFFECTIVE_USER: libc::c_int = 0;

/// Returns true if this user may write a file, and its file system allows it.
pub(crate) fn is_writable(file: &Path) -> bool {
    let Ok(path) = CString::new(file.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path ends with a null, and nothing is written to.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, AS_EFFECTIVE_USER) == 0 }
}

/// Returns the user that files are opened as.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing, returns a number, cannot fail.
    unsafe { libc::geteuid() }
}

/// Registers handlers around each fork: before it, and after it in the parent and in the child. The handler in
/// the child may touch atomics and thread-locals only. Returns false if the system refuses them.
pub(crate) fn at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the handlers are functions that live as long as the program.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

/// Returns the CPU time used by the whole process.
pub(crate) fn process_cpu() -> Duration {
    cpu(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Returns the CPU time used by the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn cpu(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns the name of this host.
pub(crate) fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is valid for writing and one byte longer than the requested length.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    if result != 0 || length == 0 {
        return "unknown".to_owned();
    }
    String::from_utf8_lossy(&name[..length]).into_owned()
}

/// Returns the size of a page of memory, in bytes.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: asks for a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })
        .ok()
        .filter(|bytes| *bytes > 0)
        .unwrap_or(4096)
}

/// Returns the bound of the process's address space in bytes (`ulimit -v`), or `None` without one.
pub(crate) fn address_space_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    let is_limited = result == 0 && limit.rlim_cur != libc::RLIM_INFINITY;
    // The type of the limit differs between targets, and so does its sign.
    #[allow(clippy::unnecessary_cast, reason = "see above")]
    is_limited.then_some(limit.rlim_cur as u64)
}

/// Returns the identity of a file or of a link.
pub(crate) fn read_identity(path: &Path) -> Option<Identity> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(Identity { device: found.dev(), inode: found.ino() })
}

/// Returns the file's inode number. It usually differs for a file that has taken the place of another one, but the
/// system may give the number of a deleted file to a new one.
pub(crate) fn file_number(found: &Metadata) -> u64 {
    found.ino()
}

/// Sets the options so that a new file is for its owner alone (0600), and that opening a link fails.
pub(crate) fn ask_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW)
}

/// Makes a file readable and writable for its owner alone (0600). The umask may have removed even the owner's rights.
pub(crate) fn set_private(file: &File) -> std::io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Makes a folder that only its owner may use (0700), with those above it.
pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // The umask may have taken even the owner's rights.
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Returns true if a file belongs to another user.
pub(crate) fn is_other_users(found: &Metadata) -> bool {
    found.uid() != effective_user()
}

/// Returns true for errors that may not come again: too many open files, a disk that did not answer, an interruption.
pub(crate) fn is_transient(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EIO | libc::EINTR))
}

/// Sets the options so that neither opening nor reading the file waits.
pub(crate) fn ask_without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
}
