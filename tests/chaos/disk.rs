//! Rows in which the disk is full, failing, slow or missing.

use std::fmt::Write as _;
use std::time::Duration;

use crate::oracle;
use crate::place::Place;
use crate::play::{Allowed, Play, Victim, bounded};
use crate::row::{Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, need: Need, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("no fault", "nothing", Need::Nothing, Length::Short, || Play::new().run(no_fault, no_fault)),
    case(
        "disk full for a while",
        "tmpfs of 2 MiB, filled up",
        Need::Root,
        Length::Short,
        disk_full_for_a_while,
    ),
    case("disk full at start", "tmpfs of 2 MiB, full before", Need::Root, Length::Long, disk_full_at_start),
    case("disk full, by system call", "ENOSPC for a range of writes", Need::Compiler, Length::Long, || {
        let gone = Allowed { gone: true, ..Allowed::default() };
        Play::new()
            .rules("write:28:1:0:0")
            .lines(2)
            .allow(gone)
            .lasting(Duration::from_secs(2))
            .run(switch_on, switch_off)
    }),
    case("file size limit", "ulimit -f, half a megabyte", Need::Nothing, Length::Short, file_size_limit),
    case("size bound reached", "MONITOR_MAX_DISK=1MiB", Need::Nothing, Length::Short, size_bound),
    case("a write fails once", "EIO at the 3rd write", Need::Compiler, Length::Short, || {
        Play::new().rules("write:5:3:1:0").run(switch_on, switch_off)
    }),
    case("writes fail", "EIO at every write", Need::Compiler, Length::Long, || {
        Play::new().rules("write:5:1:0:0").lines(2).lasting(Duration::from_secs(2)).run(switch_on, switch_off)
    }),
    case("a sync fails once", "EIO at the 1st fsync", Need::Compiler, Length::Short, || {
        Play::new()
            .with_variable("MONITOR_MAX_DISK", "2MiB")
            .rules("fsync:5:1:1:0")
            .run(switch_on, switch_off)
    }),
    case("syncs fail", "EIO at every fsync", Need::Compiler, Length::Short, || {
        Play::new()
            .with_variable("MONITOR_MAX_DISK", "2MiB")
            .rules("fsync:5:1:0:0")
            .lines(2)
            .run(switch_on, switch_off)
    }),
    case("a read fails once", "EIO at the 1st read, store moved", Need::Compiler, Length::Short, || {
        // The log of the moved file is lost with it, as in the next row.
        let gone = Allowed { gone: true, ..Allowed::default() };
        Play::new().rules("read:5:1:1:0").lines(1).allow(gone).run(reopened, switch_off)
    }),
    case("reads fail", "EIO at every read, store moved", Need::Compiler, Length::Long, || {
        // The rows in the log of the moved file cannot be copied into it then.
        let gone = Allowed { gone: true, ..Allowed::default() };
        Play::new()
            .rules("read:5:1:0:0")
            .lines(3)
            .allow(gone)
            .lasting(Duration::from_secs(1))
            .run(reopened, switch_off)
    }),
    case("a sync takes 400 ms", "delayed fsync and write", Need::Compiler, Length::Short, || {
        Play::new()
            .with_variable("MONITOR_MAX_DISK", "2MiB")
            .rules("fsync:0:1:0:400,write:0:1:1:400")
            .run(switch_on, switch_off)
    }),
    case(
        "syncs take 400 ms, and calls are only counted",
        "delayed fsync",
        Need::Compiler,
        Length::Short,
        slow_sync_while_counting,
    ),
    case("the disk hangs for 5 s", "delayed write", Need::Compiler, Length::Long, || {
        Play::new().rules("write:0:1:1:5000").run(switch_on, switch_off)
    }),
    case("locks not available", "ENOLCK at every lock", Need::Compiler, Length::Long, || {
        Play::new().rules("lock:37:1:0:0").lines(2).lasting(Duration::from_secs(1)).run(switch_on, switch_off)
    }),
    case("no descriptors at start", "ulimit -n 6, raised later", Need::Nothing, Length::Long, no_descriptors),
    case(
        "no descriptors while open",
        "ulimit -n 3 and store moved, raised later",
        Need::Nothing,
        Length::Long,
        no_more_descriptors,
    ),
    case("network file system", "statfs says NFS", Need::Compiler, Length::Short, || shared("6969")),
    case("FUSE file system", "statfs says so", Need::Compiler, Length::Short, || shared("65735546")),
    case("overlay file system", "statfs says so", Need::Compiler, Length::Short, || shared("794c7630")),
    case("read-only file system", "bind mount, remounted ro", Need::Root, Length::Short, read_only_mount),
];

/// Delays syncs while a function is only counted. The coarse clock, by which counted calls are seen to be slow, stands
/// still in a sync; so calls are timed instead for that long, and no slow call goes without its row.
fn slow_sync_while_counting() -> Row {
    // The row shows that slow calls are noticed, so there is memory for all that wait.
    let play =
        Play::new().with_variable("MONITOR_MAX_DISK", "2MiB").with_variable("MONITOR_MAX_MEMORY", "64MiB");
    let play = play.rules_always("fsync:0:8:10:400");
    let mut command = play.command("hot", 7000);
    command.env_remove("MONITOR_MAX_RATE").env_remove("MONITOR_MAX_OVERHEAD");
    let output = bounded(command);
    let mut row = Row { is_host_unchanged: output.status.success(), ..Row::default() };
    row.expect(output.status.success() && output.stderr.is_empty(), || format!("{output:?}"));
    row.expect(play.not_struck().is_empty(), || "no sync was held up".to_owned());
    let store = oracle::open(&play.place.db()).unwrap();
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
    let rung = number("SELECT count(*) FROM events WHERE kind = 'rate' AND detail LIKE '%-> counted%'");
    row.expect_in_time(rung > 0, || "it was never only counted".to_owned());
    for (function, made) in ["hot", "rare"].iter().zip(String::from_utf8_lossy(&output.stdout).lines()) {
        let made: Vec<u64> = made.split(' ').map(|number| number.parse().unwrap()).collect();
        let count = |what: &str| number(&format!("SELECT {what} WHERE function = 'victim::hot::{function}'"));
        let found = [
            count("calls FROM functions"),
            count("count(*) FROM errors"),
            count("count(*) FROM slow_calls"),
            count("count(*) FROM calls"),
        ];
        let differ = || {
            let dropped = count("dropped FROM functions");
            format!("{function}: calls, failures and slow ones {made:?}, found {found:?}, dropped {dropped}")
        };
        row.expect(found[..2] == made[..2], differ);
        // The coarse clock also stands still where the recorder's thread is not scheduled.
        row.expect_in_time(found[2] >= made[2], differ);
        row.emitted.ok += made[0] - made[1];
        row.emitted.failed += made[1];
        row.stored.ok += found[3] - found[1];
        row.stored.failed += found[1];
        let _ = write!(row.remark, "{function}: rows of {} of {} slow calls; ", found[2], made[2]);
    }
    row.lost = vec![("sampled out", row.emitted.ok - row.stored.ok)];
    row
}

/// Does nothing: the fault of the row lies in its command.
pub(crate) fn no_fault(_: &Place, _: &Victim) {}

pub(crate) fn switch_on(place: &Place, _: &Victim) {
    place.switch_on();
}

pub(crate) fn switch_off(place: &Place, _: &Victim) {
    place.switch_off();
}

/// Switches the fault on and makes the victim open its store again.
fn reopened(place: &Place, _: &Victim) {
    place.switch_on();
    let moved = place.data().join("moved.db");
    std::fs::rename(place.db(), moved).unwrap();
}

fn ballast(place: &Place) {
    let mut bytes: u64 = 8 << 20;
    let file =
        std::fs::OpenOptions::new().append(true).create(true).open(place.data().join("ballast")).unwrap();
    while bytes >= 512 {
        let chunk = vec![1_u8; usize::try_from(bytes).unwrap()];
        while std::io::Write::write(&mut &file, &chunk).is_ok_and(|written| written > 0) {}
        bytes /= 2;
    }
}

fn drop_ballast(place: &Place) {
    std::fs::remove_file(place.data().join("ballast")).unwrap();
}

fn disk_full_for_a_while() -> Row {
    let play = Play::new()
        .lines(4)
        .lasting(Duration::from_secs(1))
        .allow(Allowed { gone: true, ..Allowed::default() });
    play.place.mount_tmpfs(2 << 20);
    play.run(|place, _| ballast(place), |place, _| drop_ballast(place))
}

fn disk_full_at_start() -> Row {
    let play = Play::new().lines(3);
    play.place.mount_tmpfs(2 << 20);
    ballast(&play.place);
    play.run(no_fault, |place, _| drop_ballast(place))
}

fn file_size_limit() -> Row {
    let allowed = Allowed { gone: true, unsettled: true, ..Allowed::default() };
    // The unit of the limit is 512 bytes or a kilobyte, depending on the shell.
    Play::new().limited("ulimit -f 1024").lines(3).allow(allowed).run(no_fault, no_fault)
}

fn size_bound() -> Row {
    let mut play = Play::new()
        .with_variable("MONITOR_MAX_DISK", "1MiB")
        .allow(Allowed { gone: true, ..Allowed::default() });
    play.rounds = 1000;
    let mut row = play.run(no_fault, no_fault);
    row.expect(row.lost.iter().any(|(reason, _)| *reason == "with the file"), || {
        "the bound was not reached".to_owned()
    });
    row
}

fn no_descriptors() -> Row {
    // Three descriptors exist from the start, and the victim keeps one open itself.
    let play = Play::new().limited("ulimit -Sn 6").lines(2);
    play.run(no_fault, |_, victim| allow_descriptors(victim, 1024))
}

/// Makes it necessary and impossible to open the store again.
fn no_more_descriptors() -> Row {
    let play = Play::new().lines(3).lasting(Duration::from_secs(1));
    play.run(
        |place, victim| {
            allow_descriptors(victim, 3);
            std::fs::rename(place.db(), place.data().join("moved.db")).unwrap();
        },
        |_, victim| allow_descriptors(victim, 1024),
    )
}

fn allow_descriptors(victim: &Victim, most: u32) {
    let mut prlimit = std::process::Command::new("prlimit");
    let status = prlimit.args([&format!("--nofile={most}:"), "--pid", &victim.pid().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit is not there");
}

/// Runs on a file system whose shared memory other machines or another kernel module do not see.
fn shared(kind: &str) -> Row {
    let play = Play::new().with_variable("CHAOS_STATFS", kind).rules_always("statfs:1:1:0:0");
    let shm = play.place.shm();
    let mut was_wal = false;
    let mut row = play.run(|_, _| was_wal = shm.exists(), no_fault);
    row.expect(!was_wal, || "it used shared memory there".to_owned());
    row
}

fn read_only_mount() -> Row {
    let play = Play::new().lines(1);
    play.place.mount_itself();
    play.place.remount("remount,bind,ro");
    play.run(no_fault, no_fault)
}
