//! The last ten minutes of each function against the hour before, and the last ten seconds as rates.
//!
//! The figures come from windows of 10 s, so that the time does not grow with the number of calls. The present
//! window is not over: a rate takes the missing part from the window before.

#![allow(clippy::single_match_else, reason = "both cases are equal")]

use std::collections::HashMap;

use anyhow::Result;
use monitor_runtime::batch::CallStats;
use monitor_runtime::store::schema::WINDOW_NS;

use super::number::to_f64;
use super::window_rows::{self, Grain, Wanted};
use crate::store::Store;

/// The minutes that a trend shows, and the windows of a minute.
const MINUTES: usize = 10;
const WINDOWS_OF_A_MINUTE: i64 = 6;
/// The windows of the hour before.
const WINDOWS_OF_AN_HOUR: i64 = 360;
/// The fewest calls on each side of a change.
const CALLS_MIN: f64 = 30.0;

/// A function in the last ten minutes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recent {
    /// The calls in each of the last ten minutes, the present minute last.
    pub(crate) calls: [f64; MINUTES],
    /// The calls of the hour before.
    pub(crate) calls_before: f64,
    /// The time of all calls of the ten minutes and of the hour before, in ns.
    pub(crate) time_ns: [f64; 2],
}

impl Recent {
    /// Returns the change of the mean duration in percent, the ten minutes against the hour before; `None` with few calls.
    pub(crate) fn change_pct(&self) -> Option<f64> {
        let calls: f64 = self.calls.iter().sum();
        if calls < CALLS_MIN || self.calls_before < CALLS_MIN || self.time_ns[1] <= 0.0 {
            return None;
        }
        Some((self.time_ns[0] / calls / (self.time_ns[1] / self.calls_before) - 1.0) * 100.0)
    }

    /// Adds the figures of a function of the same name.
    fn merge(&mut self, other: &Self) {
        self.calls.iter_mut().zip(other.calls).for_each(|(own, other)| *own += other);
        self.calls_before += other.calls_before;
        self.time_ns.iter_mut().zip(other.time_ns).for_each(|(own, other)| *own += other);
    }
}

/// Reads the last ten minutes, and the hour before, of each function by name.
pub(crate) fn read(stores: &[&Store], now_ns: i64) -> Result<HashMap<String, Recent>> {
    let last = now_ns.div_euclid(WINDOW_NS);
    let first = last - i64::try_from(MINUTES).unwrap_or(0) * WINDOWS_OF_A_MINUTE + 1;
    let mut found: HashMap<String, Recent> = HashMap::new();
    for store in stores {
        if !has_shown_windows(store)? {
            continue;
        }
        let mut by_id: HashMap<i64, Recent> = HashMap::new();
        let wanted = |span, grain| Wanted { span, functions: None, processes: None, grain };
        let add_up_time = |stats: &CallStats| {
            to_f64(stats.total_ns.saturating_add(stats.nested_ns).saturating_add(stats.cancelled_ns))
        };
        window_rows::visit(store, wanted((first - WINDOWS_OF_AN_HOUR, first - 1), Grain::Sum), |row| {
            let recent = by_id.entry(row.function).or_default();
            recent.calls_before += to_f64(row.stats.calls);
            recent.time_ns[1] += add_up_time(&row.stats);
        })?;
        window_rows::visit(store, wanted((first, last), Grain::Window), |row| {
            let recent = by_id.entry(row.function).or_default();
            let minute = usize::try_from((row.at - first) / WINDOWS_OF_A_MINUTE).unwrap_or(0);
            recent.calls[minute.min(MINUTES - 1)] += to_f64(row.stats.calls);
            recent.time_ns[0] += add_up_time(&row.stats);
        })?;
        store.read_rows("SELECT id, name FROM function", [], |row| {
            if let Some(recent) = by_id.remove(&row.get(0)?) {
                let name = String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?);
                found.entry(name.into_owned()).or_default().merge(&recent);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Returns false for a store of the first version, whose windows lack what the figures rest on.
fn has_shown_windows(store: &Store) -> Result<bool> {
    const FIRST_VERSION: i64 = 2;
    Ok(store.read_version()? >= FIRST_VERSION)
}

/// The rates of a function over the last ten seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rates {
    /// Calls and failed calls a second.
    pub(crate) calls_per_s: f64,
    pub(crate) failed_per_s: f64,
}

/// Reads the rates of the last ten seconds of each function by name. The calls of the window before the present one
/// count in proportion to the part of the window that lies within the ten seconds.
pub(crate) fn read_rates(stores: &[&Store], now_ns: i64) -> Result<HashMap<String, Rates>> {
    let last = now_ns.div_euclid(WINDOW_NS);
    let mut found: HashMap<String, Rates> = HashMap::new();
    for store in stores {
        if !has_shown_windows(store)? {
            continue;
        }
        let sql = "SELECT f.name, w.\"window\", w.calls, w.errors + w.panics + w.cancelled
                   FROM latency_window w JOIN function f ON f.id = w.function_id
                   WHERE w.\"window\" BETWEEN ?1 AND ?2 AND w.shown = 1";
        store.read_rows(sql, [last - 1, last], |row| {
            let rates =
                found.entry(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned()).or_default();
            let share = share_within(row.get(1)?, now_ns);
            rates.calls_per_s += row.get::<_, f64>(2)? * share / WINDOW_SECONDS;
            rates.failed_per_s += row.get::<_, f64>(3)? * share / WINDOW_SECONDS;
            Ok(())
        })?;
    }
    Ok(found)
}

/// The seconds of a window.
#[expect(clippy::cast_precision_loss, reason = "a window has ten seconds")]
const WINDOW_SECONDS: f64 = WINDOW_NS as f64 / 1e9;

/// Returns the share of a window that lies within the last ten seconds.
#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share_within(window: i64, now_ns: i64) -> f64 {
    match now_ns.div_euclid(WINDOW_NS) - window {
        0 => 1.0,
        1 => 1.0 - now_ns.rem_euclid(WINDOW_NS) as f64 / WINDOW_NS as f64,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_needs_calls_on_both_sides() {
        let recent = |calls: f64, before: f64| Recent {
            calls: std::array::from_fn(|minute| if minute == 3 { calls } else { 0.0 }),
            calls_before: before,
            time_ns: [calls * 18.0, before * 10.0],
        };
        assert!((recent(30.0, 300.0).change_pct().unwrap_or(0.0) - 80.0).abs() < 1e-9);
        assert_eq!(recent(29.0, 300.0).change_pct(), None);
        assert_eq!(recent(30.0, 29.0).change_pct(), None);
    }

    #[test]
    fn the_window_before_counts_by_its_part() {
        let now = 100 * WINDOW_NS + WINDOW_NS / 4;
        let shares = [100, 99, 98, 101].map(|window| share_within(window, now).to_bits());
        assert_eq!(shares, [1.0_f64, 0.75, 0.0, 0.0].map(f64::to_bits));
    }
}
