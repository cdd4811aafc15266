//! Rows that watch the memory of the program under each load by which the recorder's could grow. `MONITOR_MAX_MEMORY` bounds
//! everything whose size depends on load; beside it the recorder takes what [`FIXED_KIB`] says. What finds no room is counted.

use crate::oracle;
use crate::play::{Play, bounded};
use crate::row::{Calls, Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, run: fn() -> Row) -> Case {
    Case { fault, how, need: Need::Nothing, length: Length::Short, run }
}

pub(crate) const CASES: &[Case] = &[
    case("memory: a subscriber that hangs", "400 000 calls, 8 MiB allowed", || {
        load("hung-subscriber", 200_000, 8)
    }),
    case("memory: panics with long texts", "20 threads, 10 MiB each, 8 MiB allowed", || {
        load("long-panics", 1, 8)
    }),
    case("memory: failing flat out, breaker held", "400 000 failures, 8 MiB allowed", || {
        load("failing-held", 200_000, 8)
    }),
    case("memory: 5000 threads alive", "64 MiB allowed", || load("threads-alive", 5000, 64)),
    case("memory: 3000 threads alive", "8 MiB allowed", || load("threads-alive", 3000, 8)),
    case("memory: threads that come and go", "16 000 of them, 8 MiB allowed", || {
        load("threads-in-turn", 16_000, 8)
    }),
    case("memory: many async calls at once", "20 000 with 2 KB each, 8 MiB allowed", || {
        load("tasks", 20_000, 8)
    }),
    case("memory: many functions on many threads", "400 on 60, 8 MiB allowed", || {
        load("many-functions", 60, 8)
    }),
    case("memory: rows that calls share", "8000 callers under way, 8 MiB allowed", || load("folds", 8000, 8)),
    case("memory: recovery of a large file", "some 40 MiB left by a kill, 8 MiB allowed", recovery),
    Case {
        fault: "memory: a large allocation fails",
        how: "the n-th from 128 KiB on, n = 1 to 24",
        need: Need::Compiler,
        length: Length::Short,
        run: large_allocations,
    },
    case(REFUSED, "of 4 KiB on: one of some, or all for a second or for good, under 4 loads", || {
        refused_allocations([1, 3, 8, 21, 55].into_iter(), &[1, 16], &[1, 20])
    }),
    Case {
        fault: REFUSED,
        how: "of 4 KiB on: one of the first 60, or all for a second or for good, under 4 loads",
        need: Need::Nothing,
        length: Length::Long,
        run: || refused_allocations(1..=60, &[1, 4, 9, 16, 25, 40], &[1, 8, 20, 35]),
    },
    Case {
        fault: "recovery that ends its process",
        how: "killed as soon as it has begun, twice",
        need: Need::Compiler,
        length: Length::Short,
        run: recovery_that_kills,
    },
];

const REFUSED: &str = "memory: an allocation of the recorder's fails";

/// The memory of fixed size: SQLite's cache, the stacks of two threads, code and its relocations.
const FIXED_KIB: u64 = 4 * 1024;

/// Runs a load with and without a recorder. Every call has a row or is counted, and the memory keeps within its bound.
fn load(name: &str, number: u64, mebibytes: u64) -> Row {
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", &format!("{mebibytes}MiB"));
    let command = |off: bool| {
        let mut command = play.command("load", number);
        command.arg(name).env("MONITOR", if off { "off" } else { "on" });
        command
    };
    let without = bounded(command(true));
    let peak_without = number_of(&play, "peak_kb");
    let with = bounded(command(false));
    let report = oracle::read_report(&play.place);
    let number = |name: &str| report.get(name).copied().unwrap_or(0);
    let mut row = Row { emitted: Calls { ok: number("ok"), failed: number("failed") }, ..Row::default() };
    row.is_host_unchanged = with.status == without.status && with.stdout == without.stdout;
    row.expect(row.is_host_unchanged && with.status.success(), || format!("{with:?}\n{without:?}"));
    let more = number("peak_kb").saturating_sub(peak_without);
    let bound = mebibytes * 1024 + FIXED_KIB;
    row.expect(number("peak_kb") > 0 && more <= bound, || format!("{more} KiB more, {bound} allowed"));
    let parts: u64 = (report.iter())
        .filter(|(name, _)| name.starts_with("part_") && !name.starts_with("part_refused_"))
        .map(|(_, bytes)| bytes)
        .sum();
    row.expect(parts > 0 && parts <= mebibytes << 20, || format!("the parts hold {parts} bytes: {report:?}"));
    for reason in ["ring_full", "backlog", "no_ring", "store", "passed", "folded", "sampled_out"] {
        if number(reason) > 0 {
            row.lost.push((reason, number(reason)));
        }
    }
    // Calls that found no room are counted; nothing disappears. While the breaker is held, rows wait until the program's end.
    let counted: u64 = row.lost.iter().map(|(_, calls)| calls).sum::<u64>() + number("recorded");
    let made = row.emitted.all();
    row.expect(counted >= made, || format!("{counted} of {made} calls are counted"));
    row.stored = oracle::find(&play.place, (0, i64::MAX)).stored;
    row.remark = format!(
        "{more} KiB more than without a recorder, {} of them in parts; refused {}",
        parts / 1024,
        number("refused")
    );
    row
}

fn number_of(play: &Play, name: &str) -> u64 {
    oracle::read_report(&play.place).get(name).copied().unwrap_or(0)
}

/// Lets a program fail flat out with its breaker held and 192 MiB of memory, and kills it: all that waits is in its ring file.
fn leave_large_file(play: &Play) -> (std::path::PathBuf, u64) {
    let mut command = play.command("fail-until-stopped", 0);
    command.env("MONITOR_MAX_MEMORY", "192MiB").stdin(std::process::Stdio::piped());
    let mut victim = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(victim.stdout.take().unwrap());
    let mut line = String::new();
    // The victim says so once its backlog is full.
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let entry = std::fs::read_dir(play.place.rings().unwrap()).unwrap().next().unwrap().unwrap();
    let bytes = std::os::unix::fs::MetadataExt::blocks(&entry.metadata().unwrap()) * 512;
    (entry.path(), bytes)
}

/// The next start recovers all of a large file within its own, smaller memory.
fn recovery() -> Row {
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "8MiB");
    let (path, bytes) = leave_large_file(&play);
    let mut row = Row::default();
    row.expect(bytes > 24 << 20, || format!("the file has {bytes} bytes only"));
    let run = |off: bool| {
        let mut command = play.command("load", 0);
        bounded(command.arg("until-recovered").env("MONITOR", if off { "off" } else { "on" }))
    };
    let without = run(true);
    let peak_without = number_of(&play, "peak_kb");
    let with = run(false);
    row.is_host_unchanged = with.status == without.status && with.stdout == without.stdout;
    row.expect(row.is_host_unchanged && with.status.success(), || format!("{with:?}"));
    let more = number_of(&play, "peak_kb").saturating_sub(peak_without);
    row.expect(more <= 8 * 1024 + FIXED_KIB, || format!("{more} KiB more"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored = found.stored;
    row.expect(!path.exists(), || "the file is still there".to_owned());
    row.expect(row.stored.failed > 50_000 && found.twice == 0, || format!("{found:?}"));
    row.emitted = row.stored;
    row.remark = format!("{} KiB recovered with {more} KiB of memory", bytes / 1024);
    row
}

/// The program does what it does without a recorder, whichever large allocation of the recorder's the system refuses.
fn large_allocations() -> Row {
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let (mut refused, mut recorded) = (0, 0);
    for first in 1..=24 {
        let play = Play::new()
            .with_variable("MONITOR_MAX_MEMORY", "64MiB")
            .rules_always(&format!("large:12:{first}:1:0"));
        let with = play.output(play.command("burst", CALLS));
        let mut command = play.command("burst", CALLS);
        let without = bounded(command.env("MONITOR", "off"));
        let is_same = with.status == without.status && with.stdout == without.stdout;
        row.is_host_unchanged &= is_same;
        row.expect(is_same, || format!("allocation {first}: {with:?}"));
        refused += u64::from(play.not_struck().is_empty());
        recorded += oracle::find(&play.place, (0, i64::MAX)).stored.all();
    }
    row.expect(refused > 8, || format!("an allocation failed in {refused} runs only"));
    row.expect(recorded > 0, || "nothing was recorded".to_owned());
    row.remark = format!("an allocation failed in {refused} of 24 runs");
    row
}

/// The allocations of the recorder's thread that the system refuses.
#[derive(Debug, Clone, Copy)]
enum Refused {
    /// The one of this number.
    One(u64),
    /// All from this number on, for a second.
    Second(u64),
    /// All from this number on.
    Rest(u64),
}

impl Refused {
    /// Returns the rule for the victim.
    fn to_rule(self) -> String {
        let (first, times, lasts_ms) = match self {
            Self::One(first) => (first, 1, u64::MAX),
            Self::Second(first) => (first, u64::MAX, 1000),
            Self::Rest(first) => (first, u64::MAX, u64::MAX),
        };
        format!("4096:{first}:{times}:{lasts_ms}")
    }
}

/// The program does what it does without a recorder, whichever allocation of the recorder's own thread fails, and however many
/// after it: each table, queue and batch goes without what it has no memory for. Once there is memory again, every call
/// is counted and has its row, or is counted as lost.
fn refused_allocations(single: impl Iterator<Item = u64>, seconds: &[u64], rests: &[u64]) -> Row {
    const LOADS: [(&str, u64); 4] =
        [("threads-in-turn", 100), ("tasks", 300), ("many-functions", 4), ("folds", 120)];
    let seconds = seconds.iter().copied().map(Refused::Second);
    let rests = rests.iter().copied().map(Refused::Rest);
    let all: Vec<Refused> = single.map(Refused::One).chain(seconds).chain(rests).collect();
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let (mut refused, mut parts_refused) = (0, 0);
    for (load, number) in LOADS {
        let run = |refuses: Option<Refused>| {
            let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
            let mut command = play.command("load", number);
            command.arg(load).env("MONITOR", if refuses.is_some() { "on" } else { "off" });
            command.env("VICTIM_REFUSES", refuses.map(Refused::to_rule).unwrap_or_default());
            (bounded(command), oracle::read_report(&play.place), oracle::sum_counts(&play.place.db()))
        };
        let (without, ..) = run(None);
        for refuses in &all {
            let (with, report, sums) = run(Some(*refuses));
            let number = |name: &str| report.get(name).copied().unwrap_or(0);
            let is_same = with.status == without.status && with.stdout == without.stdout;
            row.is_host_unchanged &= is_same;
            row.expect(is_same, || format!("{load}, {refuses:?}: {with:?}"));
            refused += number("allocations_refused");
            parts_refused += number("refused");
            if !is_same || matches!(refuses, Refused::Rest(_)) {
                // Without memory for good nothing can be written.
                continue;
            }
            let made = number("ok") + number("failed");
            let lost: u64 = ["ring_full", "backlog", "no_ring", "store", "passed"]
                .iter()
                .map(|reason| number(reason))
                .sum();
            let is_exact = number("flushed") == 1
                && sums.calls == made
                && sums.recorded == sums.calls_of_rows
                && sums.dropped == lost + number("folded");
            row.expect(is_exact, || {
                format!("{load}, {refuses:?}: {made} calls were made, {lost} lost: {sums:?} {report:?}")
            });
            row.emitted.ok += made;
            row.stored.ok += sums.calls;
        }
    }
    row.expect(refused > 20, || format!("{refused} allocations were refused only"));
    row.remark = format!("{refused} allocations refused, which {parts_refused} parts told");
    row
}

/// The calls of a burst, which fill rings and batches.
const CALLS: u64 = 30_000;

/// A file at which its recoverer dies each time is tried twice and then set aside, and the store says so.
fn recovery_that_kills() -> Row {
    let mut play = Play::new();
    let mut command = play.command("ends", 50);
    assert!(!bounded(command.arg("kill")).status.success());
    let left = std::fs::read_dir(play.place.rings().unwrap()).unwrap().next().unwrap().unwrap().path();
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    for number in 1..=2 {
        // The recoverer is killed before it has committed anything, as it would be for want of memory: right after it has noted
        // its try in the file.
        let rings = play.place.rings().unwrap().to_str().unwrap().to_owned();
        play = play.rules_always("write:-9:1:1:0").with_variable("CHAOS_MATCH", &rings);
        // The victim lives until its standard input ends, which is when the command is dropped.
        let mut command = play.command("idle", 0);
        let mut victim = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let kept = victim.stdin.take();
        let status = victim.wait().unwrap();
        drop(kept);
        play.variables.clear();
        row.expect(std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL), || {
            format!("start {number} was not killed: {status:?}")
        });
        row.expect(left.exists(), || format!("the file is gone after start {number}"));
    }
    let output = play.output(play.command("return", 1));
    row.is_host_unchanged = output.status.success() && output.stderr.is_empty();
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    let mut aside = left.clone().into_os_string();
    aside.push(".aside");
    row.expect(!left.exists() && std::path::Path::new(&aside).exists(), || "it was not set aside".to_owned());
    let store = oracle::open(&play.place.db()).unwrap();
    let told: i64 = store
        .query_row(
            "SELECT count(*) FROM events WHERE kind = 'recovery' AND detail LIKE '%set aside%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    row.expect(told == 1, || format!("{told} events say so"));
    // Nobody takes it up again.
    assert!(play.output(play.command("return", 1)).status.success());
    row.stored = oracle::find(&play.place, (0, i64::MAX)).stored;
    // Two calls are those of the programs that were killed.
    row.emitted = Calls { ok: 4, failed: 0 };
    let stored = row.stored;
    row.expect(stored == row.emitted, || format!("{stored} rows"));
    // The command `monitor` recovers in its own process, which nobody depends on.
    let rings = [play.place.rings().unwrap().to_owned()];
    let recovered =
        monitor_runtime::recover::recover(&play.place.db(), &rings, crate::play::now_ns()).unwrap();
    let brought = oracle::find(&play.place, (0, i64::MAX)).stored;
    row.expect(recovered.processes == 1 && brought.ok == stored.ok + 50, || format!("then {brought} rows"));
    row.expect(!std::path::Path::new(&aside).exists(), || "it is still there".to_owned());
    row
}
