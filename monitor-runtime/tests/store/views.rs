//! The values that the views show.

use crate::rows::*;
use monitor_runtime::batch::{Batch, CallRow};
use monitor_runtime::record::{Kept, Outcome};
use monitor_runtime::store::Store as _;

#[test]
fn readable_times_are_rfc_3339_to_the_nanosecond() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let at = |start_ns| CallRow { start_ns, ..call(1) };
    let midnight = 1_709_251_199_999_999_999;
    open(&path, 1).write(&batch(1, vec![at(T0), at(midnight), at(midnight + 1), at(0)])).unwrap();
    assert_eq!(
        query_column::<String>(&tool(&path), "SELECT started_at FROM calls_readable ORDER BY call_id"),
        [
            "2024-02-29T12:34:56.000000789Z",
            "2024-02-29T23:59:59.999999999Z",
            "2024-03-01T00:00:00.000000000Z",
            "1970-01-01T00:00:00.000000000Z",
        ]
    );
}

#[test]
fn errors_and_slow_calls_are_just_those() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let ending = |n, outcome, kept| CallRow { outcome, kept, ..call(n) };
    let calls = vec![
        ending(1, Outcome::Ok, Kept::Sampled),
        ending(2, Outcome::Ok, Kept::Slow),
        ending(3, Outcome::Error, Kept::Failed),
        ending(4, Outcome::Panic, Kept::Failed),
        ending(5, Outcome::Cancelled, Kept::Failed),
        // A sampled call that failed.
        ending(6, Outcome::Error, Kept::Sampled),
    ];
    open(&path, 1).write(&batch(1, calls)).unwrap();
    let tool = tool(&path);
    assert_eq!(query_column::<i64>(&tool, "SELECT call_id FROM errors"), [3, 4, 5, 6]);
    assert_eq!(query_column::<i64>(&tool, "SELECT call_id FROM slow_calls"), [2]);
    assert_eq!(query_column::<i64>(&tool, "SELECT failed FROM calls"), [0, 0, 1, 1, 1, 1]);
    assert_eq!(
        query_column::<String>(&tool, "SELECT DISTINCT message FROM error_groups ORDER BY 1"),
        ["cancelled", "error", "panic"]
    );
}

#[test]
fn percentiles_are_within_five_percent_of_the_true_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    // Durations 1 µs to 1 ms, evenly: the median is 500 µs.
    let mut buckets = std::collections::BTreeMap::new();
    for duration in 1000..1_000_000_u32 {
        let above = |bucket: &i32| (f64::from(*bucket + 1) / 8.0).exp2() >= f64::from(duration);
        let bucket = (79..160).find(above).unwrap();
        *buckets.entry(bucket).or_insert(0_u64) += 1;
    }
    let mut row = slice(1, 999_000, buckets.into_iter().collect());
    row.stats.max_ns = 999_999;
    open(&path, 1).write(&Batch { slices: vec![row], ..batch(1, vec![]) }).unwrap();
    let tool = tool(&path);
    for (column, true_ms) in [("p50_ms", 0.5005), ("p95_ms", 0.950_05), ("p99_ms", 0.990_01)] {
        let shown: f64 = query_value(&tool, &format!("SELECT {column} FROM functions"));
        assert!((shown / true_ms - 1.0).abs() < 0.05, "{column}: {shown}");
    }
}
