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
    assert!(ran.err.contains("new.db") && ran.err.contains("2 processes · no calls yet"), "{}", ran.err);
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

#[test]
fn a_newest_file_that_is_no_store_is_passed_over_by_name() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path().join(".local/state/monitor");
    fs::create_dir_all(&folder).unwrap();
    fixture.copy_to(&folder.join("shop.db"));
    let old = fs::File::options().write(true).open(folder.join("shop.db")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    drop(old);
    fs::write(folder.join("empty.db"), "").unwrap();
    fs::write(folder.join("text.db"), "no database, but as long as one may be ".repeat(200)).unwrap();
    Connection::open(folder.join("foreign.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    for arguments in [["top"].as_slice(), &["calls"], &["health"], &["sample"]] {
        let ran = Ran::from(command(fixture.folder.path(), arguments).output().unwrap());
        assert!(ran.err.contains("shop.db ·"), "{arguments:?}: {}", ran.err);
        for passed in ["empty.db", "text.db", "foreign.db"] {
            assert!(ran.err.contains("passed over") && ran.err.contains(passed), "{passed}: {}", ran.err);
        }
        ran.ok();
    }
    fs::remove_file(folder.join("shop.db")).unwrap();
    let err = Ran::from(command(fixture.folder.path(), &["top"]).output().unwrap()).failed(1);
    assert!(err.contains("foreign.db") || err.contains("text.db") || err.contains("empty.db"), "{err}");
}

#[test]
fn where_programs_moved_beside_a_file_the_reader_follows_and_says_so() {
    let changes: [(&str, &str); 4] = [
        ("ALTER TABLE call ADD COLUMN extra INTEGER", "has another table or index"),
        ("DROP TABLE function", "has another table or index"),
        ("PRAGMA application_id = 7", "another program's database"),
        ("PRAGMA user_version = 99", "schema version 99"),
    ];
    for (change, reason) in changes {
        let fixture = Fixture::new();
        let sibling = if change.contains("99") {
            format!("shop.v{}.db", monitor_runtime::store::schema::VERSION)
        } else {
            "shop.monitor.db".to_owned()
        };
        let beside = Fixture::new();
        beside.figures(1, [77, 0, 0, 0, 1_000_000, 900_000]);
        beside.copy_to(&fixture.folder.path().join(&sibling));
        fixture.db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        fixture.db.execute_batch(change).unwrap();
        let ran = monitor(&fixture.path, &["top"]);
        assert!(ran.err.contains(reason) && ran.err.contains(&sibling), "{change}: {}", ran.err);
        assert!(ran.ok().contains(" 77 "), "{change}");
        let health = monitor(&fixture.path, &["health"]);
        assert!(
            health.err.contains(&format!("{sibling} · ")),
            "health names the file in use: {}",
            health.err
        );
    }
}

#[test]
fn an_altered_store_that_no_program_has_left_yet_is_still_read() {
    let fixture = Fixture::new();
    fixture.figures(1, [77, 0, 0, 0, 1_000_000, 900_000]);
    fixture.db.execute_batch("ALTER TABLE call ADD COLUMN extra INTEGER").unwrap();
    assert!(monitor(&fixture.path, &["top"]).ok().contains(" 77 "));
}

#[test]
fn live_on_what_is_no_store_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let err = monitor(&folder.path().join("missing.db"), &["live"]).failed(1);
    assert!(err.contains("there is no store at"), "{err}");
    fs::write(folder.path().join("empty.db"), "").unwrap();
    assert!(monitor(&folder.path().join("empty.db"), &["live"]).failed(1).contains("is empty"));
    assert!(monitor(folder.path(), &["live"]).failed(1).contains("is a folder"));
    monitor(&Fixture::new().path, &["live"]).ok();
}

/// Returns the command as a user who may read the folder and not write to it. For the superuser, whom no
/// permissions bind, this is another user, with a copy of the program that this user can reach.
fn as_reader(folder: &std::path::Path, store: &std::path::Path, arguments: &[&str]) -> Ran {
    use std::os::unix::process::CommandExt as _;
    let mut command = command(folder, arguments);
    if rustix::process::geteuid().is_root() {
        let program = folder.join("monitor");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_monitor"), &program).unwrap();
        }
        command = std::process::Command::new(&program);
        command.env_clear().env("HOME", folder).args(arguments).uid(65_534).gid(65_534);
    }
    command.arg("--db").arg(store);
    loop {
        match command.output() {
            // A process that another test forked while the copy was written holds the copy open until it runs its own program.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            ran => return Ran::from(ran.unwrap()),
        }
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_store_in_a_folder_that_may_not_be_written_is_read_and_not_changed() {
    let fixture = Fixture::new();
    fixture.figures(1, [77, 0, 0, 0, 1_000_000, 900_000]);
    // The name has characters that mean something in a URI.
    let folder = fixture.folder.path().join("a ?b#c%20d");
    fs::create_dir(&folder).unwrap();
    let store = folder.join("shop.db");
    fixture.copy_to(&store);
    Connection::open(&store).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
    set_mode(&store, 0o444);
    set_mode(&folder, 0o555);
    set_mode(fixture.folder.path(), 0o755);
    let before = fs::read(&store).unwrap();
    for arguments in [["top"].as_slice(), &["calls"], &["errors"], &["health"], &["sql", "SELECT 1"]] {
        let ran = as_reader(fixture.folder.path(), &store, arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
    }
    assert!(as_reader(fixture.folder.path(), &store, &["top"]).ok().contains(" 77 "));
    let err = as_reader(fixture.folder.path(), &store, &["sample", "*", "0.5"]).failed(1);
    assert!(err.contains("permission"), "{err}");
    assert_eq!(fs::read(&store).unwrap(), before);
    set_mode(&folder, 0o755);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing was made beside it");
}

#[test]
fn a_store_whose_log_takes_rights_to_read_says_what_to_do() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path().join("theirs");
    fs::create_dir(&folder).unwrap();
    let store = folder.join("shop.db");
    fs::copy(&fixture.path, &store).unwrap();
    fs::copy(fixture.folder.path().join("shop.db-wal"), folder.join("shop.db-wal")).unwrap();
    set_mode(&store, 0o444);
    set_mode(&folder.join("shop.db-wal"), 0o444);
    set_mode(&folder, 0o555);
    set_mode(fixture.folder.path(), 0o755);
    let err = as_reader(fixture.folder.path(), &store, &["top"]).failed(1);
    assert!(err.contains("shop.db-wal") && err.contains("copy both files"), "{err}");
    set_mode(&store, 0o000);
    let err = as_reader(fixture.folder.path(), &store, &["top"]).failed(1);
    assert!(err.contains("permissions forbid reading"), "{err}");
    set_mode(&folder, 0o755);
}

#[test]
fn a_copy_without_its_log_is_told_of_the_log() {
    let fixture = Fixture::new();
    let copy = fixture.folder.path().join("copy.db");
    fs::copy(&fixture.path, &copy).unwrap();
    let bytes = fs::metadata(&copy).unwrap().len();
    assert!(bytes > 0, "the file has its first page");
    let err = monitor(&copy, &["top"]).failed(1);
    assert!(err.contains("copy.db-wal") && err.contains("--db"), "{err}");
}
