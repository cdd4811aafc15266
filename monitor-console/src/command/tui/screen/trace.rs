//! A trace as a waterfall: folded siblings, the critical path, and the values of the selected call.

use std::fmt::Write as _;

use ratatui::style::Style;

use super::calls::{self, draw_values, format_nanoseconds, mark};
use super::canvas::{ACCENT, BAD, BOLD, Canvas, DIM, Text, WARNING};
use super::list::{self, Column, Side, column};
use crate::command::tui::state::State;
use crate::model::call_tree::{Line, Tree, TreeCall};
use crate::model::logs;
use crate::units;

/// The deepest level that is indented further than its caller.
const DEPTH_SHOWN_MAX: usize = 24;
/// The width of the waterfall on a narrow and on a wide screen.
const BAR_COLUMNS: [u16; 2] = [22, 46];

/// The most log lines of a call that are shown, the latest ones.
const SAID_SHOWN: usize = 5;

const NARROW: [Column; 4] = columns(BAR_COLUMNS[0]);
const WIDE: [Column; 4] = columns(BAR_COLUMNS[1]);

const fn columns(bar: u16) -> [Column; 4] {
    [
        column("CALL", 0, 0, Side::Left),
        column("WATERFALL", bar, 0, Side::Left),
        column("TOOK", 9, 0, Side::Right),
        column("FROM START", 10, 100, Side::Right),
    ]
}

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, tree: &Tree) {
    let is_wide = canvas.width() >= crate::command::tui::state::WIDE_COLUMNS;
    let (start, end) = tree.extent();
    canvas.texts((1, 2), canvas.width() - 2, &describe(tree));
    let is_critical =
        if state.is_critical_shown { tree.find_critical_path() } else { vec![false; tree.calls.len()] };
    let bar_columns = BAR_COLUMNS[usize::from(is_wide)];
    list::draw(canvas, state, if is_wide { &WIDE } else { &NARROW }, |at| {
        let line = &state.lines[at];
        let call = &tree.calls[line.at];
        let took = if line.fold.is_empty() {
            call.duration_ns
        } else {
            line.fold.iter().map(|at| tree.calls[*at].duration_ns).fold(0, i64::saturating_add)
        };
        let on_path = is_critical[line.at];
        let style = if on_path { WARNING.patch(BOLD) } else { ACCENT };
        vec![
            describe_line(tree, line, on_path),
            Text::styled(draw_bar(tree, line, (start, end), bar_columns), style),
            format_nanoseconds(took).into(),
            Text::styled(format_nanoseconds(call.start_ns.saturating_sub(start)), DIM),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_pane(canvas, state, &tree.calls[state.lines[at].at]);
    }
}

fn describe(tree: &Tree) -> Vec<Text> {
    let (start, end) = tree.extent();
    let calls: i64 = tree.calls.iter().map(|call| call.shared).fold(0, i64::saturating_add);
    let failed = tree.calls.iter().filter(|call| call.is_failed).count();
    let text = format!(
        "trace {} of run {} · {} UTC · {} · {} calls",
        tree.trace_id,
        tree.process_id,
        units::format_date_and_time(start),
        units::format_nanoseconds(end.saturating_sub(start)),
        units::format_exact(calls)
    );
    let mut texts = vec![Text::styled(text, BOLD)];
    if failed > 0 {
        texts.push(Text::styled(format!(" · {failed} failed"), BAD));
    }
    if tree.is_cut {
        texts.push(Text::styled(format!(" · only the first {} rows", tree.calls.len()), WARNING));
    }
    texts
}

/// Describes a line: its place in the tree, its function, and what is special about it.
fn describe_line(tree: &Tree, line: &Line, on_path: bool) -> Text {
    let call = &tree.calls[line.at];
    let fold = match (line.has_more, line.is_open) {
        (false, _) => "·",
        (true, false) => "▸",
        (true, true) => "▾",
    };
    let indent = "  ".repeat(line.depth.min(DEPTH_SHOWN_MAX));
    let deeper = line.depth.saturating_sub(DEPTH_SHOWN_MAX);
    let deeper = if deeper > 0 { format!("+{deeper} ") } else { String::new() };
    let mut text = format!("{indent}{deeper}{fold} {}", call.function);
    if line.fold.is_empty() {
        if call.shared > 1 {
            let _ = write!(text, " × {}", units::format_exact(call.shared));
        }
        if call.is_failed {
            let error = call.error.as_deref().unwrap_or(&call.outcome);
            let _ = write!(text, "  {} {error}", mark(&call.outcome));
        }
        if line.is_orphan {
            text.push_str("  (its caller has no row)");
        }
        if !call.said.is_empty() {
            let _ = write!(text, "  ✎ {}", units::format_quantity(call.said.len(), "line", "lines"));
        }
    } else {
        text.push_str(&describe_fold(tree, line));
    }
    let style = match (on_path, call.is_failed) {
        (_, true) => BAD,
        (true, false) => BOLD,
        _ => Style::new(),
    };
    Text::styled(text, style)
}

/// Describes a fold: ` × 94  p50 380 µs  max 1.2 ms`.
fn describe_fold(tree: &Tree, line: &Line) -> String {
    let mut durations: Vec<i64> = line.fold.iter().map(|at| tree.calls[*at].duration_ns).collect();
    durations.sort_unstable();
    let calls: i64 = line.fold.iter().map(|at| tree.calls[*at].shared).fold(0, i64::saturating_add);
    let short = |ns: i64| format_nanoseconds(ns);
    let failed = if tree.calls[line.at].is_failed { " failed" } else { "" };
    format!(
        " × {}{failed}  p50 {}  max {}",
        units::format_exact(calls),
        short(durations[durations.len() / 2]),
        short(durations[durations.len() - 1])
    )
}

/// Draws where the calls of a line lay within the trace: busy time as full blocks, time not polled as light ones.
fn draw_bar(tree: &Tree, line: &Line, (start, end): (i64, i64), columns: u16) -> String {
    let columns = usize::from(columns);
    let whole = i128::from(end.saturating_sub(start).max(1));
    let place = |ns: i64| {
        let at = i128::from(ns.saturating_sub(start)) * columns as i128 / whole;
        usize::try_from(at).unwrap_or(0).min(columns)
    };
    let mut blocks = vec!["·"; columns];
    let single = [line.at];
    let calls: &[usize] = if line.fold.is_empty() { &single } else { &line.fold };
    for at in calls {
        let call = &tree.calls[*at];
        let from = place(call.start_ns).min(columns - 1);
        let to = place(call.end_ns()).max(from + 1);
        // The store keeps how long a call was polled and not when, so busy time is drawn first.
        let busy = i128::from(call.busy_ns) * (to - from) as i128;
        let busy = busy.div_euclid(i128::from(call.duration_ns.max(1)));
        let busy = if call.shared > 1 { to - from } else { usize::try_from(busy).unwrap_or(0).max(1) };
        for (block, nth) in blocks[from..to].iter_mut().zip(0..) {
            *block = if nth < busy { "█" } else { "░" };
        }
    }
    blocks.concat()
}

fn draw_pane(canvas: &mut Canvas<'_>, state: &State, call: &TreeCall) {
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, &format!("call {} ─ {}", call.call_id, call.function));
    let waiting = call.duration_ns.saturating_sub(call.busy_ns).max(0);
    let took = format!(
        "{} after {}, busy {}, waiting {}",
        calls::outcome(&call.outcome).text,
        units::format_nanoseconds(call.duration_ns),
        units::format_nanoseconds(call.busy_ns),
        units::format_nanoseconds(waiting)
    );
    let said: Vec<String> = call.said.iter().rev().take(SAID_SHOWN).rev().map(describe_said).collect();
    let mut values = vec![
        ("took", Some(took.as_str()).filter(|_| call.shared == 1), Style::new()),
        ("arguments", call.args.as_deref(), Style::new()),
        ("result", call.result.as_deref(), Style::new()),
        ("error", call.error.as_deref(), BAD),
    ];
    values.extend(said.iter().map(|line| ("said", Some(line.as_str()), Style::new())));
    draw_values(canvas, (top + 1, state.pane_rows() - 1), &values, &format!("on {}", call.thread));
}

/// Describes a log line: `14:05:01.250 warn attempt 3 failed`.
fn describe_said(line: &logs::Line) -> String {
    format!("{} {} {}", units::format_time(line.at_ns, line.at_ns), line.level, line.text())
}
