//! Determines what kind of file is at a path: an empty file, a store of some version, another database, or a damaged
//! one.
//!
//! Takes a connection or a path; gives the kind of file. It only reads. A file counts as a store only if the texts of all
//! our tables and indexes are exactly those of its schema version.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::{Class, classify, no_memory};
use super::harden::connect;
use super::schema::{self, APPLICATION_ID, VERSION, tables};
use super::{file, migrate};
use crate::growth::MakeRoom as _;

/// The kind of file at a path.
#[derive(Debug)]
pub(crate) enum FileKind {
    Store,
    Empty,
    Older(i32),
    Newer(i32),
    Foreign(String),
    Damaged(String),
}

/// The state of a file that is open as a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No damage was found.
    Sound,
    /// The file is damaged, for this reason.
    Damaged(String),
    /// The file is intact, but it is a newer program's store by now, or no store at all.
    Another,
}

/// Checks a file through a fresh connection, because the cache of the open one proves nothing. If `is_thorough`, every
/// page is read, and each index is compared with its table, because statements fail if an index lacks a row.
pub(crate) fn check_file(path: &Path, is_thorough: bool) -> Verdict {
    let verdict = connect(path).and_then(|connection| match examine(&connection)? {
        FileKind::Store if !is_thorough => Ok(Verdict::Sound),
        FileKind::Store => {
            let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            Ok(if found == "ok" { Verdict::Sound } else { Verdict::Damaged(found) })
        }
        FileKind::Empty => Ok(Verdict::Damaged("it was emptied".to_owned())),
        FileKind::Damaged(why) => Ok(Verdict::Damaged(why)),
        FileKind::Older(_) | FileKind::Newer(_) | FileKind::Foreign(_) => Ok(Verdict::Another),
    });
    match verdict {
        Ok(verdict) => verdict,
        Err(error) if classify(&error) == Class::Damaged => Verdict::Damaged(error.to_string()),
        // A lock, or a disk that does not answer, does not prove damage.
        Err(_) => Verdict::Sound,
    }
}

/// Returns the kind of file that the connection has open. It only reads, and within one transaction, because another
/// process may be making a store of the file.
pub(crate) fn examine(connection: &Connection) -> rusqlite::Result<FileKind> {
    let is_alone = connection.is_autocommit();
    let _moment = is_alone.then(|| connection.unchecked_transaction()).transpose()?;
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects == 0 && application == 0 && version == 0 {
        return Ok(FileKind::Empty);
    }
    if application != APPLICATION_ID {
        return Ok(FileKind::Foreign(format!(
            "is another program's database (application_id {application})"
        )));
    }
    if version > VERSION {
        return Ok(FileKind::Newer(version));
    }
    if version < VERSION && !migrate::is_possible_from(version) {
        return Ok(FileKind::Foreign(format!(
            "has schema version {version}, which no version of monitored writes"
        )));
    }
    Ok(match find_altered(connection, version)? {
        None if version < VERSION => FileKind::Older(version),
        None => FileKind::Store,
        Some(name) => {
            FileKind::Foreign(format!("has another table or index {name} than a store of monitored"))
        }
    })
}

/// Returns the first of our tables and indexes that is missing or has another text than in that version. Views, and
/// tables that users have added, do not matter, because they are not written to. But a table of an older store may have the
/// name of a view that the store is to get, which is returned then.
fn find_altered(connection: &Connection, version: i32) -> rusqlite::Result<Option<&'static str>> {
    // The texts are compared in one pass, because every process pays for this when it opens the store.
    let mut ours: HashMap<&str, Cow<'static, str>> = HashMap::new();
    if !ours.make_room(tables().count()) {
        return Err(no_memory());
    }
    ours.extend(tables().filter(|(name, _)| migrate::has(version, name)));
    let mut texts =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'index')")?;
    let mut rows = texts.query([])?;
    while let Some(row) = rows.next()? {
        let (Ok(name), Ok(found)) = (row.get_ref(0)?.as_str(), row.get_ref(1)?.as_str()) else { continue };
        if version < VERSION
            && let Some((view, _)) = schema::views().find(|(view, _)| *view == name)
        {
            return Ok(Some(view));
        }
        if let Some(expected) = ours.get(name)
            && found == migrate::old_text(version, name).unwrap_or(expected)
        {
            ours.remove(name);
        }
    }
    // The first one in the order of `tables` is returned, so that the reason is the same each time.
    Ok(tables().map(|(name, _)| name).find(|name| ours.contains_key(name)))
}

/// Returns the kind of a file without SQLite's header. It may be a store whose first bytes were overwritten, or not a
/// store at all, and only its name shows which.
pub(crate) fn classify_headerless(path: &Path, error: &rusqlite::Error) -> FileKind {
    if file::has_database_extension(path) {
        FileKind::Damaged(error.to_string())
    } else {
        FileKind::Foreign("is not a database".to_owned())
    }
}

/// Returns the file that a writer uses in place of this one, and the reason; `None` if it uses this one.
pub(crate) fn name_successor(
    connection: &Connection,
    path: &Path,
) -> rusqlite::Result<Option<(PathBuf, String)>> {
    Ok(match examine(connection)? {
        FileKind::Newer(version) => Some((
            file::sibling(path, &format!("v{VERSION}")),
            format!("has schema version {version}, newer than {VERSION}"),
        )),
        FileKind::Foreign(why) => Some((file::sibling(path, "monitor"), why)),
        FileKind::Store | FileKind::Empty | FileKind::Older(_) | FileKind::Damaged(_) => None,
    })
}
