//! The command that shows in a terminal what a page shows.
//!
//! Takes what an address chooses: the store, the span, the functions and the page's own choices. Gives a line for a
//! shell, or nothing if no option of the command says what was chosen. The file does not know what the pages show.

use super::app::Context;
use crate::command::command_line;
use crate::model::functions;
use crate::pattern::Pattern;
use crate::units;

/// The command line of a page under construction.
pub(super) struct CommandLine<'a> {
    context: &'a Context<'a>,
    line: command_line::CommandLine<'a>,
}

impl<'a> CommandLine<'a> {
    /// Begins with a command of `monitor`, such as `calls`.
    pub(super) fn new(context: &'a Context<'a>, command: &str) -> Self {
        Self { context, line: command_line::CommandLine::new(context.store.path(), command) }
    }

    /// Adds an argument without a name.
    pub(super) fn operand(self, text: &str) -> Self {
        Self { line: self.line.operand(text), ..self }
    }

    /// Adds the name of a function. The command takes it as a pattern, which must not select other functions too.
    pub(super) fn function(self, name: &str) -> Self {
        let found =
            name.parse::<Pattern>().ok().map(|pattern| functions::find(&self.context.store, &pattern));
        let is_alone = matches!(&found, Some(Ok(names)) if *names == [name]);
        self.only_if(is_alone).operand(name)
    }

    /// Adds the name of a metric.
    pub(super) fn name(self, name: &str) -> Self {
        Self { line: self.line.name(name), ..self }
    }

    /// Adds the choice of functions that the address makes.
    pub(super) fn pattern(self) -> Self {
        match self.context.pattern.as_ref().and_then(Pattern::exact_name) {
            Some(name) => self.function(name),
            None => Self { line: self.line.pattern(self.context.pattern.as_ref()), ..self },
        }
    }

    /// Adds an option without a value if `is_on`.
    pub(super) fn flag(self, name: &str, is_on: bool) -> Self {
        Self { line: self.line.flag(name, is_on), ..self }
    }

    /// Adds an option with a value.
    pub(super) fn option(self, name: &str, value: &str) -> Self {
        Self { line: self.line.option(name, value), ..self }
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
    pub(super) fn only_if(self, condition: bool) -> Self {
        Self { line: self.line.only_if(condition), ..self }
    }

    /// Returns the line, with the store; empty if the command does not show the same, or if a text cannot be typed.
    pub(super) fn finish(self) -> String {
        self.line.finish()
    }

    /// Returns the line, or, if the command does not show the same, one that runs the statement behind the page.
    pub(super) fn finish_or_run(self, statement: &str) -> String {
        self.line.finish_or_run(statement)
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
