//! A list: titles and rows in columns, of which narrow screens show fewer. Pure.

use ratatui::style::Style;

use super::canvas::{Canvas, DIM, SELECTED, Text};
use crate::command::tui::state::State;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// The title.
    pub(super) title: &'static str,
    /// The width; 0 for the one column that takes the rest.
    pub(super) width: u16,
    /// The least width of a screen, in columns, on which the column is shown.
    pub(super) from: u16,
    /// The side at which the column's texts stand.
    pub(super) side: Side,
}

/// The side of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Texts begin at the left and lose their end.
    Left,
    /// Texts end at the right.
    Right,
    /// Texts begin at the left and lose their start, as names do.
    Name,
}

/// Returns a column.
pub(super) const fn column(title: &'static str, width: u16, from: u16, side: Side) -> Column {
    Column { title, width, from, side }
}

/// Returns the start and the width of each column; `None` for those that the screen is too narrow for.
fn place(columns: &[Column], screen: u16) -> Vec<Option<(u16, u16)>> {
    let is_shown = |column: &&Column| screen >= column.from;
    let fixed: u16 = columns.iter().filter(is_shown).map(|column| column.width + 1).sum();
    // A mark of the selected row stands before the first column.
    let rest = screen.saturating_sub(fixed + 1);
    let mut x = 1;
    let mut places = Vec::new();
    for column in columns {
        if screen < column.from {
            places.push(None);
            continue;
        }
        let width = if column.width == 0 { rest } else { column.width };
        places.push(Some((x, width)));
        x += width + 1;
    }
    places
}

/// Draws the titles, and as many rows as fit, from the cursor's first row on.
pub(super) fn draw(
    canvas: &mut Canvas<'_>,
    state: &State,
    columns: &[Column],
    row: impl Fn(usize) -> Vec<Text>,
) {
    let places = place(columns, canvas.width());
    let top = state.list_top();
    for (column, place) in columns.iter().zip(&places) {
        if let Some((x, width)) = *place {
            put(canvas, (x, top - 1), width, column.side, &Text::styled(column.title, DIM));
        }
    }
    let cursor = state.cursor();
    let shown = state.rows.iter().enumerate().skip(cursor.top).take(state.list_rows().into());
    for ((at, fact), y) in shown.zip(top..) {
        for ((column, place), text) in columns.iter().zip(&places).zip(row(fact.at)) {
            if let Some((x, width)) = *place {
                put(canvas, (x, y), width, column.side, &text);
            }
        }
        if at == cursor.at {
            canvas.text((0, y), 1, "▶", Style::new());
            let width = canvas.width();
            canvas.restyle((0, y), width, SELECTED);
        }
    }
}

fn put(canvas: &mut Canvas<'_>, at: (u16, u16), width: u16, side: Side, text: &Text) {
    match side {
        Side::Left => {
            canvas.text(at, width, &text.text, text.style);
        }
        Side::Right => canvas.right(at, width, &text.text, text.style),
        Side::Name => canvas.name(at, width, &text.text, text.style),
    }
}
