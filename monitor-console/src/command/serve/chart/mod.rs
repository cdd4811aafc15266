//! Pictures, drawn by the server as SVG: readable without a script, in both colour schemes, and on paper. This file
//! draws sparklines, bars, heat maps and flame graphs; `series` draws charts with lines over time.
//!
//! Takes figures; gives markup. Sizes are attributes and colours are classes, because the security policy forbids
//! styles within a page. Each picture states its meaning in a text for screen readers.

mod series;

use std::fmt::Write as _;

use maud::{Markup, html};

use super::address::Links;
use super::text;
use crate::model::heat::{Columns, Grid, Size};
use crate::model::trees::stacks::Stacks;
use crate::units;

pub(super) use series::{Line, Series};

/// The height and width of a sparkline.
const SPARK: (f64, f64) = (16.0, 90.0);
/// The height of a row of a flame graph.
const FLAME_ROW: usize = 18;
/// The narrowest box of a flame graph, in thousandths of its width.
const FLAME_BOX_MIN: f64 = 0.7;
/// The most boxes of a flame graph.
const FLAME_BOXES_MAX: usize = 1500;
/// The most levels of a flame graph.
const FLAME_LEVELS_MAX: u32 = 60;

/// Draws figures as a small line; a part without a figure is a gap.
pub(super) fn sparkline(figures: &[Option<f64>], label: &str) -> Markup {
    let most = figures.iter().flatten().copied().filter(|figure| figure.is_finite()).fold(0.0, f64::max);
    let step = SPARK.1 / to_f64(figures.len().max(2) - 1);
    let path = draw_path(figures, most, SPARK.0, |at| to_f64(at) * step);
    html! {
        svg.spark viewBox={ "0 0 " (SPARK.1) " " (SPARK.0) } width=(SPARK.1) height=(SPARK.0) role="img" aria-label=(text::flat(label, text::CELL_CHARACTERS)) {
            path d=(path) {}
        }
    }
}

/// Draws a share from 0 to 1 as a bar.
pub(super) fn bar(share: f64, class: &str) -> Markup {
    let width = (share.clamp(0.0, 1.0) * 60.0).round().max(if share > 0.0 { 1.0 } else { 0.0 });
    html! {
        svg.bar viewBox="0 0 60 8" width="60" height="8" aria-hidden="true" {
            rect class=(class) width=(width) height="8" {}
        }
    }
}

/// Draws figures from zero at the bottom to the highest at the top, each at its place; gaps break the line.
fn draw_path(figures: &[Option<f64>], most: f64, height: f64, place: impl Fn(usize) -> f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for (at, figure) in figures.iter().enumerate() {
        let Some(figure) = figure.filter(|figure| figure.is_finite()) else {
            is_down = false;
            continue;
        };
        let y = place_figure(figure, most, height);
        let x = place(at);
        let is_alone = !is_down && figures.get(at + 1).is_none_or(Option::is_none);
        let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { "L" } else { "M" });
        if is_alone {
            path.push_str("h1");
        }
        is_down = true;
    }
    path
}

/// Returns the height of a figure, counted from the top.
fn place_figure(figure: f64, most: f64, height: f64) -> f64 {
    let share = if most > 0.0 { (figure / most).clamp(0.0, 1.0) } else { 0.0 };
    height - 1.0 - share * (height - 2.0)
}

/// The size of a heat map, and its shades, for which the style has a class each.
pub(super) const HEAT_SIZE: Size = Size { columns: Columns::AtMost(120), rows: 48, buckets: 1 };
const SHADES: usize = 10;

/// Draws the durations of calls over time as a heat map. The `data-` attributes hold the bounds of times and durations,
/// because the script of the page needs them to read a box that a person draws into the heat map.
pub(super) fn heat(grid: &Grid, label: &str) -> Markup {
    let now = units::now_ns();
    let (columns, rows) = (grid.columns, grid.rows);
    let cells = grid.runs(SHADES);
    html! {
        figure.chart {
            figcaption { "durations over time: the darker, the more calls" }
            @if grid.is_empty() {
                p.empty { "no timed calls in this span" }
            } @else {
                svg.heat viewBox={ "0 0 " (columns) " " (rows) } preserveAspectRatio="none" role="img" aria-label=(text::flat(label, text::CELL_CHARACTERS))
                    data-from=(grid.from_ns) data-until=(grid.time_ns(columns))
                    data-low=(grid.duration_ns(0)) data-high=(grid.duration_ns(rows)) {
                    @for run in cells {
                        rect class={ "h" (run.shade) } x=(run.column) y=(rows - 1 - run.row) width=(run.length) height="1" {}
                    }
                }
                div.axis {
                    span { (units::format_time(grid.from_ns, now)) }
                    span { (units::format_duration(grid.duration_ns(0))) " (bottom) to " (units::format_duration(grid.duration_ns(rows))) " (top)" }
                    span { (units::format_time(grid.time_ns(columns), now)) }
                }
            }
        }
    }
}

/// A box of a flame graph. `start` and `width` are in thousandths of the picture's width.
struct FlameBox {
    frame: usize,
    start: f64,
    width: f64,
    level: u32,
}

/// Draws stacks, callers above their callees. `weigh` gives the weight of a frame with all below it, and `describe` its
/// text. A box is a link to the same picture from its function on.
pub(super) fn flame(
    stacks: &Stacks,
    links: &Links,
    weigh: &dyn Fn(usize) -> f64,
    describe: &dyn Fn(usize) -> String,
) -> Markup {
    let boxes = place_boxes(stacks, weigh);
    let levels = boxes.iter().map(|drawn| drawn.level + 1).max().unwrap_or(0);
    let height = usize::try_from(levels).unwrap_or(0) * FLAME_ROW;
    html! {
        div.flame {
            // Places are shares of the width and heights are pixels, so that texts have one size at every width.
            svg height=(height) role="group" aria-label="flame graph" {
                @for drawn in &boxes {
                    @let name = stacks.name(drawn.frame);
                    @let y = usize::try_from(drawn.level).unwrap_or(0) * FLAME_ROW;
                    a href=(links.here(&[("function", name)])) {
                        rect class={ "f" (shade(name)) } x=(percent(drawn.start)) y=(y) width=(percent(drawn.width)) height=(FLAME_ROW - 1) {
                            title { (text::flat(&describe(drawn.frame), text::CELL_CHARACTERS)) }
                        }
                        @if drawn.width > 24.0 {
                            text x=(percent(drawn.start)) dx="3" y=(y + 12) { (text::flat(&fit(name, drawn.width), text::CELL_CHARACTERS)) }
                        }
                    }
                }
            }
        }
    }
}

fn place_boxes(stacks: &Stacks, weigh: &dyn Fn(usize) -> f64) -> Vec<FlameBox> {
    let callees = stacks.list_callees();
    let roots = &callees[stacks.frames.len()];
    let total: f64 = roots.iter().map(|frame| weigh(*frame)).sum();
    let mut boxes = Vec::new();
    let mut open: Vec<(&[usize], f64, f64, u32)> = vec![(roots, 0.0, total, 0)];
    let mut next = 0;
    // Level by level, so that a bound on the number leaves out the deepest boxes.
    while next < open.len() && boxes.len() < FLAME_BOXES_MAX {
        let (frames, mut start, _, level) = open[next];
        next += 1;
        for frame in frames {
            let width = if total > 0.0 { weigh(*frame) / total * 1000.0 } else { 0.0 };
            if width >= FLAME_BOX_MIN && level < FLAME_LEVELS_MAX {
                boxes.push(FlameBox { frame: *frame, start, width, level });
                open.push((&callees[*frame], start, width, level + 1));
            }
            start += width;
        }
    }
    boxes
}

/// Returns the last segments of a name that fit into a box of this width.
fn fit(name: &str, width: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number that is not negative"
    )]
    let room = ((width - 6.0) / 6.2).max(0.0) as usize;
    let last = name.rsplit("::").next().unwrap_or(name);
    let shown = if name.chars().count() <= room { name } else { last };
    if shown.chars().count() <= room {
        shown.to_owned()
    } else {
        shown.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Chooses one of six shades by the name of the module, so that neighbours of one module look alike.
fn shade(name: &str) -> u32 {
    let module = name.rsplit_once("::").map_or(name, |(module, _)| module);
    module.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 6
}

/// Writes thousandths of the width as a percentage.
fn percent(thousandths: f64) -> String {
    format!("{}%", (thousandths * 100.0).round() / 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "a number of points")]
fn to_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_at_gaps_and_stays_within_its_picture() {
        let draw = |figures: &[Option<f64>], most| draw_path(figures, most, 12.0, |at| to_f64(at) * 10.0);
        assert_eq!(draw(&[Some(0.0), Some(2.0), None, Some(1.0)], 2.0), "M0.0 11.0L10.0 1.0M30.0 6.0h1");
        assert_eq!(draw(&[Some(f64::NAN), Some(f64::INFINITY)], 1.0), "");
        assert_eq!(draw(&[Some(0.0)], 0.0), "M0.0 11.0h1");
    }

    #[test]
    fn names_are_fitted_to_their_box() {
        assert_eq!(fit("shop::orders::place", 200.0), "shop::orders::place");
        assert_eq!(fit("shop::orders::place", 50.0), "place");
        assert_eq!(fit("shop::orders::place", 30.0), "pl…");
    }
}
