//! Recovers ring files into a store, through the public function. Whatever a file holds, the recovery ends, the store
//! stays sound, and nothing is brought in a second time.

use std::path::Path;

use monitor_runtime::recover::{self, Recovered};
use rusqlite::{Connection, OpenFlags};

use crate::input::Input;
use crate::ring_file::{ALIVE_NS, build};

/// A moment late enough for the process to be taken for dead.
const NOW_NS: i64 = ALIVE_NS + 3_600_000_000_000;

/// Puts the file beside a store and recovers it, and recovers a copy of it.
pub fn ring_file(bytes: &[u8]) {
    let folder = folder();
    let store = folder.path().join("shop.db");
    let words = build(&mut Input(bytes), store.as_os_str().as_encoded_bytes());
    let folders = [folder.path().to_owned()];
    let first = recover(&folders[0], &store, &words);
    let rows = rows(&store);
    let again = recover(&folders[0], &store, &words);
    assert_eq!(first.calls, rows.unwrap_or(0), "{first:?}: each call that was brought in has a row");
    assert_eq!(again.calls, 0, "{again:?} after {first:?}");
    assert_eq!(self::rows(&store), rows, "a copy of the file brings nothing");
}

fn recover(folder: &Path, store: &Path, words: &[u64]) -> Recovered {
    let name = format!("monitored-{}-0-1-17-fuzzed", user(folder));
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a ring file");
    let recovered = recover::recover(store, &[folder.to_owned()], NOW_NS).expect("the recovery ends");
    let _ = recover::find_live(store, &[folder.to_owned()], ALIVE_NS);
    assert!(!path.exists() || recovered == Recovered::default(), "a recovered file is removed");
    let _ = std::fs::remove_file(path);
    recovered
}

fn user(folder: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder).expect("the folder is there").uid()
}

/// Returns the number of rows of calls in a sound store; `None` without a store.
fn rows(store: &Path) -> Option<u64> {
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    for view in ["functions", "latency", "error_groups", "events", "processes"] {
        let read =
            connection.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get::<_, i64>(0));
        assert!(read.is_ok(), "{view}: {read:?}");
    }
    connection
        .query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0))
        .ok()
        .map(i64::cast_unsigned)
}

/// Makes a folder, in memory where that is possible, because thousands of stores are made.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
