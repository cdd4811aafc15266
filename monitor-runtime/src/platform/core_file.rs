//! Finds the signal that ended a process in the core file that systemd has kept of the process. systemd keeps core
//! files in one folder, names them after boot, process and time, and stores the signal in an extended attribute.
//! Without systemd, a core file usually lies in the working directory of the process, which is not known afterwards, so
//! such files are not searched.

#![allow(unsafe_code, reason = "reading an attribute of a file is a call into the C library")]
#![allow(clippy::disallowed_methods, reason = "core files are no store's files")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The folder in which systemd keeps core files.
const FOLDER: &str = "/var/lib/systemd/coredump";
/// The attribute that holds the number of the signal, as text.
const SIGNAL: &std::ffi::CStr = c"user.coredump.signal";
/// The most files of the folder whose names are read.
const FILES_MAX: usize = 4096;

/// Returns the signal that ended a process of this boot, if systemd has kept its core file and this user may read it.
pub(crate) fn find_signal(pid: u32, started_ns: i64) -> Option<i32> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    find_in(Path::new(FOLDER), &boot.trim().replace('-', ""), pid, started_ns)
}

fn find_in(folder: &Path, boot: &str, pid: u32, started_ns: i64) -> Option<i32> {
    let files = std::fs::read_dir(folder).ok()?.flatten().take(FILES_MAX);
    let mut found = files.filter(|file| {
        let name = file.file_name();
        name.to_str()
            .and_then(parse_name)
            .is_some_and(|(of_boot, of_pid, at_ns)| of_boot == boot && of_pid == pid && at_ns >= started_ns)
    });
    found.find_map(|file| read_signal(&file.path()))
}

/// Returns boot, process and time (Unix ns) of a name: `core.<program>.<user>.<boot>.<pid>.<µs>`, perhaps with the ending
/// of a compressed file. The program may itself contain dots.
fn parse_name(name: &str) -> Option<(&str, u32, i64)> {
    let name = name.strip_prefix("core.")?;
    let name =
        name.strip_suffix(".zst").or(name.strip_suffix(".lz4")).or(name.strip_suffix(".xz")).unwrap_or(name);
    let mut parts = name.rsplit('.');
    let (at, pid, boot) = (parts.next()?, parts.next()?, parts.next()?);
    Some((boot, pid.parse().ok()?, at.parse::<i64>().ok()?.checked_mul(1000)?))
}

fn read_signal(path: &Path) -> Option<i32> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut value = [0_u8; 16];
    #[cfg(target_os = "linux")]
    // SAFETY: both names end with a zero, and the buffer is valid for writing this many bytes.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), SIGNAL.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    #[cfg(not(target_os = "linux"))]
    let length = {
        (&path, SIGNAL, &mut value);
        -1_isize
    };
    let text = value.get(..usize::try_from(length).ok()?)?;
    let signal = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (1..=SIGNAL_MAX).contains(&signal).then_some(signal)
}

/// The highest number of a signal.
const SIGNAL_MAX: i32 = 64;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const BOOT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn names_of_core_files_say_boot_process_and_time() {
        let name = format!("core.my.shop.1000.{BOOT}.4242.1700000000000000.zst");
        let at = 1_700_000_000_000_000_000;
        assert_eq!(parse_name(&name), Some((BOOT, 4242, at)));
        assert_eq!(parse_name(name.trim_end_matches(".zst")), Some((BOOT, 4242, at)));
        for wrong in [
            "core",
            "core.4242",
            "shop.1000.b.4242.17",
            "core.s.1.b.x.17",
            "core.s.1.b.7.9223372036854775807",
        ] {
            assert_eq!(parse_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_signal_is_that_of_the_core_file_of_this_process() {
        // Attributes need a file system that keeps them: that of the build, not that of temporary files.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = |pid: u32, signal: &str| {
            let path = folder.path().join(format!("core.shop.1000.{BOOT}.{pid}.1700000000000000.zst"));
            std::fs::write(&path, b"").unwrap();
            let path = CString::new(path.as_os_str().as_bytes()).unwrap();
            // SAFETY: both names end with a zero, and the value has this many bytes.
            let set = unsafe {
                libc::setxattr(path.as_ptr(), SIGNAL.as_ptr(), signal.as_ptr().cast(), signal.len(), 0)
            };
            let error = std::io::Error::last_os_error();
            assert!(set == 0 || error.raw_os_error() == Some(libc::ENOTSUP), "{error}");
            set == 0
        };
        if !file(1, "6") {
            // The file system keeps no attributes, so systemd could not note the signal there either.
            return;
        }
        assert!(file(2, "11"));
        assert!(file(3, "not one"));
        assert!(file(4, "1000"));
        let found = |boot, pid, started_ns| find_in(folder.path(), boot, pid, started_ns);
        assert_eq!([1, 2, 3, 4, 5].map(|pid| found(BOOT, pid, 0)), [Some(6), Some(11), None, None, None]);
        assert_eq!(found("another", 1, 0), None);
        // An earlier process had the same number.
        assert_eq!(found(BOOT, 1, 1_700_000_000_000_000_001), None);
    }
}
