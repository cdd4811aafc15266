//! Figures of functions within a scope, as sums and over time.
//!
//! The figures without a scope are those of the half hours that retention has left. Figures of a scope are summed from
//! windows of 10 s. Counts are exact either way.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use monitor_runtime::store::schema::WINDOW_NS;

use super::names::Names;
use super::number::to_f64;
use super::period::Period;
use super::scope::Scope;
use super::sums::{self, Span, Sums};
use super::windows::{self, Window};
use crate::pattern::Pattern;
use crate::store::Store;

/// The figures of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// The name.
    pub(crate) name: String,
    /// The source file.
    pub(crate) file: Option<String>,
    /// The line in that file.
    pub(crate) line: Option<i64>,
    /// The label that groups functions.
    pub(crate) group: Option<String>,
    /// Calls that ended.
    pub(crate) calls: i64,
    /// Calls that failed.
    pub(crate) failed: i64,
    /// The time of all calls, in ns.
    pub(crate) total_ns: f64,
    /// The time of all calls outside of the monitored calls that they made; `None` in older stores.
    pub(crate) self_ns: Option<f64>,
    /// The median duration, in ns; `None` without timed calls.
    pub(crate) p50_ns: Option<f64>,
    /// The 95th percentile.
    pub(crate) p95_ns: Option<f64>,
    /// The 99th percentile.
    pub(crate) p99_ns: Option<f64>,
    /// The longest call.
    pub(crate) max_ns: f64,
    /// The sampling rate last in force.
    pub(crate) rate: Option<f64>,
    /// True if some calls were only counted, so the durations are estimates.
    pub(crate) is_estimated: bool,
}

impl Figures {
    /// Returns the failed calls in percent.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    pub(crate) fn failed_pct(&self) -> f64 {
        if self.calls > 0 { self.failed as f64 * 100.0 / self.calls as f64 } else { 0.0 }
    }
}

/// The column by which functions are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Key {
    /// The time of all calls.
    #[default]
    Total,
    /// The time outside of monitored calls.
    SelfTime,
    /// The number of calls.
    Calls,
    /// The number of failed calls.
    Failed,
    /// The median.
    P50,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
    /// The longest call.
    Max,
    /// The name, in alphabetical order.
    Name,
}

impl Key {
    /// All keys with the words that name them in an address.
    pub(crate) const ALL: [(Self, &'static str); 9] = [
        (Self::Total, "total"),
        (Self::SelfTime, "self"),
        (Self::Calls, "calls"),
        (Self::Failed, "failed"),
        (Self::P50, "p50"),
        (Self::P95, "p95"),
        (Self::P99, "p99"),
        (Self::Max, "max"),
        (Self::Name, "function"),
    ];

    #[expect(clippy::cast_precision_loss, reason = "an order")]
    fn weigh(self, figures: &Figures) -> f64 {
        match self {
            Self::Total => figures.total_ns,
            Self::SelfTime => figures.self_ns.unwrap_or(-1.0),
            Self::Calls => figures.calls as f64,
            Self::Failed => figures.failed as f64,
            Self::P50 => figures.p50_ns.unwrap_or(-1.0),
            Self::P95 => figures.p95_ns.unwrap_or(-1.0),
            Self::P99 => figures.p99_ns.unwrap_or(-1.0),
            Self::Max => figures.max_ns,
            Self::Name => 0.0,
        }
    }
}

/// Sorts functions by a figure, the largest first; equal ones by name.
pub(crate) fn sort(figures: &mut [Figures], key: Key) {
    figures.sort_by(|a, b| key.weigh(b).total_cmp(&key.weigh(a)).then_with(|| a.name.cmp(&b.name)));
}

/// Reads the figures of the functions that a pattern selects.
pub(crate) fn read(store: &Store, scope: &Scope, pattern: Option<&Pattern>) -> Result<Vec<Figures>> {
    let all = read_whole(store, pattern)?;
    if scope.is_whole() {
        return Ok(all);
    }
    let mut names = Names::default();
    let sums = windows::add_up(store, scope, &mut names)?;
    let known: HashMap<&str, &Figures> = all.iter().map(|figures| (figures.name.as_str(), figures)).collect();
    let has_self_times = store.has_span_blocks()?;
    let mut figures: Vec<Figures> = sums
        .into_iter()
        .filter_map(|(name, sum)| {
            let name = names.text(name);
            let is_wanted = pattern.is_none_or(|pattern| pattern.is_match(name));
            is_wanted.then(|| summarize(name, &sum, known.get(name).copied(), has_self_times))
        })
        .collect();
    figures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(figures)
}

/// Turns the sum of the windows of a function into its figures; place, group and rate are those that the store has.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn summarize(name: &str, sum: &Window, known: Option<&Figures>, has_self_times: bool) -> Figures {
    let percentile =
        |share: f64| (sum.histogram.total() > 0).then(|| sum.histogram.percentile(share, sum.max_ns) as f64);
    Figures {
        name: name.to_owned(),
        calls: to_i64(sum.calls),
        failed: to_i64(sum.failed),
        total_ns: sum.total_ns as f64,
        self_ns: has_self_times.then_some(sum.self_ns as f64),
        p50_ns: percentile(0.5),
        p95_ns: percentile(0.95),
        p99_ns: percentile(0.99),
        max_ns: sum.max_ns as f64,
        is_estimated: sum.is_estimated,
        ..known.cloned().unwrap_or_default()
    }
}

/// Reads the figures of all that the store holds.
fn read_whole(store: &Store, pattern: Option<&Pattern>) -> Result<Vec<Figures>> {
    let sums = sums::read(store, pattern, Span::Whole)?;
    Ok(sums.into_iter().map(Figures::from).collect())
}

impl From<Sums> for Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
    fn from(sums: Sums) -> Self {
        let percentile = |share: f64| sums.percentile(share).map(|ns| ns as f64);
        Self {
            calls: sums.calls,
            failed: sums.failed(),
            total_ns: to_f64(sums.total_ns),
            self_ns: sums.self_ns.map(to_f64),
            p50_ns: percentile(0.5),
            p95_ns: percentile(0.95),
            p99_ns: percentile(0.99),
            max_ns: to_f64(sums.max_ns),
            rate: sums.sample_rate,
            is_estimated: sums.is_estimated,
            file: Some(sums.file),
            line: Some(sums.line),
            group: sums.group_name,
            name: sums.function,
        }
    }
}

/// Figures over time: one value for each part of a span.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    /// The start of the first part, ns since the Unix epoch.
    pub(crate) from_ns: i64,
    /// The length of a part, in ns: a multiple of the window.
    pub(crate) step_ns: i64,
    /// Calls in each part.
    pub(crate) calls: Vec<f64>,
    /// Failed calls in each part.
    pub(crate) failed: Vec<f64>,
    /// Median, 95th and 99th percentile of each part, in ns; `None` for a part without timed calls.
    pub(crate) percentiles: [Vec<Option<f64>>; 3],
}

impl Series {
    /// Returns the calls a second in each part.
    pub(crate) fn calls_per_s(&self) -> Vec<Option<f64>> {
        let seconds = to_f64(self.step_ns).max(1.0) / 1e9;
        self.calls.iter().map(|calls| Some(calls / seconds)).collect()
    }

    /// Returns the end of the series, which is the end of its last interval, ns since the Unix epoch.
    pub(crate) fn until_ns(&self) -> i64 {
        let parts = i64::try_from(self.calls.len()).unwrap_or(i64::MAX);
        self.from_ns.saturating_add(self.step_ns.saturating_mul(parts))
    }
}

/// Gathers windows of any functions into parts of a span. A part is at least a window long.
#[expect(clippy::cast_precision_loss, reason = "counts are shown with three digits")]
pub(crate) fn gather<'a>(
    windows: impl IntoIterator<Item = &'a Window>,
    period: Period,
    parts_max: usize,
) -> Series {
    let (first, last) = period.to_windows();
    let last = last.max(first);
    let number = last.saturating_sub(first).saturating_add(1);
    let parts_max = i64::try_from(parts_max).unwrap_or(i64::MAX).max(1);
    let width = number.saturating_add(parts_max - 1) / parts_max;
    let width = width.max(1);
    let parts = usize::try_from(number.saturating_add(width - 1) / width)
        .unwrap_or(1)
        .min(usize::try_from(parts_max).unwrap_or(1));
    let mut sums: BTreeMap<usize, Window> = BTreeMap::new();
    for window in windows {
        let part = usize::try_from(window.at.saturating_sub(first) / width).unwrap_or(0);
        if window.at < first || part >= parts {
            continue;
        }
        sums.entry(part).and_modify(|sum| sum.merge(window)).or_insert_with(|| window.clone());
    }
    let mut series = Series {
        from_ns: first.saturating_mul(WINDOW_NS),
        step_ns: width.saturating_mul(WINDOW_NS),
        calls: vec![0.0; parts],
        failed: vec![0.0; parts],
        percentiles: [const { Vec::new() }; 3].map(|_: Vec<Option<f64>>| vec![None; parts]),
    };
    for (part, sum) in sums {
        series.calls[part] = sum.calls as f64;
        series.failed[part] = sum.failed as f64;
        if sum.histogram.total() > 0 {
            for (values, share) in series.percentiles.iter_mut().zip([0.5, 0.95, 0.99]) {
                values[part] = Some(sum.histogram.percentile(share, sum.max_ns) as f64);
            }
        }
    }
    series
}

/// Returns the span that windows of a scope cover within a period: the period itself as far as the store has windows.
pub(crate) fn find_covered(store: &Store, period: Period) -> Result<Option<Period>> {
    let bounds = windows::find_bounds(store, period)?;
    Ok(bounds.map(|(first, last)| Period {
        from_ns: first.saturating_mul(WINDOW_NS).max(period.from_ns),
        until_ns: last.saturating_add(1).saturating_mul(WINDOW_NS).saturating_sub(1).min(period.until_ns),
    }))
}

fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the figures are whole numbers")]
    use monitor_runtime::histogram::{self, Histogram};

    use super::*;

    fn window(at: i64, calls: u64, failed: u64, ns: u64) -> Window {
        Window {
            at,
            function: 0,
            calls,
            failed,
            total_ns: ns * calls,
            self_ns: 0,
            max_ns: ns,
            is_estimated: false,
            histogram: Histogram::from_buckets(&[(histogram::bucket(ns), calls)]),
        }
    }

    #[test]
    fn windows_are_gathered_into_parts_and_a_part_without_calls_has_no_percentile() {
        let period = Period { from_ns: 100 * WINDOW_NS, until_ns: 110 * WINDOW_NS - 1 };
        let windows = [
            window(100, 10, 1, 1000),
            window(101, 5, 0, 8000),
            window(108, 2, 2, 1000),
            window(200, 9, 9, 9),
        ];
        let series = gather(&windows, period, 5);
        assert_eq!((series.from_ns, series.step_ns), (period.from_ns, 2 * WINDOW_NS));
        assert_eq!(series.calls, [15.0, 0.0, 0.0, 0.0, 2.0]);
        assert_eq!(series.failed, [1.0, 0.0, 0.0, 0.0, 2.0]);
        assert!(series.percentiles[2][0] > Some(7000.0) && series.percentiles[0][1].is_none());
        assert_eq!(series.until_ns(), 110 * WINDOW_NS);
    }

    #[test]
    fn a_span_of_all_time_is_gathered_into_a_bounded_number_of_parts() {
        let series = gather(&[window(5, 1, 0, 10)], Period::WHOLE, 60);
        assert!(series.calls.len() <= 60);
        assert_eq!(series.calls.iter().sum::<f64>(), 1.0);
    }

    #[test]
    fn functions_are_sorted_by_any_figure_and_then_by_name() {
        let make = |name: &str, calls, failed| Figures {
            name: name.to_owned(),
            calls,
            failed,
            ..Figures::default()
        };
        let mut figures = [make("b", 1, 5), make("a", 1, 9), make("c", 7, 0)];
        sort(&mut figures, Key::Calls);
        assert_eq!(figures.each_ref().map(|f| f.name.as_str()), ["c", "a", "b"]);
        sort(&mut figures, Key::Name);
        assert_eq!(figures.each_ref().map(|f| f.name.as_str()), ["a", "b", "c"]);
        sort(&mut figures, Key::Failed);
        assert_eq!(figures[0].name, "a");
    }
}
