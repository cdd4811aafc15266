//! A counter that outlives a killed program, because it lies in a mapping that the program shares with a file.
#![allow(unsafe_code, reason = "a mapping is a pointer")]

use std::fs::OpenOptions;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::AtomicU64;

/// Makes this file, and returns the counter in its first eight bytes.
pub(crate) fn map_file(path: &str) -> &'static AtomicU64 {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
    let file = options.open(path).expect("a file can be made");
    file.set_len(size_of::<AtomicU64>() as u64).expect("the file has room for the counter");
    let (access, length) = (libc::PROT_READ | libc::PROT_WRITE, size_of::<AtomicU64>());
    // SAFETY: this makes a new mapping, which replaces no other one.
    let place =
        unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert!(place != libc::MAP_FAILED, "the file can be mapped");
    // SAFETY: the mapping is a page that begins with zeros and is never unmapped.
    unsafe { &*place.cast::<AtomicU64>() }
}
