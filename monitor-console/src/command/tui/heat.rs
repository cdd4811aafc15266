//! The box that the mouse draws in the picture of durations over time, and the calls in it.
//!
//! The functions are pure: they take the place of the picture on the screen and two cells, and give times and
//! durations. The picture's rows are drawn by the screens, which ask here for its place.

use super::facts::Page;
use super::state::{Layer, State};
use crate::model::heat::{Columns, Size};

/// The size of a picture.
pub(super) const SIZE: Size = Size { columns: Columns::Exactly(48), rows: ROWS_MAX as usize, buckets: 4 };
/// The columns of the labels, which are durations, before the first cell of a picture.
pub(super) const LABEL_COLUMNS: u16 = 9;
/// The rows of a picture.
pub(super) const ROWS_MAX: u16 = 6;
/// The rows below the picture of a function in which its callers and its callees are listed.
const NEIGHBOUR_ROWS: u16 = 2;

/// A cell of a picture: column and row, from the top left.
pub(super) type Cell = (u16, u16);

/// The picture of a function on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The column and the row of its labels.
    pub(super) origin: (u16, u16),
    /// The rows for which there is room.
    pub(super) rows: u16,
}

/// Calls in a part of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boxed {
    /// The function.
    pub(super) function: String,
    /// The first and the last start, ns since the Unix epoch.
    pub(super) span_ns: (i64, i64),
    /// The shortest and the longest duration, in ns.
    pub(super) durations_ns: (i64, i64),
}

impl State {
    /// Returns the place of the picture of durations; `None` if the screen has none.
    pub(super) fn heat_place(&self) -> Option<Place> {
        match (self.above.last(), &self.page) {
            (Some(Layer::Function { .. }), _) => {
                let rows = self.head_rows().saturating_sub(1 + NEIGHBOUR_ROWS);
                (rows > 1).then_some(Place { origin: (1, 3), rows })
            }
            (None, Page::Functions(_)) if self.pane_rows() > 1 => {
                let origin = (1, self.list_top() + self.list_rows() + 1);
                Some(Place { origin, rows: (self.pane_rows() - 1).min(ROWS_MAX) })
            }
            _ => None,
        }
    }

    /// Returns the cell at a place of the screen. A place beside the picture gives the cell at its border if `is_near`.
    fn heat_cell(&self, (column, row): (u16, u16), is_near: bool) -> Option<Cell> {
        let place = self.heat_place()?;
        let shown = match self.above.last() {
            Some(Layer::Function { name, .. }) => Some(name.clone()),
            _ => self.selected_function(),
        };
        // The picture of another function is not drawn.
        shown.filter(|shown| *shown == self.detail.function)?;
        let rows = u16::try_from(self.detail.heat.rows).ok().filter(|rows| *rows > 0)?.min(place.rows);
        let columns = u16::try_from(self.detail.heat.columns).ok()?;
        let first = (place.origin.0 + LABEL_COLUMNS, place.origin.1);
        let is_within =
            (first.0..first.0 + columns).contains(&column) && (first.1..first.1 + rows).contains(&row);
        let clamp = |at: u16, first: u16, number: u16| at.clamp(first, first + number - 1) - first;
        (is_within || is_near).then(|| (clamp(column, first.0, columns), clamp(row, first.1, rows)))
    }

    /// Begins a box. Returns false if the mouse is not on the picture.
    pub(super) fn begin_box(&mut self, at: (u16, u16)) -> bool {
        let cell = self.heat_cell(at, false);
        self.drawn_box = cell.map(|cell| (cell, cell));
        cell.is_some()
    }

    /// Draws a box on to this place.
    pub(super) fn draw_box(&mut self, at: (u16, u16)) {
        let cell = self.heat_cell(at, true);
        if let (Some((_, end)), Some(cell)) = (&mut self.drawn_box, cell) {
            *end = cell;
        }
    }

    /// Ends a box, and opens the calls in it.
    pub(super) fn end_box(&mut self) {
        let Some((from, to)) = self.drawn_box.take() else { return };
        if let Some(boxed) = self.describe_box(from, to) {
            self.open(Layer::Box(boxed));
        }
    }

    /// Returns the times and durations between two cells.
    #[expect(clippy::cast_possible_truncation, reason = "a duration in ns is far from the end of 64 bits")]
    fn describe_box(&self, from: Cell, to: Cell) -> Option<Boxed> {
        let heat = &self.detail.heat;
        let columns = i64::try_from(heat.columns).ok().filter(|columns| *columns > 0)?;
        let (left, right) = (i64::from(from.0.min(to.0)), i64::from(from.0.max(to.0)) + 1);
        let (above, below) = (usize::from(from.1.min(to.1)), usize::from(from.1.max(to.1)));
        let start = self.span.start_ns(self.now_ns);
        let time = |column: i64| start.saturating_add(self.span.length_ns / columns * column);
        // The rows of the screen begin with the longest durations, those of the grid with the shortest.
        let shortest = |row: usize| heat.duration_ns(heat.rows.saturating_sub(row + 1)) as i64;
        Some(Boxed {
            function: self.detail.function.clone(),
            span_ns: (time(left), time(right)),
            // The lowest row has the shortest calls, and the highest the longest.
            durations_ns: (
                if below + 1 >= heat.rows { 0 } else { shortest(below) },
                above.checked_sub(1).map_or(i64::MAX, shortest),
            ),
        })
    }
}
