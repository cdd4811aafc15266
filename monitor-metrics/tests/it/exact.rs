//! Sums are exact: over windows, over processes, and up to the window in which a process is killed.

use std::sync::Barrier;

use metrics::counter;

use crate::child::{await_some, command, flush, integer, open, own_store, play, start};

const THREADS: usize = 64;
const HALF: u64 = 500_000;

pub(crate) fn play_threads() {
    monitored_metrics::install().unwrap();
    let orders = counter!("orders", "shop" => "berlin");
    let meeting = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                (0..HALF).for_each(|_| orders.increment(1));
                meeting.wait();
                meeting.wait();
                (0..HALF).for_each(|_| orders.increment(1));
            });
        }
        meeting.wait();
        // The second halves begin when a window that has a row is over, so they belong to later ones.
        let over = "SELECT count(*) FROM metric_history WHERE start_s + 10 <= unixepoch()";
        await_some(&own_store(), over);
        meeting.wait();
    });
    flush();
}

#[test]
fn increments_of_many_threads_are_exact_across_windows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play("threads", &path);
    let expected = i64::try_from(2 * HALF * THREADS as u64).unwrap();
    assert_eq!(integer(&path, "SELECT sum(count) FROM metric_history"), expected);
    assert_eq!(integer(&path, "SELECT CAST(sum(value) AS INTEGER) FROM metric_history"), expected);
    assert_eq!(integer(&path, "SELECT count FROM metrics"), expected);
    assert!(integer(&path, "SELECT count(*) FROM metric_history") >= 2);
}

pub(crate) fn play_killed() {
    monitored_metrics::install().unwrap();
    let orders = counter!("orders");
    for done in 1_u64.. {
        orders.increment(1);
        if done.is_multiple_of(100) {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            println!("done {done} {}", now.as_nanos());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

#[test]
fn a_process_that_is_killed_loses_the_window_under_way_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut playing = start("killed", &path);
    let mut progress: Vec<(i64, i64)> = Vec::new();
    let mut windows = 0;
    while windows < 2 {
        let line = playing.read_line("done ");
        let (done, at_ns) = line.split_once(' ').unwrap();
        progress.push((done.parse().unwrap(), at_ns.parse().unwrap()));
        if progress.len().is_multiple_of(500) && path.exists() {
            let found = open(&path).query_row("SELECT count(*) FROM metric_history", [], |row| row.get(0));
            windows = found.unwrap_or(0);
        }
    }
    playing.child.kill().unwrap();
    playing.child.wait().unwrap();
    let stored = integer(&path, "SELECT sum(count) FROM metric_history");
    let ended_ns = integer(&path, "SELECT last_ns FROM metrics");
    let before: i64 =
        progress.iter().filter(|(_, at_ns)| *at_ns < ended_ns).map(|(done, _)| *done).max().unwrap();
    let (all, killed_ns) = *progress.last().unwrap();
    assert!(stored >= before, "{stored} of {before} that were done before the last window ended");
    assert!(stored <= all + 100_000, "{stored} of {all}");
    assert!(killed_ns - ended_ns < 10_000_000_000, "one window and no more is missing");
    assert_eq!(integer(&path, "SELECT count FROM metrics"), stored);
}

pub(crate) fn play_one_of_two() {
    monitored_metrics::install().unwrap();
    let (orders, fill) = (counter!("orders", "shop" => "berlin"), metrics::histogram!("fill"));
    for _ in 0..100 {
        orders.increment(10);
        fill.record(0.5);
        flush();
    }
}

#[test]
fn two_processes_share_the_series_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut children = [(); 2].map(|()| command("two", &path).spawn().unwrap());
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(integer(&path, "SELECT count(*) FROM metrics"), 2);
    assert_eq!(integer(&path, "SELECT count FROM metrics WHERE name = 'orders'"), 2000);
    assert_eq!(integer(&path, "SELECT sum(count) FROM metric_history WHERE name = 'fill'"), 200);
    assert_eq!(integer(&path, "SELECT count(DISTINCT process_id) FROM metric_history"), 2);
}

pub(crate) fn play_totals() {
    // The driver's total goes on while the program does not run.
    let since_boot = u64::from(own_store().exists()) * 500;
    monitored_metrics::install().unwrap();
    let (fixed, grows, own, mixed) =
        (counter!("fixed"), counter!("grows"), counter!("own"), counter!("mixed"));
    own.absolute(0);
    mixed.increment(5);
    fixed.absolute(1000);
    grows.absolute(1000 + since_boot);
    flush();
    fixed.absolute(1000);
    grows.absolute(1010 + since_boot);
    own.absolute(40);
    mixed.absolute(9);
    flush();
}

#[test]
fn totals_that_outlive_the_program_are_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    for runs in 1..=3 {
        play("totals", &path);
        let count = |name: &str| integer(&path, &format!("SELECT count FROM metrics WHERE name = '{name}'"));
        let counts = ["fixed", "grows", "own", "mixed"].map(count);
        assert_eq!(counts, [0, 10 * runs, 40 * runs, 9 * runs], "after {runs} runs");
    }
}
