//! `monitor alert`: lists, sets, switches and removes the rules on alerts.
//!
//! A rule is a row of the table `alert_rule`, which running processes read within two seconds, idle ones within five.
//! The recorder's own parser checks a rule before it is written.

use anyhow::{Result, bail};
use monitor_runtime::alert::Measure;

use super::{
    EVERY_RUN, FUNCTIONS, describe_effect, describe_match, describe_user, open_store, open_store_for_control,
    print_heading, print_note, suggest_whole_names,
};
use crate::arguments::{Alert, AlertAction, AlertLevelName, Common, NamedRule, SetRule, refuse};
use crate::format;
use crate::model::alerts::{self, NewRule};
use crate::model::{functions, metrics};
use crate::report::{Column, Report, Unit};
use crate::store::Store;
use crate::units;

pub(super) fn run(common: &Common, arguments: &Alert) -> Result<()> {
    match &arguments.action {
        AlertAction::List(list) if list.measures => list_measures(common),
        AlertAction::List(_) => list_rules(common),
        AlertAction::Set(set) => set_rule(common, set),
        AlertAction::Remove(rule) => change_rule(common, rule, "removed", |store, rule| {
            alerts::remove_rule(store, rule, &describe_user(), units::now_ns())
        }),
        AlertAction::Enable(rule) => switch_rule(common, rule, true),
        AlertAction::Disable(rule) => switch_rule(common, rule, false),
    }
}

fn list_measures(common: &Common) -> Result<()> {
    let columns = vec![
        Column::titled("measure", "MEASURE", Unit::Text),
        Column::titled("meaning", "MEANING", Unit::Text),
    ];
    let rows =
        Measure::list().map(|(name, text)| vec![name.to_owned().into(), text.to_owned().into()]).collect();
    format::print(&Report { columns, rows }, common.style())
}

fn list_rules(common: &Common) -> Result<()> {
    let store = open_store(common)?;
    alerts::require(&store)?;
    let rules = report_rules(&alerts::read_rules(&store)?);
    print_heading(common, &store, "rules on alerts");
    format::print(&rules, common.style())
}

/// Returns the rules as a table.
pub(crate) fn report_rules(rules: &[alerts::Rule]) -> Report {
    let columns = vec![
        Column::titled("name", "RULE", Unit::Text),
        Column::titled("level", "LEVEL", Unit::Text),
        Column::titled("pattern", "FUNCTIONS", Unit::Name),
        Column::titled("measure", "MEASURE", Unit::Text),
        Column::titled("op", "", Unit::Text),
        Column::titled("threshold", "THRESHOLD", Unit::Number),
        Column::titled("for_s", "FOR S", Unit::Number),
        Column::titled("keep_s", "KEEP S", Unit::Number),
        Column::titled("min_calls", "CALLS", Unit::Number),
        Column::titled("enabled", "ON", Unit::Number),
        Column::data("set_ns"),
        Column::titled("set_by", "BY", Unit::Text),
    ];
    let build = |rule: &alerts::Rule| {
        vec![
            rule.name.clone().into(),
            rule.level.clone().into(),
            rule.pattern.clone().into(),
            rule.measure.clone().into(),
            rule.op.clone().into(),
            rule.threshold.into(),
            rule.for_s.into(),
            rule.keep_s.into(),
            rule.min_calls.into(),
            i64::from(rule.is_enabled).into(),
            rule.set_ns.into(),
            rule.set_by.clone().into(),
        ]
    };
    Report { columns, rows: rules.iter().map(build).collect() }
}

fn set_rule(common: &Common, set: &SetRule) -> Result<()> {
    let keep_s = i64::try_from(set.keep.as_secs()).unwrap_or(i64::MAX);
    let level = set.level.to_level();
    let rule =
        NewRule::new(set.name.as_deref(), level, &set.pattern, set.condition.clone(), keep_s, set.min_calls)
            .unwrap_or_else(|error| refuse(&error.to_string()));
    let store = open_store_for_control(common)?;
    alerts::require(&store)?;
    alerts::set_rule(&store, &rule, &describe_user(), units::now_ns())?;
    let effect = describe_effect(&store, EVERY_RUN)?;
    let (reach, advice) = describe_reach(&store, &rule)?;
    print_note(common, &format!("the rule `{}` is set{reach}; {effect}{advice}", rule.name()));
    drop(store);
    list_rules(common)
}

/// Describes how many functions or metrics a rule looks at, and suggests another pattern for one that matches none. Both are
/// empty for a rule on the recorder or its process.
fn describe_reach(store: &Store, rule: &NewRule) -> Result<(String, String)> {
    let (measure, pattern) = (rule.measure(), rule.pattern());
    if measure.is_of_recorder() {
        return Ok((String::new(), String::new()));
    }
    if measure.is_of_metric() {
        let reach = describe_match(&metrics::read_names(store)?, pattern, ("metric", "metrics"));
        return Ok((format!(": {reach}"), String::new()));
    }
    let names = functions::read_names(store)?;
    let reach = describe_match(&names, pattern, FUNCTIONS);
    Ok((format!(": {reach}"), suggest_whole_names(&names, pattern, "A rule")))
}

fn switch_rule(common: &Common, rule: &NamedRule, is_enabled: bool) -> Result<()> {
    let done = if is_enabled { "switched on" } else { "switched off" };
    change_rule(common, rule, done, |store, rule| {
        alerts::switch_rule(store, rule, is_enabled, &describe_user(), units::now_ns())
    })
}

/// Changes the rules with this name. Prints what was done, when processes read it, and the rules.
fn change_rule(
    common: &Common,
    rule: &NamedRule,
    done: &str,
    change: impl FnOnce(&Store, (&str, Option<&str>)) -> Result<bool>,
) -> Result<()> {
    let store = open_store_for_control(common)?;
    alerts::require(&store)?;
    let level = rule.level.map(AlertLevelName::to_level).map(monitor_runtime::alert::AlertLevel::as_str);
    if !change(&store, (&rule.name, level))? {
        bail!(
            "there is no such rule `{}` in {}: `monitor alert list` shows them",
            rule.name.escape_debug(),
            store.path().display()
        );
    }
    print_note(common, &format!("{done}; {}", describe_effect(&store, EVERY_RUN)?));
    drop(store);
    list_rules(common)
}
