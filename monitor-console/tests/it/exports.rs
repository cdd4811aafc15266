//! `monitor export` and `monitor flame`: figures that add up, files that are not overwritten, names of any kind.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::{command, monitor};
use crate::safety::{HOSTILE, is_harmless};

const MS: i64 = 1_000_000;

/// Two trees: `place` calls `reserve` twice, and `charge` in the second; the second tree stands for ten.
fn trees() -> Fixture {
    let fixture = Fixture::new();
    let mut calls = Vec::new();
    for tree in 0..2 {
        let span = PREFIX + tree * 100;
        let start = (110 - 60 * tree) * SECOND;
        let weight = if tree == 0 { 1.0 } else { 10.0 };
        let below = |n: i64, function: i64, at: i64, duration_ns: i64| Call {
            function,
            ago_ns: start - at,
            duration_ns,
            span: span + n,
            parent: Some(span),
            trace: Some(span),
            weight,
            ..Call::default()
        };
        calls.push(below(1, 2, MS, 2 * MS));
        calls.push(below(2, 2, 4 * MS, 3 * MS));
        if tree == 1 {
            calls.push(Call { outcome: 1, kept: 2, ..below(3, 3, 8 * MS, MS) });
        }
        calls.push(Call { ago_ns: start, duration_ns: 10 * MS, span, weight, ..Call::default() });
    }
    fixture.calls(&calls);
    fixture
}

fn export(fixture: &Fixture, arguments: &[&str]) -> String {
    monitor(&fixture.path, &[&["export"], arguments].concat()).ok()
}

#[test]
fn folded_stacks_add_up_to_the_time_of_the_roots() {
    let fixture = trees();
    let folded = export(&fixture, &["folded"]);
    let mut lines: Vec<&str> = folded.lines().collect();
    lines.sort_unstable();
    let expected = [
        format!("shop::orders::place {}", 5 * MS + 10 * 4 * MS),
        format!("shop::orders::place;shop::bank::Card::charge {}", 10 * MS),
        format!("shop::orders::place;shop::stock::reserve {}", 5 * MS + 10 * 5 * MS),
    ];
    assert_eq!(lines, expected);
    let sum: i64 = lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(sum, 10 * MS + 10 * 10 * MS);
    let below = export(&fixture, &["folded", "reserve", "--by", "calls"]);
    assert_eq!(below, "shop::stock::reserve 22\n");
    assert_eq!(
        export(&fixture, &["folded", "--by", "failures"]),
        "shop::orders::place;shop::bank::Card::charge 10\n"
    );
}

#[test]
fn rows_that_calls_share_and_that_take_turns_leave_their_caller_its_own_time() {
    let fixture = Fixture::new();
    let row = |n: i64, function: i64, at: i64, duration_ns: i64, weight: f64| Call {
        function,
        ago_ns: 60 * SECOND - at,
        duration_ns,
        span: PREFIX + n,
        parent: (n > 0).then_some(PREFIX),
        trace: Some(PREFIX),
        weight,
        ..Call::default()
    };
    // 200 calls of 3 ms and 200 calls of 1 ms, in turn, from 10 ms to 810 ms.
    fixture.calls(&[
        row(1, 2, 10 * MS, 3 * MS, 200.0),
        row(2, 3, 13 * MS, MS, 200.0),
        row(0, 1, 0, 820 * MS, 1.0),
    ]);
    let fold =
        "INSERT INTO call_fold SELECT id, 200, 200 * duration, duration, ?2 FROM call WHERE function_id = ?1";
    let start = fixture.now - 60 * SECOND;
    for (function, last) in [(2, 809 * MS), (3, 810 * MS)] {
        fixture.db.execute(fold, [function, start + last]).unwrap();
    }
    let folded = export(&fixture, &["folded"]);
    let mut lines: Vec<&str> = folded.lines().collect();
    lines.sort_unstable();
    let expected = [
        format!("shop::orders::place {}", 20 * MS),
        format!("shop::orders::place;shop::bank::Card::charge {}", 200 * MS),
        format!("shop::orders::place;shop::stock::reserve {}", 600 * MS),
    ];
    assert_eq!(lines, expected);
    let flame = monitor(&fixture.path, &["flame", "--format", "json"]).json();
    let place = flame.iter().find(|row| row["depth"] == 0).unwrap();
    assert_eq!((&place["total_ns"], &place["self_ns"]), (&json!(820e6), &json!(20e6)));
}

#[test]
fn a_span_of_time_shows_the_callers_that_began_before_it() {
    let fixture = Fixture::new();
    let row = |n: i64, parent: Option<i64>, function: i64, ago: i64, seconds: i64| Call {
        function,
        ago_ns: ago * SECOND,
        duration_ns: seconds * SECOND,
        span: PREFIX + n,
        parent: parent.map(|parent| PREFIX + parent),
        trace: Some(PREFIX),
        ..Call::default()
    };
    fixture.calls(&[
        row(1, Some(0), 2, 400, 5),
        row(3, Some(2), 3, 95, 4),
        row(2, Some(0), 2, 110, 30),
        row(0, None, 1, 500, 440),
        Call { trace: Some(PREFIX + 9), ..row(8, Some(9), 3, 96, 1) },
    ]);
    // The minutes around the moment: from 100 s before now on. All calls end by 60 s before now.
    let at = fixture.now - 40 * SECOND;
    let seconds = format!("SELECT strftime('%Y-%m-%dT%H:%M:%S', {}, 'unixepoch')", at / SECOND);
    let seconds: String = fixture.db.query_row(&seconds, [], |row| row.get(0)).unwrap();
    let folded = export(&fixture, &["folded", "--at", &format!("{seconds}.{:09}", at % SECOND)]);
    let mut lines: Vec<&str> = folded.lines().collect();
    lines.sort_unstable();
    let expected = [
        format!("(caller not recorded);shop::bank::Card::charge {SECOND}"),
        format!("shop::orders::place {}", 20 * SECOND),
        format!("shop::orders::place;shop::stock::reserve {}", 16 * SECOND),
        format!("shop::orders::place;shop::stock::reserve;shop::bank::Card::charge {}", 4 * SECOND),
    ];
    assert_eq!(lines, expected, "`place` and its call of `reserve` were under way when the span began");
}

#[test]
fn a_profile_for_speedscope_has_each_function_once_and_profiles_that_add_up() {
    let fixture = trees();
    let profile: Value = serde_json::from_str(&export(&fixture, &["speedscope"])).unwrap();
    let frames = profile["shared"]["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 3);
    assert!(frames.contains(&json!({"name": "shop::stock::reserve", "file": "src/shop.rs", "line": 20})));
    let sums = [110 * MS, 11 + 22 + 10, 10];
    for (profile, sum) in profile["profiles"].as_array().unwrap().iter().zip(sums) {
        let weights: i64 = profile["weights"].as_array().unwrap().iter().map(|w| w.as_i64().unwrap()).sum();
        assert_eq!((weights, &profile["endValue"]), (sum, &json!(sum)), "{profile}");
        let samples = profile["samples"].as_array().unwrap();
        assert_eq!(samples.len(), profile["weights"].as_array().unwrap().len());
        let indexes = samples.iter().flat_map(|sample| sample.as_array().unwrap());
        assert!(indexes.clone().all(|at| at.as_u64().unwrap() < 3), "{profile}");
    }
    assert_eq!(profile["profiles"].as_array().unwrap().len(), 3);
}

#[test]
fn a_timeline_for_perfetto_has_a_slice_per_call_and_no_overlap_on_a_lane() {
    let fixture = trees();
    let concurrent = |n: i64| Call {
        function: 3,
        ago_ns: 30 * SECOND - n * MS,
        duration_ns: 20 * MS,
        span: PREFIX + 900 + n,
        ..Call::default()
    };
    fixture.calls(&[concurrent(0), concurrent(1), concurrent(2)]);
    fixture
        .db
        .execute(
            "INSERT INTO resource (process_id, at_ns, cpu_pct, rss_bytes, threads, open_files)
             VALUES (1, ?1, 12.5, 4096, 3, 9)",
            [fixture.now - 40 * SECOND],
        )
        .unwrap();
    let trace: Value = serde_json::from_str(&export(&fixture, &["perfetto"])).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let slices: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(slices.len(), 7 + 3);
    assert!(slices.iter().all(|slice| slice["args"]["call_id"].is_string()), "{slices:?}");
    let mut lanes: Vec<_> = slices[7..].iter().map(|slice| slice["tid"].as_u64().unwrap()).collect();
    lanes.dedup();
    assert_eq!(lanes.len(), 3, "{slices:#?}");
    let names: Vec<_> =
        events.iter().filter(|e| e["name"] == "thread_name").map(|e| &e["args"]["name"]).collect();
    assert_eq!(names, ["main", "async 1", "async 2"]);
    assert_eq!(slices[0]["ts"], 0.0);
    assert_eq!(slices[0]["dur"], 10_000.0);
    let counters: Vec<_> = events.iter().filter(|event| event["ph"] == "C").collect();
    assert_eq!(counters.len(), 2);
    assert_eq!(counters[0]["args"]["value"], 12.5);
}

#[test]
fn rows_of_a_view_are_written_whole_or_in_part() {
    let fixture = trees();
    let count = |arguments: &[&str]| export(&fixture, arguments).lines().count();
    assert_eq!(count(&["jsonl", "calls"]), 7);
    assert_eq!(count(&["jsonl", "calls", "--where", "outcome = 'error'"]), 1);
    assert_eq!(count(&["jsonl", "calls", "--since", "80s"]), 4);
    assert_eq!(count(&["jsonl", "calls", "--since", "80s", "--where", "failed = 1 OR weight = 1"]), 1);
    assert_eq!(count(&["csv", "calls", "--where", "0 -- none"]), 1);
    let table = [
        (vec!["csv", "cals"], "has no view `cals`: it has alerts"),
        (vec!["csv", "calls", "--where", "outcome ="], "`outcome =` is none here: incomplete input"),
        (vec!["csv", "calls", "--where", "outcme = 1"], "`outcme = 1` is none here: no such column: outcme"),
        (vec!["jsonl", "calls", "--where", "1) UNION SELECT (1"], "near \")\": syntax error"),
        (vec!["jsonl", "calls", "--where", "1; SELECT 2"], "near \";\": syntax error"),
        (vec!["jsonl", "calls", "--where", "1 LIMIT 1"], "near \"LIMIT\": syntax error"),
        (vec!["csv", "schema_doc", "--since", "1h"], "no column of a time"),
        (vec!["folded", "nobody"], "no function here is named `nobody`"),
    ];
    for (arguments, expected) in table {
        let ran = monitor(&fixture.path, &[&["export"], arguments.as_slice()].concat());
        assert_eq!(ran.out, "", "{arguments:?}");
        let err = ran.failed(1);
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert!(!err.contains("SELECT *") && !err.contains("Error code"), "{arguments:?}: {err}");
        assert_eq!(
            err.contains("--where"),
            arguments.contains(&"--where") || expected.contains("time"),
            "{err}"
        );
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_command_without_parquet_says_how_to_get_it() {
    let fixture = trees();
    let file = fixture.folder.path().join("calls.parquet");
    let refused =
        monitor(&fixture.path, &["export", "parquet", "calls", "-o", file.to_str().unwrap()]).failed(1);
    assert!(refused.contains("--features parquet") && !file.exists(), "{refused}");
}

#[cfg(feature = "parquet")]
#[test]
fn a_value_that_does_not_fit_its_column_of_parquet_ends_the_export_and_leaves_no_file() {
    let fixture = trees();
    let file = fixture.folder.path().join("calls.parquet");
    let arguments = ["parquet", "calls", "-o", file.to_str().unwrap()];
    export(&fixture, &arguments);
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{bytes:?}");
    std::fs::remove_file(&file).unwrap();
    // The tables are strict, but a view may be anybody's.
    let view = "DROP VIEW calls; CREATE VIEW calls AS SELECT 1 AS call_id, 'noon' AS start_ns";
    fixture.db.execute_batch(view).unwrap();
    let refused = monitor(&fixture.path, &[&["export"][..], &arguments].concat()).failed(1);
    let expected = "the column `start_ns` holds integers, but a value of it is the text `noon`";
    assert!(refused.contains(expected) && refused.contains("--where") && !file.exists(), "{refused}");
    // The kinds of columns that nobody declared are those of their values.
    let mine = "CREATE VIEW mine AS SELECT 1 AS n, 1.5 AS share, 'a' AS word, x'00' AS code, NULL AS none
                UNION ALL SELECT 2, 2, 'b', NULL, NULL";
    fixture.db.execute_batch(mine).unwrap();
    export(&fixture, &["parquet", "mine", "-o", file.to_str().unwrap()]);
    assert!(file.exists());
}

/// Lists the files below a folder, each with its path from there and its rows.
#[cfg(feature = "parquet")]
fn list_parquet(folder: &std::path::Path) -> Vec<(String, i64)> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    fn add(root: &std::path::Path, folder: &std::path::Path, found: &mut Vec<(String, i64)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(root, &path, found);
                continue;
            }
            let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push((name, reader.metadata().file_metadata().num_rows()));
        }
    }
    let mut found = Vec::new();
    add(folder, folder, &mut found);
    found.sort_unstable();
    found
}

#[cfg(feature = "parquet")]
#[test]
fn each_hour_and_each_day_of_rows_has_a_file_of_parquet() {
    const HOUR: i64 = 3600 * SECOND;
    let fixture = Fixture::new();
    let calls: Vec<_> = [30 * HOUR, 29 * HOUR, 2 * HOUR, 2 * HOUR, 0]
        .into_iter()
        .enumerate()
        .map(|(n, ago_ns)| Call { ago_ns, span: PREFIX + i64::try_from(n).unwrap(), ..Call::default() })
        .collect();
    fixture.calls(&calls);
    let folder = fixture.folder.path().join("my archive");
    let start = |rest: &[&str]| {
        let export = ["export", "parquet", "calls", "-o", folder.to_str().unwrap()];
        monitor(&fixture.path, &[&export, rest].concat())
    };
    let hour_of = |ago: i64| (fixture.now - ago) / HOUR;
    let name_of = |hour: i64| {
        let sql = "SELECT strftime('date=%Y-%m-%d/hour=%H/calls.parquet', ?1 * 3600, 'unixepoch')";
        fixture.db.query_row(sql, [hour], |row| row.get::<_, String>(0)).unwrap()
    };
    start(&["--by", "hour"]).ok();
    let expected = [(30 * HOUR, 1), (29 * HOUR, 1), (2 * HOUR, 2), (0, 1)]
        .map(|(ago, rows)| (name_of(hour_of(ago)), rows));
    assert_eq!(list_parquet(&folder), expected);

    // The newest hours are written again, beside the older ones, which stay.
    let refused = start(&["--by", "hour", "--since", "3h"]).failed(1);
    assert!(refused.contains("exists: name another file, or replace it with --force"), "{refused}");
    assert_eq!(list_parquet(&folder), expected);
    start(&["--by", "hour", "--since", "3h", "--force", "--where", "call_id % 2 = 0"]).ok();
    assert_eq!(
        list_parquet(&folder).iter().map(|(_, rows)| rows).sum::<i64>(),
        4,
        "{:?}",
        list_parquet(&folder)
    );

    std::fs::remove_dir_all(&folder).unwrap();
    start(&["--by", "day"]).ok();
    let days: std::collections::BTreeSet<_> =
        [30, 29, 2, 0].map(|hours| hour_of(hours * HOUR) / 24).into_iter().collect();
    let names = days.into_iter().map(|day| name_of(day * 24).replace("hour=00/", ""));
    let found = list_parquet(&folder);
    assert_eq!(found.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names.collect::<Vec<_>>());
    assert_eq!(found.iter().map(|(_, rows)| rows).sum::<i64>(), 5);
}

#[cfg(feature = "parquet")]
#[test]
fn rows_without_a_time_have_a_file_too_and_a_time_that_is_none_leaves_nothing() {
    let fixture = trees();
    let folder = fixture.folder.path().join("archive");
    let sql = "CREATE VIEW mine AS SELECT NULL AS at_ns UNION ALL SELECT 0 UNION ALL SELECT -1;
               CREATE VIEW other AS SELECT 5 AS at_ns UNION ALL SELECT 'noon';
               CREATE VIEW broken AS SELECT 5 AS at_ns UNION ALL SELECT 7200000000000;";
    fixture.db.execute_batch(sql).unwrap();
    let target = folder.to_str().unwrap();
    export(&fixture, &["parquet", "mine", "--by", "hour", "-o", target]);
    let names = [
        "1969-12-31/hour=23",
        "1970-01-01/hour=00",
        "__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__",
    ];
    assert_eq!(list_parquet(&folder), names.map(|name| (format!("date={name}/mine.parquet"), 1)));

    let file = fixture.folder.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let fresh = fixture.folder.path().join("fresh");
    let table = [
        (vec!["other"], &fresh, "the column `at_ns` holds moments, but a value of it is a text"),
        (vec!["schema_doc"], &fresh, "`schema_doc` has no column of a time, so its rows have no hour"),
        (vec!["nothing"], &fresh, "has no view `nothing`"),
        (
            vec!["calls", "--where", "outcome ="],
            &fresh,
            "--where takes an expression in SQL, and `outcome =` is none here",
        ),
        (vec!["calls"], &file, "is a file: name a folder"),
    ];
    for (arguments, path, expected) in table {
        let options = ["--by", "hour", "-o", path.to_str().unwrap()];
        let failed =
            monitor(&fixture.path, &[&["export", "parquet"], &arguments[..], &options].concat()).failed(1);
        assert!(failed.contains(expected), "{arguments:?}: {failed}");
        assert!(!fresh.exists(), "{arguments:?} left a folder");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    // The file of the second hour is in the way, so that of the first is not written either.
    let taken = fresh.join("date=1970-01-01/hour=02");
    std::fs::create_dir_all(&taken).unwrap();
    std::fs::write(taken.join("broken.parquet"), "kept").unwrap();
    let arguments = ["export", "parquet", "broken", "--by", "hour", "-o", fresh.to_str().unwrap()];
    monitor(&fixture.path, &arguments).failed(1);
    assert!(!fresh.join("date=1970-01-01/hour=00").exists());
    assert_eq!(std::fs::read(taken.join("broken.parquet")).unwrap(), b"kept");
    let refused =
        monitor(&fixture.path, &["export", "parquet", "calls", "--by", "week", "-o", target]).failed(2);
    assert!(refused.contains("hour, day"), "{refused}");
    let refused = monitor(&fixture.path, &["export", "parquet", "calls", "--by", "hour"]).failed(2);
    assert!(refused.contains("--output"), "{refused}");
}

#[test]
fn a_spreadsheet_runs_no_cell_unless_raw_text_is_asked_for() {
    let fixture = Fixture::new();
    fixture.calls(&[Call { args: Some("=cmd|' /C calc'!A0"), ..Call::default() }]);
    assert!(export(&fixture, &["csv", "calls"]).contains(",'=cmd"));
    assert!(export(&fixture, &["csv", "calls", "--raw"]).contains(",=cmd"));
}

#[test]
fn the_copy_of_a_store_is_one_file_that_is_read_like_the_store() {
    let fixture = trees();
    let copy = fixture.folder.path().join("it's a copy.db");
    // A copy holds the whole store, as the help says.
    export(&fixture, &["sqlite", copy.to_str().unwrap(), "--since", "1s"]);
    for form in ["sqlite", "prometheus"] {
        let help = monitor(&fixture.path, &["export", form, "--help"]).ok();
        assert!(help.contains("--since does not apply"), "{help}");
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("sql, export prometheus, export sqlite, serve and demo ignore it"), "{help}");
    }
    let bytes = std::fs::read(&copy).unwrap();
    assert_eq!(bytes[18..20], [1, 1], "the copy takes a log");
    assert_eq!(
        monitor(&copy, &["calls", "--format", "json"]).json().len(),
        monitor(&fixture.path, &["calls", "--format", "json"]).json().len()
    );
    let names: Vec<_> = std::fs::read_dir(fixture.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("it's"))
        .collect();
    assert_eq!(names, ["it's a copy.db"]);
}

#[test]
fn no_file_is_overwritten_unless_forced_and_the_store_never() {
    let fixture = trees();
    let path = fixture.folder.path().join("out");
    let out = path.to_str().unwrap();
    let forms: [&[&str]; 4] = [
        &["export", "folded", "-o", out],
        &["export", "csv", "calls", "-o", out],
        &["export", "sqlite", out],
        &["flame", "--html", out],
    ];
    for arguments in forms {
        std::fs::write(&path, "mine").unwrap();
        let err = monitor(&fixture.path, arguments).failed(1);
        assert!(err.contains("exists") && err.contains("--force"), "{err}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        monitor(&fixture.path, &[arguments, &["--force"]].concat()).ok();
        assert_ne!(std::fs::read(&path).unwrap(), b"mine");
    }
    let store = fixture.path.to_str().unwrap();
    let spelled = fixture.folder.path().join("../").join(fixture.folder.path().file_name().unwrap());
    let spelled = spelled.join("shop.db");
    // The log of a rollback does not exist now: SQLite would delete an export of its name.
    for target in [store, spelled.to_str().unwrap(), &format!("{store}-wal"), &format!("{store}-journal")] {
        for arguments in [["export", "folded", "-o", target], ["flame", "--html", target, "--wide"]] {
            let err = monitor(&fixture.path, &[&arguments[..], &["--force"]].concat()).failed(1);
            assert!(err.contains("belongs to the store"), "{target}: {err}");
        }
        for force in [&["--force"][..], &[]] {
            let err = monitor(&fixture.path, &[&["export", "sqlite", target], force].concat()).failed(1);
            assert!(err.contains("belongs to the store itself"), "{target}: {err}");
        }
    }
    assert_eq!(monitor(&fixture.path, &["calls", "--format", "json"]).json().len(), 7);
}

#[test]
fn an_export_that_fails_leaves_what_was_there() {
    let fixture = trees();
    let folder = fixture.folder.path();
    let (new, old) = (folder.join("new.csv"), folder.join("old.csv"));
    std::fs::write(&old, "mine").unwrap();
    for path in [&new, &old] {
        let out = path.to_str().unwrap();
        let wrong = ["export", "csv", "calls", "--where", "no_such_column", "--force", "-o", out];
        monitor(&fixture.path, &wrong).failed(1);
    }
    assert!(!new.exists());
    assert_eq!(std::fs::read(&old).unwrap(), b"mine");
    let left = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(left.count(), 0);
    std::fs::write(folder.join("copy.db-wal"), "a log").unwrap();
    let copy = folder.join("copy.db");
    let err = monitor(&fixture.path, &["export", "sqlite", copy.to_str().unwrap()]).failed(1);
    assert!(err.contains("log of another database") && !copy.exists(), "{err}");
}

#[cfg(unix)]
#[test]
fn a_file_that_may_hold_values_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = trees();
    let path = fixture.folder.path().join("calls.csv");
    export(&fixture, &["csv", "calls", "-o", path.to_str().unwrap()]);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    // A file that is replaced keeps its readers, and a link to it stays a link.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let link = fixture.folder.path().join("link.csv");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::fs::write(&path, "old").unwrap();
    export(&fixture, &["csv", "calls", "--force", "-o", link.to_str().unwrap()]);
    assert!(link.is_symlink() && std::fs::read_to_string(&path).unwrap().starts_with("call_id"));
    assert_eq!(mode(&path), 0o640);
    // Figures without values are for the programs that collect them.
    let metrics = fixture.folder.path().join("shop.prom");
    export(&fixture, &["prometheus", "-o", metrics.to_str().unwrap()]);
    let usual = fixture.folder.path().join("usual");
    std::fs::write(&usual, "").unwrap();
    assert_eq!(mode(&metrics), mode(&usual));
}

#[cfg(unix)]
#[test]
fn a_pipe_and_a_device_are_written_to_as_they_are() {
    use std::os::unix::fs::FileTypeExt as _;
    let fixture = trees();
    let pipe = fixture.folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reading = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    export(&fixture, &["csv", "calls", "-o", pipe.to_str().unwrap()]);
    assert!(reading.join().unwrap().starts_with("call_id"));
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    let shown = export(&fixture, &["csv", "calls", "-o", "/dev/stdout"]);
    assert!(shown.starts_with("call_id"), "{shown}");
    let err = monitor(&fixture.path, &["export", "sqlite", pipe.to_str().unwrap(), "--force"]).failed(1);
    assert!(err.contains("cannot hold a database"), "{err}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let fixture = Fixture::new();
    let call = |n: i64| Call { span: PREFIX + n, ..Call::default() };
    fixture.calls(&(0..20_000).map(call).collect::<Vec<_>>());
    for arguments in [["export", "jsonl", "calls"].as_slice(), &["export", "perfetto"]] {
        let mut command = command(fixture.folder.path(), arguments);
        command.arg("--db").arg(&fixture.path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut some = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn names_of_any_kind_harm_no_form() {
    let long = "x".repeat(65_536);
    let names = [
        HOSTILE,
        "a\"b'c\\d",
        "two\nlines;and frames 7",
        "</script><script>alert(1)</script><!--",
        &long,
        "",
    ];
    for name in names {
        let fixture = trees();
        for (table, id) in [("function", 1), ("thread", 1)] {
            let update = format!("UPDATE {table} SET name = ?1 WHERE id = ?2");
            fixture.db.execute(&update, rusqlite::params![name, id]).unwrap();
        }
        let folded = export(&fixture, &["folded"]);
        assert_eq!(folded.lines().count(), 3, "{folded:?}");
        assert!(folded.lines().all(|line| line.matches(';').count() <= 1), "{folded:?}");
        let flame = monitor(&fixture.path, &["flame"]).ok();
        let page = fixture.folder.path().join("page.html");
        monitor(&fixture.path, &["flame", "--html", page.to_str().unwrap()]).ok();
        let page = std::fs::read_to_string(page).unwrap();
        assert_eq!(page.matches("</script>").count(), 2, "{name:?}");
        assert_eq!(page.matches("<script").count(), 2, "{name:?}");
        let (_, data) = page.split_once("id=\"facts\">").unwrap();
        let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
        assert_eq!(data["frames"].as_array().unwrap().len(), 3);
        let mut texts = vec![folded, flame, page];
        for form in ["speedscope", "perfetto"] {
            let text = export(&fixture, &[form]);
            let _: Value = serde_json::from_str(&text).unwrap();
            texts.push(text);
        }
        for text in texts {
            assert!(is_harmless(&text), "{name:?}: {text:?}");
            assert!(text.len() < 65_536, "{name:?}: {} bytes", text.len());
        }
    }
}

#[test]
fn the_flame_graph_draws_callers_above_callees_and_gives_its_figures_as_data() {
    let fixture = trees();
    let ran = monitor(&fixture.path, &["flame"]);
    assert!(ran.err.contains("all trees: ~110 ms · ~ rests on 7 rows"), "{}", ran.err);
    let lines: Vec<String> = ran.ok().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("│shop::orders::place 100 % 110 ms"), "{lines:#?}");
    assert!(lines[1].starts_with("│shop::stock::reserve 50.0 % 55.0 ms"), "{lines:#?}");
    let rows = monitor(&fixture.path, &["flame", "place", "--format", "json"]).json();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["total_ns"], &rows[0]["self_ns"]), (&json!(110e6), &json!(45e6)));
    let empty = monitor(&fixture.path, &["flame", "--since", "1s"]);
    assert!(empty.err.contains("no call has a row in this span"), "{}", empty.err);
    assert_eq!(empty.ok(), "");
}

#[cfg(target_os = "linux")]
#[test]
fn the_page_is_handed_to_the_browser() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = trees();
    let folder = fixture.folder.path();
    let opener = folder.join("xdg-open");
    std::fs::write(&opener, "#!/bin/sh\necho \"$1\" > \"$HOME/opened\"\n").unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |path: &str| {
        let mut command = command(folder, &["flame", "--open", "--db"]);
        command.arg(&fixture.path).env("TMPDIR", folder).env("PATH", path);
        crate::run::Ran::from(command.output().unwrap())
    };
    run(&format!("{}:/usr/bin:/bin", folder.display())).ok();
    let shown = std::fs::read_to_string(folder.join("opened")).unwrap();
    assert!(std::fs::read_to_string(shown.trim()).unwrap().contains("shop::orders::place"), "{shown}");
    let err = run("/nonexistent").failed(1);
    assert!(err.contains("cannot start `xdg-open`: open /"), "{err}");
}

#[test]
fn of_more_rows_than_are_read_the_newest_whole_trees_are_drawn_and_the_rest_is_told() {
    let fixture = Fixture::new();
    // Pairs of a `reserve` and the `place` that called it, a pair per ms, in ranges of 1 000 rows.
    let rows = "WITH RECURSIVE n(y) AS (SELECT 0 UNION ALL SELECT y + 1 FROM n WHERE y < 300499)
        INSERT INTO call (function_id, thread_id, start, duration, span, parent, trace, kind, weight)
        SELECT 2 - y % 2, 1, y / 2 * 1000000 + (1 - y % 2) * 100000, 500000 + y % 2 * 400000,
          ?1 + y / 2 * 2 + (1 - y % 2), 1 - y % 2, 0, 0, 1.0 FROM n";
    fixture.db.execute(rows, [PREFIX]).unwrap();
    let ranges = "WITH RECURSIVE k(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM k WHERE x < 300)
        INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns)
        SELECT x * 1000 + 1, (x + 1) * 1000, ?1 + x * 500000000, ?1 + x * 500000000 + 499100000, ?1 FROM k";
    fixture.db.execute(ranges, [fixture.now - 600 * SECOND]).unwrap();
    let ran = monitor(&fixture.path, &["export", "folded"]);
    assert!(
        ran.err.contains("~ rests on 300 000 rows") && ran.err.contains("~ 500 rows left out"),
        "{}",
        ran.err
    );
    let expected = [
        format!("shop::orders::place {}", 150_000 * 400_000_i64),
        format!("shop::orders::place;shop::stock::reserve {}", 150_000 * 500_000_i64),
    ];
    let folded = ran.ok();
    let mut lines: Vec<&str> = folded.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn the_tree_of_one_call_is_exported_alone() {
    let fixture = trees();
    // The first call that was written belongs to the first tree.
    let folded = export(&fixture, &["folded", "--trace", "1", "--by", "calls"]);
    let mut lines: Vec<&str> = folded.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["shop::orders::place 1", "shop::orders::place;shop::stock::reserve 2"]);
    let timeline: Value = serde_json::from_str(&export(&fixture, &["perfetto", "--trace", "1"])).unwrap();
    let is_slice = |event: &&Value| event["ph"] == "X";
    assert_eq!(timeline["traceEvents"].as_array().unwrap().iter().filter(is_slice).count(), 3);
    let picture = monitor(&fixture.path, &["flame", "--trace", "1", "--format", "json"]).json();
    assert_eq!(picture.len(), 2);
    let message = monitor(&fixture.path, &["export", "folded", "--trace", "99"]).failed(1);
    assert!(message.contains("no call, span or trace has the id 99"), "{message}");
    let both = ["export", "folded", "--trace", "1", "--until", "5m"];
    monitor(&fixture.path, &both).failed(2);
}

#[test]
fn the_report_is_one_page_without_script_and_request_and_without_values_unless_asked() {
    let fixture = trees();
    fixture.figures(1, [2, 0, 0, 0, 20 * MS, 10 * MS]);
    fixture.error_group(3, "card of Ada Lovelace declined", 3, 60 * SECOND);
    let page = export(&fixture, &["report"]);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    for wanted in [
        "default-src 'none'",
        "shop::orders::place",
        "<h2>Findings",
        "<h2>Failures",
        "class=\"flame\"",
        "MEMORY",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    for unwanted in ["<script", "http:", "https:", "url(", "@import", "src=", "Lovelace"] {
        assert!(!page.contains(unwanted), "{unwanted}: {page}");
    }
    let boxes = page.matches("<span style=").count();
    assert_eq!(boxes, 3, "{page}");
    assert!(export(&fixture, &["report", "--values"]).contains("card of Ada Lovelace declined"));
    let file = fixture.folder.path().join("report.html");
    let to_file = ["report", "-o", file.to_str().unwrap()];
    export(&fixture, &to_file);
    assert!(std::fs::read_to_string(&file).unwrap().contains("shop::orders::place"));
    let refused = monitor(&fixture.path, &[&["export"][..], &to_file].concat()).failed(1);
    assert!(refused.contains("--force"), "{refused}");
}

#[test]
fn every_part_of_the_report_is_of_the_span_that_was_asked_for() {
    let fixture = Fixture::new();
    let hour = 3_600 * SECOND;
    fixture.db.execute("UPDATE process SET started_ns = started_ns - ?1 WHERE id = 1", [3 * hour]).unwrap();
    let failed = |n: i64, ago_ns, error| Call {
        function: 3,
        span: PREFIX + n,
        ago_ns,
        outcome: 1,
        kept: 2,
        error: Some(error),
        ..Call::default()
    };
    fixture.calls(&[
        failed(1, 2 * hour, "card 1 declined"),
        Call { ago_ns: 2 * hour, span: PREFIX + 2, ..Call::default() },
        failed(3, 30 * SECOND, "card 2 declined"),
        Call { function: 2, ago_ns: 20 * SECOND, span: PREFIX + 4, ..Call::default() },
    ]);
    for (function, ago_ns) in [(1, 2 * hour), (2, 20 * SECOND)] {
        fixture.figures(function, [10, 0, 0, 0, 20 * MS, 10 * MS]);
        fixture.window(function, ago_ns, 10, 20 * MS);
    }
    // A kind before the span's end, one after it, and one that goes on beyond it.
    fixture.error_group(3, "no paper", 5, 2 * hour);
    fixture.error_group(3, "no ink", 6, 20 * SECOND);
    fixture.error_group(3, "card # declined", 2, 30 * SECOND);
    let lasts = "UPDATE error_group SET first_ns = last_ns - ?1 WHERE message = 'card # declined'";
    fixture.db.execute(lasts, [2 * hour]).unwrap();
    let sample = "INSERT INTO resource VALUES (NULL, ?1, ?2, 50, ?3, 4, 9)";
    fixture.db.execute(sample, (1, fixture.now - 2 * hour, 64 << 20)).unwrap();
    fixture.db.execute(sample, (2, fixture.now - 800 * SECOND, 80 << 20)).unwrap();

    let parts = ["Findings", "Functions", "Where the time goes", "Failures", "Programs", "Resources"];
    let part = |page: &str, title: &str| -> String {
        let start = page.find(&format!("<h2>{title}</h2>")).unwrap_or_else(|| panic!("{title}: {page}"));
        let rest = &page[start + 4..];
        rest[..rest.find("<h2>").unwrap_or(rest.len())].to_owned()
    };
    let place = "shop::orders::place";
    let reserve = "shop::stock::reserve";
    let earlier = export(&fixture, &["report", "--values", "--until", "1h"]);
    assert!(earlier.contains("span: until "), "{earlier}");
    for (title, wanted, unwanted) in [
        ("Functions", vec![place], vec![reserve, "LAST 10 MIN"]),
        ("Where the time goes", vec![place], vec![reserve]),
        ("Failures", vec!["no paper", "card # declined"], vec!["no ink"]),
        ("Programs", vec!["shop", "FAILED is of the span"], vec!["4242"]),
        ("Resources", vec!["64.0 MiB"], vec!["80.0 MiB"]),
    ] {
        let part = part(&earlier, title);
        for wanted in wanted {
            assert!(part.contains(wanted), "{title} lacks {wanted}: {part}");
        }
        for unwanted in unwanted {
            assert!(!part.contains(unwanted), "{title} has {unwanted}: {part}");
        }
    }
    let kinds = part(&earlier, "Failures");
    let card = kinds.split("<tr>").find(|line| line.contains("card # declined")).unwrap();
    assert!(card.contains(">1</td>") && !card.contains("30.") && !card.contains(">3</td>"), "{card}");
    let recent = export(&fixture, &["report", "--values", "--since", "10m"]);
    assert!(recent.contains("span: since "), "{recent}");
    assert!(
        !part(&recent, "Functions").contains(place) && part(&recent, "Functions").contains(reserve),
        "{recent}"
    );
    let at = export(&fixture, &["report", "--values", "--at", "20s"]);
    assert!(!part(&at, "Failures").contains("no paper") && part(&at, "Failures").contains("no ink"), "{at}");
    let whole = export(&fixture, &["report"]);
    assert!(whole.contains("span: the whole time that the store covers"), "{whole}");
    assert!(part(&whole, "Functions").contains("LAST 10 MIN"), "{whole}");
    for title in parts {
        part(&whole, title);
    }
}

#[test]
fn names_of_any_kind_are_no_markup_of_the_report() {
    let fixture = trees();
    let name = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"' style=\u{202e}";
    fixture.db.execute("UPDATE function SET name = ?1 WHERE id = 1", [name]).unwrap();
    fixture.figures(1, [2, 0, 0, 0, 20 * MS, 10 * MS]);
    let page = export(&fixture, &["report"]);
    assert!(
        page.contains("&lt;script&gt;alert(1)") && !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
    assert!(is_harmless(&page), "{page}");
}
