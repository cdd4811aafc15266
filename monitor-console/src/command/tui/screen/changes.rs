//! The screen of changes: the functions that changed between the span and the time before it, as `monitor diff` judges them.

use super::canvas::{ACCENT, BAD, Canvas, DIM, GOOD, Text, WARNING};
use super::list::{self, Column, Side, column};
use crate::command::tui::facts::Changes;
use crate::command::tui::state::State;
use crate::model::compare::Verdict;
use crate::units;

const COLUMNS: [Column; 8] = [
    column("VERDICT", 13, 0, Side::Left),
    column("FUNCTION", 0, 0, Side::Name),
    column("RATIO", 7, 0, Side::Right),
    column("95 % INTERVAL", 15, 90, Side::Right),
    column("P99 BEFORE", 10, 0, Side::Right),
    column("P99 AFTER", 10, 0, Side::Right),
    column("CALLS BEFORE", 12, 110, Side::Right),
    column("CALLS AFTER", 12, 110, Side::Right),
];

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, found: &Changes) {
    canvas.text((1, 2), canvas.width() - 2, &found.sentence, ACCENT);
    if state.rows.is_empty() {
        super::say(canvas, state, "no function was called in both parts");
    }
    list::draw(canvas, state, &COLUMNS, |at| {
        let change = &found.changes[at];
        let style = match change.verdict {
            Verdict::Slower | Verdict::FailsMore => BAD,
            Verdict::Faster => GOOD,
            Verdict::CannotTell => WARNING,
            _ => DIM,
        };
        let ratio = |ratio: f64| if ratio.is_finite() { format!("×{ratio:.2}") } else { "-".to_owned() };
        #[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
        let count = |number: u64| units::format_count(number as f64).replace(' ', "");
        #[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
        let p99 = |side: usize| units::format_duration(change.percentiles[side][1] as f64).replace(' ', "");
        vec![
            Text::styled(change.verdict.as_str(), style),
            Text::from(change.function.as_str()),
            ratio(change.ratio).into(),
            Text::styled(format!("{} – {}", ratio(change.interval.0), ratio(change.interval.1)), DIM),
            p99(0).into(),
            p99(1).into(),
            count(change.calls[0]).into(),
            count(change.calls[1]).into(),
        ]
    });
}
