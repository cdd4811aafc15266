//! A folder for one store and for what is mounted there. All of it is removed when the row ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A user without rights.
pub(crate) const NOBODY: u32 = 65534;

/// Returns true if mounts can be made and users changed.
pub(crate) fn is_root() -> bool {
    static IS_ROOT: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *IS_ROOT.get_or_init(|| {
        let probe = Place::new();
        probe.try_mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"], &probe.data())
    })
}

/// The folders of one victim.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    mounted: std::cell::RefCell<Vec<PathBuf>>,
    /// The folder for ring files, which a killed victim leaves behind.
    rings: Option<TempDir>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let rings = tempfile::Builder::new().prefix("chaos-").tempdir_in("/dev/shm").ok();
        let place =
            Self { folder: tempfile::tempdir().unwrap(), mounted: std::cell::RefCell::default(), rings };
        std::fs::create_dir(place.home()).unwrap();
        std::fs::create_dir(place.data()).unwrap();
        place
    }

    /// Returns the folder of the victim's store.
    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.data().join("store.db")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.data().join("store.db-wal")
    }

    pub(crate) fn shm(&self) -> PathBuf {
        self.data().join("store.db-shm")
    }

    /// Returns the home folder, where the victim keeps its store if the requested place does not work.
    pub(crate) fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder in memory for ring files, if there is one.
    pub(crate) fn rings(&self) -> Option<&Path> {
        self.rings.as_ref().map(TempDir::path)
    }

    /// Returns the path of the file that keeps the shim's rules in force while it exists.
    pub(crate) fn switch(&self) -> PathBuf {
        self.root().join("switch")
    }

    /// Returns the path of the file in which the shim notes the rules that have struck.
    pub(crate) fn struck_rules(&self) -> PathBuf {
        self.home().join("struck")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.home().join("report")
    }

    pub(crate) fn switch_on(&self) {
        std::fs::write(self.switch(), "").unwrap();
    }

    pub(crate) fn switch_off(&self) {
        std::fs::remove_file(self.switch()).unwrap();
    }

    /// Mounts a file system of this many bytes over the data folder.
    pub(crate) fn mount_tmpfs(&self, bytes: u64) {
        assert!(self.try_mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"], &self.data()));
    }

    /// Mounts a file system in memory of this many bytes, for ring files.
    pub(crate) fn mount_rings(&self, bytes: u64) -> PathBuf {
        let folder = self.root().join("rings");
        std::fs::create_dir(&folder).unwrap();
        assert!(self.try_mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"], &folder));
        folder
    }

    /// Makes the data folder a mount of its own, which can be made read-only.
    pub(crate) fn mount_itself(&self) {
        let data = self.data();
        assert!(self.try_mount(&["--bind", data.to_str().unwrap()], &data));
    }

    fn try_mount(&self, options: &[&str], folder: &Path) -> bool {
        let mut mount = Command::new("mount");
        let done = mount.args(options).arg(folder).stderr(std::process::Stdio::null()).status();
        let is_mounted = done.is_ok_and(|status| status.success());
        self.mounted.borrow_mut().extend(is_mounted.then(|| folder.to_owned()));
        is_mounted
    }

    /// Changes the mount over the data folder.
    pub(crate) fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(self.data()).status().unwrap();
        assert!(status.success(), "mount -o {options}");
    }

    /// Gives everything to the user without rights, who must be able to enter the folder.
    pub(crate) fn give_away(&self) {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        std::fs::set_permissions(self.root(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for path in [self.home(), self.data()].into_iter().chain(self.rings().map(Path::to_owned)) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Returns a copy of the victim that any user may run.
    pub(crate) fn public_victim(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let copy = self.root().join("victim");
        if !copy.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_victim"), &copy).unwrap();
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
            // A child that another row has forked may hold the new file open for a moment. The file cannot be run
            // until then.
            while Command::new(&copy).stderr(std::process::Stdio::null()).status().is_err() {
                std::thread::yield_now();
            }
        }
        copy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for folder in self.mounted.get_mut() {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}
