//! The processes, and the health of their recorders.

use ratatui::style::Style;

use super::calls::draw_values;
use super::canvas::{BAD, Canvas, DIM, GOOD, Text, WARNING};
use super::functions::bar;
use super::list::{self, Column, Side, column};
use crate::command::tui::state::State;
use crate::model::overview::Recorder;
use crate::model::processes::State as Life;
use crate::units::{self, format_bytes, format_count, format_percent, format_quantity};

const PROCESS_COLUMNS: [Column; 11] = [
    column("RUN", 5, 0, Side::Right),
    column("SERVICE", 0, 0, Side::Left),
    column("PID", 8, 0, Side::Right),
    column("STATE", 9, 0, Side::Left),
    column("STARTED", 11, 0, Side::Left),
    column("CALLS/S", 8, 0, Side::Right),
    column("FAILED", 7, 0, Side::Right),
    column("LOST", 7, 90, Side::Right),
    column("MEMORY", 9, 0, Side::Right),
    column("LEVEL", 9, 100, Side::Left),
    column("HOST", 16, 130, Side::Left),
];

const HEALTH_COLUMNS: [Column; 9] = [
    column("RUN", 5, 0, Side::Right),
    column("SERVICE", 0, 0, Side::Left),
    column("STATE", 9, 0, Side::Left),
    column("LEVEL", 9, 0, Side::Left),
    column("COST OF BUDGET", 16, 0, Side::Left),
    column("BREAKER", 9, 0, Side::Left),
    column("HELD", 7, 76, Side::Left),
    column("LOST", 8, 0, Side::Right),
    column("MEMORY", 9, 100, Side::Right),
];

pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let recorders = &state.overview.recorders;
    if recorders.is_empty() {
        super::say(canvas, state, "no process was seen in this span");
    }
    list::draw(canvas, state, &PROCESS_COLUMNS, |at| {
        let process = &recorders[at].process;
        let lost = process.lost.unwrap_or(0);
        vec![
            process.process_id.to_string().into(),
            Text::from(process.service.as_str()),
            process.pid.to_string().into(),
            life(process.state),
            Text::styled(units::format_age(process.started_ns, state.now_ns), DIM),
            format_count(process.calls_per_s).into(),
            process.failed_pct().map_or_else(|| "-".to_owned(), format_percent).into(),
            Text::styled(format_count(to_f64(lost)), if lost > 0 { WARNING } else { DIM }),
            process.rss_bytes.map_or_else(|| "-".to_owned(), |bytes| format_bytes(to_f64(bytes))).into(),
            level(process.level.as_deref().unwrap_or("-")),
            Text::styled(process.host.as_str(), DIM),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_process(canvas, state, &recorders[at]);
    }
}

pub(super) fn draw_health(canvas: &mut Canvas<'_>, state: &State) {
    let recorders = &state.overview.recorders;
    if recorders.is_empty() {
        super::say(canvas, state, "no process was seen in this span");
    }
    list::draw(canvas, state, &HEALTH_COLUMNS, |at| {
        let one = &recorders[at];
        let breaker = one.text("breaker");
        let lost = one.drops().iter().fold(0.0, |sum, (_, number)| sum + number);
        vec![
            one.process.process_id.to_string().into(),
            Text::from(one.process.service.as_str()),
            life(one.process.state),
            level(one.process.level.as_deref().unwrap_or("-")),
            cost(one),
            Text::styled(breaker, if breaker == "closed" { GOOD } else { BAD }),
            one.hold.as_ref().map_or(Text::styled("-", DIM), |(hold, _)| Text::styled(hold, WARNING)),
            Text::styled(format_count(lost), if lost > 0.0 { WARNING } else { DIM }),
            one.number("memory_bytes").map_or_else(|| "-".to_owned(), format_bytes).into(),
        ]
    });
    if state.pane_rows() > 0
        && let Some(at) = state.selected()
    {
        draw_recorder(canvas, state, &recorders[at]);
    }
}

/// Returns the state of a process; one that died or is silent stands out.
fn life(life: Life) -> Text {
    let style = match life {
        Life::Running => GOOD,
        Life::Stale => WARNING,
        Life::Exit => DIM,
        Life::Crash => BAD,
    };
    Text::styled(life.as_str(), style)
}

fn level(level: &str) -> Text {
    Text::styled(level, if level == "full" { Style::new() } else { WARNING })
}

/// Returns what a recorder costs as a gauge against what it may cost.
fn cost(one: &Recorder) -> Text {
    let Some(cost) = one.number("cost_pct") else { return Text::from("-") };
    let Some(budget) = one.number("budget_pct").filter(|budget| *budget > 0.0) else {
        return format_percent(cost).into();
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of thousandths")]
    let [part, whole] = [cost, budget].map(|share| (share * 1000.0) as u64);
    let gauge = format!("{:<6} {}", bar(part, whole, 6), format_percent(cost));
    Text::styled(gauge, if cost > budget { BAD } else { Style::new() })
}

fn draw_process(canvas: &mut Canvas<'_>, state: &State, one: &Recorder) {
    let process = &one.process;
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, &format!("run {} ─ {}", process.process_id, process.service));
    let build = match (&process.program_version, &process.build) {
        (Some(version), Some(build)) => format!("{version}, {build}"),
        (version, build) => version.clone().or_else(|| build.clone()).unwrap_or_default(),
    };
    let time = |ns: i64| format!("{} UTC", units::format_date_and_time(ns));
    let mut seen = format!("from {} to {}", time(process.started_ns), time(process.last_seen_ns));
    if let Some(ended) = process.ended_ns {
        seen = format!("from {}, ended {}", time(process.started_ns), time(ended));
    }
    let events = describe_events(one, state.now_ns);
    let values = [
        ("program", process.executable.as_deref(), Style::new()),
        ("build", Some(build.as_str()), Style::new()),
        ("seen", Some(seen.as_str()), Style::new()),
        ("events", Some(events.as_str()), Style::new()),
    ];
    draw_values(
        canvas,
        (top + 1, state.pane_rows() - 1),
        &values,
        &format!("pid {} on {}", process.pid, process.host),
    );
}

fn draw_recorder(canvas: &mut Canvas<'_>, state: &State, one: &Recorder) {
    let top = state.list_top() + state.list_rows();
    canvas.rule(top, &format!("run {} ─ {}", one.process.process_id, one.process.service));
    let number =
        |name: &str, format: fn(f64) -> String| one.number(name).map_or_else(|| "-".to_owned(), format);
    let drops: Vec<_> =
        one.drops().into_iter().map(|(reason, count)| format!("{reason} {}", format_count(count))).collect();
    let drops = if drops.is_empty() { "none".to_owned() } else { drops.join(" · ") };
    let openings = format_quantity(number("breaker_openings", format_count), "time", "times");
    let mut breaker = format!("{}, opened {openings}", one.text("breaker"));
    if let Some((hold, reason)) = &one.hold {
        breaker = format!("{breaker}, held {hold}: {reason}");
    }
    if !one.text("last_failure").is_empty() {
        breaker = format!("{breaker}, last failure: {}", one.text("last_failure"));
    }
    let writes = format!(
        "{} rows, {}, {} succeeded, {} failed",
        number("rows_written", format_count),
        number("bytes_written", format_bytes),
        number("writes_ok_pct", format_percent),
        number("writer_errors", format_count)
    );
    let sizes = format!(
        "store {} + {} log, memory {}",
        number("db_bytes", format_bytes),
        number("wal_bytes", format_bytes),
        number("memory_bytes", format_bytes)
    );
    let events = describe_events(one, state.now_ns);
    let values = [
        ("breaker", Some(breaker.as_str()), Style::new()),
        ("lost", Some(drops.as_str()), Style::new()),
        ("written", Some(writes.as_str()), Style::new()),
        ("sizes", Some(sizes.as_str()), Style::new()),
        ("off", Some(one.text("off")), WARNING),
        ("events", Some(events.as_str()), Style::new()),
    ];
    draw_values(canvas, (top + 1, state.pane_rows() - 1), &values, "");
}

fn describe_events(one: &Recorder, now_ns: i64) -> String {
    let events = one.events.iter();
    let told = events
        .map(|event| format!("{} {}: {}", units::format_age(event.at_ns, now_ns), event.kind, event.detail));
    told.collect::<Vec<_>>().join(" · ")
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn to_f64(number: i64) -> f64 {
    number as f64
}
