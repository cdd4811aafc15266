//! The kinds of failure, the most frequent first, and the selected one in full.

use ratatui::style::Style;

use super::calls::{draw_values, outcome};
use super::canvas::{BAD, Canvas, DIM, Text};
use super::list::{self, Column, Side, column};
use crate::command::tui::state::{State, WIDE_COLUMNS};
use crate::model::failures::Kind;
use crate::sparkline;
use crate::units;

const COLUMNS: [Column; 7] = [
    column("COUNT", 8, 0, Side::Right),
    column("OVER TIME", 12, 0, Side::Left),
    column("OUTCOME", 11, 0, Side::Left),
    column("LAST", 10, 100, Side::Left),
    column("FIRST", 10, 110, Side::Left),
    column("FUNCTION", 26, 0, Side::Name),
    column("MESSAGE", 0, 0, Side::Left),
];

/// The position of the function among the columns.
const FUNCTION_AT: usize = 5;

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, kinds: &[Kind]) {
    if state.rows.is_empty() {
        super::say(canvas, state, "no failure in this span");
    }
    let mut columns = COLUMNS;
    if canvas.width() < WIDE_COLUMNS {
        // The message needs the room more than the start of the function's name.
        columns[FUNCTION_AT].width = 16;
    }
    list::draw(canvas, state, &columns, |at| {
        let kind = &kinds[at];
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let count = units::format_count(kind.count as f64).replace(' ', "");
        let is_new = kind.first_ns >= state.span.start_ns(state.now_ns);
        let passed_on = if kind.is_passed_on() { "(passed on) " } else { "" };
        vec![
            format!("{}{count}", if kind.is_lower_bound { "≥" } else { "" }).into(),
            Text::styled(sparkline::draw_counts(&kind.course), BAD),
            outcome(&kind.outcome),
            Text::styled(
                kind.last_ns.map_or_else(|| "-".to_owned(), |last| units::format_age(last, state.now_ns)),
                DIM,
            ),
            if is_new {
                Text::styled("new", BAD)
            } else {
                Text::styled(units::format_age(kind.first_ns, state.now_ns), DIM)
            },
            Text::from(kind.function.as_str()),
            Text::from(format!("{passed_on}{}", kind.message)),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_pane(canvas, state, &kinds[at]);
    }
}

fn draw_pane(canvas: &mut Canvas<'_>, state: &State, kind: &Kind) {
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, &kind.function);
    let time = |ns: i64| units::format_date_and_time(ns);
    let last = kind.last_ns.map(|last| format!(", last {} UTC", time(last))).unwrap_or_default();
    let seen = format!("first {} UTC{last}", time(kind.first_ns));
    let example = kind.example.map(|call| format!("call {call}"));
    let values = [
        ("message", Some(kind.message.as_str()), BAD),
        ("way", kind.path.as_deref(), Style::new()),
        ("seen", Some(seen.as_str()), Style::new()),
        ("example", example.as_deref(), Style::new()),
    ];
    draw_values(canvas, (top + 1, state.pane_rows() - 1), &values, "");
}
