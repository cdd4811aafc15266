//! Rules on alerts: read, made from a condition, set, switched and removed.
//!
//! Takes conditions and a store; writes each change with its event. A process reads a rule that is set here within
//! two seconds, an idle process within five.

use anyhow::{Result, bail};
use monitor_runtime::alert::{AlertLevel, Measure, Rule as Evaluated, parse_condition, split_metric_name};
use rusqlite::types::Value;

use super::super::events;
use crate::pattern::Pattern;
use crate::report;
use crate::store::Store;

/// A rule, as the table `alert_rule` has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rule {
    /// The name.
    pub(crate) name: String,
    /// The level of its alerts.
    pub(crate) level: String,
    /// The pattern of whole names of functions, or of metrics.
    pub(crate) pattern: String,
    /// The measure.
    pub(crate) measure: String,
    /// `>` or `<`.
    pub(crate) op: String,
    /// The threshold.
    pub(crate) threshold: f64,
    /// The seconds for which the condition has to hold before an alert fires.
    pub(crate) for_s: i64,
    /// The seconds for which the condition must not hold before its alert is resolved.
    pub(crate) keep_s: i64,
    /// The fewest calls of a window that counts.
    pub(crate) min_calls: i64,
    /// False if the rule is switched off.
    pub(crate) is_enabled: bool,
    /// The time at which the rule was set, ns since the Unix epoch.
    pub(crate) set_ns: Option<i64>,
    /// The name of whoever set the rule.
    pub(crate) set_by: Option<String>,
}

impl Rule {
    /// Returns the rule as processes evaluate it; `None` for an invalid rule, which processes ignore.
    pub(crate) fn to_evaluated(&self) -> Option<Evaluated> {
        Some(Evaluated {
            name: self.name.clone(),
            level: AlertLevel::from_name(&self.level)?,
            pattern: monitor_runtime::sampling::Pattern::new(&self.pattern).ok()?,
            measure: Measure::from_name(&self.measure)?,
            is_above: self.op == ">",
            threshold: self.threshold,
            for_windows: Evaluated::windows_of(self.for_s),
            keep_windows: Evaluated::windows_of(self.keep_s),
            min_calls: self.min_calls.max(0).cast_unsigned(),
        })
    }
}

/// Reads the rules, by name and level.
pub(crate) fn read_rules(store: &Store) -> Result<Vec<Rule>> {
    let sql = "SELECT name, level, pattern, measure, op, threshold, for_s, keep_s, min_calls, enabled, set_ns, set_by
               FROM alert_rule ORDER BY name, level";
    let mut rules = Vec::new();
    store.read_rows(sql, [], |row| {
        let cells = report::read_cells(row, 12)?;
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let integer = |at: usize| cells[at].to_integer().unwrap_or(0);
        // A measure such as `metric:orders` names its metric itself. The name then is the pattern, as in processes.
        let (measure, pattern) = match Measure::split_metric(&text(3)) {
            Some((measure, name)) => (measure.as_str().to_owned(), name.to_owned()),
            None => (text(3), text(2)),
        };
        rules.push(Rule {
            name: text(0),
            level: text(1),
            pattern,
            measure,
            op: text(4),
            threshold: cells[5].to_number().unwrap_or(0.0),
            for_s: integer(6),
            keep_s: integer(7),
            min_calls: integer(8),
            is_enabled: integer(9) != 0,
            set_ns: cells[10].to_integer(),
            set_by: cells[11].as_text().map(str::to_owned),
        });
        Ok(())
    })?;
    Ok(rules)
}

/// A rule that is to be set, checked by the recorder's own parser.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewRule {
    name: String,
    level: AlertLevel,
    pattern: Pattern,
    measure: Measure,
    is_above: bool,
    threshold: f64,
    for_s: i64,
    keep_s: i64,
    min_calls: u32,
}

/// A condition as the parser gives it: measure, whether it is to be above, threshold, seconds, and the name of a metric if the
/// condition names one, as in `metric:orders > 5`.
pub(crate) type Condition = (Measure, bool, f64, i64, Option<Pattern>);

/// Parses a condition such as `p99 > 50ms for 1m`.
pub(crate) fn parse(text: &str) -> Result<Condition, String> {
    let (measure, is_above, threshold, for_s) = parse_condition(text).map_err(|error| error.to_string())?;
    let metric = split_metric_name(text).map(str::parse::<Pattern>).transpose();
    let metric = metric.map_err(|error| format!("the condition `{}`: {error}", text.escape_debug()))?;
    Ok((measure, is_above, threshold, for_s, metric))
}

impl NewRule {
    /// Makes a rule. A rule without a name is named by its pattern and its measure. A metric that the condition names is the
    /// pattern.
    pub(crate) fn new(
        name: Option<&str>,
        level: AlertLevel,
        pattern: &Pattern,
        (measure, is_above, threshold, for_s, metric): Condition,
        keep_s: i64,
        min_calls: u32,
    ) -> Result<Self> {
        let pattern = match metric {
            Some(metric) if pattern.as_str() == "*" => metric,
            Some(metric) => bail!(
                "the condition names the metric `{}`, so the rule takes the pattern `*`",
                metric.as_str()
            ),
            None => pattern.clone(),
        };
        if measure.is_of_recorder() && pattern.as_str() != "*" {
            bail!(
                "{} is a figure of the recorder or its process, so it takes the pattern `*`",
                measure.as_str()
            );
        }
        let name = name.map_or_else(
            || {
                if measure.is_of_recorder() {
                    measure.as_str().to_owned()
                } else {
                    format!("{} {}", pattern.as_str(), measure.as_str())
                }
            },
            str::to_owned,
        );
        Ok(Self { name, level, pattern, measure, is_above, threshold, for_s, keep_s, min_calls })
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the pattern of whole names.
    pub(crate) const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Returns the measure.
    pub(crate) const fn measure(&self) -> Measure {
        self.measure
    }

    /// Returns the condition as a person writes it.
    fn condition(&self) -> String {
        let sign = if self.is_above { '>' } else { '<' };
        format!("{} {sign} {} for {} s", self.measure.as_str(), self.threshold, self.for_s)
    }
}

/// Sets a rule, or replaces the one of its name and level, and writes an event that says so.
pub(crate) fn set_rule(store: &Store, rule: &NewRule, by: &str, now_ns: i64) -> Result<()> {
    let values: [Value; 11] = [
        rule.name.clone().into(),
        rule.level.as_str().to_owned().into(),
        rule.pattern.as_str().to_owned().into(),
        rule.measure.as_str().to_owned().into(),
        (if rule.is_above { ">" } else { "<" }).to_owned().into(),
        rule.threshold.into(),
        rule.for_s.into(),
        rule.keep_s.into(),
        i64::from(rule.min_calls).into(),
        now_ns.into(),
        by.to_owned().into(),
    ];
    store.write_together(|| {
        store.execute(
            "INSERT INTO alert_rule (name, level, pattern, measure, op, threshold, for_s, keep_s, min_calls, set_ns, set_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (name, level) DO UPDATE SET pattern = excluded.pattern, measure = excluded.measure,
               op = excluded.op, threshold = excluded.threshold, for_s = excluded.for_s, keep_s = excluded.keep_s,
               min_calls = excluded.min_calls, enabled = 1, set_ns = excluded.set_ns, set_by = excluded.set_by",
            values,
        )?;
        let (name, level) = (&rule.name, rule.level.as_str());
        let detail = format!("rule {name} ({level}) on {} set to {} by {by}", rule.pattern.as_str(), rule.condition());
        events::write(store, "alert_rule", &detail, now_ns)
    })
}

/// Switches the rules of a name on or off, and writes an event that says so. Returns false if there is no such rule.
pub(crate) fn switch_rule(
    store: &Store,
    (name, level): (&str, Option<&str>),
    is_enabled: bool,
    by: &str,
    now_ns: i64,
) -> Result<bool> {
    let sql = "UPDATE alert_rule SET enabled = ?3, set_ns = ?4, set_by = ?5 WHERE name = ?1 AND (?2 IS NULL OR level = ?2)";
    store.write_together(|| {
        let is_there = store.execute(sql, (name, level, is_enabled, now_ns, by))? > 0;
        if is_there {
            let switched = if is_enabled { "on" } else { "off" };
            events::write(store, "alert_rule", &format!("rule {name} switched {switched} by {by}"), now_ns)?;
        }
        Ok(is_there)
    })
}

/// Removes the rules of a name, and writes an event that says so. Returns false if there is no such rule.
pub(crate) fn remove_rule(
    store: &Store,
    (name, level): (&str, Option<&str>),
    by: &str,
    now_ns: i64,
) -> Result<bool> {
    store.write_together(|| {
        let sql = "DELETE FROM alert_rule WHERE name = ?1 AND (?2 IS NULL OR level = ?2)";
        let is_there = store.execute(sql, (name, level))? > 0;
        if is_there {
            events::write(store, "alert_rule", &format!("rule {name} removed by {by}"), now_ns)?;
        }
        Ok(is_there)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_rule_on_the_recorder_takes_no_pattern_and_is_named_by_its_measure() {
        let rule = |pattern: &str, condition: &str| {
            let pattern = pattern.parse::<Pattern>().map_err(anyhow::Error::msg)?;
            let condition = parse(condition).map_err(anyhow::Error::msg)?;
            NewRule::new(None, AlertLevel::Info, &pattern, condition, 60, 0)
        };
        assert_eq!(rule("*", "rss_bytes > 1GiB").map(|rule| rule.name).ok().as_deref(), Some("rss_bytes"));
        assert_eq!(rule("shop::*", "stuck > 0").map(|rule| rule.name).ok().as_deref(), Some("shop::* stuck"));
        assert!(rule("shop::*", "cost_pct > 1").is_err());
    }

    #[test]
    fn a_condition_that_names_a_metric_takes_no_pattern_and_the_metric_is_the_pattern() {
        let rule = |pattern: &str, condition: &str| {
            let pattern = pattern.parse::<Pattern>().map_err(anyhow::Error::msg)?;
            let condition = parse(condition).map_err(anyhow::Error::msg)?;
            NewRule::new(None, AlertLevel::Info, &pattern, condition, 60, 0)
        };
        for (pattern, condition) in
            [("*", "metric_p99:fill.* > 5 for 1m"), ("fill.*", "metric_p99 > 5 for 1m")]
        {
            let rule = rule(pattern, condition).unwrap();
            assert_eq!(
                (&*rule.name, rule.pattern.as_str(), rule.measure),
                ("fill.* metric_p99", "fill.*", Measure::MetricP99)
            );
        }
        assert!(rule("shop::*", "metric:orders > 5").is_err());
        for (condition, part) in
            [("metric: > 5", "the name of the metric is missing"), ("metric:a?b > 5", "a?b")]
        {
            assert!(parse(condition).unwrap_err().contains(part), "{condition}");
        }
    }
}
