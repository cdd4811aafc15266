//! A rule: a measure, a threshold, and the time for which the threshold has to be passed.
//!
//! Takes texts and numbers of the table `alert_rule`, or a condition such as `p99 > 50ms for 1m`; gives rules.

use std::fmt;

use monitor_rules::duration;

use super::figures::WindowFigures;
use crate::config::{format_bytes, parse_bytes};
use crate::sampling::Pattern;

/// The length of a window, in seconds.
const WINDOW_S: i64 = 10;
/// The share of failures has to be this many times the usual one to count as a surge.
const SURGE: f64 = 3.0;
/// The longest time that a condition may have to hold.
const FOR_S_MAX: i64 = 86_400;

/// The urgency of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertLevel {
    /// The alert informs and needs no reaction.
    Info,
    /// The alert needs a look on the same day.
    Warning,
    /// The alert needs a look at once.
    Critical,
}

impl AlertLevel {
    /// All levels, the lowest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Returns the name of the level in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Returns the level with this name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// The measure of a rule: a figure of a function in a window of 10 s, or of the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is explained in the table of measures below")]
pub enum Measure {
    Errors,
    Panics,
    Cancelled,
    Failed,
    ErrorsPct,
    PanicsPct,
    CancelledPct,
    ErrorPct,
    SurgePct,
    P50,
    P95,
    P99,
    Mean,
    Max,
    CallsPerS,
    Stuck,
    NewFailure,
    BreakerOpen,
    LevelLowered,
    RowsLost,
    Cost,
    Memory,
    Metric,
    MetricP50,
    MetricP95,
    MetricP99,
    MetricMax,
}

/// Each measure with its name and its meaning.
const MEASURES: [(Measure, &str, &str); 27] = [
    (Measure::Errors, "errors", "calls of a window of 10 s that ended `error`"),
    (Measure::Panics, "panics", "calls of a window that ended `panic`"),
    (Measure::Cancelled, "cancelled", "calls of a window that ended `cancelled`"),
    (Measure::Failed, "failed", "calls of a window that ended in any of these ways"),
    (Measure::ErrorsPct, "errors_pct", "`errors` in percent of the calls"),
    (Measure::PanicsPct, "panics_pct", "`panics` in percent of the calls"),
    (Measure::CancelledPct, "cancelled_pct", "`cancelled` in percent of the calls"),
    (Measure::ErrorPct, "error_pct", "`failed` in percent of the calls, as in the view `functions`"),
    (Measure::SurgePct, "surge_pct", "`error_pct` if it is three times that of the last hour, else 0"),
    (Measure::P50, "p50_ms", "median duration"),
    (Measure::P95, "p95_ms", "95th percentile of the durations"),
    (Measure::P99, "p99_ms", "99th percentile of the durations"),
    (Measure::Mean, "mean_ms", "mean duration"),
    (Measure::Max, "max_ms", "longest duration"),
    (
        Measure::CallsPerS,
        "calls_per_s",
        "calls a second; 0 in a window without calls, which no other measure looks at",
    ),
    (
        Measure::Stuck,
        "stuck",
        "calls under way at the end of a window for 10 s, for their function's `slow` and for 20 times its p99",
    ),
    (
        Measure::NewFailure,
        "new_failure",
        "kinds of failure that the store first got in a window, once it has been in use for an hour",
    ),
    (Measure::BreakerOpen, "breaker_open", "1 while the breaker around the store is not closed, else 0"),
    (Measure::LevelLowered, "level_lowered", "1 while the level of service is not full, else 0"),
    (Measure::RowsLost, "rows_lost", "rows that were lost in a window"),
    (Measure::Cost, "cost_pct", "cost of recording in percent of one core, as in the view `health`"),
    (Measure::Memory, "rss_bytes", "resident memory of the process, as in the view `resources`"),
    (
        Measure::Metric,
        "metric",
        "metric of the program, as `metric:orders`: increments a second of a counter, value of a gauge, mean of a histogram",
    ),
    (Measure::MetricP50, "metric_p50", "median of a histogram of the program, as `metric_p50:fill`"),
    (Measure::MetricP95, "metric_p95", "95th percentile of a histogram of the program"),
    (Measure::MetricP99, "metric_p99", "99th percentile of a histogram of the program"),
    (Measure::MetricMax, "metric_max", "largest value of a histogram of the program"),
];

impl Measure {
    /// Returns the name in the column `measure`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        MEASURES.iter().find(|(measure, ..)| *measure == self).map_or("", |(_, name, _)| name)
    }

    /// Returns the measure of this name; `None` if there is none. Names of durations may be written without `_ms`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let is_named = |known: &str| known == name || known.strip_suffix("_ms") == Some(name);
        MEASURES.iter().find(|(_, known, _)| is_named(known)).map(|(measure, ..)| *measure)
    }

    /// Returns the names of all measures with their meanings.
    pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
        MEASURES.iter().map(|(_, name, text)| (*name, *text))
    }

    /// Returns true if the measure is a figure of the recorder or of the process, and not of a function.
    #[must_use]
    pub const fn is_of_recorder(self) -> bool {
        matches!(self, Self::BreakerOpen | Self::LevelLowered | Self::RowsLost | Self::Cost | Self::Memory)
    }

    /// Returns true if the measure has a value even in a window without calls, so that [`Rule::min_calls`] does not
    /// apply to it.
    pub(super) const fn counts_without_calls(self) -> bool {
        matches!(self, Self::CallsPerS | Self::Stuck | Self::NewFailure)
    }

    /// Returns true if the measure is a figure of a metric of the program, and not of a function.
    #[must_use]
    pub const fn is_of_metric(self) -> bool {
        matches!(self, Self::Metric | Self::MetricP50 | Self::MetricP95 | Self::MetricP99 | Self::MetricMax)
    }

    /// Splits a measure that names its metric, such as `metric:orders`, into the measure and the name, which may hold
    /// `*`. Returns `None` for any other text.
    #[must_use]
    pub fn split_metric(text: &str) -> Option<(Self, &str)> {
        let (measure, name) = text.trim().split_once(':')?;
        let measure = Self::from_name(measure.trim()).filter(|measure| measure.is_of_metric())?;
        Some((measure, name.trim()))
    }

    /// Returns true if the measure is a duration, in milliseconds.
    #[must_use]
    pub fn is_duration(self) -> bool {
        self.as_str().ends_with("_ms")
    }

    /// Returns true if the measure is a number of bytes.
    #[must_use]
    pub const fn is_size(self) -> bool {
        matches!(self, Self::Memory)
    }

    /// Returns the smallest and the largest value that the measure can have.
    const fn bounds(self) -> (f64, f64) {
        match self {
            Self::ErrorsPct | Self::PanicsPct | Self::CancelledPct | Self::ErrorPct | Self::SurgePct => {
                (0.0, 100.0)
            }
            Self::BreakerOpen | Self::LevelLowered => (0.0, 1.0),
            Self::Metric | Self::MetricP50 | Self::MetricP95 | Self::MetricP99 | Self::MetricMax => {
                (f64::NEG_INFINITY, f64::INFINITY)
            }
            // The cost is in percent of one core, and threads on several cores may have more.
            _ => (0.0, f64::INFINITY),
        }
    }

    /// Returns a reason for which a condition holds always or never, whatever the program does; `None` if there is none.
    fn explain_constant(self, is_above: bool, threshold: f64) -> Option<String> {
        let (least, most) = self.bounds();
        let verdict = if is_above && threshold >= most || !is_above && threshold <= least {
            "never"
        } else if is_above && threshold < least || !is_above && threshold > most {
            "always"
        } else {
            return None;
        };
        let range =
            if most.is_finite() { format!("from {least} to {most}") } else { format!("{least} or more") };
        Some(format!("it {verdict} holds, because `{}` is {range}", self.as_str()))
    }

    /// Returns the value for a function's window; `None` if the window has no value, because it has no calls or no
    /// timed ones, or because the figure was not determined. `usual_pct` is the share of failures of the last hour.
    #[must_use]
    pub fn window_value(self, figures: &WindowFigures<'_>, usual_pct: f64) -> Option<f64> {
        match self {
            Self::Stuck => return figures.stuck.map(|calls| calls as f64),
            Self::NewFailure => return figures.new_failures.map(|kinds| kinds as f64),
            _ => {}
        }
        let Some((stats, histogram)) = figures.window.filter(|(stats, _)| stats.calls > 0) else {
            return (self == Self::CallsPerS).then_some(0.0);
        };
        let failed = stats.failed();
        let percent = |number: u64| number as f64 * 100.0 / stats.calls as f64;
        let quantile =
            |share| (histogram.total() > 0).then(|| histogram.percentile(share, stats.max_ns) as f64 / 1e6);
        match self {
            Self::Errors => Some(stats.errors as f64),
            Self::Panics => Some(stats.panics as f64),
            Self::Cancelled => Some(stats.cancelled as f64),
            Self::Failed => Some(failed as f64),
            Self::ErrorsPct => Some(percent(stats.errors)),
            Self::PanicsPct => Some(percent(stats.panics)),
            Self::CancelledPct => Some(percent(stats.cancelled)),
            Self::ErrorPct => Some(percent(failed)),
            Self::SurgePct => {
                Some(percent(failed)).map(|now| if now >= SURGE * usual_pct { now } else { 0.0 })
            }
            Self::P50 => quantile(0.5),
            Self::P95 => quantile(0.95),
            Self::P99 => quantile(0.99),
            Self::Mean => Some(stats.duration_ns() as f64 / stats.calls as f64 / 1e6),
            Self::Max => Some(stats.max_ns as f64 / 1e6),
            Self::CallsPerS => Some(stats.calls as f64 / WINDOW_S as f64),
            // Stuck calls and new failures are handled above, and figures of the recorder and of metrics belong to no
            // function.
            _ => None,
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The name of the rule. Rules of one name and several levels raise one alert, which has the highest level that
    /// holds.
    pub name: String,
    /// The level of the rule's alerts.
    pub level: AlertLevel,
    /// The functions, or metrics, that the rule looks at.
    pub pattern: Pattern,
    /// The figure that the rule looks at.
    pub measure: Measure,
    /// True if the rule holds above the threshold, false if it holds below.
    pub is_above: bool,
    /// The threshold; in milliseconds if the measure is a duration.
    pub threshold: f64,
    /// The number of windows for which the rule has to hold before it fires.
    pub for_windows: i64,
    /// The number of windows for which the rule must not hold before its alert is resolved.
    pub keep_windows: i64,
    /// The least calls of a window: windows with fewer calls leave the rule's state as it is.
    pub min_calls: u64,
}

impl Rule {
    /// Returns true if the rule holds for this value.
    pub(super) fn holds(&self, value: f64) -> bool {
        if self.is_above { value > self.threshold } else { value < self.threshold }
    }

    /// Returns the condition as a person writes it: `p99_ms > 50 for 1m`.
    #[must_use]
    pub fn condition(&self) -> String {
        let sign = if self.is_above { '>' } else { '<' };
        let time = match self.for_windows * WINDOW_S {
            0 => String::new(),
            seconds if seconds % 60 == 0 => format!(" for {}m", seconds / 60),
            seconds => format!(" for {seconds}s"),
        };
        let threshold = match self.threshold as u64 {
            bytes if self.measure.is_size() && bytes > 0 && bytes.is_multiple_of(1 << 10) => {
                format_bytes(bytes)
            }
            _ => self.threshold.to_string(),
        };
        format!("{} {sign} {threshold}{time}", self.measure.as_str())
    }

    /// Returns the windows that a number of seconds takes, rounded up.
    #[must_use]
    pub fn windows_of(seconds: i64) -> i64 {
        (seconds.clamp(0, FOR_S_MAX) + WINDOW_S - 1) / WINDOW_S
    }
}

/// The error for a text that is not a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError(String);

impl fmt::Display for ConditionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConditionError {}

/// Parses a condition: a measure, `>` or `<`, a threshold, and optionally `for` and a time: `p99 > 50ms for 1m`,
/// `failed > 0`, `rss_bytes > 2GiB`, `metric:orders > 5`. Returns the measure, true for `>`, the threshold, and the
/// seconds. The name of a metric is found by [`split_metric_name`].
///
/// # Errors
/// [`ConditionError`] says which part is wrong, and what is allowed.
pub fn parse_condition(text: &str) -> Result<(Measure, bool, f64, i64), ConditionError> {
    let fail = |why: String| Err(ConditionError(format!("the condition `{}`: {why}", text.escape_debug())));
    let Some((left, sign, right)) = text
        .split_once('>')
        .map(|(left, right)| (left, '>', right))
        .or_else(|| text.split_once('<').map(|(left, right)| (left, '<', right)))
    else {
        return fail("it needs `>` or `<`, as in `p99 > 50ms for 1m`".to_owned());
    };
    let of_metric = match Measure::split_metric(left) {
        Some((_, "")) => {
            return fail("the name of the metric is missing, as in `metric:orders > 5`".to_owned());
        }
        of_metric => of_metric.map(|(measure, _)| measure),
    };
    let Some(measure) = of_metric.or_else(|| Measure::from_name(left.trim())) else {
        let names: Vec<&str> = Measure::list().map(|(name, _)| name).collect();
        return fail(format!(
            "`{}` is no measure; there are {}",
            left.trim().escape_debug(),
            names.join(", ")
        ));
    };
    let words: Vec<&str> = right.split_whitespace().collect();
    let (threshold, time) = match words.as_slice() {
        [threshold] => (*threshold, None),
        [threshold, "for", time] => (*threshold, Some(*time)),
        _ => {
            return fail(
                "behind the sign stand a number and, if you like, `for` and a time, as in `> 5 for 1m`"
                    .to_owned(),
            );
        }
    };
    let number = if measure.is_duration() {
        match parse_span(threshold) {
            Some(ms) => ms,
            None => {
                return fail(format!(
                    "`{}` is no duration such as 500us, 50ms or 2s",
                    threshold.escape_debug()
                ));
            }
        }
    } else if measure.is_size() {
        match parse_bytes(threshold) {
            Ok(bytes) => bytes as f64,
            Err(_) => {
                return fail(format!("`{}` is no size such as 512MiB or 2GB", threshold.escape_debug()));
            }
        }
    } else {
        let plain = threshold.strip_suffix('%').unwrap_or(threshold);
        match plain.parse::<f64>().ok().filter(|number| number.is_finite()) {
            Some(number) => number,
            None => return fail(format!("`{}` is no number", threshold.escape_debug())),
        }
    };
    if let Some(why) = measure.explain_constant(sign == '>', number) {
        return fail(why);
    }
    let seconds = match time.map(parse_span) {
        None => 0,
        Some(Some(ms)) if ms <= FOR_S_MAX as f64 * 1e3 => (ms / 1e3).ceil() as i64,
        Some(_) => return fail("the time is one such as 30s, 1m or 2h, a day at most".to_owned()),
    };
    Ok((measure, sign == '>', number, seconds))
}

/// Returns the name of the metric in a condition such as `metric:orders > 5 for 1m`; `None` if it names none.
#[must_use]
pub fn split_metric_name(text: &str) -> Option<&str> {
    let left = text.split(['>', '<']).next()?;
    Measure::split_metric(left).map(|(_, name)| name)
}

/// Returns the milliseconds of a text such as `50ms`, `1.5s` or `2h`; `None` for any other text.
fn parse_span(text: &str) -> Option<f64> {
    duration::parse(text).ok().map(|ns| ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::CallStats;
    use crate::histogram::Histogram;

    #[test]
    fn a_condition_says_measure_threshold_and_time() {
        for (text, expected) in [
            ("p99 > 50ms for 1m", (Measure::P99, true, 50.0, 60)),
            ("p99_ms>1.5s", (Measure::P99, true, 1500.0, 0)),
            ("error_pct > 5% for 90s", (Measure::ErrorPct, true, 5.0, 90)),
            ("failed > 0", (Measure::Failed, true, 0.0, 0)),
            ("calls_per_s < 0.5 for 2h", (Measure::CallsPerS, false, 0.5, 7200)),
            ("stuck > 0", (Measure::Stuck, true, 0.0, 0)),
            ("new_failure > 0", (Measure::NewFailure, true, 0.0, 0)),
            ("cost_pct > 2% for 5m", (Measure::Cost, true, 2.0, 300)),
            ("rss_bytes > 1GiB for 1m", (Measure::Memory, true, 1_073_741_824.0, 60)),
            ("rss_bytes > 5000", (Measure::Memory, true, 5000.0, 0)),
            ("metric:orders > 5 for 1m", (Measure::Metric, true, 5.0, 60)),
            ("metric_p99 : fill.time<0.25", (Measure::MetricP99, false, 0.25, 0)),
            ("metric > 5", (Measure::Metric, true, 5.0, 0)),
            ("metric > -5", (Measure::Metric, true, -5.0, 0)),
            ("errors_pct < 100", (Measure::ErrorsPct, false, 100.0, 0)),
            ("cost_pct > 150", (Measure::Cost, true, 150.0, 0)),
            ("breaker_open > 0", (Measure::BreakerOpen, true, 0.0, 0)),
        ] {
            assert_eq!(parse_condition(text), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("p99 50ms", "it needs `>` or `<`"),
            ("p98 > 50ms", "`p98` is no measure; there are errors, panics"),
            ("p99 > 50", "no duration such as"),
            ("failed > many", "`many` is no number"),
            ("failed > 1 since 1m", "stand a number"),
            ("failed > 1 for 2d", "a day at most"),
            ("failed > 1 for 48h", "a day at most"),
            ("failed > inf", "no number"),
            ("rss_bytes > much", "no size such as"),
            ("stuck > 1s", "no number"),
            ("p99:orders > 5ms", "`p99:orders` is no measure"),
            ("metric: > 5", "the name of the metric is missing, as in"),
            ("metric_p99 :< 5", "the name of the metric is missing, as in"),
            ("errors_pct > 500", "it never holds, because `errors_pct` is from 0 to 100"),
            ("surge_pct > 100%", "it never holds"),
            ("error_pct < 101", "it always holds"),
            ("errors > -1", "it always holds, because `errors` is 0 or more"),
            ("failed < 0", "it never holds"),
            ("calls_per_s < 0", "it never holds"),
            ("p99 < 0ms", "it never holds, because `p99_ms` is 0 or more"),
            ("level_lowered > 1", "it never holds, because `level_lowered` is from 0 to 1"),
            ("cost_pct > -2", "it always holds"),
            ("rss_bytes < 0", "it never holds"),
        ] {
            let error = parse_condition(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_condition_may_name_a_metric() {
        assert_eq!(split_metric_name("metric:orders > 5 for 1m"), Some("orders"));
        assert_eq!(split_metric_name("metric_p99: http.* <5"), Some("http.*"));
        assert_eq!(split_metric_name("metric > 5"), None);
        assert_eq!(split_metric_name("p99:orders > 5ms"), None);
    }

    #[test]
    fn failures_of_one_kind_can_be_left_out() {
        let stats = CallStats { calls: 100, errors: 1, panics: 2, cancelled: 7, ..CallStats::default() };
        let histogram = Histogram::default();
        let figures = WindowFigures::new(1, "f", Some((&stats, &histogram)));
        let value = |measure: Measure, usual| measure.window_value(&figures, usual);
        assert_eq!(value(Measure::Errors, 0.0), Some(1.0));
        assert_eq!(value(Measure::Failed, 0.0), Some(10.0));
        assert_eq!(value(Measure::ErrorPct, 0.0), Some(10.0));
        assert_eq!((value(Measure::SurgePct, 3.0), value(Measure::SurgePct, 4.0)), (Some(10.0), Some(0.0)));
        assert_eq!(value(Measure::P99, 0.0), None, "no call was timed");
        assert_eq!((value(Measure::Stuck, 0.0), value(Measure::NewFailure, 0.0)), (None, None));
        let silent =
            WindowFigures { stuck: Some(2), new_failures: Some(0), ..WindowFigures::new(1, "f", None) };
        assert_eq!(Measure::Errors.window_value(&silent, 0.0), None);
        assert_eq!(Measure::CallsPerS.window_value(&silent, 0.0), Some(0.0));
        assert_eq!(Measure::Stuck.window_value(&silent, 0.0), Some(2.0));
        assert_eq!(Measure::NewFailure.window_value(&silent, 0.0), Some(0.0));
    }

    #[test]
    fn a_condition_shows_sizes_as_people_write_them() {
        let (measure, is_above, threshold, for_s) = parse_condition("rss_bytes > 1536MiB for 2m").unwrap();
        let rule = Rule {
            name: "memory".to_owned(),
            level: AlertLevel::Warning,
            pattern: Pattern::new("*").unwrap(),
            measure,
            is_above,
            threshold,
            for_windows: Rule::windows_of(for_s),
            keep_windows: 0,
            min_calls: 0,
        };
        assert_eq!(rule.condition(), "rss_bytes > 1536MiB for 2m");
    }
}
