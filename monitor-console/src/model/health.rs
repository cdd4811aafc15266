//! The health of the recorders behind a store as one word: overall, and by part.
//!
//! Takes the store, the ring files of running processes, and the moment; gives a status for each part with a reason,
//! and the answers of a server's health endpoints. The answers contain no name of a function, and names of services
//! only for readers that may know them. A process whose breaker is open writes nothing, so its last report is out of
//! date: holds are read from their table, and signs of life from the ring file.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use monitor_runtime::HealthStatus as Status;
use monitor_runtime::platform::liveness;
use monitor_runtime::recover::LiveProcess;
use serde_json::{Value, json};

use super::breakers::{self, Breaker};
use crate::report::{self, Cell};
use crate::store::Store;
use crate::units;

/// The age of the last sign of life in the ring file from which a process counts as stopped: three times the longest
/// pause between two looks of an idle recorder.
const STOPPED_AFTER_NS: i64 = 15_000_000_000;
/// The age of the last report from which a process counts as silent, unless its ring file shows whether it is alive: an idle
/// process reports every five minutes, so one that is silent has missed two reports.
pub(crate) const SILENT_AFTER_NS: i64 = 600_000_000_000;
/// The reason why a store is failing, without names and paths, for readers that must not see them.
const CANNOT_READ: &str = "it cannot be opened or read";
/// The levels of service, the lowest first.
const LEVELS: [&str; 4] = ["off", "minimal", "degraded", "full"];
/// Rings count as degraded if more than one row in this many was lost.
const LOST_SHARE: i64 = 100;

/// A part of the recorder, and its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// `store`, `rings`, `breaker`, `recorder`, `alerts` or `process`.
    pub(crate) name: &'static str,
    /// The status of the part.
    pub(crate) status: Status,
    /// The number in the store of the process that the status comes from.
    pub(crate) process: Option<i64>,
    /// The moment since which the part has this status, ns since the Unix epoch, where that is known.
    pub(crate) since_ns: Option<i64>,
    /// The reason.
    pub(crate) why: Why,
}

/// A reason in a sentence, for those who may know names and texts of the store, and for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Why {
    /// The whole reason: it may name a service and a path, and quote what a person or the system wrote.
    pub(crate) full: String,
    /// The reason without names, paths and quoted texts.
    pub(crate) brief: String,
}

impl Why {
    fn new(full: String, brief: impl Into<String>) -> Self {
        Self { full, brief: brief.into() }
    }
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self { brief: text.clone(), full: text }
    }
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// The parts of an answer that its reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Detail {
    /// Everything: the reader has the token of the server, or reads the store.
    Full,
    /// States, without names.
    Brief,
}

/// The status of all parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overall {
    /// The parts, those of the recorder first, then a part for each running process.
    pub(crate) parts: Vec<Part>,
    /// The lowest level of service among running processes; `None` if none has reported.
    pub(crate) level: Option<String>,
    /// Alerts that fire, by level.
    pub(crate) alerts: Firing,
}

/// The numbers of alerts that fire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Firing {
    /// The number of alerts of level `critical`.
    pub(crate) critical: i64,
    /// The number of alerts of level `warning`.
    pub(crate) warning: i64,
}

/// A process that has not ended, as its store and its ring file show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    process_id: i64,
    service: String,
    pid: i64,
    started_ns: i64,
    last_seen_ns: i64,
    /// False if the process ran on this host and no longer exists.
    is_there: bool,
    /// The last sign of life in the ring file of the process.
    alive_ns: Option<i64>,
    /// The reason for which the breaker of the process is held open.
    held_open: Option<String>,
    report: Option<Reported>,
}

/// The latest report of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reported {
    level: String,
    breaker: String,
    breaker_since_ns: i64,
    last_failure: Option<String>,
    recorded: i64,
    lost: i64,
}

impl Overall {
    /// Returns the status of the part in the worst state.
    pub(crate) fn status(&self) -> Status {
        self.parts.iter().map(|part| part.status).max().unwrap_or_default()
    }

    /// Returns status, level, parts and alerts as JSON: `{status, level, parts: […], alerts: {critical, warning}}`.
    pub(crate) fn to_json(&self, detail: Detail) -> Value {
        write_json(self.status(), self.level.as_deref(), &self.list_parts(detail), self.alerts)
    }

    fn list_parts(&self, detail: Detail) -> Vec<Value> {
        let why = |why: &Why| match detail {
            Detail::Full => why.full.clone(),
            Detail::Brief => why.brief.clone(),
        };
        let part = |part: &Part| {
            json!({
                "name": part.name,
                "status": part.status.as_str(),
                "process_id": part.process,
                "since_ns": part.since_ns,
                "why": why(&part.why),
            })
        };
        self.parts.iter().map(part).collect()
    }

    /// Returns the state of a store that cannot be opened or read.
    fn unreadable(why: &str) -> Self {
        let part = Part {
            name: "store",
            status: Status::Failing,
            process: None,
            since_ns: None,
            why: Why::new(why.to_owned(), CANNOT_READ),
        };
        Self { parts: vec![part], level: None, alerts: Firing::default() }
    }
}

fn write_json(status: Status, level: Option<&str>, parts: &[Value], alerts: Firing) -> Value {
    json!({
        "status": status.as_str(),
        "level": level,
        "parts": parts,
        "alerts": { "critical": alerts.critical, "warning": alerts.warning },
    })
}

/// Reads the status of the recorders behind a store. `living` are the processes whose ring files can be read.
pub(crate) fn read(store: &Store, living: &[LiveProcess], now_ns: i64) -> Result<Overall> {
    let facts = read_facts(store, living)?;
    let bytes =
        store.read_integer("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [])?;
    #[expect(clippy::cast_precision_loss, reason = "the size is shown with three digits")]
    let size = units::format_bytes(bytes.unwrap_or(0) as f64);
    let mut overall = judge(&facts, &size, read_firing(store)?, now_ns);
    for next in breakers::read(store)?.iter().filter(|breaker| breaker.is_of_next()) {
        judge_next(&mut overall, next);
    }
    Ok(overall)
}

/// Returns true for the columns of `health` that count rows of calls which were lost. The view defines which reasons
/// there are; lost log lines are counted by a column of their own.
pub(crate) fn counts_lost_rows(column: &str) -> bool {
    column.starts_with("dropped_") && column != "dropped_logs"
}

/// Reads the latest report of the recorder of each process: its figures by name, because stores of different versions
/// have different figures.
pub(crate) fn read_reports(store: &Store) -> Result<BTreeMap<i64, HashMap<String, Cell>>> {
    let columns = store.read_column_names("SELECT * FROM health")?;
    let mut reports = BTreeMap::new();
    store.read_rows("SELECT * FROM health", [], |row| {
        let cells = report::read_cells(row, columns.len())?;
        let figures: HashMap<String, Cell> = columns.iter().cloned().zip(cells).collect();
        if let Some(process) = figures.get("process_id").and_then(Cell::to_integer) {
            reports.insert(process, figures);
        }
        Ok(())
    })?;
    Ok(reports)
}

fn read_facts(store: &Store, living: &[LiveProcess]) -> Result<Vec<Facts>> {
    let columns = store.read_column_names("SELECT * FROM health")?;
    let lost: Vec<String> = columns
        .iter()
        .filter(|name| counts_lost_rows(name))
        .map(|name| format!("COALESCE(h.\"{}\", 0)", name.replace('"', "\"\"")))
        .collect();
    let lost = if lost.is_empty() { "0".to_owned() } else { lost.join(" + ") };
    let sql = format!(
        "SELECT p.process_id, p.run_uuid, p.service, p.host, p.pid, p.started_ns, p.last_seen_ns,
           COALESCE(own.hold, everyone.hold), CASE WHEN own.hold IS NULL THEN everyone.reason ELSE own.reason END,
           h.level, h.breaker, h.breaker_since_ns, h.last_failure, h.recorded, {lost}
         FROM processes p
         LEFT JOIN health h ON h.process_id = p.process_id
         LEFT JOIN breaker own ON own.process_id = p.process_id
         LEFT JOIN breaker everyone ON everyone.process_id = 0
         WHERE p.ending = 'running' ORDER BY p.process_id"
    );
    let mut found = Vec::new();
    store.read_rows(&sql, [], |row| {
        let cells = report::read_cells(row, 15)?;
        let number = |at: usize| cells[at].to_integer().unwrap_or(0);
        let text = |at: usize| cells[at].as_text().unwrap_or_default().to_owned();
        let alive = living.iter().find(|living| Some(living.process.run_uuid.as_str()) == cells[1].as_text());
        let is_gone = is_gone(&text(3), number(4));
        found.push(Facts {
            process_id: number(0),
            service: text(2),
            pid: number(4),
            started_ns: number(5),
            last_seen_ns: number(6),
            is_there: !is_gone,
            alive_ns: alive.map(|living| living.alive_ns),
            held_open: (cells[7].as_text() == Some("open")).then(|| text(8)),
            report: cells[9].as_text().map(|level| Reported {
                level: level.to_owned(),
                breaker: text(10),
                breaker_since_ns: number(11),
                last_failure: cells[12].as_text().map(str::to_owned),
                recorded: number(13),
                lost: number(14),
            }),
        });
        Ok(())
    })?;
    Ok(found)
}

/// Returns true if a process ran on this host and no longer exists; false if the system does not show whether it exists.
pub(crate) fn is_gone(host: &str, pid: i64) -> bool {
    u32::try_from(pid).is_ok_and(|pid| liveness::is_running_on(host, pid) == Some(false))
}

/// Counts the alerts that fire. Older stores have none.
fn read_firing(store: &Store) -> Result<Firing> {
    if !store.has(&["alerts"])? {
        return Ok(Firing::default());
    }
    let count = |level: &str| -> Result<i64> {
        let sql = "SELECT count(*) FROM alerts WHERE level = ?1 AND state IN ('firing', 'recovering')";
        Ok(store.read_integer(sql, [level])?.unwrap_or(0))
    };
    Ok(Firing { critical: count("critical")?, warning: count("warning")? })
}

/// Judges all parts. A process that no longer exists is left out if its service runs again, because its end has then
/// been dealt with.
fn judge(all: &[Facts], size: &str, alerts: Firing, now_ns: i64) -> Overall {
    let runs = |service: &str| all.iter().any(|other| other.is_there && other.service == service);
    let facts: Vec<&Facts> = all.iter().filter(|one| one.is_there || !runs(&one.service)).collect();
    let present: Vec<&Facts> = facts.iter().copied().filter(|one| one.is_there).collect();
    let mut parts = vec![Part {
        name: "store",
        status: Status::Ok,
        process: None,
        since_ns: None,
        why: format!("it can be read and has {size}").into(),
    }];
    parts.push(judge_worst("rings", &present, judge_rings, "no rows were lost"));
    parts.push(judge_worst("breaker", &present, judge_breaker, "closed"));
    parts.push(if facts.is_empty() {
        Part {
            name: "recorder",
            status: Status::Degraded,
            process: None,
            since_ns: None,
            why: "no process is running, so nothing is recorded".into(),
        }
    } else {
        judge_worst("recorder", &present, judge_recorder, "everything is recorded")
    });
    parts.push(judge_alerts(alerts));
    parts.extend(facts.iter().map(|one| judge_process(one, now_ns)));
    let reported = |level: &str| {
        present.iter().any(|one| one.report.as_ref().is_some_and(|report| report.level == level))
    };
    let level = LEVELS.into_iter().find(|level| reported(level)).map(str::to_owned);
    Overall { parts, level, alerts }
}

/// A judgement on a process: status, since when, and why.
type Judgement = (Status, Option<i64>, Why);

/// Returns the worst judgement over processes as a part; `fine` is the reason if all is well.
fn judge_worst(
    name: &'static str,
    all: &[&Facts],
    judge: fn(&Facts) -> Option<Judgement>,
    fine: &str,
) -> Part {
    let found = all.iter().filter_map(|one| Some((one.process_id, judge(one)?)));
    let worst = found.max_by_key(|(process, (status, ..))| (*status, std::cmp::Reverse(*process)));
    match worst {
        Some((process, (status, since_ns, why))) => {
            Part { name, status, process: Some(process), since_ns, why }
        }
        None => Part { name, status: Status::Ok, process: None, since_ns: None, why: fine.into() },
    }
}

fn judge_rings(one: &Facts) -> Option<Judgement> {
    let Reported { recorded, lost, .. } = one.report.as_ref()?;
    let all = recorded.saturating_add(*lost);
    let status = if *lost > all / LOST_SHARE { Status::Degraded } else { Status::Ok };
    (*lost > 0).then(|| {
        (status, None, format!("{lost} of {all} rows were lost since its start; counts are exact").into())
    })
}

fn judge_breaker(one: &Facts) -> Option<Judgement> {
    if let Some(reason) = &one.held_open {
        return Some((Status::Failing, None, Why::new(format!("held open: {reason}"), "held open")));
    }
    let report = one.report.as_ref()?;
    let status = match report.breaker.as_str() {
        "closed" => return None,
        "half_open" => Status::Degraded,
        _ => Status::Failing,
    };
    let failure = report.last_failure.as_ref().map_or(String::new(), |failure| format!(": {failure}"));
    let state = report.breaker.replace('_', " ");
    Some((status, Some(report.breaker_since_ns), Why::new(format!("{state}{failure}"), state)))
}

/// Adds to the part `breaker` that the next process will be held open. That is not failing, because nothing is lost as long
/// as no process runs.
fn judge_next(overall: &mut Overall, next: &Breaker) {
    if next.hold.as_deref() != Some("open") {
        return;
    }
    for part in overall.parts.iter_mut().filter(|part| part.name == "breaker") {
        let brief = "the next process will be held open";
        let reason = next.reason.as_deref().unwrap_or_default();
        (part.status, part.since_ns) = (Status::Degraded, next.set_ns);
        part.why = Why::new(format!("{brief}: {reason}"), brief);
    }
}

fn judge_recorder(one: &Facts) -> Option<Judgement> {
    let why = match one.report.as_ref()?.level.as_str() {
        "full" => return None,
        "degraded" => "the store could not be written, so records waited in memory",
        "minimal" => "the memory for waiting records was nearly used up: only failures and counts were kept",
        _ => "recording has ended",
    };
    Some((Status::Degraded, None, why.into()))
}

/// Judges alerts. Alerts are about the program and not about its recorder, so they never make an endpoint answer 503,
/// because an orchestrator would then restart the program.
fn judge_alerts(alerts: Firing) -> Part {
    let Firing { critical, warning } = alerts;
    let (status, why) = match critical + warning {
        0 => (Status::Ok, Why::from("none fires")),
        _ => (Status::Degraded, format!("{critical} critical and {warning} warning fire").into()),
    };
    Part { name: "alerts", status, process: None, since_ns: None, why }
}

fn judge_process(one: &Facts, now_ns: i64) -> Part {
    let name = format!("{} (pid {})", one.service, one.pid);
    let part = |status, since_ns, text: &str| Part {
        name: "process",
        status,
        process: Some(one.process_id),
        since_ns: Some(since_ns),
        why: Why::new(format!("{name} {text}"), format!("the process (pid {}) {text}", one.pid)),
    };
    if !one.is_there {
        return part(
            Status::Degraded,
            one.last_seen_ns,
            "is no more, and no other process of the service runs",
        );
    }
    if let Some(alive_ns) = one.alive_ns {
        return if now_ns.saturating_sub(alive_ns) > STOPPED_AFTER_NS {
            part(
                Status::Degraded,
                alive_ns,
                "stands still: it is there, but its recorder has not moved for 15 s",
            )
        } else {
            part(Status::Ok, one.started_ns, "is running")
        };
    }
    if now_ns.saturating_sub(one.last_seen_ns) > SILENT_AFTER_NS {
        part(Status::Degraded, one.last_seen_ns, "is stale: it has not reported for ten minutes")
    } else {
        part(Status::Ok, one.started_ns, "is running")
    }
}

/// An answer of a health endpoint: a status of HTTP, and a JSON object. It is never to be cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200, or 503 if nothing should be sent to the server.
    pub(crate) code: u16,
    /// The body, of the type `application/json`.
    pub(crate) body: String,
}

/// Answers `/livez` with 200, because a server that can answer is alive.
pub(crate) fn livez() -> Answer {
    Answer { code: 200, body: json!({ "status": Status::Ok.as_str() }).to_string() }
}

/// Answers `/readyz`: 200 if all these stores can be read, else 503 with the first reason.
pub(crate) fn readyz(opened: &[Result<Store>], detail: Detail) -> Answer {
    let read = |opened: &Result<Store>| match opened {
        Ok(store) => {
            store.read_integer("SELECT count(*) FROM processes", []).map_err(|error| format!("{error:#}"))
        }
        Err(error) => Err(format!("{error:#}")),
    };
    match opened.iter().try_for_each(|opened| read(opened).map(|_| ())) {
        Ok(()) => Answer { code: 200, body: json!({ "status": Status::Ok.as_str() }).to_string() },
        Err(why) => {
            let why = if detail == Detail::Full { why.as_str() } else { CANNOT_READ };
            Answer { code: 503, body: json!({ "status": Status::Failing.as_str(), "why": why }).to_string() }
        }
    }
}

/// Answers `/healthz` for these stores, each with its name: 503 if a part of one fails, else 200, with all parts. The answer for
/// several stores has the form of that for one; readers that may know names see the store of each part.
pub(crate) fn healthz(stores: &[(&str, Overall)], detail: Detail) -> Answer {
    let status = stores.iter().map(|(_, overall)| overall.status()).max().unwrap_or_default();
    let code = if status == Status::Failing { 503 } else { 200 };
    let level = |overall: &Overall| LEVELS.iter().position(|level| overall.level.as_deref() == Some(level));
    let level = stores.iter().filter_map(|(_, overall)| level(overall)).min().map(|at| LEVELS[at]);
    let mut parts = Vec::new();
    for (name, overall) in stores {
        for mut part in overall.list_parts(detail) {
            if stores.len() > 1 && detail == Detail::Full {
                part["store"] = json!(name);
            }
            parts.push(part);
        }
    }
    let alerts = |count: fn(&Firing) -> i64| stores.iter().map(|(_, overall)| count(&overall.alerts)).sum();
    let firing =
        Firing { critical: alerts(|firing| firing.critical), warning: alerts(|firing| firing.warning) };
    Answer { code, body: write_json(status, level, &parts, firing).to_string() }
}

/// Reads the status of the recorders, and counts a store that cannot be opened or read as failing.
pub(crate) fn read_any(
    opened: Result<&Store, &anyhow::Error>,
    living: &[LiveProcess],
    now_ns: i64,
) -> Overall {
    match opened {
        Ok(store) => {
            read(store, living, now_ns).unwrap_or_else(|error| Overall::unreadable(&format!("{error:#}")))
        }
        Err(error) => Overall::unreadable(&format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    fn fine(process_id: i64) -> Facts {
        Facts {
            process_id,
            service: "shop".to_owned(),
            pid: 100 + process_id,
            started_ns: NOW - 900 * SECOND,
            last_seen_ns: NOW - SECOND,
            is_there: true,
            alive_ns: Some(NOW - SECOND),
            held_open: None,
            report: Some(Reported {
                level: "full".to_owned(),
                breaker: "closed".to_owned(),
                recorded: 1000,
                ..Reported::default()
            }),
        }
    }

    fn reported(change: impl FnOnce(&mut Reported)) -> Facts {
        let mut facts = fine(2);
        facts.report.as_mut().map(change);
        facts
    }

    /// Returns the parts that are not `ok`.
    fn judge_all(facts: &[Facts]) -> Vec<(&'static str, Status, Option<i64>)> {
        let overall = judge(facts, "1 MiB", Firing::default(), NOW);
        let bad = overall.parts.iter().filter(|part| part.status != Status::Ok);
        bad.map(|part| (part.name, part.status, part.process)).collect()
    }

    #[test]
    fn each_part_is_that_of_the_process_that_does_worst() {
        use Status::{Degraded, Failing};
        assert_eq!(judge_all(&[fine(1)]), []);
        assert_eq!(judge_all(&[]), [("recorder", Degraded, None)]);
        let held = Facts { held_open: Some("disk swap".to_owned()), ..fine(2) };
        assert_eq!(judge_all(&[fine(1), held]), [("breaker", Failing, Some(2))]);
        let half = reported(|report| report.breaker = "half_open".to_owned());
        assert_eq!(judge_all(&[half, fine(1)]), [("breaker", Degraded, Some(2))]);
        let minimal = reported(|report| report.level = "minimal".to_owned());
        assert_eq!(judge_all(&[minimal]), [("recorder", Degraded, Some(2))]);
        let lossy = reported(|report| report.lost = 11);
        assert_eq!(judge_all(&[lossy]), [("rings", Degraded, Some(2))]);
        let few = reported(|report| report.lost = 10);
        assert_eq!(judge_all(&[few]), []);
    }

    #[test]
    fn a_hold_that_the_next_process_takes_degrades_the_breaker_and_names_its_reason_to_those_who_may_know() {
        let hold = |word: &str| {
            let mut overall = judge(&[], "1 MiB", Firing::default(), NOW);
            let (hold, reason) = (Some(word.to_owned()), Some("disk swap".to_owned()));
            judge_next(&mut overall, &Breaker { hold, reason, set_ns: Some(NOW), ..Breaker::default() });
            overall.parts.into_iter().find(|part| part.name == "breaker").map(|part| (part.status, part.why))
        };
        let why = Why::new(
            "the next process will be held open: disk swap".to_owned(),
            "the next process will be held open",
        );
        assert_eq!(hold("open"), Some((Status::Degraded, why)));
        assert_eq!(hold("closed").map(|(status, _)| status), Some(Status::Ok));
    }

    #[test]
    fn a_process_that_is_stopped_stands_still_and_one_that_is_gone_counts_until_another_runs() {
        use Status::Degraded;
        let stopped = Facts { alive_ns: Some(NOW - 16 * SECOND), ..fine(2) };
        assert_eq!(judge_all(&[stopped]), [("process", Degraded, Some(2))]);
        let idle = Facts { alive_ns: None, last_seen_ns: NOW - 301 * SECOND, ..fine(2) };
        assert_eq!(judge_all(&[idle]), []);
        let silent = Facts { alive_ns: None, last_seen_ns: NOW - 601 * SECOND, ..fine(2) };
        assert_eq!(judge_all(&[silent]), [("process", Degraded, Some(2))]);
        let gone = Facts { is_there: false, ..fine(2) };
        assert_eq!(judge_all(std::slice::from_ref(&gone)), [("process", Degraded, Some(2))]);
        assert_eq!(judge_all(&[gone.clone(), fine(3)]), []);
        let other = Facts { service: "bank".to_owned(), ..fine(3) };
        assert_eq!(judge_all(&[gone, other]), [("process", Degraded, Some(2))]);
    }

    #[test]
    fn only_a_process_that_the_list_of_processes_calls_stale_is_stale_here() {
        for (alive_ns, last_seen_ns, word) in [
            (Some(NOW - 16 * SECOND), NOW, "stands still"),
            (Some(NOW - 700 * SECOND), NOW - 599 * SECOND, "stands still"),
            (None, NOW - 601 * SECOND, "is stale"),
            (None, NOW - 599 * SECOND, "is running"),
        ] {
            let part = judge_process(&Facts { last_seen_ns, alive_ns, ..fine(2) }, NOW);
            assert!(part.why.full.contains(word), "{}", part.why.full);
        }
    }

    #[test]
    fn the_answer_says_which_part_and_why_and_503_only_if_one_fails() {
        let overall = judge(&[fine(1)], "1 MiB", Firing { critical: 1, warning: 2 }, NOW);
        assert_eq!((overall.status(), overall.level.as_deref()), (Status::Degraded, Some("full")));
        let json = overall.to_json(Detail::Full);
        assert_eq!(json["alerts"], json!({ "critical": 1, "warning": 2 }));
        assert_eq!(json["parts"].as_array().map(Vec::len), Some(6));
        let broken: Result<Store> = Err(anyhow::anyhow!("there is no store"));
        let full = Detail::Full;
        let broken = [broken];
        let health = |detail| healthz(&[("shop.db", read_any(broken[0].as_ref(), &[], NOW))], detail);
        let (health_in_full, ready) = (health(full), readyz(&broken, full));
        assert_eq!((health_in_full.code, ready.code, livez().code), (503, 503, 200));
        assert!(
            health_in_full.body.contains("there is no store") && ready.body.contains("there is no store")
        );
        let brief = Detail::Brief;
        for answer in [health(brief), readyz(&broken, brief)] {
            assert!(answer.body.contains(CANNOT_READ) && !answer.body.contains("there is no store"));
        }
    }

    #[test]
    fn the_answer_for_several_stores_is_that_of_the_worst_with_the_parts_of_all() {
        let overall = |facts: Facts, critical| judge(&[facts], "1 MiB", Firing { critical, warning: 1 }, NOW);
        let minimal = reported(|report| report.level = "minimal".to_owned());
        let all = [
            ("a.db", overall(fine(1), 0)),
            ("b.db", overall(minimal, 2)),
            ("c.db", Overall::unreadable("gone")),
        ];
        let answer = |stores: &[(&str, Overall)], detail| {
            let Answer { code, body } = healthz(stores, detail);
            (code, serde_json::from_str::<Value>(&body).unwrap_or_default())
        };
        let (code, json) = answer(&all, Detail::Full);
        assert_eq!((code, &json["status"], &json["level"]), (503, &json!("failing"), &json!("minimal")));
        assert_eq!(json["alerts"], json!({ "critical": 2, "warning": 2 }));
        let stores: Vec<_> =
            json["parts"].as_array().into_iter().flatten().map(|part| &part["store"]).collect();
        assert_eq!((stores.len(), stores[0], stores[12]), (13, &json!("a.db"), &json!("c.db")));
        let (code, json) = answer(&all[..2], Detail::Brief);
        assert_eq!((code, &json["status"]), (200, &json!("degraded")));
        assert!(!json.to_string().contains("a.db"));
        assert_eq!(answer(&all[1..2], Detail::Full).1, all[1].1.to_json(Detail::Full));
    }

    #[test]
    fn names_and_texts_are_for_those_who_may_know_them() {
        let held = Facts { held_open: Some("swap of disk 7".to_owned()), ..fine(1) };
        let failing = reported(|report| {
            (report.breaker, report.last_failure) =
                ("open".to_owned(), Some("/srv/shop.db is full".to_owned()));
        });
        let gone = Facts { is_there: false, service: "bank".to_owned(), ..fine(3) };
        for (facts, private, open) in [
            (held, "swap of disk 7", "held open"),
            (failing, "/srv/shop.db", "open"),
            (gone, "bank", "the process (pid 103)"),
            (fine(4), "shop", "the process (pid 104) is running"),
        ] {
            let overall = judge(&[facts], "1 MiB", Firing::default(), NOW);
            let text = |detail| overall.to_json(detail).to_string();
            assert!(text(Detail::Full).contains(private), "{private}");
            assert!(!text(Detail::Brief).contains(private), "{private}");
            assert!(text(Detail::Brief).contains(open), "{open}");
        }
    }
}
