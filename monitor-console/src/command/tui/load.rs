//! The loader: a thread with its own connection that answers the questions of the view.
//!
//! Takes the latest question; gives answers. The loader reads a page again only if the store changed, if the span moved
//! by a window, or if another question came. After a reading it pauses for a multiple of the time that the reading
//! took, so that it takes a twentieth of a core. Because the pause is bounded, readings of more than three seconds take
//! a larger share. A store that cannot be read is reported and tried again.
//!
//! The file does not know what is drawn.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use monitor_runtime::platform::file_system::file_identity;
use monitor_runtime::recover;
use monitor_runtime::store::schema::WINDOW_NS;

use super::facts::{Answer, Changes, Detail, PARTS, Page, Question, Wanted};
use super::heat;
use crate::arguments::Live;
use crate::command::{diff, live};
use crate::model::compare::{self, Side, SideName};
use crate::model::failures::{self, Bounds, Question as KindsQuestion};
use crate::model::findings::{self, Evidence};
use crate::model::heat::Grid;
use crate::model::names::Names;
use crate::model::period::Period;
use crate::model::rows::ROWS_MAX;
use crate::model::scope::Scope;
use crate::model::windows::{self, Selection};
use crate::model::{activity, call_tree, edges, latest_calls, overview};
use crate::report::{Column, Report};
use crate::store::Store;
use crate::{find, units};

/// The shortest pause between two readings.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two readings of a page.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause as a multiple of the time that reading took.
const PAUSE_FACTOR: u32 = 19;
/// The pause between two attempts to open a store.
const RETRY: Duration = Duration::from_secs(1);
/// The time after which the store's file, and ring files of dead processes, are looked for again.
const RECOVERY_PAUSE: Duration = Duration::from_secs(5);
/// The time that a statement may compute.
const STATEMENT_LIMIT: Duration = Duration::from_secs(20);
/// The calls of a list, of a trace, and the failed calls beside a function.
pub(super) const CALLS_MAX: usize = 500;
const TRACE_CALLS_MAX: usize = 10_000;
const FAILED_SHOWN: usize = 6;
/// The rows that a finding's evidence shows.
const EVIDENCE_ROWS_MAX: i64 = 200;
/// The length of the time that a span is compared with, as a multiple of its own.
pub(super) const PAST_FACTOR: i64 = 6;
/// The least change of a typical duration that matters.
const CHANGE_MIN: f64 = 0.1;

/// The place where the view leaves its question.
#[derive(Default)]
pub(super) struct Mailbox {
    question: Mutex<Option<Question>>,
    is_changed: Condvar,
}

impl Mailbox {
    /// Leaves a question, which replaces the one before.
    pub(super) fn ask(&self, question: Question) {
        *self.question.lock().unwrap_or_else(PoisonError::into_inner) = Some(question);
        self.is_changed.notify_all();
    }

    /// Waits until the question differs from `known`, at most for `pause`, and returns it.
    fn wait(&self, known: Option<&Question>, pause: Duration) -> Option<Question> {
        let question = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |asked: &mut Option<Question>| asked.as_ref() == known;
        let waited = self.is_changed.wait_timeout_while(question, pause, is_known);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Answers questions for as long as answers are taken.
pub(super) fn run(path: PathBuf, mailbox: &Mailbox, give: impl Fn(Answer) -> bool) {
    let mut loader = Loader::new(path);
    let mut asked: Option<Question> = None;
    let mut pause = Duration::ZERO;
    loop {
        let Some(question) = mailbox.wait(asked.as_ref(), pause) else {
            pause = PAUSE;
            continue;
        };
        let answer = loader.answer(&question);
        asked = Some(question);
        pause = if answer.as_ref().is_some_and(|answer| answer.trouble.is_some()) { RETRY } else { PAUSE };
        if answer.is_some_and(|answer| !give(answer)) {
            return;
        }
    }
}

/// The store, and what was last read from it.
struct Loader {
    /// The path that was chosen when the view began.
    chosen: PathBuf,
    /// The file that programs use now when they are given the chosen path.
    path: PathBuf,
    store: Option<Store>,
    /// The last question, if the store could be read for its answer. A question without an answer is asked again, also
    /// while the view is paused.
    answered: Option<Question>,
    /// The device and inode of the file.
    identity: Option<(u64, u64)>,
    /// The version of the data that was read, and the window that was the present one.
    read: Option<(i64, i64)>,
    /// The time from which the page may be read again by itself.
    page_due: Instant,
    recovered: Option<Instant>,
}

impl Loader {
    fn new(path: PathBuf) -> Self {
        Self {
            chosen: path.clone(),
            path,
            store: None,
            answered: None,
            identity: None,
            read: None,
            page_due: Instant::now(),
            recovered: None,
        }
    }

    /// Answers a question; returns `None` if nothing has changed since the last question.
    fn answer(&mut self, question: &Question) -> Option<Answer> {
        let answered = self.answered.as_ref();
        let is_new = answered.is_none_or(|answered| answered.number != question.number);
        let wants_more = answered.is_none_or(|answered| {
            answered.detail != question.detail || (question.wants_rates && !answered.wants_rates)
        });
        if question.is_paused && !is_new && !wants_more {
            return None;
        }
        let answer = match self.read_facts(question, is_new, wants_more) {
            Ok(answer) => {
                self.answered = Some(question.clone());
                answer
            }
            Err(error) => {
                (self.store, self.read, self.answered) = (None, None, None);
                let trouble = Some(format!("waiting for the store: {error:#}"));
                Some(Answer { number: question.number, trouble, ..Answer::default() })
            }
        };
        answer.map(|answer| Answer { store: Some(self.path.clone()), ..answer })
    }

    fn read_facts(&mut self, question: &Question, is_new: bool, wants_more: bool) -> Result<Option<Answer>> {
        self.open()?;
        let store = self.store.as_ref().context("the store is closed")?;
        let now_ns = units::now_ns();
        let version = store.read_data_version()?;
        let window = question.span.end_ns.unwrap_or(now_ns).div_euclid(WINDOW_NS);
        // The calls under way lie in ring files and change without the store.
        let is_changed =
            question.wanted == Wanted::Live || self.read.is_none_or(|read| read != (version, window));
        let begun = Instant::now();
        let page = is_new || (is_changed && !question.is_paused && begun >= self.page_due);
        if !page && !wants_more {
            return Ok(None);
        }
        let has_ended = question.span.end_ns.is_some();
        let period = question.span.to_period(now_ns);
        let answer = Answer {
            number: question.number,
            overview: page.then(|| overview::read(store, period, has_ended, now_ns)).transpose()?,
            // If a query of the page fails, this page shows the error, because other pages may still be readable.
            page: page.then(|| {
                read_page(store, question, now_ns).unwrap_or_else(|error| Page::Failed(format!("{error:#}")))
            }),
            detail: match &question.detail {
                Some(function) => Some(read_detail(store, function, question, now_ns)?),
                None => None,
            },
            rates: question.wants_rates.then(|| activity::read_rates(store).map(Arc::new)).transpose()?,
            ..Answer::default()
        };
        if page {
            self.read = Some((version, window));
            self.page_due = Instant::now() + (begun.elapsed() * PAUSE_FACTOR).clamp(PAUSE, PAUSE_MAX);
        }
        Ok(Some(answer))
    }

    /// Opens the store, or the file that took its place, and recovers what dead processes left for the store.
    fn open(&mut self) -> Result<()> {
        if self.recovered.is_none_or(|at| at.elapsed() > RECOVERY_PAUSE) || self.store.is_none() {
            self.recovered = Some(Instant::now());
            self.path = find::follow_programs(&self.chosen);
            // A failure of recovery leaves the calls in their ring files, from where the next attempt takes them.
            let _ = recover::recover(&self.path, &find::list_ring_folders(), units::now_ns());
            let identity = read_identity(&self.path);
            if identity != self.identity {
                (self.store, self.read) = (None, None);
            }
            if self.store.is_none() {
                let store = Store::open(&self.path)?;
                store.set_time_limit(STATEMENT_LIMIT);
                (self.store, self.identity) = (Some(store), identity);
            }
        }
        Ok(())
    }
}

/// Returns the device and inode of a file, which no other file has.
fn read_identity(path: &Path) -> Option<(u64, u64)> {
    file_identity(&fs::canonicalize(path).ok()?)
}

fn read_page(store: &Store, question: &Question, now_ns: i64) -> Result<Page> {
    let period = question.span.to_period(now_ns);
    let shown = question.span.to_shown_period(now_ns);
    Ok(match &question.wanted {
        Wanted::Functions => Page::Functions(activity::read(store, shown, PARTS)?),
        Wanted::Function { name, is_failed } => {
            let wanted = latest_calls::Wanted {
                function: Some(name.clone()),
                is_failed: *is_failed,
                limit: CALLS_MAX,
                ..latest_calls::Wanted::default()
            };
            Page::Calls(latest_calls::find(store, period, &wanted)?)
        }
        Wanted::Calls { is_failed } => {
            let wanted = latest_calls::Wanted {
                pattern: question.filter.clone(),
                is_failed: *is_failed,
                limit: CALLS_MAX,
                ..latest_calls::Wanted::default()
            };
            Page::Calls(latest_calls::find(store, period, &wanted)?)
        }
        Wanted::Trace(call) => Page::Trace(call_tree::load(store, *call, TRACE_CALLS_MAX)?),
        Wanted::Kinds => {
            let scope = Scope { period, processes: None };
            let bounds = Bounds::PAGE;
            let question = KindsQuestion { scope: &scope, pattern: None, parts: PARTS, bounds, now_ns };
            Page::Kinds(failures::read(store, question)?.kinds)
        }
        Wanted::Examples(kind) => {
            let kind = kind.each_ref().map(String::as_str);
            Page::Calls(latest_calls::find_examples(store, period, kind, CALLS_MAX)?)
        }
        Wanted::Box(boxed) => {
            let wanted = latest_calls::Wanted {
                function: Some(boxed.function.clone()),
                durations_ns: Some(boxed.durations_ns),
                limit: CALLS_MAX,
                ..latest_calls::Wanted::default()
            };
            let (from_ns, until_ns) = boxed.span_ns;
            Page::Calls(latest_calls::find(store, Period { from_ns, until_ns }, &wanted)?)
        }
        Wanted::Changes => Page::Changes(compare_with_past(store, shown)?),
        Wanted::Live => {
            let living = recover::find_live(store.path(), &find::list_ring_folders(), now_ns);
            let usual = live::read_usual_limits(store.path(), &living, now_ns);
            let all = Live { pattern: None, min: None, limit: None };
            Page::Live(live::build_report(&living, &usual, &all, now_ns), living.len())
        }
        Wanted::Findings => {
            let facts = findings::gather(store, &find::list_ring_folders(), period, now_ns, ROWS_MAX)?;
            Page::Findings(findings::find(&facts))
        }
        Wanted::Evidence(sql) => Page::Evidence(read_evidence(store, sql)?),
        Wanted::Processes => Page::Processes,
    })
}

/// Compares a span with the time before it, six times as long, as `monitor diff` does by default.
fn compare_with_past(store: &Store, shown: Period) -> Result<Changes> {
    let length = shown.until_ns.saturating_sub(shown.from_ns);
    let [past, shown] = shown.with_earlier(length.saturating_mul(PAST_FACTOR));
    let read = |period| Side::read(store, &SideName::Span(period), Period::WHOLE, None);
    let (before, after) = (read(past)?, read(shown)?);
    let mut changes = compare::compare(&before, &after, CHANGE_MIN);
    compare::trace_causes(&mut changes, [&before, &after], &edges::read_pairs(store)?);
    compare::add_intervals(&mut changes, [&before, &after]);
    changes.sort_by_key(|change| (change.verdict, change.is_passed_on));
    let sentence = diff::describe(&changes, [&before, &after]);
    Ok(Changes { changes, sentence })
}

/// Reads the first rows of the statement behind a finding.
fn read_evidence(store: &Store, sql: &str) -> Result<Report> {
    let Evidence { columns, rows } = findings::read_evidence(store, sql, EVIDENCE_ROWS_MAX)?;
    Ok(Report { columns: columns.iter().map(|name| Column::data(name)).collect(), rows })
}

fn read_detail(store: &Store, function: &str, question: &Question, now_ns: i64) -> Result<Detail> {
    let shown = question.span.to_shown_period(now_ns);
    let selection = Selection { period: shown, function: Some(function), process: None };
    let windows = windows::read(store, selection, &mut Names::default())?;
    let pairs = edges::read_pairs(store)?;
    let wanted = latest_calls::Wanted {
        function: Some(function.to_owned()),
        is_failed: true,
        limit: FAILED_SHOWN,
        ..latest_calls::Wanted::default()
    };
    Ok(Detail {
        function: function.to_owned(),
        heat: Grid::build(&windows, shown, heat::SIZE),
        callers: pairs
            .iter()
            .filter(|(_, callee)| callee == function)
            .map(|(caller, _)| caller.clone())
            .collect(),
        callees: pairs
            .iter()
            .filter(|(caller, _)| caller == function)
            .map(|(_, callee)| callee.clone())
            .collect(),
        failed: latest_calls::find(store, question.span.to_period(now_ns), &wanted)?.calls,
        sum: windows::Sum::from_windows(&windows),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use monitor_runtime::store::schema;
    use rusqlite::Connection;

    use super::super::span::Span;
    use super::*;

    fn create(path: &Path) {
        schema::create(&Connection::open(path).unwrap()).unwrap();
    }

    fn question(number: u64, is_paused: bool) -> Question {
        Question {
            number,
            wanted: Wanted::Functions,
            detail: None,
            wants_rates: false,
            span: Span::until_now(60_000_000_000),
            filter: None,
            is_paused,
        }
    }

    impl Loader {
        /// Answers a question as after a pause, so that the loader looks for the file again.
        fn answer_later(&mut self, question: &Question) -> Option<Answer> {
            self.recovered = None;
            self.answer(question)
        }
    }

    #[test]
    fn a_paused_question_is_asked_again_until_the_store_could_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let mut loader = Loader::new(path.clone());
        let is_troubled = |answer: Option<Answer>| answer.unwrap().trouble.is_some();
        let has_page =
            |answer: Option<Answer>| answer.is_some_and(|it| it.trouble.is_none() && it.page.is_some());
        let away = || {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(folder.path().join(format!("shop.db{end}")));
            }
        };
        // The store is not there when the view starts.
        assert!(is_troubled(loader.answer_later(&question(1, true))));
        assert!(is_troubled(loader.answer_later(&question(1, true))));
        create(&path);
        assert!(has_page(loader.answer_later(&question(1, true))));
        assert_eq!(loader.answer_later(&question(1, true)), None);
        // The store was read before it went away, and the view is paused afterwards.
        assert!(loader.answer_later(&question(1, false)).is_none_or(|answer| answer.trouble.is_none()));
        away();
        assert!(is_troubled(loader.answer_later(&question(1, false))));
        assert!(is_troubled(loader.answer_later(&question(1, true))));
        create(&path);
        assert!(has_page(loader.answer_later(&question(1, true))));
        assert_eq!(loader.answer_later(&question(1, true)), None);
        // Another screen is opened while the view is paused and the store is away.
        away();
        assert_eq!(loader.answer_later(&question(1, true)), None);
        assert!(is_troubled(loader.answer_later(&question(2, true))));
        create(&path);
        assert!(has_page(loader.answer_later(&question(2, true))));
        assert_eq!(loader.answer_later(&question(2, true)), None);
    }

    #[test]
    fn the_loader_names_the_store_that_programs_have_moved_to() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = folder.path().join("shop.db");
        create(&chosen);
        let run = |script: &str| Connection::open(&chosen).unwrap().execute_batch(script).unwrap();
        let mut loader = Loader::new(chosen.clone());
        let mut store_of = |number| loader.answer_later(&question(number, false)).unwrap().store.unwrap();
        assert_eq!(store_of(1), chosen);
        // A newer version of a program wrote to the store, and programs of this version use a file beside it.
        let newer = schema::VERSION + 1;
        run(&format!("PRAGMA user_version = {newer}"));
        let beside = folder.path().join(format!("shop.v{}.db", schema::VERSION));
        create(&beside);
        assert_eq!(store_of(2), beside);
        // The store is one for this version again.
        run(&format!("PRAGMA user_version = {}", schema::VERSION));
        assert_eq!(store_of(3), chosen);
        // Another program took the file for its own data.
        run("PRAGMA application_id = 1");
        let beside = folder.path().join("shop.monitor.db");
        create(&beside);
        assert_eq!(store_of(4), beside);
        // The moved store cannot be read.
        fs::write(&beside, "no store").unwrap();
        let answer = loader.answer_later(&question(5, false)).unwrap();
        assert_eq!((answer.trouble.is_some(), answer.store), (true, Some(beside)));
    }
}
