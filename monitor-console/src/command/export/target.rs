//! The file that an export is written to.
//!
//! A file that exists is never opened for writing. Without `--force` it is refused; with it, a file beside it is
//! written and then renamed over it. The store and its logs are refused in any case. An export that fails leaves no
//! file behind. Only the user can read the file, because it may hold captured values.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

/// A file that is removed unless it is committed.
#[derive(Debug)]
pub(crate) struct Target {
    written: PathBuf,
    replaced: Option<PathBuf>,
    is_committed: bool,
}

impl Target {
    /// Creates the file, or one beside it that will replace it.
    pub(crate) fn reserve(path: &Path, store: &Path, is_forced: bool) -> Result<(Self, File)> {
        refuse_store(path, store)?;
        let replaced = (is_forced && fs::symlink_metadata(path).is_ok()).then(|| path.to_owned());
        if replaced.is_some() && path.is_dir() {
            bail!("{} is a folder: name a file", path.display());
        }
        let written = if replaced.is_some() {
            with_suffix(path, &format!(".{}.part", std::process::id()))
        } else {
            path.to_owned()
        };
        let file = create_private(&written).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                anyhow!("{} exists: name another file, or replace it with --force", written.display())
            }
            _ => anyhow::Error::new(error).context(format!("cannot write {}", written.display())),
        })?;
        Ok((Self { written, replaced, is_committed: false }, file))
    }

    /// Creates the file of a database. A log beside it is refused, because SQLite would apply the log to the new file.
    pub(crate) fn reserve_database(path: &Path, store: &Path, is_forced: bool) -> Result<(Self, File)> {
        for suffix in LOGS {
            let log = with_suffix(path, suffix);
            if fs::symlink_metadata(&log).is_ok() {
                bail!("{} exists, which is the log of another database: name another file", log.display());
            }
        }
        Self::reserve(path, store, is_forced)
    }

    /// Returns the path that is written to.
    pub(crate) fn written(&self) -> &Path {
        &self.written
    }

    /// Keeps what was written under the name that was asked for.
    pub(crate) fn commit(mut self, mut out: impl Write) -> Result<()> {
        out.flush().with_context(|| format!("cannot write {}", self.written.display()))?;
        // Windows does not rename an open file.
        drop(out);
        if let Some(replaced) = &self.replaced {
            fs::rename(&self.written, replaced)
                .with_context(|| format!("cannot replace {}", replaced.display()))?;
        }
        self.is_committed = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_committed {
            let _ = fs::remove_file(&self.written);
        }
    }
}

/// Fails if the path is that of a store, or of a file that SQLite keeps beside it.
pub(crate) fn refuse_store(path: &Path, store: &Path) -> Result<()> {
    if is_part_of(path, store) {
        bail!("{} belongs to the store itself: name another file", path.display());
    }
    Ok(())
}

/// Writes to standard output.
pub(crate) fn write_stdout(fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    // A lock would stay with this thread, and some writers may move between threads.
    let mut out = BufWriter::new(io::stdout());
    fill(&mut out)?;
    Ok(out.flush()?)
}

/// Creates a file that only the user can read; fails if it exists.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The endings of the files that SQLite keeps beside a database.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

fn is_part_of(path: &Path, store: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let store = store.canonicalize().unwrap_or_else(|_| store.to_owned());
    path == store || LOGS.iter().any(|suffix| path == with_suffix(&store, suffix))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
