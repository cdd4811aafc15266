//! Receivers of alerts, and the latest change that each has taken.
//!
//! Takes the name of a receiver; gives the alerts that are news to it, and moves its cursor. Which of the alerts that changed are
//! news is a pure function.

use std::collections::HashMap;

use anyhow::Result;

use super::{Alert, COLUMNS, read_alerts};
use crate::report;
use crate::store::Store;

/// The most alerts that are handed to a receiver at once.
const PENDING_MAX: i64 = 500;

/// A receiver of alerts, and the latest change that it has taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Receiver {
    /// The name of the receiver.
    pub(crate) name: String,
    /// The latest change that the receiver has taken.
    pub(crate) change: i64,
    /// The latest change in the store at the time when the receiver was first seen.
    pub(crate) first_change: i64,
    /// The time at which the receiver last took an alert, ns since the Unix epoch.
    pub(crate) told_ns: Option<i64>,
    /// Deliveries that failed since then.
    pub(crate) failures: i64,
    /// The reason of the last failure since then.
    pub(crate) last_failure: Option<String>,
}

/// Reads all receivers, by name.
pub(crate) fn read_receivers(store: &Store) -> Result<Vec<Receiver>> {
    let sql = "SELECT receiver, change, first_change, told_ns, failures, last_failure FROM alert_cursor ORDER BY receiver";
    let mut receivers = Vec::new();
    store.read_rows(sql, [], |row| {
        let cells = report::read_cells(row, 6)?;
        receivers.push(Receiver {
            name: cells[0].as_text().unwrap_or_default().to_owned(),
            change: cells[1].to_integer().unwrap_or(0),
            first_change: cells[2].to_integer().unwrap_or(0),
            told_ns: cells[3].to_integer(),
            failures: cells[4].to_integer().unwrap_or(0),
            last_failure: cells[5].as_text().map(str::to_owned),
        });
        Ok(())
    })?;
    Ok(receivers)
}

/// Adds a receiver, if the store does not have it. A new receiver gets the alerts that fire now, and all later ones.
pub(crate) fn enter_receiver(store: &Store, name: &str) -> Result<()> {
    let is_known = "SELECT count(*) FROM alert_cursor WHERE receiver = ?1";
    if store.read_integer(is_known, [name])? == Some(1) {
        return Ok(());
    }
    store.write_together(|| {
        let entered = store.execute(
            "INSERT OR IGNORE INTO alert_cursor (receiver, change, first_change)
             SELECT ?1, coalesce((SELECT min(change) - 1 FROM alert WHERE until_ns IS NULL), max(change), 0),
               coalesce(max(change), 0) FROM alert",
            [name],
        )?;
        if entered > 0 {
            // Rows that are left of a cursor that the user has deleted would say that its alerts were told.
            store.execute("DELETE FROM alert_told WHERE receiver = ?1", [name])?;
            let live = "INSERT OR IGNORE INTO alert_told SELECT ?1, id, '' FROM alert WHERE until_ns IS NULL";
            store.execute(live, [name])?;
        }
        Ok(())
    })
}

/// The level in `alert_told` of an alert that the receiver refused, and that no longer holds up later ones.
const REFUSED: &str = "refused";

/// The alerts that wait for a receiver.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pending {
    /// The alerts that are news to the receiver, in the order of their changes.
    pub(crate) alerts: Vec<Alert>,
    /// The alerts that the receiver refused while it took later ones.
    pub(crate) refused: Vec<Alert>,
    /// The latest change that the receiver has taken.
    pub(crate) told: i64,
    /// The latest change that was looked at for the receiver.
    pub(crate) change: i64,
    /// True if there are later changes.
    pub(crate) has_more: bool,
    /// The deliveries of news that failed since the receiver last took an alert.
    pub(crate) failures: i64,
}

/// Reads the alerts that changed since the receiver's cursor was last moved, as far as they are news to the receiver, and
/// those that it refused before.
pub(crate) fn read_pending(store: &Store, name: &str) -> Result<Pending> {
    let cursor = |column: &str| {
        let sql = format!("SELECT {column} FROM alert_cursor WHERE receiver = ?1");
        store.read_integer(&sql, [name]).map(|number| number.unwrap_or(0))
    };
    let (told_change, first_change) = (cursor("change")?, cursor("first_change")?);
    let sql = format!("SELECT {COLUMNS} FROM alerts WHERE change > ?1 ORDER BY change LIMIT ?2");
    let mut alerts = read_alerts(store, &sql, (told_change, PENDING_MAX))?;
    let has_more = i64::try_from(alerts.len()).unwrap_or(0) == PENDING_MAX;
    let change = alerts.last().map_or(told_change, |alert| alert.change);
    let mut told = HashMap::new();
    store.read_rows("SELECT alert_id, level FROM alert_told WHERE receiver = ?1", [name], |row| {
        let cells = report::read_cells(row, 2)?;
        if let (Some(id), Some(level)) = (cells[0].to_integer(), cells[1].as_text()) {
            told.insert(id, level.to_owned());
        }
        Ok(())
    })?;
    let told = |alert: &Alert| told.get(&alert.id).map(String::as_str);
    alerts.retain(|alert| told(alert) != Some(REFUSED) && is_due(alert, told(alert), first_change));
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts
         WHERE alert_id IN (SELECT alert_id FROM alert_told WHERE receiver = ?1 AND level = ?2) ORDER BY change"
    );
    let refused = read_alerts(store, &sql, (name, REFUSED))?;
    Ok(Pending { alerts, refused, told: told_change, change, has_more, failures: cursor("failures")? })
}

/// Returns true if an alert is news to a receiver: an alert that fires, or fires at another level than before, and an
/// alert that has ended. `told` is the level that the receiver last got, or empty if the alert is still to be sent. An
/// alert that recovers is no news, because it may fire again at once. An alert that had ended when the receiver was
/// first seen is no news to that receiver.
fn is_due(alert: &Alert, told: Option<&str>, first_change: i64) -> bool {
    match told {
        Some(level) if alert.is_live() => level != alert.level,
        Some(_) => true,
        None => alert.is_live() || alert.change > first_change,
    }
}

/// Notes that a receiver took these alerts, that it refused those of `passed_over`, which are tried again later, and that
/// all other changes up to `change` are settled for it.
pub(crate) fn note_delivered(
    store: &Store,
    name: &str,
    alerts: &[Alert],
    passed_over: &[Alert],
    change: i64,
    now_ns: i64,
) -> Result<()> {
    store.write_together(|| {
        for alert in passed_over {
            let sql = "INSERT OR REPLACE INTO alert_told VALUES (?1, ?2, ?3)";
            store.execute(sql, (name, alert.id, REFUSED))?;
        }
        for alert in alerts {
            if alert.is_live() {
                let sql = "INSERT OR REPLACE INTO alert_told VALUES (?1, ?2, ?3)";
                store.execute(sql, (name, alert.id, &alert.level))?;
            } else {
                let sql = "DELETE FROM alert_told WHERE receiver = ?1 AND alert_id = ?2";
                store.execute(sql, (name, alert.id))?;
            }
        }
        let told_ns = (!alerts.is_empty()).then_some(now_ns);
        store.execute(
            "UPDATE alert_cursor SET change = max(change, ?2), told_ns = coalesce(?3, told_ns), failures = 0,
               last_failure = NULL WHERE receiver = ?1",
            (name, change, told_ns),
        )?;
        Ok(())
    })
}

/// Notes that a delivery of news to a receiver failed.
pub(crate) fn note_failure(store: &Store, name: &str, why: &str) -> Result<()> {
    let sql = "UPDATE alert_cursor SET failures = failures + 1, last_failure = ?2 WHERE receiver = ?1";
    store.execute(sql, (name, why)).map(|_| ())
}

/// Notes that a receiver refuses an alert again that it refused before. This is no failure in the row of failures that news
/// waits for.
pub(crate) fn note_refused_again(store: &Store, name: &str, why: &str) -> Result<()> {
    let sql = "UPDATE alert_cursor SET last_failure = ?2 WHERE receiver = ?1";
    store.execute(sql, (name, why)).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn alert(level: &str, change: i64, is_live: bool) -> Alert {
        let until_ns = (!is_live).then_some(7);
        Alert { id: 1, change, level: level.to_owned(), until_ns, ..Alert::default() }
    }

    #[test]
    fn a_receiver_is_told_of_what_begins_changes_its_level_and_ends() {
        for (is_live, told, change, expected) in [
            (true, None, 9, true),
            (true, Some(""), 9, true),
            (true, Some("warning"), 9, true),
            // The alert recovers, or fires again.
            (true, Some("critical"), 9, false),
            (false, Some("critical"), 9, true),
            (false, Some(""), 3, true),
            // The alert began and ended between two reads of the receiver.
            (false, None, 9, true),
            // The alert had ended when the receiver was first seen.
            (false, None, 5, false),
        ] {
            let alert = alert("critical", change, is_live);
            assert_eq!(is_due(&alert, told, 5), expected, "{alert:?} {told:?}");
        }
    }
}
