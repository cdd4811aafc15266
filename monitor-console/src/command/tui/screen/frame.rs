//! The frame of every screen: the header and the tabs.

use ratatui::style::{Modifier, Style};

use super::canvas::{ACCENT, BAD, BOLD, Canvas, DIM, GOOD, Text, WARNING};
use crate::command::tui::facts::Page;
use crate::command::tui::state::{Layer, State, Tab};
use crate::units::{self, format_quantity};

/// The row of the tabs.
pub(in crate::command::tui) const TABS_ROW: u16 = 1;
/// The smallest width of a screen at which the titles of tabs are not shortened.
const LONG_TITLES_FROM: u16 = 100;
/// The time since the last write up to which the store counts as live. A recorder whose figures change reports every
/// 12 s.
const LIVE_NS: i64 = 15_000_000_000;

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let width = canvas.width();
    canvas.texts((0, 0), width, &header(state, width));
    canvas.rule(TABS_ROW, "");
    for (tab, (from, title)) in Tab::ALL.into_iter().zip(place_tabs(width)) {
        let style = if tab == state.tab { BOLD.add_modifier(Modifier::REVERSED) } else { Style::new() };
        canvas.text((from, TABS_ROW), width, &title, style);
    }
    let note = note(state);
    if !note.is_empty() {
        let end = place_tabs(width).last().map_or(0, |(from, title)| from + measure(title)) + 1;
        canvas.right((end, TABS_ROW), width.saturating_sub(end), &format!(" {note} "), ACCENT);
    }
}

/// Returns the start and the title of each tab. A narrow screen shows short ones.
fn place_tabs(width: u16) -> Vec<(u16, String)> {
    let mut x = 1;
    let titles = Tab::ALL.iter().zip(1..).map(|(tab, number)| {
        let title = if width < LONG_TITLES_FROM { tab.short_title() } else { tab.title() };
        format!(" {number} {title} ")
    });
    titles
        .map(|title| {
            let from = x;
            x += measure(&title);
            (from, title)
        })
        .collect()
}

fn measure(title: &str) -> u16 {
    u16::try_from(title.len()).unwrap_or(0)
}

/// Returns the tab at a column of the row of tabs.
pub(in crate::command::tui) fn find_tab(state: &State, column: u16) -> Option<Tab> {
    let is_at = |(from, title): &(u16, String)| (*from..from + measure(title)).contains(&column);
    place_tabs(state.size.0).iter().position(is_at).map(|at| Tab::ALL[at])
}

/// Returns what the row of tabs says about the list: its order and what it leaves out.
fn note(state: &State) -> String {
    let mut notes = Vec::new();
    if let Some(filter) = &state.filter {
        notes.push(format!("/{}", filter.as_str()));
    }
    match (&state.page, state.above.last()) {
        (Page::Functions(_), _) => notes.push(format!("sort: {}", state.sort.name())),
        (Page::Calls(_), Some(Layer::Function { is_failed: true, .. })) => {
            notes.push("failed only".to_owned());
        }
        (Page::Calls(_), None) if state.is_failed_only => notes.push("failed only".to_owned()),
        (Page::Trace(_), _) if state.is_critical_shown => notes.push("critical path".to_owned()),
        _ => {}
    }
    notes.join(" · ")
}

/// Returns the header. Its later parts are left out where the screen is too narrow for them.
fn header(state: &State, width: u16) -> Vec<Text> {
    let name = state.store.file_name().unwrap_or_default().to_string_lossy();
    let mut parts = vec![Text::styled(format!(" monitor  {name} "), BOLD)];
    if state.is_paused {
        parts.push(Text::styled("‖ paused  ", WARNING));
    }
    if let Some(trouble) = &state.trouble {
        parts.push(Text::styled(format!("✗ {trouble}"), BAD));
        return parts;
    }
    parts.push(freshness(state));
    parts.push(span(state));
    let overview = &state.overview;
    let running = overview.count_running();
    let mut rest = Vec::new();
    rest.push(Text::from(format!("  {}/s", units::format_count(round(overview.calls_per_s)))));
    if let Some(failed) = overview.failed_pct {
        let style = if failed > 0.0 { WARNING } else { Style::new() };
        rest.push(Text::styled(format!("  {} failed", units::format_percent(failed)), style));
    }
    rest.push(Text::from(format!("  {}", format_quantity(running, "process", "processes"))));
    if let Some((cost, budget)) = overview.cost() {
        let budget = budget.map_or(String::new(), |budget| format!(" of {}", units::format_percent(budget)));
        rest.push(Text::styled(format!("  recorder {}{budget}", units::format_percent(cost)), DIM));
    }
    let measure = |text: &Text| crate::terminal::measure_width(&text.text);
    let mut used: usize = parts.iter().map(measure).sum();
    for part in rest {
        used += measure(&part);
        if used > usize::from(width) {
            break;
        }
        parts.push(part);
    }
    parts
}

/// Returns whether the store is being written, and otherwise when it was written last.
fn freshness(state: &State) -> Text {
    match state.overview.last_write_ns {
        None => Text::from("○ not read yet"),
        Some(last) if state.now_ns.saturating_sub(last) < LIVE_NS => Text::styled("● live", GOOD),
        Some(last) => Text::styled(format!("○ last write {}", units::format_age(last, state.now_ns)), DIM),
    }
}

/// Returns the span: its length, and its start and end if it does not end now.
fn span(state: &State) -> Text {
    let length = format_length(state.span.length_ns);
    match state.span.end_ns {
        None => Text::from(format!("  last {length}")),
        Some(end) => {
            let time = |ns: i64| units::format_date_and_time(ns)[11..16].to_owned();
            let from = state.span.start_ns(state.now_ns);
            Text::styled(format!("  ◷ {} – {} UTC ({length})", time(from), time(end)), WARNING)
        }
    }
}

/// Formats a length as `15 min`, `6 h` or `90 s`.
fn format_length(ns: i64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        _ if seconds % 3600 == 0 && seconds > 0 => format!("{} h", seconds / 3600),
        _ if seconds % 60 == 0 && seconds > 0 => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// Rounds a rate to whole calls once there are some.
fn round(rate: f64) -> f64 {
    if rate >= 10.0 { rate.round() } else { rate }
}
