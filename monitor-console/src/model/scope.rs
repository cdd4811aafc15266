//! The part of a store that a page shows: a span of time, and some of the processes.
//!
//! Takes names of services and builds; gives the numbers of the processes that have them. The file does not know where
//! the names come from.

use anyhow::Result;

use super::period::Period;
use super::processes::{self, Process};
use crate::store::Store;

/// A span of time and the processes that count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scope {
    /// The span.
    pub(crate) period: Period,
    /// The numbers of the processes; `None` for all processes.
    pub(crate) processes: Option<Vec<i64>>,
}

impl Scope {
    /// All that a store holds.
    pub(crate) const WHOLE: Self = Self { period: Period::WHOLE, processes: None };

    /// Returns true if neither time nor processes are narrowed.
    pub(crate) fn is_whole(&self) -> bool {
        self.period.is_whole() && self.processes.is_none()
    }

    /// Returns the numbers of the processes as a JSON array, which SQL reads with `json_each`; `None` for all processes.
    pub(crate) fn processes_json(&self) -> Option<String> {
        let numbers = self.processes.as_ref()?.iter().map(i64::to_string).collect::<Vec<_>>();
        Some(format!("[{}]", numbers.join(",")))
    }

    /// Returns true if the process counts.
    pub(crate) fn has_process(&self, process_id: i64) -> bool {
        self.processes.as_ref().is_none_or(|processes| processes.contains(&process_id))
    }
}

/// Returns the numbers of the processes of a run, a service and a build; `None` if none of the three is named. A build is
/// named by the start of its id.
pub(crate) fn select_processes(
    store: &Store,
    run: Option<i64>,
    service: Option<&str>,
    build: Option<&str>,
) -> Result<Option<Vec<i64>>> {
    if run.is_none() && service.is_none() && build.is_none() {
        return Ok(None);
    }
    let is_of_build = |process: &Process, wanted: &str| {
        process.build.as_deref().is_some_and(|known| {
            known.trim_start_matches("stamp-").starts_with(wanted.trim_start_matches("stamp-"))
        })
    };
    let found = processes::read_identities(store)?
        .into_iter()
        .filter(|process| run.is_none_or(|run| process.process_id == run))
        .filter(|process| service.is_none_or(|service| process.service == service))
        .filter(|process| build.is_none_or(|build| is_of_build(process, build)))
        .map(|process| process.process_id);
    Ok(Some(found.collect()))
}
