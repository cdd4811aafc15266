//! Writes a line to standard error without waiting, and without caring whether it arrives.
//!
//! The standard library's `eprint!` panics when the line cannot be written, and waits for the thread that holds its
//! lock. Takes a line; gives nothing. A line that a pipe has no room for is dropped. So is a line when another file has
//! taken the place of standard error, because a program that closes its standard streams gives their numbers to the
//! files that it opens next.

#[cfg(unix)]
#[path = "stderr_unix.rs"]
mod stream;
#[cfg(windows)]
#[path = "stderr_windows.rs"]
mod stream;

pub(crate) use stream::remember_stderr;
use stream::{has_room, is_stderr, write};

/// The longest line: what a pipe takes in one piece or not at all.
const LINE_BYTES_MAX: usize = 4096;

/// Writes a line, with its end, or drops it. Must be called on the recorder's thread, which blocks all signals, because
/// a write to a pipe without a reader raises `SIGPIPE`.
pub(crate) fn write_line(line: &str) {
    if is_stderr() && has_room() {
        let end = (0..LINE_BYTES_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        let cut = line.get(..end).filter(|_| line.len() > LINE_BYTES_MAX).map(|line| format!("{line}\n"));
        let bytes = cut.as_deref().unwrap_or(line).as_bytes();
        write(bytes);
    }
}
