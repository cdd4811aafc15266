//! The calls under way in running processes, as stacks; stuck ones stand out.

use super::calls::draw_values;
use super::canvas::{BAD, Canvas, DIM, Text};
use super::list::{self, Column, Side, column};
use crate::command::tui::state::State;
use crate::report::{Cell, Report};
use crate::units::{self, format_quantity};
use ratatui::style::Style;

const COLUMNS: [Column; 7] = [
    column("FOR", 9, 0, Side::Right),
    column("STATE", 14, 0, Side::Left),
    column("FUNCTION", 0, 0, Side::Left),
    column("THREAD", 16, 0, Side::Left),
    column("SLOW FROM", 9, 110, Side::Right),
    column("PROCESS", 16, 90, Side::Left),
    column("ARGUMENTS", 40, 160, Side::Left),
];

/// The positions of columns of `monitor live`.
const STATE: usize = 1;
const FUNCTION: usize = 2;
const INDENTED: usize = 3;
const THREAD: usize = 5;
const SLOW_MS: usize = 7;
const SERVICE: usize = 8;
const PID: usize = 9;
const ARGS: usize = 10;
const START_NS: usize = 11;

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, report: &Report, asked: usize) {
    if state.rows.is_empty() {
        let text = match asked {
            0 => "no process that records into this store is running".to_owned(),
            asked => format!(
                "no call is under way in {}; calls that are only counted are not shown",
                format_quantity(asked, "running process", "running processes")
            ),
        };
        super::say(canvas, state, &text);
    }
    let text =
        |at: usize, column: usize| report.rows[at].get(column).and_then(Cell::as_text).unwrap_or_default();
    list::draw(canvas, state, &COLUMNS, |at| {
        let row = &report.rows[at];
        let elapsed = row[0].to_number().unwrap_or(0.0) * 1e6;
        let is_stuck = text(at, STATE).starts_with("stuck");
        let style = if is_stuck { BAD } else { Style::new() };
        let slow = row[SLOW_MS].to_number().map_or_else(String::new, |ms| {
            let mark = if row[SLOW_MS].is_estimate { "~" } else { "" };
            format!("{mark}{}", units::format_duration(ms * 1e6))
        });
        vec![
            Text::styled(units::format_duration(elapsed), style),
            Text::styled(text(at, STATE), style),
            Text::styled(text(at, INDENTED), style),
            Text::styled(row[THREAD].as_text().unwrap_or("(suspended)"), DIM),
            Text::styled(slow, DIM),
            Text::styled(format!("{} {}", text(at, SERVICE), row[PID].to_plain_text()), DIM),
            Text::styled(text(at, ARGS), DIM),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        let top = state.list_top() + state.list_rows();
        canvas.rule(top, text(at, FUNCTION));
        let start = report.rows[at][START_NS].to_integer().map(units::format_date_and_time);
        let since = start.map(|start| format!("{start} UTC"));
        let values =
            [("arguments", Some(text(at, ARGS)), Style::new()), ("since", since.as_deref(), Style::new())];
        let on = format!("{} pid {}", text(at, SERVICE), report.rows[at][PID].to_plain_text());
        draw_values(canvas, (top + 1, state.pane_rows() - 1), &values, &on);
    }
}
