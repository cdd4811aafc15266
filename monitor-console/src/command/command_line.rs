//! A command of `monitor` as a line for a shell.
//!
//! Takes a store, a command, its options and its arguments; gives the line, with every text quoted. The line is empty if
//! no option says what was chosen, because a command that shows more than a page would be taken for the same. The file
//! knows neither the pages nor the screens.

use std::fmt::Write as _;
use std::path::Path;

use crate::model::findings::quote_shell;
use crate::pattern::Pattern;
use crate::terminal;

/// A command line under construction.
pub(super) struct CommandLine<'a> {
    store: &'a Path,
    /// The command with its options.
    line: String,
    /// The arguments without a name.
    operands: Vec<String>,
    /// True if the command shows the same as the page so far.
    is_same: bool,
}

impl<'a> CommandLine<'a> {
    /// Begins with a command of `monitor`, such as `calls`.
    pub(super) fn new(store: &'a Path, command: &str) -> Self {
        Self { store, line: format!("monitor {command}"), operands: Vec::new(), is_same: true }
    }

    /// Adds an argument without a name.
    pub(super) fn operand(mut self, text: &str) -> Self {
        self.operands.push(text.to_owned());
        self
    }

    /// Adds the name of a function or a metric. A name that no pattern can hold cannot be given to a command.
    pub(super) fn name(self, name: &str) -> Self {
        self.only_if(name.parse::<Pattern>().is_ok()).operand(name)
    }

    /// Adds a pattern of functions, if there is one.
    pub(super) fn pattern(mut self, pattern: Option<&Pattern>) -> Self {
        self.operands.extend(pattern.map(|pattern| pattern.as_str().to_owned()));
        self
    }

    /// Adds an option without a value if `is_on`.
    pub(super) fn flag(mut self, name: &str, is_on: bool) -> Self {
        if is_on {
            let _ = write!(self.line, " {name}");
        }
        self
    }

    /// Adds an option with a value.
    pub(super) fn option(mut self, name: &str, value: &str) -> Self {
        // A value that begins with a hyphen would be read as another option.
        let between = if value.starts_with('-') { '=' } else { ' ' };
        let _ = write!(self.line, " {name}{between}{}", quote_shell(value));
        self
    }

    /// States that the command shows the same as the page only under this condition.
    pub(super) fn only_if(mut self, condition: bool) -> Self {
        self.is_same &= condition;
        self
    }

    /// Returns the line, with the store; empty if the command does not show the same, or if a text cannot be typed.
    pub(super) fn finish(self) -> String {
        let path = self.store.to_string_lossy();
        let Self { line, operands, is_same, .. } = self.option("--db", &path);
        // Options end at `--`, which keeps an argument that begins with a hyphen from being read as one.
        let end = if operands.iter().any(|text| text.starts_with('-')) { " --" } else { "" };
        let operands = operands.iter().map(|text| quote_shell(text));
        let parts: Vec<String> = std::iter::once(format!("{line}{end}")).chain(operands).collect();
        let line = parts.join(" ");
        let can_be_typed = |character: char| character == '\n' || !terminal::is_unsafe(character);
        if is_same && line.chars().all(can_be_typed) { line } else { String::new() }
    }

    /// Returns the line, or, if the command does not show the same, one that runs the statement behind the page.
    pub(super) fn finish_or_run(self, statement: &str) -> String {
        let store = self.store;
        let line = self.finish();
        if line.is_empty() { Self::new(store, "sql").operand(statement).finish() } else { line }
    }
}
