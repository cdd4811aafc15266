//! Opening a store. The file at the path decides whether it is continued, left untouched, set aside or refused.

use crate::rows::*;
use monitor_runtime::batch::Ending;
use monitor_runtime::store::schema::{APPLICATION_ID, VERSION};
use monitor_runtime::store::{OpenError, SqliteStore, Store as _, StoreOptions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Returns the sorted names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn folder_and_files_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/monitor/shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for name in names(path.parent().unwrap()) {
        assert_eq!(mode(&path.with_file_name(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_store_opened_again_keeps_its_rows_and_adds_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    store.close(T0 + HOUR, Ending::Exit).unwrap();
    let mut next = open(&path, 2);
    next.write(&batch(1, vec![call(1)])).unwrap();
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM calls"), 2);
    assert_eq!(
        query_column::<String>(&tool, "SELECT ending FROM processes ORDER BY process_id"),
        ["exit", "running"]
    );
    assert_eq!(query_value::<i64>(&tool, "SELECT ended_ns FROM processes WHERE ending = 'exit'"), T0 + HOUR);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM functions, function"), 0);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM function"), 3, "processes share functions");
    assert_eq!(query_value::<i32>(&tool, "PRAGMA application_id"), APPLICATION_ID);
    assert_eq!(query_value::<i32>(&tool, "PRAGMA user_version"), VERSION);
}

/// Asserts that the store leaves the file untouched and uses a sibling with this label in its name.
fn assert_untouched(path: &Path, label: &str) {
    let before = std::fs::read(path).unwrap();
    let mut store = open(path, 1);
    let sibling = store.path().unwrap().to_owned();
    store.write(&batch(1, vec![call(1)])).unwrap();
    let notices = store.notices();
    store.close(T0, Ending::Exit).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), before, "the file beside shop.{label}.db was changed");
    assert_eq!(sibling.file_name().unwrap().to_str().unwrap(), format!("shop.{label}.db"));
    assert_eq!(count(&sibling, "calls"), 1);
    assert!(notices.len() == 1 && notices[0].kind == "store", "{notices:?}");
    assert!(notices[0].detail.contains(path.to_str().unwrap()) && notices[0].detail.contains("untouched"));
    assert!(
        !names(path.parent().unwrap()).iter().any(|name| name == "shop.db-wal" || name == "shop.db-journal")
    );
}

#[test]
fn a_newer_schema_is_left_untouched_and_a_sibling_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    drop(open(&path, 1));
    tool(&path).execute_batch("PRAGMA user_version = 99; PRAGMA journal_mode = DELETE").unwrap();
    assert_untouched(&path, &format!("v{VERSION}"));
}

#[test]
fn another_programs_database_is_left_untouched_and_a_sibling_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    tool(&path).execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    assert_untouched(&path, "monitor");
}

#[test]
fn a_file_that_is_no_database_by_name_or_content_is_left_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    let store = open(&path, 1);
    assert_eq!(store.path().unwrap(), folder.path().canonicalize().unwrap().join("notes.monitor.txt"));
    assert_eq!(std::fs::read(&path).unwrap(), "dear diary, ".repeat(1000).as_bytes());
}

#[test]
fn a_store_whose_tables_were_altered_is_taken_for_another_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    drop(open(&path, 1));
    tool(&path)
        .execute_batch("DROP TABLE event; CREATE TABLE event (id INTEGER PRIMARY KEY, x TEXT CHECK (length(x) < randomblob(9)))")
        .unwrap();
    tool(&path).execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    assert_untouched(&path, "monitor");
}

#[test]
fn an_older_store_is_migrated_beside_the_users_own_views_and_not_into_the_users_own_table() {
    let versions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/versions");
    for version in ["1", "2", "3", "4"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        std::fs::copy(versions.join(version).with_extension("db"), &path).unwrap();
        let mine = "CREATE VIEW mine AS SELECT function, count(*) AS calls FROM calls GROUP BY function;
                    CREATE VIEW base AS SELECT count(*) AS calls FROM call";
        tool(&path).execute_batch(mine).unwrap();
        let before: i64 = query_value(&tool(&path), "SELECT calls FROM base");
        drop(open(&path, 1));
        assert_eq!(
            query_value::<i32>(&tool(&path), "PRAGMA user_version"),
            VERSION,
            "from version {version}"
        );
        assert_eq!(query_value::<i64>(&tool(&path), "SELECT calls FROM base"), before);
        assert!(query_value::<i64>(&tool(&path), "SELECT sum(calls) FROM mine") > 0);
        // A table of the user's has the name of a view that a migration would make.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        std::fs::copy(versions.join(version).with_extension("db"), &path).unwrap();
        tool(&path).execute_batch("DROP VIEW IF EXISTS logs; CREATE TABLE logs (mine)").unwrap();
        assert_untouched(&path, "monitor");
    }
}

#[test]
fn a_trigger_planted_in_the_file_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    drop(open(&path, 1));
    tool(&path)
        .execute_batch(
            "CREATE TABLE loot (x);
             CREATE TRIGGER t1 AFTER INSERT ON call BEGIN INSERT INTO loot VALUES (zeroblob(1000)); END;
             CREATE TRIGGER t2 AFTER INSERT ON process BEGIN DELETE FROM process; END;",
        )
        .unwrap();
    let mut store = open(&path, 2);
    store.write(&batch(1, vec![call(1)])).unwrap();
    assert_eq!(store.path().unwrap().file_name(), path.file_name());
    assert_eq!((count(&path, "loot"), count(&path, "calls"), count(&path, "processes")), (0, 1, 2));
}

#[test]
fn garbage_named_as_a_database_is_set_aside_and_a_new_store_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    std::fs::write(&path, [7_u8; 10_000]).unwrap();
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    assert_eq!(store.path().unwrap().file_name(), path.file_name());
    assert_eq!(store.notices()[0].kind, "quarantine");
    let aside = path.with_file_name(format!("shop.db.corrupt-{T0}"));
    assert_eq!(std::fs::read(aside).unwrap(), [7_u8; 10_000]);
    assert_eq!(count(&path, "calls"), 1);
}

#[test]
fn a_store_whose_header_asks_for_a_newer_sqlite_is_set_aside_and_a_new_one_begun() {
    // The write version lies at 18, the read version at 19. A file whose write version is unknown may be read, not written.
    for (write, read) in [(3, 2), (255, 1), (3, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        drop(open(&path, 1));
        let mut bytes = std::fs::read(&path).unwrap();
        (bytes[18], bytes[19]) = (write, read);
        std::fs::write(&path, &bytes).unwrap();
        let mut store = open(&path, 2);
        store.write(&batch(1, vec![call(1)])).unwrap();
        assert_eq!(store.path().unwrap().file_name(), path.file_name());
        assert!(store.notices().iter().any(|notice| notice.kind == "quarantine"), "{write} {read}");
        assert_eq!(count(&path, "calls"), 1);
    }
}

#[test]
fn a_symbolic_link_and_a_folder_in_the_files_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target.db");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for path in [link, folder.path().to_owned(), PathBuf::from("/proc/nowhere/shop.db")] {
        let error = SqliteStore::open(&StoreOptions::file(&path), process(1), T0).unwrap_err();
        assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
    }
    assert!(!target.exists());
}

#[test]
fn links_among_the_folders_are_followed_and_odd_names_are_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("real"), folder.path().join("linked")).unwrap();
    let path = folder.path().join("linked").join("file:shop?mode=memory%20#.db");
    open(&path, 1).write(&batch(1, vec![call(1)])).unwrap();
    assert_eq!(names(&folder.path().join("real"))[0], "file:shop?mode=memory%20#.db");
}

#[test]
fn where_memory_cannot_be_shared_the_rollback_journal_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { system: network_disk(), ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    store.write(&batch(1, vec![call(1)])).unwrap();
    store.write(&batch(2, vec![call(2)])).unwrap();
    assert!(!path.with_file_name("shop.db-shm").exists());
    assert_eq!(query_value::<String>(&tool(&path), "PRAGMA journal_mode"), "delete");
    assert_eq!(count(&path, "calls"), 2);
}

#[test]
fn a_folder_that_takes_no_files_is_said_to_be_unwritable() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        // The superuser may write anywhere. Only a read-only file system would refuse it.
        return;
    }
    let error = SqliteStore::open(&StoreOptions::file(closed.join("shop.db")), process(1), T0).unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
}

/// The environment variable of the process whose own SQLite is set up to be in the way. It holds the path of the store.
const HOST_STORE: &str = "STORE_TEST_HOST";

/// Refuses every commit.
extern "C" fn refuse_commit(_: *mut std::ffi::c_void) -> i32 {
    1
}

/// Allows nothing.
extern "C" fn deny(
    _: *mut std::ffi::c_void,
    _: i32,
    _: *const std::ffi::c_char,
    _: *const std::ffi::c_char,
    _: *const std::ffi::c_char,
    _: *const std::ffi::c_char,
) -> i32 {
    rusqlite::ffi::SQLITE_DENY
}

/// An automatic extension of the program's, as SQLite calls it with each new connection.
#[allow(unsafe_code, clippy::multiple_unsafe_ops_per_block, reason = "SQLite calls it")]
extern "C" fn extension(
    connection: *mut rusqlite::ffi::sqlite3,
    _: *mut *mut std::ffi::c_char,
    _: *const rusqlite::ffi::sqlite3_api_routines,
) -> i32 {
    use rusqlite::ffi;
    // SAFETY: the connection is open, and the functions and texts live for ever.
    unsafe {
        let only_reads = c"PRAGMA query_only = ON; PRAGMA locking_mode = EXCLUSIVE";
        let nothing = std::ptr::null_mut();
        ffi::sqlite3_exec(connection, only_reads.as_ptr(), None, nothing, std::ptr::null_mut());
        ffi::sqlite3_commit_hook(connection, Some(refuse_commit), nothing);
        ffi::sqlite3_set_authorizer(connection, Some(deny), nothing);
    }
    ffi::SQLITE_OK
}

/// The body of that process. In an ordinary test run it does nothing.
#[test]
#[allow(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a program sets up SQLite through its C functions"
)]
fn as_a_child_this_test_sets_up_its_own_sqlite() {
    let Ok(path) = std::env::var(HOST_STORE) else { return };
    // SAFETY: the VFS exists, and the extension is a function that lives for ever.
    unsafe {
        let in_memory = rusqlite::ffi::sqlite3_vfs_find(c"memdb".as_ptr());
        assert_eq!(rusqlite::ffi::sqlite3_vfs_register(in_memory, 1), 0);
        assert_eq!(rusqlite::ffi::sqlite3_auto_extension(Some(extension)), 0);
    }
    let mut store = open(Path::new(&path), 1);
    store.write(&batch(1, vec![call(1), call(2)])).unwrap();
    store.close(T0, Ending::Exit).unwrap();
    // The program's own default is left as the program has set it.
    // SAFETY: SQLite has a default, whose name is a C string.
    let named =
        unsafe { std::ffi::CStr::from_ptr((*rusqlite::ffi::sqlite3_vfs_find(std::ptr::null())).zName) };
    assert_eq!(named, c"memdb");
}

#[test]
fn a_default_vfs_and_an_automatic_extension_of_the_programs_do_not_reach_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["opening::as_a_child_this_test_sets_up_its_own_sqlite", "--exact", "--nocapture"])
        .env(HOST_STORE, &path)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let tool = tool(&path);
    assert_eq!(query_column::<i64>(&tool, "SELECT count(*) FROM calls"), [2]);
}

#[test]
fn programs_of_one_name_have_a_default_store_each_and_one_that_is_gone_leaves_its_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let programs: Vec<PathBuf> = ["one", "two", "three"]
        .map(|project| folder.path().join(project).join("target/debug/server"))
        .to_vec();
    for program in &programs {
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(program, "").unwrap();
    }
    let run = std::cell::Cell::new(0);
    let record = |program: &Path| {
        run.set(run.get() + 1);
        let options = StoreOptions { program: Some(program.to_owned()), ..StoreOptions::file(&path) };
        let mut row = process(run.get());
        row.program.executable = Some(program.to_string_lossy().into_owned());
        let mut store = SqliteStore::open(&options, row, T0).unwrap();
        store.write(&batch(1, vec![call(1)])).unwrap();
        let path = store.path().unwrap().to_owned();
        store.close(T0 + 1, Ending::Exit).unwrap();
        path
    };
    let stores: Vec<PathBuf> = programs.iter().map(|program| record(program)).collect();
    assert_eq!(stores[0], path);
    assert!(stores[0] != stores[1] && stores[1] != stores[2] && stores[0] != stores[2], "{stores:?}");
    // A second run, and another build of the same project, find the store of the first.
    assert_eq!(programs.iter().map(|program| record(program)).collect::<Vec<_>>(), stores);
    let release = programs[1].to_string_lossy().replace("debug", "release");
    assert_eq!(record(Path::new(&release)), stores[1]);
    for (store, runs) in stores.iter().zip([2, 3, 2]) {
        assert_eq!(query_value::<i64>(&tool(store), "SELECT count(*) FROM calls"), runs, "{store:?}");
    }
    // A program that was removed keeps nobody from its store.
    std::fs::remove_file(&programs[0]).unwrap();
    let next = folder.path().join("four/server");
    assert_eq!(record(&next), path);
    // A path that a user names is used as it is.
    let named = SqliteStore::open(&StoreOptions::file(&path), process(99), T0).unwrap();
    assert_eq!(named.path().unwrap(), path);
}
