//! Commands, options and exit codes.

use crate::fixture::Fixture;
use crate::run::{Ran, command, monitor};

fn run(arguments: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    Ran::from(command(home.path(), arguments).output().unwrap())
}

#[test]
fn help_of_every_command_has_examples_and_succeeds() {
    let words = [
        "top",
        "calls",
        "errors",
        "trace",
        "tail",
        "sample",
        "health",
        "breaker",
        "live",
        "crash",
        "sql",
        "why",
        "callers",
        "callees",
        "processes",
        "resources",
        "metrics",
        "diff",
        "findings",
        "flame",
        "export",
        "demo",
        "completions",
    ];
    let overview = run(&["--help"]).ok();
    for word in words {
        assert!(overview.contains(word), "{word} is missing in {overview}");
        let help = run(&[word, "--help"]).ok();
        assert!(help.contains("Examples:") && help.contains(&format!("monitor {word}")), "{help}");
        assert!(help.contains("--db") && help.contains("--format") && help.contains("--since"), "{help}");
    }
}

#[test]
fn help_says_when_a_run_is_stale_as_the_state_is_judged() {
    let help = run(&["processes", "--help"]).ok().split_whitespace().collect::<Vec<_>>().join(" ");
    let meaning =
        "`stale` (its end is not known, and it has not been seen for ten minutes, or is gone from this host)";
    assert!(help.contains(meaning), "{help}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_allowed() {
    let table: [(&[&str], &str); 46] = [
        (&["metrics", "--tag", "shop"], "shop=berlin"),
        (&["nonsense"], "nonsense"),
        (&["top", "--sort", "size"], "total"),
        (&["calls", "--min", "10"], "unit"),
        (&["calls", "--since", "soon"], "15m"),
        (&["calls", "--since", "25:00"], "14:05"),
        (&["calls", "--since", ""], "14:05"),
        (&["calls", "--since", "tomorrow"], "14:05"),
        (&["calls", "--since", "2026-11-29"], "2026-11-29T00:00"),
        (&["calls", "--since", "2026-02-30"], "no date of the calendar"),
        (&["diff", "--before", "30m..1h", "--after", "10m.."], "start is not before its end"),
        (&["diff", "--before", "1h.."], "--after"),
        (&["diff", "--min-change", "many"], "10%"),
        (&["findings", "--fail-on", "anything"], "critical"),
        (&["findings", "--ignore", "noise"], "n_plus_one"),
        (&["callers"], "FUNCTION"),
        (&["callers", "place", "--until", "noon"], "14:05"),
        (&["why", "place", "--slow", "--failed"], "--failed"),
        (&["why", "place", "--at", "14:05", "--since", "1h"], "--since"),
        (&["resources", "--process", "none"], "from 1 to"),
        (&["export"], "folded"),
        (&["export", "folded", "--force"], "--output"),
        (&["export", "folded", "--by", "size"], "failures"),
        (&["calls", "a:b"], "::"),
        (&["trace"], "ID"),
        (&["trace", "abc"], "whole number from 1 to"),
        (&["calls", "--limit", "many"], "from 0 to 4294967295"),
        (&["demo", "--seconds", "0"], "from 1 to 3600"),
        (&["breaker", "auto", "--process", "0"], "from 1 to"),
        (&["sample", "shop::*"], "RATE"),
        (&["sample", "shop::*", "1.5"], "between 0"),
        (&["sample", "shop::?", "0.5"], "`*`"),
        (&["calls", "--min", "-5ms"], "a duration looks like 10ms"),
        (&["calls", "--min", "--failed"], "a duration looks like 10ms"),
        (&["top", "--since", "-5m"], "a time before now such as 90s"),
        (&["--since", "-5m"], "a time before now such as 90s"),
        (&["callers", "place", "--until", "-5m"], "a time before now such as 90s"),
        (&["top", "--limit", "-1"], "from 0 to 4294967295"),
        (&["tail", "-n", "-1"], "from 0 to 4294967295"),
        (&["sample", "*", "-0.5"], "between 0"),
        (&["trace", "-1"], "whole number from 1 to"),
        (&["diff", "--min-change", "-5%"], "from 0% to 10000%"),
        (&["diff", "--before", "-1h..", "--after", "10m.."], "--before"),
        (&["diff", "--before", "--after", "10m.."], "a side is a span"),
        (&["--format", "xml"], "jsonl"),
        (&["--watch", "calls"], "top"),
    ];
    for (arguments, expected) in table {
        let err = run(arguments).failed(2);
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf_8_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let [path, pattern, since] = [&b"\xff.db"[..], b"shop\xfe::pay", b"\xff5m"].map(OsStr::from_bytes);
    let home = tempfile::tempdir().unwrap();
    let run =
        |arguments: &[&OsStr]| Ran::from(command(home.path(), &["calls"]).args(arguments).output().unwrap());
    let [db, option] = ["--db", "--since"].map(OsStr::new);
    for (arguments, expected) in [
        (&[pattern][..], "argument 2, 'shop\u{fffd}::pay', is not UTF-8"),
        (&[db, path, pattern], "argument 4, 'shop\u{fffd}::pay', is not UTF-8"),
        (&[option, since], "argument 3, '\u{fffd}5m', is not UTF-8"),
    ] {
        let err = run(arguments).failed(2);
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    assert!(run(&[db, path]).failed(1).contains("there is no store"));
}

#[test]
fn a_span_that_ends_before_it_starts_is_refused_by_every_command_that_takes_one() {
    let commands: [&[&str]; 14] = [
        &["findings"],
        &["why", "place"],
        &["flame"],
        &["callers", "place"],
        &["callees", "place"],
        &["processes"],
        &["resources"],
        &["metrics"],
        &["export", "folded"],
        &["export", "speedscope"],
        &["export", "perfetto"],
        &["export", "csv", "calls"],
        &["export", "parquet", "calls"],
        &["export", "report"],
    ];
    for command in commands {
        for span in [["5m", "10m"], ["10m", "10m"], ["14:05", "14:05"], ["1m", "2020-01-01T00:00"]] {
            let err = run(&[command, &["--since", span[0], "--until", span[1]]].concat()).failed(2);
            assert!(err.contains("not before the end that --until names"), "{command:?}: {err}");
        }
        let before = run(&[&["--since", "5m"], command, &["--until", "10m"]].concat()).failed(2);
        assert!(before.contains("--until"), "{command:?}: {before}");
        assert!(!run(&[command, &["--since", "10m", "--until", "5m"]].concat()).err.contains("--until"));
    }
}

#[test]
fn output_off_a_terminal_is_plain() {
    for ran in [run(&["--help"]), run(&["nonsense"])] {
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'));
    }
    let fixture = Fixture::new();
    fixture.figures(1, [1, 0, 0, 0, 10, 10]);
    assert!(!monitor(&fixture.path, &["top"]).ok().contains('\u{1b}'));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("monitor") && script.contains("trace"), "{shell}");
    }
}

#[test]
fn without_a_word_it_is_top() {
    let fixture = Fixture::new();
    fixture.figures(1, [5, 1, 0, 0, 10_000_000, 4_000_000]);
    fixture.figures(2, [50, 0, 0, 0, 1_000_000, 100_000]);
    let bare = monitor(&fixture.path, &["--sort", "calls"]).ok();
    assert_eq!(bare, monitor(&fixture.path, &["top", "--sort", "calls"]).ok());
    assert!(bare.find("shop::stock::reserve") < bare.find("shop::orders::place"), "{bare}");
}
