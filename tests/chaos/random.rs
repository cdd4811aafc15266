//! Attacks that a seed draws: limits of memory, and children made in every way. The program does each time what it does without
//! the recorder, and what is recorded is exact.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::oracle;
use crate::play::{Play, bounded};
use crate::row::{Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need: Need::Nothing, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("children made in every way", "fork to daemon, exit and _exit; 4 seeds", Length::Short, || {
        children(0..4)
    }),
    case("children made in every way", "fork to daemon, exit and _exit; 200 seeds", Length::Long, || {
        children(0..200)
    }),
    case("any limit of memory", "ulimit -v, MONITOR_MAX_MEMORY; 4 seeds", Length::Short, || limits(0..4)),
    case("any limit of memory", "ulimit -v, MONITOR_MAX_MEMORY; 200 seeds", Length::Long, || limits(0..200)),
];

/// Ring files that may be left once the last program has ended: none but one that a program is about to recover.
const RING_FILES_MAX: usize = 2;

/// Returns a generator of numbers below a bound.
fn generator(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    }
}

/// Each child has all of its rows or none, the parent has all of its own, and no ring file is left.
fn children(seeds: Range<u64>) -> Row {
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut ways = BTreeMap::<String, (u64, u64)>::new();
    for seed in seeds {
        let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
        let with = bounded(play.command("children", seed));
        let mut command = play.command("children", seed);
        let without = bounded(command.env("MONITOR", "off"));
        let is_same =
            with.status == without.status && with.stdout == without.stdout && with.stderr.is_empty();
        row.is_host_unchanged &= is_same;
        row.expect(is_same && with.status.success(), || format!("seed {seed}: {with:?}\n{without:?}"));
        // The next program takes back what children have left that ended at once.
        let last = bounded(play.command("flush", 1));
        row.expect(last.status.success(), || format!("seed {seed}: {last:?}"));
        let files = play.place.rings().map_or(0, |rings| std::fs::read_dir(rings).unwrap().count());
        row.expect(files <= RING_FILES_MAX, || format!("seed {seed}: {files} ring files are left"));
        judge(&mut row, seed, &play, &String::from_utf8_lossy(&with.stdout), &mut ways);
    }
    let told = ways.iter().map(|(way, (made, recorded))| format!("{way} {recorded} of {made}"));
    row.remark = format!("recorded: {}", told.collect::<Vec<_>>().join(", "));
    row
}

fn judge(row: &mut Row, seed: u64, play: &Play, said: &str, ways: &mut BTreeMap<String, (u64, u64)>) {
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.expect(found.twice == 0 && found.damaged.is_empty(), || format!("seed {seed}: {found:?}"));
    let store = oracle::open(&play.place.db()).unwrap();
    let sql = "SELECT count(*) FROM calls WHERE function LIKE '%::leaf' GROUP BY process_id";
    let mut select = store.prepare(sql).unwrap();
    let mut rows: Vec<u64> = select
        .query_map([], |row| row.get::<_, i64>(0))
        .unwrap()
        .map(|rows| rows.unwrap().unsigned_abs())
        .collect();
    let mut take =
        |calls: u64| rows.iter().position(|rows| *rows == calls).map(|at| rows.remove(at)).is_some();
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [way, calls, ..] = words[..] else { continue };
        let calls: u64 = calls.parse().unwrap();
        row.emitted.ok += calls;
        let is_recorded = take(calls);
        row.stored.ok += if is_recorded { calls } else { 0 };
        row.expect(is_recorded || way != "own", || {
            format!("seed {seed}: the program's own {calls} calls are not there")
        });
        if way == "pre-exec" {
            // The hook's one call, in the child before it becomes the program.
            take(1);
        }
        let (made, recorded) = ways.entry(way.to_owned()).or_default();
        (*made, *recorded) = (*made + 1, *recorded + u64::from(is_recorded));
    }
    row.expect(rows.is_empty(), || {
        format!("seed {seed}: rows by process that nobody made: {rows:?}; {said}")
    });
}

/// The program allocates under any limit what it allocates without the recorder, and has all of its rows or none.
fn limits(seeds: Range<u64>) -> Row {
    const CALLS: u64 = 20;
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    for seed in seeds {
        let mut draw = generator(seed);
        let (kibibytes, memory) = (
            8192 + draw(1200 * 1024),
            ["4MiB", "16MiB", "64MiB", "256MiB"][usize::try_from(draw(4)).unwrap()],
        );
        let play = Play::new().with_variable("MONITOR_MAX_MEMORY", memory);
        let limited = |off: bool| {
            let victim = play.command("fill-half", CALLS);
            let script = format!("ulimit -v {kibibytes}; exec \"$0\" fill-half {CALLS}");
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
        row.expect(is_same, || format!("seed {seed}, {kibibytes} KiB, {memory}: {with:?}\n{without:?}"));
        let found = oracle::find(&play.place, (0, i64::MAX)).stored.ok;
        row.emitted.ok += CALLS;
        row.stored.ok += found;
        row.expect(found == 0 || found == CALLS, || format!("seed {seed}: {found} rows"));
    }
    // Half of the limits leave more room than the recorder needs.
    row.expect(row.stored.ok > 0, || "nothing is recorded under any limit".to_owned());
    row.lost = vec![("not recorded", row.emitted.ok - row.stored.ok)];
    row
}
