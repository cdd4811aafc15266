//! Rows of a statement as charts over time, if their first column is a time and others are numbers.
//!
//! Takes rows in any order and at any distance; gives a chart for each column of numbers. Rows of one part of the span
//! are averaged. The name of a column shows its unit, as in the views.

use maud::{Markup, html};

use super::super::super::chart::{Line, Series};
use super::super::super::text;
use crate::report::{Cell, Report};
use crate::units;

/// The most parts of a span, and the fewest rows and the most columns that are drawn.
const PARTS_MAX: usize = 240;
const ROWS_MIN: usize = 3;
const COLUMNS_MAX: usize = 4;
/// The least number that counts as a time in ns since the Unix epoch: it lies in 2001. Smaller numbers are other
/// figures.
const TIME_MIN_NS: i64 = 1_000_000_000_000_000_000;

/// Draws the columns; returns `None` if the rows are no series over time.
pub(super) fn draw(report: &Report) -> Option<Markup> {
    let times: Vec<i64> = report.rows.iter().map(|row| row.first()?.to_integer()).collect::<Option<_>>()?;
    let name = report.columns.first()?.name.as_deref()?;
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    if !name.ends_with("_ns") || times.len() < ROWS_MIN || first < TIME_MIN_NS || first == last {
        return None;
    }
    let parts = PARTS_MAX.min(times.len());
    let columns = (1..report.columns.len()).filter(|at| is_drawn(report, *at)).take(COLUMNS_MAX);
    let charts: Vec<Markup> = columns
        .map(|at| {
            let figures = average(report, at, &times, (first, last), parts);
            let name = report.columns[at].name.as_deref().unwrap_or_default();
            Series {
                title: &text::flat(name, 60),
                lines: &[Line { name: "", class: "c1", figures: &figures }],
                span_ns: (first, last),
                format: find_format(name),
                threshold: None,
                marks: &[],
            }
            .draw()
        })
        .collect();
    (!charts.is_empty()).then(|| html! { div.charts { @for chart in &charts { (chart) } } })
}

/// Returns true for a column of numbers that are no times and no ids.
fn is_drawn(report: &Report, at: usize) -> bool {
    let name = report.columns[at].name.as_deref().unwrap_or_default();
    let is_number =
        |row: &Vec<Cell>| row[at].is_null() || (row[at].as_text().is_none() && row[at].to_number().is_some());
    let has_number = report.rows.iter().any(|row| row[at].to_number().is_some());
    !name.ends_with("_id") && !is_time(name) && has_number && report.rows.iter().all(is_number)
}

fn is_time(name: &str) -> bool {
    ["at_ns", "start_ns", "end_ns", "first_ns", "last_ns", "since_ns", "until_ns", "started_ns", "seen_ns"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Returns the mean of the rows in each part of the span; `None` for a part without rows.
fn average(report: &Report, at: usize, times: &[i64], span: (i64, i64), parts: usize) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u32); parts];
    let length = i128::from(span.1 - span.0) + 1;
    for (row, time) in report.rows.iter().zip(times) {
        let part = i128::from(time - span.0) * parts as i128 / length;
        let place = usize::try_from(part).ok().and_then(|part| sums.get_mut(part));
        if let (Some((sum, number)), Some(value)) = (place, row[at].to_number()) {
            *sum += value;
            *number += 1;
        }
    }
    sums.into_iter().map(|(sum, number)| (number > 0).then(|| sum / f64::from(number))).collect()
}

/// Returns the function that writes the figures of a column, by the end of its name.
fn find_format(name: &str) -> fn(f64) -> String {
    match name.rsplit('_').next() {
        Some("ms") => |ms| units::format_duration(ms * 1e6),
        Some("ns") => units::format_duration,
        Some("pct") => units::format_percent,
        Some("bytes") => units::format_bytes,
        _ => units::format_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Column, Unit};

    fn report(names: &[&str], rows: Vec<Vec<Cell>>) -> Report {
        Report { columns: names.iter().map(|name| Column::titled(name, name, Unit::Text)).collect(), rows }
    }

    #[test]
    fn columns_of_numbers_over_a_time_are_drawn_and_nothing_else() {
        let time = |second: i64| Cell::from(TIME_MIN_NS + second * 1_000_000_000);
        let row = |second: i64| vec![time(second), 1.5.into(), "a".to_owned().into(), 7_i64.into(), time(0)];
        let names = ["start_ns", "p95_ms", "function", "call_id", "end_ns"];
        let drawn = draw(&report(&names, (0..50).map(row).collect())).map(maud::Markup::into_string);
        let drawn = drawn.unwrap_or_default();
        assert!(drawn.matches("<figure").count() == 1 && drawn.contains("p95_ms"), "{drawn}");
        assert!(draw(&report(&names, (0..2).map(row).collect())).is_none());
        assert!(draw(&report(&["calls", "p95_ms"], vec![vec![1_i64.into(), 2.0.into()]; 9])).is_none());
        assert!(draw(&report(&["start_ns", "x"], vec![vec![time(1), 2.0.into()]; 9])).is_none());
        assert!(draw(&report(&[], Vec::new())).is_none());
    }

    #[test]
    fn rows_of_one_part_are_averaged_and_a_part_without_rows_is_a_gap() {
        let rows = [0, 1, 90, 99].map(|second| vec![Cell::from(second), Cell::from(second)]);
        let report = report(&["at_ns", "x"], rows.to_vec());
        let found = average(&report, 1, &[0, 1, 90, 99], (0, 99), 4);
        assert_eq!(found, [Some(0.5), None, None, Some(94.5)]);
    }
}
