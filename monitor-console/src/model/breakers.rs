//! The circuit breakers around the writes of running processes, and the holds that people set on them.
//!
//! Takes a store; gives the state that each process reported last, with the hold in force, or the hold that the next
//! process takes, and writes the table `breaker`. A hold on a single run overrules the one on every process. The file
//! does not know how a person names a hold.

use anyhow::Result;

use super::events;
use crate::report::{self, Cell};
use crate::store::Store;

/// The number of a process in the table `breaker` that stands for every process.
const EVERY_PROCESS: i64 = 0;

/// The state of the breaker of a running process, and what holds it; or the hold that the next process takes, which has
/// neither process nor state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Breaker {
    /// The run of the program.
    pub(crate) process_id: Option<i64>,
    /// The service.
    pub(crate) service: Option<String>,
    /// The process id of the system.
    pub(crate) pid: Option<i64>,
    /// The state that the process reported last: `closed`, `open` or `half_open`; `None` before its first report.
    pub(crate) state: Option<String>,
    /// The time at which the breaker entered this state, ns since the Unix epoch.
    pub(crate) since_ns: Option<i64>,
    /// The number of times that the breaker opened.
    pub(crate) openings: Option<i64>,
    /// The number of writes that failed.
    pub(crate) failures: Option<i64>,
    /// The hold that the process reported last.
    pub(crate) held: Option<String>,
    /// The hold that a person set: `open`, `closed` or `auto`.
    pub(crate) hold: Option<String>,
    /// The reason for the hold.
    pub(crate) reason: Option<String>,
    /// The name of whoever set the hold.
    pub(crate) set_by: Option<String>,
    /// The time at which the hold was set, ns since the Unix epoch.
    pub(crate) set_ns: Option<i64>,
}

/// Reads the breakers of running processes. If none is running, the hold that the next process takes is the only row.
pub(crate) fn read(store: &Store) -> Result<Vec<Breaker>> {
    let sql = "
SELECT p.process_id, p.service, p.pid, h.breaker, h.breaker_since_ns, h.breaker_openings, h.writer_errors,
  h.breaker_held, COALESCE(own.hold, everyone.hold),
  CASE WHEN own.hold IS NULL THEN everyone.reason ELSE own.reason END,
  CASE WHEN own.hold IS NULL THEN everyone.set_by ELSE own.set_by END,
  CASE WHEN own.hold IS NULL THEN everyone.set_ns ELSE own.set_ns END
FROM processes p
LEFT JOIN health h ON h.process_id = p.process_id
LEFT JOIN breaker own ON own.process_id = p.process_id
LEFT JOIN breaker everyone ON everyone.process_id = 0
WHERE p.ending = 'running' ORDER BY p.process_id";
    let breakers = read_breakers(store, sql)?;
    if breakers.is_empty() { read_next(store) } else { Ok(breakers) }
}

/// Reads the hold that the next process takes; nothing if none is set.
fn read_next(store: &Store) -> Result<Vec<Breaker>> {
    let sql = "
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, hold, reason, set_by, set_ns
FROM breaker WHERE process_id = 0 AND hold <> 'auto'";
    read_breakers(store, sql)
}

fn read_breakers(store: &Store, sql: &str) -> Result<Vec<Breaker>> {
    let mut breakers = Vec::new();
    store.read_rows(sql, [], |row| {
        breakers.push(to_breaker(&report::read_cells(row, 12)?));
        Ok(())
    })?;
    Ok(breakers)
}

fn to_breaker(cells: &[Cell]) -> Breaker {
    let text = |at: usize| cells[at].as_text().map(str::to_owned);
    let number = |at: usize| cells[at].to_integer();
    Breaker {
        process_id: number(0),
        service: text(1),
        pid: number(2),
        state: text(3),
        since_ns: number(4),
        openings: number(5),
        failures: number(6),
        held: text(7),
        hold: text(8),
        reason: text(9),
        set_by: text(10),
        set_ns: number(11),
    }
}

impl Breaker {
    /// Returns true if this is the hold that the next process takes.
    pub(crate) const fn is_of_next(&self) -> bool {
        self.process_id.is_none()
    }
}

/// A change of the hold on breakers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewHold<'a> {
    /// The run whose breaker is held; `None` for every process.
    pub(crate) run: Option<i64>,
    /// The word `open`, `closed` or `auto`.
    pub(crate) hold: &'a str,
    /// The reason.
    pub(crate) reason: &'a str,
    /// The name of whoever sets the hold.
    pub(crate) by: &'a str,
}

/// Holds breakers, or ends their holds, and writes an event that says so.
pub(crate) fn hold(store: &Store, new: NewHold<'_>, now_ns: i64) -> Result<()> {
    store.write_together(|| {
        write_hold(store, new, now_ns)?;
        let NewHold { hold, reason, by, .. } = new;
        events::write(store, "breaker", &format!("hold {hold} set by {by}: {reason}"), now_ns)
    })
}

/// Holds breakers, or ends their holds, without an event. The row stays when the hold ends, because processes read from
/// it who ended it and why.
pub(crate) fn write_hold(store: &Store, new: NewHold<'_>, now_ns: i64) -> Result<()> {
    let NewHold { run, hold, reason, by } = new;
    store.execute(
        "INSERT INTO breaker (process_id, hold, reason, set_ns, set_by) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (process_id) DO UPDATE SET hold = excluded.hold, reason = excluded.reason,
           set_ns = excluded.set_ns, set_by = excluded.set_by",
        (run.unwrap_or(EVERY_PROCESS), hold, reason, now_ns, by),
    )?;
    if hold == "auto" && run.is_none() {
        // A hold on every process also ends the holds on single runs.
        store.execute("DELETE FROM breaker WHERE process_id <> 0", [])?;
    }
    Ok(())
}
