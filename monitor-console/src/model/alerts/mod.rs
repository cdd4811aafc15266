//! Alerts, the rules that raise them, and the receivers with the alerts that each has taken.
//!
//! Takes a store; gives alerts. The files below it hold rules, the course of an alert's measure, and receivers.

mod course;
mod receivers;
mod rules;

use anyhow::{Result, bail};

use super::period::Period;
use super::scope::Scope;
use crate::report;
use crate::store::Store;

pub(crate) use course::{Course, read_course};
pub(crate) use receivers::{
    Receiver, enter_receiver, note_delivered, note_failure, note_refused_again, read_pending, read_receivers,
};
pub(crate) use rules::{Condition, NewRule, Rule, parse, read_rules, remove_rule, set_rule, switch_rule};

/// An alert, as the view `alerts` has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Alert {
    /// The number of the alert in the store.
    pub(crate) id: i64,
    /// The number of its latest change.
    pub(crate) change: i64,
    /// The run of the program that raised the alert.
    pub(crate) process_id: i64,
    /// The service; empty if retention has deleted the run.
    pub(crate) service: String,
    /// The rule.
    pub(crate) rule: String,
    /// The function; `None` for an alert on the recorder, on the process, or on many functions.
    pub(crate) function: Option<String>,
    /// `info`, `warning` or `critical`.
    pub(crate) level: String,
    /// `firing`, `recovering`, `resolved` or `ended`.
    pub(crate) state: String,
    /// The time at which the alert began to fire, ns since the Unix epoch.
    pub(crate) since_ns: i64,
    /// The time at which the alert was resolved or ended; `None` before.
    pub(crate) until_ns: Option<i64>,
    /// The value of the measure at the latest change.
    pub(crate) value: f64,
    /// The most extreme value until then.
    pub(crate) peak: f64,
    /// The alert in a sentence.
    pub(crate) sentence: String,
    /// The most processes for which the alert fired at the same time.
    pub(crate) processes: i64,
}

impl Alert {
    /// Returns true if the alert still fires, recovering or not.
    pub(crate) const fn is_live(&self) -> bool {
        self.until_ns.is_none()
    }
}

const COLUMNS: &str = "alert_id, change, process_id, service, rule, function, level, state, since_ns, until_ns, value, peak, \
                       sentence, processes";

/// Fails if a program of an older version made the store, because such a store has no alerts.
pub(crate) fn require(store: &Store) -> Result<()> {
    if !are_known(store)? {
        bail!(
            "{} has no alerts, because an older version wrote it: run a program with this version of monitored on it",
            store.path().display()
        );
    }
    Ok(())
}

/// Returns true if the store has alerts, rules, and cursors of receivers.
pub(crate) fn are_known(store: &Store) -> Result<bool> {
    store.has(&["alerts", "alert_rule", "alert_cursor"])
}

/// Reads alerts: those that fire, the worst first, or those that have ended, the latest first.
pub(crate) fn read(store: &Store, scope: &Scope, is_live: bool, limit: usize) -> Result<Vec<Alert>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts
         WHERE (until_ns IS NULL) = ?1 AND coalesce(until_ns, {max}) >= ?2 AND since_ns <= ?3
           AND (?4 IS NULL OR process_id IN (SELECT value FROM json_each(?4)))
         ORDER BY CASE WHEN ?1 THEN CASE level WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END END,
           coalesce(until_ns, since_ns) DESC, change DESC LIMIT ?5",
        max = i64::MAX
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let Period { from_ns, until_ns } = scope.period;
    read_alerts(store, &sql, (is_live, from_ns, until_ns, scope.processes_json(), limit))
}

/// Reads the alerts that fired at this moment or later: those that fire now first, the worst first, then those that
/// have ended, the latest change first.
pub(crate) fn read_since(store: &Store, since_ns: i64, limit: u32) -> Result<Vec<Alert>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE COALESCE(until_ns, {max}) >= ?1
         ORDER BY until_ns IS NOT NULL, CASE level WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, change DESC
         LIMIT ?2",
        max = i64::MAX
    );
    read_alerts(store, &sql, (since_ns, i64::from(limit)))
}

/// Returns the number of the latest change of any alert; 0 without alerts.
pub(crate) fn find_newest_change(store: &Store) -> Result<i64> {
    Ok(store.read_integer("SELECT max(change) FROM alerts", [])?.unwrap_or(0))
}

/// Reads the alerts whose latest change is above the first number, up to the second, in the order of their changes.
pub(crate) fn read_changed(store: &Store, (last, newest): (i64, i64)) -> Result<Vec<Alert>> {
    let sql = format!("SELECT {COLUMNS} FROM alerts WHERE change > ?1 AND change <= ?2 ORDER BY change");
    read_alerts(store, &sql, [last, newest])
}

/// Counts the alerts that fire: all of them, and the critical ones.
pub(crate) fn count_live(store: &Store) -> Result<(i64, i64)> {
    if !are_known(store)? {
        return Ok((0, 0));
    }
    let count = |more: &str| {
        store.read_integer(&format!("SELECT count(*) FROM alert WHERE until_ns IS NULL{more}"), [])
    };
    Ok((count("")?.unwrap_or(0), count(" AND level = 'critical'")?.unwrap_or(0)))
}

fn read_alerts(store: &Store, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Alert>> {
    let mut alerts = Vec::new();
    store.read_rows(sql, parameters, |row| {
        let cells = report::read_cells(row, 14)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let integer = |at: usize| cells[at].to_integer();
        let number = |at: usize| cells[at].to_number().unwrap_or(0.0);
        alerts.push(Alert {
            id: integer(0).unwrap_or(0),
            change: integer(1).unwrap_or(0),
            process_id: integer(2).unwrap_or(0),
            service: text(3),
            rule: text(4),
            function: cells[5].as_text().map(str::to_owned),
            level: text(6),
            state: text(7),
            since_ns: integer(8).unwrap_or(0),
            until_ns: integer(9),
            value: number(10),
            peak: number(11),
            sentence: text(12),
            processes: integer(13).unwrap_or(1),
        });
        Ok(())
    })?;
    Ok(alerts)
}
