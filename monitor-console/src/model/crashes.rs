//! Processes that died: how, with which calls in flight, and what they did in the time before.
//!
//! Takes a store, and the number of a run or a span; gives structs. A process that is killed leaves a ring file, and
//! its calls in flight are known only if that file has been recovered into the store. The file does not recover any.

use anyhow::Result;
use monitor_runtime::store::schema::WINDOW_NS;

use super::period::Period;
use crate::report::{self, Cell};
use crate::store::Store;

/// The latest calls of the store among which those of a dead process are looked for.
const SEARCHED_MAX: i64 = 100_000;

/// A process that died.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Crash {
    /// The number of the run in the store.
    pub(crate) process_id: i64,
    /// The UUID of the run.
    pub(crate) run_uuid: String,
    /// The service.
    pub(crate) service: String,
    /// The host.
    pub(crate) host: String,
    /// The process id of the system.
    pub(crate) pid: i64,
    /// The start of recording, ns since the Unix epoch.
    pub(crate) started_ns: i64,
    /// The death, ns since the Unix epoch.
    pub(crate) died_ns: Option<i64>,
    /// The way in which the process died; `None` if it left no ring file.
    pub(crate) how: Option<String>,
}

/// Reads the processes that died at this moment or later, at most `limit`, the latest first.
pub(crate) fn read(store: &Store, since_ns: i64, limit: i64) -> Result<Vec<Crash>> {
    let sql = "
SELECT p.process_id, p.run_uuid, p.service, p.host, p.pid, p.started_ns, p.ended_ns,
  (SELECT e.detail FROM events e WHERE e.process_id = p.process_id AND e.kind = 'crash' ORDER BY e.at_ns DESC LIMIT 1)
FROM processes p
WHERE p.ending = 'crash' AND coalesce(p.ended_ns, p.started_ns) >= ?1
ORDER BY coalesce(p.ended_ns, p.started_ns) DESC, p.process_id DESC
LIMIT ?2";
    let mut crashes = Vec::new();
    store.read_rows(sql, [since_ns, limit], |row| {
        let cells = report::read_cells(row, 8)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let number = |at: usize| cells[at].to_integer();
        crashes.push(Crash {
            process_id: number(0).unwrap_or(0),
            run_uuid: text(1),
            service: text(2),
            host: text(3),
            pid: number(4).unwrap_or(0),
            started_ns: number(5).unwrap_or(0),
            died_ns: number(6),
            how: cells[7].as_text().map(str::to_owned),
        });
        Ok(())
    })?;
    Ok(crashes)
}

/// A call that was in flight when its process died.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Flight {
    /// The name of the thread; `None` for a call of a task that waited.
    pub(crate) thread: Option<String>,
    /// The number of the thread; `None` in stores of older versions.
    pub(crate) thread_id: Option<i64>,
    /// The number of calls around the call on its stack.
    pub(crate) depth: Option<i64>,
    /// The function.
    pub(crate) function: Option<String>,
    /// The start, ns since the Unix epoch.
    pub(crate) start_ns: Option<i64>,
    /// The time for which the call had been running, in ms.
    pub(crate) elapsed_ms: Option<f64>,
    /// The span.
    pub(crate) span_id: Option<i64>,
    /// The span of the caller.
    pub(crate) parent_id: Option<i64>,
    /// The time since which a suspended call has waited for its next poll, ns since the Unix epoch.
    pub(crate) waiting_since_ns: Option<i64>,
    /// The captured arguments.
    pub(crate) args: Option<String>,
}

/// Reads the calls that were in flight when a process died, by thread and depth; those of tasks that waited come last.
pub(crate) fn read_flights(store: &Store, process_id: i64) -> Result<Vec<Flight>> {
    let sql = "SELECT thread, thread_id, depth, function, start_ns, elapsed_ms, span_id, parent_id, waiting_since_ns,
                 args FROM in_flight WHERE process_id = ?1
               ORDER BY thread IS NULL, thread, thread_id, depth, start_ns";
    let mut flights = Vec::new();
    store.read_rows(sql, [process_id], |row| {
        flights.push(to_flight(&report::read_cells(row, 10)?));
        Ok(())
    })?;
    Ok(flights)
}

fn to_flight(cells: &[Cell]) -> Flight {
    let text = |at: usize| cells[at].as_text().map(str::to_owned);
    let number = |at: usize| cells[at].to_integer();
    Flight {
        thread: text(0),
        thread_id: number(1),
        depth: number(2),
        function: text(3),
        start_ns: number(4),
        elapsed_ms: cells[5].to_number(),
        span_id: number(6),
        parent_id: number(7),
        waiting_since_ns: number(8),
        args: text(9),
    }
}

/// The calls of a process that ended in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowCounts {
    /// The start of the window, ns since the Unix epoch.
    pub(crate) start_ns: i64,
    /// The calls.
    pub(crate) calls: i64,
    /// The calls that failed.
    pub(crate) failed: i64,
}

/// Counts the calls of a process in each window that has a part of the span. A window without calls is left out.
pub(crate) fn count_calls(store: &Store, process_id: i64, period: Period) -> Result<Vec<WindowCounts>> {
    let sql = "SELECT window, sum(calls), sum(errors + panics + cancelled) FROM latency_window
               WHERE process_id = ?1 AND window >= ?2 AND window <= ?3 GROUP BY 1 ORDER BY 1";
    let [first, last] = [period.from_ns, period.until_ns].map(|ns| ns.div_euclid(WINDOW_NS));
    let mut windows = Vec::new();
    store.read_rows(sql, [process_id, first, last], |row| {
        let cells = report::read_cells(row, 3)?;
        let [window, calls, failed] = [0, 1, 2].map(|at| cells[at].to_integer().unwrap_or(0));
        windows.push(WindowCounts { start_ns: window.saturating_mul(WINDOW_NS), calls, failed });
        Ok(())
    })?;
    Ok(windows)
}

/// A call of a dead process.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::struct_field_names, reason = "the number has the name of its column")]
pub(crate) struct LastCall {
    /// The id of the call.
    pub(crate) call_id: i64,
    /// The end, ns since the Unix epoch.
    pub(crate) ended_ns: i64,
    /// The duration, in ms.
    pub(crate) duration_ms: Option<f64>,
    /// The outcome.
    pub(crate) outcome: String,
    /// The function.
    pub(crate) function: String,
    /// The thread.
    pub(crate) thread: String,
}

/// Reads the calls of a process that ended last, at most `limit`, the latest first. Only the latest 100 000 calls of
/// the store are searched, so none is found if other processes have written more than that since.
pub(crate) fn read_last_calls(store: &Store, process_id: i64, limit: i64) -> Result<Vec<LastCall>> {
    let sql = "SELECT call_id, start_ns + duration_ns AS ended_ns, duration_ms, outcome, function, thread FROM calls
               WHERE process_id = ?1 AND call_id > (SELECT max(id) FROM call) - ?3
               ORDER BY ended_ns DESC LIMIT ?2";
    let mut calls = Vec::new();
    store.read_rows(sql, [process_id, limit, SEARCHED_MAX], |row| {
        let cells = report::read_cells(row, 6)?;
        let text = |at: usize| cells[at].to_plain_text();
        calls.push(LastCall {
            call_id: cells[0].to_integer().unwrap_or(0),
            ended_ns: cells[1].to_integer().unwrap_or(0),
            duration_ms: cells[2].to_number(),
            outcome: text(3),
            function: text(4),
            thread: text(5),
        });
        Ok(())
    })?;
    Ok(calls)
}
