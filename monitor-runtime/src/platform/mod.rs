//! The operating system: time, process, file system, other processes, re-entrancy of a thread.
//!
//! Takes nothing of the recorder; gives the answers and effects that only the system has. Nothing here blocks
//! for longer than one system call. This room does not know what its answers are used for.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(target_os = "freebsd")]
mod bsd;
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
mod apple_bsd;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
mod process_end;
mod clock_os;
mod clock_counter;
mod clock_segments;
#[cfg(test)]
pub(crate) mod clock_simulated;
pub(crate) mod clock;
#[cfg(test)]
mod clock_tests;
pub(crate) mod coarse_clock;
pub(crate) mod process;
pub(crate) mod build_id;
#[cfg(any(target_os = "linux", target_os = "android", windows))]
#[cfg_attr(windows, path = "descriptor_windows.rs")]
pub(crate) mod descriptor;
#[cfg(any(target_os = "linux", target_os = "android", windows))]
#[cfg_attr(windows, path = "own_file_windows.rs")]
pub(crate) mod own_file;
pub(crate) mod fork_mark;
pub(crate) mod stderr;
pub(crate) mod thread;
pub mod file_system;
pub mod liveness;
pub(crate) mod lost_lock;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod core_file;
pub(crate) mod reentrancy;

/// Returns the reason why this system has no ring files, which outlive their process, if it has none.
pub(crate) const fn missing_ring_files() -> Option<&'static str> {
    if cfg!(any(target_os = "linux", target_os = "android", windows)) {
        return None;
    }
    Some(
        "this system has no files in memory, and a write to a mapped file on a disk may end the program when the disk is \
         full",
    )
}

/// Returns the abilities that the recorder lacks on this system or in this place, each with the reason.
pub(crate) fn lacks() -> Vec<String> {
    let mut lacks = Vec::new();
    if system::own_place().is_none() {
        lacks.push("knowing whether processes live: /proc cannot be read".to_owned());
    }
    if system::footprint().0 == 0 {
        lacks.push("memory of the process: the system does not tell".to_owned());
    }
    lacks.extend(system::LACKS.iter().map(|lack| (*lack).to_owned()));
    lacks
}

// The module of each system has the same functions, and states in its first lines what the system lacks.
#[cfg(target_vendor = "apple")]
use apple as system;
#[cfg(target_os = "freebsd")]
use bsd as system;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as system;
#[cfg(windows)]
use windows as system;
