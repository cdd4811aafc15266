//! Windows.
//!
//! The kernel reports the start and the memory of processes. A mapped file on a disk outlives its process. There are no
//! forks and no signals. `process::exit` ends all other threads before any handler runs, so nothing can be written to
//! the store then.
#![allow(unsafe_code, reason = "calls into the system's library")]

use std::ffi::c_void;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use super::file_system::Identity;
use super::process_end::ProcessEnd;

/// The abilities that this system does not give, each with the reason.
pub(super) const LACKS: [&str; 1] = [
    "writing to the store at `process::exit`: the system ends the recorder's thread first, so the next start, or `monitor`, \
     brings what is not written yet from the ring file",
];

type Handle = *mut c_void;

/// A moment or a duration in units of 100 ns.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct FileTime {
    low: u32,
    high: u32,
}

impl FileTime {
    fn to_units(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

#[repr(C)]
#[derive(Debug, Default)]
struct FileInformation {
    attributes: u32,
    times: [FileTime; 3],
    volume: u32,
    size: [u32; 2],
    links: u32,
    index_high: u32,
    index_low: u32,
}

#[repr(C)]
#[derive(Debug, Default)]
struct MemoryCounters {
    bytes: u32,
    page_faults: u32,
    peak_working_set: usize,
    working_set: usize,
    quotas: [usize; 4],
    page_file: [usize; 2],
}

#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetCurrentProcess() -> Handle;
    fn GetCurrentThread() -> Handle;
    fn OpenProcess(access: u32, inherit: i32, pid: u32) -> Handle;
    fn GetExitCodeProcess(process: Handle, code: *mut u32) -> i32;
    fn GetProcessTimes(
        process: Handle,
        created: *mut FileTime,
        ended: *mut FileTime,
        kernel: *mut FileTime,
        user: *mut FileTime,
    ) -> i32;
    fn GetThreadTimes(
        thread: Handle,
        created: *mut FileTime,
        ended: *mut FileTime,
        kernel: *mut FileTime,
        user: *mut FileTime,
    ) -> i32;
    fn K32GetProcessMemoryInfo(process: Handle, counters: *mut MemoryCounters, bytes: u32) -> i32;
    fn GetProcessHandleCount(process: Handle, count: *mut u32) -> i32;
    fn GetVolumePathNameW(file: *const u16, volume: *mut u16, length: u32) -> i32;
    fn GetDriveTypeW(volume: *const u16) -> u32;
    fn GetDiskFreeSpaceExW(folder: *const u16, available: *mut u64, total: *mut u64, free: *mut u64) -> i32;
    fn GetFileInformationByHandle(file: Handle, information: *mut FileInformation) -> i32;
    fn GetSystemTimeAsFileTime(now: *mut FileTime);
    fn GetTickCount64() -> u64;
}

/// The right to ask for times and the exit code of a process.
const QUERY_LIMITED_INFORMATION: u32 = 0x1000;
/// The exit code of a process that runs.
const STILL_ACTIVE: u32 = 259;
/// A disk that is built in, and a disk in memory.
const LOCAL_DRIVES: [u32; 2] = [3, 6];
/// Opens a folder as well as a file, and a link instead of what it leads to.
const ANY_FILE_ITSELF: u32 = 0x0200_0000 | 0x0020_0000;
/// The longest path of a volume.
const VOLUME_UNITS_MAX: usize = 1024;

/// The times of a process or thread: its start, and the CPU time that it has used.
struct Times {
    created: FileTime,
    cpu: Duration,
}

type AskTimes =
    unsafe extern "system" fn(Handle, *mut FileTime, *mut FileTime, *mut FileTime, *mut FileTime) -> i32;

fn times(ask: AskTimes, handle: Handle) -> Option<Times> {
    let [mut created, mut ended, mut kernel, mut user] = [FileTime::default(); 4];
    // SAFETY: the handle is open or stands for the caller, and the four places are valid for writing.
    let result = unsafe { ask(handle, &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user) };
    let units = kernel.to_units().saturating_add(user.to_units());
    let cpu = Duration::from_nanos(units.saturating_mul(100));
    (result != 0).then_some(Times { created, cpu })
}

/// Returns the CPU time used by the whole process.
pub(crate) fn process_cpu() -> Duration {
    // SAFETY: always succeeds.
    let process = unsafe { GetCurrentProcess() };
    times(GetProcessTimes, process).map_or(Duration::ZERO, |times| times.cpu)
}

/// Returns the CPU time used by the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    // SAFETY: always succeeds.
    let thread = unsafe { GetCurrentThread() };
    times(GetThreadTimes, thread).map_or(Duration::ZERO, |times| times.cpu)
}

/// Returns the start of a process, or `None` if it has ended or may not be queried.
pub(super) fn started(pid: u32) -> Option<String> {
    // SAFETY: takes numbers; an error is a null handle.
    let process = unsafe { OpenProcess(QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return None;
    }
    // SAFETY: the handle was opened above and belongs to nobody else.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    let mut code = 0;
    // SAFETY: the handle is open, and `code` is valid for writing.
    let result = unsafe { GetExitCodeProcess(process.as_raw_handle(), &raw mut code) };
    if result == 0 || code != STILL_ACTIVE {
        return None;
    }
    let created = times(GetProcessTimes, process.as_raw_handle())?.created;
    Some(created.to_units().to_string())
}

/// Returns whether a process with this number runs.
pub(crate) fn is_running(pid: u32) -> bool {
    started(pid).is_some()
}

/// Returns the first part of every mark that is taken on this system (see `liveness::mark`). It is the same for all
/// processes, because each of them sees all others on the machine.
pub(super) fn own_place() -> Option<String> {
    Some("windows".to_owned())
}

/// Returns `None`, because the system does not keep the end of a process.
pub(crate) fn end_of(_: u32, _: &str) -> Option<ProcessEnd> {
    None
}

/// Returns false, because the system does not list the files that a process maps.
pub(crate) fn maps_file(_: &str) -> bool {
    false
}

/// Returns false, because the system does not list the files that a process maps.
pub(crate) fn is_unmapped(_: u32, _: &[u8]) -> bool {
    false
}

/// Returns true if a process began before this boot of the machine. Its mark ends with the start of the process.
pub(crate) fn is_of_earlier_boot(mark: &str) -> bool {
    const UNITS_PER_MS: u64 = 10_000;
    let mut now = FileTime::default();
    // SAFETY: the place is valid for writing.
    unsafe { GetSystemTimeAsFileTime(&raw mut now) };
    // SAFETY: always succeeds.
    let uptime = unsafe { GetTickCount64() }.saturating_mul(UNITS_PER_MS);
    let boot = now.to_units().saturating_sub(uptime);
    let began = mark.rsplit('/').next().and_then(|began| began.parse::<u64>().ok());
    began.is_some_and(|began| began < boot)
}

/// The handler of the end of the process: an `extern "C" fn()`, or null.
static AT_PROCESS_END: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Registers a handler for every orderly end of the process. It runs after all other threads were ended, and may touch atomics
/// only.
pub(crate) fn at_process_end(handler: extern "C" fn()) {
    AT_PROCESS_END.store(handler as *mut (), Ordering::SeqCst);
    // Reading the entry keeps it in the program.
    std::hint::black_box(ON_DETACH);
}

/// The functions between the sections `.CRT$XLA` and `.CRT$XLZ` are called when a thread or the process begins and ends.
#[used]
#[unsafe(link_section = ".CRT$XLY")]
static ON_DETACH: unsafe extern "system" fn(Handle, u32, Handle) = on_detach;

/// Runs the handler if the process ends, or if the library that this is a part of is unloaded.
unsafe extern "system" fn on_detach(_: Handle, reason: u32, _: Handle) {
    const PROCESS_DETACH: u32 = 0;
    if reason != PROCESS_DETACH {
        return;
    }
    let handler = AT_PROCESS_END.load(Ordering::SeqCst);
    // SAFETY: null is no function, and anything else was an `extern "C" fn()` in `at_process_end`.
    if let Some(handler) = unsafe { std::mem::transmute::<*mut (), Option<extern "C" fn()>>(handler) } {
        handler();
    }
}

/// Returns resident memory in bytes, threads and open handles; zeros for those that the system does not report, such as
/// threads.
pub(crate) fn footprint() -> (u64, u32, u32) {
    // SAFETY: always succeeds.
    let process = unsafe { GetCurrentProcess() };
    let bytes = u32::try_from(size_of::<MemoryCounters>()).unwrap_or(0);
    let mut counters = MemoryCounters { bytes, ..MemoryCounters::default() };
    let mut handles = 0;
    // SAFETY: the structure is valid for writing and has the stated size.
    let is_known = unsafe { K32GetProcessMemoryInfo(process, &raw mut counters, bytes) } != 0;
    // SAFETY: the number is valid for writing.
    unsafe { GetProcessHandleCount(process, &raw mut handles) };
    (if is_known { counters.working_set as u64 } else { 0 }, 0, handles)
}

/// Returns false, because a program has the rights of the user who started it.
pub(crate) fn is_secure() -> bool {
    false
}

/// Does nothing, because there are no forks.
pub(crate) fn at_fork(_: extern "C" fn(), _: extern "C" fn(), _: extern "C" fn()) -> bool {
    true
}

/// Returns the name of this host.
pub(crate) fn host_name() -> String {
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Returns `None`, because the address space of a process has no limit of its own.
pub(crate) fn address_space_left() -> Option<u64> {
    None
}

/// Returns `None`: the standard library's own keys, which come from the system, serve instead.
pub(crate) fn system_random() -> Option<u64> {
    None
}

/// Returns a path as the system takes it, or `None` if it holds a zero.
fn encode(path: &Path) -> Option<Vec<u16>> {
    let units: Vec<u16> = path.as_os_str().encode_wide().collect();
    (!units.contains(&0)).then(|| units.into_iter().chain([0]).collect())
}

/// Returns whether a folder lies on a disk of this machine.
pub(crate) fn is_local(folder: &Path) -> bool {
    let Some(folder) = encode(folder) else { return false };
    let mut volume = [0_u16; VOLUME_UNITS_MAX];
    // SAFETY: the path ends with a zero, and the volume is valid for writing this many units.
    let found = unsafe { GetVolumePathNameW(folder.as_ptr(), volume.as_mut_ptr(), VOLUME_UNITS_MAX as u32) };
    // SAFETY: the call has filled the path of the volume, which ends with a zero.
    found != 0 && LOCAL_DRIVES.contains(&unsafe { GetDriveTypeW(volume.as_ptr()) })
}

/// Returns the bytes that may still be written in a folder, if the system reports them.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let folder = encode(folder)?;
    let mut available = 0;
    let nothing = std::ptr::null_mut();
    // SAFETY: the path ends with a zero, the number is valid for writing, and the others are not asked for.
    let found = unsafe { GetDiskFreeSpaceExW(folder.as_ptr(), &raw mut available, nothing, nothing) };
    (found != 0).then_some(available)
}

/// Returns true if a file is not marked as read-only.
pub(crate) fn is_writable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| !found.permissions().readonly())
}

/// Returns 0, because users have no numbers.
pub(crate) fn effective_user() -> u32 {
    0
}

/// Returns the identity of a file or of a link, which need not be readable.
pub(crate) fn read_identity(path: &Path) -> Option<Identity> {
    let mut options = OpenOptions::new();
    // The file is opened without any access and shared for all, so that no other program is hindered meanwhile.
    options.access_mode(0).share_mode(7).custom_flags(ANY_FILE_ITSELF);
    #[expect(clippy::disallowed_methods, reason = "locks belong to the open file, and this one takes none")]
    let file = options.open(path).ok()?;
    identity_of(&file)
}

/// Returns the identity of an open file.
pub(super) fn identity_of(file: &File) -> Option<Identity> {
    let mut found = FileInformation::default();
    // SAFETY: the file is open, and the structure is valid for writing.
    let result = unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) };
    let inode = u64::from(found.index_high) << 32 | u64::from(found.index_low);
    (result != 0).then_some(Identity { device: found.volume.into(), inode })
}

/// Returns the time at which the file was made. It usually differs for a file that has taken the place of another one,
/// but the system may give the time of a deleted file to a new one of the same name.
pub(crate) fn file_number(found: &Metadata) -> u64 {
    found.creation_time()
}

/// Leaves the options as they are: a new file inherits the rights of its folder, which is the user's own.
pub(crate) fn ask_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Leaves the rights as they are.
#[expect(clippy::unnecessary_wraps, reason = "other systems may refuse it")]
pub(crate) fn set_private(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Makes a folder, with those above it. It inherits its rights.
pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)
}

/// Returns false: the rights of a file, not its owner, say who may use it.
pub(crate) fn is_other_users(_: &Metadata) -> bool {
    false
}

/// Returns true for errors that may not come again: too many open files, a file that another program holds for the moment.
pub(crate) fn is_transient(error: &std::io::Error) -> bool {
    const TOO_MANY_OPEN_FILES: i32 = 4;
    const SHARING_VIOLATION: i32 = 32;
    const LOCK_VIOLATION: i32 = 33;
    matches!(error.raw_os_error(), Some(TOO_MANY_OPEN_FILES | SHARING_VIOLATION | LOCK_VIOLATION))
}

/// Leaves the options as they are, because opening a file does not wait.
pub(crate) fn ask_without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Returns the folder below which programs keep their data: `%LOCALAPPDATA%`.
pub(crate) fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("LOCALAPPDATA").or_else(|| variable("USERPROFILE").map(|home| home.join(r"AppData\Local")))
}
