//! Asks the operating system about the process: handlers for exit and fork, CPU time, memory, host name, random
//! seeds. Every call is bounded, and the hot side makes none of them.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) use super::system::page_bytes;
use super::system::system_random;
pub(crate) use super::system::{
    address_space_left, at_fork, footprint, host_name, is_secure, process_cpu, thread_cpu,
};

/// Registers a handler for the normal exit of the process. Returns false if the system refuses it.
pub(crate) fn at_exit(handler: extern "C" fn()) -> bool {
    // SAFETY: the handler is a function that lives as long as the program.
    unsafe { libc::atexit(handler) == 0 }
}

/// Registers a handler for `quick_exit`, where the C library has it.
pub(crate) fn at_quick_exit(handler: extern "C" fn()) {
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)))]
    {
        unsafe extern "C" {
            fn at_quick_exit(handler: extern "C" fn()) -> libc::c_int;
        }
        // SAFETY: the handler is a function that lives as long as the program.
        let _ = unsafe { at_quick_exit(handler) };
    }
    #[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri))))]
    let _ = handler;
}

/// Registers a handler for an end of the process that does not run the handlers of the C library. The handler runs
/// after all other threads have ended, and may touch atomics only. Systems whose `process::exit` runs the handlers of
/// the C library have no such end.
pub(crate) fn at_process_end(handler: extern "C" fn()) {
    #[cfg(windows)]
    super::system::at_process_end(handler);
    #[cfg(not(windows))]
    let _ = handler;
}

/// Registers a handler for the normal exit of the process that is handed the exit status. Returns false where the C
/// library has none, where the system refuses it, and where this code lies in a library: that may be unloaded, and the
/// handler would still be called.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
pub(crate) fn at_exit_with_status(handler: extern "C" fn(libc::c_int, *mut libc::c_void)) -> bool {
    unsafe extern "C" {
        fn on_exit(
            handler: extern "C" fn(libc::c_int, *mut libc::c_void),
            argument: *mut libc::c_void,
        ) -> libc::c_int;
    }
    // SAFETY: reads a value handed over by the kernel at start.
    let headers_of_program = unsafe { libc::getauxval(libc::AT_PHDR) } as usize;
    let is_program = base_of(handler as usize).is_some_and(|base| Some(base) == base_of(headers_of_program));
    // SAFETY: the handler is a function that lives as long as the program, because it is part of it.
    is_program && unsafe { on_exit(handler, std::ptr::null_mut()) } == 0
}

/// Returns false, because this platform has no handler that is handed the exit status.
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
pub(crate) fn at_exit_with_status(_: extern "C" fn(libc::c_int, *mut libc::c_void)) -> bool {
    false
}

/// Returns the address at which the program or library is loaded that an address belongs to.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
fn base_of(address: usize) -> Option<usize> {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `found` is valid for writing, and the address is only compared.
    if unsafe { libc::dladdr(std::ptr::without_provenance(address), found.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: the call has filled it, and zeros are a value of it as well.
    Some(unsafe { found.assume_init() }.dli_fbase.addr())
}

/// Returns true on the thread that the process began with.
pub(crate) fn is_main_thread() -> bool {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // SAFETY: always succeeds.
        let (thread, process) = (unsafe { libc::gettid() }, unsafe { libc::getpid() });
        thread == process
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    {
        std::thread::current().name() == Some("main")
    }
}

/// Returns a random number, for seeds and ids. It comes from the system, so it differs between a process and its children
/// that were forked in the same state, and between two copies of a restored machine. A system without a source of random bits
/// gives a number made from the clock, the process and the keys of the standard library's hasher.
pub(crate) fn random_seed() -> u64 {
    system_random().unwrap_or_else(|| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.write_i64(super::clock::wall_ns());
        hasher.write_u64(super::clock::ticks());
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_threads_and_files() {
        let (memory, threads, files) = footprint();
        assert!(memory > 100_000, "{memory}");
        assert!(cfg!(not(target_os = "linux")) || threads >= 1 && files >= 1, "{threads} {files}");
        assert!(!host_name().is_empty());
        assert!(process_cpu() >= thread_cpu());
    }

    #[test]
    fn seeds_come_from_the_system_and_differ() {
        let seeds: std::collections::HashSet<u64> = (0..1000).map(|_| random_seed()).collect();
        assert_eq!(seeds.len(), 1000);
        assert!(system_random().is_some() || cfg!(miri));
    }
}
