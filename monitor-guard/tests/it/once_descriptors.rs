//! Keys in programs that fork, and that close descriptors which they did not open.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use monitored_guard::{Ledger, Once, OnceError};

const PART: &str = "MONITORED_GUARD_TEST_DESCRIPTORS";
const FOLDER: &str = "MONITORED_GUARD_TEST_FOLDER";
const DAY: Duration = Duration::from_secs(86_400);

fn act(ledger: &Ledger, key: &str, value: u32) -> Result<Once<u32>, OnceError<String>> {
    ledger.once(key, DAY, || Ok(value))
}

/// The program that forks or closes descriptors.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    let folder = std::env::var_os(FOLDER).unwrap();
    match part.as_str() {
        "forks" => play_forks(Path::new(&folder)),
        _ => play_closes(Path::new(&folder)),
    }
}

fn play(part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "once_descriptors::child", "--nocapture"])
        .env(PART, part)
        .env(FOLDER, folder.path())
        .env("MONITOR_DB", folder.path().join("store.db"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Forks while a function runs. The child finds its key in progress, and does a side effect of its own.
fn play_forks(folder: &Path) {
    let ledger = Ledger::new(folder.join("once.db"));
    act(&ledger, "before", 1).unwrap();
    let result = ledger.once("around", DAY, || {
        // SAFETY: the child uses nothing that another thread of the parent could have locked, and ends at once.
        match unsafe { libc::fork() } {
            0 => {
                let within = act(&ledger, "around", 9);
                let is_right = matches!(within, Err(OnceError::InProgress(_)))
                    && act(&ledger, "before", 9) == Ok(Once::Recorded(1))
                    && act(&ledger, "child", 2) == Ok(Once::First(2));
                // SAFETY: nothing of the process is used any more.
                unsafe { libc::_exit(i32::from(!is_right)) }
            }
            child => {
                let mut status = 0;
                // SAFETY: `status` outlives the call.
                let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
                assert_eq!((waited, status), (child, 0));
            }
        }
        Ok::<u32, String>(3)
    });
    assert_eq!(result, Ok(Once::First(3)));
    for (key, value) in [("around", 3), ("child", 2)] {
        assert_eq!(act(&ledger, key, 9), Ok(Once::Recorded(value)));
    }
}

#[test]
fn the_child_of_a_fork_shares_the_keys_and_not_the_connections() {
    play("forks");
}

/// Closes the descriptors of the file of keys, and opens files that get their numbers.
fn play_closes(folder: &Path) {
    let ledger = Ledger::new(folder.join("once.db"));
    act(&ledger, "before", 1).unwrap();
    act(&ledger, "before", 1).unwrap();
    for round in 0..2 {
        let mut closed = 0;
        for number in 3..200 {
            let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("once.db")) {
                // SAFETY: the descriptor is not used after that, which is what is to be seen.
                unsafe { libc::close(number) };
                closed += 1;
            }
        }
        assert!(closed >= 3, "{closed}");
        let foreign = folder.join(format!("foreign {round}"));
        let files: Vec<_> = (0..closed).map(|_| std::fs::File::create(&foreign).unwrap()).collect();
        assert_eq!(act(&ledger, "before", 9), Ok(Once::Recorded(1)));
        assert_eq!(act(&ledger, &format!("after {round}"), 2), Ok(Once::First(2)));
        assert_eq!(act(&ledger, &format!("after {round}"), 9), Ok(Once::Recorded(2)));
        drop(files);
        assert_eq!(
            std::fs::metadata(&foreign).unwrap().len(),
            0,
            "something was written into a foreign file"
        );
    }
}

#[test]
fn a_program_may_close_the_descriptors_of_the_keys() {
    play("closes");
}
