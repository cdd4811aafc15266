//! Asserts what the ladder promises: rows and costs stay within their bounds from the first call, counts stay exact,
//! and every failed or slow call has its row.

use std::time::{Duration, Instant};

use crate::patience::{PATIENCE, wait_for};
use crate::victim::{Stage, Store};

/// Reads what the scenario `hot` prints: for each of its two functions the number of calls, of failed ones and of slow
/// ones.
fn read_made(output: &str) -> [[i64; 3]; 2] {
    let mut lines = output.lines().map(|line| {
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        std::array::from_fn(|_| numbers.next().unwrap())
    });
    std::array::from_fn(|_| lines.next().unwrap())
}

/// Returns the number that a query gives about one function of `hot`.
fn count(store: &Store, function: &str, sql: &str) -> i64 {
    store.one(&format!(
        "{sql} {} function = 'victim::hot::{function}'",
        if sql.contains("WHERE") { "AND" } else { "WHERE" }
    ))
}

/// Asserts that counts are exact and that each call that failed or was slow has a row.
fn check_counts(store: &Store, function: &str, [calls, failed, slow]: [i64; 3]) {
    assert_eq!(count(store, function, "SELECT calls FROM functions"), calls, "{function}");
    assert_eq!(count(store, function, "SELECT errors FROM functions"), failed, "{function}");
    assert_eq!(count(store, function, "SELECT COUNT(*) FROM errors"), failed, "{function}");
    assert_eq!(count(store, function, "SELECT dropped FROM functions"), 0, "{function}");
    // A busy machine makes more calls slow than the program does. It may also keep the recorder's thread waiting, and
    // its clock with it, by which calls that are only counted are seen to be slow: an event says so then.
    let found = count(store, function, "SELECT COUNT(*) FROM slow_calls WHERE duration_ms >= 40");
    let held_up: i64 =
        store.one("SELECT COUNT(*) FROM events WHERE kind = 'slow' AND detail LIKE '%held up%'");
    assert!(found >= slow || found > 0 && held_up > 0, "{function}: {found} of {slow} slow calls");
    let rows = count(store, function, "SELECT COUNT(*) FROM calls");
    assert_eq!(count(store, function, "SELECT recorded FROM functions"), rows, "{function}");
}

#[test]
fn a_very_hot_function_is_only_counted_and_one_beside_it_recorded() {
    let stage = Stage::bounded();
    let began = Instant::now();
    let program = stage.start_until_stopped("hot-until-stopped");
    // Some calls are slow while the function is only counted, which is when they are hardest to notice.
    let slow = "SELECT 1 FROM (SELECT COUNT(*) AS slow FROM slow_calls WHERE function = 'victim::hot::hot'
        AND start_ns > (SELECT MIN(at_ns) FROM events WHERE detail LIKE 'victim::hot::hot: %-> counted%'))
        WHERE slow >= 4";
    wait_for("slow calls of a function that is only counted", || stage.has_row(slow));
    let counted = "SELECT 1 FROM rates WHERE function = 'victim::hot::hot' AND fidelity = 'counted'";
    wait_for("the row that says that it is only counted", || stage.has_row(counted));
    let [hot, rare] = read_made(&stage.finish(program));
    let store = stage.store();
    check_counts(&store, "hot", hot);
    check_counts(&store, "rare", rare);
    check_rows_by_chance(&store, began);
    assert_eq!(count(&store, "rare", "SELECT COUNT(*) FROM calls"), rare[0]);
    let estimated: Vec<i64> = store.all("SELECT estimated FROM functions ORDER BY function");
    assert_eq!(estimated, [1, 0]);
    let change: String =
        store.one("SELECT detail FROM events WHERE kind = 'rate' AND detail LIKE '%-> counted%' LIMIT 1");
    assert!(change.starts_with("victim::hot::hot: "), "{change}");
    let rates: Vec<String> = store.all(
        "SELECT function || ' ' || fidelity || ' ' || (rate < asked) || ' ' || (calls_per_s > 0)
         || ' ' || (ns_per_call > 0) FROM rates ORDER BY function",
    );
    assert_eq!(rates, ["victim::hot::hot counted 1 1 1", "victim::hot::rare recorded 0 1 1"]);
    let cost: f64 = store.one("SELECT cost_pct FROM health");
    assert!(cost > 0.0 && store.one::<f64>("SELECT budget_pct FROM health") > 0.99, "{cost}");
    check_sentences(&store);
    check_health(&stage);
}

#[test]
fn a_recorder_that_was_held_up_while_it_waited_says_for_how_long() {
    let stage = Stage::bounded();
    let program = stage.start_until_stopped("hot-until-stopped");
    let counted = "SELECT 1 FROM rates WHERE function = 'victim::hot::hot' AND fidelity = 'counted'";
    wait_for("a function that is only counted", || stage.has_row(counted));
    // A stop during a write does not count, because calls are timed meanwhile: half of the stops have to be told.
    let (stops, length) = (6, Duration::from_millis(200));
    for _ in 0..stops {
        send(&program, libc::SIGSTOP);
        std::thread::sleep(length);
        send(&program, libc::SIGCONT);
        std::thread::sleep(length);
    }
    wait_for("the time of the stops", || sum_times_held_up(&stage.store()) >= length * stops / 2);
    stage.finish(program);
}

fn send(program: &std::process::Child, signal: i32) {
    // SAFETY: the call sends a signal to a child that has not been waited for yet.
    assert_eq!(unsafe { libc::kill(program.id().cast_signed(), signal) }, 0);
}

/// Returns the time for which calls that are only counted could be slow without being noticed, by the events.
fn sum_times_held_up(store: &Store) -> Duration {
    let details: Vec<String> =
        store.all("SELECT detail FROM events WHERE kind = 'slow' AND detail LIKE '%was held up for %'");
    let times = details.iter().map(|detail| {
        let time = detail.split("held up for ").nth(1).unwrap().split(':').next().unwrap();
        let (number, unit) = time.split_once(' ').unwrap();
        let scale = match unit {
            "ms" => 1e-3,
            "s" => 1.0,
            _ => panic!("{detail}"),
        };
        Duration::from_secs_f64(number.parse::<f64>().unwrap() * scale)
    });
    times.sum()
}

/// Returns the numbers before `%` in a text.
fn percentages(text: &str) -> Vec<f64> {
    let before = text.split('%').filter_map(|part| part.trim_end().rsplit(' ').next());
    before.filter_map(|number| number.parse().ok()).collect()
}

/// Asserts that a number in a sentence is this one, as far as its digits go.
#[track_caller]
fn check_number(found: f64, expected: f64, sentence: &str) {
    assert!((found - expected).abs() <= 0.006 + 0.06 * expected, "{found} for {expected}: {sentence}");
}

/// Asserts that what the sentences of `why` say follows from the figures beside them: all in percent of one core.
fn check_sentences(store: &Store) {
    let figures = "SELECT fidelity, cpu_pct, saved_pct, budget_pct, calls_per_s, why FROM rates";
    let mut select = store.0.prepare(figures).unwrap();
    let rows = select.query_map([], |row| row.try_into()).unwrap().map(Result::unwrap);
    let rows: Vec<(String, f64, f64, f64, f64, String)> = rows.collect();
    assert!(rows.iter().any(|row| row.0 == "counted") && rows.iter().any(|row| row.0 == "recorded"));
    for (fidelity, cost, saved, budget, calls, why) in rows {
        let numbers = percentages(&why);
        match fidelity.as_str() {
            "counted" => {
                let is_alone = why.contains("nothing cheaper exists");
                let [first, allowed, ref counting @ .., saves] = numbers[..] else { panic!("{why}") };
                assert_eq!(counting.len(), usize::from(!is_alone), "{why}");
                for part in counting {
                    check_number(*part, cost, &why);
                }
                check_number(first, if is_alone { cost } else { cost + saved }, &why);
                assert_eq!(is_alone, cost > budget, "{why}: {cost} of {budget}");
                check_number(allowed, budget, &why);
                check_number(saves, saved, &why);
                let told = why.split(" calls/s").next().unwrap().rsplit("its ").next().unwrap();
                let (number, unit) = told.split_once(' ').unwrap_or((told, ""));
                let unit = if unit == "million" {
                    1e6
                } else if unit == "thousand" {
                    1e3
                } else {
                    1.0
                };
                check_number(number.parse::<f64>().unwrap() * unit, calls, &why);
            }
            _ if saved == 0.0 => {
                // `under 0.01 %` for a cost that is less.
                let expected = if why.contains("under 0.01 %") { cost.max(0.01) } else { cost };
                check_number(numbers[0], expected, &why);
            }
            _ => assert!(why.contains("saves "), "{why}"),
        }
    }
}

/// Asserts that the line `own cost` of `monitor health` shows the six figures of the view `health`: cost, budget, cost
/// without the fixed part, fixed part, saved cost, and the CPU time of the recorder's own thread.
fn check_health(stage: &Stage) {
    let shown = stage.monitor(&["health"]);
    let line = shown.lines().find(|line| line.trim_start().starts_with("own cost")).unwrap();
    let numbers = percentages(line);
    let store = stage.store();
    let [cost, budget, fixed, saved, own] = ["cost", "budget", "fixed", "saved", "own_cpu"]
        .map(|name| store.one::<f64>(&format!("SELECT {name}_pct FROM health")));
    for (found, expected) in numbers.iter().zip([cost, budget, (cost - fixed).max(0.0), fixed, saved, own]) {
        check_number(*found, expected, line);
    }
    assert_eq!(numbers.len(), 6, "{line}");
    let sum: f64 = store.one("SELECT SUM(saved_pct) FROM rates");
    assert!(saved > 0.0 && sum > 0.0 && line.contains("of a core"), "{line}");
}

#[test]
fn without_a_stated_limit_the_slowest_have_rows_and_a_bad_minute_does_not_flood_the_store() {
    let stage = Stage::bounded().with_variable("MONITOR_SAMPLE", "victim::hot::answer=0.001");
    let output = stage.run("bad-minute", 8000);
    let numbers: Vec<i64> = output.trim().split(' ').map(|number| number.parse().unwrap()).collect();
    let [calls, slow, bad_from_ns, bad_calls] = numbers[..] else { panic!("{output}") };
    let store = stage.store();
    assert_eq!(count(&store, "answer", "SELECT calls FROM functions"), calls);
    let slow_rows =
        |when: String| count(&store, "answer", &format!("SELECT COUNT(*) FROM slow_calls WHERE {when}"));
    // No limit is known in the first one or two seconds, and calls that were preempted may use up the allowance of
    // slow ones.
    let found = slow_rows(format!("start_ns < {bad_from_ns} AND duration_ms >= 5"));
    assert!(found >= slow / 4 && slow > 8, "{found} of {slow}");
    // Each of the bad calls, 800 of them on an idle machine, is slower than 99 in 100 of the calls before; ten a second
    // get rows for that.
    let bad = slow_rows(format!("start_ns >= {bad_from_ns}"));
    assert!((10.min(bad_calls / 8)..=60).contains(&bad) && bad_calls >= 8, "{bad} of {bad_calls}");
    let most: i64 = store.one(
        "SELECT MAX(rows) FROM (SELECT COUNT(*) AS rows FROM slow_calls GROUP BY start_ns / 1000000000)",
    );
    assert!(most <= 20, "two looks at most in a second: {most}");
    assert_eq!(store.all::<f64>("SELECT DISTINCT weight FROM slow_calls"), [1.0]);
}

#[test]
fn a_burst_from_the_first_moment_on_leaves_no_more_rows_than_a_second_may() {
    let stage = Stage::bounded()
        .with_variable("MONITOR_MAX_OVERHEAD", "100%")
        .with_variable("MONITOR_MAX_RATE", "1000");
    let began = Instant::now();
    stage.run("burst", 200_000);
    // A busy machine may stretch the burst over some seconds.
    let seconds = i64::try_from(began.elapsed().as_secs()).unwrap();
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT calls FROM functions"), 200_000);
    assert_eq!(store.one::<i64>("SELECT dropped FROM functions"), 0);
    let rows: i64 = store.one("SELECT COUNT(*) FROM calls");
    assert!((900..2_500 + 1000 * seconds).contains(&rows), "{rows} in {seconds} s");
    assert_eq!(store.one::<i64>("SELECT recorded FROM functions"), rows);
    // The first calls have weight 1, whether or not the rest of the first drain was sampled.
    let first: i64 = store.one(
        "SELECT COUNT(*) FROM calls WHERE weight = 1 AND kept IN ('first', 'sampled')
         AND span_id < (SELECT MIN(span_id) FROM calls) + 5",
    );
    assert_eq!(first, 5);
}

#[test]
fn as_many_calls_as_a_second_may_have_rows_have_theirs() {
    let stage = Stage::bounded().with_variable("MONITOR_MAX_RATE", "1000");
    stage.run("burst", 1000);
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE kept = 'sampled' AND weight = 1"), 1000);
}

/// Asserts that every callee's row has its caller's row, in the same trace. A slow call of a tree that is not kept names
/// a caller without a row.
fn check_trees(store: &Store) {
    let orphans: Vec<String> = store.all(
        "SELECT function || ' ' || kept || ' ' || span_id || ' below ' || parent_id FROM calls c
         WHERE parent_id IS NOT NULL AND kept <> 'slow'
         AND NOT EXISTS (SELECT 1 FROM calls p WHERE p.span_id = c.parent_id AND p.trace_id = c.trace_id)",
    );
    assert_eq!(orphans, Vec::<String>::new());
}

#[test]
fn trees_of_a_burst_are_thinned_whole() {
    let stage = Stage::bounded()
        .with_variable("MONITOR_MAX_OVERHEAD", "100%")
        .with_variable("MONITOR_MAX_RATE", "200");
    let began = Instant::now();
    stage.run("tree", 20_000);
    let seconds = i64::try_from(began.elapsed().as_secs()).unwrap();
    let store = stage.store();
    let rows = |function: &str| -> i64 {
        store.one(&format!("SELECT COUNT(*) FROM calls WHERE function = 'victim::{function}'"))
    };
    // A tree has one root and two leaves, and rows are left for some hundred trees.
    let (trees, leaves) = (rows("root"), rows("leaf"));
    let most = 1000 + 200 * seconds;
    assert!((60..most).contains(&trees) && leaves < 2 * most, "{trees} and {leaves} in {seconds} s");
    check_trees(&store);
    assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 80_000);
}

#[test]
fn a_row_that_calls_share_is_kept_where_its_tree_is_and_its_calls_are_counted_exactly() {
    let stage = Stage::bounded()
        .with_variable("MONITOR_MAX_OVERHEAD", "100%")
        .with_variable("MONITOR_MAX_RATE", "100");
    stage.run("crowds", 400);
    let store = stage.store();
    check_trees(&store);
    let removed: i64 = store.one("SELECT calls - recorded FROM functions WHERE function = 'victim::crowd'");
    assert!(removed > 200, "{removed} of 400 crowds have no row");
    let counts: Vec<i64> = store.all("SELECT calls FROM functions ORDER BY function");
    assert_eq!(counts, [400, 400 * 70]);
    let differences: Vec<String> = store.all(
        "SELECT function || ' ' || recorded || ' recorded, ' || in_rows || ' in rows'
         FROM functions JOIN (SELECT function, SUM(COALESCE(f.calls, 1)) AS in_rows
                              FROM calls LEFT JOIN folds f USING (call_id) GROUP BY function) USING (function)
         WHERE recorded <> in_rows OR dropped > 0",
    );
    assert_eq!(differences, Vec::<String>::new());
    let weights: Vec<String> = store.all(
        "SELECT f.calls || ' calls of the weight ' || c.weight || ' below a call of the weight ' || p.weight
         FROM folds f JOIN calls c USING (call_id) JOIN calls p ON p.span_id = c.parent_id
         WHERE p.kept = 'sampled' AND abs(c.weight / (f.calls * p.weight) - 1) > 1e-3",
    );
    assert_eq!(weights, Vec::<String>::new());
    let thinned = "SELECT COUNT(*) FROM folds JOIN calls USING (call_id) WHERE weight > 1.01 * calls";
    assert!(store.one::<i64>(thinned) > 0, "no shared row stands for more calls than its own");
}

/// Returns how many callers have a row without all of their callees having one, in the quarter of a second that has
/// the fewest.
fn partial_trees(store: &Store, root: &str, (number, below): (u32, &str)) -> rusqlite::Result<Option<i64>> {
    // The last seconds may not be complete yet.
    let sql = format!(
        "SELECT MIN(partial) FROM (SELECT SUM(n <> {number}) AS partial FROM (
         SELECT t.start_ns / 250000000 AS quarter, COUNT(b.span_id) AS n FROM
         (SELECT * FROM calls WHERE function = 'victim::forest::{root}' AND kept = 'sampled'
          AND start_ns < (SELECT MAX(start_ns) FROM calls) - 3000000000) t
         LEFT JOIN (SELECT * FROM calls WHERE function = 'victim::forest::{below}') b
         ON b.parent_id = t.span_id GROUP BY t.span_id) GROUP BY quarter HAVING COUNT(*) >= 20)"
    );
    store.0.query_row(&sql, [], |row| row.get(0))
}

#[test]
fn trees_are_whole_while_the_ladder_keeps_their_rows_within_bounds() {
    let stage = Stage::bounded()
        .with_variable("MONITOR_MAX_OVERHEAD", "100%")
        .with_variable("MONITOR_MAX_RATE", "1000");
    let began = Instant::now();
    let program = stage.start_until_stopped("forest-until-stopped");
    // The ladder knows how often each function is called as soon as one second is like the last. Then every trunk with
    // a row has its two branches, and every branch its three leaves. It does not know when a busy machine suddenly
    // gives the program far more processor time.
    for (caller, callees) in [("trunk", (2, "branch")), ("branch", (3, "leaf"))] {
        wait_for("a stretch of whole trees", || {
            stage.db().exists() && partial_trees(&stage.store(), caller, callees) == Ok(Some(0))
        });
    }
    let trees: i64 = stage.finish(program).trim().parse().unwrap();
    let seconds = i64::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT dropped FROM functions ORDER BY dropped DESC LIMIT 1"), 0);
    let calls: Vec<i64> =
        store.all("SELECT calls FROM functions WHERE function NOT LIKE '%twig' ORDER BY function");
    let twigs = trees / 16;
    assert_eq!(calls, [2 * trees, 6 * trees + 2 * twigs, trees]);
    check_trees(&store);
    let rows: i64 = store.one("SELECT MAX(rows) FROM (SELECT COUNT(*) AS rows FROM calls GROUP BY function)");
    assert!(rows <= (seconds + 2) * 1000, "{rows} in {seconds} s");
}

/// Returns how many seconds the store is locked in the test below; `MONITOR_TEST_OUTAGE_SECS=10` makes it longer.
fn outage_secs() -> u64 {
    std::env::var("MONITOR_TEST_OUTAGE_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Waits for the row of a call that began after this moment and was kept by chance.
fn wait_for_rows_since(stage: &Stage, since_ns: i64) {
    let sql =
        "SELECT 1 FROM calls WHERE kept = 'sampled' AND function = 'victim::hot::hot' AND start_ns > ?1";
    wait_for("rows at the new rate", || stage.store().0.query_row(sql, [since_ns], |_| Ok(())).is_ok());
}

/// Asserts that `hot` has no more rows by chance than the time since it was started allows.
fn check_rows_by_chance(store: &Store, began: Instant) {
    let sampled = count(store, "hot", "SELECT COUNT(*) FROM calls WHERE kept = 'sampled'");
    let seconds = i64::try_from(began.elapsed().as_secs()).unwrap() + 1;
    // One second more is allowed at once, and five calls are kept for being the first.
    let most = 10_000 * (seconds + 1) + 5;
    assert!(sampled <= most, "{sampled} of {most} rows");
}

/// Asserts that the store's files are not larger than its rows make them.
fn check_size(stage: &Stage) {
    let store = stage.store();
    let rows: u64 = store.one::<i64>("SELECT COUNT(*) FROM calls").cast_unsigned();
    let bytes: u64 = ["", "-wal"]
        .iter()
        .filter_map(|end| std::fs::metadata(format!("{}{end}", stage.db().display())).ok())
        .map(|file| file.len())
        .sum();
    // The schema, figures and events, and a log before its checkpoint.
    assert!(bytes < (6 << 20) + 300 * rows, "{bytes} bytes for {rows} rows");
}

#[test]
fn rates_are_turned_up_and_down_from_outside_while_the_store_is_locked_in_between() {
    let stage = Stage::bounded();
    let began = Instant::now();
    let program = stage.start_until_stopped("hot-until-stopped");
    wait_for("rows", || stage.has_row("SELECT 1 FROM calls"));
    let wait_for_rate = |rate: &str| {
        let sql = format!("SELECT 1 FROM rates WHERE function = 'victim::hot::hot' AND asked = {rate}");
        wait_for("the rate to hold", || stage.has_row(&sql));
    };
    stage.monitor(&["sample", "victim::hot::hot", "0"]);
    wait_for_rate("0");
    let other = rusqlite::Connection::open(stage.db()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(Duration::from_secs(outage_secs()));
    other.execute_batch("ROLLBACK").unwrap();
    stage.monitor(&["sample", "victim::hot::hot", "0.25"]);
    let up_ns: i64 = stage.store().one("SELECT set_ns FROM sampling");
    wait_for_rate("0.25");
    wait_for_rows_since(&stage, up_ns);
    let set =
        "INSERT OR REPLACE INTO sampling (pattern, rate, set_by) VALUES ('victim::hot::hot', 0.001, 'test')";
    other.execute(set, []).unwrap();
    wait_for_rate("0.001");
    let [hot, rare] = read_made(&stage.finish(program));
    let store = stage.store();
    check_rows_by_chance(&store, began);
    check_size(&stage);
    check_counts(&store, "hot", hot);
    check_counts(&store, "rare", rare);
    let events: Vec<String> =
        store.all("SELECT detail FROM events WHERE kind = 'rate' AND detail LIKE '%hot = %' ORDER BY at_ns");
    let set = ["0 by monitor:ada", "0.25 by monitor:ada", "0.001 by test"];
    assert_eq!(events, set.map(|set| format!("victim::hot::hot = {set}")));
    // No call got a row by chance while the rate was 0.
    let gap_ns: i64 = store.one(
        "SELECT MAX(gap) FROM (SELECT start_ns - LAG(start_ns) OVER (ORDER BY start_ns) AS gap FROM calls
         WHERE function = 'victim::hot::hot' AND kept = 'sampled')",
    );
    assert!(gap_ns >= outage_secs().cast_signed() * 1_000_000_000, "{gap_ns}");
}
