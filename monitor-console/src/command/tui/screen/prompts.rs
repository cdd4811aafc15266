//! The footer, the prompts above it, and the help.

use ratatui::style::Style;

use super::canvas::{ACCENT, BAD, BOLD, Canvas, DIM, Text, WARNING};
use crate::command::tui::facts::Page;
use crate::command::tui::prompt::{HoldPrompt, Line, Prompt, RatePrompt, preview};
use crate::command::tui::state::{Layer, State};
use crate::units::{self, format_quantity};

/// The rows for the reason why a filter has no meaning.
const REASON_ROWS: u16 = 3;

/// Draws the footer: a prompt if one is open, else a sentence about the last key, else the keys.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let (width, y) = (canvas.width(), canvas.buffer.area.height - 1);
    match &state.prompt {
        Some(Prompt::Filter(line)) => draw_filter(canvas, line),
        Some(Prompt::Rate(prompt)) => draw_rate(canvas, state, prompt),
        Some(Prompt::Hold(prompt)) => draw_hold(canvas, state, prompt),
        None => match &state.status {
            Some(status) => {
                canvas.text((1, y), width.saturating_sub(2), status, ACCENT);
            }
            None => {
                canvas.text((1, y), width.saturating_sub(2), &describe_keys(state), DIM);
            }
        },
    }
}

fn describe_keys(state: &State) -> String {
    let own = match (&state.page, state.above.last()) {
        (Page::Functions(_), _) => "enter open  e failures  s sort  r rate",
        (Page::Calls(_), Some(Layer::Function { .. })) => "enter trace  f failed  r rate  esc back",
        (Page::Calls(_), Some(_)) => "enter trace  esc back",
        (Page::Calls(_), None) => "enter trace  f failed  r rate",
        (Page::Trace(_), _) => "h l fold  c critical path  e failures  esc back",
        (Page::Changes(_), _) => "enter open  esc back",
        (Page::Kinds(_), _) => "enter examples  r rate",
        (Page::Live(..), _) => "enter arguments",
        (Page::Findings(_), _) => "enter evidence  y copy next command",
        (Page::Evidence(_), _) => "esc back",
        _ => "enter details",
    };
    format!(
        "{own}  / filter  y copy  ? help  q quit  space pause  [ ] window  {{ }} length  b breaker  d diff  x export"
    )
}

/// Clears the lowest rows of the screen and draws a line above them. Returns the first of the rows.
fn clear_lowest(canvas: &mut Canvas<'_>, rows: u16, title: &str) -> u16 {
    let (width, height) = (canvas.width(), canvas.buffer.area.height);
    let top = height - rows;
    for y in top - 1..height {
        canvas.buffer.set_stringn(0, y, " ".repeat(width.into()), width.into(), Style::reset());
    }
    canvas.rule(top - 1, title);
    top
}

/// Draws the line of the filter, and above the line what is wrong with it.
fn draw_filter(canvas: &mut Canvas<'_>, line: &Line) {
    let (width, y) = (canvas.width(), canvas.buffer.area.height - 1);
    let keys = match line.parse_filter() {
        Ok(_) => "   enter keeps it, esc removes it",
        Err(reason) => {
            let top = clear_lowest(canvas, 1 + REASON_ROWS, "the filter is as before");
            canvas.paragraph((1, top), (width - 2, REASON_ROWS), &Text::styled(reason, BAD));
            "   esc removes it"
        }
    };
    let texts =
        [Text::styled(" filter: ", BOLD), Text::from(format!("{}_", line.0)), Text::styled(keys, DIM)];
    canvas.texts((0, y), width, &texts);
}

fn draw_rate(canvas: &mut Canvas<'_>, state: &State, prompt: &RatePrompt) {
    let y = clear_lowest(canvas, 5, "set a sampling rate");
    let width = canvas.width() - 2;
    let field = |name: &str, text: &str, is_edited: bool| {
        let cursor = if is_edited && !prompt.is_confirming { "_" } else { "" };
        [
            Text::styled(format!("{name:<9}"), DIM),
            Text::styled(format!("{text}{cursor}"), if is_edited { BOLD } else { Style::new() }),
        ]
    };
    canvas.texts((1, y), width, &field("pattern", &prompt.pattern.0, prompt.is_on_pattern));
    canvas.texts((1, y + 1), width, &field("rate", &prompt.rate.0, !prompt.is_on_pattern));
    let told = match prompt.parse() {
        Err(reason) if prompt.rate.0.is_empty() && prompt.pattern.0.is_empty() => Text::styled(reason, DIM),
        Err(reason) => Text::styled(reason, if prompt.rate.0.is_empty() { DIM } else { BAD }),
        Ok((pattern, rate)) => {
            let effect = preview(&state.rates, &pattern, rate);
            if effect.functions == 0 {
                let text = "no running process has reported a function with this whole name; later ones read the rate at their start";
                Text::styled(text, WARNING)
            } else {
                Text::styled(
                    format!(
                        "{}: about {} rows/s instead of {}; counts stay exact and failed calls get a row",
                        format_quantity(effect.functions, "function", "functions"),
                        format_rows(effect.rows_then),
                        format_rows(effect.rows_now)
                    ),
                    ACCENT,
                )
            }
        }
    };
    canvas.texts((1, y + 2), width, &[told]);
    let keys = if prompt.is_confirming {
        Text::styled("set this rate?  y sets it, any other key does not", WARNING)
    } else {
        Text::styled("tab other field  enter next  esc leave", DIM)
    };
    canvas.texts((1, y + 3), width, &[keys]);
    if let Some(status) = &state.status {
        canvas.text((1, y + 4), width, status, BAD);
    }
}

/// Formats rows a second: whole ones, or with three digits if they are few.
fn format_rows(rows: f64) -> String {
    units::format_count(if rows >= 10.0 { rows.round() } else { rows })
}

fn draw_hold(canvas: &mut Canvas<'_>, state: &State, prompt: &HoldPrompt) {
    let y = clear_lowest(canvas, 4, "hold the breakers of all processes");
    let width = canvas.width() - 2;
    match prompt.hold {
        None => {
            canvas.text(
                (1, y),
                width,
                "o  held open: nothing is written to the store, records wait in memory",
                Style::new(),
            );
            canvas.text(
                (1, y + 1),
                width,
                "c  held closed: every write is tried, even after failures",
                Style::new(),
            );
            canvas.text(
                (1, y + 2),
                width,
                "a  not held: each breaker opens and closes by itself",
                Style::new(),
            );
            canvas.text((1, y + 3), width, "esc leave", DIM);
        }
        Some(hold) => {
            canvas.texts((1, y), width, &[Text::from("hold     "), Text::styled(hold, WARNING)]);
            canvas.texts(
                (1, y + 1),
                width,
                &[Text::from("reason   "), Text::styled(format!("{}_", prompt.reason.0), BOLD)],
            );
            canvas.text(
                (1, y + 2),
                width,
                "enter holds them for this reason, which becomes an event  esc leave",
                DIM,
            );
            if let Some(status) = &state.status {
                canvas.text((1, y + 3), width, status, BAD);
            }
        }
    }
}

/// The keys, and what each does.
const HELP: [(&str, &str); 21] = [
    ("1 … 7, tab", "open a screen"),
    ("j k ↓ ↑, g G, page up, page down", "select a row"),
    ("enter", "open what the row leads to; on a narrow screen its details first"),
    ("esc, u, backspace", "back; esc at the start removes the filter"),
    ("/", "show only functions whose name contains a text, or matches a pattern with *"),
    ("s S", "sort functions by the next or the previous figure"),
    ("f", "failed calls only, or all"),
    ("e", "failed calls of the selected function"),
    ("h l ← →, c", "hide or show what is below a line of a trace; mark its critical path"),
    ("[ ], 0", "move the span into the past, at most six hours, and back; to now"),
    ("{ }", "a shorter or a longer span"),
    ("space", "pause, so that the screen holds still"),
    ("r", "set a sampling rate, with a preview of the rows a second"),
    ("b", "hold the circuit breakers"),
    ("d", "what changed against the time before the span"),
    ("x", "export for speedscope, or a trace for Perfetto, into this folder"),
    ("y", "copy the command that shows the same; it is printed at the end too"),
    ("mouse", "click a row; draw a box in a picture of durations to see its calls"),
    ("ctrl-l, ctrl-z", "draw everything again; stop until the shell's fg"),
    ("?", "this help; any key leaves it"),
    ("q, ctrl-c", "quit"),
];

/// Draws the help in place of a screen.
pub(super) fn draw_help(canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.buffer.area.height);
    let room = usize::from(height - 3);
    for ((keys, what), y) in HELP.iter().take(room).zip(2..) {
        canvas.text((1, y), 33, keys, BOLD);
        canvas.text((35, y), width - 36, what, Style::new());
    }
    canvas.text((1, height - 1), width - 2, "any key leaves the help", DIM);
}
