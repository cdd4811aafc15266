//! Asks the operating system about the process: handlers for exit and fork, CPU time, memory, host name, random
//! seeds. Every call is bounded, and the hot side makes none of them.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// Registers a handler for the normal exit of the process. Returns false if the system refuses it.
pub(crate) fn at_exit(handler: extern "C" fn()) -> bool {
    // SAFETY: the handler is a function that lives as long as the program.
    unsafe { libc::atexit(handler) == 0 }
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

/// Returns false, because this platform has no handler that is told the exit status.
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

/// Registers handlers around each fork: before it, and after it in the parent and in the child. The handler in
/// the child may touch atomics and thread-locals only. Returns false if the system refuses them.
pub(crate) fn at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the handlers are functions that live as long as the program.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

/// Returns whether the process runs with more rights than whoever started it.
pub(crate) fn is_secure() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: reads a value handed over by the kernel at start.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: always succeeds.
        let (real, effective) = (unsafe { libc::getuid() }, unsafe { libc::geteuid() });
        real != effective
    }
}

/// Returns the CPU time used by the whole process.
pub(crate) fn process_cpu() -> Duration {
    cpu(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Returns the CPU time used by the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn cpu(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
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

/// Returns eight random bytes of the system. It does not wait for the system to gather randomness, as it may have to while
/// the machine starts.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
fn system_random() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is valid for writing.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    (usize::try_from(filled) == Ok(bytes.len())).then(|| u64::from_ne_bytes(bytes))
}

/// Returns eight random bytes of the system.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android")), not(miri)))]
fn system_random() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is valid for writing.
    let result = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
    (result == 0).then(|| u64::from_ne_bytes(bytes))
}

#[cfg(any(miri, not(unix)))]
fn system_random() -> Option<u64> {
    None
}

/// Returns the name of this host.
pub(crate) fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is valid for writing and one byte longer than the requested length.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    if result != 0 || length == 0 {
        return "unknown".to_owned();
    }
    String::from_utf8_lossy(&name[..length]).into_owned()
}

/// Returns the bytes that this process may still map (`ulimit -v`), or `None` without a limit.
pub(crate) fn address_space_left() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    // The type of the limit differs between targets.
    #[allow(clippy::useless_conversion, reason = "see above")]
    let bytes = u64::from(limit.rlim_cur);
    if result != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "not a store")]
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Some(bytes.saturating_sub(pages * page_bytes() as u64))
}

/// Returns the size of a page of memory, in bytes.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: asks for a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })
        .ok()
        .filter(|bytes| *bytes > 0)
        .unwrap_or(4096)
}

/// Returns resident memory in bytes, threads and open files; zeros if the system does not tell.
pub(crate) fn footprint() -> (u64, u32, u32) {
    #[expect(clippy::disallowed_methods, reason = "not a store")]
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let entries =
        |path| u32::try_from(std::fs::read_dir(path).map_or(0, Iterator::count)).unwrap_or(u32::MAX);
    // The listing itself has one of the descriptors.
    (pages * page_bytes() as u64, entries("/proc/self/task"), entries("/proc/self/fd").saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_threads_and_files() {
        let (memory, threads, files) = footprint();
        assert!(memory > 100_000 && threads >= 1 && files >= 1, "{memory} {threads} {files}");
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
