//! The command that shows in a terminal what a screen shows.

use std::fmt::Write as _;

use crate::command::tui::facts::Page;
use crate::command::tui::state::{Layer, SortKey, State, Tab};
use crate::model::findings::quote_shell;
use crate::units;

/// Returns the command, with the store and the span.
pub(in crate::command::tui) fn describe(state: &State) -> String {
    if let (Page::Findings(found), Some(at), true) = (&state.page, state.selected(), state.above.is_empty()) {
        return with_store(state, found.findings[at].next.clone());
    }
    let filter = state.filter.as_ref().map(|filter| quote_shell(filter.as_str()));
    let with_filter = |command: &str| match &filter {
        Some(filter) => format!("{command} {filter}"),
        None => command.to_owned(),
    };
    let since = describe_since(state);
    let command = match (state.above.last(), state.tab) {
        (Some(Layer::Trace(call)), _) => format!("monitor trace {call}"),
        (Some(Layer::Function { name, is_failed }), _) => {
            let failed = if *is_failed { " --failed" } else { "" };
            format!("monitor calls {}{failed} {since}", quote_shell(name))
        }
        (Some(Layer::Examples([function, ..])), _) => {
            format!("monitor calls {} --failed {since}", quote_shell(function))
        }
        (Some(Layer::Evidence { sql, .. }), _) => format!("monitor sql {}", quote_shell(sql)),
        (Some(Layer::Box(boxed)), _) => {
            let time = |ns: i64| units::format_date_and_time(ns)[..19].replace(' ', "T");
            let mut command = format!("monitor calls {}", quote_shell(&boxed.function));
            if boxed.durations_ns.0 > 0 {
                let _ = write!(command, " --min {}ns", boxed.durations_ns.0);
            }
            format!("{command} --since {}", time(boxed.span_ns.0))
        }
        (Some(Layer::Changes), _) => {
            let (start, end) = (state.span.start_ns(state.now_ns), state.span.end_ns.unwrap_or(state.now_ns));
            let past = start.saturating_sub(end.saturating_sub(start).saturating_mul(6));
            let ago = |ns: i64| format!("{}s", (state.now_ns.saturating_sub(ns) / 1_000_000_000).max(0));
            let after = state.span.end_ns.map_or_else(String::new, &ago);
            format!("monitor diff --before {}..{} --after {}..{after}", ago(past), ago(start), ago(start))
        }
        (None, Tab::Functions) => {
            let sort = match state.sort {
                SortKey::Total | SortKey::Name => String::new(),
                sort => format!(" --sort {}", sort.name()),
            };
            format!("{}{sort} {since}", with_filter("monitor top"))
        }
        (None, Tab::Calls) => {
            let failed = if state.is_failed_only { " --failed" } else { "" };
            format!("{}{failed} {since}", with_filter("monitor calls"))
        }
        (None, Tab::Errors) => format!("{} {since}", with_filter("monitor errors")),
        (None, Tab::Live) => with_filter("monitor live"),
        (None, Tab::Findings) => format!("{} {since}", with_filter("monitor findings")),
        (None, Tab::Processes) => format!("monitor processes {since}"),
        (None, Tab::Health) => format!("monitor health {since}"),
    };
    with_store(state, command)
}

/// Adds the store to a command that is one of this console.
fn with_store(state: &State, command: String) -> String {
    if !command.starts_with("monitor ") {
        return command;
    }
    format!("{command} --db {}", quote_shell(&state.store.to_string_lossy()))
}

/// Returns the option of the span: its length, or its start if it does not end now.
fn describe_since(state: &State) -> String {
    let seconds = state.span.length_ns / 1_000_000_000;
    match state.span.end_ns {
        Some(_) => {
            let start = units::format_date_and_time(state.span.start_ns(state.now_ns));
            format!("--since {}", start[..19].replace(' ', "T"))
        }
        None if seconds % 3600 == 0 => format!("--since {}h", seconds / 3600),
        None if seconds % 60 == 0 => format!("--since {}m", seconds / 60),
        None => format!("--since {seconds}s"),
    }
}
