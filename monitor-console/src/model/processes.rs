//! The processes of a store: runs of programs, with their present figures and their losses.

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::store::schema::{SLICE_NS, WINDOW_NS};

use super::health;
use super::period::Period;
use crate::report::{self, Cell};
use crate::store::Store;

/// The windows before the present one over which the rate of calls is measured: a minute.
const RATE_WINDOWS: i64 = 6;

/// The state of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The process has not ended, as far as anybody knows.
    Running,
    /// The process no longer exists on this host, or has not reported for ten minutes, and its end is not known.
    Stale,
    /// The process ended by itself.
    Exit,
    /// The process died.
    Crash,
}

impl State {
    /// Returns the state as a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stale => "stale",
            Self::Exit => "exit",
            Self::Crash => "crash",
        }
    }

    /// Judges by the ending in the store, and by the time since the last report. `is_gone` is asked about a process that has not
    /// ended.
    fn judge(ending: &str, silent_ns: i64, is_gone: impl FnOnce() -> bool) -> Self {
        match ending {
            "exit" => Self::Exit,
            "crash" => Self::Crash,
            _ if silent_ns > health::SILENT_AFTER_NS || is_gone() => Self::Stale,
            _ => Self::Running,
        }
    }
}

/// A run of a program.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_field_names, reason = "the number has the name of its column")]
pub(crate) struct Process {
    /// The number of the run in the store.
    pub(crate) process_id: i64,
    /// The service name.
    pub(crate) service: String,
    /// The host.
    pub(crate) host: String,
    /// The process id of the system.
    pub(crate) pid: i64,
    /// The path of the program.
    pub(crate) executable: Option<String>,
    /// The version that the program gives itself.
    pub(crate) program_version: Option<String>,
    /// The id of the build.
    pub(crate) build: Option<String>,
    /// The start of recording.
    pub(crate) started_ns: i64,
    /// The last sign of life.
    pub(crate) last_seen_ns: i64,
    /// The end.
    pub(crate) ended_ns: Option<i64>,
    /// The state.
    pub(crate) state: State,
    /// The level of service of its recorder; `None` before its first report.
    pub(crate) level: Option<String>,
    /// Calls that ended within the span.
    pub(crate) calls: i64,
    /// Calls that failed.
    pub(crate) failed: i64,
    /// Calls a second over the last minute in which the process ran.
    pub(crate) calls_per_s: f64,
    /// Rows that its recorder lost since its start; `None` before its first report.
    pub(crate) lost: Option<i64>,
    /// Resident memory at the last sample.
    pub(crate) rss_bytes: Option<i64>,
}

impl Process {
    /// Returns the failed calls in percent; `None` without calls.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    pub(crate) fn failed_pct(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.failed as f64 * 100.0 / self.calls as f64)
    }
}

/// Reads the processes that were seen within a span, the one seen last first.
pub(crate) fn read(store: &Store, period: Period, now_ns: i64) -> Result<Vec<Process>> {
    let mut processes = read_rows(store, period, now_ns)?;
    let counts = count_calls(store, period)?;
    let reports = health::read_reports(store)?;
    let memory = read_memory(store)?;
    for process in &mut processes {
        (process.calls, process.failed) = counts.get(&process.process_id).copied().unwrap_or_default();
        // A process that runs and has committed nothing for a minute had no call in that minute.
        let is_idle = process.state == State::Running
            && now_ns.saturating_sub(process.last_seen_ns) > RATE_WINDOWS * WINDOW_NS;
        process.calls_per_s = if is_idle { 0.0 } else { measure_rate(store, process)? };
        if let Some(figures) = reports.get(&process.process_id) {
            let lost = figures.iter().filter(|(name, _)| health::counts_lost_rows(name));
            let lost = lost.filter_map(|(_, cell)| cell.to_integer()).fold(0_i64, i64::saturating_add);
            let level = figures.get("level").and_then(Cell::as_text).unwrap_or_default();
            (process.level, process.lost) = (Some(level.to_owned()), Some(lost));
        }
        process.rss_bytes = memory.get(&process.process_id).copied();
    }
    Ok(processes)
}

/// Reads the processes of a store, without their present figures.
pub(crate) fn read_identities(store: &Store) -> Result<Vec<Process>> {
    read_rows(store, Period::WHOLE, 0)
}

/// Counts the processes that were seen at this moment or later.
pub(crate) fn count_seen_since(store: &Store, since_ns: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM processes WHERE last_seen_ns >= ?1";
    Ok(store.read_integer(sql, [since_ns])?.unwrap_or(0))
}

/// Counts the running processes: all, or 1 or 0 for a single run.
pub(crate) fn count_running(store: &Store, run: Option<i64>) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM processes WHERE ending = 'running' AND (?1 IS NULL OR process_id = ?1)";
    Ok(store.read_integer(sql, [run])?.unwrap_or(0))
}

/// Returns true if the store has this run.
pub(crate) fn has_run(store: &Store, run: i64) -> Result<bool> {
    Ok(store.read_integer("SELECT 1 FROM processes WHERE process_id = ?1", [run])?.is_some())
}

/// Returns true if a process has ended, or was seen after this moment.
pub(crate) fn has_outlived(store: &Store, run: i64, moment_ns: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM processes WHERE process_id = ?1 AND (ending <> 'running' OR last_seen_ns > ?2)";
    Ok(store.read_integer(sql, [run, moment_ns])?.is_some())
}

/// Returns true if a process that writes to the store is running.
pub(crate) fn is_any_running(store: &Store, now_ns: i64) -> Result<bool> {
    Ok(read_rows(store, Period::WHOLE, now_ns)?.iter().any(|process| process.state == State::Running))
}

/// Returns the moments from which a service ran another build than before, with a name of the build: the version that the program
/// gave itself, else the start of the build's id.
pub(crate) fn find_build_changes(processes: &[Process]) -> Vec<(i64, String)> {
    const ID_CHARACTERS: usize = 8;
    let mut started: Vec<&Process> = processes.iter().filter(|process| process.build.is_some()).collect();
    started.sort_by_key(|process| process.started_ns);
    let mut latest: HashMap<&str, &str> = HashMap::new();
    let mut changes = Vec::new();
    for process in started {
        let Some(build) = process.build.as_deref() else { continue };
        if latest.insert(&process.service, build).is_some_and(|before| before != build) {
            let short = || build.chars().take(ID_CHARACTERS).collect();
            changes.push((process.started_ns, process.program_version.clone().unwrap_or_else(short)));
        }
    }
    changes
}

fn read_rows(store: &Store, period: Period, now_ns: i64) -> Result<Vec<Process>> {
    let stored = store.read_column_names("SELECT * FROM processes")?;
    let column = |name: &'static str| if stored.iter().any(|stored| stored == name) { name } else { "NULL" };
    let sql = format!(
        "SELECT process_id, service, host, pid, started_ns, last_seen_ns, ended_ns, ending, {}, {}, {} FROM processes
         WHERE last_seen_ns >= ?1 AND started_ns <= ?2 ORDER BY last_seen_ns DESC, process_id DESC",
        column("executable"),
        column("program_version"),
        column("build")
    );
    let mut processes = Vec::new();
    store.read_rows(&sql, [period.from_ns, period.until_ns], |row| {
        processes.push(to_process(&report::read_cells(row, 11)?, now_ns));
        Ok(())
    })?;
    Ok(processes)
}

fn to_process(cells: &[Cell], now_ns: i64) -> Process {
    let number = |at: usize| cells[at].to_integer();
    let text = |at: usize| cells[at].as_text().map(str::to_owned);
    let (host, pid) = (text(2).unwrap_or_default(), number(3).unwrap_or(0));
    let last_seen_ns = number(5).unwrap_or(0);
    let ending = cells[7].as_text().unwrap_or_default();
    let state = State::judge(ending, now_ns.saturating_sub(last_seen_ns), || health::is_gone(&host, pid));
    Process {
        process_id: number(0).unwrap_or(0),
        service: text(1).unwrap_or_default(),
        host,
        pid,
        started_ns: number(4).unwrap_or(0),
        last_seen_ns,
        ended_ns: number(6),
        state,
        executable: text(8),
        program_version: text(9),
        build: text(10),
        level: None,
        calls: 0,
        failed: 0,
        calls_per_s: 0.0,
        lost: None,
        rss_bytes: None,
    }
}

/// Counts calls and failed calls of each process: within a span by windows, and over all time by half hours, which
/// are fewer.
fn count_calls(store: &Store, period: Period) -> Result<HashMap<i64, (i64, i64)>> {
    let (table, width) = if period.is_whole() { ("slice", SLICE_NS) } else { ("latency_window", WINDOW_NS) };
    let time = if period.is_whole() { "slice" } else { "window" };
    let sql = format!(
        "SELECT process_id, SUM(calls), SUM(errors + panics + cancelled) FROM {table}
         WHERE {time} BETWEEN ?1 AND ?2 AND process_id <> 0 GROUP BY process_id"
    );
    let mut counts = HashMap::new();
    let bounds = [period.from_ns.div_euclid(width), period.until_ns.div_euclid(width)];
    store.read_rows(&sql, bounds, |row| {
        counts.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
        Ok(())
    })?;
    Ok(counts)
}

/// Measures the calls a second over the last minute of a process, or over its whole time if that is shorter. The last
/// window may not be over, so the time is counted until the last sign of life.
fn measure_rate(store: &Store, process: &Process) -> Result<f64> {
    let last = process.last_seen_ns.div_euclid(WINDOW_NS);
    let first = (last - RATE_WINDOWS).max(process.started_ns.div_euclid(WINDOW_NS));
    let sql = "SELECT SUM(calls) FROM latency_window WHERE window BETWEEN ?1 AND ?2 AND process_id = ?3";
    let calls = store.read_integer(sql, [first, last, process.process_id])?.unwrap_or(0);
    let from_ns = first.saturating_mul(WINDOW_NS).max(process.started_ns);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let seconds = process.last_seen_ns.saturating_sub(from_ns).max(1_000_000_000) as f64 / 1e9;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = calls as f64 / seconds;
    Ok(rate)
}

/// Reads the resident memory of each process at its last sample.
fn read_memory(store: &Store) -> Result<HashMap<i64, i64>> {
    let mut memory = HashMap::new();
    store.read_rows("SELECT process_id, rss_bytes FROM resources ORDER BY at_ns", [], |row| {
        memory.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_stale_if_it_is_no_more_or_has_missed_two_reports_of_an_idle_one() {
        let (there, gone) = (|| false, || true);
        assert_eq!(State::judge("running", 300_000_000_000, there), State::Running);
        assert_eq!(State::judge("running", health::SILENT_AFTER_NS, there), State::Running);
        assert_eq!(State::judge("running", health::SILENT_AFTER_NS + 1, there), State::Stale);
        assert_eq!(State::judge("running", 0, gone), State::Stale);
        assert_eq!(State::judge("exit", i64::MAX, gone), State::Exit);
        assert_eq!(State::judge("crash", 0, there), State::Crash);
    }
}
