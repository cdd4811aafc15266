//! The flame graph in the terminal: a line per level, callers above, a box per function.
//!
//! A box is as wide as its share of all time. Boxes narrower than a few columns are left out, and with them what they
//! call. On a terminal boxes alternate in shade; off one a bar separates them.

use crate::model::trees::stacks::Stacks;
use crate::terminal;
use crate::units;

/// The narrowest box that is drawn.
const BOX_MIN: usize = 3;
/// The most levels that are drawn; the page shows all.
const LEVELS_MAX: usize = 60;

/// A box: its frame, its first column and its width.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    frame: usize,
    column: usize,
    width: usize,
}

/// Draws the stacks in this many columns.
pub(super) fn draw(stacks: &Stacks, columns: usize, is_styled: bool) -> Vec<String> {
    let callees = stacks.list_callees();
    let total = stacks.total_ns();
    let mut lines = Vec::new();
    let mut level = place(stacks, &callees[stacks.frames.len()], total, 0, columns);
    while !level.is_empty() && lines.len() < LEVELS_MAX {
        lines.push(draw_level(stacks, &level, total, is_styled));
        level = level
            .iter()
            .flat_map(|above| {
                let whole = stacks.frames[above.frame].total_ns;
                place(stacks, &callees[above.frame], whole, above.column, above.width)
            })
            .collect();
    }
    if !level.is_empty() {
        lines.push(format!("deeper levels than {LEVELS_MAX} are left out: --open shows them"));
    }
    lines
}

/// Places boxes of frames in this many columns, which stand for `whole` ns.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a column is a small number that is not negative"
)]
fn place(stacks: &Stacks, frames: &[usize], whole: f64, column: usize, width: usize) -> Vec<Drawn> {
    let mut placed = Vec::new();
    let mut before = 0.0;
    for frame in frames {
        let start = (before / whole * width as f64).round();
        before += stacks.frames[*frame].total_ns;
        let end = (before / whole * width as f64).round().min(width as f64);
        // A whole of no time gives NaN, which makes a box of no width.
        let drawn = Drawn { frame: *frame, column: column + start as usize, width: (end - start) as usize };
        if drawn.width >= BOX_MIN {
            placed.push(drawn);
        }
    }
    placed
}

fn draw_level(stacks: &Stacks, level: &[Drawn], total: f64, is_styled: bool) -> String {
    let mut line = String::new();
    let mut column = 0;
    for (at, drawn) in level.iter().enumerate() {
        line.push_str(&" ".repeat(drawn.column.saturating_sub(column)));
        column = drawn.column + drawn.width;
        let text = describe(stacks, drawn, total);
        let room = " ".repeat((drawn.width - 1).saturating_sub(terminal::measure_width(&text)));
        if is_styled {
            let shade = if at % 2 == 0 { "\u{1b}[7m" } else { "\u{1b}[7;2m" };
            line.extend([shade, &text, &room, "\u{1b}[0m "]);
        } else {
            line.extend(["│", &text, &room]);
        }
    }
    line.trim_end().to_owned()
}

/// Returns the text of a box: name, share and time, as far as there is room.
fn describe(stacks: &Stacks, drawn: &Drawn, total: f64) -> String {
    let room = drawn.width - 1;
    let frame = &stacks.frames[drawn.frame];
    let name = stacks.name(drawn.frame);
    let share = units::format_percent(frame.total_ns / total * 100.0);
    let time = units::format_duration(frame.total_ns);
    let last = name.rsplit("::").next().unwrap_or(name);
    let texts =
        [format!("{name} {share} {time}"), format!("{last} {share} {time}"), format!("{last} {share}")];
    texts
        .into_iter()
        .find(|text| terminal::measure_width(text) <= room)
        .unwrap_or_else(|| terminal::truncate_end(last, room).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trees::tests::{call, trees};

    #[test]
    fn boxes_are_as_wide_as_their_share_and_lie_below_their_callers() {
        let rows = vec![
            call(1, None, 0, 0, 600_000),
            call(2, Some(1), 1, 0, 300_000),
            call(3, None, 3, 700_000, 900_000),
        ];
        let lines = draw(&Stacks::collect(&trees(rows, None)), 80, false);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        let columns = |line: &str| -> Vec<usize> {
            line.chars().enumerate().filter(|(_, c)| *c == '│').map(|(at, _)| at).collect()
        };
        assert_eq!(columns(&lines[0]), [0, 60]);
        assert_eq!(columns(&lines[1]), [0]);
        assert!(lines[0].contains("a 75.0 % 600 µs") && lines[1].contains("b 37.5 % 300 µs"), "{lines:#?}");
    }

    #[test]
    fn trees_without_time_and_narrow_terminals_draw_nothing_wrong() {
        let none = Stacks::collect(&trees(vec![call(1, None, 0, 5, 5)], None));
        assert!(draw(&none, 80, false).is_empty());
        let stacks = Stacks::collect(&trees(vec![call(1, None, 0, 0, 5)], None));
        for columns in 0..12 {
            for line in draw(&stacks, columns, false) {
                assert!(terminal::measure_width(&line) <= columns, "{columns}: {line}");
            }
        }
    }
}
