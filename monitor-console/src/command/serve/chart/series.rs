//! Series over time: a picture with scales, drawn by the server, and the same figures for the script that lets a
//! reader point at them.
//!
//! Takes figures at equal steps; gives markup. The picture can be read without a script, on paper, and with a screen
//! reader. A script lays a chart of uPlot over it, with texts that the server has formatted, so that each unit is
//! formatted in one place.

use maud::{Markup, html};
use serde_json::json;

use super::{draw_path, place_figure, to_f64};
use crate::command::serve::text;
use crate::units;

/// The width of a picture in units of its view box.
const WIDTH: f64 = 600.0;
/// The height of the figures, and that of the line of times below them, in pixels.
const HEIGHT: f64 = 130.0;
const TIMES_HEIGHT: f64 = 18.0;
/// The most steps of the vertical scale, and the most times below a picture.
const STEPS_MAX: f64 = 3.0;
const TIMES_MAX: i64 = 5;
/// The steps between times, in seconds.
const TIME_STEPS: [i64; 14] =
    [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
const SECOND_NS: i64 = 1_000_000_000;
/// The most characters of a mark's label.
const MARK_CHARACTERS: usize = 24;

/// A line of a chart: its name, its class, and its figures.
pub(in crate::command::serve) struct Line<'a> {
    pub(in crate::command::serve) name: &'a str,
    pub(in crate::command::serve) class: &'a str,
    pub(in crate::command::serve) figures: &'a [Option<f64>],
}

/// Series over a span of time, each of the same number of figures.
pub(in crate::command::serve) struct Series<'a> {
    /// The title.
    pub(in crate::command::serve) title: &'a str,
    /// The lines of the chart, one for each series of figures.
    pub(in crate::command::serve) lines: &'a [Line<'a>],
    /// The span that the figures cover, ns since the Unix epoch.
    pub(in crate::command::serve) span_ns: (i64, i64),
    /// The function that writes a figure with its unit.
    pub(in crate::command::serve) format: fn(f64) -> String,
    /// The threshold, drawn as a horizontal line; `None` for no line.
    pub(in crate::command::serve) threshold: Option<f64>,
    /// Moments to mark with a vertical line: ns since the Unix epoch, and the label.
    pub(in crate::command::serve) marks: &'a [(i64, String)],
}

impl Series<'_> {
    /// Draws the series.
    pub(in crate::command::serve) fn draw(&self) -> Markup {
        let figures = || self.lines.iter().flat_map(|line| line.figures.iter().flatten().copied());
        let most = figures().chain(self.threshold).filter(|figure| figure.is_finite()).fold(0.0, f64::max);
        let is_empty = !figures().any(f64::is_finite);
        let scale = find_scale(most, self.format);
        html! {
            figure.chart data-chart=[(!is_empty).then(|| self.describe(&scale))] {
                figcaption {
                    (self.title)
                    @for line in self.lines { " " span class={ "key " (line.class) } { (line.name) } }
                    @if let Some(threshold) = self.threshold { " " span.key.threshold { "threshold " ((self.format)(threshold)) } }
                }
                @if is_empty { p.empty { "no figures in this span" } } @else { (self.draw_plot(&scale)) }
            }
        }
    }

    fn draw_plot(&self, scale: &Scale) -> Markup {
        let last = |line: &Line<'_>| {
            let last = line.figures.iter().rev().flatten().next();
            last.map_or_else(|| "-".to_owned(), |figure| (self.format)(*figure))
        };
        let highest = |line: &Line<'_>| {
            let most = line
                .figures
                .iter()
                .flatten()
                .copied()
                .filter(|figure| figure.is_finite())
                .fold(0.0, f64::max);
            (self.format)(most)
        };
        let spoken: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                format!("{} last {}, highest {}", line.name, last(line), highest(line)).trim().to_owned()
            })
            .collect();
        let height = |figure: f64| place_figure(figure, scale.top, HEIGHT);
        html! {
            svg.plot role="img" height=(HEIGHT + TIMES_HEIGHT) aria-label={ (self.title) ": " (spoken.join("; ")) } {
                @for (value, _) in &scale.ticks { line.grid x1="0" x2="100%" y1=(height(*value)) y2=(height(*value)) {} }
                @for (part, label) in self.find_marks() {
                    line.mark x1=(percent(part)) x2=(percent(part)) y1="0" y2=(HEIGHT) {}
                    text.mark x=(percent(part)) y="10" dx=(if part > 0.7 { "-4" } else { "4" }) text-anchor=(if part > 0.7 { "end" } else { "start" }) { (label) }
                }
                @if let Some(threshold) = self.threshold { line.threshold x1="0" x2="100%" y1=(height(threshold)) y2=(height(threshold)) {} }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width="100%" height=(HEIGHT) preserveAspectRatio="none" {
                    @for line in self.lines { (draw_line(line, scale.top)) }
                }
                @for (value, label) in scale.ticks.iter().skip(1) { text.tick x="4" y=(height(*value) + 11.0) { (label) } }
                @for (part, label) in find_times(self.span_ns) {
                    text.tick x=(percent(part)) y=(HEIGHT + TIMES_HEIGHT - 5.0) text-anchor=(anchor(part)) { (label) }
                }
            }
        }
    }

    /// Returns the marks within the span: their places, from 0 to 1, and their labels.
    fn find_marks(&self) -> Vec<(f64, String)> {
        let within = self.marks.iter().filter(|(at, _)| (self.span_ns.0..=self.span_ns.1).contains(at));
        within.map(|(at, label)| (place(*at, self.span_ns), text::flat(label, MARK_CHARACTERS))).collect()
    }

    /// Returns what the script draws, as JSON.
    fn describe(&self, scale: &Scale) -> String {
        let describe = |line: &Line<'_>| {
            let known = |figure: &Option<f64>| figure.filter(|figure| figure.is_finite());
            let texts: Vec<_> = line.figures.iter().map(|figure| known(figure).map(self.format)).collect();
            let figures: Vec<_> = line.figures.iter().map(|figure| known(figure).map(round)).collect();
            json!({ "class": line.class, "figures": figures, "texts": texts })
        };
        json!({
            "from": self.span_ns.0.to_string(), "until": self.span_ns.1.to_string(), "top": scale.top,
            "ticks": scale.ticks, "times": find_times(self.span_ns), "marks": self.find_marks(),
            "threshold": self.threshold, "lines": self.lines.iter().map(describe).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

fn draw_line(line: &Line<'_>, top: f64) -> Markup {
    let number = to_f64(line.figures.len().max(1));
    let x = |at: usize| (to_f64(at) + 0.5) * WIDTH / number;
    html! {
        path class={ "line " (line.class) } d=(draw_path(line.figures, top, HEIGHT, x)) vector-effect="non-scaling-stroke" {}
        @if let Some(point) = draw_lone_point(line.figures, top, x) {
            path class={ "line point " (line.class) } d=(point) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// Draws a figure that is the only one as a point, because a line of one point is not seen. Returns `None` if there are others.
fn draw_lone_point(figures: &[Option<f64>], top: f64, x: impl Fn(usize) -> f64) -> Option<String> {
    let mut finite =
        figures.iter().enumerate().filter_map(|(at, figure)| Some((at, figure.filter(|f| f.is_finite())?)));
    let (at, figure) = finite.next()?;
    if finite.next().is_some() {
        return None;
    }
    // The ends of the stroke are round, so a stroke without length is a point, also in a picture that is stretched.
    Some(format!("M{:.1} {:.1}h0", x(at), place_figure(figure, top, HEIGHT)))
}

/// The vertical scale: its top, and the figures that are labelled, from 0 on.
struct Scale {
    top: f64,
    ticks: Vec<(f64, String)>,
}

/// Finds a scale of round figures that reaches the highest one.
fn find_scale(most: f64, format: fn(f64) -> String) -> Scale {
    let most = if most > 0.0 { most } else { 1.0 };
    // Sizes in bytes are round in powers of two.
    let is_binary = format(1024.0 * 1024.0).ends_with("iB");
    let raw = most / STEPS_MAX;
    let base: f64 = if is_binary { 2.0 } else { 10.0 };
    let power = base.powf(raw.log(base).floor());
    let factors: &[f64] = if is_binary { &[1.0, 2.0] } else { &[1.0, 2.0, 5.0, 10.0] };
    let step = factors.iter().map(|factor| factor * power).find(|step| *step >= raw * 0.999).unwrap_or(raw);
    let steps = (most / step * 0.999).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of steps")]
    let ticks = (0..=steps as u32).map(|at| f64::from(at) * step);
    // Zero has no unit, because it is the same in every unit.
    let label = |value: f64| if value > 0.0 { shorten(&format(value)) } else { "0".to_owned() };
    Scale { top: steps * step, ticks: ticks.map(|value| (value, label(value))).collect() }
}

/// Removes the zeros at the end of a figure's digits: `5.00 ms` is `5 ms`, and `5.00e-10` is `5e-10`.
fn shorten(label: &str) -> String {
    let (digits, rest) = label.split_at(label.find([' ', 'e']).unwrap_or(label.len()));
    let short =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{short}{rest}")
}

/// Finds round times within a span: their places, from 0 to 1, and their labels.
fn find_times(span_ns: (i64, i64)) -> Vec<(f64, String)> {
    let length = span_ns.1.saturating_sub(span_ns.0).max(1);
    let is_fitting = |step: &i64| length / (step * SECOND_NS) < TIMES_MAX;
    let days = (length / (86_400 * SECOND_NS) / TIMES_MAX + 1) * 86_400;
    let step = TIME_STEPS.into_iter().find(is_fitting).unwrap_or(days);
    let step_ns = step.saturating_mul(SECOND_NS);
    let first = span_ns.0.div_euclid(step_ns).saturating_add(1).saturating_mul(step_ns);
    let times = (0..=TIMES_MAX).map(|at| first.saturating_add(at.saturating_mul(step_ns)));
    let label = |ns: i64| {
        let text = units::format_date_and_time(ns);
        let (from, to) = match step {
            step if step < 60 => (11, 19),
            step if step < 86_400 => (11, 16),
            _ => (5, 10),
        };
        text.get(from..to).unwrap_or_default().to_owned()
    };
    times
        .filter(|ns| (span_ns.0..=span_ns.1).contains(ns))
        .map(|ns| (place(ns, span_ns), label(ns)))
        .collect()
}

/// Returns the place of a moment within a span, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn place(ns: i64, span_ns: (i64, i64)) -> f64 {
    let length = span_ns.1.saturating_sub(span_ns.0).max(1) as f64;
    let share = ns.saturating_sub(span_ns.0) as f64 / length;
    (share * 1e4).round() / 1e4
}

/// Returns the `text-anchor` of a label at a place from 0 to 1, so that the border cuts no label.
fn anchor(part: f64) -> &'static str {
    match part {
        part if part < 0.04 => "start",
        part if part > 0.96 => "end",
        _ => "middle",
    }
}

fn percent(part: f64) -> String {
    format!("{}%", (part * 1e4).round() / 100.0)
}

/// Rounds to four digits, because a picture shows no more.
fn round(figure: f64) -> f64 {
    if figure == 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a number of digits")]
    let digits = figure.abs().log10().floor() as i32 - 3;
    let unit = 10_f64.powi(digits.abs());
    if digits > 0 { (figure / unit).round() * unit } else { (figure * unit).round() / unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_figure_is_a_point() {
        let x = |at: usize| to_f64(at) * 10.0 + 5.0;
        let point = |figures: &[Option<f64>]| draw_lone_point(figures, 2.0, x);
        assert_eq!(point(&[None, Some(2.0)]).as_deref(), Some("M15.0 1.0h0"));
        assert_eq!(point(&[Some(1.0), Some(2.0)]), None);
        assert_eq!(point(&[Some(f64::NAN)]), None);
    }

    #[test]
    fn a_scale_has_few_round_figures_and_reaches_the_highest() {
        let labels = |most: f64, format: fn(f64) -> String| {
            let scale = find_scale(most, format);
            assert!(scale.top >= most * 0.99 && scale.ticks.len() <= 5, "{most}");
            scale.ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(8_030_000.0, units::format_duration), "0 5 ms 10 ms");
        assert_eq!(labels(3.0, units::format_count), "0 1 2 3");
        assert_eq!(labels(12_000.0, units::format_count), "0 5000 10 k 15 k");
        assert_eq!(labels(61.0 * 1024.0 * 1024.0, units::format_bytes), "0 32 MiB 64 MiB");
        assert_eq!(labels(0.0, units::format_percent), "0 0.5 % 1 %");
        assert_eq!(labels(1.5e-10, units::format_number), "0 5e-11 1e-10 1.5e-10");
    }

    #[test]
    fn times_below_a_picture_are_round_and_within_the_span() {
        let at = |second: i64| 1_700_000_000_000_000_000 + second * SECOND_NS;
        // `at(0)` is 22:13:20.
        let labels = |seconds: i64| {
            let times = find_times((at(0), at(seconds)));
            assert!(times.iter().all(|(part, _)| (0.0..=1.0).contains(part)));
            times.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(3600), "22:15 22:30 22:45 23:00");
        assert_eq!(labels(40), "22:13:30 22:13:40 22:13:50 22:14:00");
        assert_eq!(labels(40 * 86_400).len(), 4 * 5 + 3);
        assert_eq!(labels(0), "");
    }

    #[test]
    fn the_script_gets_figures_words_and_marks() {
        let figures = [Some(1_234_567.0), None, Some(f64::NAN)];
        let lines = [Line { name: "p99", class: "c3", figures: &figures }];
        let marks = [(60 * SECOND_NS, "build a\u{202e}".to_owned()), (999 * SECOND_NS, "later".to_owned())];
        let format = units::format_duration;
        let span_ns = (0, 120 * SECOND_NS);
        let series =
            Series { title: "t", lines: &lines, span_ns, format, threshold: Some(2e6), marks: &marks };
        let described: serde_json::Value =
            serde_json::from_str(&series.describe(&find_scale(2e6, format))).unwrap_or_default();
        assert_eq!(described["lines"][0]["figures"], json!([1_235_000.0, null, null]));
        assert_eq!(described["lines"][0]["texts"], json!(["1.23 ms", null, null]));
        assert_eq!(described["marks"], json!([[0.5, "build aU+202E"]]));
        let drawn = series.draw().into_string();
        assert!(drawn.contains("line point c3") && drawn.contains("threshold 2.00 ms"), "{drawn}");
        let none = Series { lines: &[], threshold: None, ..series };
        assert!(none.draw().into_string().contains("no figures in this span"));
    }
}
