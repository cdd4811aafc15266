//! The command that shows in a terminal what a screen shows.
//!
//! Takes the state; gives a line for a shell. The commands that have no option for the end of a span, or for another
//! choice of the screen, are replaced by a statement over the public views. The file reads no store.

use crate::command::command_line::CommandLine;
use crate::command::tui::facts::Page;
use crate::command::tui::heat::Boxed;
use crate::command::tui::load::{CALLS_MAX, PAST_FACTOR};
use crate::command::tui::state::{Layer, SortKey, State, Tab};
use crate::model::period::Period;
use crate::model::schema::{self, quote};
use crate::model::scope::Scope;
use crate::units;

/// Returns the command, with the store and the span; empty if a text of the command cannot be typed.
pub(in crate::command::tui) fn describe(state: &State) -> String {
    match (state.above.last(), state.tab) {
        (Some(Layer::Trace(call)), _) => command(state, "trace").operand(&call.to_string()).finish(),
        (Some(Layer::Function { name, is_failed }), _) => {
            let is_function = format!("function = {}", quote(name));
            finish_calls(state, command(state, "calls").name(name), is_function, *is_failed)
        }
        (Some(Layer::Examples(_)), _) => run_statement(state, &select_shown_calls(state)),
        (Some(Layer::Evidence { sql, .. }), _) => run_statement(state, sql),
        (Some(Layer::Box(boxed)), _) => run_statement(state, &select_box(boxed)),
        (Some(Layer::Changes), _) => describe_comparison(state),
        (None, Tab::Functions) => {
            let line = command(state, "top").pattern(state.filter.as_ref());
            let line = match state.sort {
                SortKey::Total | SortKey::Name => line,
                sort => line.option("--sort", sort.name()),
            };
            add_since(state, line).finish_or_run(&select_functions(state))
        }
        (None, Tab::Calls) => {
            let line = command(state, "calls").pattern(state.filter.as_ref());
            finish_calls(state, line, filter_condition(state), state.is_failed_only)
        }
        (None, Tab::Errors) => {
            let line = command(state, "errors").pattern(state.filter.as_ref()).flag("--all", true);
            add_since(state, line).finish_or_run(&select_kinds(state))
        }
        (None, Tab::Live) => command(state, "live").pattern(state.filter.as_ref()).finish(),
        (None, Tab::Findings) => describe_findings(state),
        (None, Tab::Processes) => span(state, command(state, "processes")).finish(),
        (None, Tab::Health) => {
            add_since(state, command(state, "health")).finish_or_run(&select_reports(state))
        }
    }
}

fn command<'a>(state: &'a State, name: &str) -> CommandLine<'a> {
    CommandLine::new(&state.store, name)
}

fn run_statement(state: &State, statement: &str) -> String {
    command(state, "sql").only_if(!statement.is_empty()).operand(statement).finish()
}

/// Returns the span as it is now, without the time beyond now.
fn period(state: &State) -> Period {
    state.span.to_shown_period(state.now_ns)
}

/// Adds the start of the span. The command has no option for its end.
fn add_since<'a>(state: &State, line: CommandLine<'a>) -> CommandLine<'a> {
    line.only_if(state.span.end_ns.is_none()).option("--since", &describe_start(state))
}

/// Adds the start and the end of the span.
fn span<'a>(state: &State, line: CommandLine<'a>) -> CommandLine<'a> {
    let line = line.option("--since", &describe_start(state));
    match state.span.end_ns {
        Some(end_ns) => line.option("--until", &units::format_moment(end_ns)),
        None => line,
    }
}

/// Returns the length of the span, or its start if it does not end now.
fn describe_start(state: &State) -> String {
    let ns = state.span.length_ns;
    let is_whole = |seconds: i64| ns % (seconds * 1_000_000_000) == 0;
    let seconds = ns / 1_000_000_000;
    match state.span.end_ns {
        Some(_) => units::format_moment(state.span.start_ns(state.now_ns)),
        None if is_whole(3600) => format!("{}h", seconds / 3600),
        None if is_whole(60) => format!("{}m", seconds / 60),
        None if is_whole(1) => format!("{seconds}s"),
        None => format!("{ns}ns"),
    }
}

/// Returns the command of the selected finding, or the one that shows all findings.
fn describe_findings(state: &State) -> String {
    if let (Page::Findings(found), Some(at)) = (&state.page, state.selected())
        && let Some(rest) = found.findings[at].next.command.strip_prefix("monitor ")
    {
        return command(state, rest).finish();
    }
    let line = command(state, "findings").pattern(state.filter.as_ref()).flag("--all", true);
    span(state, line).finish()
}

/// Returns the command that compares the span with the time before it.
fn describe_comparison(state: &State) -> String {
    let shown = period(state);
    let length = shown.until_ns.saturating_sub(shown.from_ns);
    let sides = match state.span.end_ns {
        // A span that ends now goes on to do so when the command is typed later.
        None => {
            let ago = |lengths: i64| format!("{}s", length.saturating_mul(lengths) / 1_000_000_000);
            [format!("{}..{}", ago(1 + PAST_FACTOR), ago(1)), format!("{}..", ago(1))]
        }
        Some(_) => shown
            .with_earlier(length.saturating_mul(PAST_FACTOR))
            .map(|side| [side.from_ns, side.until_ns].map(units::format_moment).join("..")),
    };
    let line = command(state, "diff").pattern(state.filter.as_ref()).flag("--all", true);
    line.option("--before", &sides[0]).option("--after", &sides[1]).finish()
}

/// Returns the command `line` with the options of the screen. If `monitor calls` cannot show the same calls, returns a
/// command that runs a statement instead: it selects the calls that fulfil `condition`.
fn finish_calls(state: &State, line: CommandLine<'_>, condition: String, is_failed: bool) -> String {
    let limit = CALLS_MAX.to_string();
    let mut conditions = vec![condition];
    if is_failed {
        conditions.push("failed = 1".to_owned());
    }
    let line = add_since(state, line.flag("--failed", is_failed)).option("--limit", &limit);
    line.finish_or_run(&select_calls(period(state), conditions))
}

/// Returns the statement that selects the newest calls of a span that fulfil the conditions, of which some may be empty.
fn select_calls(period: Period, mut conditions: Vec<String>) -> String {
    conditions.retain(|condition| !condition.is_empty());
    let scope = Scope { period, processes: None };
    let rest = format!("ORDER BY call_id DESC LIMIT {CALLS_MAX}");
    schema::select("calls", Some("start_ns"), &scope, &conditions, &rest)
}

fn select_box(boxed: &Boxed) -> String {
    let (from_ns, until_ns) = boxed.span_ns;
    let (shortest, longest) = boxed.durations_ns;
    let at_least = if shortest > 0 { format!("duration_ns >= {shortest}") } else { String::new() };
    let at_most = if longest < i64::MAX { format!("duration_ns <= {longest}") } else { String::new() };
    let is_function = format!("function = {}", quote(&boxed.function));
    select_calls(Period { from_ns, until_ns }, vec![is_function, at_least, at_most])
}

/// Returns the statement that selects the calls on the screen, because no column of a view tells the kind of a failure;
/// empty if there are none.
fn select_shown_calls(state: &State) -> String {
    let Page::Calls(found) = &state.page else { return String::new() };
    let ids: Vec<String> = found.calls.iter().map(|call| call.call_id.to_string()).collect();
    if ids.is_empty() {
        return String::new();
    }
    format!("SELECT * FROM calls\nWHERE call_id IN ({})\nORDER BY call_id DESC", ids.join(", "))
}

fn select_functions(state: &State) -> String {
    let Period { from_ns, until_ns } = period(state);
    let filter = filter_condition(state);
    let filter = if filter.is_empty() { filter } else { format!(" AND {filter}") };
    format!(
        "SELECT function, SUM(calls) AS calls, SUM(errors) AS failed, SUM(total_ms) AS total_ms, MAX(max_ms) AS max_ms\n\
         FROM latency\nWHERE start_ns >= {from_ns} AND start_ns <= {until_ns}{filter}\n\
         GROUP BY function ORDER BY total_ms DESC"
    )
}

/// Returns the statement that selects the kinds with failures around the span, as `monitor errors --since` does.
fn select_kinds(state: &State) -> String {
    let Period { from_ns, until_ns } = period(state);
    let mut conditions = vec![format!("last_ns >= {from_ns}"), format!("first_ns <= {until_ns}")];
    conditions.extend(Some(filter_condition(state)).filter(|condition| !condition.is_empty()));
    schema::select("error_groups", None, &Scope::WHOLE, &conditions, "ORDER BY count DESC")
}

/// Returns the statement that selects the reports of the processes that were seen within the span.
fn select_reports(state: &State) -> String {
    let Period { from_ns, until_ns } = period(state);
    let seen = format!(
        "process_id IN (SELECT process_id FROM processes WHERE last_seen_ns >= {from_ns} AND started_ns <= {until_ns})"
    );
    schema::select("health", None, &Scope::WHOLE, &[seen], "ORDER BY at_ns DESC")
}

/// Returns the filter as a condition on functions; empty without a filter.
fn filter_condition(state: &State) -> String {
    let Some(filter) = &state.filter else { return String::new() };
    let [whole, ending] = filter.to_globs().map(|glob| quote(&glob));
    format!("(function GLOB {whole} OR function GLOB {ending})")
}
