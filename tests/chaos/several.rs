//! Rows with several processes on one store: writers, readers, locks, and processes that are killed.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::oracle;
use crate::place::Place;
use crate::play::{Play, now_ns};
use crate::row::{Calls, Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need: Need::Nothing, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("lock held for 2 s", "BEGIN IMMEDIATE by another", Length::Short, || {
        let mut row = locked(Duration::from_secs(2), 0);
        // A busy machine may hold the lock for longer than the five seconds after which a write has failed.
        row.expect_in_time(row.writer_errors == 0, || "waiting counted as a failure".to_owned());
        row
    }),
    case("lock held for 20 s", "BEGIN IMMEDIATE by another", Length::Long, || {
        let mut row = locked(Duration::from_secs(20), 2);
        row.expect(row.writer_errors > 0, || "it never counted as a failure".to_owned());
        row
    }),
    case("a reader holds a snapshot", "BEGIN, SELECT; 12 000 rounds", Length::Short, snapshot),
    case("64 processes on one store", "64 victims at once", Length::Long, || many(64)),
    case("8 processes on one store", "8 victims at once", Length::Short, || many(8)),
    case("killed 20 times", "kill -9 at random moments", Length::Short, || killed(20)),
    case("killed 200 times", "kill -9 at random moments", Length::Long, || killed(200)),
    Case {
        fault: "killed while syncs take 700 ms",
        how: "delayed fsync, small bounds, kill -9",
        need: Need::Compiler,
        length: Length::Long,
        run: killed_on_a_slow_disk,
    },
];

fn locked(lasts: Duration, lines: usize) -> Row {
    let play = Play::new().lines(lines).lasting(lasts);
    let lock = std::cell::RefCell::new(None);
    let mut row = play.run(
        |place, _| {
            let other = Connection::open(place.db()).unwrap();
            other.busy_timeout(Duration::from_secs(5)).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            *lock.borrow_mut() = Some(other);
        },
        |_, _| drop(lock.borrow_mut().take()),
    );
    row.remark = format!("{} writes failed", row.writer_errors);
    row
}

fn snapshot() -> Row {
    let mut play = Play::new().with_variable("MONITOR_MAX_DISK", "1MiB").lines(2);
    play.allowed.gone = true;
    play.rounds = 4000;
    let wal = play.place.wal();
    let reader = std::cell::RefCell::new(None);
    let mut longest = 0;
    let mut row = play.run(
        |place, _| {
            let store = oracle::open(&place.db()).unwrap();
            store.execute_batch("BEGIN").unwrap();
            store.query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0)).unwrap();
            *reader.borrow_mut() = Some(store);
        },
        |_, _| {
            longest = std::fs::metadata(&wal).map_or(0, |found| found.len());
            drop(reader.borrow_mut().take());
        },
    );
    row.expect(longest <= 512 << 10, || format!("the log grew to {longest} bytes"));
    row.remark = format!("log of {longest} bytes at most");
    row
}

/// Runs this many victims at once, which each make some calls and wait until these are committed.
fn many(number: u64) -> Row {
    const CALLS: u64 = 500;
    let play = Play::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
    let began = Instant::now();
    let start =
        |_| play.command("flush", CALLS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let victims: Vec<Child> = (0..number).map(start).collect();
    let mut row =
        Row { emitted: Calls { ok: number * CALLS, failed: 0 }, is_host_unchanged: true, ..Row::default() };
    for victim in victims {
        let output = victim.wait_with_output().unwrap();
        let same =
            output.status.success() && output.stdout == b"125250\nOk(())\n" && output.stderr.is_empty();
        row.is_host_unchanged &= same;
        row.expect(same, || format!("{output:?}"));
    }
    let took = began.elapsed();
    judge(&mut row, &play.place);
    let store = oracle::open(&play.place.db()).unwrap();
    let victims = "SELECT count(*) FROM calls WHERE function LIKE '%::count' GROUP BY process_id";
    let by_process = column(&store, victims);
    // One more call follows the flush.
    let is_whole = |rows: &i64| (CALLS..=CALLS + 1).contains(&rows.unsigned_abs());
    let all = by_process.len() as u64 == number && by_process.iter().all(is_whole);
    row.expect(all, || format!("rows by process: {by_process:?}"));
    let commits =
        column(&store, "SELECT sequence FROM progress WHERE ring = 0").into_iter().max().unwrap_or(0);
    // A process commits once at its start, then at most every 100 ms, and twice when it ends.
    let allowed = i64::try_from(took.as_millis() / 100).unwrap() + 4;
    row.expect(commits <= allowed, || format!("{commits} commits of one process in {took:?}"));
    row.remark = format!("at most {commits} commits of a process in {took:.1?}");
    row
}

/// Kills victims on one store again and again, each at a random moment. A victim prints how many calls are committed.
fn killed(times: u64) -> Row {
    let play = Play::new();
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut acknowledged: HashMap<u32, i64> = HashMap::new();
    for at in 0..times {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut command = play.command("acknowledge", 0);
        let mut victim = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut last = 0;
        let mut lines = lines.map_while(Result::ok);
        // The victim is killed after this many lines and a bit, in the middle of what comes next.
        for line in lines.by_ref().take(1 + usize::try_from(random >> 61).unwrap()) {
            last = line.parse().unwrap();
        }
        std::thread::sleep(Duration::from_micros((random >> 20) % 6000));
        victim.kill().unwrap();
        for line in lines {
            last = line.parse().unwrap_or(last);
        }
        acknowledged.insert(victim.id(), last);
        victim.wait().unwrap();
        let store = oracle::open(&play.place.db()).unwrap();
        let check: String = store.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).unwrap();
        row.expect(check == "ok", || format!("after kill {at}: {check}"));
        let kept = format!(
            "SELECT count(*) FROM calls WHERE process_id = (SELECT max(process_id) FROM processes WHERE pid = {})",
            victim.id()
        );
        let kept: i64 = store.query_row(&kept, [], |row| row.get(0)).unwrap();
        row.expect(kept >= last, || {
            format!("after kill {at}: {last} calls were acknowledged, {kept} are there")
        });
    }
    let sum: i64 = acknowledged.values().sum();
    row.emitted = Calls { ok: sum.unsigned_abs(), failed: 0 };
    judge(&mut row, &play.place);
    row.expect(row.stored.ok >= row.emitted.ok, || "acknowledged rows are missing".to_owned());
    row.remark = format!("emitted: those that a flush said to be committed; {times} of {times} kills");
    row
}

/// Kills a victim that calls faster than can be recorded, on a disk too slow for it and within small bounds, so that
/// batches are halved and more is drained than there is room for. The next start recovers every failure once, and the
/// start after it nothing more.
fn killed_on_a_slow_disk() -> Row {
    let play = Play::new().with_variable("MONITOR_MAX_DISK", "2MiB").rules_always("fsync:0:8:0:700");
    let mut command = play.command("hot", 9000);
    command.env_remove("MONITOR_MAX_RATE").env_remove("MONITOR_MAX_OVERHEAD");
    let mut victim = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let numbers = |line: String| line.split(' ').map(|number| number.parse().unwrap()).collect();
    let made: Vec<Vec<u64>> = lines.take(2).map(numbers).collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    row.expect(play.not_struck().is_empty(), || "no sync was held up".to_owned());
    row.emitted.failed = made.iter().map(|made| made[1]).sum();
    row.emitted.ok = made.iter().map(|made| made[0] - made[1]).sum();
    let before = oracle::find(&play.place, (0, i64::MAX)).stored.all();
    // The next start has a sound disk.
    let next = Play { variables: Vec::new(), ..play }.with_variable("MONITOR_MAX_DISK", "2MiB");
    for start in 1..=2 {
        let output = next.output(next.command("return", 1));
        row.expect(output.status.success() && output.stderr.is_empty(), || format!("{output:?}"));
        judge(&mut row, &next.place);
        row.stored.ok -= start;
        row.recovered = Some(row.stored.all() - before);
        let store = oracle::open(&next.place.db()).unwrap();
        for (function, made) in ["hot", "rare"].iter().zip(&made) {
            expect_failures(&mut row, &store, (start, function), made);
        }
    }
    row.lost = vec![("sampled out or dropped", row.emitted.ok - row.stored.ok)];
    row
}

/// Asserts that every failure is counted once, in the row of its kind if it was folded for want of memory. Calls that
/// no reading had counted when the process was killed are missing. A call in flight at the last reading may be counted
/// where it began and by its record.
fn expect_failures(row: &mut Row, store: &Connection, (start, function): (u64, &str), made: &[u64]) {
    let count = |what: &str| {
        let sql = format!("SELECT {what} WHERE function = 'victim::hot::{function}'");
        store.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    };
    let rows = count("count(*) FROM errors");
    let counted = [count("errors FROM functions"), count("coalesce(sum(count), 0) FROM error_groups")];
    row.expect(rows <= made[1] && counted == [made[1]; 2], || {
        format!("start {start}, {function}: {} failed; {rows} rows, {counted:?} counted", made[1])
    });
    let calls = count("calls FROM functions");
    row.expect(calls <= made[0] + 1, || {
        format!("start {start}, {function}: {} calls, {calls} counted", made[0])
    });
}

/// Asserts that the place's stores are whole and hold nothing twice.
fn judge(row: &mut Row, place: &Place) {
    let found = oracle::find(place, (0, now_ns()));
    row.stored = found.stored;
    row.expect(found.damaged.is_empty(), || format!("damaged: {:?}", found.damaged));
    row.expect(found.twice == 0, || format!("{} calls have more than one row", found.twice));
    row.expect(found.sound.len() == 1, || format!("stores: {:?}", found.sound));
}

fn column(store: &Connection, sql: &str) -> Vec<i64> {
    let mut statement = store.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
