//! Reading a store: during and after writing, from a copy, and files that are no stores.

use crate::rows::*;
use monitor_runtime::batch::Ending;
use monitor_runtime::store::query::{QueryError, open_read_only, stop_when};
use monitor_runtime::store::{SqliteStore, Store as _, StoreOptions, System};

#[test]
fn a_store_is_read_while_it_is_written_and_cannot_be_changed_by_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    let reader = open_read_only(&path).unwrap();
    assert_eq!(query_value::<i64>(&reader, "SELECT count(*) FROM calls"), 1);
    store.write(&batch(2, vec![call(2)])).unwrap();
    assert_eq!(query_value::<i64>(&reader, "SELECT count(*) FROM calls"), 2);
    assert!(reader.execute_batch("DELETE FROM call").is_err());
    assert!(reader.execute_batch("ATTACH '/tmp/x.db' AS x; CREATE TABLE x.t (a)").is_err());
}

#[test]
fn a_closed_store_opens_for_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    store.close(T0, Ending::Exit).unwrap();
    assert_eq!(query_value::<i64>(&open_read_only(&path).unwrap(), "SELECT count(*) FROM calls"), 1);
}

#[test]
fn what_is_no_store_gets_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let error = |name: &str| open_read_only(&path(name)).unwrap_err();
    assert!(matches!(error("missing.db"), QueryError::Missing(_)));
    assert!(matches!(error("no/such/folder.db"), QueryError::Missing(_)));
    std::fs::write(path("text.db"), "hello ".repeat(1000)).unwrap();
    assert!(matches!(error("text.db"), QueryError::NotADatabase { .. }));
    tool(&path("other.db")).execute_batch("CREATE TABLE t (x); PRAGMA application_id = 5").unwrap();
    assert!(matches!(error("other.db"), QueryError::Foreign { application_id: 5, .. }));
    std::fs::write(path("empty.db"), "").unwrap();
    assert!(matches!(error("empty.db"), QueryError::Foreign { application_id: 0, .. }));
    drop(open(&path("newer.db"), 1));
    tool(&path("newer.db")).execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(error("newer.db"), QueryError::Newer { found: 99, .. }));
    std::os::unix::fs::symlink(path("newer.db"), path("link.db")).unwrap();
    assert!(error("link.db").to_string().contains("symbolic link"));
    assert!(matches!(error("."), QueryError::Missing(_) | QueryError::Unreadable { .. }));
}

#[test]
fn a_query_is_stopped_as_soon_as_it_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    drop(open(&path, 1));
    let mut reader = open_read_only(&path).unwrap();
    let mut looks = 0;
    stop_when(&mut reader, move || {
        looks += 1;
        looks > 3
    });
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let error = reader.query_row(endless, [], |row| row.get::<_, i64>(0)).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
}

#[test]
fn a_copy_taken_with_its_log_but_without_its_index_is_read_to_the_last_commit() {
    for system in [System::default(), network_disk()] {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("shop.db"), folder.path().join("copy.db"));
        let options = StoreOptions { system, ..StoreOptions::file(&path) };
        let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
        store.write(&batch(1, vec![call(1)])).unwrap();
        for suffix in ["", "-wal"] {
            let name = |stem: &std::path::Path| format!("{}{suffix}", stem.display());
            if std::path::Path::new(&name(&path)).exists() {
                std::fs::copy(name(&path), name(&copy)).unwrap();
            }
        }
        assert_eq!(query_value::<i64>(&open_read_only(&copy).unwrap(), "SELECT count(*) FROM calls"), 1);
    }
}
