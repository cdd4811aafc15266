//! Long runs under faults that come and go at random moments: a day of a store's life by a simulated clock, and ten
//! real minutes of a victim's.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, Instant};

use monitor_runtime::breaker::{Breaker, Event};
use monitor_runtime::store::{SqliteStore, Store as _, StoreError, StoreOptions};
use rusqlite::Connection;

use crate::oracle;
use crate::play::{Play, Victim, now_ns};
use crate::row::{Calls, Case, Length, Need, Row};
use crate::rows::{HOUR, SECOND, T0, batch, call, failure, process, query_value, tool};
use crate::vfs::{Lasting, Op, arm, disarm};

pub(crate) const CASES: &[Case] = &[
    Case {
        fault: "soak: 24 hours, simulated",
        how: "a fault every 20 min",
        need: Need::Nothing,
        length: Length::Long,
        run: || day(24 * 3600),
    },
    Case {
        fault: "soak: 2 hours, simulated",
        how: "a fault every 20 min",
        need: Need::Nothing,
        length: Length::Short,
        run: || day(2 * 3600),
    },
    Case {
        fault: "soak: 10 minutes, real",
        how: "a fault every 2 s",
        need: Need::Compiler,
        length: Length::ByName,
        run: real,
    },
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Simulated seconds between two batches of 50 calls.
const STEP_SECS: u64 = 20;
const MAX_DISK: u64 = 4 << 20;

/// A store behind its breaker, used from batch to batch as the collector does.
struct Day {
    folder: tempfile::TempDir,
    options: StoreOptions,
    store: Option<SqliteStore>,
    breaker: Breaker,
    next: u64,
    written: u64,
    failures: u64,
    worst_bytes: u64,
    set_aside: u64,
}

impl Day {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("shop.db")
    }

    fn write(&mut self, now: Duration) {
        if !self.breaker.step(now, Event::Attempt).permitted {
            return;
        }
        let now_ns = T0 + i64::try_from(now.as_nanos()).unwrap();
        if self.store.is_none() {
            self.store = SqliteStore::open(&self.options, process(1), now_ns).ok();
        }
        let number = u32::try_from(self.next % 40_000_000).unwrap();
        let mut next = batch(
            1,
            (0..50)
                .map(|at| if at == 0 { failure(number * 50, "no") } else { call(number * 50 + at) })
                .collect(),
        );
        next.sequence = self.next;
        next.at_ns = now_ns;
        for call in &mut next.calls {
            call.start_ns = now_ns - SECOND;
        }
        let result = match &mut self.store {
            Some(store) => store.write(&next),
            None => Err(StoreError::Transient("it cannot be opened".to_owned())),
        };
        match result {
            Ok(written) => {
                self.breaker.step(now, Event::Success);
                self.next += 1;
                self.written += 50;
                self.worst_bytes = self.worst_bytes.max(written.db_bytes + written.wal_bytes);
            }
            Err(StoreError::SetAside(_)) => self.set_aside += 1,
            Err(StoreError::Busy(_)) => _ = self.breaker.step(now, Event::Busy),
            Err(error) => {
                self.failures += 1;
                self.breaker.step(now, Event::Failure(&error.to_string()));
            }
        }
        if let Some(store) = &mut self.store {
            let _ = store.retain(now_ns);
            store.notices();
        }
    }
}

/// Removes damaged files, as a person does now and then. The recorder keeps eight of them and gives the place up then.
fn tidy_up(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".corrupt-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Causes one of several faults in the file. Returns the connection that keeps the fault up, for those that need one.
fn cause_fault(path: &Path, random: &mut Random) -> Option<Connection> {
    match random.below(7) {
        0 => drop(std::fs::remove_file(path)),
        1 => drop(OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(12_288))),
        2 => arm(Op::Write, 1, Lasting::ForEver),
        3 => arm(Op::Sync, 1, Lasting::ForEver),
        4 => arm(Op::Full, 2, Lasting::ForEver),
        5 => {
            let lock = Connection::open(path).ok()?;
            lock.execute_batch("BEGIN IMMEDIATE").ok()?;
            return Some(lock);
        }
        _ => {
            let reader = Connection::open(path).ok()?;
            reader.execute_batch("BEGIN; SELECT count(*) FROM call").ok()?;
            return Some(reader);
        }
    }
    None
}

fn day(seconds: u64) -> Row {
    crate::vfs::install();
    let folder = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::file(folder.path().join("shop.db"));
    options.max_disk_bytes = MAX_DISK;
    let mut day = Day {
        folder,
        options,
        store: None,
        breaker: Breaker::default(),
        next: 1,
        written: 0,
        failures: 0,
        worst_bytes: 0,
        set_aside: 0,
    };
    let mut random = Random(7);
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let (mut faults, mut holds, mut lifted_at) = (0, None, 0);
    for second in (0..seconds).step_by(usize::try_from(STEP_SECS).unwrap()) {
        let now = Duration::from_secs(second);
        if second % (6 * 3600) == 0 {
            tidy_up(day.folder.path());
        }
        if second % 1200 == 600 {
            faults += 1;
            holds = cause_fault(&day.path(), &mut random);
            lifted_at = second + 20 + random.below(200);
        }
        if second >= lifted_at {
            disarm();
            holds = None;
        }
        let before = day.written;
        day.write(now);
        // After a fault has ended the breaker pauses, and one write finds out that the file has to be replaced.
        let is_calm = second % 1200 < 600 && second % 1200 > 100 + 2 * STEP_SECS;
        row.expect(!is_calm || day.written > before, || {
            format!("nothing flows at {second} s: {}", day.breaker.statistics(now))
        });
        if row.problems.len() > 3 {
            break;
        }
    }
    drop(holds);
    disarm();
    let bound = MAX_DISK;
    let worst = day.worst_bytes;
    row.expect(worst <= bound, || format!("{worst} bytes, {bound} allowed"));
    let store = tool(&day.path());
    let check: String = query_value(&store, "PRAGMA quick_check");
    row.expect(check == "ok", || check.clone());
    let stored: i64 = query_value(&store, "SELECT count(*) FROM calls");
    let oldest: i64 = query_value(&store, "SELECT min(start_ns) FROM calls");
    let end_ns = T0 + i64::try_from(seconds).unwrap() * SECOND;
    row.expect(end_ns - oldest < 7 * HOUR, || "rows are older than the retention".to_owned());
    row.emitted = Calls { ok: day.written / 50 * 49, failed: day.written / 50 };
    row.stored = Calls { ok: stored.unsigned_abs(), failed: 0 };
    row.lost = vec![("expired, or with the file", day.written - stored.unsigned_abs())];
    row.remark = format!(
        "{faults} faults, {} writes failed, {} files set aside, {worst} bytes at most",
        day.failures, day.set_aside
    );
    row
}

/// Returns the length of the real soak: `CHAOS_SOAK_SECS`, or ten minutes.
fn soak_secs() -> u64 {
    std::env::var("CHAOS_SOAK_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

fn real() -> Row {
    let mut play = Play::new().rules("write:5:1:0:0").with_variable("MONITOR_MAX_DISK", "4MiB");
    play.rounds = 1000;
    let place = &play.place;
    let mut victim = Victim::start(play.command("phases", play.rounds));
    let mut random = Random(now_ns().unsigned_abs());
    let until = Instant::now() + Duration::from_secs(soak_secs());
    let (mut memory, mut faults) = (Vec::new(), 0);
    let (mut file_bytes, mut log_bytes) = (0, 0);
    victim.tell("work");
    while Instant::now() < until {
        let mut lock = None;
        faults += 1;
        if faults % TIDY_EVERY == 0 {
            tidy_up(&place.data());
        }
        match random.below(6) {
            0 => drop(std::fs::remove_file(place.db())),
            1 => drop(OpenOptions::new().write(true).open(place.db()).and_then(|file| file.set_len(12_288))),
            2 => drop(std::fs::remove_file(place.wal())),
            3 => place.switch_on(),
            4 => {
                lock = Connection::open(place.db()).ok();
                if let Some(lock) = &lock {
                    let _ = lock.execute_batch("BEGIN IMMEDIATE");
                }
            }
            _ => {}
        }
        victim.tell("work");
        drop(lock);
        let _ = std::fs::remove_file(place.switch());
        memory.push(resident_kb(victim.pid()));
        victim.tell("work");
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        file_bytes = file_bytes.max(bytes(&place.db()));
        log_bytes = log_bytes.max(bytes(&place.wal()));
    }
    let calm_ns = now_ns();
    victim.tell("work");
    let lifted = Instant::now();
    while !oracle::has_rows_since(place, calm_ns) && lifted.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let again = lifted.elapsed();
    victim.tell("flush");
    let ended = victim.end();
    let report = oracle::read_report(place);
    let number = |name: &str| report.get(name).copied().unwrap_or(0);
    let found = oracle::find(place, (0, now_ns()));
    let mut row = Row {
        emitted: Calls { ok: number("ok"), failed: number("failed") },
        stored: found.stored,
        again: Some(again),
        is_host_unchanged: ended.code == Some(7),
        ..Row::default()
    };
    row.expect(ended.code == Some(7), || format!("{ended:?}"));
    row.expect(again < Duration::from_secs(35), || "no rows arrived once all faults were over".to_owned());
    let lost: u64 =
        ["ring_full", "backlog", "no_ring", "store", "passed", "folded"].into_iter().map(number).sum();
    let (written, emitted) = (number("rows_written"), row.emitted.all());
    row.expect(number("flushed") == 1 && emitted == written + lost, || {
        format!("{emitted} calls are not {written} rows written and {lost} lost")
    });
    row.lost =
        vec![("dropped or folded", lost), ("with the file", written.saturating_sub(found.stored.all()))];
    let quarter = memory.len() / 4 + 1;
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    let (early, late) = (most(&memory[..quarter]), most(&memory[memory.len() - quarter..]));
    row.expect(late <= early + 4096, || format!("memory grew from {early} to {late} kB"));
    row.expect(file_bytes + log_bytes <= MAX_DISK, || {
        format!("a file of {file_bytes} and a log of {log_bytes} bytes, {MAX_DISK} allowed in all")
    });
    row.remark = format!(
        "{faults} faults, memory {early} kB early and {late} kB late, file {file_bytes} and log {log_bytes} bytes at most"
    );
    row
}

/// The number of faults between two removals of damaged files.
const TIDY_EVERY: u32 = 10;

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
