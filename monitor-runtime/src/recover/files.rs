//! Ring files in their folders: their names, the death of their processes, and the lock of a recoverer.
//!
//! Takes folders and a store; gives locked files of dead processes with their content, and the content of files of
//! running processes. It changes nothing in a folder but to remove files that are done with. It does not know what
//! becomes of the content.
#![allow(clippy::disallowed_methods, reason = "ring files are no store's files")]

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::hash::Hasher as _;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fnv::FnvHasher;

use super::cause::Told;
use crate::limits::DEAD_RINGS_BYTES_MAX;
use crate::platform::core_file::find_signal;
use crate::platform::descriptor::KnownFile;
use crate::platform::file_system::effective_user;
use crate::platform::liveness::{self, ProcessEnd};
use crate::ring::layout::{PAGE_BYTES, head};
use crate::ring::reader::{Image, Refused};

/// Most files of a folder that are looked at; a folder of more is not the recorder's alone.
const FILES_MAX: usize = 4096;
/// Age at which a file without a published head is removed. A younger one may belong to a process that is just
/// starting.
const SILENT_MAX_NS: i64 = 600 * 1_000_000_000;
/// Most bytes of a file that are read: far more than the recorder allows any process.
const BYTES_MAX: u64 = 4 << 30;

/// Returns the name of a ring file: user, store, process and run. The run distinguishes the programs that one process
/// becomes by exec.
pub(crate) fn file_name(store: &Path, pid: u32, mark: &str, run_uuid: &str) -> PathBuf {
    let began = mark.rsplit('/').next().unwrap_or_default();
    let run = run_uuid.get(..8).unwrap_or(run_uuid);
    format!("{}{:016x}-{pid}-{began}-{run}", prefix(), hash(store)).into()
}

/// Returns the prefix of the names of this user's ring files.
fn prefix() -> String {
    format!("monitored-{}-", effective_user())
}

/// Returns the FNV-1a hash of a path, because the standard library's hashers promise no stability.
fn hash(path: &Path) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(path.as_os_str().as_encoded_bytes());
    hasher.finish()
}

/// A locked ring file of a dead process. Nobody else recovers it meanwhile.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    /// The open file. Closing it releases the lock.
    file: KnownFile,
}

impl Claim {
    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, whose content is in the store.
    pub(crate) fn remove(self) {
        if self.file.is_at(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the ring files of this user in these folders.
fn all(folders: &[PathBuf]) -> Vec<PathBuf> {
    let prefix = prefix();
    let mut paths = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        // The owner is looked at before files are counted, because others may put any number of files there.
        let ours = entries.flatten().filter(|entry| {
            entry.file_name().as_bytes().starts_with(prefix.as_bytes())
                && entry.metadata().is_ok_and(|found| found.uid() == effective_user())
        });
        paths.extend(ours.take(FILES_MAX).map(|entry| entry.path()));
    }
    paths.sort();
    paths
}

/// The extent of a search for ring files of dead processes.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The run of the searching process, whose own file is passed over.
    pub(crate) own_run: Option<String>,
    /// True if a file whose name has a living process is not opened, and of other stores' files only a few are.
    pub(crate) is_quick: bool,
}

impl Search {
    /// Returns the files that are to be looked at.
    fn select(&self, paths: Vec<PathBuf>, store: &Path) -> Vec<PathBuf> {
        let store = format!("{:016x}", hash(store));
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for path in paths {
            let Some((named, pid, run)) = path.file_name().and_then(OsStr::to_str).and_then(parts) else {
                others.push(path);
                continue;
            };
            let is_own = self.own_run.as_deref().is_some_and(|own| own.starts_with(run));
            if is_own || self.is_quick && Path::new("/proc").join(pid).exists() {
                continue;
            }
            if named == store { ours.push(path) } else { others.push(path) }
        }
        if self.is_quick && !others.is_empty() {
            // Each process takes others, so that every file has its turn.
            let first = std::process::id() as usize % others.len();
            others.rotate_left(first);
            others.truncate(OTHERS_QUICK);
        }
        ours.append(&mut others);
        ours
    }
}

/// Most files of other stores that a quick search looks at.
const OTHERS_QUICK: usize = 4;

/// Returns the parts of the name of a ring file: store, process and run.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.split('-').skip(2);
    let (store, pid, _, run) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((store, pid, run))
}

/// Locks and reads the next ring file that a dead process left for this store. Useless files are removed on the way.
pub(crate) fn claim_dead(
    folders: &[PathBuf],
    store: &Path,
    search: &Search,
    now_ns: i64,
) -> Option<(Claim, Image)> {
    search.select(all(folders), store).into_iter().find_map(|path| claim(path, store, now_ns))
}

/// Returns true if a dead process seems to have left a ring file for this store; the files are not locked.
pub(crate) fn any_dead(folders: &[PathBuf], store: &Path, now_ns: i64) -> bool {
    all(folders).iter().any(|path| {
        let head = open(path).and_then(|file| read(file, PAGE_BYTES as u64));
        head.and_then(|words| Image::parse(words).ok())
            .is_some_and(|image| is_for(&image, store) && is_dead(&image, path, now_ns))
    })
}

/// Reads the ring files of this user's running processes that record into this store.
pub(crate) fn read_living(folders: &[PathBuf], store: &Path, now_ns: i64) -> Vec<Image> {
    let image = |path: &PathBuf| {
        let head = Image::parse(read(open(path)?, PAGE_BYTES as u64)?).ok()?;
        if !is_for(&head, store) || is_dead(&head, path, now_ns) {
            return None;
        }
        let mut image = Image::parse(read(open(path)?, BYTES_MAX)?).ok()?;
        // Calls go on while the file is read.
        image.keep_confirmed_arguments(&Image::parse(read(open(path)?, BYTES_MAX)?).ok()?);
        Some(image)
    };
    all(folders).iter().filter_map(image).collect()
}

/// Removes the oldest ring files that dead processes left for other stores, until this user's ring files take no more memory
/// than their bound. Nobody may ever open those stores again. Returns the number of files and their bytes.
pub(crate) fn trim(folders: &[PathBuf], store: &Path, now_ns: i64) -> (u64, u64) {
    let mut bytes = 0_u64;
    let mut files = Vec::new();
    for path in all(folders) {
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        bytes += found.blocks() * BLOCK_BYTES;
        files.push((found.blocks() * BLOCK_BYTES, path));
    }
    let (mut removed, mut freed) = (0, 0);
    if bytes <= DEAD_RINGS_BYTES_MAX {
        return (removed, freed);
    }
    let mut dead: Vec<_> = files
        .into_iter()
        .filter_map(|(bytes, path)| {
            let image = Image::parse(read(open(&path)?, PAGE_BYTES as u64)?).ok()?;
            let is_left = !is_for(&image, store) && is_dead(&image, &path, now_ns);
            is_left.then_some((image.alive_ns, bytes, path))
        })
        .collect();
    dead.sort();
    for (_, file_bytes, path) in dead {
        if bytes - freed <= DEAD_RINGS_BYTES_MAX {
            break;
        }
        // A recoverer that is at work on the file holds its lock.
        let claimed = open(&path).is_some_and(|file| crate::ring::mapping::lock(&file).is_ok());
        if claimed && std::fs::remove_file(&path).is_ok() {
            removed += 1;
            freed += file_bytes;
        }
    }
    (removed, freed)
}

/// The unit in which a file system counts the memory of a file.
const BLOCK_BYTES: u64 = 512;

fn claim(path: PathBuf, store: &Path, now_ns: i64) -> Option<(Claim, Image)> {
    let head = read(open(&path)?, PAGE_BYTES as u64)?;
    match Image::parse(head) {
        Ok(image) if !is_dead(&image, &path, now_ns) => return None,
        Ok(image) if !is_for(&image, store) && !is_useless(&image, now_ns) => return None,
        Ok(_) | Err(Refused::NotOne) => {}
        // A file of another version is recovered by a program of that version.
        Err(Refused::Version(_)) => return None,
    }
    let file = open(&path)?;
    // The file's own process holds the lock until the file is mapped; another recoverer, until it has finished.
    crate::ring::mapping::lock(&file).ok()?;
    let (found, there) = (file.metadata().ok()?, std::fs::symlink_metadata(&path).ok()?);
    if (found.dev(), found.ino()) != (there.dev(), there.ino()) {
        return None;
    }
    let claim = Claim { path, file: KnownFile::new(file.try_clone().ok()?).ok()? };
    match read(file, BYTES_MAX).map(Image::parse)? {
        // The content is checked again under the lock.
        Ok(image) if is_dead(&image, &claim.path, now_ns) && is_for(&image, store) => Some((claim, image)),
        Ok(image) if is_dead(&image, &claim.path, now_ns) && is_useless(&image, now_ns) => {
            claim.remove();
            None
        }
        Err(Refused::NotOne) if now_ns - found.mtime().saturating_mul(1_000_000_000) > SILENT_MAX_NS => {
            claim.remove();
            None
        }
        _ => None,
    }
}

/// Opens a file of this user for reading. Links are not followed.
fn open(path: &Path) -> Option<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let found = file.metadata().ok()?;
    (found.is_file() && found.uid() == effective_user()).then_some(file)
}

/// Reads the words of a file: as many as its head says are in use, but at most this many bytes.
fn read(file: File, bytes_max: u64) -> Option<Vec<u64>> {
    let mut bytes = Vec::new();
    let mut file = file;
    file.by_ref().take(PAGE_BYTES as u64).read_to_end(&mut bytes).ok()?;
    let end = bytes.get(head::END * 8..head::END * 8 + 8)?.try_into().map(u64::from_le_bytes).ok()?;
    let rest = end.min(bytes_max).saturating_sub(bytes.len() as u64);
    file.take(rest).read_to_end(&mut bytes).ok()?;
    Some(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

/// Returns true if the records belong to this store: the store that was opened, else the one that was requested.
fn is_for(image: &Image, store: &Path) -> bool {
    let named = if image.store.is_empty() { &image.store_asked } else { &image.store };
    let named = Path::new(OsStr::from_bytes(named));
    named == store
        || with_resolved_folder(named).is_some_and(|named| Some(named) == with_resolved_folder(store))
}

/// Returns true if nobody will recover the file: the folder of its store is gone, or the retention of the store has
/// passed for all of it.
fn is_useless(image: &Image, now_ns: i64) -> bool {
    let named = if image.store.is_empty() { &image.store_asked } else { &image.store };
    let folder = Path::new(OsStr::from_bytes(named)).parent();
    let age_ns = now_ns.saturating_sub(image.alive_ns).max(0).cast_unsigned();
    age_ns > image.retention_ns
        || folder.is_some_and(|folder| folder.try_exists().is_ok_and(|is_there| !is_there))
}

/// Returns the path with the links in its folder resolved.
fn with_resolved_folder(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

/// Returns true if the process is gone, or has become another program by exec.
fn is_dead(image: &Image, path: &Path, now_ns: i64) -> bool {
    let silent_ns = now_ns.saturating_sub(image.alive_ns);
    liveness::is_gone(image.process.pid, Some(&image.mark), silent_ns)
        || liveness::is_here(&image.mark) && is_unmapped(image.process.pid, path)
}

/// Returns what the system says of the end of the file's process, which is dead or has become another program.
pub(crate) fn told_of_end(image: &Image, path: &Path) -> Told {
    match liveness::end_of(image.process.pid, &image.mark) {
        Some(ProcessEnd::Exited(status)) => Told::Exited(status),
        Some(ProcessEnd::Signal(signal)) => Told::Signal(signal),
        None if liveness::is_gone(image.process.pid, Some(&image.mark), 0) => {
            let is_here = liveness::is_here(&image.mark);
            let signal = is_here.then(|| find_signal(image.process.pid, image.process.started_ns)).flatten();
            signal.map_or(Told::Nothing, Told::Signal)
        }
        None if is_unmapped(image.process.pid, path) => Told::BecameAnother,
        None => Told::Nothing,
    }
}

/// Returns true if a process of this machine certainly does not map the file.
fn is_unmapped(pid: u32, path: &Path) -> bool {
    let Ok(maps) = std::fs::read(Path::new("/proc").join(pid.to_string()).join("maps")) else { return false };
    let name = path.file_name().unwrap_or_default().as_bytes();
    !maps.is_empty() && !maps.windows(name.len().max(1)).any(|window| window == name)
}
