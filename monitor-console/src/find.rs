//! Which store to open when none is named: the one written last in the default folder.
//!
//! Reads the folder and the dates of its files and nothing else; a file is judged when it is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use monitor_runtime::config::{
    Surroundings, default_folder, process_variable, ring_folders as ring_folders_of,
};

/// `--db` or `MONITOR_DB`, else the store written last.
pub(crate) fn store(named: Option<PathBuf>) -> Result<PathBuf> {
    match named {
        Some(path) if path.as_os_str() == ":memory:" => bail!(
            "a store in memory can be read only inside its own program; let the program write a file \
             (MONITOR_DB=PATH) and name it with --db PATH"
        ),
        Some(path) => Ok(path),
        None => written_last(&folder()?),
    }
}

/// The folder where programs keep their stores unless told otherwise.
pub(crate) fn folder() -> Result<PathBuf> {
    default_folder(&Surroundings { variable: &process_variable, executable: None })
        .context("neither XDG_STATE_HOME nor HOME names a folder: name a store with --db PATH")
}

/// The folders in which programs keep their ring files.
pub(crate) fn ring_folders() -> Vec<PathBuf> {
    ring_folders_of(&Surroundings { variable: &process_variable, executable: None })
}

fn written_last(folder: &Path) -> Result<PathBuf> {
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
        .max_by_key(|path| written(path))
        .with_context(none)
}

/// When the store was written last; a commit touches the log long before it touches the database.
fn written(database: &Path) -> SystemTime {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let date = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    date(database).max(date(Path::new(&log))).unwrap_or(SystemTime::UNIX_EPOCH)
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
        assert_eq!(written_last(folder.path()).unwrap(), folder.path().join("old.db"));
    }

    #[test]
    fn an_empty_or_missing_folder_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
            let message = written_last(&path).unwrap_err().to_string();
            assert!(message.contains("monitor demo") && message.contains("--db"), "{message}");
        }
    }
}
