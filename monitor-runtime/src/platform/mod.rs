//! The operating system: time, process, file system, other processes, re-entrancy of a thread.
//!
//! Takes nothing of the recorder; gives what only the system can tell or do. Always holds: nothing here
//! blocks for longer than one call of the system. Does not know what its answers are used for.

pub(crate) mod clock;
pub(crate) mod process;
pub(crate) mod thread;
pub mod file_system;
pub mod liveness;
pub(crate) mod reentrancy;
