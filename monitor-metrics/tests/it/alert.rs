//! Rules on alerts that look at metrics.

use std::time::Duration;

use metrics::{counter, gauge};

use crate::child::{self, await_some, flush, own_store, texts};

const FIRING: &str = "SELECT count(*) FROM alerts WHERE rule = 'too many orders' AND state = 'firing'";

pub(crate) fn play() {
    monitored_metrics::install().unwrap();
    gauge!("queue.depth").set(7.0);
    flush();
    let rules = rusqlite::Connection::open(own_store()).unwrap();
    rules.busy_timeout(Duration::from_secs(60)).unwrap();
    for (name, pattern, measure, op, threshold) in [
        ("too many orders", "*", "metric:orders", ">", 5.0),
        ("deep queue", "queue.*", "metric", ">", 6.5),
        ("shallow queue", "queue.*", "metric", "<", 6.5),
    ] {
        let insert = "INSERT INTO alert_rule (name, level, pattern, measure, op, threshold, for_s) VALUES (?1, 'warning', ?2, ?3, ?4, ?5, 0)";
        rules.execute(insert, (name, pattern, measure, op, threshold)).unwrap();
    }
    // Orders come until a window is over in which more than five a second came.
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                counter!("orders", "shop" => "berlin").increment(10);
                counter!("orders", "shop" => "rome").increment(10);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        await_some(&own_store(), FIRING);
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_rule_on_a_metric_fires() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    child::play("alert", &path);
    let found = texts(&path, "SELECT rule || ': ' || sentence FROM alerts ORDER BY rule");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("deep queue: queue.*: metric is 7 (rule deep queue: metric > 6.5)"),
        "{found:?}"
    );
    assert!(found[1].starts_with("too many orders: orders: metric is "), "{found:?}");
}
