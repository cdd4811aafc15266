//! Reports whether a process that is recorded as running still runs. A mark taken at its start distinguishes it from a
//! later process with the same pid, from one before a reboot and from one in another container.

pub(crate) use super::process_end::ProcessEnd;
use super::system;
pub(crate) use super::system::{end_of, maps_file};
#[cfg(any(target_os = "linux", target_os = "android", windows))]
pub(crate) use super::system::{is_of_earlier_boot, is_running, is_unmapped};

/// The silence after which a process in another container is taken for dead. A process reports every five minutes, and
/// its entry is corrected if it writes again.
const SILENT_MAX_NS: i64 = 600 * 1_000_000_000;

/// Returns the mark that distinguishes a process from all others: the kernel's boot, the pid namespace, and the start
/// in ticks since boot. Returns `None` if the system does not report them.
#[must_use]
pub fn mark(pid: u32) -> Option<String> {
    Some(format!("{}/{}", system::own_place()?, system::started(pid)?))
}

/// Returns whether a process with this number runs on the host of this name. Returns `None` for another host, and if
/// the system does not report it.
#[must_use]
pub fn is_running_on(host: &str, pid: u32) -> Option<bool> {
    system::own_place()?;
    (host == system::host_name()).then(|| system::is_running(pid))
}

/// Returns whether the process with this pid and mark has ended. A process that cannot be seen from here, or that has
/// no mark, is taken for ended after ten minutes of silence; `silent_ns` is the time since it last reported.
#[must_use]
pub fn is_gone(pid: u32, mark: Option<&str>, silent_ns: i64) -> bool {
    let (Some(own), Some((place, began))) =
        (system::own_place(), mark.and_then(|mark| mark.rsplit_once('/')))
    else {
        return silent_ns > SILENT_MAX_NS;
    };
    if place == own {
        return system::started(pid).is_none_or(|start| start != began);
    }
    silent_ns > SILENT_MAX_NS
}

/// Returns whether the process with this mark belongs to this boot and pid namespace, so that the system shows it.
#[must_use]
pub(crate) fn is_visible(mark: &str) -> bool {
    system::own_place().is_some_and(|own| mark.rsplit_once('/').is_some_and(|(place, _)| place == own))
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
