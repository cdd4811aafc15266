//! The questions that the view asks and the answers that it shows.
//!
//! A question names a page, a span and a filter; its number shows whether an answer is still wanted. Answers hold facts
//! of the model and nothing that belongs to a screen.

use std::path::PathBuf;
use std::sync::Arc;

use super::heat::Boxed;
use super::span::Span;
use crate::model::activity::{Activity, RateReport};
use crate::model::call_tree::Tree;
use crate::model::compare::Change;
use crate::model::failures::Kind;
use crate::model::findings::Findings;
use crate::model::heat::Grid;
use crate::model::latest_calls::{Call, FoundCalls};
use crate::model::overview::Overview;
use crate::model::windows::Sum;
use crate::pattern::Pattern;
use crate::report::Report;

/// The parts of a span whose figures are shown as a row of bars.
pub(super) const PARTS: usize = 12;

/// The facts that a page needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// The functions that were called.
    Functions,
    /// A function, by name, with its latest calls, or the failed ones among them.
    Function { name: String, is_failed: bool },
    /// The latest calls, or the failed ones among them.
    Calls { is_failed: bool },
    /// The trace of a call.
    Trace(i64),
    /// The kinds of failure.
    Kinds,
    /// The failures of one kind: function, outcome and message.
    Examples([String; 3]),
    /// The calls in a box of the picture of durations.
    Box(Boxed),
    /// The differences between the span and the time before it.
    Changes,
    /// The calls under way.
    Live,
    /// The findings.
    Findings,
    /// The rows of a statement that a finding rests on.
    Evidence(String),
    /// The processes, and with them the health of their recorders.
    Processes,
}

/// A question to the loader.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// The number of the question; it rises with each change.
    pub(super) number: u64,
    /// The page.
    pub(super) wanted: Wanted,
    /// The function whose details are shown beside the page.
    pub(super) detail: Option<String>,
    /// True if the rates of functions are wanted.
    pub(super) wants_rates: bool,
    /// The span.
    pub(super) span: Span,
    /// The functions that are shown.
    pub(super) filter: Option<Pattern>,
    /// True while the loader reads nothing again unless the question changes.
    pub(super) is_paused: bool,
}

/// The facts of a page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Page {
    /// Nothing was loaded yet.
    #[default]
    Loading,
    /// The functions.
    Functions(Vec<Activity>),
    /// Calls.
    Calls(FoundCalls),
    /// A trace; `None` if the call is gone.
    Trace(Option<Tree>),
    /// The kinds of failure.
    Kinds(Vec<Kind>),
    /// The differences.
    Changes(Changes),
    /// The calls under way, with the columns of `monitor live`, and the number of processes that were asked.
    Live(Report, usize),
    /// The findings.
    Findings(Findings),
    /// The rows of a statement.
    Evidence(Report),
    /// The processes; the overview has them.
    Processes,
    /// The reason why the page could not be loaded.
    Failed(String),
}

/// The differences between the span and the time before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Changes {
    /// The functions, those that got worse first.
    pub(super) changes: Vec<Change>,
    /// The comparison in a sentence.
    pub(super) sentence: String,
}

/// The details of one function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Detail {
    /// The function.
    pub(super) function: String,
    /// The durations over the span.
    pub(super) heat: Grid,
    /// The functions that call the function, and those that it calls, as far as any call of them was seen.
    pub(super) callers: Vec<String>,
    pub(super) callees: Vec<String>,
    /// The latest failed calls.
    pub(super) failed: Vec<Call>,
    /// The sums of the span.
    pub(super) sum: Sum,
}

/// An answer of the loader.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answer {
    /// The number of the question.
    pub(super) number: u64,
    /// The figures above every screen; `None` while the store cannot be read.
    pub(super) overview: Option<Overview>,
    /// The page; `None` if it has not changed since the last answer.
    pub(super) page: Option<Page>,
    /// The details; `None` if they have not changed or are not wanted.
    pub(super) detail: Option<Detail>,
    /// The rates; `None` if they have not changed or are not wanted.
    pub(super) rates: Option<Arc<Vec<RateReport>>>,
    /// The store that the answer is about; `None` if it is the same as before.
    pub(super) store: Option<PathBuf>,
    /// The reason why the store cannot be read.
    pub(super) trouble: Option<String>,
}
