//! All rules over all functions: the alerts that fire, and those that changed with a window.
//!
//! Takes the figures of one window after the other; gives changes. Rules of one name raise one alert for a subject. The
//! alert has the highest level whose rule fires. The number of alerts is bounded: beyond the bound, one alert for each
//! rule counts the other functions.

use std::collections::{BTreeMap, HashMap};

use super::figures::{Recorder, Usual, WindowFigures};
use super::machine::State;
use super::rule::{AlertLevel, Measure, Rule};
use super::state::AlertState;
use crate::growth::{MakeRoom as _, collect_most};
use crate::limits::ALERTS_MAX;

/// The subject of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A function, by its id in the process.
    Function(u32),
    /// The recorder.
    Recorder,
    /// The metrics that a rule looks at.
    Metrics,
    /// The functions beyond the bound on the number of alerts.
    Rest,
}

/// An alert that began, changed or ended.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertChange {
    /// The name of the rule.
    pub rule: String,
    /// The subject of the alert.
    pub subject: Subject,
    /// The level of the alert.
    pub level: AlertLevel,
    /// The state of the alert.
    pub state: AlertState,
    /// The window in which the alert began to fire.
    pub since: i64,
    /// The window in which the alert was resolved.
    pub until: Option<i64>,
    /// The last value of the measure.
    pub value: f64,
    /// The most extreme value since the rule began to hold.
    pub peak: f64,
    /// The alert in a sentence.
    pub sentence: String,
}

/// A rule that is not inactive for a subject.
#[derive(Debug, Clone)]
struct Track {
    state: State,
    name: String,
    value: f64,
    peak: f64,
}

/// All rules, with their states and the alerts that fire.
#[derive(Debug, Clone, Default)]
pub struct Alerts {
    rules: Vec<Rule>,
    /// Rules that are not inactive, by index in `rules` and by subject.
    tracks: BTreeMap<(usize, Subject), Track>,
    /// Alerts that fire, as they were last reported, by rule and subject.
    live: BTreeMap<(String, Subject), AlertChange>,
    usual: HashMap<u32, Usual>,
    /// The indices of the rules that look at a function, by the function's id.
    matching: HashMap<u32, Vec<usize>>,
}

impl Alerts {
    /// Replaces the rules. A rule that stays as it is keeps its state; the alert of a rule that is gone is resolved
    /// with the next window.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        let before = std::mem::take(&mut self.tracks);
        for ((at, subject), track) in before {
            if let Some(now_at) = rules.iter().position(|rule| *rule == self.rules[at]) {
                self.tracks.insert((now_at, subject), track);
            }
        }
        self.rules = rules;
        self.matching.clear();
    }

    /// Returns true if a rule looks at this measure.
    #[must_use]
    pub fn uses(&self, measure: Measure) -> bool {
        self.rules.iter().any(|rule| rule.measure == measure)
    }

    /// Returns true if there is no rule and no alert.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.rules.is_empty() && self.live.is_empty()
    }

    /// Returns the alerts that fire, as they were last reported.
    pub fn live(&self) -> impl Iterator<Item = &AlertChange> {
        self.live.values()
    }

    /// Evaluates the rules on the figures of a closed window, and adds the alerts that changed to `changes`. Without
    /// `recorder`, the rules on the recorder keep their state.
    pub fn step<'a>(
        &mut self,
        window: i64,
        functions: impl Iterator<Item = WindowFigures<'a>>,
        recorder: Option<&Recorder>,
        changes: &mut Vec<AlertChange>,
    ) {
        for figures in functions {
            self.step_function(window, &figures);
        }
        if let Some(recorder) = recorder {
            self.step_recorder(window, recorder);
        }
        self.report_changes(window, changes);
    }

    fn step_function(&mut self, window: i64, figures: &WindowFigures<'_>) {
        let WindowFigures { function, name, window: found, .. } = *figures;
        let rules = &self.rules;
        if !(self.matching.make_room(1) && self.usual.make_room(1)) {
            // Without memory to look at the function, its alerts stay as they are.
            return;
        }
        let matching = self.matching.entry(function).or_insert_with(|| {
            let of_function = |rule: &Rule| {
                !rule.measure.is_of_recorder() && !rule.measure.is_of_metric() && rule.pattern.matches(name)
            };
            (0..rules.len()).filter(|at| of_function(&rules[*at])).collect()
        });
        let usual_pct = self.usual.get(&function).map_or(0.0, Usual::failed_pct);
        for at in matching.iter().copied() {
            let rule = &rules[at];
            let is_too_few = found.is_some_and(|(stats, _)| stats.calls < rule.min_calls);
            let value = if is_too_few && !rule.measure.counts_without_calls() {
                None
            } else {
                rule.measure.window_value(figures, usual_pct)
            };
            advance(&mut self.tracks, rule, (at, Subject::Function(function)), name, window, value);
        }
        if let Some((stats, _)) = found {
            self.usual.entry(function).or_default().add(window, stats);
        }
    }

    /// Evaluates the rules on metrics; [`Alerts::step`] for the same window then reports what changed. `value` returns
    /// the value of a rule in the window, or `None` if the window has no value for it.
    pub fn step_metrics(&mut self, window: i64, value: impl Fn(&Rule) -> Option<f64>) {
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.measure.is_of_metric()) {
            let name = rule.pattern.as_str();
            advance(&mut self.tracks, rule, (at, Subject::Metrics), name, window, value(rule));
        }
    }

    fn step_recorder(&mut self, window: i64, recorder: &Recorder) {
        for (at, rule) in self.rules.iter().enumerate() {
            let value = match rule.measure {
                Measure::BreakerOpen => Some(f64::from(u8::from(recorder.is_breaker_open))),
                Measure::LevelLowered => Some(f64::from(u8::from(recorder.is_level_lowered))),
                Measure::RowsLost => Some(recorder.rows_lost as f64),
                Measure::Cost => Some(recorder.cost_pct),
                Measure::Memory => recorder.rss_bytes.map(|bytes| bytes as f64),
                _ => continue,
            };
            let name = if rule.measure == Measure::Memory { "the process" } else { "the recorder" };
            advance(&mut self.tracks, rule, (at, Subject::Recorder), name, window, value);
        }
    }

    /// Compares the alerts that fire with those that were reported, and adds the differences to `changes`.
    fn report_changes(&mut self, window: i64, changes: &mut Vec<AlertChange>) {
        let firing = self.bound(self.collect_firing());
        if !changes.make_room(self.live.len() + firing.len()) {
            // The differences are reported with the next window.
            return;
        }
        let gone = collect_most(self.live.keys().filter(|key| !firing.contains_key(*key)).cloned());
        for key in gone {
            if let Some(last) = self.live.remove(&key) {
                let is_rule_left = self.rules.iter().any(|rule| rule.name == last.rule);
                let why = if is_rule_left { "resolved" } else { "resolved, because its rule is gone" };
                let sentence = format!("{why}: {}", last.sentence);
                changes.push(AlertChange {
                    state: AlertState::Resolved,
                    until: Some(window),
                    sentence,
                    ..last
                });
            }
        }
        for (key, now) in firing {
            let told = self.live.get(&key);
            let is_new = told
                .is_none_or(|told| (told.level, told.state, told.since) != (now.level, now.state, now.since));
            if is_new {
                changes.push(now.clone());
                self.live.insert(key, now);
            }
        }
    }

    /// Returns the alerts that fire or recover now. Rules of one name and subject give one alert, that of the highest
    /// level.
    fn collect_firing(&self) -> BTreeMap<(String, Subject), AlertChange> {
        let mut firing: BTreeMap<(String, Subject), AlertChange> = BTreeMap::new();
        for ((at, subject), track) in &self.tracks {
            let Some(since) = track.state.firing_since() else { continue };
            let rule = &self.rules[*at];
            let is_firing = matches!(track.state, State::Firing { .. });
            let state = if is_firing { AlertState::Firing } else { AlertState::Recovering };
            let key = (rule.name.clone(), *subject);
            let known = firing.get(&key);
            if known.is_some_and(|known| known.level >= rule.level) {
                continue;
            }
            // If the level of an alert changes, the alert stays the same: it began when the first of its rules fired.
            let since = self.live.get(&key).map_or(since, |live| live.since.min(since));
            let change = AlertChange {
                rule: rule.name.clone(),
                subject: *subject,
                level: rule.level,
                state,
                since,
                until: None,
                value: track.value,
                peak: track.peak,
                sentence: describe(rule, track),
            };
            firing.insert(key, change);
        }
        firing
    }

    /// Combines the alerts beyond [`ALERTS_MAX`] into one alert for each rule. Alerts that were already reported stay
    /// separate.
    fn bound(
        &self,
        firing: BTreeMap<(String, Subject), AlertChange>,
    ) -> BTreeMap<(String, Subject), AlertChange> {
        if firing.len() <= ALERTS_MAX {
            return firing;
        }
        let (mut kept, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            firing.into_iter().partition(|(key, _)| self.live.contains_key(key));
        for ((rule, subject), change) in others {
            if kept.len() < ALERTS_MAX {
                kept.insert((rule, subject), change);
                continue;
            }
            let rest = kept.entry((rule, Subject::Rest)).or_insert_with(|| {
                let live = self.live.get(&(change.rule.clone(), Subject::Rest));
                let since = live.map_or(change.since, |live| live.since);
                AlertChange {
                    subject: Subject::Rest,
                    state: AlertState::Firing,
                    since,
                    value: 0.0,
                    ..change.clone()
                }
            });
            rest.level = rest.level.max(change.level);
            rest.value += 1.0;
            rest.peak = rest.value;
            rest.sentence = format!("{}: the same holds for {} more functions", rest.rule, rest.value);
        }
        kept
    }
}

/// Steps a rule's state for a subject by its value in a window, and removes the state once it is inactive.
fn advance(
    tracks: &mut BTreeMap<(usize, Subject), Track>,
    rule: &Rule,
    key: (usize, Subject),
    name: &str,
    window: i64,
    value: Option<f64>,
) {
    let holds = value.map(|value| rule.holds(value));
    let times = (rule.for_windows, rule.keep_windows);
    let Some(track) = tracks.get_mut(&key) else {
        if let (Some(value), Some(true)) = (value, holds) {
            let state = State::default().step(times, window, holds);
            tracks.insert(key, Track { state, name: name.to_owned(), value, peak: value });
        }
        return;
    };
    track.state = track.state.step(times, window, holds);
    if let Some(value) = value {
        track.value = value;
        track.peak = if rule.is_above { track.peak.max(value) } else { track.peak.min(value) };
    }
    if track.state == State::Inactive {
        tracks.remove(&key);
    }
}

/// Describes an alert in a sentence: `shop::pay: p99_ms is 62.4, the rule is p99_ms > 50 for 1m`.
fn describe(rule: &Rule, track: &Track) -> String {
    let what = match rule.measure {
        Measure::BreakerOpen => {
            "the breaker around the store is not closed, so nothing is written".to_owned()
        }
        Measure::LevelLowered => "the level of service is not full".to_owned(),
        Measure::RowsLost => format!("{} rows were lost; counts are exact", track.value),
        Measure::Stuck if track.value < 1.0 => "no call is under way for so long any more".to_owned(),
        Measure::Stuck if track.value < 2.0 => {
            "a call is under way for far longer than its calls take".to_owned()
        }
        Measure::Stuck => format!("{} calls are under way for far longer than its calls take", track.value),
        Measure::NewFailure if track.value < 1.0 => "a kind of failure was new".to_owned(),
        Measure::NewFailure if track.value < 2.0 => "a kind of failure is new".to_owned(),
        Measure::NewFailure => format!("{} kinds of failure are new", track.value),
        Measure::Cost => format!("recording costs {} % of a core", round(track.value)),
        Measure::Memory => format!("it holds {:.0} MiB of memory", track.value / f64::from(1 << 20)),
        measure => format!("{} is {}", measure.as_str(), round(track.value)),
    };
    format!("{}: {what} (rule {}: {})", track.name, rule.name, rule.condition())
}

/// Rounds a value to two decimals, or to an integer if it is at least 100.
fn round(value: f64) -> f64 {
    let digits = if value.abs() >= 100.0 { 1.0 } else { 100.0 };
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::CallStats;
    use crate::histogram::Histogram;
    use crate::sampling::Pattern;

    fn rule(name: &str, level: AlertLevel, measure: Measure, threshold: f64) -> Rule {
        Rule {
            name: name.to_owned(),
            level,
            pattern: Pattern::new("*").unwrap(),
            measure,
            is_above: true,
            threshold,
            for_windows: 1,
            keep_windows: 1,
            min_calls: 0,
        }
    }

    fn failing(calls: u64, errors: u64) -> CallStats {
        CallStats { calls, errors, ..CallStats::default() }
    }

    /// Steps through windows with these calls and errors of one function; `None` without calls.
    fn run(alerts: &mut Alerts, first: i64, windows: &[Option<(u64, u64)>]) -> Vec<String> {
        let (mut texts, histogram) = (Vec::new(), Histogram::default());
        for (window, figures) in (first..).zip(windows) {
            let stats = figures.map(|(calls, errors)| failing(calls, errors));
            let found = stats.as_ref().map(|stats| (stats, &histogram));
            let figures = WindowFigures::new(1, "shop::pay", found);
            let mut changes = Vec::new();
            alerts.step(window, [figures].into_iter(), Some(&Recorder::default()), &mut changes);
            let text = |change: &AlertChange| format!("{window} {} {}", change.state, change.level.as_str());
            texts.extend(changes.iter().map(text));
        }
        texts
    }

    #[test]
    fn levels_of_one_rule_are_one_alert_with_the_highest_that_fires() {
        let mut alerts = Alerts::default();
        alerts.set_rules(vec![
            rule("failures", AlertLevel::Warning, Measure::ErrorPct, 5.0),
            rule("failures", AlertLevel::Critical, Measure::ErrorPct, 50.0),
        ]);
        let (some, many, none) = (Some((100, 10)), Some((100, 90)), Some((100, 0)));
        let told = run(&mut alerts, 0, &[none, some, some, many, many, some, some, None, none, none]);
        let expected = [
            "2 firing warning",
            "4 firing critical",
            "5 recovering critical",
            "6 firing warning",
            "8 recovering warning",
            "9 resolved warning",
        ];
        assert_eq!(told, expected);
        assert!(alerts.tracks.is_empty() && alerts.live.is_empty());
    }

    #[test]
    fn a_rule_that_is_gone_resolves_its_alert_and_one_that_stays_goes_on() {
        let mut alerts = Alerts::default();
        let rules = [("a", 5.0), ("b", 6.0)]
            .map(|(name, least)| rule(name, AlertLevel::Info, Measure::Failed, least));
        alerts.set_rules(rules.to_vec());
        let failing = Some((10, 9));
        assert_eq!(run(&mut alerts, 0, &[failing, failing]), ["1 firing info", "1 firing info"]);
        alerts.set_rules(rules[1..].to_vec());
        assert_eq!(run(&mut alerts, 2, &[failing]), ["2 resolved info"]);
        assert_eq!(alerts.live().count(), 1);
    }

    #[test]
    fn a_surge_is_measured_against_the_usual_failures() {
        let mut alerts = Alerts::default();
        alerts.set_rules(vec![rule("surge", AlertLevel::Warning, Measure::SurgePct, 5.0)]);
        let usual = vec![Some((100, 10)); 300];
        assert_eq!(run(&mut alerts, 0, &usual), [""; 0], "the second window is as the first");
        assert_eq!(run(&mut alerts, 300, &[Some((100, 20)); 3]), [""; 0], "twice as many are no surge");
        assert_eq!(run(&mut alerts, 303, &[Some((100, 50)); 2]), ["304 firing warning"]);
    }

    #[test]
    fn calls_that_are_stuck_and_new_failures_count_without_calls_and_none_that_nobody_looked_at() {
        let mut alerts = Alerts::default();
        let rules = [("stuck", Measure::Stuck), ("new", Measure::NewFailure)];
        let rules = rules.map(|(name, measure)| Rule {
            for_windows: 0,
            keep_windows: 0,
            min_calls: 20,
            ..rule(name, AlertLevel::Critical, measure, 0.0)
        });
        alerts.set_rules(rules.to_vec());
        assert!(alerts.uses(Measure::Stuck) && !alerts.uses(Measure::Cost));
        let mut changes = Vec::new();
        for (window, (stuck, new_failures)) in
            (0..).zip([(Some(0), Some(2)), (Some(2), None), (None, Some(0)), (Some(0), Some(0))])
        {
            let figures = WindowFigures { stuck, new_failures, ..WindowFigures::new(1, "shop::pay", None) };
            alerts.step(window, [figures].into_iter(), None, &mut changes);
        }
        let told =
            changes.iter().map(|change| (change.rule.as_str(), change.state, change.sentence.as_str()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                (
                    "new",
                    AlertState::Firing,
                    "shop::pay: 2 kinds of failure are new (rule new: new_failure > 0)"
                ),
                (
                    "stuck",
                    AlertState::Firing,
                    "shop::pay: 2 calls are under way for far longer than its calls take (rule stuck: stuck > 0)"
                ),
                (
                    "new",
                    AlertState::Resolved,
                    "resolved: shop::pay: 2 kinds of failure are new (rule new: new_failure > 0)"
                ),
                (
                    "stuck",
                    AlertState::Resolved,
                    "resolved: shop::pay: 2 calls are under way for far longer than its calls take (rule stuck: stuck > 0)"
                ),
            ]
        );
    }

    #[test]
    fn cost_and_memory_are_figures_of_the_process() {
        let mut alerts = Alerts::default();
        let rules = [("cost", Measure::Cost, 2.0), ("memory", Measure::Memory, 1_048_576.0)];
        let rules = rules.map(|(name, measure, threshold)| Rule {
            for_windows: 0,
            keep_windows: 0,
            ..rule(name, AlertLevel::Info, measure, threshold)
        });
        alerts.set_rules(rules.to_vec());
        let mut changes = Vec::new();
        for (window, (cost_pct, rss_bytes)) in
            (0..).zip([(1.0, Some(1_048_576)), (2.5, Some(3 << 20)), (2.5, None), (0.0, Some(0))])
        {
            let recorder = Recorder { cost_pct, rss_bytes, ..Recorder::default() };
            alerts.step(window, std::iter::empty(), Some(&recorder), &mut changes);
        }
        let told: Vec<_> =
            changes.iter().map(|change| (change.since, change.state, &*change.sentence)).collect();
        let cost = "the recorder: recording costs 2.5 % of a core (rule cost: cost_pct > 2)";
        let memory = "the process: it holds 3 MiB of memory (rule memory: rss_bytes > 1MiB)";
        assert_eq!(
            told,
            [
                (1, AlertState::Firing, cost),
                (1, AlertState::Firing, memory),
                (1, AlertState::Resolved, &*format!("resolved: {cost}")),
                (1, AlertState::Resolved, &*format!("resolved: {memory}")),
            ]
        );
    }

    #[test]
    fn beyond_the_bound_there_is_one_alert_for_a_rule() {
        let mut alerts = Alerts::default();
        let rule = Rule { for_windows: 0, ..rule("failures", AlertLevel::Warning, Measure::Failed, 0.0) };
        alerts.set_rules(vec![rule]);
        let (stats, histogram) = (failing(9, 9), Histogram::default());
        let mut step = |window: i64, functions: u32| {
            let figures =
                (0..functions).map(|function| WindowFigures::new(function, "f", Some((&stats, &histogram))));
            let mut changes = Vec::new();
            alerts.step(window, figures, None, &mut changes);
            changes
        };
        let changes = step(0, 137);
        assert_eq!(changes.len(), ALERTS_MAX + 1);
        let rest = changes.iter().find(|change| change.subject == Subject::Rest).unwrap();
        assert!(rest.sentence.ends_with("37 more functions"), "{}", rest.sentence);
        assert_eq!(step(1, 150), [], "their number alone is no change");
    }

    #[test]
    fn figures_read_back_from_a_store_lead_to_the_same_alerts() {
        let mut live = Alerts::default();
        let p95 = Rule { min_calls: 3, ..rule("slow", AlertLevel::Critical, Measure::P95, 1.0) };
        let calls = Rule { is_above: false, ..rule("silent", AlertLevel::Info, Measure::CallsPerS, 0.3) };
        live.set_rules(vec![p95, calls, rule("surge", AlertLevel::Warning, Measure::SurgePct, 20.0)]);
        let mut replayed = live.clone();
        let mut random = 7_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut told, mut told_again) = (Vec::new(), Vec::new());
        for window in 0..3000 {
            let windows: Vec<_> = (0..4_u32)
                .map(|function| {
                    let calls = draw(8);
                    let mut histogram = Histogram::default();
                    let slow = draw(10) < 4;
                    (0..calls)
                        .for_each(|_| histogram.add(1 + draw(if slow { 5_000_000 } else { 900_000 }), 1));
                    let stats = CallStats {
                        calls,
                        errors: draw(calls + 1),
                        max_ns: 5_000_000,
                        ..CallStats::default()
                    };
                    (function, stats, histogram)
                })
                .collect();
            let figures = |windows: &[(u32, CallStats, Histogram)],
                           alerts: &mut Alerts,
                           told: &mut Vec<AlertChange>| {
                let figures = windows.iter().map(|(function, stats, histogram)| {
                    WindowFigures::new(*function, "f", (stats.calls > 0).then_some((stats, histogram)))
                });
                alerts.step(window, figures, None, told);
            };
            figures(&windows, &mut live, &mut told);
            let stored: Vec<_> = windows
                .iter()
                .map(|(function, stats, histogram)| {
                    (*function, *stats, Histogram::from_bytes(&histogram.to_bytes()))
                })
                .collect();
            figures(&stored, &mut replayed, &mut told_again);
        }
        assert!(told.len() > 100, "{} changes", told.len());
        assert_eq!(told, told_again);
    }
}
