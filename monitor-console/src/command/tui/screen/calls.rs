//! Calls, newest first, and the values of the selected one; above them the course of a function if they belong to one.

use ratatui::style::Style;

use super::canvas::{BAD, Canvas, DIM, Text, WARNING};
use super::functions::{draw_heat, draw_names};
use super::list::{self, Column, Side, column};
use crate::command::tui::heat::Boxed;
use crate::command::tui::state::{Layer, State, WIDE_COLUMNS};
use crate::model::latest_calls::{Call, FoundCalls};
use crate::units::{self, format_duration};

const COLUMNS: [Column; 7] = [
    column("STARTED UTC", 12, 0, Side::Left),
    column("TOOK", 9, 0, Side::Right),
    column("OUTCOME", 11, 0, Side::Left),
    column("WEIGHT", 6, 100, Side::Right),
    column("CALL", 10, 140, Side::Right),
    column("FUNCTION", 28, 0, Side::Name),
    column("ARGUMENTS → RESULT", 0, 0, Side::Left),
];

/// The position of the function among the columns.
const FUNCTION_AT: usize = 5;

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, found: &FoundCalls) {
    match state.above.last() {
        Some(Layer::Function { name, is_failed }) => draw_function(canvas, state, name, *is_failed),
        Some(Layer::Examples([function, outcome, message])) => {
            let text = format!("{} {function}: {message}", mark(outcome));
            canvas.text((1, 2), canvas.width() - 2, &text, BAD);
        }
        Some(Layer::Box(boxed)) => draw_box(canvas, state, boxed),
        _ => {}
    }
    if state.rows.is_empty() {
        let text = if found.is_cut {
            "none among the newest 300 000 rows of this span"
        } else {
            "no such call has a row in this span"
        };
        super::say(canvas, state, text);
    }
    let mut columns = COLUMNS;
    if let Some(Layer::Function { .. } | Layer::Box(_)) = state.above.last() {
        // The name of the function stands above the list.
        columns[FUNCTION_AT].from = u16::MAX;
    } else if canvas.width() < WIDE_COLUMNS {
        columns[FUNCTION_AT].width = 20;
    }
    list::draw(canvas, state, &columns, |at| {
        let call = &found.calls[at];
        let weight = if call.weight > 1.0 {
            format!("~{}", units::format_count(call.weight.round()))
        } else {
            "1".to_owned()
        };
        vec![
            Text::styled(units::format_time(call.start_ns, state.now_ns), DIM),
            format_nanoseconds(call.duration_ns).into(),
            outcome(&call.outcome),
            Text::styled(weight, DIM),
            Text::styled(call.call_id.to_string(), DIM),
            Text::from(call.function.as_str()),
            describe_values(call),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_pane(canvas, state, &found.calls[at]);
    }
}

/// Returns an outcome with its mark, so that it can be told without colours.
pub(super) fn outcome(outcome: &str) -> Text {
    let style = match outcome {
        "ok" => DIM,
        "cancelled" => WARNING,
        _ => BAD,
    };
    Text::styled(format!("{} {outcome}", mark(outcome)), style)
}

/// Returns the mark of an outcome.
pub(super) fn mark(outcome: &str) -> &'static str {
    match outcome {
        "ok" => "✓",
        "panic" => "☠",
        "cancelled" => "⊘",
        _ => "✗",
    }
}

/// Returns the arguments and the end of a call in one line.
fn describe_values(call: &Call) -> Text {
    let args = call.args.as_deref().unwrap_or_default();
    match (&call.error, &call.result) {
        (Some(error), _) => Text::styled(format!("{args} ✗ {error}"), Style::new()),
        (None, Some(result)) => Text::from(format!("{args} → {result}")),
        (None, None) => Text::from(args),
    }
}

/// Draws the values of a call over several rows.
fn draw_pane(canvas: &mut Canvas<'_>, state: &State, call: &Call) {
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, &format!("call {} ─ {} ─ {}", call.call_id, call.function, call.place));
    let values = [
        ("arguments", &call.args, Style::new()),
        ("fields", &call.fields, Style::new()),
        ("result", &call.result, Style::new()),
        ("error", &call.error, BAD),
    ];
    let values = values.map(|(label, value, style)| (label, value.as_deref(), style));
    let on = format!("{} on {}", call.service, call.thread);
    draw_values(canvas, (top + 1, state.pane_rows() - 1), &values, &on);
}

/// A labelled value; `None` is left out.
pub(super) type Value<'a> = (&'a str, Option<&'a str>, Style);

/// Draws labelled values from row `y` on, each over as many rows as it takes.
pub(super) fn draw_values(canvas: &mut Canvas<'_>, (y, rows): (u16, u16), values: &[Value<'_>], on: &str) {
    let end = y + rows;
    let room = canvas.width() - 13;
    let mut y = y;
    for (label, value, style) in values.iter().chain(&[("where", Some(on), DIM)]) {
        if let Some(value) = value.filter(|value| !value.is_empty())
            && y < end
        {
            canvas.text((1, y), 10, label, DIM);
            y += canvas.paragraph((12, y), (room, end - y), &Text::styled(value, *style)).max(1);
        }
    }
}

/// Draws the bounds of a box above its calls.
fn draw_box(canvas: &mut Canvas<'_>, state: &State, boxed: &Boxed) {
    let (from, until) = boxed.span_ns;
    let time = |ns: i64| units::format_time(ns, state.now_ns);
    let durations = match boxed.durations_ns {
        (0, i64::MAX) => "of any duration".to_owned(),
        (0, longest) => format!("of at most {}", units::format_nanoseconds(longest)),
        (shortest, i64::MAX) => format!("of at least {}", units::format_nanoseconds(shortest)),
        (shortest, longest) => {
            format!("of {} to {}", units::format_nanoseconds(shortest), units::format_nanoseconds(longest))
        }
    };
    let bounds = format!("  calls from {} to {} UTC {durations}", time(from), time(until));
    let name = Text::styled(boxed.function.as_str(), super::canvas::BOLD);
    canvas.texts((1, 2), canvas.width() - 2, &[name, Text::from(bounds)]);
}

/// Draws a function above its calls: its sums, its durations over time, who calls it and whom it calls.
fn draw_function(canvas: &mut Canvas<'_>, state: &State, name: &str, is_failed: bool) {
    let width = canvas.width() - 2;
    let detail = &state.detail;
    let which = if is_failed { "failed calls" } else { "latest calls" };
    if detail.function != name {
        canvas.texts((1, 2), width, &[Text::from(name), Text::styled(" ─ reading …", DIM)]);
        return;
    }
    let sum = &detail.sum;
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
    let [calls, failed] = [sum.calls, sum.failed].map(|number| units::format_count(number as f64));
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let percentile =
        |share: f64| sum.percentile(share).map_or("-".to_owned(), |ns| format_duration(ns as f64));
    let figures = format!(
        "  {calls} calls  {failed} failed  p50 {}  p95 {}  p99 {}  ─ {which}",
        percentile(0.5),
        percentile(0.95),
        percentile(0.99)
    );
    let style = super::canvas::BOLD;
    let used = canvas.texts((1, 2), width, &[Text::styled(name, style)]);
    canvas.text((used, 2), width.saturating_sub(used), &figures, Style::new());
    if state.heat_place().is_none() {
        return;
    }
    let y = 3 + draw_heat(canvas, state);
    draw_names(canvas, (1, y), width, "called by", &detail.callers);
    draw_names(canvas, (1, y + 1), width, "calls", &detail.callees);
}

/// Formats a duration for a column.
pub(super) fn format_nanoseconds(ns: i64) -> String {
    units::format_nanoseconds(ns).replace(' ', "")
}
