//! The choice of the store, and the errors when there is none to open.

use std::fs;
use std::os::unix::fs::symlink;

use rusqlite::Connection;

use crate::fixture::Fixture;
use crate::run::{Ran, command, monitor};

#[test]
fn without_a_name_the_store_written_last_is_shown() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path().join(".local/state/monitor");
    fs::create_dir_all(&folder).unwrap();
    fixture.copy_to(&folder.join("old.db"));
    fixture.copy_to(&folder.join("new.db"));
    let old = fs::File::options().write(true).open(folder.join("old.db")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    drop(old);
    let ran = Ran::from(command(fixture.folder.path(), &["top"]).output().unwrap());
    assert!(ran.err.contains("new.db") && ran.err.contains("2 processes · last 6 h"), "{}", ran.err);
    ran.ok();
}

#[test]
fn the_environment_names_a_store_and_the_option_wins() {
    let fixture = Fixture::new();
    let other = fixture.folder.path().join("other.db");
    fixture.copy_to(&other);
    let home = fixture.folder.path();
    let by_environment = Ran::from(command(home, &["top"]).env("MONITOR_DB", &other).output().unwrap());
    assert!(by_environment.err.contains("other.db"), "{}", by_environment.err);
    let by_option =
        command(home, &["top", "--db"]).arg(&fixture.path).env("MONITOR_DB", &other).output().unwrap();
    assert!(Ran::from(by_option).err.contains("shop.db"));
    let empty = Ran::from(command(home, &["top"]).env("MONITOR_DB", "").output().unwrap());
    assert!(empty.failed(1).contains("monitor demo"));
}

#[test]
fn what_is_no_store_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("text.db"), "this is not a database, however long it may be ".repeat(50)).unwrap();
    fs::write(file("empty.db"), "").unwrap();
    Connection::open(file("foreign.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let fixture = Fixture::new();
    fixture.db.pragma_update(None, "user_version", 99).unwrap();
    let table = [
        (file("missing.db"), "there is no store"),
        (file("text.db"), "not an intact SQLite database"),
        (file("empty.db"), "is empty"),
        (file("foreign.db"), "not one of monitored"),
        (folder.path().to_owned(), "is a folder"),
        (fixture.path.clone(), "schema version 99"),
    ];
    for (path, expected) in table {
        let err = monitor(&path, &["calls"]).failed(1);
        assert!(err.contains(expected) && err.contains(path.to_str().unwrap()), "{err}");
        assert_eq!(err.lines().count(), 1, "printed once, on one line: {err}");
    }
    assert!(!file("missing.db").exists());
    let err = Ran::from(command(folder.path(), &["--db", ":memory:"]).output().unwrap()).failed(1);
    assert!(err.contains("in memory"), "{err}");
}

#[test]
fn a_path_is_never_read_as_a_uri_and_links_lead_to_their_file() {
    let fixture = Fixture::new();
    let uri = format!("file:{}?mode=ro", fixture.path.display());
    let ran = command(fixture.folder.path(), &["top", "--db", &uri]).output().unwrap();
    assert!(Ran::from(ran).failed(1).contains("there is no store"));
    let link = fixture.folder.path().join("link.db");
    symlink(&fixture.path, &link).unwrap();
    monitor(&link, &["top"]).ok();
}
