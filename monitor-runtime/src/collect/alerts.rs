//! Alerts of this process: the alert rules are evaluated on each window of 10 s once it has ended.
//!
//! Takes the rules of the store, the figures of functions, and the recorder's state; gives rows for the next batch. It
//! costs callers nothing and asks the store nothing, because the collector has all figures. Windows that passed while
//! the collector rested had no calls. Closures of the program are handed each alert at once, whether the store takes it
//! or not.

use std::collections::HashMap;

use super::breaker::State;
use super::functions::Functions;
use super::health::{FiringAlerts, Health, Level};
use super::sources::Sources;
use super::subscribe::Subscribers;
use crate::alert::{Alert, AlertChange, AlertLevel, Alerts, Measure, Recorder, Rule, Subject, WindowFigures};
use crate::batch::AlertRow;
use crate::batch::function_stats::WINDOW_NS;
use crate::growth::{MakeRoom as _, collect_most};

/// The largest number of past windows that a step evaluates. After a longer rest, such as the sleep of a machine, older
/// windows are skipped.
const LATE_WINDOWS_MAX: i64 = 60;
/// The largest number of rows that wait for a batch.
const WAITING_MAX: usize = 1000;

/// The alerts of a process.
#[derive(Debug, Default)]
pub(super) struct AlertWatch {
    alerts: Alerts,
    /// The number of the last window that the rules were evaluated on, counted from the Unix epoch.
    last: Option<i64>,
    /// The number of rows that were lost by the end of the window `last`.
    lost: u64,
    /// The number of failure kinds that the store first got after the window `last`, by function.
    new_failures: HashMap<u32, u64>,
    waiting: Vec<AlertRow>,
}

/// The facts that a step needs in addition to the figures of functions. The collector lends them for the step.
pub(super) struct Surroundings<'a, F> {
    pub(super) health: &'a Health,
    /// The resident memory of the process.
    pub(super) rss_bytes: Option<u64>,
    /// The sources of metrics, which were asked for the windows that are over.
    pub(super) sources: &'a Sources,
    /// Counts the stuck calls of each function. It is called only if a rule has that measure.
    pub(super) count_stuck: F,
    pub(super) subscribers: &'a Subscribers<Alert>,
}

impl AlertWatch {
    /// Replaces the rules.
    pub(super) fn set_rules(&mut self, rules: Vec<Rule>) {
        self.alerts.set_rules(rules);
    }

    /// Evaluates the rules on each window that has ended since the last step. The caller has counted all calls that
    /// ended by `now_ns`, in nanoseconds since the Unix epoch.
    pub(super) fn step(
        &mut self,
        now_ns: i64,
        functions: &Functions,
        surroundings: Surroundings<'_, impl FnOnce() -> HashMap<u32, u64>>,
    ) {
        let Surroundings { health, rss_bytes, sources, count_stuck, subscribers } = surroundings;
        let latest = now_ns.div_euclid(WINDOW_NS) - 1;
        let last = self.last.unwrap_or(latest - 1).clamp(latest - LATE_WINDOWS_MAX, latest);
        // If the clock was set back, the evaluation goes on from the earlier time. Windows that come a second time are
        // evaluated again.
        self.last = Some(latest);
        if last == latest {
            return;
        }
        let rows_lost = health.dropped.total();
        let lost_before = std::mem::replace(&mut self.lost, rows_lost);
        let mut new_failures = std::mem::take(&mut self.new_failures);
        if self.alerts.is_idle() {
            return;
        }
        let mut recorder = Recorder {
            is_breaker_open: health.breaker.state != State::Closed,
            is_level_lowered: matches!(health.level, Level::Degraded | Level::Minimal),
            rows_lost: rows_lost.saturating_sub(lost_before),
            cost_pct: health.cost_pct,
            rss_bytes,
        };
        let stuck = if self.alerts.uses(Measure::Stuck) { Some(count_stuck()) } else { None };
        let mut changes = Vec::new();
        for window in last + 1..=latest {
            let figures = functions.iter().filter(|function| function.counted_as == function.site.id());
            let figures = figures.map(|function| WindowFigures {
                function: function.site.id(),
                name: &function.name,
                window: function.stats.window(window * WINDOW_NS),
                stuck: stuck.as_ref().map(|stuck| stuck.get(&function.site.id()).copied().unwrap_or(0)),
                new_failures: Some(new_failures.get(&function.site.id()).copied().unwrap_or(0)),
            });
            self.alerts.step_metrics(window, |rule| sources.figure(rule, window));
            self.alerts.step(window, figures, Some(&recorder), &mut changes);
            recorder.rows_lost = 0;
            new_failures.clear();
        }
        let is_heard = subscribers.are_present();
        for change in &changes {
            self.queue(to_row(change));
            if is_heard {
                subscribers.publish(vec![to_alert(change, functions)]);
            }
        }
    }

    /// Counts kinds of failure that are new to the store. `ids` names the function of each of them.
    pub(super) fn note_new_failures(&mut self, functions: &Functions, ids: &[u32]) {
        for id in ids {
            if let Some(function) = functions.get(*id) {
                // Rules do not see a new kind for which there is no memory.
                if self.new_failures.make_room(1) {
                    *self.new_failures.entry(function.counted_as).or_default() += 1;
                }
            }
        }
    }

    /// Counts the alerts that fire, by level.
    pub(super) fn count_firing(&self) -> FiringAlerts {
        let mut firing = FiringAlerts::default();
        for alert in self.alerts.live() {
            match alert.level {
                AlertLevel::Info => firing.info += 1,
                AlertLevel::Warning => firing.warning += 1,
                AlertLevel::Critical => firing.critical += 1,
            }
        }
        firing
    }

    /// Queues the row of each firing alert again, because the store is a new one.
    pub(super) fn write_again(&mut self) {
        let rows = collect_most(self.alerts.live().map(to_row));
        for row in rows {
            self.queue(row);
        }
    }

    /// Queues a row, which replaces a waiting row of the same alert. Drops the row if too many wait or there is no
    /// memory for it.
    fn queue(&mut self, row: AlertRow) {
        let key = |row: &AlertRow| (row.rule.clone(), row.function, row.since_ns);
        self.waiting.retain(|waiting| key(waiting) != key(&row));
        if self.waiting.len() < WAITING_MAX && self.waiting.make_room(1) {
            self.waiting.push(row);
        }
    }

    /// Returns true if no row waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the rows that wait, and forgets them.
    pub(super) fn take(&mut self) -> Vec<AlertRow> {
        std::mem::take(&mut self.waiting)
    }
}

/// Returns the end of a window, which is the beginning of an alert that begins in that window.
fn end(window: i64) -> i64 {
    (window + 1).saturating_mul(WINDOW_NS)
}

/// Returns an alert as closures of the program receive it.
fn to_alert(change: &AlertChange, functions: &Functions) -> Alert {
    let function = match change.subject {
        Subject::Function(id) => functions.get(id).map(|function| function.name.clone()),
        Subject::Recorder | Subject::Metrics | Subject::Rest => None,
    };
    Alert {
        rule: change.rule.clone(),
        function,
        level: change.level,
        state: change.state,
        since_ns: end(change.since),
        until_ns: change.until.map(end),
        value: change.value,
        peak: change.peak,
        sentence: change.sentence.clone(),
    }
}

/// Returns the row of an alert.
fn to_row(change: &AlertChange) -> AlertRow {
    AlertRow {
        rule: change.rule.clone(),
        function: match change.subject {
            Subject::Function(function) => Some(function),
            Subject::Recorder | Subject::Metrics | Subject::Rest => None,
        },
        level: change.level.as_str(),
        state: change.state.as_str(),
        since_ns: end(change.since),
        until_ns: change.until.map(end),
        value: change.value,
        peak: change.peak,
        sentence: change.sentence.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::Accountant;
    use crate::alert::AlertState;
    use crate::sampling::Pattern;

    /// Makes a step of a watch whose calls are not stuck.
    fn step(watch: &mut AlertWatch, now_ns: i64, health: &Health, subscribers: &Subscribers<Alert>) {
        let count_stuck = || panic!("no rule looks at stuck calls");
        let sources = Sources::new(|_| 0, Accountant::boundless());
        let surroundings =
            Surroundings { health, rss_bytes: None, sources: &sources, count_stuck, subscribers };
        watch.step(now_ns, &Functions::default(), surroundings);
    }

    #[test]
    fn rows_that_are_lost_within_a_window_count_in_it_however_many_steps_it_has() {
        let rule = |measure: Measure| Rule {
            name: measure.as_str().to_owned(),
            level: AlertLevel::Warning,
            pattern: Pattern::new("*").unwrap(),
            measure,
            is_above: true,
            threshold: 0.0,
            for_windows: 1,
            keep_windows: 0,
            min_calls: 0,
        };
        let mut watch = AlertWatch::default();
        watch.set_rules(vec![rule(Measure::RowsLost), rule(Measure::LevelLowered)]);
        let (subscribers, mut health) = (Subscribers::new(Accountant::boundless()), Health::default());
        let (heard, arrivals) = std::sync::mpsc::channel();
        let subscription = subscribers.add(move |alerts: &[Alert]| _ = heard.send(alerts.to_vec()), |_| {});
        let mut told = Vec::new();
        for step in 0..80_i64 {
            // Each step is one second. Rows are lost in the first second of the windows 1 to 3.
            if step % 10 == 1 && (1..=3).contains(&(step / 10)) {
                health.dropped.ring_full += 5;
            }
            super::tests::step(&mut watch, step * WINDOW_NS / 10, &health, &subscribers);
            assert_eq!(watch.count_firing().warning, u64::from((30..50).contains(&step)), "{step}");
            told.extend(watch.take().into_iter().map(|row| (step, row.rule, row.state, row.value)));
        }
        let rule = "rows_lost".to_owned();
        assert_eq!(told, [(30, rule.clone(), "firing", 5.0), (50, rule, "resolved", 5.0)]);
        let heard: Vec<Alert> = arrivals.iter().take(2).flatten().collect();
        let heard: Vec<_> = heard.iter().map(|alert| (alert.state, alert.since_ns, alert.until_ns)).collect();
        let (since, until) = (3 * WINDOW_NS, 5 * WINDOW_NS);
        assert_eq!(
            heard,
            [(AlertState::Firing, since, None), (AlertState::Resolved, since, Some(until))],
            "the program hears what the store gets"
        );
        drop(subscription);
    }

    #[test]
    fn windows_that_passed_in_a_long_rest_are_passed_over() {
        let mut watch = AlertWatch::default();
        let (subscribers, health) = (Subscribers::new(Accountant::boundless()), Health::default());
        step(&mut watch, 5 * WINDOW_NS, &health, &subscribers);
        assert_eq!(watch.last, Some(4));
        step(&mut watch, 1_000_000 * WINDOW_NS, &health, &subscribers);
        assert_eq!((watch.last, watch.is_empty()), (Some(999_999), true));
    }
}
