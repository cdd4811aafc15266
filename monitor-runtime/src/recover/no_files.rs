//! Stands in for `files` on systems without ring files: it finds nothing.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use super::cause::SystemReport;
use crate::ring::reader::Image;

/// Returns a name for a file that is never made.
pub(crate) fn file_name(_: &Path, _: u32, _: &str, _: &str) -> PathBuf {
    PathBuf::from("rings")
}

/// A locked ring file, of which there is none.
#[derive(Debug)]
pub(crate) struct Claim(Infallible);

impl Claim {
    pub(crate) fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn note_tries(&self, _: u64) {
        match self.0 {}
    }

    pub(crate) fn remove(self) {
        match self.0 {}
    }
}

/// A ring file that a dead process left, of which there is none.
#[derive(Debug)]
#[expect(dead_code, reason = "nothing is found")]
pub(crate) enum OrphanFile {
    /// The file is locked, and its content can be read.
    Dead(Claim, Box<Image>),
    /// The file was set aside under this name.
    Aside(PathBuf),
}

/// The extent of a search.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The run of the searching process.
    pub(crate) own_run: Option<String>,
    /// True for a search that leaves out files.
    pub(crate) is_quick: bool,
    /// True for a search that takes files which were set aside.
    pub(crate) takes_aside: bool,
}

/// Returns `None`, because no process leaves a file.
pub(crate) fn claim_dead(_: &[PathBuf], _: &Path, _: &Search, _: i64) -> Option<OrphanFile> {
    None
}

/// Returns false, because no process leaves a file.
pub(crate) fn any_dead(_: &[PathBuf], _: &Path, _: i64) -> bool {
    false
}

/// Returns nothing, because no process has a file.
pub(crate) fn read_living(_: &[PathBuf], _: &Path, _: i64) -> Vec<Image> {
    Vec::new()
}

/// Removes nothing.
pub(crate) fn trim(_: &[PathBuf], _: &Path, _: i64) -> (u64, u64) {
    (0, 0)
}

/// Returns that the system reports nothing.
pub(crate) fn read_end(_: &Image, _: &Path) -> SystemReport {
    SystemReport::Nothing
}
