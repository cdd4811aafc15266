//! The state that the view shows: the screen, the cursor, the span, the filter, and the facts of the last answers.
//!
//! The state is pure: answers and keys go in, a question to the loader and effects come out. It reads no clock, no
//! store and no terminal, so every behaviour is a table in a test.

use std::path::PathBuf;
use std::sync::Arc;

use super::facts::{Answer, Detail, Page, Question, Wanted};
use super::heat::{Boxed, Cell as HeatCell};
use super::prompt::Prompt;
use super::span::Span;
use crate::command::export::Picture;
use crate::model::activity::{Activity, RateReport};
use crate::model::call_tree::{Line, Opened};
use crate::model::overview::Overview;
use crate::pattern::Pattern;
use crate::report::Cell;

/// The fewest columns of a screen at which details stand beside the list.
pub(super) const WIDE_COLUMNS: u16 = 120;
/// The fewest rows of a screen at which there is room for details.
const PANE_SCREEN_ROWS: u16 = 24;
/// The smallest screen that is drawn.
pub(super) const SMALLEST: (u16, u16) = (60, 15);

/// A screen that a number key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Functions,
    Calls,
    Errors,
    Live,
    Findings,
    Processes,
    Health,
}

impl Tab {
    pub(super) const ALL: [Self; 7] = [
        Self::Functions,
        Self::Calls,
        Self::Errors,
        Self::Live,
        Self::Findings,
        Self::Processes,
        Self::Health,
    ];

    /// Returns the title for a narrow screen.
    pub(super) fn short_title(self) -> &'static str {
        match self {
            Self::Functions => "Func",
            Self::Findings => "Find",
            Self::Processes => "Proc",
            other => other.title(),
        }
    }

    /// Returns the title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Functions => "Functions",
            Self::Calls => "Calls",
            Self::Errors => "Errors",
            Self::Live => "Live",
            Self::Findings => "Findings",
            Self::Processes => "Processes",
            Self::Health => "Health",
        }
    }
}

/// A screen that was opened from the one below it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layer {
    /// A function: its course and its latest calls, or the failed ones among them.
    Function { name: String, is_failed: bool },
    /// The trace of a call.
    Trace(i64),
    /// The failures of one kind: function, outcome and message.
    Examples([String; 3]),
    /// The rows that a finding rests on.
    Evidence { title: String, sql: String },
    /// The calls in a box of the picture of durations.
    Box(Boxed),
    /// The differences between the span and the time before it.
    Changes,
}

/// The figure by which functions are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SortKey {
    Total,
    SelfTime,
    Calls,
    Failed,
    Mean,
    P50,
    P95,
    P99,
    Max,
    Name,
}

impl SortKey {
    const ALL: [Self; 10] = [
        Self::Total,
        Self::SelfTime,
        Self::Calls,
        Self::Failed,
        Self::Mean,
        Self::P50,
        Self::P95,
        Self::P99,
        Self::Max,
        Self::Name,
    ];

    /// Returns the name, which `monitor top --sort` takes too, except for `name`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::SelfTime => "self",
            Self::Calls => "calls",
            Self::Failed => "errors",
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Name => "name",
        }
    }

    /// Returns the key this many steps further.
    pub(super) fn step(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|key| *key == self).unwrap_or(0);
        let count = Self::ALL.len();
        Self::ALL[(at + count).saturating_add_signed(by) % count]
    }

    /// Returns the figure of a function, the largest first; names are sorted by themselves.
    fn figure(self, activity: &Activity) -> u64 {
        let percentile = |at: usize| activity.percentiles.map_or(0, |percentiles| percentiles[at]);
        match self {
            Self::Total => activity.total_ns,
            Self::SelfTime => activity.self_ns,
            Self::Calls => activity.calls,
            Self::Failed => activity.failed,
            Self::Mean => activity.total_ns / activity.calls.max(1),
            Self::P50 => percentile(0),
            Self::P95 => percentile(1),
            Self::P99 => percentile(2),
            Self::Max => activity.max_ns,
            Self::Name => 0,
        }
    }
}

/// The selected row of a list. It follows its row when the rows around it change.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cursor {
    /// The key of the row; `None` before anything was selected.
    key: Option<String>,
    /// The position.
    pub(super) at: usize,
    /// The first row on the screen.
    pub(super) top: usize,
}

/// A row of the list on the screen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The key by which the row is found again after the rows have changed.
    key: String,
    /// The position of the row's fact in the page.
    pub(super) at: usize,
}

/// An effect on the world outside of the view.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// Ends the view.
    Quit,
    /// Stops the process until its shell lets it go on.
    Suspend,
    /// Draws everything again.
    Redraw,
    /// Copies a text.
    Copy(String),
    /// Sets the rate of functions.
    SetRate(Pattern, f64),
    /// Writes a picture of trees for other tools.
    Export(Picture),
    /// Holds the breakers of all processes: `open`, `closed` or `auto`, with the reason.
    Hold(&'static str, String),
}

/// The whole state.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own that a key turns")]
pub(super) struct State {
    pub(super) tab: Tab,
    pub(super) above: Vec<Layer>,
    pub(super) filter: Option<Pattern>,
    pub(super) prompt: Option<Prompt>,
    pub(super) is_help_shown: bool,
    pub(super) is_pane_open: bool,
    pub(super) is_critical_shown: bool,
    pub(super) is_failed_only: bool,
    pub(super) is_paused: bool,
    pub(super) sort: SortKey,
    pub(super) span: Span,
    pub(super) opened: Opened,
    pub(super) size: (u16, u16),
    pub(super) now_ns: i64,
    /// The path of the store that the loader reads, of which the screen shows the file name. Commands that are copied and
    /// changes go to the same store.
    pub(super) store: PathBuf,
    pub(super) overview: Overview,
    pub(super) trouble: Option<String>,
    pub(super) page: Page,
    pub(super) detail: Detail,
    pub(super) rates: Arc<Vec<RateReport>>,
    pub(super) rows: Vec<Row>,
    pub(super) lines: Vec<Line>,
    /// A sentence about the last key; the next key removes it.
    pub(super) status: Option<String>,
    /// The box that is being drawn: the cells at its corners.
    pub(super) drawn_box: Option<(HeatCell, HeatCell)>,
    cursors: Vec<Cursor>,
    number: u64,
    asked: Option<Question>,
}

impl State {
    /// Returns the state at the start.
    pub(super) fn new(store: PathBuf, span: Span, size: (u16, u16), now_ns: i64) -> Self {
        Self {
            tab: Tab::Functions,
            above: Vec::new(),
            filter: None,
            prompt: None,
            is_help_shown: false,
            is_pane_open: false,
            is_critical_shown: false,
            is_failed_only: false,
            is_paused: false,
            sort: SortKey::Total,
            span,
            opened: Opened::default(),
            size,
            now_ns,
            store,
            overview: Overview::default(),
            trouble: None,
            page: Page::Loading,
            detail: Detail::default(),
            rates: Arc::default(),
            rows: Vec::new(),
            lines: Vec::new(),
            status: None,
            drawn_box: None,
            cursors: vec![Cursor::default(); Tab::ALL.len()],
            number: 0,
            asked: None,
        }
    }

    /// Returns the question to the loader; `None` if it has not changed. A page that belongs to another screen is
    /// dropped; a page of another span or filter stays until its successor comes.
    pub(super) fn ask(&mut self) -> Option<Question> {
        let question = Question {
            number: self.number,
            wanted: self.wanted(),
            detail: self.wanted_detail(),
            wants_rates: self.wants_rates(),
            span: self.span,
            filter: self.filter.clone(),
            is_paused: self.is_paused,
        };
        if self.asked.as_ref() == Some(&question) {
            return None;
        }
        let is_other_page = self.asked.as_ref().is_none_or(|asked| asked.wanted != question.wanted);
        let is_other = self.asked.as_ref().is_none_or(|asked| {
            is_other_page || asked.span != question.span || asked.filter != question.filter
        });
        if is_other {
            self.number += 1;
        }
        if is_other_page {
            self.page = Page::Loading;
            self.arrange();
        }
        let question = Question { number: self.number, ..question };
        self.asked = Some(question.clone());
        Some(question)
    }

    fn wanted(&self) -> Wanted {
        match (self.above.last(), self.tab) {
            (Some(Layer::Function { name, is_failed }), _) => {
                Wanted::Function { name: name.clone(), is_failed: *is_failed }
            }
            (Some(Layer::Trace(call)), _) => Wanted::Trace(*call),
            (Some(Layer::Examples(kind)), _) => Wanted::Examples(kind.clone()),
            (Some(Layer::Evidence { sql, .. }), _) => Wanted::Evidence(sql.clone()),
            (Some(Layer::Box(boxed)), _) => Wanted::Box(boxed.clone()),
            (Some(Layer::Changes), _) => Wanted::Changes,
            (None, Tab::Functions) => Wanted::Functions,
            (None, Tab::Calls) => Wanted::Calls { is_failed: self.is_failed_only },
            (None, Tab::Errors) => Wanted::Kinds,
            (None, Tab::Live) => Wanted::Live,
            (None, Tab::Findings) => Wanted::Findings,
            (None, Tab::Processes | Tab::Health) => Wanted::Processes,
        }
    }

    /// Returns the function whose details are on the screen.
    fn wanted_detail(&self) -> Option<String> {
        match (self.above.last(), &self.page) {
            (Some(Layer::Function { name, .. }), _) => Some(name.clone()),
            (None, Page::Functions(functions)) if self.is_pane_shown() => {
                Some(functions.get(self.selected()?)?.function.clone())
            }
            _ => None,
        }
    }

    fn wants_rates(&self) -> bool {
        let is_on_functions = self.tab == Tab::Functions && self.above.is_empty();
        is_on_functions || matches!(self.prompt, Some(Prompt::Rate(_)))
    }

    /// Takes an answer of the loader. Ignores its page if the question has changed since. Returns true if the screen
    /// may look different.
    pub(super) fn accept(&mut self, answer: Answer) -> bool {
        let mut is_changed = self.trouble != answer.trouble;
        self.trouble = answer.trouble;
        if let Some(store) = answer.store {
            is_changed |= self.store != store;
            self.store = store;
        }
        if let Some(overview) = answer.overview {
            is_changed |= self.overview != overview;
            self.overview = overview;
        }
        if let Some(rates) = answer.rates {
            self.rates = rates;
            is_changed = true;
        }
        if let Some(page) = answer.page.filter(|_| answer.number == self.number) {
            is_changed |= self.page != page;
            self.page = page;
        }
        if let Some(detail) = answer.detail {
            is_changed |= self.detail != detail;
            self.detail = detail;
        }
        if is_changed {
            self.arrange();
        }
        is_changed
    }

    /// Filters and sorts the rows of the page, and moves the cursor to the row that it was on.
    pub(super) fn arrange(&mut self) {
        let is_wanted = |function: &str| self.filter.as_ref().is_none_or(|filter| filter.is_match(function));
        self.lines.clear();
        let rows: Vec<Row> = match &self.page {
            Page::Functions(functions) => {
                let mut order: Vec<usize> =
                    (0..functions.len()).filter(|at| is_wanted(&functions[*at].function)).collect();
                let key = self.sort;
                order.sort_by_key(|at| std::cmp::Reverse(key.figure(&functions[*at])));
                let key = |at: usize| format!("{} {}", functions[at].function, functions[at].place);
                order.into_iter().map(|at| Row { key: key(at), at }).collect()
            }
            Page::Calls(found) => number(found.calls.iter().map(|call| (call.call_id.to_string(), true))),
            Page::Trace(Some(tree)) => {
                self.lines = tree.arrange(&self.opened);
                let key = |line: &Line| {
                    let call = tree.calls[line.at].call_id;
                    if line.fold.is_empty() { call.to_string() } else { format!("fold {call}") }
                };
                number(self.lines.iter().map(|line| (key(line), true)))
            }
            Page::Kinds(kinds) => number(kinds.iter().map(|kind| {
                let key = format!("{} {} {}", kind.function, kind.outcome, kind.message);
                (key, is_wanted(&kind.function))
            })),
            Page::Live(report, _) => number(report.rows.iter().map(|row| {
                let text = |at: usize| row.get(at).map(Cell::to_plain_text).unwrap_or_default();
                (format!("{} {} {} {}", text(14), text(13), text(11), text(2)), is_wanted(&text(2)))
            })),
            Page::Findings(found) => number(found.findings.iter().map(|finding| {
                (format!("{} {}", finding.kind, finding.subject), is_wanted(&finding.subject))
            })),
            Page::Changes(found) => number(
                found.changes.iter().map(|change| (change.function.clone(), is_wanted(&change.function))),
            ),
            Page::Evidence(report) => number((0..report.rows.len()).map(|at| (at.to_string(), true))),
            Page::Processes => {
                number(self.overview.recorders.iter().map(|one| (one.process.process_id.to_string(), true)))
            }
            Page::Loading | Page::Trace(None) | Page::Failed(_) => Vec::new(),
        };
        self.rows = rows;
        if self.page != Page::Loading {
            self.follow_row();
        }
    }

    /// Moves the cursor to the row that it was on; if that row is gone, the cursor keeps its position. A cursor on
    /// the first row of a list that gets new rows at its start stays on the first row, so that new rows are seen.
    fn follow_row(&mut self) {
        let place = self.cursor_place();
        let is_following = self.cursors[place].at == 0 && self.is_newest_first();
        let wanted = self.cursors[place].key.clone().filter(|_| !is_following);
        let found = wanted.and_then(|key| self.rows.iter().position(|row| row.key == key));
        let at = found.unwrap_or(self.cursors[place].at);
        self.select(at);
    }

    /// Returns true for a list that gets new rows at its start.
    fn is_newest_first(&self) -> bool {
        matches!(self.page, Page::Calls(_))
    }

    fn cursor_place(&self) -> usize {
        match self.above.len() {
            0 => self.tab as usize,
            more => Tab::ALL.len() + more - 1,
        }
    }

    /// Returns the cursor of the list on the screen.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursors[self.cursor_place()]
    }

    /// Opens a screen above the present one.
    pub(super) fn open(&mut self, above: Layer) {
        // A trace opens on the call that led to it.
        let key = if let Layer::Trace(call) = &above { Some(call.to_string()) } else { None };
        self.above.push(above);
        self.cursors.truncate(Tab::ALL.len() + self.above.len() - 1);
        self.cursors.push(Cursor { key, ..Cursor::default() });
        self.opened = Opened::default();
        self.is_pane_open = false;
    }

    /// Returns to the screen below. Returns false if there is none.
    pub(super) fn close(&mut self) -> bool {
        if std::mem::take(&mut self.is_pane_open) {
            return true;
        }
        self.cursors.truncate(Tab::ALL.len() + self.above.len().saturating_sub(1));
        self.opened = Opened::default();
        self.above.pop().is_some()
    }

    /// Selects a screen.
    pub(super) fn show(&mut self, tab: Tab) {
        self.tab = tab;
        self.above.clear();
        self.cursors.truncate(Tab::ALL.len());
        self.is_pane_open = false;
    }

    /// Selects the row at this position, or the last one.
    pub(super) fn select(&mut self, at: usize) {
        let at = at.min(self.rows.len().saturating_sub(1));
        let key = self.rows.get(at).map(|row| row.key.clone());
        let visible = usize::from(self.list_rows()).max(1);
        let place = self.cursor_place();
        let cursor = &mut self.cursors[place];
        cursor.at = at;
        cursor.key = key;
        let lowest_top = (at + 1).saturating_sub(visible);
        cursor.top = cursor.top.clamp(lowest_top.min(at), at).min(self.rows.len().saturating_sub(visible));
    }

    /// Returns the position of the selected fact in the page.
    pub(super) fn selected(&self) -> Option<usize> {
        Some(self.rows.get(self.cursor().at)?.at)
    }

    /// Returns the function of the selected row.
    pub(super) fn selected_function(&self) -> Option<String> {
        let name = match (&self.page, self.selected()) {
            (Page::Functions(functions), Some(at)) => functions[at].function.clone(),
            (Page::Calls(found), Some(at)) => found.calls[at].function.clone(),
            (Page::Trace(Some(tree)), Some(at)) => tree.calls[self.lines[at].at].function.clone(),
            (Page::Kinds(kinds), Some(at)) => kinds[at].function.clone(),
            (Page::Live(report, _), Some(at)) => report.rows[at].get(2)?.to_plain_text(),
            (Page::Findings(found), Some(at)) => found.findings[at].subject.clone(),
            (Page::Changes(found), Some(at)) => found.changes[at].function.clone(),
            _ => match self.above.last() {
                Some(Layer::Function { name, .. }) => name.clone(),
                _ => return None,
            },
        };
        Some(name)
    }

    /// Returns true if details stand below the list, or in its place.
    pub(super) fn is_pane_shown(&self) -> bool {
        self.is_pane_open || (self.size.0 >= WIDE_COLUMNS && self.size.1 >= PANE_SCREEN_ROWS)
    }

    /// Returns the rows above the list: the course of a function, or the heading of a trace.
    pub(super) fn head_rows(&self) -> u16 {
        match self.above.last() {
            Some(Layer::Function { .. }) if self.size.1 >= PANE_SCREEN_ROWS => 9,
            Some(Layer::Function { .. }) => 2,
            Some(_) => 1,
            None => 0,
        }
    }

    /// Returns the rows of the details below the list, with the line above them.
    pub(super) fn pane_rows(&self) -> u16 {
        let room = self.size.1.saturating_sub(5 + self.head_rows());
        match self.is_pane_shown() {
            false => 0,
            // The details replace the list.
            true if self.size.0 < WIDE_COLUMNS || self.size.1 < PANE_SCREEN_ROWS => room,
            true => 9.min(room / 2),
        }
    }

    /// Returns the rows of the list. Header, tabs, titles and footer take one each.
    pub(super) fn list_rows(&self) -> u16 {
        self.size.1.saturating_sub(4 + self.head_rows() + self.pane_rows())
    }

    /// Returns the row of the screen where the list begins.
    pub(super) fn list_top(&self) -> u16 {
        3 + self.head_rows()
    }

    /// Returns the number of the present question.
    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Takes a new size of the screen.
    pub(super) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.select(self.cursor().at);
    }
}

/// Numbers rows by the positions of their facts, without those that are not wanted.
fn number(rows: impl Iterator<Item = (String, bool)>) -> Vec<Row> {
    rows.enumerate().filter(|(_, (_, is_wanted))| *is_wanted).map(|(at, (key, _))| Row { key, at }).collect()
}
