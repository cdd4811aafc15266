//! The end of a process.

/// The end of a process, which the system keeps until the parent of the process has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(windows, expect(dead_code, reason = "the system keeps no end of a process"))]
pub(crate) enum ProcessEnd {
    Exited(i32),
    Signal(i32),
}
