//! Metrics that cost nothing: without recording, without changes, and after a source has failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::child::{command, flush, integer, play, texts};

pub(crate) fn play_off() {
    monitored_metrics::install().unwrap();
    crate::facade::play_all_kinds();
    let counter = counter!("orders");
    (0..1000).for_each(|_| counter.increment(1));
    assert_eq!(monitored_metrics::report(), monitored_metrics::Report::default());
    #[cfg(target_os = "linux")]
    {
        let names: Vec<String> = std::fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap())
            .collect();
        assert!(!names.iter().any(|name| name.trim() == "monitored"), "{names:?}");
    }
}

#[test]
fn switched_off_nothing_is_kept_and_no_thread_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let output = command("off", &path).env("MONITOR", "off").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!path.exists());
}

/// The questions that the recorder has asked, and the times that its thread has waited by the last two of them.
static ASKED: AtomicU64 = AtomicU64::new(0);
static WAITS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Returns how often the calling thread has waited.
fn count_waits() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

pub(crate) fn play_idle() {
    monitored_metrics::install().unwrap();
    let (orders, depth) = (counter!("orders"), gauge!("depth"));
    orders.increment(1);
    depth.set(3.0);
    let is_asked = monitor_runtime::bridge::source("probe", |_| {
        WAITS[0].store(WAITS[1].swap(count_waits(), Ordering::Relaxed), Ordering::Relaxed);
        ASKED.fetch_add(1, Ordering::Relaxed);
    });
    assert!(is_asked);
    flush();
    let begun = ASKED.load(Ordering::Relaxed);
    // Two whole windows pass after the one that is under way.
    while ASKED.load(Ordering::Relaxed) < begun + 3 {
        std::thread::sleep(Duration::from_millis(50));
        depth.set(3.0);
        orders.increment(0);
    }
    let waits = WAITS[1].load(Ordering::Relaxed) - WAITS[0].load(Ordering::Relaxed);
    assert!(waits <= 4, "the recorder woke up {waits} times in a window in which nothing happened");
    drop(histogram!("never recorded"));
}

#[test]
fn without_changes_nothing_is_written_and_the_recorder_sleeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("idle", &path);
    assert_eq!(
        texts(&path, "SELECT name || ' ' || count FROM metric_history ORDER BY name"),
        ["depth 1", "orders 1"]
    );
    assert_eq!(integer(&path, "SELECT count(*) FROM metrics"), 2);
}

pub(crate) fn play_panics() {
    let is_asked = monitor_runtime::bridge::source("fragile", |_| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        panic!("the source is broken");
    });
    assert!(is_asked);
    monitored_metrics::install().unwrap();
    for _ in 0..3 {
        counter!("orders").increment(1);
        flush();
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    assert_eq!(monitored::health().capture_panics, 1);
}

#[test]
fn a_source_that_panics_is_left_out_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("panics", &path);
    assert_eq!(integer(&path, "SELECT count FROM metrics WHERE name = 'orders'"), 3);
    let events = texts(&path, "SELECT detail FROM events WHERE kind = 'recorder'");
    assert_eq!(events, ["the source `fragile` panicked and is not asked any more: the source is broken"]);
}
