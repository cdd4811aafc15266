//! Sampling rates: those that are in force, those that were set, and what another rate would mean.
//!
//! Takes a store; gives rates by function and process, and writes the table `sampling`. A process reads a rate that is
//! set here within two seconds, an idle process within five. The caller writes the sentences about an effect.

use anyhow::Result;

use super::events;
use super::scope::Scope;
use crate::pattern::Pattern;
use crate::report;
use crate::store::Store;

/// The rate of a function in a process.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::struct_field_names, reason = "the rate has the name of its column")]
pub(crate) struct Rate {
    /// The run of the program; `None` for a function whose process has not reported rates.
    pub(crate) process_id: Option<i64>,
    /// The function.
    pub(crate) function: String,
    /// The requested rate.
    pub(crate) asked: Option<f64>,
    /// The rate in force.
    pub(crate) rate: Option<f64>,
    /// `recorded`, `timed` or `counted`.
    pub(crate) fidelity: Option<String>,
    /// Calls a second.
    pub(crate) calls_per_s: Option<f64>,
    /// Rows a second.
    pub(crate) rows_per_s: Option<f64>,
    /// The cost of recording a call, in ns.
    pub(crate) ns_per_call: Option<f64>,
    /// The cost of recording, in percent of one core.
    pub(crate) cpu_pct: Option<f64>,
    /// The saving because less is recorded than requested, in percent of one core.
    pub(crate) saved_pct: Option<f64>,
    /// The reason for the rate.
    pub(crate) why: Option<String>,
}

/// A rate that was set for the functions of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// The pattern of whole names.
    pub(crate) pattern: String,
    /// The rate.
    pub(crate) rate: f64,
    /// The time at which the rate was set, ns since the Unix epoch.
    pub(crate) set_ns: Option<i64>,
    /// The name of whoever set the rate.
    pub(crate) set_by: Option<String>,
}

/// Reads the rates of running processes, or, if none is running, of the last one; functions without a report have the rate
/// that their process last had.
pub(crate) fn read(store: &Store, scope: &Scope, pattern: Option<&Pattern>) -> Result<Vec<Rate>> {
    let sql = "
WITH shown AS (
  SELECT process_id FROM processes WHERE ending = 'running'
  UNION SELECT MAX(process_id) FROM processes WHERE NOT EXISTS (SELECT 1 FROM processes WHERE ending = 'running')
)
SELECT r.process_id, f.name, r.asked, COALESCE(r.rate, f.sample_rate), r.fidelity, r.calls_per_s, r.rows_per_s,
  r.cpu_pct, r.saved_pct, r.why, r.ns_per_call
FROM function f LEFT JOIN rates r ON r.function = f.name AND r.process_id IN (SELECT process_id FROM shown)
ORDER BY COALESCE(r.calls_per_s, -1) DESC, f.name, r.process_id";
    let mut rates = Vec::new();
    store.read_rows(sql, [], |row| {
        let cells = report::read_cells(row, 11)?;
        let number = |at: usize| cells[at].to_number().filter(|number| number.is_finite());
        let text = |at: usize| cells[at].as_text().map(str::to_owned);
        let rate = Rate {
            process_id: cells[0].to_integer(),
            function: text(1).unwrap_or_default(),
            asked: number(2),
            rate: number(3),
            fidelity: text(4),
            calls_per_s: number(5),
            rows_per_s: number(6),
            cpu_pct: number(7),
            saved_pct: number(8),
            why: text(9),
            ns_per_call: number(10),
        };
        let is_wanted = pattern.is_none_or(|pattern| pattern.is_match(&rate.function))
            && rate.process_id.is_none_or(|process| scope.has_process(process));
        if is_wanted {
            rates.push(rate);
        }
        Ok(())
    })?;
    Ok(rates)
}

/// Returns true if a process has reported a rate below 1.
pub(crate) fn is_any_sampled(store: &Store, process_id: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM rates WHERE process_id = ?1 AND rate < 1 LIMIT 1";
    Ok(store.read_integer(sql, [process_id])?.is_some())
}

/// Reads the rates that were set, in the order in which they were set: the last one that matches a function wins.
pub(crate) fn read_settings(store: &Store) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    store.read_rows("SELECT pattern, rate, set_ns, set_by FROM sampling ORDER BY set_ns", [], |row| {
        let cells = report::read_cells(row, 4)?;
        settings.push(Setting {
            pattern: cells[0].as_text().unwrap_or_default().to_owned(),
            rate: cells[1].to_number().unwrap_or(1.0),
            set_ns: cells[2].to_integer(),
            set_by: cells[3].as_text().map(str::to_owned),
        });
        Ok(())
    })?;
    Ok(settings)
}

/// The meaning of a rate that is not set yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Preview {
    /// The number of functions whose whole name the pattern matches.
    pub(crate) functions: usize,
    /// The rows a second of the matching functions at the rates in force.
    pub(crate) rows_now: f64,
    /// The rows a second of the matching functions at the new rate, if nothing else lowers it.
    pub(crate) rows_then: f64,
}

/// Estimates what a rate would mean for the functions of a pattern: calls a second times the rate. Failed and slow calls keep
/// their rows besides.
pub(crate) fn preview(rates: &[Rate], pattern: &Pattern, rate: f64) -> Preview {
    let mut names: Vec<&str> = Vec::new();
    let mut preview = Preview::default();
    for known in rates.iter().filter(|known| pattern.is_whole_match(&known.function)) {
        names.push(&known.function);
        preview.rows_now += known.rows_per_s.unwrap_or(0.0);
        preview.rows_then += known.calls_per_s.unwrap_or(0.0) * rate;
    }
    names.sort_unstable();
    names.dedup();
    preview.functions = names.len();
    preview
}

/// Sets the rate of a pattern, and writes an event that says so, because the row shows only who set the rate last.
pub(crate) fn set(store: &Store, pattern: &Pattern, rate: f64, by: &str, now_ns: i64) -> Result<()> {
    store.write_together(|| {
        store.execute(
            "INSERT INTO sampling (pattern, rate, set_ns, set_by) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (pattern) DO UPDATE SET
                 rate = excluded.rate, set_ns = excluded.set_ns, set_by = excluded.set_by",
            (pattern.as_str(), rate, now_ns, by),
        )?;
        events::write(store, "rate", &format!("{} set to {rate} by {by}", pattern.as_str()), now_ns)
    })
}

/// Removes the rate of a pattern, and writes an event that says so, because a deleted row does not show who deleted it.
/// Returns false if none was set.
pub(crate) fn reset(store: &Store, pattern: &Pattern, by: &str, now_ns: i64) -> Result<bool> {
    store.write_together(|| {
        let is_removed = store.execute("DELETE FROM sampling WHERE pattern = ?1", [pattern.as_str()])? > 0;
        if is_removed {
            events::write(store, "rate", &format!("{} reset by {by}", pattern.as_str()), now_ns)?;
        }
        Ok(is_removed)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_preview_counts_the_functions_that_match_as_a_whole() {
        let rate = |function: &str, calls: f64, rows: f64| Rate {
            function: function.to_owned(),
            calls_per_s: Some(calls),
            rows_per_s: Some(rows),
            ..Rate::default()
        };
        let rates = [
            rate("shop::pay", 1000.0, 1000.0),
            rate("shop::pay", 200.0, 200.0),
            rate("shop::list", 9.0, 9.0),
        ];
        let of = |text: &str| preview(&rates, &text.parse().unwrap(), 0.1);
        assert_eq!(of("shop::pay"), Preview { functions: 1, rows_now: 1200.0, rows_then: 120.0 });
        assert_eq!(of("shop::*").functions, 2);
        assert_eq!(of("pay"), Preview::default());
    }
}
