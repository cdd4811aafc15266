//! Whether a process that is said to be running still is. A mark taken when it began tells it from a
//! later process with the same pid, from one before a reboot and from one in another container.

#![allow(clippy::disallowed_methods, reason = "what it reads lies in /proc")]

use std::path::Path;

/// How long a process that cannot be looked at may be silent before it is taken for dead; it reports
/// every 10 s, and the entry is put right if it writes again.
const SILENT_MAX_NS: i64 = 600 * 1_000_000_000;

/// What tells a process from all others: kernel's boot, pid namespace, start in ticks since boot.
/// `None` where the system does not say.
#[must_use]
pub fn mark(pid: u32) -> Option<String> {
    Some(format!("{}/{}", here()?, started(pid)?))
}

/// Whether the process is gone.
#[must_use]
pub fn is_gone(pid: u32, mark: Option<&str>, silent_ns: i64) -> bool {
    let (Some(here), Some((place, began))) = (here(), mark.and_then(|mark| mark.rsplit_once('/'))) else {
        return silent_ns > SILENT_MAX_NS;
    };
    if place == here {
        return started(pid).is_none_or(|start| start != began);
    }
    silent_ns > SILENT_MAX_NS
}

/// Whether a process of this mark, if it runs, runs where it can be looked at.
#[must_use]
pub(crate) fn is_here(mark: &str) -> bool {
    here().is_some_and(|here| mark.rsplit_once('/').is_some_and(|(place, _)| place == here))
}

fn here() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// Whether threads run on where the first one has ended.
fn has_threads(pid: u32) -> bool {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    tasks.is_ok_and(|tasks| tasks.count() > 1)
}

/// Field 22 of `/proc/<pid>/stat`. The second field is the program's name in parentheses and may
/// itself hold blanks and parentheses, so fields are counted from the last one; a zombie is gone.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
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
    fn a_process_elsewhere_is_judged_by_its_silence() {
        assert!(!is_gone(1, Some("other-boot/pid:[1]/17"), 1));
        assert!(is_gone(1, Some("other-boot/pid:[1]/17"), SILENT_MAX_NS + 1));
        assert!(is_gone(1, None, SILENT_MAX_NS + 1));
    }
}
