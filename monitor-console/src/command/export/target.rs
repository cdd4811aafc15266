//! The file that an export is written to.
//!
//! A file is written beside the one that was asked for, and takes its name once it is whole. So an export that is
//! interrupted leaves no file that looks whole, and one that fails leaves none at all. A file that exists is replaced with
//! `--force` only. A pipe or a device is written to as it is. The store and its logs are refused in any case. Only the user
//! can read a new file that may hold captured values.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

/// Those who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Only the user may read the file, because it may hold captured values.
    User,
    /// The user's umask decides who may read the file, because other programs collect its figures.
    Others,
}

/// The way in which a written file gets the name that was asked for.
#[derive(Debug)]
enum Publication {
    /// It is new. A file that came there meanwhile is not replaced.
    New(PathBuf),
    /// It takes the place of this file.
    Replacing(PathBuf),
    /// The file needs no further name: it is a pipe or a device, or it has been published.
    Done,
}

/// A file that is removed unless it is committed.
#[derive(Debug)]
pub(crate) struct Target {
    written: PathBuf,
    publication: Publication,
}

impl Target {
    /// Creates a file beside the one that was asked for, or opens a pipe or a device.
    pub(crate) fn reserve(
        path: &Path,
        store: &Path,
        is_forced: bool,
        readers: Readers,
    ) -> Result<(Self, File)> {
        refuse_store(path, store)?;
        let found = fs::metadata(path);
        if found.as_ref().is_ok_and(fs::Metadata::is_dir) {
            bail!("{} is a folder: name a file", path.display());
        }
        if found.as_ref().is_ok_and(|found| !found.is_file()) {
            let open = OpenOptions::new().write(true).open(path);
            let file = open.with_context(|| format!("cannot write {}", path.display()))?;
            return Ok((Self { written: path.to_owned(), publication: Publication::Done }, file));
        }
        let exists = fs::symlink_metadata(path).is_ok();
        if exists && !is_forced {
            return Err(refuse_to_replace(path));
        }
        // A link stays, and the file that it names is replaced.
        let published = if found.is_ok() {
            path.canonicalize().unwrap_or_else(|_| path.to_owned())
        } else {
            path.to_owned()
        };
        let written = with_suffix(&published, &format!(".{}.part", std::process::id()));
        let file = create(&written, readers, found.ok().map(|found| found.permissions()))
            .with_context(|| format!("cannot write {}", written.display()))?;
        let publication =
            if exists { Publication::Replacing(published) } else { Publication::New(published) };
        Ok((Self { written, publication }, file))
    }

    /// Creates the file of a database. A log beside it is refused, because SQLite would apply the log to the new file.
    pub(crate) fn reserve_database(path: &Path, store: &Path, is_forced: bool) -> Result<(Self, File)> {
        // The store has logs of its own, which are not those of another database.
        refuse_store(path, store)?;
        for suffix in LOGS {
            let log = with_suffix(path, suffix);
            if fs::symlink_metadata(&log).is_ok() {
                bail!("{} exists, which is the log of another database: name another file", log.display());
            }
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            bail!("{} is a pipe or a device, which cannot hold a database: name a file", path.display());
        }
        Self::reserve(path, store, is_forced, Readers::User)
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
        match &self.publication {
            Publication::Done => {}
            Publication::New(path) => publish_new(&self.written, path)?,
            Publication::Replacing(path) => fs::rename(&self.written, path)
                .with_context(|| format!("cannot replace {}", path.display()))?,
        }
        self.publication = Publication::Done;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !matches!(self.publication, Publication::Done) {
            let _ = fs::remove_file(&self.written);
        }
    }
}

/// Gives a written file its name, unless a file of that name was made meanwhile.
fn publish_new(written: &Path, path: &Path) -> Result<()> {
    match fs::hard_link(written, path) {
        Ok(()) => {
            let _ = fs::remove_file(written);
            Ok(())
        }
        Err(_) if fs::symlink_metadata(path).is_ok() => Err(refuse_to_replace(path)),
        // Some file systems have no hard links.
        Err(_) => fs::rename(written, path).with_context(|| format!("cannot write {}", path.display())),
    }
}

fn refuse_to_replace(path: &Path) -> anyhow::Error {
    anyhow!("{} exists: name another file, or replace it with --force", path.display())
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

/// Creates a file; fails if it exists. It gets the permissions of the file that it will replace.
#[cfg_attr(not(unix), expect(unused_variables, reason = "access is inherited from the folder"))]
fn create(path: &Path, readers: Readers, permissions: Option<Permissions>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::User || permissions.is_some() {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    if let Some(permissions) = permissions {
        let _ = file.set_permissions(permissions);
    }
    Ok(file)
}

/// The endings of the files that SQLite keeps beside a database.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Returns true if the path is that of the store or of one of its logs. A log counts even if it does not exist yet,
/// because SQLite creates it at the next write, and replaces or deletes a file of that name.
fn is_part_of(path: &Path, store: &Path) -> bool {
    let Some(path) = resolve(path) else { return false };
    let store = store.canonicalize().unwrap_or_else(|_| store.to_owned());
    path == store || LOGS.iter().any(|suffix| path == with_suffix(&store, suffix))
}

/// Returns the path without links and `..`; of a file that does not exist, that of its folder with the file's name.
/// Returns `None` if the folder does not exist either.
fn resolve(path: &Path) -> Option<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        return Some(path);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_file_gets_its_name_once_it_is_whole_and_takes_no_other_files_place() {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = (folder.path().join("shop.db"), folder.path().join("calls.csv"));
        let names = || {
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        let reserve = |is_forced| Target::reserve(&path, &store, is_forced, Readers::User);
        let (target, mut file) = reserve(false).unwrap();
        file.write_all(b"rows").unwrap();
        assert!(!path.exists());
        target.commit(file).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"rows");
        assert_eq!(names(), ["calls.csv"]);
        assert!(reserve(false).unwrap_err().to_string().contains("--force"));
        fs::remove_file(&path).unwrap();
        // Another file of the name was made meanwhile.
        let (target, file) = reserve(false).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(target.commit(file).unwrap_err().to_string().contains("--force"));
        assert_eq!((fs::read(&path).unwrap(), names()), (b"mine".to_vec(), vec!["calls.csv".into()]));
        drop(reserve(true).unwrap());
        assert_eq!((fs::read(&path).unwrap(), names()), (b"mine".to_vec(), vec!["calls.csv".into()]));
    }

    #[test]
    fn the_logs_of_a_store_belong_to_it_before_they_exist() {
        let folder = tempfile::tempdir().unwrap();
        let within = |name: &str| folder.path().join(name);
        let store = within("shop.db");
        fs::write(&store, "rows").unwrap();
        fs::create_dir(within("sub")).unwrap();
        for suffix in LOGS {
            let name = format!("shop.db{suffix}");
            for path in [within(&name), within(&format!("sub/../{name}")), within("./").join(&name)] {
                assert!(is_part_of(&path, &store), "{}", path.display());
            }
            for path in [within(&format!("sub/{name}")), within(&format!("none/{name}")), within("shop.db2")]
            {
                assert!(!is_part_of(&path, &store), "{}", path.display());
            }
            #[cfg(unix)]
            {
                // SQLite keeps the logs beside the file that a link names.
                let (link, folder_link) = (within("sub/link.db"), within("there"));
                let _ = std::os::unix::fs::symlink(&store, &link);
                let _ = std::os::unix::fs::symlink(folder.path(), &folder_link);
                assert!(is_part_of(&within(&name), &link) && is_part_of(&folder_link.join(&name), &store));
            }
        }
        assert_eq!(
            resolve(Path::new("no such file")),
            Some(Path::new(".").canonicalize().unwrap().join("no such file"))
        );
    }
}
