//! Rows with faults in the program itself: in its clock, its memory, its threads, its end.

use std::time::{Duration, Instant};

use crate::disk::{no_fault, switch_off, switch_on};
use crate::oracle;
use crate::play::{CALLS_A_ROUND, Play, ROUNDS};
use crate::row::{Calls, Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, need: Need, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("clock jumps a year ahead", "clock_gettime + 365 d", Need::Compiler, Length::Short, || {
        clock(365 * 86_400)
    }),
    case("clock jumps a year back", "clock_gettime - 365 d", Need::Compiler, Length::Short, || {
        clock(-365 * 86_400)
    }),
    case("no thread to be had", "pthread_create: EAGAIN", Need::Compiler, Length::Short, no_thread),
    case("no memory for rings", "calloc: ENOMEM", Need::Compiler, Length::Short, no_rings),
    case(
        "hung disk, failures flat out",
        "write takes 4 s, two threads",
        Need::Compiler,
        Length::Long,
        hung_and_failing,
    ),
    case("return from main", "return", Need::Nothing, Length::Short, || {
        scenario("return", 500, Some(0), 500, 0)
    }),
    case("exit", "process::exit(7)", Need::Nothing, Length::Short, || scenario("exit", 500, Some(7), 500, 0)),
    case("abort", "then the next start", Need::Nothing, Length::Short, || end_process("abort")),
    case("_exit", "then the next start", Need::Nothing, Length::Short, || end_process("_exit")),
    case("SIGKILL", "then the next start", Need::Nothing, Length::Short, || end_process("kill")),
    case("exec", "then the next start", Need::Nothing, Length::Short, || end_process("exec")),
    case("fork without exec", "fork, both go on", Need::Nothing, Length::Short, || {
        scenario("fork", 1, Some(0), 181, 0)
    }),
    case("call in a destructor of a thread-local", "two threads", Need::Nothing, Length::Short, || {
        scenario("destructor", 1, Some(0), 5, 0)
    }),
    case("call after shutdown", "monitored::shutdown", Need::Nothing, Length::Short, || {
        scenario("after-shutdown", 1, Some(0), 1, 0)
    }),
    case("recursion 100 000 deep", "one thread", Need::Nothing, Length::Short, || {
        scenario("recursion", 100_000, Some(0), 100_001, 0)
    }),
    case("stack of a monitored call", "beside one that is not", Need::Nothing, Length::Short, stack),
    case("10 000 short threads", "three calls each", Need::Nothing, Length::Long, || {
        scenario("short-threads", 10_000, Some(0), 30_000, 0)
    }),
    case("20 000 tasks at once", "tokio, three calls each", Need::Nothing, Length::Long, || {
        scenario("tasks", 20_000, Some(0), 60_000, 0)
    }),
    case(
        "values that misbehave",
        "Debug panics, never ends, is deep, calls",
        Need::Nothing,
        Length::Short,
        || scenario("hostile", 1, Some(0), 51, 0),
    ),
    case("umask 0 and 777", "umask before start", Need::Nothing, Length::Short, umask),
    case("program with more rights", "set-user-id, MONITOR_DB set", Need::Root, Length::Short, set_user_id),
    case("secrets in arguments", "killed; files and rings searched", Need::Nothing, Length::Short, canary),
    case("futures dropped", "tokio, timeout and abort", Need::Nothing, Length::Short, || {
        scenario("cancel", 1, Some(0), 0, 3)
    }),
];

/// The rows of calls under the jump have times beside those of other rows, not a year off.
fn clock(seconds: i64) -> Row {
    // No rule notes that the fault struck, because the recorder reads the wall clock at its start alone.
    let play = Play::new().rules("").with_variable("CHAOS_JUMP_S", &seconds.to_string());
    let db = play.place.db();
    let mut spread = (0_i64, 0_i64);
    let mut row = play.run(switch_on, |place, victim| {
        let store = oracle::open(&db).unwrap();
        // Two phases are over. Rows of the second may still wait for their batch, and the clock is off until then, because
        // the recorder reads it when it drains.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let rows = store
                .query_row("SELECT CAST(sum(weight) AS INTEGER) FROM calls", [], |row| {
                    row.get::<_, Option<i64>>(0)
                })
                .unwrap()
                .unwrap_or(0);
            if rows.unsigned_abs() >= 2 * ROUNDS * CALLS_A_ROUND {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        switch_off(place, victim);
        let range = "SELECT max(start_ns) - min(start_ns), min(duration_ns) FROM calls";
        spread = store.query_row(range, [], |row| row.try_into()).unwrap();
    });
    row.expect(spread.0 < 60_000_000_000, || format!("calls {} s apart", spread.0 / 1_000_000_000));
    row.expect(spread.1 >= 0, || "negative durations".to_owned());
    row
}

fn no_thread() -> Row {
    let mut play = Play::new().rules_always("thread:11:1:0:0");
    play.allowed.nothing_stored = true;
    play.allowed.unsettled = true;
    let mut row = play.run(no_fault, no_fault);
    row.expect(row.stored.all() == 0, || "rows without a thread".to_owned());
    row.lost = vec![("not recorded", row.emitted.all())];
    row
}

/// Tries a program that gets no memory for rings: its calls are only counted, and its failures reach the collector
/// through a channel.
fn no_rings() -> Row {
    // The rings are on the heap, because those in a file are no allocation.
    let mut play = Play::new().with_variable("MONITOR_RINGS", "off").rules_always("alloc:12:1:0:0");
    play.allowed.gone = true;
    play.run(no_fault, no_fault)
}

/// Two threads fail as fast as they can while the writer hangs. The memory for failures on their way around the rings
/// is bounded.
fn hung_and_failing() -> Row {
    let play = Play::new().rules_always("write:0:40:1:4000");
    let mut command = play.command("failures", 3000);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let made = number("made");
    let mut row = Row {
        emitted: Calls { ok: 0, failed: made },
        is_host_unchanged: output.status.success(),
        lost: vec![("folded", number("folded"))],
        ..Row::default()
    };
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(made > 0, || text.clone());
    row.expect_in_time(number("folded") > 0, || format!("too few failures to be folded: {made}"));
    row.expect(found.failed_in_groups == made, || {
        format!("{} failures are counted in their groups, {made} were made", found.failed_in_groups)
    });
    let (peak, peak_max) = (number("VmHWM:"), (4 + 4 + 16) * 1024);
    row.expect(peak <= peak_max, || format!("{peak} kB"));
    row.remark = format!("{peak} kB of memory at most");
    row
}

/// Runs a scenario with and without the recorder: both end in the same way, and every call has a row.
fn scenario(name: &str, number: u64, code: Option<i32>, ok: u64, failed: u64) -> Row {
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB").limited("ulimit -s 65536");
    let with = play.output(play.command(name, number));
    let without = play.command(name, number).env("MONITOR", "off").output().unwrap();
    let mut row = Row { emitted: Calls { ok, failed }, ..Row::default() };
    // What the program prints about the recorder's health differs.
    let asks_health = name == "after-shutdown";
    row.is_host_unchanged = with.status == without.status && (asks_health || with.stdout == without.stdout);
    row.expect(row.is_host_unchanged && with.status.code() == code, || format!("{with:?}\n{without:?}"));
    row.expect(with.stderr == without.stderr, || String::from_utf8_lossy(&with.stderr).into_owned());
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    if ok == 0 {
        row.emitted.ok = found.stored.ok;
    }
    // Calls made as fast as possible may overrun their ring. Each is counted all the same.
    let dropped = row.emitted.ok.saturating_sub(found.stored.ok);
    row.expect(found.stored.failed == failed && found.dropped == dropped, || {
        format!("{} rows and {} dropped for {} calls", found.stored, found.dropped, Calls { ok, failed })
    });
    if dropped > 0 {
        row.lost = vec![("ring full", dropped)];
    }
    row.expect(found.twice == 0 && found.damaged.is_empty(), || format!("{found:?}"));
    row
}

/// The stack that a call takes is fixed when it is compiled. Only an optimised build measures what users have.
fn stack() -> Row {
    const DEPTH: u64 = 10_000;
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
    let output = play.output(play.command("stack", DEPTH));
    let mut row = Row { emitted: Calls { ok: DEPTH + 1, failed: 0 }, ..Row::default() };
    row.is_host_unchanged = output.status.success() && output.stderr.is_empty();
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    let bytes: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    row.expect(bytes <= 128 || cfg!(debug_assertions), || format!("{bytes} bytes of stack a call"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(found.stored.ok + found.dropped == row.emitted.ok, || format!("{found:?}"));
    row.remark = format!("{bytes} bytes more of stack a call");
    row
}

/// The process ends at once. What its rings held is in the store once another program has started there.
fn end_process(how: &str) -> Row {
    let play = Play::new();
    let run = |off: bool| {
        let mut command = play.command("ends", 500);
        command.arg(how).env("MONITOR", if off { "off" } else { "on" }).output().unwrap()
    };
    let (with, without) = (run(false), run(true));
    let mut row = Row { emitted: Calls { ok: 500, failed: 0 }, ..Row::default() };
    row.is_host_unchanged =
        (with.status, &with.stdout, &with.stderr) == (without.status, &without.stdout, &without.stderr);
    row.expect(row.is_host_unchanged, || format!("{with:?} {without:?}"));
    let before = oracle::find(&play.place, (0, i64::MAX)).stored.ok;
    assert!(play.output(play.command("return", 1)).status.success());
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored.ok = found.stored.ok.saturating_sub(1);
    row.recovered = Some(row.stored.ok.saturating_sub(before));
    row.expect(row.stored == row.emitted && found.twice == 0, || format!("{found:?}"));
    row
}

fn umask() -> Row {
    use std::os::unix::fs::PermissionsExt as _;
    let mut row = Row { emitted: Calls { ok: 20, failed: 0 }, is_host_unchanged: true, ..Row::default() };
    for limits in ["umask 0", "umask 777"] {
        let play = Play::new().limited(limits);
        let folder = play.place.data().join("made/here");
        let play = play.with_variable("MONITOR_DB", folder.join("store.db").to_str().unwrap());
        let output = play.output(play.command("return", 10));
        row.is_host_unchanged &= output.status.success() && output.stdout == b"55\n";
        let mode = |path: &std::path::Path| {
            std::fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777)
        };
        let modes = (mode(&folder), mode(&folder.join("store.db")));
        row.expect(modes == (0o700, 0o600), || format!("{limits}: {:o} {:o}, {output:?}", modes.0, modes.1));
        row.stored.ok += oracle::find(&play.place, (0, i64::MAX)).stored.ok;
    }
    row.expect(row.stored.ok == 20, || "rows are missing".to_owned());
    row
}

/// A program with more rights than its caller does not write where the caller's environment says.
fn set_user_id() -> Row {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    let play = Play::new().without_rights();
    let victim = play.place.public_victim();
    chown(&victim, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let mut command = play.command("return", 10);
    command.uid(crate::place::NOBODY);
    let output = command.output().unwrap();
    let mut row = Row { emitted: Calls { ok: 10, failed: 0 }, ..Row::default() };
    row.is_host_unchanged = output.status.success() && output.stdout == b"55\n";
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    row.expect(!play.place.db().exists(), || "it wrote where the environment said".to_owned());
    row.lost = vec![("in memory or elsewhere", 10)];
    row
}

/// Asserts that no file of the recorder holds a secret, while the program runs and after it was killed.
fn canary() -> Row {
    use std::io::Read as _;
    let play = Play::new();
    let mut command = play.command("service", 60_000);
    let mut victim = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // The first line says that the first rounds have been stored.
    victim.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut searched = 0;
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    for round in ["running", "killed"] {
        for path in files_of(&play, victim.id()) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            searched += bytes.len();
            for secret in ["hunter2", "t0ken"] {
                let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                row.expect(!is_there, || format!("{round}: {secret} is in {}", path.display()));
            }
        }
        let _ = victim.kill();
        let _ = victim.wait();
    }
    row.stored = oracle::find(&play.place, (0, i64::MAX)).stored;
    row.emitted = row.stored;
    row.expect(row.stored.ok > 0 && searched > 100_000, || format!("{searched} bytes searched"));
    row.remark = format!("{} KiB of store, log, index and rings searched", searched / 1024);
    row
}

/// Returns the files of a victim: all of its place, and those that it has mapped.
fn files_of(play: &Play, pid: u32) -> Vec<std::path::PathBuf> {
    let data = std::fs::read_dir(play.place.data()).unwrap().flatten().map(|entry| entry.path());
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| line.find("/dev/shm/").map(|at| line[at..].into()));
    data.chain(mapped).collect()
}
