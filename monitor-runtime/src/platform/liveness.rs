//! Tells whether a process that is recorded as running still runs. A mark taken at its start distinguishes it
//! from a later process with the same pid, from one before a reboot and from one in another container.

#![allow(clippy::disallowed_methods, reason = "reads files of /proc")]

use std::path::Path;

/// The silence after which a process in another container is taken for dead. A process reports every five minutes, and
/// its entry is corrected if it writes again.
const SILENT_MAX_NS: i64 = 600 * 1_000_000_000;

/// Returns the mark that distinguishes a process from all others: the kernel's boot, the pid namespace, and the
/// start in ticks since boot. Returns `None` if the system does not tell.
#[must_use]
pub fn mark(pid: u32) -> Option<String> {
    Some(format!("{}/{}", own_place()?, started(pid)?))
}

/// Returns whether the process has ended.
#[must_use]
pub fn is_gone(pid: u32, mark: Option<&str>, silent_ns: i64) -> bool {
    let (Some(own), Some((place, began))) = (own_place(), mark.and_then(|mark| mark.rsplit_once('/'))) else {
        return silent_ns > SILENT_MAX_NS;
    };
    if place == own {
        return started(pid).is_none_or(|start| start != began);
    }
    silent_ns > SILENT_MAX_NS
}

/// The end of a process, which the system keeps until the parent of the process has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    Exited(i32),
    Signal(i32),
}

/// Returns the end of a process whose parent has not taken it yet, else `None`. The system tells the parent's user alone.
#[must_use]
pub(crate) fn end_of(pid: u32, mark: &str) -> Option<ProcessEnd> {
    let (place, began) = mark.rsplit_once('/')?;
    if place != own_place()? {
        return None;
    }
    let stat = stat(pid)?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let (is_zombie, found) = (fields.next()? == "Z", fields.nth(18)?);
    // Field 52 is the status as `wait` would give it.
    let status: i32 = fields.nth(29)?.trim().parse().ok()?;
    if !is_zombie || found != began {
        return None;
    }
    Some(match status & 0x7F {
        0 => ProcessEnd::Exited(status >> 8 & 0xFF),
        signal => ProcessEnd::Signal(signal),
    })
}

fn stat(pid: u32) -> Option<String> {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()
}

/// Returns whether the process with this mark belongs to this boot and pid namespace, so that `/proc` shows it.
#[must_use]
pub(crate) fn is_here(mark: &str) -> bool {
    own_place().is_some_and(|own| mark.rsplit_once('/').is_some_and(|(place, _)| place == own))
}

/// Returns true if this process maps a file whose path contains this text.
#[must_use]
pub(crate) fn maps_file(part: &str) -> bool {
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains(part))
}

/// Returns the boot and the pid namespace of this process.
fn own_place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// Returns whether the process has more threads than the first one, which may have ended.
fn has_threads(pid: u32) -> bool {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    tasks.is_ok_and(|tasks| tasks.count() > 1)
}

/// Returns the start of a process, field 22 of `/proc/<pid>/stat`, or `None` if it has ended or is a zombie. The
/// second field is the program's name in parentheses and may itself contain blanks and parentheses, so fields
/// are counted from the last parenthesis.
fn started(pid: u32) -> Option<String> {
    let stat = stat(pid)?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") && !has_threads(pid) {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn this_process_is_there_and_neither_a_later_one_with_its_pid_nor_a_finished_one_is() {
        let own = mark(std::process::id()).unwrap();
        assert!(!is_gone(std::process::id(), Some(&own), i64::MAX));
        assert!(is_gone(std::process::id(), Some(&format!("{own}0")), 0));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let marked = mark(child.id());
        child.wait().unwrap();
        assert!(is_gone(child.id(), marked.as_deref().or(Some(&own)), 0));
    }

    #[test]
    fn the_end_of_a_process_is_told_until_its_parent_has_taken_it() {
        for (script, end) in
            [("read x; exit 7", ProcessEnd::Exited(7)), ("read x; kill -9 $$", ProcessEnd::Signal(9))]
        {
            let mut shell = std::process::Command::new("sh");
            let mut child = shell.args(["-c", script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
            let marked = mark(child.id()).unwrap();
            assert_eq!(end_of(child.id(), &marked), None);
            drop(child.stdin.take());
            while !is_gone(child.id(), Some(&marked), 0) {
                std::thread::yield_now();
            }
            assert_eq!(end_of(child.id(), &marked), Some(end));
            assert_eq!(end_of(child.id(), &format!("{marked}0")), None);
            child.wait().unwrap();
            assert_eq!(end_of(child.id(), &marked), None);
        }
    }

    #[test]
    fn a_process_elsewhere_is_judged_by_its_silence() {
        assert!(!is_gone(1, Some("other-boot/pid:[1]/17"), 1));
        assert!(is_gone(1, Some("other-boot/pid:[1]/17"), SILENT_MAX_NS + 1));
        assert!(is_gone(1, None, SILENT_MAX_NS + 1));
    }
}
