//! The calls that a trace lacks, and why: functions that are only counted or timed have no rows, but the store knows who
//! calls them.
//!
//! Takes the process of a trace and the functions in it; gives sentences. A function that is recorded lacks nothing: if it
//! has no row, it was not called.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::model::edges;
use crate::store::Store;
use crate::units;

/// Returns a sentence for each pair of a function in the trace and a function that it calls and that has no rows below
/// it.
pub(super) fn describe(store: &Store, process_id: i64, functions: &BTreeSet<&str>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for edge in edges::read_unrecorded(store, process_id)? {
        let (above, below) = (edge.caller.as_str(), edge.callee.as_str());
        let fidelity = edge.fidelity.as_str();
        // A row of a function that is only counted proves that it was called in this trace, even if the row of its caller
        // is lost.
        let is_shown = functions.contains(above) || fidelity == "counted" && functions.contains(below);
        if is_shown
            && let Some(why) = explain(fidelity, edge.calls_per_s, edge.rate, functions.contains(below))
        {
            lines.push(format!("below {above} · {below}: {why}"));
        }
    }
    Ok(lines)
}

/// Returns the reason why calls of a function have no rows, or `None` if its rows are there.
fn explain(fidelity: &str, calls_per_s: f64, rate: f64, has_rows: bool) -> Option<String> {
    let speed = format!("{}/s", units::format_count(round_to_two_digits(calls_per_s)));
    match fidelity {
        "counted" => Some(format!("called here, only counted ({speed})")),
        _ if has_rows => None,
        _ if rate > 0.0 => Some(format!(
            "may be called here, timed with a row at rate {} ({speed})",
            units::format_rate(rate)
        )),
        _ => Some(format!("called here, only timed ({speed})")),
    }
}

/// Rounds a number to two digits, because a speed that is measured over a second says no more.
fn round_to_two_digits(number: f64) -> f64 {
    if number < 1.0 {
        return number;
    }
    let scale = 10_f64.powf(number.log10().floor() - 1.0);
    (number / scale).round() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fidelity_has_its_reason() {
        let expected = [
            (("counted", 24.3e6, 0.0, true), Some("called here, only counted (24.0 M/s)")),
            (("timed", 5_120.0, 0.0, false), Some("called here, only timed (5100/s)")),
            (("timed", 50.0, 0.01, false), Some("may be called here, timed with a row at rate 0.01 (50/s)")),
            (("timed", 50.0, 0.01, true), None),
        ];
        for ((fidelity, speed, rate, has_rows), why) in expected {
            assert_eq!(explain(fidelity, speed, rate, has_rows).as_deref(), why);
        }
    }
}
