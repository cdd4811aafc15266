//! Asserts what the recorder writes about itself and its process: `health` while calls are made, `resources` while
//! anything about them changes.

use std::time::Instant;

use crate::patience::{PATIENCE, wait_for};
use crate::victim::{Stage, ended_in_time};

#[test]
fn health_follows_the_calls_while_the_program_runs() {
    let stage = Stage::new();
    let mut program = stage.start("pace", 60_000);
    // The program goes on only as long as somebody reads what it prints.
    let mut printed = program.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
    // Reports are counted by their timestamps, because one may be read several times.
    let mut moments = std::collections::BTreeSet::new();
    wait_for("reports", || {
        if stage.db().exists() {
            let at: Result<i64, _> =
                stage.store().0.query_row("SELECT at_ns FROM health", [], |row| row.get(0));
            moments.extend(at);
        }
        moments.len() == 4
    });
    program.kill().unwrap();
    program.wait().unwrap();
    reader.join().unwrap().unwrap();
}

#[test]
fn the_last_report_tells_of_the_last_call() {
    // The end of a program waits for its last report for a bounded time. A busy machine may not let the recorder run in
    // that time once, but not each time for a minute.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stage = Stage::new();
        let began = Instant::now();
        stage.run("return", 5000);
        let report = "SELECT recorded || ' ' || rows_written || ' ' || level || ' ' || breaker FROM health";
        let reports: Vec<String> = stage.store().all(report);
        if reports == ["5000 5000 full closed"] {
            break;
        }
        assert!(!ended_in_time(began) && Instant::now() < deadline, "{reports:?}");
    }
}

#[test]
fn a_program_that_works_writes_its_resources_and_one_that_rests_does_not_repeat_them() {
    let stage = Stage::new();
    let program = stage.start_until_stopped("idle");
    wait_for("a row of resources", || stage.has_row("SELECT 1 FROM resources"));
    stage.finish(program);
    let sensible = "SELECT COUNT(*) FROM resources WHERE rss_bytes > 0 AND threads >= 2 AND open_files > 2";
    assert!(stage.store().one::<i64>(sensible) >= 1);
    // The recorder commits one transaction for the call, one for the row and the report, and one each if the program's
    // memory or use of the processor was still changing.
    let transactions: i64 = stage.store().one("SELECT sequence FROM progress WHERE ring = 0");
    assert!(transactions <= 4, "{transactions}");
}
