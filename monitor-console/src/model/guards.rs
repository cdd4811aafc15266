//! The guards of programs, circuit breakers around their own parts: their figures, and the holds that people set on them.
//!
//! Takes an open store; gives the guards of processes. A change of a hold is an event that says who did it. A
//! store that an older version wrote has no guards.

use anyhow::{Result, bail};
use rusqlite::Params;

use super::events;
use crate::report::{self, Cell};
use crate::store::Store;

/// A guard of a process, as the process reported it last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GuardState {
    /// The run of the program.
    pub(crate) process_id: i64,
    pub(crate) service: String,
    pub(crate) name: String,
    /// The state of its breaker: `closed`, `open` or `half_open`.
    pub(crate) state: String,
    pub(crate) since_ns: i64,
    /// The service level of the part: `full`, `degraded`, `minimal` or `unavailable`.
    pub(crate) level: String,
    pub(crate) figures: GuardFigures,
    /// The hold that the process reported last.
    pub(crate) held: Option<String>,
    /// The hold that a person set: `open`, `closed` or `auto`.
    pub(crate) hold: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) set_by: Option<String>,
    pub(crate) set_ns: Option<i64>,
    pub(crate) last_failure: Option<String>,
}

/// The figures of a guard since its process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GuardFigures {
    pub(crate) calls: i64,
    pub(crate) failures: i64,
    pub(crate) rejected: i64,
    pub(crate) retries: i64,
    pub(crate) openings: i64,
    pub(crate) by_value: i64,
    pub(crate) by_cache: i64,
    pub(crate) by_function: i64,
}

/// Returns true if the store has guards and their holds.
pub(crate) fn are_known(store: &Store) -> Result<bool> {
    store.has(&["guards", "guard_hold"])
}

/// Reads the guards of processes that have not ended: all, or those of a name. The worst level comes first.
pub(crate) fn read(store: &Store, name: Option<&str>) -> Result<Vec<GuardState>> {
    if !are_known(store)? {
        return Ok(Vec::new());
    }
    read_guards(store, "p.ending = 'running' AND (?1 IS NULL OR g.name = ?1)", [name])
}

/// Reads the guards of a process, which may have ended, as it reported them last. The worst level comes first.
pub(crate) fn read_reported(store: &Store, process_id: i64) -> Result<Vec<GuardState>> {
    if !are_known(store)? {
        return Ok(Vec::new());
    }
    read_guards(store, "p.process_id = ?1", [process_id])
}

/// Reads the guards `g` of processes `p` for which a condition holds.
fn read_guards(store: &Store, condition: &str, parameters: impl Params) -> Result<Vec<GuardState>> {
    let sql = format!(
        "
SELECT p.process_id, p.service, g.name, g.state, g.since_ns, g.level, g.calls, g.failures, g.rejected, g.retries,
  g.openings, g.fallbacks_value, g.fallbacks_cached, g.fallbacks_function, g.last_failure,
  COALESCE(own.hold, everyone.hold),
  CASE WHEN own.hold IS NULL THEN everyone.reason ELSE own.reason END,
  CASE WHEN own.hold IS NULL THEN everyone.set_by ELSE own.set_by END,
  CASE WHEN own.hold IS NULL THEN everyone.set_ns ELSE own.set_ns END, g.held
FROM guards g JOIN processes p ON p.process_id = g.process_id
LEFT JOIN guard_hold own ON own.name = g.name AND own.process_id = g.process_id
LEFT JOIN guard_hold everyone ON everyone.name = g.name AND everyone.process_id = 0
WHERE {condition}
ORDER BY CASE g.level WHEN 'unavailable' THEN 0 WHEN 'minimal' THEN 1 WHEN 'degraded' THEN 2 ELSE 3 END, g.name,
  p.process_id"
    );
    let mut guards = Vec::new();
    store.read_rows(&sql, parameters, |row| {
        guards.push(to_guard(&report::read_cells(row, 20)?));
        Ok(())
    })?;
    Ok(guards)
}

fn to_guard(cells: &[Cell]) -> GuardState {
    let text = |at: usize| cells[at].as_text().map(str::to_owned);
    let number = |at: usize| cells[at].to_integer().unwrap_or(0);
    GuardState {
        process_id: number(0),
        service: text(1).unwrap_or_default(),
        name: text(2).unwrap_or_default(),
        state: text(3).unwrap_or_default(),
        since_ns: number(4),
        level: text(5).unwrap_or_default(),
        figures: GuardFigures {
            calls: number(6),
            failures: number(7),
            rejected: number(8),
            retries: number(9),
            openings: number(10),
            by_value: number(11),
            by_cache: number(12),
            by_function: number(13),
        },
        last_failure: text(14),
        hold: text(15),
        reason: text(16),
        set_by: text(17),
        set_ns: cells[18].to_integer(),
        held: text(19),
    }
}

/// The hold on a guard in every process that calls it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GuardHold {
    pub(crate) name: String,
    /// The word `open` or `closed`.
    pub(crate) hold: String,
    pub(crate) reason: String,
    pub(crate) set_by: String,
    pub(crate) set_ns: i64,
}

/// Reads the holds that no running process has reported a guard for: those that the next call of the guard takes. All, or
/// the one of a name.
pub(crate) fn read_waiting_holds(store: &Store, name: Option<&str>) -> Result<Vec<GuardHold>> {
    if !are_known(store)? {
        return Ok(Vec::new());
    }
    let sql = "
SELECT w.name, w.hold, w.reason, w.set_by, w.set_ns FROM guard_hold w
WHERE w.process_id = 0 AND w.hold <> 'auto' AND (?1 IS NULL OR w.name = ?1) AND NOT EXISTS (
  SELECT 1 FROM guards g JOIN processes p ON p.process_id = g.process_id
  WHERE g.name = w.name AND p.ending = 'running')
ORDER BY w.name";
    let mut holds = Vec::new();
    store.read_rows(sql, [name], |row| {
        let cells = report::read_cells(row, 5)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let set_ns = cells[4].to_integer().unwrap_or(0);
        holds.push(GuardHold { name: text(0), hold: text(1), reason: text(2), set_by: text(3), set_ns });
        Ok(())
    })?;
    Ok(holds)
}

/// Reads the names of all guards that a process has reported, running or not, or that are held.
pub(crate) fn read_names(store: &Store) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if are_known(store)? {
        let sql = "SELECT name FROM guards UNION SELECT name FROM guard_hold WHERE hold <> 'auto' ORDER BY 1";
        store.read_rows(sql, [], |row| {
            names.extend(report::read_cells(row, 1)?[0].as_text().map(str::to_owned));
            Ok(())
        })?;
    }
    Ok(names)
}

/// A change of the hold on a guard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewHold<'a> {
    pub(crate) name: &'a str,
    /// The run whose guard is held; 0 for every process.
    pub(crate) process_id: i64,
    /// The word `open`, `closed` or `auto`.
    pub(crate) hold: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) by: &'a str,
}

/// Holds a guard, or ends its hold, and writes an event that says so. The row stays when the hold ends, because processes read from
/// it who ended it and why. A guard may be held before a process has called it.
pub(crate) fn hold(store: &Store, new: NewHold<'_>, now_ns: i64) -> Result<()> {
    if !are_known(store)? {
        bail!(
            "{} has no guards, because an older version wrote it: run a program with this version of monitored on it",
            store.path().display()
        );
    }
    let NewHold { name, process_id, hold, reason, by } = new;
    store.write_together(|| {
        store.execute(
            "INSERT INTO guard_hold (name, process_id, hold, reason, set_ns, set_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (name, process_id) DO UPDATE SET hold = excluded.hold, reason = excluded.reason,
           set_ns = excluded.set_ns, set_by = excluded.set_by",
            (name, process_id, hold, reason, now_ns, by),
        )?;
        if hold == "auto" && process_id == 0 {
            // A hold on every process also ends the holds on single runs.
            store.execute("DELETE FROM guard_hold WHERE name = ?1 AND process_id <> 0", [name])?;
        }
        events::write(store, "guard", &format!("{name}: hold {hold} set by {by}: {reason}"), now_ns)
    })
}
