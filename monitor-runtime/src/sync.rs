//! The atomics that the lock-free parts are written over: the standard library's. The package in
//! `tests/loom` compiles the same source files over atomics that try all interleavings, by putting a
//! module of this name in its own crate.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
