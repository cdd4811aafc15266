//! The bounds on series, and texts that somebody else has chosen.

use metrics::{Label, counter, gauge};

use crate::child::{flush, integer, open, play, texts};

pub(crate) fn play_series() {
    monitored_metrics::install().unwrap();
    for user in 0..10_050 {
        counter!("logins", "user" => user.to_string()).increment(1);
    }
    // A series that is there goes on, also where it is asked for by name.
    counter!("logins", "user" => "7").increment(1);
    counter!("late").increment(1);
    let labels: Vec<Label> = (0..17).map(|at| Label::new(format!("tag{at}"), "v")).collect();
    counter!("tagged", labels).increment(1);
    counter!("x".repeat(300)).increment(1);
    flush();
    let report = monitored_metrics::report();
    assert_eq!((report.series, report.series_dropped), (10_000, 53));
    assert!(report.bytes < 12 << 20, "{report:?}");
}

#[test]
fn series_beyond_the_bound_are_counted_by_name_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("series", &path);
    assert_eq!(integer(&path, "SELECT sum(count) FROM metric_history WHERE name = 'logins'"), 10_001);
    let dropped = "SELECT json_extract(tags, '$.reason') || ' ' || substr(json_extract(tags, '$.name'), 1, 6) || ' ' || count
                   FROM metrics WHERE name = 'monitored.series_dropped' ORDER BY 1";
    assert_eq!(
        texts(&path, dropped),
        ["name xxxxxx 1", "series late 1", "series logins 50", "tags tagged 1"]
    );
    let events = texts(&path, "SELECT detail FROM events WHERE kind = 'metric'");
    assert_eq!(events.len(), 1);
    assert!(
        events[0].starts_with("the metric `logins` is not recorded") && events[0].contains("10 000 series"),
        "{events:?}"
    );
}

const HOSTILE: [&str; 6] = [
    "'; DROP TABLE metric; --",
    "line\nbreak\u{1b}[31m",
    "\u{202e}evil",
    "{\"a\":1}",
    "%s%n\\",
    "naïve 日本 \0 nul",
];

pub(crate) fn play_hostile() {
    monitored_metrics::install().unwrap();
    for (at, text) in HOSTILE.iter().enumerate() {
        counter!(*text, *text => *text).increment(at as u64 + 1);
    }
    gauge!("depth").set(7.0);
    // The store gets the description of a metric even if the metric does not change any more.
    flush();
    for text in HOSTILE {
        metrics::describe_counter!(text, text);
    }
    metrics::describe_gauge!("depth", "how deep");
    gauge!("url", "url" => "https://ada:hunter2@example.org", "password" => "hunter2").set(1.0);
    flush();
}

#[test]
fn hostile_names_and_tags_are_kept_as_they_are_and_secrets_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("hostile", &path);
    let store = open(&path);
    let mut select = store
        .prepare("SELECT name, tags, description, count FROM metrics WHERE kind = 'counter' ORDER BY count")
        .unwrap();
    let rows: Vec<(String, String, String, i64)> = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), HOSTILE.len());
    for ((name, tags, description, count), (at, text)) in rows.iter().zip(HOSTILE.iter().enumerate()) {
        assert_eq!(
            (name.as_str(), description.as_str(), *count),
            (*text, *text, i64::try_from(at).unwrap() + 1)
        );
        let tags: serde_json::Value = serde_json::from_str(tags).unwrap();
        assert_eq!(tags, serde_json::json!({ *text: *text }));
    }
    assert_eq!(
        texts(&path, "SELECT description || latest FROM metrics WHERE name = 'depth'"),
        ["how deep7.0"]
    );
    assert_eq!(texts(&path, "SELECT CAST(value AS TEXT) FROM metric_history WHERE name = 'depth'"), ["7.0"]);
    let url = texts(&path, "SELECT tags FROM metrics WHERE name = 'url'");
    assert!(!url[0].contains("hunter2"), "{url:?}");
}
