//! Ring files in their folders: their names, the death of their processes, and the lock of a recoverer.
//!
//! Takes folders and a store; gives locked files of dead processes with their content, and the content of files of
//! running processes. In a folder it changes nothing, except that it removes files that are no longer needed, and sets
//! files aside whose recovery ends processes. It does not know what becomes of the content.
#![allow(clippy::disallowed_methods, reason = "ring files are no store's files")]

use std::ffi::OsStr;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fnv::FnvHasher;

use super::cause::SystemReport;
use crate::limits::DEAD_RINGS_BYTES_MAX;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::platform::core_file::find_signal;
use crate::platform::descriptor::KnownFile;
use crate::platform::file_system::{effective_user, path_from_bytes};
use crate::platform::liveness::{self, ProcessEnd};
use crate::platform::own_file::{self, open};
use crate::ring::layout::{DONE, PAGE_BYTES, head};
use crate::ring::reader::{Image, Refused};
use crate::ring::source::Source;

/// The largest number of files of a folder that are looked at. If there are more, the folder is not used by the
/// recorder alone.
const FILES_MAX: usize = 4096;
/// The age, in nanoseconds, from which a file without a published head is removed. A younger one may belong to a
/// process that is just starting.
const SILENT_MAX_NS: i64 = 600 * 1_000_000_000;
/// The largest number of bytes of a file that are read: far more than the recorder allows any process.
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

    /// Returns the number of earlier tries to recover the file during which the recovering process ended.
    fn tries(&self) -> u64 {
        let mut bytes = [0; 8];
        let file = self.file.get().map(|(file, _)| file);
        let is_read = file.is_some_and(|file| own_file::read_at(file, &mut bytes, TRIES_AT));
        if is_read { u64::from_ne_bytes(bytes) } else { 0 }
    }

    /// Notes the number of tries, this one included. If this try ends its process, the next process finds the number
    /// there.
    pub(crate) fn note_tries(&self, tries: u64) {
        if !self.file.is_at(&self.path) {
            return;
        }
        if let Some(file) = own_file::open_to_write(&self.path) {
            own_file::write_at(&file, &tries.to_ne_bytes(), TRIES_AT);
        }
    }

    /// Sets the file aside, because its recovery has ended processes. Returns its new name.
    fn set_aside(self) -> Option<PathBuf> {
        let mut name = self.path.clone().into_os_string();
        name.push(ASIDE);
        let is_moved = self.file.is_at(&self.path) && std::fs::rename(&self.path, &name).is_ok();
        is_moved.then(|| name.into())
    }

    /// Removes the file, because its content is in the store or of no use.
    pub(crate) fn remove(self) {
        if self.file.is_at(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The offset of the number of tries in a ring file, in bytes.
const TRIES_AT: u64 = head::TRIES as u64 * 8;
/// The number of failed tries after which a file is set aside.
const TRIES_MAX: u64 = 2;
/// The ending of the name of a file that was set aside.
const ASIDE: &str = ".aside";

fn is_aside(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(ASIDE.as_bytes())
}

/// Returns the ring files of this user in these folders, without those that were set aside.
fn find_files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = find_files_with_aside(folders);
    paths.retain(|path| !is_aside(path));
    paths
}

fn find_files_with_aside(folders: &[PathBuf]) -> Vec<PathBuf> {
    let prefix = prefix();
    let mut paths = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        // The owner is looked at before files are counted, because others may put any number of files there.
        let ours = entries.flatten().filter(|entry| {
            entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())
                && entry.metadata().is_ok_and(|found| own_file::is_own(&found))
        });
        paths.extend(ours.take(FILES_MAX).map(|entry| entry.path()));
    }
    paths.sort();
    paths
}

/// The extent of a search for ring files of dead processes.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The run of the searching process, whose own file is skipped.
    pub(crate) own_run: Option<String>,
    /// True if the search skips files whose name has the id of a living process, and all but a few files of other
    /// stores.
    pub(crate) is_quick: bool,
    /// True if files that were set aside are recovered as well, because a person asked, and no monitored program would
    /// end.
    pub(crate) takes_aside: bool,
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
            if is_own || self.is_quick && pid.parse().is_ok_and(liveness::is_running) {
                continue;
            }
            if named == store { ours.push(path) } else { others.push(path) }
        }
        if self.is_quick && !others.is_empty() {
            // Each process takes different ones, so that every file has its turn.
            let first = std::process::id() as usize % others.len();
            others.rotate_left(first);
            others.truncate(QUICK_FILES_MAX);
        }
        ours.append(&mut others);
        ours
    }
}

/// The largest number of files of other stores that a quick search looks at.
const QUICK_FILES_MAX: usize = 4;

/// Returns the parts of the name of a ring file: store, process and run; `None` for another name.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.split('-').skip(2);
    let (store, pid, _, run) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((store, pid, run))
}

/// A ring file that a dead process left for the store.
#[derive(Debug)]
pub(crate) enum OrphanFile {
    /// The file is locked, and its content can be read.
    Dead(Claim, Box<Image>),
    /// The file was set aside under this name, because its recovery ended a process twice.
    Aside(PathBuf),
}

/// Finds and locks the next ring file that a dead process left for this store. Useless files are removed on the way.
pub(crate) fn claim_dead(
    folders: &[PathBuf],
    store: &Path,
    search: &Search,
    now_ns: i64,
) -> Option<OrphanFile> {
    let paths = if search.takes_aside { find_files_with_aside(folders) } else { find_files(folders) };
    search.select(paths, store).into_iter().find_map(|path| {
        let (claim, image) = claim(path, store, now_ns)?;
        let tries = claim.tries();
        if tries >= TRIES_MAX && !search.takes_aside {
            return claim.set_aside().map(OrphanFile::Aside);
        }
        claim.note_tries(tries + 1);
        Some(OrphanFile::Dead(claim, Box::new(image)))
    })
}

/// Returns true if a dead process seems to have left a ring file for this store, set aside or not; the files are not
/// locked.
pub(crate) fn any_dead(folders: &[PathBuf], store: &Path, now_ns: i64) -> bool {
    find_files_with_aside(folders).iter().any(|path| {
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
    find_files(folders).iter().filter_map(image).collect()
}

/// Removes the oldest ring files that were set aside, or that dead processes left for other stores, until such files
/// take no more memory than their bound. Nobody may ever open those stores again. The files of running processes do not
/// count, because many of them would leave no room for the files of a program that is about to start again. Returns the
/// number of removed files and their bytes.
pub(crate) fn trim(folders: &[PathBuf], store: &Path, now_ns: i64) -> (u64, u64) {
    let mut bytes = 0_u64;
    let mut files = Vec::new();
    for path in find_files_with_aside(folders) {
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        let taken = own_file::taken_bytes(&path, &found);
        bytes += taken;
        files.push((taken, path));
    }
    let (mut removed, mut freed) = (0, 0);
    if bytes <= DEAD_RINGS_BYTES_MAX {
        return (removed, freed);
    }
    let mut dead: Vec<_> = files
        .into_iter()
        .filter_map(|(bytes, path)| {
            let image = Image::parse(read(open(&path)?, PAGE_BYTES as u64)?).ok()?;
            let is_left = is_aside(&path) || !is_for(&image, store) && is_dead(&image, &path, now_ns);
            is_left.then_some((image.alive_ns, bytes, path))
        })
        .collect();
    dead.sort();
    let bytes: u64 = dead.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, file_bytes, path) in dead {
        if bytes - freed <= DEAD_RINGS_BYTES_MAX {
            break;
        }
        // A recoverer that is at work on the file holds its lock.
        let claimed = open(&path).is_some_and(|file| own_file::lock(&file).is_ok());
        if claimed && std::fs::remove_file(&path).is_ok() {
            removed += 1;
            freed += file_bytes;
        }
    }
    (removed, freed)
}

fn claim(path: PathBuf, store: &Path, now_ns: i64) -> Option<(Claim, Image)> {
    let head = || Some(Image::parse(read(open(&path)?, PAGE_BYTES as u64)?));
    let is_known = match head()? {
        Ok(image) if !is_dead(&image, &path, now_ns) => return None,
        Ok(image) if !is_for(&image, store) && !is_useless(&image, now_ns) => return None,
        Ok(_) => true,
        Err(Refused::NotOne) => false,
        // A file of another version is recovered by a program of that version.
        Err(Refused::Version(_)) => return None,
    };
    let file = open(&path)?;
    // The file's own process holds the lock until the file is mapped; another recoverer, until it has finished.
    own_file::lock(&file).ok()?;
    let changed_secs = own_file::changed_secs(&file.metadata().ok()?);
    let known = KnownFile::new(file.try_clone().ok()?).ok()?;
    if !known.is_at(&path) {
        return None;
    }
    let claim = Claim { path, file: known };
    if !is_known {
        // A file that is not understood is judged by its age alone, because the length in its head could be any. The
        // head is read again under the lock, because it may have been published meanwhile.
        let is_old = now_ns - changed_secs.saturating_mul(1_000_000_000) > SILENT_MAX_NS;
        let is_unknown =
            matches!(Image::parse(read(open(&claim.path)?, PAGE_BYTES as u64)?), Err(Refused::NotOne));
        if is_unknown && (is_old || is_done(&file)) {
            claim.remove();
        }
        return None;
    }
    match Image::read(source(file)?) {
        // The content is checked again under the lock.
        Ok(image) if is_dead(&image, &claim.path, now_ns) && is_for(&image, store) => Some((claim, image)),
        Ok(image) if is_dead(&image, &claim.path, now_ns) && is_useless(&image, now_ns) => {
            claim.remove();
            None
        }
        _ => None,
    }
}

/// Returns true if the store has everything of a file, which its process could not remove while it was mapped.
fn is_done(file: &File) -> bool {
    let mut magic = [0; 8];
    own_file::read_at(file, &mut magic, head::MAGIC as u64 * 8) && u64::from_ne_bytes(magic) == DONE
}

/// Returns a source of the words of a file: as many as its head says are in use, in native byte order, because this
/// machine wrote them. Words are read when they are needed, from no other file than this one. Returns `None` if the
/// head cannot be read.
fn source(file: File) -> Option<Source> {
    let mut end = [0; 8];
    own_file::read_at(&file, &mut end, head::END as u64 * 8).then_some(())?;
    let end = u64::from_ne_bytes(end).min(file.metadata().ok()?.len()).min(BYTES_MAX);
    let file = KnownFile::new(file).ok()?;
    let read = move |bytes: &mut [u8], at: u64| {
        file.get().is_some_and(|(file, _)| own_file::read_at(file, bytes, at))
    };
    Some(Source::File(Box::new(read), usize::try_from(end / 8).ok()?))
}

/// Reads the words of a file: as many as its head says are in use, but at most `bytes_max` bytes, in native byte order,
/// because this machine wrote them. Returns `None` if the file cannot be read.
fn read(file: File, bytes_max: u64) -> Option<Vec<u64>> {
    let mut bytes = Vec::new();
    let mut file = file;
    file.by_ref().take(PAGE_BYTES as u64).read_to_end(&mut bytes).ok()?;
    let end = bytes.get(head::END * 8..head::END * 8 + 8)?.try_into().map(u64::from_ne_bytes).ok()?;
    let rest = end.min(bytes_max).saturating_sub(bytes.len() as u64);
    file.take(rest).read_to_end(&mut bytes).ok()?;
    Some(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect())
}

/// Returns true if the records belong to this store. They belong to the store that the process opened or, if it opened
/// none, to the one that was requested. A file on a disk that is older than the boot of the machine belongs to no
/// store, because a part of it may have been written later than another.
fn is_for(image: &Image, store: &Path) -> bool {
    let named = if image.store.is_empty() { &image.store_requested } else { &image.store };
    let named = path_from_bytes(named);
    if liveness::is_of_earlier_boot(&image.mark) {
        return false;
    }
    named == store
        || with_resolved_folder(&named).is_some_and(|named| Some(named) == with_resolved_folder(store))
}

/// Returns true if nobody will recover the file: the folder of its store is gone, the machine was booted since, or the
/// retention of the store has passed for all of it.
fn is_useless(image: &Image, now_ns: i64) -> bool {
    let named = if image.store.is_empty() { &image.store_requested } else { &image.store };
    let named = path_from_bytes(named);
    let folder = named.parent();
    let age_ns = now_ns.saturating_sub(image.alive_ns).max(0).cast_unsigned();
    age_ns > image.retention_ns
        || liveness::is_of_earlier_boot(&image.mark)
        || folder.is_some_and(|folder| folder.try_exists().is_ok_and(|is_there| !is_there))
}

/// Returns the path with the links in its folder resolved; `None` if the folder does not exist.
fn with_resolved_folder(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

/// Returns true if the process is gone, or has become another program by exec.
fn is_dead(image: &Image, path: &Path, now_ns: i64) -> bool {
    let silent_ns = now_ns.saturating_sub(image.alive_ns);
    liveness::is_gone(image.process.pid, Some(&image.mark), silent_ns)
        || liveness::is_visible(&image.mark) && is_unmapped(image.process.pid, path)
}

/// Returns the system's account of the end of the file's process, which is dead or has become another program.
pub(crate) fn read_end(image: &Image, path: &Path) -> SystemReport {
    match liveness::end_of(image.process.pid, &image.mark) {
        Some(ProcessEnd::Exited(status)) => SystemReport::Exited(status),
        Some(ProcessEnd::Signal(signal)) => SystemReport::Signal(signal),
        None if liveness::is_gone(image.process.pid, Some(&image.mark), 0) => {
            let is_visible = liveness::is_visible(&image.mark);
            let signal =
                is_visible.then(|| find_signal(image.process.pid, image.process.started_ns)).flatten();
            signal.map_or(SystemReport::Nothing, SystemReport::Signal)
        }
        None if is_unmapped(image.process.pid, path) => SystemReport::BecameAnother,
        None => SystemReport::Nothing,
    }
}

/// Returns true if a process of this machine certainly does not map the file.
fn is_unmapped(pid: u32, path: &Path) -> bool {
    liveness::is_unmapped(pid, path.file_name().unwrap_or_default().as_encoded_bytes())
}

/// Returns `None`, because the system keeps no core files whose place is known.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn find_signal(_: u32, _: i64) -> Option<i32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::ring::layout::{MAGIC, PAGE_WORDS, VERSION};

    /// Returns the bytes that this thread has read from files.
    fn bytes_read() -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    #[test]
    fn a_file_that_is_not_understood_is_judged_by_its_age_and_never_read_whole() {
        for (kind, magic, end) in [
            ("not published", 0, u64::MAX),
            ("of a machine with another order of bytes", MAGIC.swap_bytes(), (1_u64 << 32).swap_bytes()),
            ("foreign", 0x1234_5678_9abc_def0, 1 << 40),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file_name(Path::new("/s.db"), 1, "boot/pid:[1]/17", "0123456789"));
            let mut words = [0_u64; PAGE_WORDS];
            (words[head::MAGIC], words[head::END]) = (magic, end);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            std::fs::write(&path, bytes).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
            let written_ns = std::fs::metadata(&path).unwrap().mtime() * 1_000_000_000;
            let folders = [folder.path().to_owned()];
            for (age_ns, stays) in [(0, true), (SILENT_MAX_NS, true), (SILENT_MAX_NS + 1, false)] {
                let before = bytes_read();
                let claimed =
                    claim_dead(&folders, Path::new("/s.db"), &Search::default(), written_ns + age_ns);
                assert!(claimed.is_none(), "{kind}");
                assert!(bytes_read() - before < 1 << 20, "{kind}: {}", bytes_read() - before);
                assert_eq!(path.exists(), stays, "{kind}, {age_ns} ns old");
            }
        }
    }

    #[test]
    fn files_of_dead_processes_alone_count_against_the_bound_of_such_files() {
        const FILE_BYTES: usize = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let name = |run: &str| file_name(Path::new("/s.db"), 1, "boot/pid:[1]/17", run);
        // Nobody knows to whom this file belongs, as with a running process that is not seen from here.
        let other = folder.path().join(name("running0"));
        std::fs::write(&other, vec![1; DEAD_RINGS_BYTES_MAX as usize + 1]).unwrap();
        let set_aside = |nth: usize| {
            let mut words = vec![0_u64; FILE_BYTES / 8];
            (words[head::MAGIC], words[head::VERSION]) = (MAGIC, VERSION);
            words[head::ALIVE_NS] = nth as u64;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let mut path = folder.path().join(name(&format!("{nth:08}"))).into_os_string();
            path.push(ASIDE);
            std::fs::write(path, bytes).unwrap();
        };
        let files = (DEAD_RINGS_BYTES_MAX >> 20) as usize;
        (0..files - 1).for_each(set_aside);
        assert_eq!(trim(&folders, Path::new("/s.db"), 0), (0, 0));
        (files - 1..files + 2).for_each(set_aside);
        let (removed, freed) = trim(&folders, Path::new("/s.db"), 0);
        assert!((1..=4).contains(&removed) && freed >= removed * FILE_BYTES as u64, "{removed} {freed}");
        assert!(other.exists());
    }
}
