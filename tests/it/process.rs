//! Asserts what the start, end and death of a process do to recording, and that recording does nothing to the process.

use std::io::{BufRead, BufReader};

use crate::patience::wait_for;
use crate::victim::{Stage, ended_in_time};

#[test]
fn return_from_main_and_exit_write_what_was_recorded() {
    for (scenario, code) in [("return", 0), ("exit", 7)] {
        let stage = Stage::new();
        let began = std::time::Instant::now();
        let output = stage.output(scenario, 1234);
        let is_in_time = ended_in_time(began);
        stage.settle(began);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "761995\n");
        assert!(output.stderr.is_empty(), "{output:?}");
        let store = stage.store();
        assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 1234, "{scenario}");
        // On a busy machine the end may have had no time to write: the rows are recovered then, as after a crash.
        let ending: String = store.one("SELECT ending FROM processes");
        assert!(ending == "exit" || !is_in_time, "{ending}");
    }
}

#[test]
fn a_flush_brings_all_that_was_recorded_to_the_store() {
    let stage = Stage::new();
    assert_eq!(stage.run("flush", 5000), "12502500\nOk(())\n");
    assert_eq!(stage.store().one::<i64>("SELECT COUNT(*) FROM calls"), 5001);
}

#[test]
fn rows_come_while_a_program_runs_and_killed_it_leaves_a_clean_store() {
    // A batch of fifty rows is full, and is written, at every drain.
    let stage = Stage::new().with_variable("MONITOR_BATCH", "50");
    let mut program = stage.start("pace", 100_000);
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let made = lines.by_ref().take(500).map(|line| line.unwrap().parse::<i64>().unwrap()).last().unwrap() + 1;
    let all = format!("SELECT 1 FROM (SELECT COUNT(*) AS rows FROM calls) WHERE rows >= {made}");
    wait_for("the rows of all calls so far", || stage.has_row(&all));
    program.kill().unwrap();
    program.wait().unwrap();
    let store = stage.store();
    assert_eq!(store.one::<String>("PRAGMA quick_check"), "ok");
    let rows: i64 = store.one("SELECT COUNT(*) FROM calls");
    assert_eq!(store.one::<i64>("SELECT COUNT(DISTINCT span_id) FROM calls"), rows);
    drop(store);
    // The next process that opens the store records that this one died.
    stage.run("return", 1);
    let endings: Vec<String> = stage.store().all("SELECT ending FROM processes ORDER BY process_id");
    assert_eq!(endings, ["crash", "exit"]);
}

#[test]
fn recording_can_be_switched_off() {
    let stage = Stage::new().with_variable("MONITOR", "off");
    assert_eq!(stage.run("return", 10), "55\n");
    assert_eq!(std::fs::read_dir(stage.folder()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn switched_off_the_recorder_has_no_thread() {
    for (switch, threads) in [("off", 1), ("on", 2)] {
        let stage = Stage::new().with_variable("MONITOR", switch);
        let mut program = stage.start_until_stopped("called");
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "called");
        // The thread that reads the settings ends once it has read them.
        wait_for("the threads of a program at rest", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
            let found = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
            found.trim() == threads.to_string()
        });
        stage.finish(program);
    }
}

#[test]
fn after_a_shutdown_calls_go_on_unrecorded_and_nothing_waits() {
    let stage = Stage::new();
    assert_eq!(stage.run("after-shutdown", 0), "3 Ok(()) off\nOk(()) Ok(())\n");
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 1);
    let levels: Vec<String> = store.all("SELECT detail FROM events WHERE kind = 'level'");
    assert_eq!(levels, ["full -> off: shut down"]);
}

#[test]
fn calls_in_destructors_of_thread_locals_are_recorded() {
    let stage = Stage::new();
    assert_eq!(stage.run("destructor", 0), "2\n");
    assert_eq!(stage.store().one::<i64>("SELECT COUNT(*) FROM calls"), 5);
}

#[test]
fn parent_and_child_of_a_fork_record_each_for_itself() {
    let stage = Stage::new();
    assert_eq!(stage.run("fork", 0), "0\n");
    let store = stage.store();
    let rows: Vec<i64> = store.all("SELECT COUNT(*) FROM calls GROUP BY process_id ORDER BY 1");
    assert_eq!(rows, [31, 150]);
    assert_eq!(store.one::<i64>("SELECT COUNT(DISTINCT pid) FROM processes"), 2);
}

#[test]
fn a_recursion_of_ten_thousand_fits_the_stack() {
    let stage = Stage::new();
    assert_eq!(stage.run("recursion", 10_000), "10000\n");
    assert_eq!(stage.store().one::<i64>("SELECT calls FROM functions"), 10_001);
}

#[test]
fn a_call_at_each_allocation_neither_hangs_nor_changes_the_program() {
    let stage =
        Stage::new().with_variable("MONITOR_MAX_RATE", "0").with_variable("MONITOR_MAX_OVERHEAD", "100%");
    let said = stage.run("allocator", 3000);
    let sum: usize =
        (0..3000).map(|at| (0..at % 7).map(|word| format!("word {word} of {at}").len()).sum::<usize>()).sum();
    assert_eq!(said, format!("{} true\n", 2 * sum));
    let counted: i64 = stage.store().one("SELECT calls FROM functions WHERE function LIKE '%::words'");
    assert_eq!(counted, 6000);
    let own: i64 = stage.store().one("SELECT count(*) FROM calls WHERE thread = 'monitored'");
    // A few calls are recorded while the recorder measures what a call costs. Without the mark on its thread there are
    // thousands.
    assert!(own < 600, "{own} calls on the recorder's own thread");
}

#[test]
fn a_subscriber_that_makes_monitored_calls_is_not_handed_its_own() {
    assert_eq!(Stage::new().run("calling-subscriber", 100), "100\n");
}

#[test]
#[cfg(target_os = "linux")]
fn the_recorders_thread_has_the_processors_and_the_priority_of_the_process() {
    assert_eq!(Stage::new().run("pinned", 0), "2\ntrue true\n");
}

#[test]
fn sixteen_kibibytes_of_stack_suffice_for_the_first_call_of_a_program_and_of_a_thread() {
    assert_eq!(Stage::new().run("small-stacks", 16), "120\n");
}
