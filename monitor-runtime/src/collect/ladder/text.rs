//! The ladder's words: fidelity, rate and reason, as people read them in events and in the view `rates`. Pure.

use crate::sampling::Source;
use crate::sampling::ladder::{Reason, Rung};

/// Returns the word for how much is recorded of a function.
pub(super) fn fidelity(rate: f64, is_counted: bool) -> &'static str {
    match is_counted {
        _ if rate >= 1.0 => "recorded",
        true => "counted",
        false => "timed",
    }
}

/// Returns the reason for a function's rate and fidelity.
pub(super) fn reason(rung: &Rung, source: Source) -> String {
    match rung.reason {
        _ if rung.tree_cap < rung.cap => {
            "what it calls is called more often than rows may be written, and trees are kept whole".to_owned()
        }
        Reason::AsRequested => format!("as asked by {}", source.as_str()),
        Reason::Rows { calls } => format!("{} calls/s are more than rows may be written", count(calls)),
        Reason::Overrun => "calls came faster than they could be collected".to_owned(),
        Reason::Overhead { percent } => format!("recording more would cost about {percent:.1} % of the CPU"),
        Reason::CountingAlone { percent } => format!("counting alone costs {percent:.1} % of the CPU"),
    }
}

/// Returns a rate with three digits.
pub(super) fn rate(rate: f64) -> String {
    if rate <= 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - rate.log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{rate:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Returns a large number, shortened.
fn count(number: f64) -> String {
    match number {
        _ if number >= 1e6 => format!("{:.1} million", number / 1e6),
        _ if number >= 1e4 => format!("{:.0} thousand", number / 1e3),
        _ => format!("{number:.0}"),
    }
}
