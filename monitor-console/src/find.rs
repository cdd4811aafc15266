//! The choice of the store: the one that was named, otherwise the one written last in the default folder.
//!
//! The search reads the environment, the folder and the dates of its files, and returns a path in one spelling, with
//! links resolved, because ring files name their store by path. Programs leave a file that is no store of theirs
//! untouched and use one beside it; the choice follows them and says so on standard error.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use monitor_runtime::config::{Surroundings, default_folder, process_variable, ring_folders};
use monitor_runtime::platform::file_system::resolve_links;
use monitor_runtime::store::query;

use crate::store::Store;
use crate::terminal;

/// Returns the store that `--db` or `MONITOR_DB` names, otherwise the one written last.
pub(crate) fn find_store(named: Option<PathBuf>) -> Result<PathBuf> {
    match named {
        Some(path) if path.as_os_str() == ":memory:" => bail!(
            "a store in memory can be read only inside its own program; let the program write a file \
             (MONITOR_DB=PATH) and name it with --db PATH"
        ),
        Some(path) => Ok(follow_programs(&resolve_spelling(&path))),
        None => find_last_written(&find_default_folder()?),
    }
}

/// Returns the files that `--db` names, in the order of the options: a pattern stands for the stores that it matches,
/// in alphabetical order. If a file has exactly the name of a pattern, that file is meant; a name with `?` or `[` that
/// matches nothing also stands for itself.
pub(crate) fn expand_patterns(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in named {
        let text = path.to_str().filter(|text| text.contains(['*', '?', '[']) && !path.exists());
        let Some(pattern) = text else {
            paths.push(path.clone());
            continue;
        };
        let matches =
            glob::glob(pattern).with_context(|| format!("--db {pattern} is no pattern of file names"))?;
        let before = paths.len();
        paths.extend(matches.filter_map(Result::ok).filter(|path| path.is_file() && !is_log(path)));
        if paths.len() == before && !pattern.contains('*') {
            paths.push(path.clone());
        } else if paths.len() == before {
            bail!(
                "no file is named like {pattern}: `*` stands for any text within a name, `**` for any folders"
            );
        }
    }
    Ok(paths)
}

/// Returns true for a file that SQLite keeps beside a database.
fn is_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["-wal", "-shm", "-journal"].iter().any(|end| name.ends_with(end))
}

/// Returns the stores in the default folder, the one written last first.
pub(crate) fn list_default_stores() -> Result<Vec<PathBuf>> {
    list_candidates(&find_default_folder()?)
}

/// Returns the one spelling of a path: absolute, with links resolved, also if the file is yet to be made.
fn resolve_spelling(path: &Path) -> PathBuf {
    let in_folder = || {
        let absolute = std::path::absolute(path).ok()?;
        Some(resolve_links(absolute.parent()?).ok()?.join(absolute.file_name()?))
    };
    resolve_links(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// Returns the file that programs use when they are given this path, and prints a note if that is another file.
pub(crate) fn follow_programs(path: &Path) -> PathBuf {
    let (used, reasons) = query::find_store_in_use(path);
    if used != path {
        let reasons = reasons.join("; ");
        terminal::print_note_once(&format!(
            "{reasons}: programs use {} instead, which is shown",
            used.display()
        ));
    }
    used
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
    choose_readable(&list_candidates(folder)?).with_context(|| explain_no_store(folder))?
}

fn explain_no_store(folder: &Path) -> String {
    format!(
        "there is no store in {} yet: run a program with #[monitor] functions, or `monitor demo`, \
         or name a store with --db PATH",
        folder.display()
    )
}

/// Returns the files of a folder that may be stores, the one written last first; fails if there is none.
fn list_candidates(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(explain_no_store(folder)),
        entries => entries.with_context(|| format!("cannot read the folder {}", folder.display()))?,
    };
    let mut candidates: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "db") && path.is_file())
        .collect();
    if candidates.is_empty() {
        bail!(explain_no_store(folder));
    }
    candidates.sort_by_key(|path| Reverse(read_write_time(path)));
    Ok(candidates)
}

/// Returns the first store that can be opened, and prints a note about each file before it; the error of the first file
/// if none can be opened, and `None` if there is no file.
fn choose_readable(candidates: &[PathBuf]) -> Option<Result<PathBuf>> {
    let mut first_error = None;
    let mut passed_over = Vec::new();
    for candidate in candidates {
        let path = follow_programs(&resolve_spelling(candidate));
        match Store::open(&path) {
            Ok(_) => {
                if !passed_over.is_empty() {
                    terminal::print_note_once(&format!("passed over {}", passed_over.join("; ")));
                }
                return Some(Ok(path));
            }
            Err(error) => {
                passed_over.push(format!("{} ({error:#})", candidate.display()));
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map(Err)
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

    #[test]
    fn every_spelling_of_a_path_is_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("shop.db"), "x").unwrap();
        std::os::unix::fs::symlink(&root, root.join("sub/up")).unwrap();
        std::os::unix::fs::symlink(root.join("shop.db"), root.join("link.db")).unwrap();
        for spelling in ["shop.db", "./shop.db", "sub/../shop.db", "sub/up/shop.db", "link.db"] {
            assert_eq!(resolve_spelling(&root.join(spelling)), root.join("shop.db"), "{spelling}");
        }
        assert_eq!(resolve_spelling(&root.join("sub/up/missing.db")), root.join("missing.db"));
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        for bare in ["missing.db", "./missing.db"] {
            assert_eq!(resolve_spelling(Path::new(bare)), here.join("missing.db"));
        }
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
