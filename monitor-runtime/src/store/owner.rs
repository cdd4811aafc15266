//! Determines whether the store at the default path belongs to another program of the same name.
//!
//! Takes a connection to a store and the path of a program; gives the label of the sibling that the program uses
//! instead. Without siblings, two programs of the same name would share functions of the same name. Builds of one Cargo
//! target folder are one program, and a program that is no longer there leaves its store to the next one, so that
//! copies in temporary folders do not leave a store each.

use std::ffi::OsStr;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Returns the label of the sibling of a store that belongs to another program, or `None` if this program may use the store.
/// A store belongs to the program of its oldest process that is still installed.
pub(super) fn find_label(connection: &Connection, program: &Path) -> rusqlite::Result<Option<String>> {
    let own = identify(program);
    let mut select =
        connection.prepare("SELECT executable FROM process WHERE executable IS NOT NULL ORDER BY id")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let executable = PathBuf::from(row.get::<_, String>(0)?);
        let found = identify(&executable);
        if found == own {
            return Ok(None);
        }
        if executable.exists() {
            let mut hasher = fnv::FnvHasher::default();
            hasher.write(own.as_os_str().as_encoded_bytes());
            return Ok(Some(format!("{:08x}", hasher.finish() >> 32)));
        }
    }
    Ok(None)
}

/// Returns a path that all builds of a program in one Cargo target folder have in common: the folder and the name.
fn identify(executable: &Path) -> PathBuf {
    let name = executable.file_name().unwrap_or_default();
    let name = name.to_str().and_then(|name| name.strip_suffix(" (deleted)")).map_or(name, OsStr::new);
    let folder = executable.parent().unwrap_or(Path::new(""));
    let target = folder.ancestors().find(|folder| folder.file_name() == Some(OsStr::new("target")));
    target.unwrap_or(folder).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_one_target_folder_are_one_program_and_others_are_not() {
        let same = |one: &str, other: &str| identify(Path::new(one)) == identify(Path::new(other));
        assert!(same("/a/target/debug/shop", "/a/target/release/shop"));
        assert!(same("/a/target/debug/shop", "/a/target/x86_64-unknown-linux-gnu/release/shop"));
        assert!(same("/usr/bin/shop", "/usr/bin/shop (deleted)"));
        assert!(!same("/a/target/debug/shop", "/b/target/debug/shop"));
        assert!(!same("/a/target/debug/shop", "/a/target/debug/stock"));
        assert!(!same("/opt/one/shop", "/opt/two/shop"));
    }
}
