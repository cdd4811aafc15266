//! The choice of the store: the one that was named, otherwise the one written last in the default folder.
//!
//! It reads the environment, the folder and the dates of its files, and opens no file: a store is judged when
//! it is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use monitor_runtime::config::{Surroundings, default_folder, process_variable, ring_folders};

/// Returns the store that `--db` or `MONITOR_DB` names, otherwise the one written last.
pub(crate) fn find_store(named: Option<PathBuf>) -> Result<PathBuf> {
    match named {
        Some(path) if path.as_os_str() == ":memory:" => bail!(
            "a store in memory can be read only inside its own program; let the program write a file \
             (MONITOR_DB=PATH) and name it with --db PATH"
        ),
        Some(path) => Ok(path),
        None => find_last_written(&find_default_folder()?),
    }
}

/// Returns the folder where programs keep their stores by default.
pub(crate) fn find_default_folder() -> Result<PathBuf> {
    default_folder(&read_surroundings())
        .context("neither XDG_STATE_HOME nor HOME names a folder: name a store with --db PATH")
}

/// Returns the folders in which programs keep their ring files.
pub(crate) fn list_ring_folders() -> Vec<PathBuf> {
    ring_folders(&read_surroundings())
}

fn read_surroundings() -> Surroundings<'static> {
    Surroundings { variable: &process_variable, executable: None }
}

fn find_last_written(folder: &Path) -> Result<PathBuf> {
    let none = || {
        format!(
            "there is no store in {} yet: run a program with #[monitor] functions, or `monitor demo`, \
             or name a store with --db PATH",
            folder.display()
        )
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(none()),
        entries => entries.with_context(|| format!("cannot read the folder {}", folder.display()))?,
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "db") && path.is_file())
        .max_by_key(|path| read_write_time(path))
        .with_context(none)
}

/// Returns the time of the last write to the store: the later of the database's and its write-ahead log's,
/// because a commit reaches the log long before the database.
fn read_write_time(database: &Path) -> SystemTime {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    modified(database).max(modified(Path::new(&log))).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    fn touch(path: &Path, seconds: u64) {
        let file = File::create(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn the_store_whose_log_was_written_last_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        touch(&folder.path().join("old.db"), 100);
        touch(&folder.path().join("old.db-wal"), 900);
        touch(&folder.path().join("new.db"), 500);
        touch(&folder.path().join("other.txt"), 999);
        assert_eq!(find_last_written(folder.path()).unwrap(), folder.path().join("old.db"));
    }

    #[test]
    fn an_empty_or_missing_folder_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
            let message = find_last_written(&path).unwrap_err().to_string();
            assert!(message.contains("monitor demo") && message.contains("--db"), "{message}");
        }
    }
}
