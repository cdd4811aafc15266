//! The sources of metrics: parts of the program that are asked for their changes when a window of 10 s is over.
//!
//! Takes the changes that sources have; gives rows for the next batch, and figures for the rules on alerts. While rows
//! wait for the store, sources are not asked: they go on adding up, so that memory stays bounded and sums stay exact.
//! It does not know what a source is: `runtime::bridge` has the list.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::events::Events;
use super::step::Mode;
use crate::accountant::{Accountant, Part};
use crate::alert::{Measure, Rule};
use crate::batch::function_stats::WINDOW_NS;
use crate::batch::{MetricKind, MetricRow, MetricStats, MetricWindowRow};
use crate::growth::MakeRoom as _;
use crate::histogram::Histogram;
use crate::limits::{METRIC_ROWS_MAX, METRIC_SERIES_MAX};
use crate::platform::clock::{Clock, monotonic};

/// A function that asks every source of the process for its changes, and returns the number of sources.
pub(crate) type AskSources = fn(&mut Sink<'_>) -> usize;

/// Takes the changes, events and sizes that a source reports when it is asked.
#[derive(Debug)]
pub struct Sink<'a> {
    start_ns: i64,
    now: Duration,
    rows: &'a mut Vec<MetricWindowRow>,
    forgotten: &'a mut Vec<Arc<MetricRow>>,
    events: &'a mut Vec<(&'static str, String)>,
    panics: &'a mut u64,
    accountant: &'static Accountant,
}

impl Sink<'_> {
    /// Adds the changes of a series since the source was last asked.
    pub fn add(&mut self, metric: &Arc<MetricRow>, stats: MetricStats) {
        if self.rows.make_room(1) {
            self.rows.push(MetricWindowRow { metric: Arc::clone(metric), start_ns: self.start_ns, stats });
        } else {
            self.accountant.note_refused(Part::Metrics);
        }
    }

    /// Notes that the source does not hold a series any more. If the series comes back, it has another id.
    pub fn forget(&mut self, metric: &Arc<MetricRow>) {
        // Rules keep the value of a series for which there is no memory here.
        if self.forgotten.make_room(1) {
            self.forgotten.push(Arc::clone(metric));
        }
    }

    /// Adds an event of the kind `metric`.
    pub fn add_event(&mut self, detail: String) {
        if self.events.make_room(1) {
            self.events.push(("metric", detail));
        }
    }

    /// Returns the time since the process began, by which a source finds the series that have been idle.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Notes the bytes that the source holds, and returns the bytes that it may hold.
    pub fn settle_memory(&mut self, bytes: usize) -> usize {
        self.accountant.set(Part::Metrics, bytes);
        self.accountant.limit(Part::Metrics)
    }

    /// Notes that a source has panicked, and is not asked any more.
    pub(crate) fn note_panic(&mut self, source: &str, why: &str) {
        *self.panics += 1;
        self.events
            .push(("recorder", format!("the source `{source}` panicked and is not asked any more: {why}")));
    }
}

/// The sources of a recorder.
#[derive(Debug)]
pub(super) struct Sources {
    ask: AskSources,
    accountant: &'static Accountant,
    /// The number of sources when they were last asked.
    count: usize,
    /// The window that was under way when sources were last asked.
    window: Option<i64>,
    waiting: Vec<MetricWindowRow>,
    /// The panics of sources.
    panics: u64,
    figures: Figures,
}

impl Sources {
    pub(super) fn new(ask: AskSources, accountant: &'static Accountant) -> Self {
        let figures = Figures::default();
        Self { ask, accountant, count: 0, window: None, waiting: Vec::new(), panics: 0, figures }
    }

    /// Asks the sources if a window is over at `now_ns`, or if somebody waits for everything to be written. The changes
    /// belong to the window that is over; if none is, they belong to the window under way.
    pub(super) fn step(&mut self, now_ns: i64, mode: Mode, clock: &Clock, events: &mut Events) {
        if !self.waiting.is_empty() {
            return;
        }
        let window = now_ns.div_euclid(WINDOW_NS);
        let is_over = self.window.is_none_or(|last| last != window);
        if !is_over && mode != Mode::Flush && self.count > 0 {
            return;
        }
        let closed = if is_over && self.window.is_some() { window - 1 } else { window };
        let (mut told, mut forgotten) = (Vec::new(), Vec::new());
        let mut sink = Sink {
            start_ns: closed * WINDOW_NS,
            now: monotonic(),
            rows: &mut self.waiting,
            forgotten: &mut forgotten,
            events: &mut told,
            panics: &mut self.panics,
            accountant: self.accountant,
        };
        self.count = (self.ask)(&mut sink);
        if self.count > 0 {
            self.figures.take(closed, &self.waiting);
            self.figures.forget(closed, &forgotten);
            self.window = Some(window);
        }
        for (kind, detail) in told {
            events.add(clock.now_ns(), kind, detail);
        }
    }

    /// Returns the time until the window under way is over; `None` without sources.
    pub(super) fn time_left(&self, now_ns: i64) -> Option<Duration> {
        let left = WINDOW_NS - now_ns.rem_euclid(WINDOW_NS);
        (self.count > 0).then(|| Duration::from_nanos(left.unsigned_abs()))
    }

    /// Returns true if no row waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the rows for the next batch.
    pub(super) fn take(&mut self) -> Vec<MetricWindowRow> {
        if self.waiting.len() <= METRIC_ROWS_MAX {
            return std::mem::take(&mut self.waiting);
        }
        let mut rows = Vec::new();
        let number = if rows.make_room(METRIC_ROWS_MAX) { METRIC_ROWS_MAX } else { 0 };
        rows.extend(self.waiting.drain(..number));
        rows
    }

    /// Puts the second half of a batch's rows before those that wait already. Returns false if the batch has no second
    /// half, or the machine has no memory for it.
    pub(super) fn postpone(&mut self, rows: &mut Vec<MetricWindowRow>) -> bool {
        let half = rows.len() / 2;
        let has_memory = half > 0 && self.waiting.make_room(rows.len() - half);
        if has_memory {
            self.waiting.splice(0..0, rows.drain(half..));
        }
        has_memory
    }

    /// Returns the number of panics of sources.
    pub(super) fn panics(&self) -> u64 {
        self.panics
    }

    /// Returns the value of a rule on metrics for a window that is over; `None` if the window has no value for it.
    pub(super) fn figure(&self, rule: &Rule, window: i64) -> Option<f64> {
        self.figures.find(rule, window)
    }
}

/// The series that sources have reported, and their changes in the latest window.
#[derive(Debug, Default)]
struct Figures {
    /// The series by kind, name and tags. A series that a source has forgotten and that came back has another id, and
    /// replaces the one that it was.
    series: HashMap<Identity, Latest>,
    window: i64,
    changes: Vec<(Arc<MetricRow>, MetricStats)>,
}

/// The identity of a series: its kind, name and tags.
#[derive(Debug)]
struct Identity(Arc<MetricRow>);

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let (Self(one), Self(other)) = (self, other);
        (one.kind, &one.name, &one.tags) == (other.kind, &other.name, &other.tags)
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self(metric) = self;
        (metric.kind, &metric.name, &metric.tags).hash(hasher);
    }
}

/// The latest value of a series.
#[derive(Debug)]
struct Latest {
    id: u32,
    /// The value of a gauge.
    value: f64,
    /// The window in which the source has forgotten the series.
    forgotten: Option<i64>,
}

/// The windows for which the value of a forgotten gauge counts: six hours, which is the default time after which the
/// store forgets the series as well. A gauge may have been forgotten because it stood still, with its value still true.
const FORGOTTEN_WINDOWS_MAX: i64 = 6 * 360;

impl Figures {
    fn take(&mut self, window: i64, rows: &[MetricWindowRow]) {
        if std::mem::replace(&mut self.window, window) != window {
            self.changes.clear();
        }
        for MetricWindowRow { metric, stats, .. } in rows.iter().filter(|row| !row.is_without_value()) {
            if self.series.len() >= 2 * METRIC_SERIES_MAX {
                self.make_room();
            }
            // Rules do not see a change for which there is no memory.
            if !(self.series.make_room(1) && self.changes.make_room(1)) {
                continue;
            }
            let latest = Latest { id: metric.id, value: stats.last.unwrap_or(0.0), forgotten: None };
            self.series.insert(Identity(Arc::clone(metric)), latest);
            if metric.kind != MetricKind::Gauge && self.changes.len() < 2 * METRIC_SERIES_MAX {
                self.changes.push((Arc::clone(metric), stats.clone()));
            }
        }
    }

    /// Makes room for another series: those that sources have forgotten go first.
    fn make_room(&mut self) {
        self.series.retain(|_, latest| latest.forgotten.is_none());
        if self.series.len() >= 2 * METRIC_SERIES_MAX {
            self.series.clear();
        }
    }

    /// Notes the series that sources have forgotten in a window, and drops those that were forgotten long ago.
    fn forget(&mut self, window: i64, forgotten: &[Arc<MetricRow>]) {
        for metric in forgotten {
            let latest = self.series.get_mut(&Identity(Arc::clone(metric)));
            if let Some(latest) = latest.filter(|latest| latest.id == metric.id) {
                latest.forgotten = Some(window);
            }
        }
        self.series.retain(|_, latest| {
            latest.forgotten.is_none_or(|since| window.saturating_sub(since) < FORGOTTEN_WINDOWS_MAX)
        });
    }

    /// Returns the value of a rule in a window for which the sources were asked: the increments a second of all
    /// counters that its pattern selects; else the value of the gauge that passes the threshold first; else the mean of
    /// the histograms' values, or a percentile of them.
    fn find(&self, rule: &Rule, window: i64) -> Option<f64> {
        if self.window != window {
            // The sources were not asked, because rows waited for the store.
            return None;
        }
        let changes = || self.changes.iter().filter(|(metric, _)| rule.pattern.matches(&metric.name));
        if rule.measure == Measure::Metric {
            let known =
                || self.series.iter().filter(|(Identity(metric), _)| rule.pattern.matches(&metric.name));
            let has = |kind: MetricKind| known().any(|(Identity(metric), _)| metric.kind == kind);
            if has(MetricKind::Counter) {
                let counters = changes().filter(|(metric, _)| metric.kind == MetricKind::Counter);
                let count = counters.fold(0_u64, |sum, (_, stats)| sum.saturating_add(stats.count));
                return Some(count as f64 / (WINDOW_NS as f64 / 1e9));
            }
            if has(MetricKind::Gauge) {
                let gauges = known().filter(|(Identity(metric), _)| metric.kind == MetricKind::Gauge);
                let values = gauges.map(|(_, latest)| latest.value);
                return values.reduce(if rule.is_above { f64::max } else { f64::min });
            }
        }
        let mut histogram = Histogram::default();
        let (mut count, mut sum, mut range) = (0_u64, 0.0, (f64::MAX, f64::MIN));
        for (_, stats) in changes().filter(|(metric, _)| metric.kind == MetricKind::Histogram) {
            histogram.merge(&Histogram::from_buckets(&stats.buckets));
            count = count.saturating_add(stats.count);
            sum += stats.sum;
            range = (
                stats.min.map_or(range.0, |min| min.min(range.0)),
                stats.max.map_or(range.1, |max| max.max(range.1)),
            );
        }
        if count == 0 {
            return None;
        }
        match rule.measure {
            Measure::MetricP50 => histogram.quantile(0.5, range),
            Measure::MetricP95 => histogram.quantile(0.95, range),
            Measure::MetricP99 => histogram.quantile(0.99, range),
            Measure::MetricMax => Some(range.1),
            _ => Some(sum / count as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::alert::AlertLevel;
    use crate::sampling::Pattern;

    fn metric(id: u32, kind: MetricKind, name: &str) -> Arc<MetricRow> {
        tagged(id, kind, name, &format!("{{\"shop\":\"{id}\"}}"))
    }

    fn tagged(id: u32, kind: MetricKind, name: &str, tags: &str) -> Arc<MetricRow> {
        let (name, tags) = (name.to_owned(), tags.to_owned());
        Arc::new(MetricRow { id, kind, name, unit: None, description: None, tags })
    }

    thread_local! {
        static ASKED: Cell<u64> = const { Cell::new(0) };
    }

    fn count_questions(sink: &mut Sink<'_>) -> usize {
        ASKED.set(ASKED.get() + 1);
        let stats = MetricStats { count: ASKED.get(), ..MetricStats::default() };
        sink.add(&metric(1, MetricKind::Counter, "questions"), stats);
        1
    }

    #[test]
    fn a_source_is_asked_when_a_window_is_over_and_when_somebody_waits_and_not_while_its_rows_wait() {
        let mut sources = Sources::new(count_questions, Accountant::boundless());
        let (clock, mut events) = (Clock::start(), Events::default());
        let mut step = |second: i64, mode: Mode| {
            sources.step(second * 1_000_000_000, mode, &clock, &mut events);
            sources.take().iter().map(|row| row.start_ns / 1_000_000_000).collect::<Vec<_>>()
        };
        assert_eq!(step(7, Mode::Usual), [0], "the first look finds the source");
        assert_eq!(step(8, Mode::Usual), [0; 0]);
        assert_eq!(step(9, Mode::Flush), [0]);
        assert_eq!(step(11, Mode::Usual), [0], "changes belong to the window that is over");
        assert_eq!(step(12, Mode::Usual), [0; 0]);
        assert_eq!(step(13, Mode::Flush), [10]);
        assert_eq!(step(59, Mode::Usual), [40], "windows that passed in a rest are passed over");
        assert_eq!(ASKED.get(), 5);
        for second in [61, 71, 81] {
            sources.step(second * 1_000_000_000, Mode::Flush, &clock, &mut events);
        }
        assert_eq!((ASKED.get(), sources.take().len()), (6, 1));
        assert_eq!(sources.time_left(81_500_000_000), Some(Duration::from_millis(8500)));
    }

    #[test]
    fn a_process_without_sources_is_asked_for_them_and_has_no_window_to_wait_for() {
        let mut sources = Sources::new(|_| 0, Accountant::boundless());
        sources.step(7, Mode::Usual, &Clock::start(), &mut Events::default());
        assert_eq!(sources.time_left(7), None);
    }

    fn rule(pattern: &str, measure: Measure, is_above: bool) -> Rule {
        Rule {
            name: "rule".to_owned(),
            level: AlertLevel::Warning,
            pattern: Pattern::new(pattern).unwrap(),
            measure,
            is_above,
            threshold: 0.0,
            for_windows: 0,
            keep_windows: 0,
            min_calls: 0,
        }
    }

    #[test]
    fn a_rule_looks_at_rates_of_counters_values_of_gauges_and_values_of_histograms() {
        let mut figures = Figures::default();
        let row = |id, kind, name: &str, stats| MetricWindowRow {
            metric: metric(id, kind, name),
            start_ns: 0,
            stats,
        };
        let count = |count| MetricStats { count, ..MetricStats::default() };
        let gauge = |last| MetricStats { last: Some(last), ..MetricStats::default() };
        let buckets = vec![(8 * 30, 3)];
        let values = MetricStats { count: 3, sum: 3.3, min: Some(1.1), max: Some(1.1), buckets, last: None };
        let rows = [
            row(1, MetricKind::Counter, "orders", count(40)),
            row(2, MetricKind::Counter, "orders", count(10)),
            row(3, MetricKind::Gauge, "queue.depth", gauge(3.0)),
            row(4, MetricKind::Gauge, "queue.depth", gauge(9.0)),
            row(5, MetricKind::Histogram, "fill", values),
        ];
        figures.take(7, &rows);
        let find = |figures: &Figures, pattern: &str, measure, is_above, window| {
            figures.find(&rule(pattern, measure, is_above), window)
        };
        let all = |figures: &Figures, window| {
            [
                find(figures, "orders", Measure::Metric, true, window),
                find(figures, "queue.*", Measure::Metric, true, window),
                find(figures, "queue.*", Measure::Metric, false, window),
                find(figures, "fill", Measure::Metric, true, window).map(|mean| (mean * 10.0).round() / 10.0),
                find(figures, "fill", Measure::MetricP99, true, window),
                find(figures, "fill", Measure::MetricMax, true, window),
                find(figures, "nothing", Measure::Metric, true, window),
            ]
        };
        assert_eq!(
            all(&figures, 7),
            [Some(5.0), Some(9.0), Some(3.0), Some(1.1), Some(1.1), Some(1.1), None]
        );
        // In a window without changes a counter stands still, a gauge keeps its value, and a histogram has no value.
        figures.take(8, &[]);
        assert_eq!(all(&figures, 8), [Some(0.0), Some(9.0), Some(3.0), None, None, None, None]);
        assert_eq!(all(&figures, 9), [None; 7], "nobody was asked");
    }

    #[test]
    fn a_gauge_that_was_forgotten_and_comes_back_is_the_one_that_it_was() {
        let mut figures = Figures::default();
        let series = |id| tagged(id, MetricKind::Gauge, "queue.depth", "{}");
        let row = |id, last| MetricWindowRow {
            metric: series(id),
            start_ns: 0,
            stats: MetricStats { last: Some(last), ..MetricStats::default() },
        };
        let deepest =
            |figures: &Figures, window| figures.find(&rule("queue.*", Measure::Metric, true), window);
        figures.take(1, &[row(1, 900.0)]);
        figures.take(200, &[]);
        figures.forget(200, &[series(1)]);
        assert_eq!(deepest(&figures, 200), Some(900.0), "it stood still");
        figures.take(300, &[row(2, 3.0)]);
        figures.forget(300, &[series(1)]);
        assert_eq!(deepest(&figures, 300), Some(3.0));
        figures.take(300 + FORGOTTEN_WINDOWS_MAX, &[]);
        figures.forget(300 + FORGOTTEN_WINDOWS_MAX, &[]);
        assert_eq!(deepest(&figures, 300 + FORGOTTEN_WINDOWS_MAX), Some(3.0), "its source has it");
    }

    #[test]
    fn a_gauge_that_is_gone_for_good_counts_for_six_hours() {
        let mut figures = Figures::default();
        let row = |id, last| MetricWindowRow {
            metric: metric(id, MetricKind::Gauge, "queue.depth"),
            start_ns: 0,
            stats: MetricStats { last: Some(last), ..MetricStats::default() },
        };
        figures.take(1, &[row(1, 900.0), row(2, 3.0)]);
        figures.forget(1, &[metric(1, MetricKind::Gauge, "queue.depth")]);
        let rule = rule("queue.*", Measure::Metric, true);
        for (window, expected) in [(2160, 900.0), (2161, 3.0)] {
            figures.take(window, &[]);
            figures.forget(window, &[]);
            assert_eq!(figures.find(&rule, window), Some(expected));
        }
    }
}
