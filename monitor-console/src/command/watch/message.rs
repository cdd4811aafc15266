//! An alert as receivers get it: in the form of Alertmanager's webhook, and as variables of a command.
//!
//! Takes alerts; gives JSON and texts. The file sends nothing.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::model::alerts::Alert;
use crate::terminal;

/// The version of the form of Alertmanager's webhook.
const VERSION: &str = "4";
/// The name of the receiver, as Alertmanager's configuration would have it.
const RECEIVER: &str = "monitor";
/// The end of an alert that still fires, as Alertmanager writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Returns `firing` or `resolved`: receivers know no other states.
pub(super) const fn status(alert: &Alert) -> &'static str {
    if alert.is_live() { "firing" } else { "resolved" }
}

/// Returns a time in the form of RFC 3339.
pub(super) fn time(ns: i64) -> String {
    let seconds = ns.div_euclid(1_000_000_000);
    let fraction = ns.rem_euclid(1_000_000_000) / 1_000_000;
    let date = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = date.to_hms();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

/// Returns the labels of an alert, which identify it. They stay the same while it fires, save for the level.
fn labels(alert: &Alert) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("alertname".to_owned(), alert.rule.clone().into());
    labels.insert("severity".to_owned(), alert.level.clone().into());
    labels.insert("service".to_owned(), alert.service.clone().into());
    if let Some(function) = &alert.function {
        labels.insert("function".to_owned(), function.clone().into());
    }
    labels
}

fn annotations(alert: &Alert) -> Map<String, Value> {
    let entries = [
        ("summary", alert.sentence.clone()),
        ("state", alert.state.clone()),
        ("value", alert.value.to_string()),
        ("peak", alert.peak.to_string()),
        ("processes", alert.processes.to_string()),
    ];
    entries.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text))).collect()
}

/// Returns an alert as an element of `alerts` of the webhook.
pub(super) fn to_json(alert: &Alert) -> Value {
    json!({
        "status": status(alert),
        "labels": labels(alert),
        "annotations": annotations(alert),
        "startsAt": time(alert.since_ns),
        "endsAt": alert.until_ns.map_or_else(|| NEVER.to_owned(), time),
        "generatorURL": "",
        "fingerprint": format!("{:016x}", fingerprint(alert)),
    })
}

/// Returns a number that is the same for all messages on one rule, service and function. Receivers use the number to
/// find the alerts that they have.
fn fingerprint(alert: &Alert) -> u64 {
    let function = alert.function.as_deref().unwrap_or_default();
    super::hash(&format!("{}\0{}\0{function}", alert.rule, alert.service))
}

/// Returns the body of a request: a group of alerts in version 4 of the form.
pub(super) fn group(alerts: &[Alert], store: &Path) -> Value {
    let is_firing = alerts.iter().any(Alert::is_live);
    let common = |entries: &dyn Fn(&Alert) -> Map<String, Value>| {
        let mut common = alerts.first().map(entries).unwrap_or_default();
        for alert in alerts {
            let others = entries(alert);
            common.retain(|name, value| others.get(name) == Some(value));
        }
        common
    };
    let store = store.file_name().unwrap_or_default().to_string_lossy();
    json!({
        "version": VERSION,
        "groupKey": format!("{{}}:{{store=\"{}\"}}", store.escape_default()),
        "truncatedAlerts": 0,
        "status": if is_firing { "firing" } else { "resolved" },
        "receiver": RECEIVER,
        "groupLabels": { "store": store },
        "commonLabels": common(&labels),
        "commonAnnotations": common(&annotations),
        "externalURL": "",
        "alerts": alerts.iter().map(to_json).collect::<Vec<_>>(),
    })
}

/// Returns the variables of the environment that describe an alert to a command. A variable cannot hold a NUL.
/// Control and bidirectional characters are escaped, because commands print the texts.
pub(super) fn variables(alert: &Alert, store: &Path) -> Vec<(&'static str, String)> {
    let texts = [
        ("ALERT_STATUS", status(alert).to_owned()),
        ("ALERT_STATE", alert.state.clone()),
        ("ALERT_LEVEL", alert.level.clone()),
        ("ALERT_RULE", alert.rule.clone()),
        ("ALERT_FUNCTION", alert.function.clone().unwrap_or_default()),
        ("ALERT_SERVICE", alert.service.clone()),
        ("ALERT_SENTENCE", alert.sentence.clone()),
        ("ALERT_VALUE", alert.value.to_string()),
        ("ALERT_PEAK", alert.peak.to_string()),
        ("ALERT_SINCE", time(alert.since_ns)),
        ("ALERT_UNTIL", alert.until_ns.map(time).unwrap_or_default()),
        ("ALERT_ID", alert.id.to_string()),
        ("ALERT_STORE", store.to_string_lossy().into_owned()),
    ];
    texts.map(|(name, text)| (name, terminal::escape(&text).into_owned())).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn alert(function: Option<&str>, until_ns: Option<i64>) -> Alert {
        Alert {
            id: 7,
            service: "shop".to_owned(),
            rule: "failures".to_owned(),
            function: function.map(str::to_owned),
            level: "critical".to_owned(),
            state: "firing".to_owned(),
            since_ns: 1_709_210_096_250_000_789,
            until_ns,
            value: 62.5,
            peak: 80.0,
            sentence: "shop::pay: error_pct is 62.5".to_owned(),
            processes: 1,
            ..Alert::default()
        }
    }

    #[test]
    fn a_group_has_the_form_of_alertmanagers_webhook() {
        let ended = alert(None, Some(1_709_210_196_000_000_000));
        let group = group(&[alert(Some("shop::pay"), None), ended], Path::new("/var/lib/shop.db"));
        // The fields of `webhook.Message` and `template.Data` of Alertmanager.
        let fields: Vec<_> = group.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "version",
            "groupKey",
            "truncatedAlerts",
            "status",
            "receiver",
            "groupLabels",
            "commonLabels",
            "commonAnnotations",
            "externalURL",
            "alerts",
        ];
        assert_eq!(fields, expected);
        assert_eq!((&group["version"], &group["status"]), (&json!("4"), &json!("firing")));
        let common = json!({ "alertname": "failures", "severity": "critical", "service": "shop" });
        assert_eq!(group["commonLabels"], common);
        let first = &group["alerts"][0];
        assert_eq!(first["labels"]["function"], "shop::pay");
        assert_eq!(first["startsAt"], "2024-02-29T12:34:56.250Z");
        assert_eq!(first["endsAt"], NEVER);
        assert_eq!(group["alerts"][1]["status"], "resolved");
        assert_eq!(group["alerts"][1]["endsAt"], "2024-02-29T12:36:36.000Z");
        assert_ne!(first["fingerprint"], group["alerts"][1]["fingerprint"]);
    }

    #[test]
    fn variables_hold_nothing_that_acts_and_no_nul() {
        let hostile = Alert { sentence: "a\0b\u{1b}[2J\u{202e}".to_owned(), ..alert(None, None) };
        let variables = variables(&hostile, Path::new("shop.db"));
        let sentence = variables.iter().find(|(name, _)| *name == "ALERT_SENTENCE").unwrap();
        assert_eq!(sentence.1, "a\\u0000b\\u001b[2J\\u202e");
        assert!(variables.iter().all(|(_, text)| !text.contains('\0')));
    }
}
