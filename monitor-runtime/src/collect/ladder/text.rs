//! The words for a function's fidelity, rate and reason, as people read them in events and in the view `rates`. Takes
//! costs in ns per second; gives texts with costs in percent of one core. Pure.

use crate::sampling::Source;
use crate::sampling::ladder::{Bounds, CORE, Depth, Reason, Rung, Saving};

/// The figures of a look that the text of a reason contains.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReasonInputs<'a> {
    pub(super) bounds: &'a Bounds,
    /// The budget in ns per second; infinite without a bound.
    pub(super) budget: f64,
    /// The cost of recording the function, in ns per second.
    pub(super) cost: f64,
    pub(super) calls_per_s: f64,
    /// The requested rate, and who requested it.
    pub(super) requested: (f64, Source),
    /// The function whose rows are too many, if the reason is [`Reason::Rows`].
    pub(super) too_many_of: Option<&'a str>,
}

/// Returns the word for how much is recorded of a function.
pub(super) fn fidelity(rate: f64, depth: Depth) -> &'static str {
    match depth {
        Depth::Whole if rate >= 1.0 => "recorded",
        Depth::Whole | Depth::TimedOnly => "timed",
        Depth::Counted => "counted",
    }
}

/// Returns the reason for a function's rate and fidelity.
pub(super) fn reason(rung: &Rung, inputs: &ReasonInputs<'_>) -> String {
    let allowed = format!(
        "of {} allowed (MONITOR_MAX_OVERHEAD={}%)",
        percent(inputs.budget),
        number(inputs.bounds.overhead * 100.0)
    );
    let in_force = rate(inputs.requested.0.min(rung.cap));
    let mut text = match rung.reason {
        Reason::AsRequested => format!("{}; costs {} of a core", as_requested(inputs), percent(inputs.cost)),
        Reason::Rising => {
            format!(
                "rate {in_force}, and rises, because there is room; costs {} of a core",
                percent(inputs.cost)
            )
        }
        Reason::Overrun => format!(
            "its calls came faster than they could be collected: rate {in_force} until the next look, at most a second"
        ),
        Reason::Rows { rows, .. } => format!(
            "keeps {in_force} of its traces, because all of them would leave {} rows/s of {}, of {} allowed \
             (MONITOR_MAX_RATE={})",
            count(rows),
            inputs.too_many_of.unwrap_or("a function"),
            count(inputs.bounds.rows_per_s),
            inputs.bounds.rows_per_s
        ),
        Reason::Trees(Saving { would_cost, saved }) => format!(
            "keeps {in_force} of its traces, because all of them would cost {} of a core, {allowed}; saves {}",
            percent(would_cost),
            percent(saved)
        ),
        Reason::TimedOnly(Saving { would_cost, saved }) => format!(
            "has no rows in traces of others, because rows of its {} calls/s would cost {} of a core, {allowed}; \
             saves {}",
            count(inputs.calls_per_s),
            percent(would_cost),
            percent(saved)
        ),
        Reason::Counted(Saving { would_cost, saved }) => format!(
            "only counted, because timing its {} calls/s would cost {} of a core, {allowed}; counting them costs {}, \
             which nobody else is lowered for, and saves {}",
            count(inputs.calls_per_s),
            percent(would_cost),
            percent(would_cost - saved),
            percent(saved)
        ),
        Reason::CountingAlone(Saving { would_cost, saved }) => format!(
            "counting its {} calls/s alone costs {} of a core, {allowed}, and nothing cheaper exists: take the \
             attribute off; saves {}",
            count(inputs.calls_per_s),
            percent(would_cost - saved),
            percent(saved)
        ),
    };
    if !rung.captures {
        text.push_str("; arguments of calls without a row are not captured");
    }
    text
}

/// Returns the words for who requested the rate.
fn as_requested(inputs: &ReasonInputs<'_>) -> String {
    let (requested, source) = inputs.requested;
    match source {
        Source::Default if requested >= 1.0 => "all calls, as by default".to_owned(),
        Source::Default => format!("rate {}, by MONITOR_SAMPLE", rate(requested)),
        Source::Live => format!("rate {}, set while the program runs", rate(requested)),
        Source::Rule => format!("rate {}, by a pattern of MONITOR_SAMPLE", rate(requested)),
        Source::Attribute => format!("rate {}, by the attribute's `sample`", rate(requested)),
    }
}

/// Returns a cost in ns per second as a share of one core.
fn percent(ns_per_s: f64) -> String {
    let percent = percent_of_core(ns_per_s);
    match percent {
        _ if percent.is_infinite() => "any %".to_owned(),
        _ if percent < 0.005 => "under 0.01 %".to_owned(),
        _ if percent < 1.0 => format!("{percent:.2} %"),
        _ if percent < 10.0 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// Returns a cost in ns per second as the percentage of one core.
pub(super) fn percent_of_core(ns_per_s: f64) -> f64 {
    100.0 * ns_per_s / CORE
}

/// Returns a number without zeros at its end.
fn number(number: f64) -> String {
    rate(number)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(reason: Reason) -> Rung {
        let mut rung = Rung::default();
        rung.cut(0.25, reason);
        rung
    }

    #[test]
    fn every_cost_is_a_share_of_one_core_beside_what_is_allowed() {
        let bounds = Bounds { rows_per_s: 10_000.0, overhead: 0.01 };
        let inputs = ReasonInputs {
            bounds: &bounds,
            budget: 1e7,
            cost: 2.4e5,
            calls_per_s: 5.1e6,
            requested: (1.0, Source::Default),
            too_many_of: Some("db::query"),
        };
        let saving = Saving { would_cost: 1.26e8, saved: 1.16e8 };
        for (reason_of, expected) in [
            (Reason::AsRequested, "all calls, as by default; costs 0.02 % of a core"),
            (
                Reason::Counted(saving),
                "only counted, because timing its 5.1 million calls/s would cost 13 % of a core, of 1.0 % allowed \
                 (MONITOR_MAX_OVERHEAD=1%); counting them costs 1.0 %, which nobody else is lowered for, and saves 12 %",
            ),
            (
                Reason::Trees(saving),
                "keeps 0.25 of its traces, because all of them would cost 13 % of a core, of 1.0 % allowed \
                 (MONITOR_MAX_OVERHEAD=1%); saves 12 %",
            ),
            (
                Reason::Rows { function: 0, rows: 42_000.0 },
                "keeps 0.25 of its traces, because all of them would leave 42 thousand rows/s of db::query, of \
                 10 thousand allowed (MONITOR_MAX_RATE=10000)",
            ),
        ] {
            assert_eq!(reason(&lowered(reason_of), &inputs), expected);
        }
        let mut rung = lowered(Reason::AsRequested);
        rung.captures = false;
        let inputs = ReasonInputs { requested: (0.1, Source::Rule), ..inputs };
        let expected = "rate 0.1, by a pattern of MONITOR_SAMPLE; costs 0.02 % of a core; arguments of calls without \
                        a row are not captured";
        assert_eq!(reason(&rung, &inputs), expected);
    }
}
