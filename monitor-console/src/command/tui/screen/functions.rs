//! The functions: figures, their course over the span, and the details of the selected one.

use ratatui::style::Style;

use super::canvas::{ACCENT, BAD, Canvas, DIM, SELECTED, Text, WARNING};
use super::list::{self, Column, Side, column};
use crate::command::tui::facts::Detail;
use crate::command::tui::heat::{LABEL_COLUMNS, Place};
use crate::command::tui::state::State;
use crate::model::activity::Activity;
use crate::sparkline;
use crate::units::{self, format_duration};

const COLUMNS: [Column; 13] = [
    column("FUNCTION", 0, 0, Side::Name),
    column("CALLS", 8, 0, Side::Right),
    column("CALLS/S", 8, 130, Side::Right),
    column("FAILED", 7, 0, Side::Right),
    column("", 6, 110, Side::Left),
    column("TOTAL", 8, 0, Side::Right),
    column("SELF", 8, 140, Side::Right),
    column("P50", 8, 90, Side::Right),
    column("P95", 8, 0, Side::Right),
    column("P99", 8, 100, Side::Right),
    column("MAX", 8, 160, Side::Right),
    column("P95 OVER TIME", 13, 76, Side::Left),
    column("RATE", 7, 120, Side::Right),
];

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, functions: &[Activity]) {
    if state.rows.is_empty() {
        let text = match &state.filter {
            Some(filter) => {
                format!("no function with a call in this span has a name like {}", filter.as_str())
            }
            None => {
                "no function was called in this span: [ moves it into the past, } makes it longer".to_owned()
            }
        };
        super::say(canvas, state, &text);
    }
    let longest = state.rows.iter().map(|row| functions[row.at].total_ns).max().unwrap_or(0);
    let rates = collect_rates(state);
    list::draw(canvas, state, &COLUMNS, |at| {
        let one = &functions[at];
        let estimate = if one.is_estimated { "~" } else { "" };
        let duration = |ns: u64| format!("{estimate}{}", format_duration(to_f64(ns)).replace(' ', ""));
        let percentile = |at: usize| {
            one.percentiles.map_or_else(|| "-".to_owned(), |percentiles| duration(percentiles[at]))
        };
        let failed = to_f64(one.failed) * 100.0 / to_f64(one.calls.max(1));
        let failed_style = if one.failed > 0 { BAD } else { DIM };
        let seconds = to_f64(state.span.length_ns.unsigned_abs()) / 1e9;
        let rate = rates.get(one.function.as_str());
        vec![
            Text::from(one.function.as_str()),
            units::format_count(to_f64(one.calls)).replace(' ', "").into(),
            units::format_count(to_f64(one.calls) / seconds).replace(' ', "").into(),
            Text::styled(units::format_percent(failed).replace(' ', ""), failed_style),
            Text::styled(bar(one.total_ns, longest, 6), ACCENT),
            duration(one.total_ns).into(),
            duration(one.self_ns).into(),
            percentile(0).into(),
            percentile(1).into(),
            percentile(2).into(),
            duration(one.max_ns).into(),
            Text::styled(sparkline::draw(&one.p95_parts), ACCENT),
            rate.map_or_else(
                || Text::from("-"),
                |(text, is_lowered)| {
                    Text::styled(text.clone(), if *is_lowered { WARNING } else { Style::new() })
                },
            ),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_pane(canvas, state, &functions[at]);
    }
}

/// Returns the rate of each function as text, and whether the rate is below that of a function that is recorded in
/// full.
fn collect_rates(state: &State) -> std::collections::HashMap<&str, (String, bool)> {
    let told = state.rates.iter().map(|report| {
        let text = match (report.fidelity.as_str(), report.rate) {
            ("recorded", Some(rate)) => units::format_rate(rate),
            (fidelity, _) => fidelity.to_owned(),
        };
        let is_lowered = report.fidelity != "recorded" || report.rate.is_some_and(|rate| rate < 1.0);
        (report.function.as_str(), (text, is_lowered))
    });
    told.collect()
}

/// Draws a share as a bar of at most this many columns.
pub(super) fn bar(part: u64, whole: u64, columns: u16) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of columns")]
    let length = (to_f64(part) * f64::from(columns) / to_f64(whole.max(1))).round() as usize;
    "█".repeat(length.min(columns.into()))
}

/// Draws the details of the selected function below the list.
fn draw_pane(canvas: &mut Canvas<'_>, state: &State, one: &Activity) {
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, &format!("{} ─ {}", one.function, one.place));
    let known = (state.detail.function == one.function).then_some(&state.detail);
    let Some(detail) = known else {
        canvas.text((1, top + 1), 30, "reading …", DIM);
        return;
    };
    let rows = state.pane_rows() - 1;
    let half = canvas.width() / 2;
    let used = draw_heat(canvas, state);
    let facts = [("called by", &detail.callers), ("calls", &detail.callees)];
    for ((label, names), y) in facts.into_iter().zip(top + 1 + used..top + 1 + rows) {
        draw_names(canvas, (1, y), half - 2, label, names);
    }
    draw_failed(canvas, state, detail, ((half, top + 1), rows));
}

/// Draws the durations over time, and the box that is being drawn in them. Returns the number of rows that it took.
pub(super) fn draw_heat(canvas: &mut Canvas<'_>, state: &State) -> u16 {
    const SHADES: [&str; 4] = ["░", "▒", "▓", "█"];
    let Some(Place { origin: (x, y), rows }) = state.heat_place() else { return 0 };
    let detail = &state.detail;
    let heat = &detail.heat;
    if heat.is_empty() {
        canvas.text((x, y), 40, "no timed calls in this span", DIM);
        return 1;
    }
    for (row, row_y) in (0..heat.rows).rev().take(rows.into()).zip(y..) {
        let from = units::format_short_duration(heat.duration_ns(row)).replace(' ', "");
        canvas.right((x, row_y), LABEL_COLUMNS - 1, &format!("≥ {from}"), DIM);
    }
    for run in heat.runs(SHADES.len()) {
        let row = u16::try_from(heat.rows - 1 - run.row).unwrap_or(rows);
        let column = u16::try_from(run.column).unwrap_or(0);
        if row < rows {
            canvas.text(
                (x + LABEL_COLUMNS + column, y + row),
                60,
                &SHADES[run.shade - 1].repeat(run.length),
                ACCENT,
            );
        }
    }
    if let Some((from, to)) = state.drawn_box {
        let (left, width) = (from.0.min(to.0), from.0.abs_diff(to.0) + 1);
        for row in from.1.min(to.1)..=from.1.max(to.1) {
            canvas.restyle((x + LABEL_COLUMNS + left, y + row), width, SELECTED);
        }
    }
    u16::try_from(heat.rows).unwrap_or(rows).min(rows)
}

/// Draws a label and names, as many as fit.
pub(super) fn draw_names(canvas: &mut Canvas<'_>, at: (u16, u16), room: u16, label: &str, names: &[String]) {
    let names = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    canvas.texts(at, room, &[Text::styled(format!("{label:<9} "), DIM), Text::from(names)]);
}

fn draw_failed(canvas: &mut Canvas<'_>, state: &State, detail: &Detail, ((x, y), rows): ((u16, u16), u16)) {
    let room = canvas.width() - x - 1;
    if detail.failed.is_empty() {
        canvas.text((x, y), room, "no failed call in this span", DIM);
        return;
    }
    canvas.text((x, y), room, "last failed (e shows all)", DIM);
    for (call, y) in detail.failed.iter().zip(y + 1..y + rows) {
        let time = units::format_time(call.start_ns, state.now_ns);
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let took = format_duration(call.duration_ns as f64);
        let error = call.error.as_deref().unwrap_or(&call.outcome);
        let texts = [Text::styled(format!("{time} {took:>8} "), DIM), Text::styled(error, BAD)];
        canvas.texts((x, y), room, &texts);
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
