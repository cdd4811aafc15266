//! The command that shows in a terminal what a page shows.
//!
//! Takes what an address chooses: the store, the span, the functions and the page's own choices. Gives a line for a
//! shell, with every text quoted, or nothing if no option of the command says what was chosen: a command that shows
//! more than the page would be taken for the same. The file does not know what the pages show.

use std::fmt::Write as _;

use super::app::Context;
use crate::model::findings::quote_shell;
use crate::model::functions;
use crate::pattern::Pattern;
use crate::{terminal, units};

/// A command line under construction.
pub(super) struct CommandLine<'a> {
    context: &'a Context<'a>,
    /// The command with its options.
    line: String,
    /// The arguments without a name.
    operands: Vec<String>,
    /// True if the command shows the same as the page so far.
    is_same: bool,
}

impl<'a> CommandLine<'a> {
    /// Begins with a command of `monitor`, such as `calls`.
    pub(super) fn new(context: &'a Context<'a>, command: &str) -> Self {
        Self { context, line: format!("monitor {command}"), operands: Vec::new(), is_same: true }
    }

    /// Adds an argument without a name.
    pub(super) fn operand(mut self, text: &str) -> Self {
        self.operands.push(text.to_owned());
        self
    }

    /// Adds the name of a function. The command takes it as a pattern, which must not select other functions too.
    pub(super) fn function(self, name: &str) -> Self {
        let found =
            name.parse::<Pattern>().ok().map(|pattern| functions::find(&self.context.store, &pattern));
        let is_alone = matches!(&found, Some(Ok(names)) if *names == [name]);
        self.only_if(is_alone).operand(name)
    }

    /// Adds the name of a metric. A name that no pattern can hold cannot be given to a command.
    pub(super) fn name(self, name: &str) -> Self {
        self.only_if(name.parse::<Pattern>().is_ok()).operand(name)
    }

    /// Adds the choice of functions that the address makes.
    pub(super) fn pattern(mut self) -> Self {
        if let Some(name) = self.context.pattern.as_ref().and_then(Pattern::exact_name) {
            return self.function(name);
        }
        self.operands.extend(self.context.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()));
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

    /// Adds the start of the span. The command has no option for its end.
    pub(super) fn since(self) -> Self {
        let has_end = self.context.parameters.text("to").is_some();
        self.only_if(!has_end).start_of_span()
    }

    /// Adds the start and the end of the span.
    pub(super) fn span(self) -> Self {
        let end = self.context.parameters.text("to").map(to_moment);
        let line = self.start_of_span();
        match end {
            Some(end) => line.option("--until", &end),
            None => line,
        }
    }

    fn start_of_span(self) -> Self {
        match self.context.parameters.text("from").map(to_moment) {
            Some(start) => self.option("--since", &start),
            None => self,
        }
    }

    /// States that the command shows all processes.
    pub(super) fn of_all_processes(self) -> Self {
        let is_whole = self.context.scope.processes.is_none();
        self.only_if(is_whole)
    }

    /// States that the command shows the same as the page only under this condition.
    pub(super) fn only_if(mut self, condition: bool) -> Self {
        self.is_same &= condition;
        self
    }

    /// Returns the line, with the store; empty if the command does not show the same, or if a text cannot be typed.
    pub(super) fn finish(self) -> String {
        let path = self.context.store.path().to_string_lossy().into_owned();
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
        let context = self.context;
        let line = self.finish();
        if line.is_empty() { Self::new(context, "sql").operand(statement).finish() } else { line }
    }
}

/// Returns a moment of an address as the options of a command take it: `15m`, `14:05`, or a date and time.
fn to_moment(text: &str) -> String {
    if text == "now" {
        return "0s".to_owned();
    }
    match text.parse::<i64>() {
        Ok(ns) if text.bytes().all(|byte| byte.is_ascii_digit()) => units::format_moment(ns),
        _ => text.strip_prefix('-').unwrap_or(text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::moment::{self, Moment};

    #[test]
    fn a_moment_of_an_address_is_one_of_the_command_line() {
        let exact = "1795946400123456789";
        assert_eq!(to_moment(exact), "2026-11-29T10:00:00.123456789");
        assert_eq!(moment::parse(&to_moment(exact)), Ok(Moment(1_795_946_400_123_456_789)));
        for text in ["-15m", "15m", "14:05", "2026-11-29T10:00:00.5Z", "now", "1795946400000000000"] {
            let moment = to_moment(text);
            assert!(
                moment::parse(&moment).is_ok() && moment::parse_since(&moment).is_ok(),
                "{text}: {moment}"
            );
        }
    }
}
