//! `monitor alerts` and `monitor alert`: rules are set, a program passes one, and is killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use monitor_runtime::alert::{AlertLevel, AlertState, Alerts, Rule, Subject, WindowFigures, parse_condition};
use monitor_runtime::batch::CallStats;
use monitor_runtime::histogram::Histogram;
use monitor_runtime::sampling::Pattern;
use monitor_runtime::store::schema::WINDOW_NS;
use rusqlite::Connection;

use crate::fixture::Fixture;
use crate::run::{command, monitor};

/// A program that is ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn demo(store: &Path, seconds: &str) -> Program {
    let home = store.parent().unwrap();
    let mut demo = command(home, &["demo", "--seconds", seconds, "--db"]);
    Program(demo.arg(store).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn rules_are_listed_set_changed_and_removed() {
    let fixture = Fixture::new();
    let list = monitor(&fixture.path, &["alert", "list"]).ok();
    for part in ["failures", "surge_pct", "breaker_open", "stuck", "built-in"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let set = ["alert", "set", "shop::pay", "p99 > 50ms for 1m", "--level", "critical"];
    let ran = monitor(&fixture.path, &set);
    assert!(ran.err.contains("1 running process reads it within two seconds"), "{}", ran.err);
    let row = |sql: &str| fixture.db.query_row(sql, [], |row| row.get::<_, String>(0));
    monitor(&fixture.path, &["alert", "set", "*", "metric:queue.depth > 1000 for 1m"]).ok();
    let of_metric = "SELECT pattern || ' ' || measure || op || threshold || ' ' || for_s FROM alert_rule
                     WHERE name = 'queue.depth metric'";
    assert_eq!(row(of_metric).unwrap(), "queue.depth metric>1000.0 60");
    let twice = monitor(&fixture.path, &["alert", "set", "shop::pay", "metric:orders > 5"]);
    assert!(twice.code == Some(2) && twice.err.contains("the rule takes the pattern `*`"), "{}", twice.err);
    let shown =
        "SELECT pattern || ' ' || measure || op || threshold || ' ' || for_s || ' ' || set_by FROM alert_rule
                 WHERE name = 'shop::pay p99_ms' AND level = 'critical'";
    assert_eq!(row(shown).unwrap(), "shop::pay p99_ms>50.0 60 monitor:ada");
    monitor(&fixture.path, &["alert", "set", "shop::pay", "p99 > 2s", "--level", "critical"]).ok();
    assert_eq!(row(shown).unwrap(), "shop::pay p99_ms>2000.0 0 monitor:ada");
    monitor(&fixture.path, &["alert", "remove", "shop::pay p99_ms"]).ok();
    assert!(row(shown).is_err());
    let gone = monitor(&fixture.path, &["alert", "remove", "shop::pay p99_ms"]).failed(1);
    assert!(gone.contains("there is no such rule"), "{gone}");
    let measures = monitor(&fixture.path, &["alert", "list", "--measures"]).ok();
    for part in ["surge_pct", "95th percentile", "stuck", "new_failure", "cost_pct", "rss_bytes"] {
        assert!(measures.contains(part), "{part}: {measures}");
    }
    monitor(&fixture.path, &["alert", "set", "*", "rss_bytes > 2GiB for 5m", "--level", "info"]).ok();
    let shown = "SELECT threshold || ' ' || enabled FROM alert_rule WHERE name = 'rss_bytes'";
    assert_eq!(row(shown).unwrap(), "2147483648.0 1");
    monitor(&fixture.path, &["alert", "disable", "rss_bytes"]).ok();
    assert_eq!(row(shown).unwrap(), "2147483648.0 0");
    monitor(&fixture.path, &["alert", "enable", "rss_bytes", "--level", "info"]).ok();
    assert_eq!(row(shown).unwrap(), "2147483648.0 1");
    let gone = monitor(&fixture.path, &["alert", "enable", "rss_bytes", "--level", "critical"]).failed(1);
    assert!(gone.contains("there is no such rule"), "{gone}");
    let events = "SELECT group_concat(detail, '; ') FROM (SELECT detail FROM events WHERE kind = 'alert_rule' ORDER BY at_ns DESC LIMIT 2)";
    assert_eq!(
        row(events).unwrap(),
        "rule rss_bytes switched on by monitor:ada; rule rss_bytes switched off by monitor:ada"
    );
    for (condition, part) in [
        ("p98 > 1ms", "`p98` is no measure"),
        ("p99 > 50", "no duration"),
        ("p99", "needs `>`"),
        ("errors_pct > 500", "it never holds, because `errors_pct` is from 0 to 100"),
        ("metric: > 5", "the name of the metric is missing, as in `metric:orders > 5`"),
        ("metric:a?b > 5", "the condition `metric:a?b > 5`"),
    ] {
        let wrong = monitor(&fixture.path, &["alert", "set", "*", condition]).failed(2);
        assert!(wrong.contains(part), "{wrong}");
    }
    let wrong = monitor(&fixture.path, &["alert", "set", "shop::*", "rows_lost > 0"]).failed(2);
    assert!(wrong.contains("takes the pattern `*`"), "{wrong}");
}

#[test]
fn a_rule_says_how_many_functions_or_metrics_it_looks_at() {
    let fixture = Fixture::new();
    fixture.metrics();
    for (pattern, condition, expected) in [
        ("shop::*", "p99 > 5ms", "is set: matches 3 functions known so far; 1 running process reads it"),
        ("plce", "p99 > 5ms", "is set: matches 0 functions known so far; 1 running process reads it"),
        ("place", "p99 > 5ms", ". A rule needs whole names: `*::place` would match 1 function"),
        ("*", "metric:queue.depth > 5", "is set: matches 1 metric known so far; 1 running"),
        ("*", "metric:queue.dept > 5", "is set: matches 0 metrics known so far; 1 running"),
        ("*", "cost_pct > 5", "the rule `cost_pct` is set; 1 running"),
    ] {
        let set = monitor(&fixture.path, &["alert", "set", pattern, condition]);
        assert!(set.err.contains(expected), "{pattern} {condition}: {}", set.err);
        assert!(pattern == "place" || !set.err.contains("whole names"), "{}", set.err);
    }
}

#[test]
fn help_explains_the_levels_of_alerts_and_not_those_of_findings() {
    let fixture = Fixture::new();
    for action in ["set", "remove", "enable", "disable"] {
        let help = monitor(&fixture.path, &["alert", action, "--help"]).ok();
        for part in ["informs and needs no reaction", "a look on the same day", "a look at once"] {
            assert!(help.contains(part), "{action}, {part}: {help}");
        }
        assert!(!help.contains("finding"), "{action}: {help}");
    }
}

#[test]
fn alerts_that_fire_come_first_and_older_stores_have_none() {
    let fixture = Fixture::new();
    let insert = "INSERT INTO alert VALUES (?1, ?1, 1, 'failures', 1, ?2, ?3, ?4, ?5, 9, 9, ?6, 1)";
    let times = [fixture.now - 60_000_000_000, fixture.now - 30_000_000_000];
    for (id, level, state, until, sentence) in [
        (1, "critical", "resolved", Some(times[1]), "the first"),
        (2, "warning", "firing", None, "the second"),
        (3, "critical", "recovering", None, "the third"),
    ] {
        fixture.db.execute(insert, (id, level, state, times[0] + id, until, sentence)).unwrap();
    }
    let shown = monitor(&fixture.path, &["alerts", "--format", "json"]).json();
    let sentences: Vec<_> = shown.iter().map(|row| row["sentence"].as_str().unwrap()).collect();
    assert_eq!(sentences, ["the third", "the second", "the first"]);
    let ran = monitor(&fixture.path, &["alerts"]);
    assert!(ran.err.contains("2 alerts fire"), "{}", ran.err);
    let probe = monitor(&fixture.path, &["health", "--exit-code"]);
    assert!(probe.out.contains("1 critical and 1 warning fire"), "{}", probe.out);
    fixture.db.execute_batch("DROP VIEW alerts").unwrap();
    let older = monitor(&fixture.path, &["alerts"]).failed(1);
    assert!(older.contains("an older version wrote it"), "{older}");
}

/// Reads the windows of a process, and puts them before the rule as a reader would.
fn replay(db: &Connection, process: i64, rule: Rule) -> BTreeMap<String, (String, i64)> {
    let mut select = db
        .prepare(
            "SELECT w.window, w.function_id, f.name, w.calls, w.errors, w.panics, w.cancelled, w.max_ns, w.histogram
             FROM latency_window w JOIN function f ON f.id = w.function_id WHERE w.process_id = ?1 ORDER BY w.window",
        )
        .unwrap();
    let mut windows: BTreeMap<i64, Vec<(u32, String, CallStats, Histogram)>> = BTreeMap::new();
    let mut rows = select.query([process]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let number = |at: usize| u64::try_from(row.get::<_, i64>(at).unwrap()).unwrap();
        let stats = CallStats {
            calls: number(3),
            errors: number(4),
            panics: number(5),
            cancelled: number(6),
            max_ns: number(7),
            ..CallStats::default()
        };
        let histogram = Histogram::from_bytes(&row.get::<_, Vec<u8>>(8).unwrap());
        let figures = (row.get(1).unwrap(), row.get(2).unwrap(), stats, histogram);
        windows.entry(row.get(0).unwrap()).or_default().push(figures);
    }
    let mut alerts = Alerts::default();
    alerts.set_rules(vec![rule]);
    let mut changes = Vec::new();
    let mut names = BTreeMap::new();
    for (window, figures) in windows {
        let figures: Vec<_> = figures
            .iter()
            .map(|(function, name, stats, histogram)| {
                names.insert(*function, name.clone());
                WindowFigures::new(*function, name, Some((stats, histogram)))
            })
            .collect();
        alerts.step(window, figures.into_iter(), None, &mut changes);
    }
    let firing = changes.into_iter().filter(|change| change.state == AlertState::Firing);
    firing
        .map(|change| {
            let Subject::Function(function) = change.subject else { panic!("{change:?}") };
            (names[&function].clone(), (change.level.as_str().to_owned(), (change.since + 1) * WINDOW_NS))
        })
        .collect()
}

#[test]
fn a_program_that_passes_a_rule_has_an_alert_which_a_reader_can_replay_and_which_ends_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.db");
    assert!(demo(&path, "1").0.wait().unwrap().success());
    let set =
        ["alert", "set", "*", "errors > 0", "--level", "critical", "--name", "any failure", "--keep", "1h"];
    monitor(&path, &set).ok();
    let mut program = demo(&path, "600");
    let db = Connection::open(&path).unwrap();
    db.busy_timeout(Duration::from_secs(60)).unwrap();
    let firing = "SELECT count(*) FROM alerts WHERE rule = 'any failure' AND state = 'firing'";
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let until = Instant::now() + Duration::from_secs(120);
    while count(firing) == 0 {
        assert!(Instant::now() < until, "no alert within two minutes");
        std::thread::sleep(Duration::from_millis(100));
    }
    program.0.kill().unwrap();
    program.0.wait().unwrap();
    let shown = monitor(&path, &["alerts", "--format", "json"]).json();
    let told: BTreeMap<String, (String, i64)> = shown
        .iter()
        .map(|row| {
            assert_eq!((&row["state"], &row["rule"]), (&"ended".into(), &"any failure".into()));
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            assert!(text("sentence").contains("errors is"), "{row}");
            (text("function"), (text("level"), row["since_ns"].as_i64().unwrap()))
        })
        .collect();
    let (measure, is_above, threshold, _) = parse_condition("errors > 0").unwrap();
    let rule = Rule {
        name: "any failure".to_owned(),
        level: AlertLevel::Critical,
        pattern: Pattern::new("*").unwrap(),
        measure,
        is_above,
        threshold,
        for_windows: 0,
        keep_windows: 360,
        min_calls: 0,
    };
    let process = count("SELECT max(process_id) FROM processes");
    let mut replayed = replay(&db, process, rule);
    // The collector had no time for the window in which the program was killed.
    let last = told.values().map(|(_, since_ns)| *since_ns).max().unwrap();
    replayed.retain(|_, (_, since_ns)| *since_ns <= last);
    assert_eq!(told, replayed);
}

/// Returns the values of a measure, window after window: it stays above its threshold, or below, for a random while.
fn draw_series(seed: u64, windows: usize) -> Vec<u64> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let (mut values, mut is_above) = (Vec::new(), false);
    while values.len() < windows {
        // Long and short stays, so that rules with every time fire, recover, fire again and are resolved.
        let stay = if draw(2) == 0 { 1 + draw(3) } else { 1 + draw(12) };
        (0..stay).for_each(|_| values.push(if is_above { 51 + draw(50) } else { draw(51) }));
        is_above = !is_above;
    }
    values.truncate(windows);
    values
}

/// Prometheus looks at a series every ten seconds, by rules with `for` and `keep_firing_for`, and fires in the same windows.
#[test]
#[ignore = "needs promtool of Prometheus 2.42 or later: tests/prometheus/run runs it"]
fn rules_fire_in_the_windows_in_which_those_of_prometheus_do() {
    const WINDOWS: usize = 150;
    const FUNCTIONS: u32 = 4;
    let times = [(0, 0), (1, 0), (2, 3), (6, 6), (3, 1), (0, 5)];
    let (mut rules, mut alerts) = (String::from("groups:\n- name: g\n  rules:\n"), Alerts::default());
    let mut ours = Vec::new();
    for (at, (for_windows, keep_windows)) in times.iter().enumerate() {
        writeln!(
            rules,
            "  - {{alert: r{at}, expr: error_pct > 50, for: {}s, keep_firing_for: {}s}}",
            for_windows * 10,
            keep_windows * 10
        )
        .unwrap();
        let (measure, is_above, threshold, _) = parse_condition("error_pct > 50").unwrap();
        ours.push(Rule {
            name: format!("r{at}"),
            level: AlertLevel::Warning,
            pattern: Pattern::new("*").unwrap(),
            measure,
            is_above,
            threshold,
            for_windows: *for_windows,
            keep_windows: *keep_windows,
            min_calls: 0,
        });
    }
    alerts.set_rules(ours);
    let series: Vec<_> =
        (0..FUNCTIONS).map(|function| draw_series(u64::from(function) + 1, WINDOWS)).collect();
    let mut test = String::from(
        "rule_files: [rules.yml]\nevaluation_interval: 10s\ntests:\n- interval: 10s\n  input_series:\n",
    );
    for (function, values) in series.iter().enumerate() {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        writeln!(
            test,
            "  - {{series: 'error_pct{{function=\"f{function}\"}}', values: '{}'}}",
            values.join(" ")
        )
        .unwrap();
    }
    test.push_str("  alert_rule_test:\n");
    let (histogram, mut changes) = (Histogram::default(), 0);
    for window in 0..WINDOWS {
        let stats: Vec<_> = series
            .iter()
            .map(|values| CallStats { calls: 100, errors: values[window], ..CallStats::default() })
            .collect();
        let names: Vec<_> = (0..FUNCTIONS).map(|function| format!("f{function}")).collect();
        let figures = (0..FUNCTIONS).zip(&names).zip(&stats);
        let figures = figures
            .map(|((function, name), stats)| WindowFigures::new(function, name, Some((stats, &histogram))));
        let mut told = Vec::new();
        alerts.step(i64::try_from(window).unwrap(), figures, None, &mut told);
        changes += told.len();
        for at in 0..times.len() {
            let rule = format!("r{at}");
            let firing = alerts.live().filter(|alert| alert.rule == rule);
            let firing: Vec<_> = firing
                .map(|alert| match alert.subject {
                    Subject::Function(function) => format!("{{exp_labels: {{function: f{function}}}}}"),
                    other => panic!("{other:?}"),
                })
                .collect();
            writeln!(
                test,
                "  - {{eval_time: {}s, alertname: {rule}, exp_alerts: [{}]}}",
                window * 10,
                firing.join(", ")
            )
            .unwrap();
        }
    }
    assert!(changes > 500, "{changes} changes");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    std::fs::write(folder.path().join("test.yml"), test).unwrap();
    let mut promtool = std::process::Command::new("promtool");
    let ran = promtool.args(["test", "rules", "test.yml"]).current_dir(folder.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("SUCCESS"), "{}", &said[..said.len().min(4000)]);
}
