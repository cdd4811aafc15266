//! `monitor breaker`: how the circuit breakers around the store's writes stand, and holding them from outside.
//!
//! Holding is writing a row of the table `breaker`; running processes look at it within a second, also
//! while they do not write. How a breaker stands is what the process itself reported last.

use anyhow::{Result, bail};

use super::{heading, open, remark, set_by};
use crate::arguments::{Breaker, BreakerAction, Common, HoldOptions};
use crate::format::{self, Pace};
use crate::report::{Cell, Column, Unit};
use crate::store::Store;
use crate::{find, units};

pub(super) fn run(common: &Common, arguments: &Breaker) -> Result<()> {
    match &arguments.action {
        None => show(common),
        Some(BreakerAction::Open(options)) => hold(common, "open", options),
        Some(BreakerAction::Close(options)) => hold(common, "closed", options),
        Some(BreakerAction::Auto(options)) => hold(common, "auto", options),
    }
}

const BREAKERS: &str = "
SELECT p.process_id, p.service, p.pid, h.breaker, h.breaker_since_ns, h.breaker_openings, h.writer_errors,
  h.breaker_held, COALESCE(own.hold, everyone.hold) AS hold,
  CASE WHEN own.hold IS NULL THEN everyone.reason ELSE own.reason END AS reason,
  CASE WHEN own.hold IS NULL THEN everyone.set_by ELSE own.set_by END AS set_by,
  CASE WHEN own.hold IS NULL THEN everyone.set_ns ELSE own.set_ns END AS set_ns
FROM processes p
LEFT JOIN health h ON h.process_id = p.process_id
LEFT JOIN breaker own ON own.process_id = p.process_id
LEFT JOIN breaker everyone ON everyone.process_id = 0
WHERE p.ending = 'running'
ORDER BY p.process_id";

fn show(common: &Common) -> Result<()> {
    let store = open(common)?;
    let columns = vec![
        Column::both("process_id", "RUN", Unit::Number),
        Column::both("service", "SERVICE", Unit::Name),
        Column::both("pid", "PID", Unit::Number),
        Column::both("breaker", "REPORTED", Unit::Text),
        Column::both("breaker_since_ns", "SINCE", Unit::Ago),
        Column::both("breaker_openings", "OPENED", Unit::Count),
        Column::both("writer_errors", "FAILURES", Unit::Count),
        Column::data("breaker_held"),
        Column::both("hold", "HOLD", Unit::Text),
        Column::both("reason", "REASON", Unit::Text),
        Column::both("set_by", "BY", Unit::Text),
        Column::both("set_ns", "SET", Unit::Ago),
    ];
    let report = store.report(columns, BREAKERS, [])?;
    heading(common, &store, "breakers of running processes, and how they are held from outside");
    format::print(&report, format::stdout(common.format, Pace::Whole).as_mut())
}

fn hold(common: &Common, hold: &str, options: &HoldOptions) -> Result<()> {
    let store = Store::open_to_set(&find::store(common.db())?)?;
    let whose = match options.process {
        Some(process) => i64::from(process),
        None => 0,
    };
    if whose != 0 && !is_known(&store, whose)? {
        bail!("there is no run {whose} in this store: `monitor health` lists them");
    }
    // The row of whoever lets go stays: it is what processes know from who it was and why.
    store.change(
        "INSERT INTO breaker (process_id, hold, reason, set_ns, set_by) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (process_id) DO UPDATE SET hold = excluded.hold, reason = excluded.reason,
           set_ns = excluded.set_ns, set_by = excluded.set_by",
        (whose, hold, reason(hold, options)?, units::now_ns(), set_by()),
    )?;
    if hold == "auto" && whose == 0 {
        // Nobody is held any more, whoever was held by itself included.
        store.change("DELETE FROM breaker WHERE process_id <> 0", [])?;
    }
    let effect = match hold {
        "open" => "held open: nothing is written, records wait in memory",
        "closed" => "held closed: every write is tried",
        _ => "let go",
    };
    remark(common, &format!("{effect}; {}", reach(&store, whose)?));
    show(common)
}

/// Holding takes a reason: whoever looks at the events later wants to know.
fn reason(hold: &str, options: &HoldOptions) -> Result<String> {
    match &options.reason {
        Some(reason) => Ok(reason.clone()),
        None if hold == "auto" => Ok("no reason given".to_owned()),
        _ => bail!("a breaker is held for a reason: `--reason 'the disk is being swapped'`"),
    }
}

fn is_known(store: &Store, process: i64) -> Result<bool> {
    Ok(store.first("SELECT 1 FROM processes WHERE process_id = ?1", [process])?.is_some())
}

/// Whom it reaches: `2 running processes see it within a second`.
fn reach(store: &Store, whose: i64) -> Result<String> {
    let sql = "SELECT count(*) FROM processes WHERE ending = 'running' AND ?1 IN (0, process_id)";
    let running = store.first(sql, [whose])?;
    let running = running.and_then(|row| row.first().and_then(Cell::number)).unwrap_or(0.0);
    Ok(match running {
        0.0 => "no such process is running, the next one sees it at its start".to_owned(),
        1.0 => "1 running process sees it within a second".to_owned(),
        more => format!("{more} running processes see it within a second"),
    })
}
