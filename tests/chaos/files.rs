//! Rows in which someone removes, moves, cuts, overwrites or adds files, or takes rights away.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use crate::disk::no_fault;
use crate::oracle;
use crate::place::Place;
use crate::play::{Allowed, Play, bounded};
use crate::row::{Case, Length, Need, Row};

const GONE: Allowed = Allowed { gone: true, unsettled: false, nothing_stored: false };

const fn case(fault: &'static str, how: &'static str, need: Need, run: fn() -> Row) -> Case {
    Case { fault, how, need, length: Length::Short, run }
}

pub(crate) const CASES: &[Case] = &[
    case("store removed while open", "rm store.db", Need::Nothing, || {
        Play::new().lines(1).allow(GONE).run(|place, _| std::fs::remove_file(place.db()).unwrap(), no_fault)
    }),
    case("store and log removed", "rm store.db*", Need::Nothing, || {
        let remove = |place: &Place| {
            for path in [place.db(), place.wal(), place.shm()] {
                std::fs::remove_file(path).unwrap();
            }
        };
        Play::new().lines(1).allow(GONE).run(|place, _| remove(place), no_fault)
    }),
    case("store moved away", "mv store.db moved.db", Need::Nothing, || {
        let to = |place: &Place| std::fs::rename(place.db(), place.data().join("moved.db")).unwrap();
        Play::new().lines(1).run(|place, _| to(place), no_fault)
    }),
    case("store replaced by an older copy", "cp over it, mv", Need::Nothing, replaced),
    case("store truncated", "truncate -s 8192", Need::Nothing, || {
        Play::new().lines(1).allow(GONE).run(|place, _| cut(place, 8192), no_fault)
    }),
    case("store emptied", "truncate -s 0", Need::Nothing, || {
        Play::new().lines(1).allow(GONE).run(|place, _| cut(place, 0), no_fault)
    }),
    case("store overwritten", "dd if=/dev/zero, whole file", Need::Nothing, || {
        Play::new().lines(1).allow(GONE).run(|place, _| overwrite(place), no_fault)
    }),
    case("log removed", "rm store.db-wal", Need::Nothing, || {
        Play::new().lines(1).allow(GONE).run(|place, _| std::fs::remove_file(place.wal()).unwrap(), no_fault)
    }),
    case("shared memory truncated", "truncate -s 0 store.db-shm", Need::Nothing, || {
        let cut =
            |place: &Place| OpenOptions::new().write(true).open(place.shm()).unwrap().set_len(0).unwrap();
        Play::new().lines(1).allow(GONE).run(|place, _| cut(place), no_fault)
    }),
    case("shared memory removed", "rm store.db-shm", Need::Nothing, || {
        Play::new().lines(1).allow(GONE).run(|place, _| std::fs::remove_file(place.shm()).unwrap(), no_fault)
    }),
    case("folder removed", "rm -r data", Need::Nothing, || {
        Play::new()
            .lines(1)
            .allow(GONE)
            .run(|place, _| std::fs::remove_dir_all(place.data()).unwrap(), no_fault)
    }),
    case("folder not writable", "chmod 500, another user", Need::Root, || {
        let play = Play::new().without_rights().lines(1);
        std::fs::set_permissions(play.place.data(), Permissions::from_mode(0o500)).unwrap();
        let mut row = play.run(no_fault, no_fault);
        row.remark.push_str("the default folder takes its place");
        row
    }),
    case("no folder writable", "chmod 500 everywhere", Need::Root, || {
        let play = Play::new().without_rights().lines(1);
        std::fs::write(play.place.report(), "").unwrap();
        std::fs::set_permissions(play.place.report(), Permissions::from_mode(0o666)).unwrap();
        for folder in [play.place.data(), play.place.home()] {
            std::fs::set_permissions(folder, Permissions::from_mode(0o500)).unwrap();
        }
        play.run(no_fault, no_fault)
    }),
    case("store not writable", "chmod 400, another user", Need::Root, || {
        let play = Play::new().without_rights().lines(1);
        assert!(play.output(play.command("return", 10)).status.success());
        std::fs::set_permissions(play.place.db(), Permissions::from_mode(0o400)).unwrap();
        let db = play.place.db();
        let mut calls = 0_i64;
        let mut row = play.run(no_fault, |_, _| {
            let rows =
                oracle::open(&db).unwrap().query_row("SELECT count(*) FROM calls", [], |row| row.get(0));
            calls = rows.unwrap();
        });
        row.expect(calls == 10, || format!("{calls} of 10 calls are left in the file"));
        row.stored.ok = row.stored.ok.saturating_sub(10);
        row.remark.push_str("the default folder takes its place");
        row
    }),
    case("rights revoked while open", "chmod 0 on file and folder", Need::Root, || {
        let rights = |place: &Place, folder: u32, file: u32| {
            std::fs::set_permissions(place.db(), Permissions::from_mode(file)).unwrap();
            std::fs::set_permissions(place.data(), Permissions::from_mode(folder)).unwrap();
        };
        Play::new()
            .without_rights()
            .lines(4)
            .run(|place, _| rights(place, 0, 0), move |place, _| rights(place, 0o700, 0o600))
    }),
    case("older schema at the path", "a store of version 1", Need::Nothing, || migrated("1.db", 40)),
    case("older schema at the path", "a store of version 2", Need::Nothing, || migrated("2.db", 701)),
    case("newer schema at the path", "user_version = 99", Need::Nothing, || {
        left_alone("PRAGMA user_version = 99", ".v5.db")
    }),
    case("a schema that never was at the path", "user_version = 0", Need::Nothing, || {
        left_alone("PRAGMA user_version = 0", ".monitor.db")
    }),
    case("another program's database", "application_id = 7", Need::Nothing, || {
        left_alone("PRAGMA application_id = 7; CREATE TABLE theirs (x)", ".monitor.db")
    }),
    case("a text file at the path", "notes.txt", Need::Nothing, text_file),
    case("hostile stores at the path", "every file of tests/data/stores", Need::Nothing, hostile_stores),
    case("a symbolic link at the path", "ln -s", Need::Nothing, link),
];

fn cut(place: &Place, bytes: u64) {
    checkpoint(place);
    OpenOptions::new().write(true).open(place.db()).unwrap().set_len(bytes).unwrap();
}

fn overwrite(place: &Place) {
    checkpoint(place);
    let length = usize::try_from(std::fs::metadata(place.db()).unwrap().len()).unwrap();
    OpenOptions::new().write(true).open(place.db()).unwrap().write_all_at(&vec![0; length], 0).unwrap();
}

/// Copies the log into the file, so that a fault in the file hits what counts.
fn checkpoint(place: &Place) {
    let store = rusqlite::Connection::open(place.db()).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    // The connection is never closed, so that it changes nothing of the victim's.
    std::mem::forget(store);
}

fn replaced() -> Row {
    let play = Play::new().lines(1).allow(GONE);
    play.run(
        |place, _| {
            let copy = place.data().join("copy");
            let store = rusqlite::Connection::open(place.db()).unwrap();
            store.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
            std::fs::rename(copy, place.db()).unwrap();
        },
        no_fault,
    )
}

/// Starts with a store that an earlier version left. The store is migrated, and the calls are still there, however old
/// they are by now.
fn migrated(from: &str, calls_there: i64) -> Row {
    let play = Play::new().with_variable("MONITOR_RETENTION", "36500d");
    let path = play.place.db();
    std::fs::copy(
        format!("{}/../monitor-runtime/tests/data/versions/{from}", env!("CARGO_MANIFEST_DIR")),
        &path,
    )
    .unwrap();
    // The oracle counts the failures of the whole store, and these were not made here.
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch("DELETE FROM call WHERE kind > 3; DELETE FROM error_group").unwrap();
    drop(old);
    let (mut version, mut calls) = (0, 0);
    let mut row = play.run(no_fault, |_, _| {
        let store = oracle::open(&path).unwrap();
        let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        version = number("PRAGMA user_version");
        calls = number("SELECT count(*) FROM calls WHERE service = 'shop'");
    });
    let newest = i64::from(monitor_runtime::store::schema::VERSION);
    row.expect(version == newest && calls == calls_there, || {
        format!("version {version} with {calls} of {calls_there} calls")
    });
    row
}

/// Puts a file of another program at the path. That file stays as it is, and a sibling is used.
fn left_alone(sql: &str, sibling: &str) -> Row {
    let play = Play::new().lines(1);
    let path = play.place.db();
    let theirs = rusqlite::Connection::open(&path).unwrap();
    if sql.contains("user_version") {
        theirs.execute_batch("PRAGMA application_id = 0x4D4E5452").unwrap();
    }
    theirs.execute_batch(sql).unwrap();
    drop(theirs);
    let before = std::fs::read(&path).unwrap();
    let data = play.place.data();
    let (mut is_same, mut is_beside) = (false, false);
    let mut row = play.run(no_fault, |_, _| {
        is_same = std::fs::read(&path).unwrap() == before;
        let mut names = std::fs::read_dir(&data).unwrap().flatten().map(|entry| entry.file_name());
        is_beside = names.any(|name| name.to_string_lossy().ends_with(sibling));
    });
    row.expect(is_same, || "the file was written to".to_owned());
    row.expect(is_beside, || format!("there is no sibling store{sibling}"));
    row
}

fn text_file() -> Row {
    let play = Play::new().lines(1);
    let notes = play.place.data().join("notes.txt");
    std::fs::write(&notes, "milk, eggs, flour\n".repeat(400)).unwrap();
    let play = play.with_variable("MONITOR_DB", notes.to_str().unwrap());
    let mut left = String::new();
    let mut row = play.run(no_fault, |_, _| left = std::fs::read_to_string(&notes).unwrap());
    let is_same = left == "milk, eggs, flour\n".repeat(400);
    row.expect(is_same, || "the notes were written to".to_owned());
    row
}

/// Puts each hostile store at the victim's path. The victim goes on, beside that store or without one.
fn hostile_stores() -> Row {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/stores");
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let play = Play::new();
        std::fs::copy(entry.path(), play.place.db()).unwrap();
        let output = bounded(play.command("flush", 10));
        let lines = String::from_utf8_lossy(&output.stderr).lines().count();
        let same = output.status.success() && output.stdout == b"55\nOk(())\n" && lines <= 1;
        row.is_host_unchanged &= same;
        row.expect(same, || format!("{}: {output:?}", entry.path().display()));
        // Only a store that has the victim's function in its table is queried: the views of other stores never end.
        let rows = |path: &std::path::PathBuf| {
            let store = oracle::open(path).ok()?;
            let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).ok();
            number("SELECT id FROM function WHERE name LIKE 'victim::%'")?;
            number("SELECT count(*) FROM calls")
        };
        let stored: i64 = oracle::stores(&play.place).iter().filter_map(rows).sum();
        let stored = stored.unsigned_abs();
        // One more call follows the flush.
        row.expect((10..=11).contains(&stored), || {
            format!("{}: {stored} rows of 10, {output:?}", entry.path().display())
        });
        row.emitted.ok += 10;
        row.stored.ok += stored.min(10);
        names.push(entry.file_name());
    }
    row.remark = format!("{} stores", names.len());
    row
}

fn link() -> Row {
    let play = Play::new().lines(1);
    let target = play.place.root().join("target");
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, play.place.db()).unwrap();
    let mut is_empty = false;
    let mut row = play.run(no_fault, |_, _| is_empty = std::fs::metadata(&target).unwrap().len() == 0);
    row.expect(is_empty, || "the link was followed".to_owned());
    row
}
