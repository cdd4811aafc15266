//! Memory that outlives the process: rings, frames, the journal, checkpoints, and the reader of all of it.
//!
//! Takes the words of records; gives them to the collector, and to the process that recovers the ring file of a dead
//! process. Always holds: what a reader can see is whole, or recognisable as unfinished. The room does not know what a
//! record means.

pub(crate) mod layout;
#[cfg_attr(windows, path = "mapping_windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android", windows)), path = "no_mapping.rs")]
pub(crate) mod mapping;
pub(crate) mod memory;
pub(crate) mod spsc;
pub(crate) mod frames;
pub(crate) mod suspended;
pub(crate) mod panics;
pub(crate) mod metadata;
pub(crate) mod journal;
pub(crate) mod tallied;
pub(crate) mod checkpoint;
pub(crate) mod tallies_image;
pub(crate) mod source;
pub(crate) mod reader;
