//! Rows with calls at moments at which little works, and with a program that stands still, hangs at its end, or is
//! built without unwinding.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::disk::no_fault;
use crate::oracle;
use crate::play::{Play, Victim};
use crate::row::{Calls, Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, need: Need, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case(
        "call in a handler of exit",
        "atexit, before and after ours",
        Need::Nothing,
        Length::Short,
        exit_handlers,
    ),
    case("call in a signal handler", "SIGALRM every ms", Need::Nothing, Length::Short, signals),
    case(
        "call in an allocator",
        "at each allocation, on all threads",
        Need::Nothing,
        Length::Short,
        allocator,
    ),
    case("program stopped for 3 s", "SIGSTOP, SIGCONT", Need::Nothing, Length::Short, stopped),
    case("the disk hangs at exit", "write takes 30 s", Need::Compiler, Length::Long, hung_at_exit),
    case("panics abort", "panic = \"abort\"", Need::Nothing, Length::Long, aborting),
];

/// Handlers that are registered later run before the recorder's, earlier ones after it. Each result is right.
fn exit_handlers() -> Row {
    let play = Play::new();
    let output = play.output(play.command("late", 1));
    let mut row = Row { emitted: Calls { ok: 3, failed: 0 }, ..Row::default() };
    row.is_host_unchanged =
        output.status.code() == Some(0) && output.stdout == b"2\n" && output.stderr.is_empty();
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    row.stored = oracle::find(&play.place, (0, i64::MAX)).stored;
    row.lost = vec![("after the end of recording", 3 - row.stored.ok.min(3))];
    row
}

/// Calls outside of the handler are all counted, so all were read: nothing that a handler does puts the records behind
/// it out of step.
fn signals() -> Row {
    const CALLS: u64 = 100_000;
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut handled = (0, 0);
    for _ in 0..5 {
        let play = Play::new();
        let output = play.output(play.command("signals", CALLS));
        let sum = CALLS * (CALLS + 1) / 2 + 5050;
        let said = format!("{sum}\n");
        let same = output.status.success() && output.stdout == said.as_bytes() && output.stderr.is_empty();
        row.is_host_unchanged &= same;
        row.expect(same, || format!("{output:?}"));
        let found = oracle::find(&play.place, (0, i64::MAX));
        row.expect(found.damaged.is_empty() && found.twice == 0, || format!("{found:?}"));
        let store = oracle::open(&play.place.db()).unwrap();
        let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
        let leaf = "function LIKE '%::leaf'";
        let counted = number(&format!("SELECT calls FROM functions WHERE {leaf}"));
        let dropped = number(&format!("SELECT dropped FROM functions WHERE {leaf}"));
        let rows = number(&format!("SELECT count(*) FROM calls WHERE {leaf}"));
        row.expect(counted == CALLS + 100 && rows + dropped == counted, || {
            format!("{} calls, {counted} counted, {rows} rows, {dropped} dropped", CALLS + 100)
        });
        row.emitted.ok += CALLS + 100;
        row.stored.ok += rows;
        row.lost = vec![("ring full", row.lost.iter().map(|(_, lost)| lost).sum::<u64>() + dropped)];
        // Calls in the handler are counted as well, those included that interrupted the recorder.
        let report = oracle::read_report(&play.place);
        let made = |name: &str| report.get(name).copied().unwrap_or(0);
        let interrupting = "function LIKE '%::handled'";
        let counted = number(&format!("SELECT calls FROM functions WHERE {interrupting}"));
        row.expect(counted == made("handled"), || {
            format!("{} calls in the handler, {counted} counted, {report:?}", made("handled"))
        });
        let told = number("SELECT dropped_passed FROM health ORDER BY at_ns DESC LIMIT 1");
        row.expect(told == made("passed"), || format!("health says {told} passed, {report:?}"));
        handled.0 += made("handled");
        handled.1 += made("passed");
    }
    row.remark =
        format!("{} calls in the handler, {} of them passed through, all counted", handled.0, handled.1);
    row
}

/// Any of the allocator's own calls may go unrecorded. None may wait, and none may put records out of order.
fn allocator() -> Row {
    const CALLS: u64 = 5000;
    let play = Play::new();
    let run = |off: bool| {
        let mut command = play.command("allocator", CALLS);
        command.env("MONITOR", if off { "off" } else { "on" });
        play.output(command)
    };
    let (with, without) = (run(false), run(true));
    let mut row = Row { emitted: Calls { ok: 2 * CALLS, failed: 0 }, ..Row::default() };
    row.is_host_unchanged =
        (with.status, &with.stdout, &with.stderr) == (without.status, &without.stdout, &without.stderr);
    row.expect(row.is_host_unchanged && with.status.success(), || format!("{with:?} {without:?}"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.expect(found.damaged.is_empty() && found.twice == 0 && found.is_readable, || format!("{found:?}"));
    let store = oracle::open(&play.place.db()).unwrap();
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
    row.stored.ok = number("SELECT count(*) FROM calls WHERE function LIKE '%::words'");
    let counted = number("SELECT calls FROM functions WHERE function LIKE '%::words'");
    let dropped = number("SELECT dropped FROM functions WHERE function LIKE '%::words'");
    row.lost = vec![("ring full", dropped)];
    let rows = row.stored.ok;
    row.expect(counted == 2 * CALLS && counted == rows + dropped, || {
        format!("{counted} counted, {rows} rows, {dropped} dropped")
    });
    let inside = number("SELECT coalesce(sum(calls), 0) FROM functions WHERE function LIKE '%::allocated'");
    row.remark = format!("emitted: calls outside of the allocator; {inside} of its own calls were recorded");
    row
}

/// Stops the program as a suspended machine does: the clocks go on, the program does not.
fn stopped() -> Row {
    let play = Play::new();
    let signal = |victim: &Victim, signal: &str| {
        let status = Command::new("kill").args([signal, &victim.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    };
    let mut row = play.run(
        |_, victim| {
            signal(victim, "-STOP");
            std::thread::sleep(Duration::from_secs(3));
            signal(victim, "-CONT");
        },
        no_fault,
    );
    row.remark.push_str("times go on with the machine's clock");
    row
}

/// The program's end does not wait for the disk. The next program recovers what it could not write.
fn hung_at_exit() -> Row {
    const HANGS: Duration = Duration::from_secs(30);
    let play = Play::new().rules_always("write:0:1:0:30000");
    let began = Instant::now();
    let output = play.command("return", 500).output().unwrap();
    let took = began.elapsed();
    let mut row = Row { emitted: Calls { ok: 500, failed: 0 }, ..Row::default() };
    row.is_host_unchanged = output.status.success() && output.stdout == b"125250\n";
    row.expect(row.is_host_unchanged, || format!("{output:?}"));
    row.expect_in_time(took < HANGS / 2, || format!("its end took {took:?}"));
    row.expect(play.not_struck().is_empty(), || "the fault never struck".to_owned());
    let mut next = play.command("return", 1);
    next.env_remove("LD_PRELOAD");
    assert!(play.output(next).status.success());
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.stored.ok = found.stored.ok.saturating_sub(1);
    row.recovered = Some(row.stored.ok);
    row.expect(row.stored == row.emitted && found.twice == 0, || format!("{found:?}"));
    row.remark = format!("ended after {took:.1?}");
    row
}

/// Builds the victim without unwinding.
fn aborting_victim() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("abort");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--locked", "--bin", "victim", "--manifest-path"]);
        cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(&folder);
        let built = cargo.env("CARGO_PROFILE_DEV_PANIC", "abort").status();
        built.is_ok_and(|status| status.success()).then(|| folder.join("debug/victim"))
    };
    BUILT.get_or_init(build).clone()
}

/// Without unwinding no panic can be contained. So no code of the user's is run for a value, and a panic in a
/// monitored function ends the program as it does without a recorder, with all earlier calls kept.
fn aborting() -> Row {
    let Some(victim) = aborting_victim() else { panic!("the victim cannot be built") };
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    // Values that panic, never end or are a million deep; calls that end; a panic after calls.
    for (scenario, number, ok) in [("hostile", 1, 51), ("return", 500, 500), ("panic", 300, 300)] {
        let mut play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
        play.victim = Some(victim.clone());
        let with = play.output(play.command(scenario, number));
        let without = play.command(scenario, number).env("MONITOR", "off").output().unwrap();
        let same =
            (with.status, &with.stdout, &with.stderr) == (without.status, &without.stdout, &without.stderr);
        row.is_host_unchanged &= same;
        row.expect(same, || format!("{scenario}: {with:?}\n{without:?}"));
        assert!(play.output(play.command("return", 1)).status.success());
        let found = oracle::find(&play.place, (0, i64::MAX));
        row.emitted.ok += ok;
        row.stored.ok += found.stored.ok.saturating_sub(1);
        row.expect(found.stored.ok == ok + 1 && found.twice == 0 && found.damaged.is_empty(), || {
            format!("{scenario}: {found:?}")
        });
    }
    row
}
