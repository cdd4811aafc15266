//! The state of the recorder in a word, overall and by part, and the health report as JSON.
//!
//! Takes the health report; gives a status for each part, the worst of them, and a JSON object that a server's health
//! endpoint can answer with. It does not measure anything.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{FiringAlerts, Health, Level};
use crate::collect::breaker::State;

/// The status of a part of the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum HealthStatus {
    /// The part does all of its work.
    #[default]
    Ok,
    /// The part does less than it was asked to, or nothing yet. Counts stay exact.
    Degraded,
    /// The part does not work.
    Failing,
}

impl HealthStatus {
    /// Returns the word for the status in JSON and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A part of the recorder, with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthPart {
    /// The name of the part: `store`, `rings`, `breaker`, `recorder`, `alerts` or `subscribers`.
    pub name: &'static str,
    /// The status of the part.
    pub status: HealthStatus,
    /// The reason, in a sentence.
    pub why: String,
}

/// The rings count as degraded if more than one row in this many is lost.
const LOST_SHARE: u64 = 100;

impl Health {
    /// Returns the status of each part of the recorder.
    #[must_use]
    pub fn parts(&self) -> Vec<HealthPart> {
        let parts = [
            ("store", self.judge_store()),
            ("rings", self.judge_rings()),
            ("breaker", self.judge_breaker()),
            ("recorder", self.judge_recorder()),
            ("alerts", self.judge_alerts()),
            ("subscribers", self.judge_subscribers()),
        ];
        parts.map(|(name, (status, why))| HealthPart { name, status, why }).into()
    }

    /// Returns the worst status of all parts.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        self.parts().into_iter().map(|part| part.status).max().unwrap_or_default()
    }

    /// Returns the report as a JSON object, for a health endpoint of the program's own server: `status`, `level`,
    /// `parts` with a reason each, the number of `alerts` by level, and figures. It names no function.
    #[must_use]
    pub fn to_json(&self) -> String {
        let part =
            |part: HealthPart| json!({ "name": part.name, "status": part.status.as_str(), "why": part.why });
        let parts: Vec<Value> = self.parts().into_iter().map(part).collect();
        let figures = json!({
            "recorded": self.recorded,
            "sampled_out": self.sampled_out,
            "dropped": self.dropped.total(),
            "folded_errors": self.folded_errors,
            "rows_written": self.rows_written,
            "writer_errors": self.writer_errors,
            "db_bytes": self.db_bytes,
            "wal_bytes": self.wal_bytes,
            "queue_bytes": self.queue_bytes,
            "cost_pct": self.cost_pct,
        });
        let mut object = Map::new();
        object.insert("status".to_owned(), self.status().as_str().into());
        object.insert("level".to_owned(), self.level.as_str().into());
        object.insert("parts".to_owned(), parts.into());
        let FiringAlerts { critical, warning, info } = self.alerts;
        let alerts = json!({ "critical": critical, "warning": warning, "info": info });
        object.insert("alerts".to_owned(), alerts);
        object.insert("figures".to_owned(), figures);
        Value::Object(object).to_string()
    }

    fn judge_store(&self) -> (HealthStatus, String) {
        let size = format!("{} bytes, and {} in its log", self.db_bytes, self.wal_bytes);
        match (&self.store, self.level) {
            (_, Level::Off) => (HealthStatus::Degraded, "nothing is recorded".to_owned()),
            (Some(path), _) => (HealthStatus::Ok, format!("{}: {size}", path.display())),
            (None, _) if self.rows_written > 0 => {
                (HealthStatus::Ok, format!("in memory, which ends with the process: {size}"))
            }
            (None, _) => (HealthStatus::Ok, "it is opened with the first batch".to_owned()),
        }
    }

    fn judge_rings(&self) -> (HealthStatus, String) {
        let lost = self.dropped.total();
        let all = self.recorded.saturating_add(lost);
        if lost > all / LOST_SHARE {
            return (HealthStatus::Degraded, format!("{lost} of {all} rows were lost; counts are exact"));
        }
        let why = match lost {
            0 => "no row was lost".to_owned(),
            _ => format!("{lost} rows were lost; counts are exact"),
        };
        (HealthStatus::Ok, why)
    }

    fn judge_breaker(&self) -> (HealthStatus, String) {
        let status = match self.breaker.state {
            State::Closed => HealthStatus::Ok,
            State::HalfOpen => HealthStatus::Degraded,
            State::Open => HealthStatus::Failing,
        };
        (status, self.breaker.to_string())
    }

    fn judge_recorder(&self) -> (HealthStatus, String) {
        match self.level {
            Level::Full if self.off.is_empty() => (HealthStatus::Ok, "everything is recorded".to_owned()),
            Level::Full => {
                (HealthStatus::Ok, format!("everything is recorded; off: {}", self.off.join("; ")))
            }
            Level::Degraded => {
                (HealthStatus::Degraded, "the store cannot be written, so records wait in memory".to_owned())
            }
            Level::Minimal => (
                HealthStatus::Degraded,
                "the memory for waiting records is nearly used up: only failures and counts are kept"
                    .to_owned(),
            ),
            Level::Off => (HealthStatus::Degraded, "nothing is recorded".to_owned()),
        }
    }

    /// Judges alerts. They are about the program and not about its recorder, so their status is never `Failing`.
    fn judge_alerts(&self) -> (HealthStatus, String) {
        let FiringAlerts { critical, warning, info } = self.alerts;
        let status = if critical + warning > 0 { HealthStatus::Degraded } else { HealthStatus::Ok };
        let why = match critical + warning + info {
            0 => "none fires".to_owned(),
            _ => format!("{critical} critical, {warning} warning and {info} info fire"),
        };
        (status, why)
    }

    fn judge_subscribers(&self) -> (HealthStatus, String) {
        let all = self.subscribers.len();
        match self.subscribers.iter().filter(|breaker| breaker.state != State::Closed).count() {
            0 => (HealthStatus::Ok, format!("{all} within the process")),
            left => {
                (HealthStatus::Degraded, format!("{left} of {all} are left alone, because they panicked"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::breaker::Statistics;
    use crate::collect::health::Drops;

    fn statuses(health: &Health) -> Vec<(&'static str, HealthStatus)> {
        health.parts().into_iter().map(|part| (part.name, part.status)).collect()
    }

    #[test]
    fn the_worst_part_decides_and_each_says_why() {
        use HealthStatus::{Degraded, Failing, Ok};
        let fine = Health { recorded: 1000, ..Health::default() };
        assert_eq!(fine.status(), Ok);
        let open = Statistics { state: State::Open, ..Statistics::default() };
        let lossy = Drops { ring_full: 12, ..Drops::default() };
        let cases = [
            (Health { breaker: open.clone(), ..fine.clone() }, "breaker", Failing),
            (Health { dropped: lossy, ..fine.clone() }, "rings", Degraded),
            (Health { level: Level::Minimal, ..fine.clone() }, "recorder", Degraded),
            (
                Health { alerts: FiringAlerts { critical: 1, ..FiringAlerts::default() }, ..fine.clone() },
                "alerts",
                Degraded,
            ),
            (Health { subscribers: vec![open], ..fine.clone() }, "subscribers", Degraded),
        ];
        for (health, name, expected) in cases {
            let found = statuses(&health);
            assert!(found.contains(&(name, expected)), "{name}: {found:?}");
            let others = found.iter().filter(|(other, _)| *other != name);
            assert!(others.clone().all(|(_, status)| *status == Ok), "{name}: {found:?}");
            assert_eq!(health.status(), expected);
        }
        let info = FiringAlerts { info: 2, ..FiringAlerts::default() };
        assert_eq!(Health { alerts: info, ..fine.clone() }.status(), Ok);
        assert_eq!(Health { level: Level::Off, ..fine }.status(), Degraded);
    }

    #[test]
    fn json_holds_the_status_of_each_part_whatever_the_texts() {
        let path = std::path::PathBuf::from("/tmp/a \"b\"\n.db");
        let alerts = FiringAlerts { critical: 0, warning: 0, info: 3 };
        let health = Health { store: Some(path), cost_pct: f64::INFINITY, alerts, ..Health::default() };
        let value: Value = serde_json::from_str(&health.to_json()).unwrap();
        assert_eq!(value["status"], "ok");
        assert_eq!(value["parts"][0]["name"], "store");
        assert!(value["parts"][0]["why"].as_str().unwrap().contains("a \"b\"\n.db"));
        assert_eq!(value["alerts"], json!({ "critical": 0, "warning": 0, "info": 3 }));
        assert_eq!(value["figures"]["cost_pct"], Value::Null);
        assert_eq!(value["parts"].as_array().unwrap().len(), health.parts().len());
    }
}
