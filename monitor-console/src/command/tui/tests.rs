//! Tests of the view without a terminal: keys against states, and whole screens against golden files.
//!
//! `UPDATE_SCREENS=1 cargo test -p monitor-console` writes the golden files anew.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use monitor_runtime::histogram::{Histogram, bucket};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use rusqlite::types::Value;

use super::facts::{Answer, Changes, Detail, PARTS, Page, Question, Wanted};
use super::heat;
use super::screen::{self, Look};
use super::span::Span;
use super::state::{Effect, Layer, SortKey, State, Tab};
use crate::command::export::Picture;
use crate::model::activity::{Activity, RateReport};
use crate::model::call_tree::{Tree, TreeCall};
use crate::model::compare::{Change, Verdict};
use crate::model::events::Event;
use crate::model::failures::Kind;
use crate::model::findings::{Finding, Findings, Level};
use crate::model::heat::Grid;
use crate::model::latest_calls::{Call, FoundCalls};
use crate::model::logs;
use crate::model::overview::{Overview, Recorder};
use crate::model::processes::{Process, State as Life};
use crate::model::windows::{Sum, Window};
use crate::report::{Cell, Column, Report};

/// 2026-11-29 10:00:00 UTC.
const NOW: i64 = 1_795_946_400_000_000_000;
const SECOND: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;
const LOOK: Look = Look { is_ascii: false, has_colors: true };
/// Texts that would act on a terminal, or take more columns than characters.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;title\u{7}漢字 \u{202e}txt.exe\r\n\u{9b}31m";

fn state(size: (u16, u16)) -> State {
    let mut state = State::new(PathBuf::from("/var/lib/shop.db"), Span::until_now(900 * SECOND), size, NOW);
    state.ask();
    state
}

/// Returns a state whose present question has this answer.
fn with_page(size: (u16, u16), tab: Tab, page: Page) -> State {
    let mut state = state(size);
    state.show(tab);
    answer(&mut state, page);
    state
}

fn answer(state: &mut State, page: Page) {
    state.ask();
    let number = state.number();
    let rates = Some(Arc::new(rates()));
    state.accept(Answer { number, overview: Some(overview()), page: Some(page), rates, ..Answer::default() });
    if state.ask().is_some_and(|question| question.detail.is_some()) {
        state.accept(Answer { detail: Some(detail()), ..Answer::default() });
    }
}

fn press(state: &mut State, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            '\u{8}' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        effect = state.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    effect
}

fn activity(function: &str, calls: u64, failed: u64, total_ms: u64) -> Activity {
    let p95 = |part: usize| (part > 3).then(|| f64::from(u32::try_from(part).unwrap()) * 1e6);
    Activity {
        function: function.to_owned(),
        place: "src/shop.rs:12".to_owned(),
        calls,
        failed,
        total_ns: total_ms * 1_000_000,
        self_ns: total_ms * 300_000,
        max_ns: 41_000_000,
        percentiles: Some([1_840_000 + calls, 8_030_000, 9_120_000]),
        p95_parts: (0..PARTS).map(p95).collect(),
        failed_parts: vec![0; PARTS],
        is_estimated: false,
    }
}

fn functions() -> Page {
    Page::Functions(vec![
        activity("shop::orders::place", 360_000, 47_160, 662_400),
        activity("shop::payments::charge", 324_000, 11_016, 530_000),
        Activity { is_estimated: true, ..activity("shop::shipping::quote", 280_000, 0, 19_000) },
        Activity { percentiles: None, ..activity(HOSTILE, 3, 1, 2) },
    ])
}

fn rates() -> Vec<RateReport> {
    let report = |function: &str, rate, fidelity: &str, calls_per_s, rows_per_s| RateReport {
        function: function.to_owned(),
        rate: Some(rate),
        fidelity: fidelity.to_owned(),
        calls_per_s,
        rows_per_s,
        why: String::new(),
    };
    vec![
        report("shop::orders::place", 1.0, "recorded", 1200.0, 1200.0),
        report("shop::payments::charge", 0.1, "recorded", 360.0, 36.0),
        report("shop::shipping::quote", 0.0, "timed", 300.0, 0.0),
    ]
}

fn call(call_id: i64, function: &str, outcome: &str, error: Option<&str>) -> Call {
    Call {
        call_id,
        start_ns: NOW - call_id * SECOND,
        duration_ns: 41 * MS,
        function: function.to_owned(),
        outcome: outcome.to_owned(),
        is_failed: outcome != "ok",
        weight: 1.0,
        args: Some(r#"{"order":8812,"customer":"grace"}"#.to_owned()),
        result: error.is_none().then(|| r#"{"cents":3213}"#.to_owned()),
        error: error.map(str::to_owned),
        fields: None,
        thread: "tokio-rt-worker".to_owned(),
        service: "shop".to_owned(),
        place: "src/shop.rs:12".to_owned(),
    }
}

fn calls() -> Page {
    let calls = vec![
        call(3, "shop::orders::place", "error", Some("the order is not paid: card declined")),
        Call { weight: 10.0, ..call(4, "shop::payments::charge", "ok", None) },
        call(5, HOSTILE, "panic", Some(HOSTILE)),
        call(6, "shop::shipping::quote", "cancelled", None),
    ];
    Page::Calls(FoundCalls { calls, is_cut: false })
}

fn tree() -> Page {
    let one = |span: i64, parent: Option<i64>, function: &str, (start, took): (i64, i64)| TreeCall {
        call_id: span,
        span,
        parent,
        function: function.to_owned(),
        outcome: "ok".to_owned(),
        start_ns: NOW + start * MS,
        duration_ns: took * MS,
        busy_ns: took * MS / 2,
        shared: 1,
        thread: "worker-1".to_owned(),
        ..TreeCall::default()
    };
    let mut calls =
        vec![one(1, None, "shop::orders::place", (0, 41)), one(2, Some(1), "shop::orders::validate", (0, 1))];
    calls.extend((0..94).map(|n| one(100 + n, Some(1), "db::query", (1 + n * 30 / 94, 1))));
    let failed = TreeCall {
        outcome: "error".to_owned(),
        is_failed: true,
        error: Some("card declined".to_owned()),
        ..one(3, Some(1), "shop::payments::charge", (36, 4))
    };
    calls.extend([
        failed,
        one(4, Some(3), "shop::payments::authorize", (37, 2)),
        one(5, Some(77), "shop::audit", (40, 1)),
    ]);
    Page::Trace(Some(Tree { trace_id: 1, process_id: 1, calls, is_cut: false }))
}

fn kinds() -> Page {
    let kind = |function: &str, message: &str, count, is_origin: bool| Kind {
        function: function.to_owned(),
        outcome: "error".to_owned(),
        message: message.to_owned(),
        count,
        is_lower_bound: !is_origin,
        course: (0..PARTS).map(|part| if part > 6 { 5.0 } else { 0.0 }).collect(),
        first_ns: NOW - 7_000 * SECOND,
        last_ns: Some(NOW - 12 * SECOND),
        example: Some(17_420),
        path: Some("place ← charge".to_owned()),
        origins: if is_origin { count } else { 0 },
        ..Kind::default()
    };
    let new =
        Kind { first_ns: NOW - 60 * SECOND, ..kind("shop::stock::reserve", "out of stock: tea", 43, true) };
    Page::Kinds(vec![
        kind("shop::payments::charge", "card declined for # cents", 1_930, true),
        new,
        kind("shop::orders::place", HOSTILE, 130, false),
    ])
}

fn live() -> Page {
    let row = |seconds: i64, state: &str, function: &str, depth: usize| -> Vec<Cell> {
        let text = |text: &str| Cell::from(text.to_owned());
        vec![
            Cell::from(seconds * 1000),
            text(state),
            text(function),
            text(&format!("{}{function}", "  ".repeat(depth))),
            text("worker"),
            text("worker #2"),
            Cell::from(0_i64),
            Cell::estimate(10_000.0),
            text("shop"),
            Cell::from(4242_i64),
            text(r#"{"at":12}"#),
            Cell::from(NOW - seconds * SECOND),
            Value::Null.into(),
            Cell::from(seconds),
            text("a1"),
        ]
    };
    let rows = vec![
        row(41, "stuck, waiting", "shop::sync::pull", 0),
        row(40, "waiting", "db::query", 1),
        row(2, "running", HOSTILE, 0),
    ];
    Page::Live(Report { columns: Vec::new(), rows }, 1)
}

fn findings() -> Page {
    let finding = |kind, level, subject: &str, sentence: &str| Finding {
        kind,
        level,
        subject: subject.to_owned(),
        sentence: sentence.to_owned(),
        evidence: "SELECT call_id, function FROM calls WHERE function = 'db::query'".to_owned(),
        since_ns: Some(NOW - 600 * SECOND),
        saves_ns: 4e8,
        rests_on: "96 rows".to_owned(),
        is_estimated: false,
        next: "monitor trace 17420".to_owned(),
    };
    let found = vec![
        finding(
            "fails_more",
            Level::Critical,
            "shop::payments::charge",
            "shop::payments::charge fails 12 % of calls since 09:55 (0.4 % before)",
        ),
        finding(
            "n_plus_one",
            Level::Warning,
            "shop::orders::list",
            "shop::orders::list calls db::query 94 times in a row: one call for all would save about 400 ms",
        ),
    ];
    Page::Findings(Findings { findings: found, unknown: vec!["secrets: no call has a row".to_owned()] })
}

fn overview() -> Overview {
    let process = |process_id, state, calls| Process {
        process_id,
        service: "shop".to_owned(),
        host: "web-1".to_owned(),
        pid: 4240 + process_id,
        executable: Some("/usr/bin/shop".to_owned()),
        program_version: Some("1.2.0".to_owned()),
        build: Some("a3f2".to_owned()),
        started_ns: NOW - 3600 * SECOND,
        last_seen_ns: NOW - SECOND,
        ended_ns: None,
        state,
        level: Some("full".to_owned()),
        calls,
        failed: calls / 60,
        calls_per_s: 10_700.0,
        lost: Some(12_300),
        rss_bytes: Some(61 << 20),
    };
    let figures = [
        ("cost_pct", Cell::from(0.6)),
        ("budget_pct", Cell::from(1.0)),
        ("breaker", Cell::from("closed".to_owned())),
        ("breaker_openings", Cell::from(1_i64)),
        ("dropped_ring_full", Cell::from(12_300_i64)),
        ("rows_written", Cell::from(4_000_000_i64)),
        ("memory_bytes", Cell::from(10_i64 << 20)),
    ];
    let figures = figures.map(|(name, cell)| (name.to_owned(), cell)).into_iter().collect();
    let detail = format!("closed {HOSTILE}");
    let events = vec![Event { at_ns: NOW - 5 * SECOND, process_id: 1, kind: "breaker".to_owned(), detail }];
    let running = Recorder { process: process(1, Life::Running, 600_000), figures, hold: None, events };
    let hold = Some(("open".to_owned(), "the disk is being replaced".to_owned()));
    let dead = Recorder { process: process(2, Life::Crash, 0), figures: [].into(), hold, events: Vec::new() };
    Overview {
        recorders: vec![running, dead],
        last_write_ns: Some(NOW - SECOND),
        calls_per_s: 10_700.0,
        failed_pct: Some(1.6),
    }
}

fn detail() -> Detail {
    let span = Span::until_now(900 * SECOND).to_shown_period(NOW);
    let first = span.from_ns / (10 * SECOND);
    let window = |n: i64| {
        let counts =
            [(bucket(1_000_000), 900), (bucket(4_000_000), 90), (bucket(16_000_000), 1 + n.cast_unsigned())];
        Window {
            at: first + n,
            function: 0,
            calls: 1000,
            failed: 30,
            total_ns: 1,
            self_ns: 1,
            max_ns: 41_000_000,
            is_estimated: false,
            histogram: Histogram::from_buckets(&counts),
        }
    };
    let windows: Vec<_> = (20..90).map(window).collect();
    Detail {
        function: "shop::orders::place".to_owned(),
        heat: Grid::build(&windows, span, heat::SIZE),
        callers: vec!["http::post".to_owned()],
        callees: vec!["shop::orders::validate".to_owned(), "shop::payments::charge".to_owned()],
        failed: vec![call(3, "shop::orders::place", "error", Some("the order is not paid: card declined"))],
        sum: Sum::from_windows(&windows),
    }
}

fn draw(state: &State, look: Look) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(state.size.0, state.size.1)).unwrap();
    terminal.draw(|frame| screen::render(state, look, frame.buffer_mut())).unwrap();
    terminal
}

/// Returns the lines of a screen, without spaces at their ends.
fn lines(state: &State, look: Look) -> String {
    let terminal = draw(state, look);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // The cell after a wide character is a part of it.
            x += u16::try_from(crate::terminal::measure_width(symbol).max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[track_caller]
fn assert_golden(name: &str, state: &State, look: Look) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/command/tui/golden").join(format!("{name}.txt"));
    let drawn = lines(state, look);
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &drawn).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(drawn, golden, "{name} differs; UPDATE_SCREENS=1 writes it anew");
}

#[test]
fn screens_are_as_the_golden_files_show_them() {
    for size in [(60, 15), (80, 24), (120, 40), (200, 60)] {
        let name = format!("functions-{}x{}", size.0, size.1);
        assert_golden(&name, &with_page(size, Tab::Functions, functions()), LOOK);
    }
    let pages = [
        ("calls", Tab::Calls, calls()),
        ("errors", Tab::Errors, kinds()),
        ("live", Tab::Live, live()),
        ("findings", Tab::Findings, findings()),
        ("processes", Tab::Processes, Page::Processes),
        ("health", Tab::Health, Page::Processes),
    ];
    for (name, tab, page) in pages {
        for size in [(80, 24), (120, 40)] {
            let state = with_page(size, tab, page.clone());
            assert_golden(&format!("{name}-{}x{}", size.0, size.1), &state, LOOK);
        }
    }
    let mut trace = with_page((120, 40), Tab::Calls, calls());
    press(&mut trace, "\n");
    answer(&mut trace, tree());
    press(&mut trace, "c");
    assert_golden("trace-120x40", &trace, LOOK);
    let mut function = with_page((120, 40), Tab::Functions, functions());
    press(&mut function, "\n");
    answer(&mut function, calls());
    assert_golden("function-120x40", &function, LOOK);
    let mut prompt = with_page((80, 24), Tab::Functions, functions());
    press(&mut prompt, "r0.1\n");
    assert_golden("rate-80x24", &prompt, LOOK);
    let mut help = with_page((80, 24), Tab::Functions, functions());
    press(&mut help, "?");
    assert_golden("help-80x24", &help, LOOK);
    assert_golden(
        "functions-ascii",
        &with_page((120, 30), Tab::Functions, functions()),
        Look { is_ascii: true, has_colors: false },
    );
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    for size in [(59, 15), (60, 14), (1, 1), (200, 5)] {
        let drawn = lines(&with_page(size, Tab::Functions, functions()), LOOK);
        assert!(
            "too small: 60 × 15 needed".starts_with(drawn.lines().next().unwrap().trim_end_matches('…')),
            "{drawn}"
        );
    }
}

#[test]
fn no_colour_is_drawn_without_colours_and_only_ascii_with_ascii() {
    for (tab, page) in
        [(Tab::Functions, functions()), (Tab::Calls, calls()), (Tab::Live, live()), (Tab::Errors, kinds())]
    {
        let state = with_page((120, 40), tab, page);
        let coloured = draw(&state, LOOK);
        assert!(coloured.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset));
        let plain = draw(&state, Look { is_ascii: true, has_colors: false });
        for cell in &plain.backend().buffer().content {
            assert!(
                cell.fg == Color::Reset && cell.bg == Color::Reset && cell.symbol().is_ascii(),
                "{cell:?}"
            );
        }
    }
}

#[test]
fn no_text_of_a_store_reaches_the_terminal_unboxed() {
    let pages = [
        (Tab::Functions, functions()),
        (Tab::Calls, calls()),
        (Tab::Errors, kinds()),
        (Tab::Live, live()),
        (Tab::Health, Page::Processes),
    ];
    for (tab, page) in pages {
        let mut state = with_page((160, 50), tab, page);
        for _ in 0..5 {
            let terminal = draw(&state, LOOK);
            let symbols = terminal.backend().buffer().content.iter().map(ratatui::buffer::Cell::symbol);
            assert!(!symbols.collect::<String>().contains(crate::terminal::is_unsafe), "{tab:?}");
            press(&mut state, "j");
        }
    }
    assert!(lines(&with_page((160, 50), Tab::Functions, functions()), LOOK).contains("⟦U+202E⟧"));
}

#[test]
fn keys_ask_for_the_screens_that_they_open_and_late_answers_are_left_out() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    press(&mut state, "2");
    let second = state.ask().unwrap();
    assert_eq!(second.wanted, Wanted::Calls { is_failed: false });
    assert_eq!(state.page, Page::Loading);
    press(&mut state, "3");
    let third = state.ask().unwrap();
    assert!(third.number > second.number);
    state.accept(Answer { number: second.number, page: Some(calls()), ..Answer::default() });
    assert_eq!(state.page, Page::Loading);
    state.accept(Answer { number: third.number, page: Some(kinds()), ..Answer::default() });
    assert_eq!(state.rows.len(), 3);
    press(&mut state, "\t");
    assert_eq!(state.tab, Tab::Live);
}

#[test]
fn the_cursor_follows_its_row_when_the_order_changes() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    press(&mut state, "jj");
    assert_eq!(state.selected_function().as_deref(), Some("shop::shipping::quote"));
    press(&mut state, "SS");
    assert_eq!(state.sort, SortKey::Max);
    assert_eq!(state.selected_function().as_deref(), Some("shop::shipping::quote"));
    let reversed = match functions() {
        Page::Functions(mut found) => {
            found.reverse();
            Page::Functions(found)
        }
        other => other,
    };
    answer(&mut state, reversed);
    assert_eq!(state.selected_function().as_deref(), Some("shop::shipping::quote"));
    press(&mut state, "Gg");
    assert_eq!(state.cursor().at, 0);
}

#[test]
fn a_list_of_calls_follows_new_calls_only_from_its_first_row() {
    let newer = |first: i64| {
        let calls = (first..first + 5).rev().map(|id| call(id, "f", "ok", None)).collect();
        Page::Calls(FoundCalls { calls, is_cut: false })
    };
    let mut state = with_page((120, 40), Tab::Calls, newer(10));
    let number = state.number();
    state.accept(Answer { number, page: Some(newer(11)), ..Answer::default() });
    assert_eq!(state.cursor().at, 0);
    press(&mut state, "j");
    state.accept(Answer { number, page: Some(newer(12)), ..Answer::default() });
    assert_eq!(state.cursor().at, 2);
}

#[test]
fn a_filter_narrows_the_list_with_each_letter() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    press(&mut state, "/pay");
    assert_eq!(state.rows.len(), 1);
    press(&mut state, "\u{8}\u{8}\u{8}");
    assert_eq!(state.rows.len(), 4);
    press(&mut state, "shop::*\n");
    assert_eq!((state.rows.len(), state.prompt.is_none()), (3, true));
    assert_eq!(state.ask().unwrap().filter.unwrap().as_str(), "shop::*");
    // Letters are keys again.
    press(&mut state, "\u{1b}");
    assert_eq!((state.rows.len(), state.filter.is_none()), (4, true));
}

#[test]
fn a_rate_is_set_only_after_a_clear_yes() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    assert_eq!(press(&mut state, "r0.1\n"), None);
    assert!(lines(&state, LOOK).contains("about 120 rows/s instead of 1200"));
    assert_eq!(press(&mut state, "n"), None);
    assert_eq!(press(&mut state, "r2\n"), None);
    assert!(lines(&state, LOOK).contains("between 0"));
    assert_eq!(press(&mut state, "\u{1b}"), None);
    press(&mut state, "r0.1\n");
    let effect = press(&mut state, "y");
    assert_eq!(effect, Some(Effect::SetRate("shop::orders::place".parse().unwrap(), 0.1)));
    assert!(state.prompt.is_none());
}

#[test]
fn breakers_are_held_only_for_a_reason() {
    let mut state = with_page((120, 40), Tab::Health, Page::Processes);
    assert_eq!(press(&mut state, "bo\n"), None);
    let effect = press(&mut state, "disk swap\n");
    assert_eq!(effect, Some(Effect::Hold("open", "disk swap".to_owned())));
    assert!(matches!(press(&mut state, "ba"), Some(Effect::Hold("auto", _))));
    assert_eq!(press(&mut state, "b\u{1b}"), None);
    assert!(state.prompt.is_none());
}

#[test]
fn the_lines_that_a_call_said_stand_below_the_tree() {
    let mut state = with_page((160, 50), Tab::Functions, functions());
    press(&mut state, "j\n");
    answer(&mut state, calls());
    press(&mut state, "\n");
    let Page::Trace(Some(mut tree)) = tree() else { unreachable!() };
    let said = |at_ns: i64, body: &str| logs::Line {
        at_ns: NOW + at_ns,
        level: "warn".to_owned(),
        body: Some(body.to_owned()),
        lines: 1,
        ..logs::Line::default()
    };
    let charge = tree.calls.iter_mut().find(|call| call.span == 3).unwrap();
    charge.said = vec![said(MS, "attempt 1 failed"), said(2 * MS, HOSTILE)];
    answer(&mut state, Page::Trace(Some(tree)));
    let drawn = lines(&state, LOOK);
    assert!(drawn.contains("✎ 2 lines") && drawn.contains("warn attempt 1 failed"), "{drawn}");
    assert!(!drawn.contains(HOSTILE), "{drawn}");
}

#[test]
fn enter_leads_from_a_function_to_its_calls_and_to_a_trace_and_esc_back() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    press(&mut state, "j\n");
    let wanted = Wanted::Function { name: "shop::payments::charge".to_owned(), is_failed: false };
    assert_eq!(state.ask().unwrap().wanted, wanted);
    answer(&mut state, calls());
    press(&mut state, "\n");
    assert_eq!(state.above.last(), Some(&Layer::Trace(3)));
    press(&mut state, "\u{1b}\u{1b}");
    answer(&mut state, functions());
    assert_eq!(state.selected_function().as_deref(), Some("shop::payments::charge"));
    press(&mut state, "e");
    assert!(matches!(state.above.last(), Some(Layer::Function { is_failed: true, .. })));
}

#[test]
fn a_narrow_screen_shows_details_first_and_a_finding_its_rows() {
    let mut state = with_page((80, 24), Tab::Findings, findings());
    press(&mut state, "\n");
    assert!(state.is_pane_shown() && state.above.is_empty());
    assert!(lines(&state, LOOK).contains("monitor trace 17420"));
    press(&mut state, "\n");
    assert!(matches!(state.above.last(), Some(Layer::Evidence { .. })));
    assert!(matches!(state.ask().unwrap().wanted, Wanted::Evidence(_)));
    let rows = vec![vec![Cell::from(7_i64), Cell::from("db::query".to_owned())]];
    let columns = vec![Column::data("call_id"), Column::data("function")];
    answer(&mut state, Page::Evidence(Report { columns, rows }));
    let drawn = lines(&state, LOOK);
    assert!(drawn.contains("call_id") && drawn.contains("db::query"), "{drawn}");
}

#[test]
fn time_travel_asks_for_other_spans_and_keeps_the_old_page_until_then() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    let number = |state: &mut State| state.ask().map(|question: Question| (question.number, question.span));
    press(&mut state, "[");
    let (moved, span) = number(&mut state).unwrap();
    assert_eq!(span.end_ns, Some(NOW - 450 * SECOND));
    assert_eq!(state.rows.len(), 4);
    assert!(lines(&state, LOOK).contains("09:37 – 09:52 UTC"));
    press(&mut state, "}");
    assert_eq!(number(&mut state).unwrap().1.length_ns, 3600 * SECOND);
    press(&mut state, "0");
    let (back, span) = number(&mut state).unwrap();
    assert!(back > moved && span.end_ns.is_none());
    press(&mut state, " ");
    assert!(state.ask().unwrap().is_paused);
}

#[test]
fn a_line_of_a_trace_is_folded_and_opened() {
    let mut state = with_page((120, 40), Tab::Calls, calls());
    press(&mut state, "\n");
    answer(&mut state, tree());
    let folded = state.rows.len();
    // The trace opens on the call that led to it, which stands behind the fold.
    assert_eq!(state.selected_function().as_deref(), Some("shop::payments::charge"));
    press(&mut state, "kl");
    assert_eq!(state.rows.len(), folded + 94);
    press(&mut state, "h");
    assert_eq!(state.rows.len(), folded);
    press(&mut state, "hh");
    assert_eq!(state.rows.len(), 2);
}

#[test]
fn the_copied_command_shows_what_the_screen_shows() {
    let copy = |state: &mut State| match press(state, "y") {
        Some(Effect::Copy(command)) => command.replace(" --db '/var/lib/shop.db'", ""),
        other => panic!("{other:?}"),
    };
    let mut state = with_page((120, 40), Tab::Functions, functions());
    assert_eq!(copy(&mut state), "monitor top --since 15m");
    press(&mut state, "/pay\ns");
    assert_eq!(copy(&mut state), "monitor top '*pay*' --sort self --since 15m");
    press(&mut state, "\n");
    assert_eq!(copy(&mut state), "monitor calls shop::payments::charge --since 15m");
    let mut state = with_page((120, 40), Tab::Calls, calls());
    press(&mut state, "f[");
    assert_eq!(copy(&mut state), "monitor calls --failed --since 2026-11-29T09:37:30");
    press(&mut state, "\n");
    assert_eq!(copy(&mut state), "monitor trace 3");
    let mut state = with_page((120, 40), Tab::Findings, findings());
    assert_eq!(copy(&mut state), "monitor trace 17420");
}

#[test]
fn the_mouse_selects_rows_and_tabs_and_the_wheel_moves() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    let mut point = |kind, column, row| {
        state.point(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
        (state.cursor().at, state.above.len(), state.tab)
    };
    let click = MouseEventKind::Down(MouseButton::Left);
    assert_eq!(point(click, 10, 5), (2, 0, Tab::Functions));
    assert_eq!(point(MouseEventKind::ScrollUp, 10, 5), (0, 0, Tab::Functions));
    assert_eq!(point(click, 10, 39), (0, 0, Tab::Functions));
    assert_eq!(point(click, 10, 3).1, 1);
    assert_eq!(point(click, 20, screen::TABS_ROW).2, Tab::Calls);
}

#[test]
fn dragging_over_the_picture_opens_the_calls_in_the_box() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    let place = state.heat_place().unwrap();
    let heat = state.detail.heat.clone();
    let (left, top) = (place.origin.0 + 9, place.origin.1);
    let point = |state: &mut State, kind, column, row| {
        state.point(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    };
    let (down, drag, up) = (
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::Drag(MouseButton::Left),
        MouseEventKind::Up(MouseButton::Left),
    );
    // From the second row to the fourth, over the second half of the time and beyond the border.
    point(&mut state, down, left + 24, top + 1);
    point(&mut state, drag, left + 90, top + 3);
    assert_eq!(state.drawn_box, Some(((24, 1), (47, 3))));
    let drawn = draw(&state, LOOK);
    let is_inverse =
        |x, y| drawn.backend().buffer()[(x, y)].modifier.contains(ratatui::style::Modifier::REVERSED);
    assert!(
        is_inverse(left + 24, top + 1) && is_inverse(left + 47, top + 3) && !is_inverse(left + 23, top + 1)
    );
    point(&mut state, up, left + 90, top + 3);
    let Some(Layer::Box(boxed)) = state.above.last().cloned() else { panic!("{:?}", state.above) };
    assert_eq!(boxed.function, "shop::orders::place");
    let part = 900 * SECOND / 48;
    assert_eq!(boxed.span_ns, (NOW - 900 * SECOND + 24 * part, NOW - 900 * SECOND + 48 * part));
    #[allow(clippy::cast_possible_truncation, reason = "a duration")]
    let edge = |row: usize| heat.duration_ns(heat.rows - 1 - row) as i64;
    assert_eq!(boxed.durations_ns, (edge(3), edge(0)));
    assert_eq!(state.ask().unwrap().wanted, Wanted::Box(boxed.clone()));
    answer(&mut state, calls());
    let page = lines(&state, LOOK);
    assert!(page.contains("shop::orders::place  calls from 09:52:30.000 to 10:00:00.000 UTC of"), "{page}");
    let Some(Effect::Copy(command)) = press(&mut state, "y") else { panic!("nothing was copied") };
    assert!(
        command.contains("monitor calls 'shop::orders::place' --min")
            || command.contains("monitor calls shop::orders::place --min"),
        "{command}"
    );
    // A whole column has no bounds on durations.
    press(&mut state, "\u{1b}");
    answer(&mut state, functions());
    point(&mut state, down, left, top);
    point(&mut state, drag, left, top + 30);
    point(&mut state, up, left, top + 30);
    let Some(Layer::Box(boxed)) = state.above.last() else { panic!("{:?}", state.above) };
    assert_eq!(boxed.durations_ns, (0, i64::MAX));
}

#[test]
fn the_span_is_compared_with_the_time_before_it() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    press(&mut state, "d");
    assert_eq!(state.ask().unwrap().wanted, Wanted::Changes);
    let change = |function: &str, verdict| Change {
        function: function.to_owned(),
        verdict,
        measure: None,
        is_passed_on: false,
        ratio: 1.84,
        interval: (1.71, 1.98),
        tail_ratio: 3.0,
        p: 0.001,
        windows: [500, 90],
        calls: [50_000, 9_000],
        failed: [0, 0],
        percentiles: [[2_000_000, 7_000_000], [4_000_000, 22_000_000]],
    };
    let changes =
        vec![change("shop::payments::charge", Verdict::Slower), change("shop::list", Verdict::Same)];
    let sentence = "shop::payments::charge got slower".to_owned();
    answer(&mut state, Page::Changes(Changes { changes, sentence: sentence.clone() }));
    let drawn = lines(&state, LOOK);
    for part in [sentence.as_str(), "slower", "×1.84", "×1.71 – ×1.98", "7.00ms", "22.0ms", "50.0k"] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    let Some(Effect::Copy(command)) = press(&mut state, "y") else { panic!("nothing was copied") };
    assert!(command.starts_with("monitor diff --before 6300s..900s --after 900s.. --db"), "{command}");
    press(&mut state, "\n");
    let Some(Layer::Function { name, .. }) = state.above.last() else { panic!("{:?}", state.above) };
    assert_eq!(name, "shop::payments::charge");
}

#[test]
fn an_export_is_of_the_trace_or_of_the_trees_of_the_span() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    let Some(Effect::Export(Picture::Flame { period, pattern: None })) = press(&mut state, "x") else {
        panic!()
    };
    assert_eq!(period.from_ns, NOW - 900 * SECOND);
    press(&mut state, "\n");
    let Some(Effect::Export(Picture::Flame { pattern, .. })) = press(&mut state, "x") else { panic!() };
    assert_eq!(pattern.unwrap().as_str(), "shop::orders::place");
    state.open(Layer::Trace(17));
    assert_eq!(press(&mut state, "x"), Some(Effect::Export(Picture::Timeline(17))));
}

#[test]
fn pasted_letters_are_no_keys_and_ctrl_c_always_quits() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    state.paste("q7r");
    assert!(state.prompt.is_none() && state.tab == Tab::Functions);
    press(&mut state, "/");
    state.paste("pay\u{1b}[31m");
    assert_eq!(state.filter.as_ref().unwrap().as_str(), "*pay[31m*");
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.press(interrupt), Some(Effect::Quit));
}

#[test]
fn a_store_that_cannot_be_read_is_told_and_what_was_read_stays() {
    let mut state = with_page((120, 40), Tab::Functions, functions());
    let trouble = Some("waiting for the store: it is locked".to_owned());
    assert!(state.accept(Answer { trouble, ..Answer::default() }));
    let drawn = lines(&state, LOOK);
    assert!(drawn.contains("waiting for the store") && drawn.contains("shop::orders::place"), "{drawn}");
}

#[test]
fn no_sequence_of_keys_on_any_page_and_size_panics() {
    let mut random = fastrand::Rng::with_seed(16);
    let keys: Vec<char> = "1234567jkgG\n\u{1b}\u{8}\t/?sSfe[]{}0hlcrb yopx".chars().collect();
    let mut state = state((120, 40));
    for _ in 0..6_000 {
        let key = keys[random.usize(..keys.len())];
        press(&mut state, &key.to_string());
        let kind = [
            MouseEventKind::Down(MouseButton::Left),
            MouseEventKind::Drag(MouseButton::Left),
            MouseEventKind::Up(MouseButton::Left),
        ][random.usize(..3)];
        let (column, row) = (random.u16(..210), random.u16(..70));
        state.point(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
        if random.u8(..20) == 0 {
            state.resize((random.u16(1..210), random.u16(1..70)));
        }
        let page = match state.ask().map(|question| question.wanted) {
            Some(Wanted::Functions) => functions(),
            Some(Wanted::Function { .. } | Wanted::Calls { .. } | Wanted::Examples(_) | Wanted::Box(_)) => {
                calls()
            }
            Some(Wanted::Changes) => Page::Changes(Changes::default()),
            Some(Wanted::Trace(call)) => {
                if call % 2 == 0 {
                    Page::Trace(None)
                } else {
                    tree()
                }
            }
            Some(Wanted::Kinds) => kinds(),
            Some(Wanted::Live) => live(),
            Some(Wanted::Findings) => findings(),
            Some(Wanted::Evidence(_)) => Page::Evidence(Report::default()),
            Some(Wanted::Processes) => Page::Processes,
            None => continue,
        };
        answer(&mut state, page);
        draw(&state, LOOK);
    }
}
