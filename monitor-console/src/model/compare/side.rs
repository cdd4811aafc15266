//! A side of a comparison: the windows of a span of time, of processes, or of another store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use monitor_runtime::store::schema::WINDOW_NS;

use super::sample::Sample;
use crate::model::names::Names;
use crate::model::period::Period;
use crate::model::processes::{self, Process};
use crate::model::scope::Scope;
use crate::model::window_rows::Grain;
use crate::model::windows;
use crate::moment;
use crate::pattern::Pattern;
use crate::store::Store;
use crate::units;

/// The name that the user gave to one side of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SideName {
    /// The time from one moment to another: `1h..30m`.
    Span(Period),
    /// The processes of a build, by the start of its id.
    Build(String),
    /// The processes of a version of the program.
    Version(String),
    /// The process of this number, one run of a program.
    Process(i64),
    /// A store file.
    Store(PathBuf),
}

const ALLOWED: &str = "a side is a span such as 1h..30m or 14:00..14:30, a build (build:1a2b), a version (version:1.4), \
                       a run (process:3) or the path of a store";

impl FromStr for SideName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_path =
            text.contains('/') || std::path::Path::new(text).extension().is_some_and(|end| end == "db");
        if let Some((from, until)) = text.split_once("..").filter(|_| !is_path) {
            let from_ns = moment::parse(from)?.0;
            let until_ns = if until.is_empty() { units::now_ns() } else { moment::parse(until)?.0 };
            if from_ns >= until_ns {
                return Err(format!("its start is not before its end; {ALLOWED}"));
            }
            return Ok(Self::Span(Period { from_ns, until_ns }));
        }
        match text.split_once(':') {
            _ if text.is_empty() || (text.starts_with('-') && !is_path) => Err(ALLOWED.to_owned()),
            Some(("build", build)) if !build.is_empty() => Ok(Self::Build(build.to_owned())),
            Some(("version", version)) if !version.is_empty() => Ok(Self::Version(version.to_owned())),
            Some(("process" | "run", run)) => units::parse_run(run).map(|run| Self::Process(run.into())),
            Some(_) if !is_path => Err(ALLOWED.to_owned()),
            _ => Ok(Self::Store(PathBuf::from(text))),
        }
    }
}

impl SideName {
    /// Returns both sides where one may have no name: the span of equal length right before a second side, or the time from the
    /// end of a first side to `end_ns`. Both are the spans of `unnamed` if no side has a name; a side that is no span is
    /// compared with the span there. Fails if no time follows the first side.
    pub(crate) fn complete(
        named: [Option<&Self>; 2],
        unnamed: [Period; 2],
        end_ns: i64,
    ) -> Result<[Self; 2], String> {
        let [earlier, recent] = unnamed.map(Self::Span);
        Ok(match named {
            [Some(before), Some(after)] => [before.clone(), after.clone()],
            [None, Some(Self::Span(after))] => after.with_equal_before().map(Self::Span),
            [Some(before @ Self::Span(span)), None] => match span.rest_until(end_ns) {
                Some(rest) => [before.clone(), Self::Span(rest)],
                None => {
                    return Err(
                        "no time is left after the first side: end it earlier, such as --before 3h..1h, or name the second \
                         side with --after"
                            .to_owned(),
                    );
                }
            },
            [before, after] => [before.cloned().unwrap_or(earlier), after.cloned().unwrap_or(recent)],
        })
    }
}

/// The windows of one side, by function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    /// The samples, by the name of the function.
    pub(crate) samples: BTreeMap<String, Sample>,
    /// The number of windows of all functions.
    pub(crate) windows: u64,
    /// The start of the first window, and the end of the last, ns since the Unix epoch.
    pub(crate) range_ns: Option<(i64, i64)>,
}

impl Side {
    /// Reads a side. `period` narrows a side that is no span itself.
    pub(crate) fn read(
        store: &Store,
        name: &SideName,
        period: Period,
        pattern: Option<&Pattern>,
    ) -> Result<Self> {
        Self::read_all(&[store], name, period, pattern)
    }

    /// Reads a side from several stores: windows of the same time add up.
    pub(crate) fn read_all(
        stores: &[&Store],
        name: &SideName,
        period: Period,
        pattern: Option<&Pattern>,
    ) -> Result<Self> {
        let mut names = Names::default();
        let mut samples: Vec<Sample> = Vec::new();
        let mut read = |store: &Store, processes: Option<Vec<i64>>, period| {
            let scope = Scope { period, processes };
            windows::visit(store, &scope, None, Grain::Window, &mut names, |function, row| {
                let at = function as usize;
                if samples.len() <= at {
                    samples.resize_with(at + 1, Sample::default);
                }
                samples[at].add(row.at, &row.stats, row.histogram);
            })
        };
        match name {
            SideName::Span(span) => stores.iter().try_for_each(|store| read(store, None, *span))?,
            SideName::Store(_) => stores.iter().try_for_each(|store| read(store, None, period))?,
            SideName::Build(_) | SideName::Version(_) | SideName::Process(_) => {
                for (position, process) in select_processes(stores, name)? {
                    read(stores[position], Some(vec![process]), period)?;
                }
            }
        }
        let mut side = Self::default();
        for (function, sample) in (0..).zip(samples) {
            let function = names.text(function);
            if pattern.is_none_or(|pattern| pattern.is_match(function)) {
                side.add(function, sample.finish());
            }
        }
        Ok(side)
    }

    /// Adds the sample of a function, unless it has no windows.
    fn add(&mut self, function: &str, sample: Sample) {
        let Some((first, last)) = sample.span() else { return };
        let (start, end) =
            (first.saturating_mul(WINDOW_NS), last.saturating_add(1).saturating_mul(WINDOW_NS));
        let (earliest, latest) = self.range_ns.unwrap_or((start, end));
        self.range_ns = Some((earliest.min(start), latest.max(end)));
        self.windows += sample.number();
        self.samples.insert(function.to_owned(), sample);
    }
}

/// Returns the runs that a build, a version or a number names, each with the position of its store; fails with what the stores
/// have if there is none.
fn select_processes(stores: &[&Store], name: &SideName) -> Result<Vec<(usize, i64)>> {
    let mut all = Vec::new();
    for (position, store) in stores.iter().enumerate() {
        all.extend(processes::read_identities(store)?.into_iter().map(|process| (position, process)));
    }
    let is_wanted = |process: &Process| match name {
        SideName::Build(build) => process.build.as_ref().is_some_and(|known| is_build(known, build)),
        SideName::Version(version) => process.program_version.as_ref() == Some(version),
        SideName::Process(run) => process.process_id == *run,
        SideName::Span(_) | SideName::Store(_) => false,
    };
    let found: Vec<(usize, i64)> = all
        .iter()
        .filter(|(_, process)| is_wanted(process))
        .map(|(position, process)| (*position, process.process_id))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let list = |texts: Vec<&str>| if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
    let mut known: Vec<&str> = match name {
        SideName::Build(_) => all.iter().filter_map(|(_, process)| process.build.as_deref()).collect(),
        _ => all.iter().filter_map(|(_, process)| process.program_version.as_deref()).collect(),
    };
    known.sort_unstable();
    known.dedup();
    let paths: Vec<String> = stores.iter().map(|store| store.path().display().to_string()).collect();
    let paths = paths.join(", ");
    match name {
        SideName::Build(build) => {
            bail!("no process of the build {build} is in {paths}; its builds: {}", list(known))
        }
        SideName::Version(version) => {
            bail!("no process of the version {version} is in {paths}; its versions: {}", list(known))
        }
        _ => bail!("there is no such run in {paths}: `monitor processes` lists the runs"),
    }
}

/// Returns true if the text is the start of a build's id, with or without what precedes the hash.
fn is_build(known: &str, text: &str) -> bool {
    known.starts_with(text) || known.strip_prefix("stamp-").is_some_and(|hash| hash.starts_with(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn sides_are_read_in_every_form() {
        let parse = |text: &str| text.parse::<SideName>();
        assert!(matches!(parse("1h..30m"), Ok(SideName::Span(Period { from_ns, until_ns }))
            if (until_ns - from_ns - 1_800_000_000_000).abs() < 1_000_000_000));
        assert!(matches!(parse("10m.."), Ok(SideName::Span(_))));
        assert_eq!(parse("build:1a2b"), Ok(SideName::Build("1a2b".to_owned())));
        assert_eq!(parse("version:1.4"), Ok(SideName::Version("1.4".to_owned())));
        assert_eq!(parse("process:3"), Ok(SideName::Process(3)));
        assert_eq!(parse("main.db"), Ok(SideName::Store(PathBuf::from("main.db"))));
        assert_eq!(parse("../main.db"), Ok(SideName::Store(PathBuf::from("../main.db"))));
        for bad in ["", "30m..1h", "build:", "colour:red", "1h..soon", "process:x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_build_is_named_by_the_start_of_its_id() {
        assert!(
            is_build("1a2b3c", "1a2b") && is_build("stamp-77aa", "77") && is_build("stamp-77aa", "stamp-77")
        );
        assert!(!is_build("1a2b3c", "2b"));
    }
}
