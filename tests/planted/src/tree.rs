//! A copy of the repository to plant bugs in. It is kept between runs under the target folder, so that each bug costs
//! only the build of what it touches.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::list::root;

#[derive(Debug)]
pub(crate) struct Tree {
    folder: PathBuf,
    /// The folder of its builds. Other tests start the programs in the repository's own folder.
    pub(crate) build: PathBuf,
}

impl Tree {
    /// Brings the copy up to date. An unchanged file is not touched, because cargo compares times.
    pub(crate) fn copy() -> Result<Self, String> {
        let (root, base) = (root(), target().join("planted"));
        let tree = Self { folder: base.join("tree"), build: base.join("build") };
        let files = files(&root)?;
        for file in &files {
            let (from, to) = (root.join(file), tree.folder.join(file));
            let text = std::fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
            if std::fs::read(&to).is_ok_and(|there| there == text) {
                continue;
            }
            let parent = to.parent().unwrap_or(&tree.folder);
            std::fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
            write(&to, &text)?;
        }
        tree.remove_others(&files)?;
        Ok(tree)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Removes files of an earlier copy that are not in the repository any more.
    fn remove_others(&self, files: &[String]) -> Result<(), String> {
        let kept: std::collections::HashSet<PathBuf> = files.iter().map(|file| self.path(file)).collect();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if !kept.contains(&path) {
                    std::fs::remove_file(&path).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns the files that belong to the repository, those not yet committed included.
fn files(root: &Path) -> Result<Vec<String>, String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(names.split('\0').filter(|name| root.join(name).is_file()).map(str::to_owned).collect())
}

fn write(path: &Path, text: &[u8]) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs `body` while a file is edited, and restores the file.
pub(crate) fn with_edit<R>(
    path: &Path,
    edit: impl FnOnce(&str) -> Result<String, String>,
    body: impl FnOnce() -> R,
) -> Result<R, String> {
    let before = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    write(path, edit(&before)?.as_bytes())?;
    let result = body();
    write(path, before.as_bytes())?;
    Ok(result)
}
