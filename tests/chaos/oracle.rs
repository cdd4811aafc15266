//! The oracle judges every row by the same rules: the host is as it is without the recorder, and every call has a row
//! or is counted with the reason for which it has none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::place::Place;
use crate::play::{AGAIN_IN_TIME, Ended, MEMORY_MIB, Play, Reference};
use crate::row::{Calls, Row};

/// The memory that the recorder may use beyond its bound.
const MEMORY_BEYOND_KB: u64 = 4 * 1024;

/// The bound on the work of the first round of calls, in which the recorder starts and the first panic is thrown. It
/// takes 0.7 ms in a release build and 1.4 ms in a debug build at the median. Beside builds of other programs a debug
/// build has taken 19 ms. A start that opens the store on the caller's thread takes longer on a slow disk.
const STARTED_US_MAX: u64 = 50_000;

/// Signals 32 and 33, for which the C library installs handlers as soon as a program has a second thread.
const THREAD_SIGNALS: u64 = 0b11 << 31;

/// The contents of all stores of a place.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) stored: Calls,
    /// Failures by the counts of their groups: those with rows and those folded.
    pub(crate) failed_in_groups: u64,
    /// Rows of calls that began between two moments.
    pub(crate) between: u64,
    pub(crate) twice: u64,
    /// Calls that lost their row, by the counts of their functions.
    pub(crate) dropped: u64,
    /// Rows of the victim's own functions among those stored; and whether all views can be read.
    pub(crate) victims: u64,
    pub(crate) is_readable: bool,
    /// Stores that are whole, and stores that are damaged.
    pub(crate) sound: Vec<PathBuf>,
    pub(crate) damaged: Vec<PathBuf>,
}

/// Judges a run by what it left.
pub(crate) fn judge(
    play: &Play,
    ended: &Ended,
    reference: &Reference,
    (fault_ns, lift_ns): (i64, i64),
    again: Option<Duration>,
) -> Row {
    let report = read_report(&play.place);
    let number = |name: &str| report.get(name).copied().unwrap_or(0);
    let found = find(&play.place, (fault_ns, lift_ns));
    let mut row = Row {
        emitted: Calls { ok: number("ok"), failed: number("failed") },
        stored: found.stored,
        recovered: Some(found.between),
        again,
        writer_errors: number("writer_errors"),
        ..Row::default()
    };
    judge_host(&mut row, play, ended, reference, &report);
    judge_stores(&mut row, play, &found);
    judge_calls(&mut row, play, &found, &report);
    let may_wait = play.allowed.unsettled || number("in_memory") == 1 || play.allowed.nothing_stored;
    row.expect(may_wait || again.is_some(), || "no rows arrived after the fault was over".to_owned());
    row.expect_in_time(again.is_none_or(|again| again < AGAIN_IN_TIME), || {
        format!("rows arrived {again:.0?} after the fault was over")
    });
    let flush_ms = number("flush_ms");
    row.expect_in_time(flush_ms < 4000, || format!("a flush of at most 3 s took {flush_ms} ms"));
    row
}

fn judge_host(
    row: &mut Row,
    play: &Play,
    ended: &Ended,
    reference: &Reference,
    report: &HashMap<String, u64>,
) {
    row.is_host_unchanged = ended.code == reference.ended.code && ended.said == reference.ended.said;
    row.expect(row.is_host_unchanged, || {
        format!(
            "exit {:?} and this output, without a recorder exit {:?}:\n{}",
            ended.code, reference.ended.code, ended.said
        )
    });
    let number = |name: &str| report.get(name).copied().unwrap_or(0);
    let more = |name: &str| number(name).saturating_sub(reference.report.get(name).copied().unwrap_or(0));
    let memory = MEMORY_MIB * 1024 + MEMORY_BEYOND_KB;
    row.expect(more("peak_kb") <= memory, || format!("{} kB more memory", more("peak_kb")));
    // The victim records on one thread. The recorder may just then set the panic hook on another, which takes some microseconds.
    row.expect(more("threads") <= 2, || format!("{} more threads", more("threads")));
    // Descriptors of database, log and index; and one more that SQLite keeps open when it has looked at a file a
    // second time, because closing that would release the locks of the first.
    row.expect(more("files_left") <= 4, || format!("{} more descriptors", more("files_left")));
    // A store that is checked or opened again is open twice for a moment.
    row.expect(more("files") <= 7, || format!("{} more descriptors for a moment", more("files")));
    row.waited = Duration::from_micros(number("stood_still_us_max"));
    row.expect_in_time(number("stood_still") == 0, || {
        let (rounds, most) = (number("stood_still"), number("stood_still_us_max"));
        format!("{rounds} rounds of calls had to wait for something, {most} µs at most")
    });
    // The work of a call is a few hundred nanoseconds. On a busy machine a round is now and then charged with foreign
    // work, above all the kernel's search for memory, but not again and again.
    let allowed = 2 + play.rounds * 3 / 1000;
    row.expect_in_time(more("worked_long") <= allowed, || {
        let (rounds, most) = (number("worked_long"), number("worked_us_max"));
        format!("{rounds} rounds of calls had to work long, {most} µs at most")
    });
    row.started = Duration::from_micros(number("started_us"));
    row.expect_in_time(number("started_us") < STARTED_US_MAX, || {
        format!("the recorder's start took the caller {} µs", number("started_us"))
    });
    let caught = number("signals_caught") & !THREAD_SIGNALS;
    row.expect(
        caught == reference.report.get("signals_caught").map_or(0, |mask| mask & !THREAD_SIGNALS),
        || format!("handlers for the signals {caught:x}"),
    );
    let not_struck = play.not_struck();
    row.expect(not_struck.is_empty(), || format!("the fault never struck: {not_struck:?}"));
    row.expect(!play.has_caller_written(), || "a caller's thread wrote to stderr".to_owned());
    let lines: Vec<&str> = ended.errors.lines().collect();
    row.expect(
        lines.len() <= play.lines_max && lines.iter().all(|line| line.starts_with("monitored: ")),
        || format!("{} lines on stderr, {} expected at most:\n{}", lines.len(), play.lines_max, ended.errors),
    );
}

fn judge_stores(row: &mut Row, play: &Play, found: &Contents) {
    let whole = |path: &PathBuf| !path.to_string_lossy().contains(".corrupt-");
    for path in found.damaged.iter().filter(|path| whole(path)) {
        row.problems.push(format!("{} is damaged and was not set aside", path.display()));
    }
    row.expect(found.twice == 0, || format!("{} calls have more than one row", found.twice));
    row.expect(play.allowed.nothing_stored || !found.sound.is_empty() || row.stored.all() == 0, || {
        "no sound store is left".to_owned()
    });
}

/// Asserts that every call has its row or is counted where it was lost, and that every failure is in its group.
fn judge_calls(row: &mut Row, play: &Play, found: &Contents, report: &HashMap<String, u64>) {
    let number = |name: &str| report.get(name).copied().unwrap_or(0);
    if play.allowed.nothing_stored {
        return;
    }
    if report.is_empty() {
        row.problems.push("the victim left no report".to_owned());
        return;
    }
    let reasons = [
        ("ring full", "ring_full"),
        ("backlog", "backlog"),
        ("no ring", "no_ring"),
        ("store", "store"),
        ("passed through", "passed"),
        ("folded", "folded"),
    ];
    for (reason, name) in reasons {
        if number(name) > 0 {
            row.lost.push((reason, number(name)));
        }
    }
    let lost: u64 = reasons.iter().map(|(_, name)| number(name)).sum();
    let (written, emitted) = (number("rows_written"), row.emitted.all());
    let is_settled = number("flushed") == 1;
    row.expect_in_time(is_settled || play.allowed.unsettled || play.allowed.nothing_stored, || {
        "the last flush did not succeed within its 3 s".to_owned()
    });
    if is_settled {
        row.expect(emitted == written + lost, || {
            format!("{emitted} calls are not {written} rows written and {lost} lost")
        });
    } else {
        let waiting = emitted.saturating_sub(written + lost);
        row.expect(emitted >= written + lost, || format!("{emitted} calls, {written} written, {lost} lost"));
        // At its exit the victim writes what waits, as far as there is time.
        let late = row.stored.all().saturating_sub(written);
        row.lost.push(("waiting at exit", waiting.saturating_sub(late)));
    }
    let gone = written.saturating_sub(row.stored.all());
    if number("in_memory") == 1 {
        row.remark = format!("{gone} rows in memory, {} failures among them", row.emitted.failed);
        return;
    }
    if gone > 0 {
        row.lost.push(("with the file", gone));
    }
    row.expect(gone == 0 || play.allowed.gone, || format!("{gone} rows that were written are gone"));
    if is_settled && !play.allowed.gone {
        let failed = row.emitted.failed;
        row.expect(found.failed_in_groups == failed, || {
            format!("{} failures are counted in their groups, {failed} were made", found.failed_in_groups)
        });
        let folded = number("folded");
        let stored = row.stored.failed;
        row.expect(stored + folded == failed, || {
            format!("{stored} rows of failures and {folded} folded are not {failed}")
        });
    }
}

/// Returns true if a store of the place has rows of calls that began since a moment.
pub(crate) fn has_rows_since(place: &Place, since_ns: i64) -> bool {
    stores(place).iter().any(|path| {
        let count = open(path).and_then(|store| {
            store.query_row("SELECT count(*) FROM calls WHERE start_ns >= ?1", [since_ns], |row| row.get(0))
        });
        count.unwrap_or(0_i64) > 0
    })
}

pub(crate) fn find(place: &Place, (from_ns, to_ns): (i64, i64)) -> Contents {
    let mut found = Contents { is_readable: true, ..Contents::default() };
    for path in stores(place) {
        let Ok(store) = open(&path) else { continue };
        let number =
            |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).map_or(0, i64::unsigned_abs);
        found.stored.ok += number("SELECT count(*) FROM calls WHERE outcome = 'ok'");
        found.stored.failed += number("SELECT count(*) FROM errors");
        found.failed_in_groups += number("SELECT coalesce(sum(count), 0) FROM error_groups");
        found.between +=
            number(&format!("SELECT count(*) FROM calls WHERE start_ns >= {from_ns} AND start_ns < {to_ns}"));
        found.victims += number("SELECT count(*) FROM calls WHERE function LIKE 'victim::%'");
        for view in ["functions", "latency", "totals", "error_groups", "processes", "events", "health"] {
            let all = store.prepare(&format!("SELECT * FROM {view}")).and_then(|mut select| {
                let mut rows = select.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            });
            found.is_readable &= all.is_ok();
        }
        found.dropped += number("SELECT coalesce(sum(dropped), 0) FROM functions");
        found.twice += number("SELECT count(*) - count(DISTINCT span_id || ' ' || process_id) FROM calls");
        let check = store.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        let is_sound = check.is_ok_and(|answer| answer == "ok");
        if is_sound { &mut found.sound } else { &mut found.damaged }.push(path);
    }
    found
}

/// The sums over all functions of a store, and over all rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) calls: u64,
    pub(crate) recorded: u64,
    pub(crate) dropped: u64,
    /// The calls that rows stand for: several for a row that calls share.
    pub(crate) calls_of_rows: u64,
}

/// Returns the sums of a store; zeros if it cannot be read.
pub(crate) fn sum_counts(path: &Path) -> Sums {
    let Ok(store) = open(path) else { return Sums::default() };
    let sum = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).map_or(0, i64::unsigned_abs);
    let of_functions = |column: &str| sum(&format!("SELECT coalesce(sum({column}), 0) FROM functions"));
    Sums {
        calls: of_functions("calls"),
        recorded: of_functions("recorded"),
        dropped: of_functions("dropped"),
        calls_of_rows: sum("SELECT coalesce(sum(coalesce(folded, 1)), 0) FROM calls"),
    }
}

/// Returns everything below the place that has the recorder's application id.
pub(crate) fn stores(place: &Place) -> Vec<PathBuf> {
    let mut folders = vec![place.root().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_beside = ["-wal", "-shm", "-journal"].iter().any(|end| name.ends_with(end));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if !is_beside && is_ours(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_ours(path: &Path) -> bool {
    let number =
        open(path).and_then(|store| store.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0)));
    number.is_ok_and(|number| number == 0x4D4E_5452)
}

/// Opens a store as any reader does.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store.busy_timeout(Duration::from_secs(5))?;
    Ok(store)
}

/// Reads the victim's report on itself.
pub(crate) fn read_report(place: &Place) -> HashMap<String, u64> {
    let text = std::fs::read_to_string(place.report()).unwrap_or_default();
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}
