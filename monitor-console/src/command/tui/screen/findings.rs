//! The findings as sentences, and the rows behind one.

use ratatui::style::Style;

use super::calls::draw_values;
use super::canvas::{ACCENT, BAD, Canvas, DIM, Text, WARNING};
use super::list::{self, Column, Side, column};
use crate::command::tui::state::State;
use crate::model::findings::{Finding, Findings, Level};
use crate::report::Report;
use crate::units;

const COLUMNS: [Column; 3] = [
    column("LEVEL", 10, 0, Side::Left),
    column("KIND", 18, 100, Side::Left),
    column("FINDING", 0, 0, Side::Left),
];

/// The width of a column of evidence, and the most columns.
const EVIDENCE_COLUMNS: u16 = 20;

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, found: &Findings) {
    if state.rows.is_empty() {
        super::say(canvas, state, "no findings in this span");
        let width = canvas.width() - 2;
        let mut y = state.list_top() + 2;
        for unknown in &found.unknown {
            y += canvas.paragraph((1, y), (width, 3), &Text::styled(format!("cannot tell {unknown}"), DIM));
        }
    }
    list::draw(canvas, state, &COLUMNS, |at| {
        let finding = &found.findings[at];
        let (mark, style) = match finding.level {
            Level::Critical => ("✗", BAD),
            Level::Warning => ("▲", WARNING),
            Level::Info => ("·", DIM),
        };
        let estimate = if finding.is_estimated { "~ " } else { "" };
        vec![
            Text::styled(format!("{mark} {}", finding.level.as_str()), style),
            Text::styled(finding.kind, DIM),
            Text::from(format!("{estimate}{}", finding.sentence)),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_pane(canvas, state, &found.findings[at]);
    }
}

fn draw_pane(canvas: &mut Canvas<'_>, state: &State, finding: &Finding) {
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, finding.kind);
    let since = finding.since_ns.map(|since| format!(" since {} UTC", units::format_date_and_time(since)));
    let basis = format!("{}{}", finding.rests_on, since.unwrap_or_default());
    let saves = (finding.saves_ns >= 1e6)
        .then(|| format!("about {} within the span", units::format_duration(finding.saves_ns)));
    let next = finding.next.to_string();
    let values = [
        ("finding", Some(finding.sentence.as_str()), Style::new()),
        ("rests on", Some(basis.as_str()), DIM),
        ("saves", saves.as_deref(), Style::new()),
        ("next", Some(next.as_str()), ACCENT),
        ("rows", Some(finding.evidence.as_str()), DIM),
    ];
    draw_values(canvas, (top + 1, state.pane_rows() - 1), &values, "");
}

/// Draws the rows behind a finding, as many columns as fit.
pub(super) fn draw_evidence(canvas: &mut Canvas<'_>, state: &State, report: &Report, title: &str) {
    canvas.text((1, 2), canvas.width() - 2, title, Style::new());
    if state.rows.is_empty() {
        super::say(canvas, state, "the statement gives no rows");
    }
    let room = usize::from((canvas.width() - 1) / (EVIDENCE_COLUMNS + 1));
    let count = report.columns.len().min(room);
    let columns = vec![column("", EVIDENCE_COLUMNS, 0, Side::Left); count];
    list::draw(canvas, state, &columns, |at| {
        report.rows[at].iter().take(count).map(|cell| Text::from(cell.to_plain_text())).collect()
    });
    for (column, x) in report.columns.iter().take(count).zip((1..).step_by(usize::from(EVIDENCE_COLUMNS) + 1))
    {
        let y = state.list_top() - 1;
        canvas.text((x, y), EVIDENCE_COLUMNS, column.name.as_deref().unwrap_or_default(), DIM);
    }
}
