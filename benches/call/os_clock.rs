//! Makes the recorder read the operating system's clock in place of the processor's counter.
//!
//! The recorder leaves the counter where the kernel has done so itself, which a file of the kernel's tells. This worker lays a
//! file of its own over that one, in a mount namespace that ends with the process; the floors still read the counter. The
//! kernel allows this to root only, so elsewhere the worker has no figures.
#![expect(unsafe_code, reason = "namespaces and mounts are system calls")]

use std::hint::black_box;
use std::io::{Error, Result, Write};
use std::time::Instant;

use monitor_benches::{Case, case};

use crate::plain;

/// The floor of a recorder without a counter.
pub(crate) const CLOCK_READS: &str = "two readings of the system's clock";

/// Returns the floor as a case.
pub(crate) fn floor() -> Case {
    case!(CLOCK_READS, plain::number(black_box(1)), readings(black_box(1)))
}

#[inline(never)]
fn readings(number: u64) -> u64 {
    let start = Instant::now();
    let result = black_box(number) + 1;
    black_box(start.elapsed());
    result
}

/// Lets the kernel's file tell of another clock source, for this process only. It runs before the recorder's start and while
/// the process has one thread.
#[cfg(target_os = "linux")]
pub(crate) fn hide_counter() -> Result<()> {
    let mut told = tempfile::NamedTempFile::new()?;
    told.write_all(b"hpet\n")?;
    let source = std::ffi::CString::new(told.path().to_string_lossy().as_bytes())?;
    let none = std::ptr::null();
    // SAFETY: the call takes numbers only.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    check(entered)?;
    // SAFETY: the path ends with a zero byte, and the call reads no other pointer for a change of propagation.
    let private =
        unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) };
    check(private)?;
    // SAFETY: both paths end with a zero byte, and the call reads no other pointer for a bind.
    let bound =
        unsafe { libc::mount(source.as_ptr(), CLOCK_SOURCE.as_ptr(), none, libc::MS_BIND, none.cast()) };
    check(bound)
}

#[cfg(target_os = "linux")]
const CLOCK_SOURCE: &std::ffi::CStr = c"/sys/devices/system/clocksource/clocksource0/current_clocksource";

#[cfg(target_os = "linux")]
fn check(status: i32) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Fails, because only Linux tells of its clock source in a file.
#[cfg(not(target_os = "linux"))]
pub(crate) fn hide_counter() -> Result<()> {
    Err(Error::from(std::io::ErrorKind::Unsupported))
}
