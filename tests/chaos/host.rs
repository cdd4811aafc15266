//! Rows in which the program does to its own process what the recorder has to bear: it closes descriptors, forks past the
//! C library, or leaves no room.

use monitor_runtime::limits;

use crate::oracle;
use crate::play::{Play, bounded};
use crate::row::{Calls, Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need: Need::Nothing, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("descriptors closed and replaced", "close, dup2; own files opened; 6 seeds", Length::Short, || {
        descriptors(0..6)
    }),
    case("descriptors closed and replaced", "close, dup2; own files opened; 200 seeds", Length::Long, || {
        descriptors(0..200)
    }),
    case("standard error full", "2>/dev/full, one warning", Length::Short, || {
        let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
        unheard(|command| _ = command.stderr(full()))
    }),
    case("standard error is a closed pipe", "nobody reads, one warning", Length::Short, || {
        unheard(|command| _ = command.stderr(std::io::pipe().unwrap().1))
    }),
    case("standard error is a full pipe", "nobody reads, one warning", Length::Short, || {
        let kept = std::cell::RefCell::new(None);
        unheard(|command| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            fill(&mut writer);
            command.stderr(writer);
            *kept.borrow_mut() = Some(reader);
        })
    }),
    case(
        "standard error closed, a file in its place",
        "2>&-, the first file has its number",
        Length::Short,
        file_in_its_place,
    ),
    case("children forked past the C library", "SYS_fork, clone, fork; grandchildren", Length::Short, || {
        let mut row = Row { is_host_unchanged: true, ..Row::default() };
        for how in ["fork", "syscall", "clone"] {
            generations(how, &mut row);
        }
        row
    }),
    case("prefork server", "100 children at once", Length::Short, prefork),
    case("recorder starts in a panic hook", "the hook calls and exits", Length::Short, || {
        let mut row = Row { emitted: Calls { ok: 1, failed: 0 }, ..Row::default() };
        let play = Play::new();
        let began = std::time::Instant::now();
        let output = bounded(play.command("hook-starts", 0));
        let took = began.elapsed();
        row.is_host_unchanged = output.status.code() == Some(3) && output.stdout == b"2\n";
        row.expect(row.is_host_unchanged && output.stderr.is_empty(), || format!("{output:?}"));
        row.expect_in_time(took < limits::EXIT_DRAIN_MAX, || format!("{took:?}"));
        let found = oracle::find(&play.place, (0, i64::MAX));
        row.stored = found.stored;
        row.expect(found.stored == row.emitted, || format!("{found:?}"));
        row
    }),
    case(
        "settings file that is never read to its end",
        "MONITOR_CONFIG=/proc/kmsg, a FIFO, /dev/zero",
        Length::Short,
        || {
            let mut row = Row { is_host_unchanged: true, ..Row::default() };
            let fifo = Play::new();
            let path = fifo.place.home().join("fifo");
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            for file in ["/proc/kmsg", "/dev/zero", path.to_str().unwrap()] {
                let play = Play::new().with_variable("MONITOR_CONFIG", file);
                let output = bounded(play.command("flush", 10));
                let is_same = output.status.success() && output.stdout == b"55\nOk(())\n";
                row.is_host_unchanged &= is_same;
                let lines = String::from_utf8_lossy(&output.stderr).lines().count();
                row.expect(is_same && lines == 1, || format!("{file}: {output:?}"));
                row.emitted.ok += 11;
                row.stored.ok += oracle::find(&play.place, (0, i64::MAX)).stored.ok;
            }
            row.expect(row.stored == row.emitted, String::new);
            row
        },
    ),
    Case {
        fault: "settings file on a mount that does not answer",
        how: "opening it takes 20 s",
        need: Need::Compiler,
        length: Length::Short,
        run: || {
            let play =
                Play::new().rules_always("open:0:1:1:20000").with_variable("CHAOS_MATCH", "settings.toml");
            let path = play.place.home().join("settings.toml");
            std::fs::write(&path, "sample = 1").unwrap();
            let play = play.with_variable("MONITOR_CONFIG", path.to_str().unwrap());
            let mut row = Row { emitted: Calls { ok: 11, failed: 0 }, ..Row::default() };
            let began = std::time::Instant::now();
            let output = bounded(play.command("flush", 10));
            let took = began.elapsed();
            row.is_host_unchanged = output.status.success() && output.stdout == b"55\nOk(())\n";
            row.expect(row.is_host_unchanged, || format!("{output:?}"));
            row.expect(play.not_struck().is_empty(), || "the file was not opened".to_owned());
            row.expect_in_time(took < std::time::Duration::from_secs(10), || format!("{took:?}"));
            let found = oracle::find(&play.place, (0, i64::MAX));
            row.stored = found.stored;
            row.expect(found.stored == row.emitted, || format!("{found:?}"));
            row
        },
    },
    Case {
        fault: "signal handler calls while the recorder starts",
        how: "posix_fallocate takes 300 ms, an alarm each 0.5 ms",
        need: Need::Compiler,
        length: Length::Short,
        run: || {
            let play = Play::new().rules_always("reserve:0:1:1:300");
            let mut row = Row::default();
            let output = bounded(play.command("signals-at-start", 0));
            // On a busy machine the first alarm may come before `init`, which then finds the recorder started.
            let expected = [&b"Ok(())\nOk(()) true\n"[..], b"Err(Started)\nOk(()) true\n"];
            row.is_host_unchanged = output.status.success() && expected.contains(&&output.stdout[..]);
            row.expect(row.is_host_unchanged, || format!("{output:?}"));
            row.expect(play.not_struck().is_empty(), || "the start was not held up".to_owned());
            row
        },
    },
    case("address space limited", "ulimit -v 12 to 600 MiB", Length::Short, address_space),
    case("ring files of stores that nobody opens", "180 of 512 KiB", Length::Short, left_rings),
    case("children that end by _exit", "150 children, parent goes on", Length::Long, abrupt_children),
    Case {
        fault: "others fill the folder for rings",
        how: "5000 files and a folder of another user's",
        need: Need::Root,
        length: Length::Short,
        run: others_rings,
    },
    case("live ring file scribbled over", "random words into it; 6 seeds", Length::Short, || scribbled(0..6)),
    case("live ring file scribbled over", "random words into it; 200 seeds", Length::Long, || {
        scribbled(0..200)
    }),
    Case {
        fault: "user changed after the first call",
        how: "setuid, the store in a folder of root's",
        need: Need::Root,
        length: Length::Short,
        run: || {
            let play = Play::new();
            std::fs::set_permissions(play.place.data(), std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .unwrap();
            let mut row = Row { emitted: Calls { ok: 61, failed: 0 }, ..Row::default() };
            let output = bounded(play.command("become-another", 30));
            row.is_host_unchanged = output.status.success() && output.stdout == b"Ok(())\n0\ntrue\n";
            let lines = String::from_utf8_lossy(&output.stderr).lines().count();
            row.expect(row.is_host_unchanged && lines <= 3, || format!("{output:?}"));
            let before = oracle::find(&play.place, (0, i64::MAX)).stored.ok;
            assert!(play.output(play.command("return", 1)).status.success());
            let found = oracle::find(&play.place, (0, i64::MAX));
            row.stored = found.stored;
            row.recovered = Some(row.stored.ok - 1 - before);
            row.expect(found.stored == row.emitted && found.twice == 0, || format!("{found:?}"));
            row
        },
    },
    Case {
        fault: "forked while the recorder starts",
        how: "posix_fallocate takes 700 ms; fork, SYS_fork",
        need: Need::Compiler,
        length: Length::Short,
        run: fork_at_start,
    },
];

/// Returns the numbers of rows of a function by process, in rising order.
fn rows_by_process(play: &Play, function: &str) -> Vec<i64> {
    let store = oracle::open(&play.place.db()).unwrap();
    let sql =
        "SELECT count(*) FROM calls WHERE function LIKE '%::' || ?1 GROUP BY process_id ORDER BY count(*)";
    let mut statement = store.prepare(sql).unwrap();
    statement.query_map([function], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Each process has its own calls, whichever way it was made, and ends without waiting.
fn generations(how: &str, row: &mut Row) {
    let play = Play::new();
    let began = std::time::Instant::now();
    let mut command = play.command("generations", 0);
    let output = bounded(command.arg(how));
    let took = began.elapsed();
    let is_same = output.status.success() && output.stdout == b"0\n0\nOk(())\n" && output.stderr.is_empty();
    row.is_host_unchanged &= is_same;
    row.expect(is_same, || format!("{how}: {output:?}"));
    row.expect_in_time(took < limits::EXIT_DRAIN_MAX, || format!("{how}: {took:?}"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.emitted.ok += 120;
    let rows = rows_by_process(&play, "leaf");
    row.stored.ok += rows.iter().sum::<i64>().unsigned_abs();
    let is_whole = |rows: &i64| [10, 20, 60].contains(rows);
    let is_exact = rows == [10, 10, 20, 20, 60];
    // Past the C library a child may come about in the middle of the recorder's work, and then has no rows at all.
    let is_silent = how != "fork" && rows.last() == Some(&60) && rows.iter().all(is_whole);
    row.expect(is_exact || is_silent, || format!("{how}: rows by process: {rows:?}"));
    row.expect(found.twice == 0 && found.damaged.is_empty(), || format!("{how}: {found:?}"));
}

fn prefork() -> Row {
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
    let output = play.output(play.command("prefork", 100));
    let mut row = Row { emitted: Calls { ok: 2001, failed: 0 }, ..Row::default() };
    row.is_host_unchanged = output.status.success() && output.stdout == b"0\n" && output.stderr.is_empty();
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(found.twice == 0 && found.damaged.is_empty(), || format!("{found:?}"));
    let rows = rows_by_process(&play, "leaf");
    // A machine may be too busy for the recorder to come to rest before a fork. The child then has no rows at all.
    let is_each = rows.first() == Some(&1) && rows.iter().skip(1).all(|rows| *rows == 20);
    row.expect(is_each && rows.len() > 50, || format!("rows by process: {rows:?}"));
    row.lost = vec![("not recorded", 20 * (101 - rows.len() as u64))];
    row
}

/// The program does under each limit what it does without the recorder, its own allocations included.
fn address_space() -> Row {
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut recorded = Vec::new();
    for mebibytes in [12, 20, 40, 60, 80, 110, 120, 140, 200, 300, 600] {
        let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
        let limited = |off: bool| {
            let victim = play.command("fill-half", 20);
            let script = format!("ulimit -v {}; exec \"$0\" fill-half 20", mebibytes * 1024);
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &script]).arg(victim.get_program());
            command.env_clear().envs(victim.get_envs().filter_map(|(name, value)| Some((name, value?))));
            if off {
                command.env("MONITOR", "off");
            }
            bounded(command)
        };
        let (with, without) = (limited(false), limited(true));
        let is_same = (with.status, &with.stdout) == (without.status, &without.stdout);
        row.is_host_unchanged &= is_same;
        row.expect(is_same, || format!("{mebibytes} MiB: {with:?}\n{without:?}"));
        let found = oracle::find(&play.place, (0, i64::MAX)).stored.ok;
        row.stored.ok += found;
        if found > 0 {
            row.emitted.ok += 20;
            recorded.push(mebibytes);
        }
    }
    row.expect(row.stored == row.emitted && recorded.contains(&600), || format!("recorded: {recorded:?}"));
    row.remark = format!("recorded under a limit of {recorded:?} MiB");
    row
}

fn fork_at_start() -> Row {
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    for how in ["fork", "syscall", "clone"] {
        let play = Play::new().rules_always("reserve:0:1:1:700");
        let mut command = play.command("fork-at-start", 0);
        let output = bounded(command.arg(how));
        let is_same = output.status.success() && output.stdout == b"1 0\n" && output.stderr.is_empty();
        row.is_host_unchanged &= is_same;
        row.expect(is_same, || format!("{how}: {output:?}"));
        row.expect(play.not_struck().is_empty(), || format!("{how}: the start was not held up"));
        let rows = rows_by_process(&play, "leaf");
        row.emitted.ok += rows.len() as u64;
        row.stored.ok += rows.iter().sum::<i64>().unsigned_abs();
        // At least the parent and the child after the start. Of those during it, some may have been made at a moment at which
        // the recorder was at work.
        row.expect(rows.len() >= 2 && rows.iter().all(|rows| *rows == 1), || format!("{how}: {rows:?}"));
    }
    row
}

/// Fills a pipe to the last byte.
fn fill(writer: &mut std::io::PipeWriter) {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut options = std::fs::File::options();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let mut same = options.write(true).open(link).unwrap();
    for bytes in [&[0_u8; 4096][..], &[0]] {
        while same.write(bytes).is_ok() {}
    }
}

/// A warning that cannot be written is dropped: everything is recorded, and the end waits for nothing.
fn unheard(redirect: impl Fn(&mut std::process::Command)) -> Row {
    let play = Play::new().with_variable("MONITOR_BATCH_ROWS", "many");
    let mut row = Row { emitted: Calls { ok: 51, failed: 0 }, ..Row::default() };
    let mut command = play.command("flush", 50);
    redirect(&mut command);
    let began = std::time::Instant::now();
    let with = command.stdout(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let took = began.elapsed();
    row.is_host_unchanged = with.status.success() && with.stdout == b"1275\nOk(())\n";
    row.expect(row.is_host_unchanged, || format!("{with:?}"));
    row.expect_in_time(took < limits::EXIT_DRAIN_MAX, || format!("the program took {took:?}"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(found.stored == row.emitted, || format!("{found:?}"));
    row
}

/// The program closed its standard error, and a file of its own got the number: no warning gets into it.
fn file_in_its_place() -> Row {
    let play = Play::new().with_variable("MONITOR_BATCH_ROWS", "many");
    let mut row = Row { emitted: Calls { ok: 50, failed: 0 }, is_host_unchanged: true, ..Row::default() };
    let output = bounded(play.command("lose-stderr", 50));
    row.is_host_unchanged = output.status.success() && output.stdout == b"1275 as written\n";
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(found.stored == row.emitted, || format!("{found:?}"));
    row
}

/// No byte of the recorder's gets into a file of the program's, and no call is lost.
fn descriptors(seeds: std::ops::Range<u64>) -> Row {
    const CALLS: u64 = 250;
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut opened_again = 0;
    for seed in seeds {
        let play = Play::new();
        let with = bounded(play.command("lose-descriptors", seed));
        let said = String::from_utf8_lossy(&with.stdout);
        for file in 0..4 {
            let _ = std::fs::remove_file(play.place.home().join(format!("own-{file}")));
        }
        let mut command = play.command("lose-descriptors", seed);
        let without = bounded(command.env("MONITOR", "off"));
        let is_same = with.status == without.status && with.stdout == without.stdout;
        row.is_host_unchanged &= is_same;
        row.expect(is_same && said.matches("as written").count() == 4, || format!("seed {seed}: {with:?}"));
        opened_again += String::from_utf8_lossy(&with.stderr).matches("opened again").count();
        let found = oracle::find(&play.place, (0, i64::MAX));
        row.emitted.ok += CALLS;
        row.stored = Calls { ok: row.stored.ok + found.stored.ok, failed: 0 };
        row.expect(found.stored.ok == CALLS && found.twice == 0 && found.damaged.is_empty(), || {
            format!("seed {seed}: {found:?}")
        });
    }
    row.expect(opened_again > 0, || "no descriptor of the recorder's was closed".to_owned());
    row.remark = format!("the store was opened again {opened_again} times");
    row
}

/// Kills a victim, which leaves a ring file, and returns the file's path.
fn leave_ring_file(play: &Play) -> std::path::PathBuf {
    let mut command = play.command("ends", 50);
    let status = bounded(command.arg("kill")).status;
    assert!(!status.success());
    let mut files = std::fs::read_dir(play.place.rings().unwrap()).unwrap();
    files.next().unwrap().unwrap().path()
}

/// Files that dead processes left for other stores take no more memory than their bound once any program records.
fn left_rings() -> Row {
    const FILES: u64 = 180;
    const BYTES: usize = 512 << 10;
    let play = Play::new();
    let left = leave_ring_file(&play);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(
        &mut std::io::Read::take(std::fs::File::open(&left).unwrap(), BYTES as u64),
        &mut bytes,
    )
    .unwrap();
    // The bytes beyond those in use may be a hole.
    bytes.iter_mut().skip(BYTES - 4096).for_each(|byte| *byte |= 1);
    for number in 1..FILES {
        std::fs::write(format!("{}{number:03}", left.display()), &bytes).unwrap();
    }
    let rings = play.place.rings().unwrap().to_owned();
    let count = || std::fs::read_dir(&rings).unwrap().count() as u64;
    let before = count();
    let elsewhere = play.place.data().join("elsewhere.db");
    let play = play.with_variable("MONITOR_DB", elsewhere.to_str().unwrap());
    let output = bounded(play.command("flush", 10));
    let mut row = Row { emitted: Calls { ok: 11, failed: 0 }, ..Row::default() };
    row.is_host_unchanged =
        output.status.success() && output.stdout == b"55\nOk(())\n" && output.stderr.is_empty();
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    let kept = count();
    let store = oracle::open(&elsewhere).unwrap();
    let told: String = store
        .query_row("SELECT coalesce(max(detail), '') FROM events WHERE kind = 'rings'", [], |row| row.get(0))
        .unwrap();
    let bytes_kept = kept * BYTES as u64;
    row.expect(bytes_kept <= limits::DEAD_RINGS_BYTES_MAX + (1 << 20) && kept > 100, || {
        format!("{kept} kept")
    });
    row.expect(told.starts_with(&format!("{} ring files", before - kept)), || format!("told: {told}"));
    row.stored.ok = 11;
    row.remark = format!("{kept} of {before} files are left; {told}");
    row
}

/// A program that goes on takes back what its dead children left.
fn abrupt_children() -> Row {
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
    let output = bounded(play.command("abrupt-children", 150));
    let mut row = Row { emitted: Calls { ok: 3000, failed: 0 }, ..Row::default() };
    row.is_host_unchanged = output.status.success() && output.stdout == b"1\n";
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    let rows = rows_by_process(&play, "leaf");
    let of_children: Vec<&i64> = rows.iter().filter(|rows| **rows == 20).collect();
    row.stored.ok = 20 * of_children.len() as u64;
    row.expect(row.stored.ok > 2900 && rows.len() <= of_children.len() + 1, || format!("{rows:?}"));
    String::from_utf8_lossy(&output.stderr).trim().clone_into(&mut row.remark);
    row
}

/// Files of another user's neither hide a ring file from recovery nor get read, and a folder of another user's is not used.
fn others_rings() -> Row {
    use std::os::unix::fs::chown;
    let play = Play::new();
    leave_ring_file(&play);
    let rings = play.place.rings().unwrap().to_owned();
    std::fs::set_permissions(&rings, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    for number in 0..5000 {
        let path = rings.join(format!("monitored-0-{number:016x}-1-1-0"));
        std::fs::write(&path, "").unwrap();
        chown(&path, Some(crate::place::NOBODY), None).unwrap();
    }
    let mut row = Row { emitted: Calls { ok: 51, failed: 0 }, ..Row::default() };
    assert!(play.output(play.command("return", 1)).status.success());
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(found.stored == row.emitted && found.twice == 0, || format!("{found:?}"));
    // The folder that would be this user's own belongs to another.
    let theirs = rings.join("monitored-0");
    std::fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(crate::place::NOBODY), None).unwrap();
    let play = play.with_variable("MONITOR_RINGS", theirs.to_str().unwrap());
    let output = bounded(play.command("flush", 1));
    row.is_host_unchanged = output.status.success() && output.stdout == b"1\nOk(())\n";
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    row.expect(std::fs::read_dir(&theirs).unwrap().count() == 0, || "it made a file there".to_owned());
    let store = oracle::open(&play.place.db()).unwrap();
    let told: i64 = store
        .query_row("SELECT count(*) FROM events WHERE detail LIKE '%belongs to another user%'", [], |row| {
            row.get(0)
        })
        .unwrap();
    row.expect(told == 1, || format!("{told} events say so"));
    row
}

/// A program whose ring file the same user overwrites does what it does without a recorder. What was in the file is lost.
fn scribbled(seeds: std::ops::Range<u64>) -> Row {
    use std::os::unix::fs::FileExt as _;
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut written = 0;
    for seed in seeds {
        let play = Play::new();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random ^ random >> 29
        };
        let mut command = play.command("tree", 20_000);
        let mut victim = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let rings = play.place.rings().unwrap();
        while victim.try_wait().unwrap().is_none() {
            let Some(Ok(entry)) = std::fs::read_dir(rings).unwrap().next() else { continue };
            let Ok(file) = std::fs::File::options().write(true).open(entry.path()) else { continue };
            for _ in 0..64 {
                // The file's pages that hold numbers, and within its length: a longer file would not be the recorder's fault.
                let at = draw() % (1 << 17) * 8;
                let word = if draw() % 4 == 0 { u64::MAX } else { draw() >> (draw() % 64) };
                if at + 8 <= file.metadata().unwrap().len() {
                    file.write_at(&word.to_ne_bytes(), at).unwrap();
                    written += 1;
                }
            }
        }
        let with = victim.wait_with_output().unwrap();
        let mut command = play.command("tree", 20_000);
        let without = bounded(command.env("MONITOR", "off"));
        let is_same = with.status == without.status && with.stdout == without.stdout;
        row.is_host_unchanged &= is_same;
        row.expect(is_same, || format!("seed {seed}: {with:?}"));
    }
    row.remark = format!("{written} words written");
    row
}
