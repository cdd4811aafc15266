//! Standard error of a Unix process, by its descriptor.
#![allow(unsafe_code, reason = "the standard library waits for a lock and for room")]

use std::sync::OnceLock;

/// The file behind a descriptor: its identity, and its kind, such as a terminal or a regular file.
#[derive(Debug, Clone, Copy)]
struct Stream {
    identity: (libc::dev_t, libc::ino_t),
    kind: libc::mode_t,
}

/// Standard error when the recorder started.
static AT_START: OnceLock<Option<Stream>> = OnceLock::new();

/// Remembers standard error as it is now.
pub(crate) fn remember_stderr() {
    AT_START.get_or_init(|| inspect(libc::STDERR_FILENO));
}

/// Writes bytes, or as many of them as there is room for.
pub(super) fn write(bytes: &[u8]) {
    // SAFETY: the bytes are valid for reading. The result does not matter.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// Returns true if the descriptor of standard error leads where it led at the start, or to where a program redirects it:
/// a terminal, a log that is appended to, or the file of standard output.
pub(super) fn is_stderr() -> bool {
    let Some(now) = inspect(libc::STDERR_FILENO) else { return false };
    let at_start = AT_START.get().copied().flatten();
    at_start.is_some_and(|before| before.identity == now.identity)
        || now.kind == libc::S_IFCHR
        || now.kind == libc::S_IFREG && is_appended_to(libc::STDERR_FILENO)
        || inspect(libc::STDOUT_FILENO).is_some_and(|output| output.identity == now.identity)
}

/// Returns false if a write would wait for a reader.
pub(super) fn has_room() -> bool {
    let mut asked = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: takes one description, which is filled.
    unsafe { libc::poll(&raw mut asked, 1, 0) == 1 }
}

fn inspect(descriptor: i32) -> Option<Stream> {
    // SAFETY: an all-zero state is valid to be filled.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is valid for writing; a descriptor that is not open is an error.
    let result = unsafe { libc::fstat(descriptor, &raw mut found) };
    (result == 0)
        .then_some(Stream { identity: (found.st_dev, found.st_ino), kind: found.st_mode & libc::S_IFMT })
}

fn is_appended_to(descriptor: i32) -> bool {
    // SAFETY: asks for the flags of a descriptor.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_APPEND != 0
}
