//! The operating system: time, process, file system, other processes, re-entrancy of a thread.
//!
//! Takes nothing of the recorder; gives the answers and effects that only the system has. Nothing here blocks
//! for longer than one system call. This room does not know what its answers are used for.

pub(crate) mod clock;
pub(crate) mod coarse_clock;
pub(crate) mod process;
pub(crate) mod build_id;
pub(crate) mod descriptor;
pub(crate) mod fork_mark;
pub(crate) mod stderr;
pub(crate) mod thread;
pub mod file_system;
pub mod liveness;
pub(crate) mod core_file;
pub(crate) mod reentrancy;
