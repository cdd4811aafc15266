//! Kills programs and asserts that what they recorded survives: the next program, or a tool, recovers each record
//! once.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::patience::{now_ns, wait_for};
use crate::victim::{Stage, Store};

/// A folder for the ring files of one test, on the file system that all ring files use.
struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    fn stage(&self) -> Stage {
        Stage::new()
            .with_variable("MONITOR_RINGS", self.0.path().to_str().unwrap())
            // Every call gets a row, however fast calls come.
            .with_variable("MONITOR_MAX_RATE", "0")
            .with_variable("MONITOR_MAX_OVERHEAD", "100%")
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn recover(&self, stage: &Stage) -> monitor_runtime::recover::Recovered {
        monitor_runtime::recover::recover(&stage.db(), &[self.0.path().to_owned()], now_ns()).unwrap()
    }
}

/// Returns how many programs the tests below kill. For a thousand: `MONITOR_TEST_KILLS=1000 cargo test -p
/// monitor-tests --test it killed_program_is_found`.
fn kills() -> u64 {
    std::env::var("MONITOR_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// A victim that writes its progress to a file, so that the test knows how many calls it has made.
struct Numbered {
    program: Child,
    progress: PathBuf,
}

impl Numbered {
    fn start(stage: &Stage, round: u64) -> Self {
        Self::start_scenario(stage, "numbered", round)
    }

    fn start_scenario(stage: &Stage, scenario: &str, round: u64) -> Self {
        let progress = stage.folder().join(format!("progress-{scenario}-{round}"));
        std::fs::write(&progress, [0; 16]).unwrap();
        let mut command = stage.command(scenario, 20 + round % 80);
        let program = command.env("VICTIM_PROGRESS", &progress).stdout(Stdio::null()).spawn().unwrap();
        Self { program, progress }
    }

    /// Returns how many calls each of its threads has made.
    fn calls_made(&self) -> [u64; 2] {
        let bytes = std::fs::read(&self.progress).unwrap();
        [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()))
    }

    /// Waits for its first call and then this long, and kills it. Returns its process id and the calls of each thread.
    fn kill(mut self, after: Duration) -> (i64, [u64; 2]) {
        wait_for("its first call", || self.calls_made() != [0, 0]);
        std::thread::sleep(after);
        self.program.kill().unwrap();
        self.program.wait().unwrap();
        (i64::from(self.program.id()), self.calls_made())
    }
}

/// Asserts that every call that is known to have ended is counted once, and has one row unless it is counted as dropped: a
/// busy machine may not let the recorder drain a ring before it is full.
fn verify(store: &Store, (pid, made): (i64, [u64; 2])) {
    let process: i64 = store.one(&format!("SELECT max(process_id) FROM processes WHERE pid = {pid}"));
    let (mut all, mut missing) = (0, 0);
    for (thread, made) in made.into_iter().enumerate() {
        let thread_calls = format!(
            "FROM calls WHERE process_id = {process} AND function LIKE '%step'
             AND json_extract(args, '$.thread') = {thread}"
        );
        let number = "json_extract(args, '$.number')";
        let rows: i64 = store.one(&format!("SELECT count(*) {thread_calls}"));
        let distinct: i64 = store.one(&format!("SELECT count(DISTINCT {number}) {thread_calls}"));
        let last: i64 = store.one(&format!("SELECT coalesce(max({number}), -1) + 1 {thread_calls}"));
        assert_eq!(rows, distinct, "process {process}, thread {thread}, {made} made");
        let made = i64::try_from(made).unwrap();
        // The program may have died after a call ended and before it noted that.
        assert!(last <= made + 1, "process {process}: {last} rows of {made} calls");
        (all, missing) = (all + made, missing + made - rows);
    }
    let sum = |column: &str| -> i64 {
        store.one(&format!(
            "SELECT sum({column}) FROM slice JOIN function f ON f.id = function_id
             WHERE process_id = {process} AND f.name LIKE '%step'"
        ))
    };
    let (counted, dropped) = (sum("calls"), sum("dropped"));
    assert!((all..=all + 2).contains(&counted), "process {process}: {counted} of {all} calls counted");
    assert!(
        (missing..=missing + 2).contains(&dropped),
        "process {process}: {dropped} of {missing} calls dropped"
    );
    let ending: String = store.one(&format!("SELECT ending FROM processes WHERE process_id = {process}"));
    assert_eq!(ending, "crash");
}

#[test]
fn every_record_of_a_killed_program_is_found_once_however_often_programs_are_killed() {
    // Each program recovers those killed before it, and may be killed while it does.
    for first in (0..kills()).step_by(KILLS_PER_STORE) {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        let rounds = first..kills().min(first + KILLS_PER_STORE as u64);
        let killed: Vec<_> = rounds
            .map(|round| Numbered::start(&stage, round).kill(Duration::from_millis(round * 37 % 230)))
            .collect();
        shelf.recover(&stage);
        let store = stage.store();
        for death in killed {
            verify(&store, death);
        }
        assert!(shelf.files().is_empty(), "{:?}", shelf.files());
        assert_eq!(store.one::<String>("PRAGMA quick_check"), "ok");
        let twice = "SELECT count(*) - count(DISTINCT span_id || ' ' || process_id) FROM calls";
        assert_eq!(store.one::<i64>(twice), 0);
        // A failure without a row is in a kind all the same.
        let in_kinds: i64 = store.one("SELECT coalesce(sum(count), 0) FROM error_groups");
        let rows: i64 = store.one("SELECT count(*) FROM errors");
        let counted: i64 = store.one("SELECT sum(errors + panics + cancelled) FROM slice");
        let dropped: i64 = store.one("SELECT sum(dropped) FROM slice");
        assert_eq!(in_kinds, counted, "{rows} rows, {dropped} calls dropped");
        assert!(
            (rows..=rows + dropped).contains(&counted),
            "{rows} rows of {counted}, {dropped} calls dropped"
        );
    }
}

/// The number of programs that are killed one after the other on the same store.
const KILLS_PER_STORE: usize = 10;

#[test]
fn several_recoverers_at_once_recover_a_program_once() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    for round in 0..4 {
        let death = Numbered::start(&stage, round).kill(Duration::from_millis(150));
        let others: Vec<Child> = (0..3).map(|_| stage.start("return", 10)).collect();
        let recovered = shelf.recover(&stage);
        assert!(recovered.processes <= 1);
        for mut other in others {
            assert!(other.wait().unwrap().success());
        }
        shelf.recover(&stage);
        verify(&stage.store(), death);
    }
}

#[test]
fn a_recovery_waits_for_the_process_that_is_making_the_store() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    Numbered::start(&stage, 0).kill(Duration::from_millis(150));
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", stage.db().display()));
    }
    let maker = rusqlite::Connection::open(stage.db()).unwrap();
    maker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    std::thread::scope(|scope| {
        let recovery = scope.spawn(|| shelf.recover(&stage));
        // Many times the time for which one attempt to open the store waits.
        std::thread::sleep(Duration::from_millis(300));
        maker.execute_batch("ROLLBACK").unwrap();
        assert_eq!(recovery.join().unwrap().processes, 1);
    });
}

#[test]
fn the_next_start_of_a_program_recovers_those_that_ended_without_their_handlers() {
    for scenario in ["abort", "_exit"] {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        let output = stage.output(scenario, 700);
        assert!(!output.status.success());
        assert_eq!(shelf.files().len(), 1, "{scenario}");
        stage.run("return", 5);
        let store = stage.store();
        let rows: i64 = store.one("SELECT count(*) FROM calls WHERE function LIKE '%step'");
        assert_eq!(rows, 700, "{scenario}");
        assert_eq!(store.one::<i64>("SELECT sum(calls) FROM functions WHERE function LIKE '%step'"), 700);
        assert_eq!(store.one::<i64>("SELECT sum(calls) FROM totals WHERE function LIKE '%step'"), 700);
        assert_eq!(store.one::<i64>("SELECT count(*) FROM processes WHERE ending = 'crash'"), 1);
        assert!(shelf.files().is_empty(), "{scenario}: {:?}", shelf.files());
    }
}

/// Returns the calls that are counted of functions whose names end so.
fn counted(store: &Store, name: &str) -> i64 {
    let counted = |view: &str| {
        let sql = format!("SELECT coalesce(sum(calls), 0) FROM {view} WHERE function LIKE '%{name}'");
        store.one::<i64>(&sql)
    };
    assert_eq!(counted("totals"), counted("functions"), "{name}");
    counted("functions")
}

#[test]
fn every_call_of_a_program_that_ends_without_its_handlers_is_counted_though_no_ring_has_room_for_it() {
    for (scenario, calls) in [("abort", 3_000), ("abort", 10_000), ("_exit", 10_000), ("abort", 300_000)] {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        stage.output(scenario, calls);
        shelf.recover(&stage);
        let store = stage.store();
        let calls = i64::try_from(calls).unwrap();
        assert_eq!(counted(&store, "step"), calls, "{scenario}");
        let rows: i64 = store.one("SELECT count(*) FROM calls WHERE function LIKE '%step'");
        let dropped: i64 = store.one("SELECT sum(dropped) FROM functions WHERE function LIKE '%step'");
        assert_eq!(rows + dropped, calls, "{scenario}: {rows} rows, {dropped} dropped");
        assert!(shelf.files().is_empty(), "{:?}", shelf.files());
    }
}

#[test]
fn every_call_of_a_function_that_is_only_counted_survives_an_abort() {
    for (max_rate, max_overhead) in [("10000", "1%"), ("0", "100%"), ("100", "100%")] {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        let stage = stage.with_variable("MONITOR_MAX_RATE", max_rate);
        let stage = stage.with_variable("MONITOR_MAX_OVERHEAD", max_overhead);
        let output = stage.output("abort-hot", 3_000);
        let calls: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        shelf.recover(&stage);
        let store = stage.store();
        assert_eq!(counted(&store, "hot"), calls, "{max_rate} {max_overhead}");
        let failures: i64 = store.one("SELECT sum(errors) FROM functions WHERE function LIKE '%hot'");
        assert_eq!(store.one::<i64>("SELECT sum(errors) FROM totals WHERE function LIKE '%hot'"), failures);
        assert_eq!(failures, calls / 100_000, "{max_rate} {max_overhead}");
    }
}

#[test]
fn every_failure_of_a_program_that_is_killed_while_its_breaker_is_held_is_counted() {
    for (round, memory) in [(0, "64MiB"), (1, "4MiB"), (2, "2MiB")] {
        let shelf = Shelf::new();
        let stage = shelf.stage().with_variable("MONITOR_MAX_MEMORY", memory);
        let program = Numbered::start_scenario(&stage, "fail-held", round);
        wait_for("failures", || program.calls_made()[0] > 200_000);
        let (_, [made, _]) = program.kill(Duration::ZERO);
        shelf.recover(&stage);
        let store = stage.store();
        let failures: i64 = store.one("SELECT sum(errors) FROM functions WHERE function LIKE '%fails'");
        let made = i64::try_from(made).unwrap();
        // The journal of a small memory is full.
        let least = if memory == "64MiB" { made } else { made - LOST_MAX };
        assert!((least..=made + 1).contains(&failures), "{memory}: {failures} of {made} failures");
        assert_eq!(counted(&store, "fails"), failures, "{memory}");
    }
}

/// The failures that a kill loses at most if the journal has no room: those that were drained at the last moment, which
/// are the content of a thread's two rings and what is taken of the overflow at once.
const LOST_MAX: i64 = 5_000;

/// Asserts that the kinds of failure of each function together count as many failures as the function. Returns their sum.
fn failures_in_kinds(store: &Store, circumstances: &str) -> i64 {
    let of_functions: Vec<String> = store.all(
        "SELECT function || ' ' || (errors + panics + cancelled) FROM functions
         WHERE errors + panics + cancelled > 0 ORDER BY 1",
    );
    let in_kinds: Vec<String> = store
        .all("SELECT function || ' ' || sum(count) FROM error_groups GROUP BY function HAVING sum(count) > 0 ORDER BY 1");
    assert_eq!(in_kinds, of_functions, "{circumstances}");
    store.one("SELECT sum(count) FROM error_groups")
}

/// Runs a program that fails in this way beyond its memory, kills it, and returns how often it has failed.
fn kill_with_folded_failures(stage: &Stage, way: &str) -> i64 {
    let mut command = stage.command("fold-failures", 300);
    let mut program = command.arg(way).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let made = lines.next().unwrap().unwrap().parse().unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    made
}

#[test]
fn failures_that_were_folded_before_a_kill_are_in_a_kind_once() {
    for way in ["error", "panic", "cancel", "threads"] {
        let shelf = Shelf::new();
        let stage = shelf.stage().with_variable("MONITOR_MAX_MEMORY", "2MiB");
        let made = kill_with_folded_failures(&stage, way);
        shelf.recover(&stage);
        let failures = failures_in_kinds(&stage.store(), way);
        // The journal of a small memory is full.
        assert!((made - LOST_MAX..=made).contains(&failures), "{way}: {failures} of {made} failures");
        let other: i64 = stage.store().one("SELECT sum(count) FROM error_groups WHERE message = 'other'");
        assert!(other > 0, "{way}: every kind was known");
        assert!(shelf.files().is_empty(), "{:?}", shelf.files());
    }
}

#[test]
fn failures_that_were_folded_are_in_a_kind_once_however_many_recoveries_are_killed() {
    let shelf = Shelf::new();
    let stage = shelf.stage().with_variable("MONITOR_MAX_MEMORY", "4MiB");
    let made = kill_with_folded_failures(&stage, "error");
    // A recoverer with a small memory takes many transactions. Each is killed after its first.
    let transactions = "SELECT 1 FROM progress WHERE ring <> 0 AND at_ns > ";
    for _ in 0..3 {
        let began = now_ns();
        let mut recoverer = stage.start_until_stopped("idle");
        let first = format!("{transactions}{began}");
        wait_for("a transaction", || shelf.files().len() < 2 || stage.has_row(&first));
        recoverer.kill().unwrap();
        recoverer.wait().unwrap();
    }
    shelf.recover(&stage);
    let failures = failures_in_kinds(&stage.store(), "recovered in parts");
    assert!((made - LOST_MAX..=made).contains(&failures), "{failures} of {made} failures");
    assert!(shelf.files().is_empty(), "{:?}", shelf.files());
}

#[test]
fn an_orderly_end_that_could_write_nothing_loses_no_count_and_is_an_exit() {
    for calls in [200, 20_000, 200_000] {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        stage.run("return", 5);
        let mut other = rusqlite::Connection::open(stage.db()).unwrap();
        let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        assert!(stage.output("return", calls).status.success());
        assert_eq!(shelf.files().len(), 1);
        lock.rollback().unwrap();
        shelf.recover(&stage);
        let store = stage.store();
        assert_eq!(store.one::<i64>("SELECT sum(calls) FROM functions"), 5 + i64::try_from(calls).unwrap());
        assert_eq!(store.one::<i64>("SELECT count(*) FROM processes WHERE ending = 'exit'"), 2, "{calls}");
        assert!(shelf.files().is_empty(), "{:?}", shelf.files());
    }
}

#[test]
fn what_an_orderly_end_had_no_time_to_write_is_recovered() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    stage.run("return", 5);
    let mut other = rusqlite::Connection::open(stage.db()).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    assert!(stage.output("late-shutdown", 500).stdout.ends_with(b"false\n"));
    assert_eq!(shelf.files().len(), 1);
    lock.rollback().unwrap();
    stage.run("return", 7);
    assert_eq!(stage.store().one::<i64>("SELECT count(*) FROM calls"), 5 + 500 + 7);
    assert_eq!(stage.store().one::<i64>("SELECT sum(calls) FROM functions"), 5 + 500 + 7);
    assert!(shelf.files().is_empty(), "{:?}", shelf.files());
}

#[test]
fn a_program_that_became_another_is_recovered_while_the_other_runs() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    let mut program = stage.command("exec", 300).spawn().unwrap();
    let name = PathBuf::from(format!("/proc/{}/comm", program.id()));
    wait_for("the other program", || std::fs::read_to_string(&name).unwrap() == "sleep\n");
    assert_eq!(shelf.recover(&stage).processes, 1);
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(stage.store().one::<i64>("SELECT count(*) FROM calls WHERE function LIKE '%step'"), 300);
}

#[test]
fn the_ring_file_is_private_and_goes_with_an_orderly_end() {
    use std::os::unix::fs::PermissionsExt as _;
    let shelf = Shelf::new();
    let stage = shelf.stage();
    let mut program = stage.start("pace", 100_000);
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let files = shelf.files();
    assert_eq!(files.len(), 1);
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    // A running program is not recovered.
    assert_eq!(shelf.recover(&stage).processes, 0);
    program.kill().unwrap();
    program.wait().unwrap();
    stage.run("return", 10);
    stage.run("fork", 0);
    assert!(shelf.files().is_empty(), "{:?}", shelf.files());
}

#[test]
fn a_ring_file_whose_store_is_gone_does_not_stay_in_memory_for_ever() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    Numbered::start(&stage, 1).kill(Duration::from_millis(5));
    drop(stage);
    assert_eq!(shelf.files().len(), 1);
    shelf.stage().run("return", 1);
    assert!(shelf.files().is_empty(), "{:?}", shelf.files());
}

#[test]
fn calls_under_way_are_seen_while_it_runs_and_after_it_was_killed() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    let mut program = stage.start("stuck", 0);
    BufReader::new(program.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let slow = "SELECT 1 FROM events WHERE kind = 'slow' AND detail LIKE '%handles%'";
    wait_for("the report of a call that goes on", || stage.has_row(slow));
    let living = || monitor_runtime::recover::find_live(&stage.db(), &[shelf.0.path().to_owned()], now_ns());
    wait_for("all calls to be in flight", || living().iter().any(|process| process.calls.len() == 7));
    let seen = living().remove(0);
    assert_eq!(seen.process.pid, program.id());
    let worker: Vec<_> = seen.calls.iter().filter(|call| call.thread.as_deref() == Some("worker")).collect();
    let names: Vec<_> = worker.iter().map(|call| call.function.rsplit("::").next().unwrap()).collect();
    assert_eq!(names, ["handles", "waits", "waits", "waits"]);
    assert!(worker.iter().zip(0..).all(|(call, depth)| call.depth == depth));
    assert_eq!(worker[0].slow_ns, Some(50_000_000));
    assert_eq!(seen.calls.iter().filter(|call| call.waiting_since_ns.is_some()).count(), 3);
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(living().is_empty());
    shelf.recover(&stage);
    let store = stage.store();
    let functions: Vec<String> =
        store.all("SELECT function FROM in_flight WHERE thread = 'worker' ORDER BY depth");
    assert_eq!(functions.len(), 4);
    assert!(functions[0].ends_with("handles") && functions[3].ends_with("waits"), "{functions:?}");
    assert_eq!(store.one::<i64>("SELECT count(*) FROM in_flight WHERE thread IS NULL"), 3);
    assert_eq!(
        store.one::<i64>("SELECT count(*) FROM in_flight WHERE elapsed_ms < 0 OR elapsed_ms > 600000"),
        0
    );
    assert_eq!(store.one::<i64>("SELECT count(*) FROM events WHERE kind = 'crash'"), 1);
}

#[test]
fn nothing_is_under_way_on_a_thread_whose_calls_have_all_ended() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    let mut program = stage.start("service", 600_000);
    // The program prints a line once its first rounds are in the store.
    BufReader::new(program.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    // Looks again and again, since each look sees one moment. Every call removes its frame when it ends, also by
    // an error, a panic or a cancellation: frames that stayed would add up from round to round.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(20));
        let living = monitor_runtime::recover::find_live(&stage.db(), &[shelf.0.path().to_owned()], now_ns());
        assert_eq!(living.len(), 1);
        let calls = &living[0].calls;
        assert!(calls.len() <= 4 && calls.iter().all(|call| call.depth < 4), "{calls:?}");
    }
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn the_panic_that_ended_a_program_is_told() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    assert!(!stage.output("panic", 5).status.success());
    shelf.recover(&stage);
    let store = stage.store();
    let how: String = store.one("SELECT detail FROM events WHERE kind = 'crash'");
    let told = "ended by its own panic (before its panic hook returned): the reactor is at 5 degrees, ";
    assert!(how.starts_with(told), "{how}");
    let dying: Vec<String> = store.all("SELECT function || ' ' || args FROM in_flight");
    assert!(dying.len() == 1 && dying[0].ends_with("dies {\"number\":5}"), "{dying:?}");
}

/// Returns the causes of death, and the panics that were told beside them.
fn told(stage: &Stage) -> (Vec<String>, Vec<String>) {
    let store = stage.store();
    let details =
        |kind| store.all(&format!("SELECT detail FROM events WHERE kind = '{kind}' ORDER BY at_ns"));
    (details("crash"), details("panic"))
}

/// Starts a scenario, waits for its line, goes on for a while and kills it. Returns it, a zombie still.
fn kill_when_ready(stage: &Stage, scenario: &str, after: Duration) -> Child {
    let mut program = stage.start(scenario, 5);
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    std::thread::sleep(after);
    program.kill().unwrap();
    program
}

#[test]
fn a_caught_panic_is_told_and_is_not_the_cause_of_a_kill_soon_after() {
    for (wait_first, how) in
        [(false, "died by signal 9 (SIGKILL)"), (true, "was killed or ended without its handlers")]
    {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        let mut program = kill_when_ready(&stage, "caught", Duration::from_millis(700));
        let pid = program.id();
        if wait_first {
            program.wait().unwrap();
        } else {
            wait_for("the end of the program", || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
                stat.contains(") Z ") && threads == 1
            });
        }
        shelf.recover(&stage);
        program.wait().unwrap();
        let (causes, panics) = told(&stage);
        assert_eq!(causes, [how]);
        let caught = "a caught panic on thread main: the reactor is at 5 degrees, ";
        assert!(panics.len() == 1 && panics[0].starts_with(caught), "{panics:?}");
        let flying: Vec<String> = stage.store().all("SELECT function || ' ' || args FROM in_flight");
        assert!(flying.len() == 1 && flying[0].ends_with("survives {\"number\":5}"), "{flying:?}");
    }
}

#[test]
fn a_panic_that_reaches_the_end_of_the_main_thread_is_the_cause() {
    for (scenario, text, others) in [
        ("uncaught", "the reactor is at 5 degrees, ", 0),
        ("uncaught-outside", "the pump is at 5 bar, ", 0),
        ("thread-panics-joined", "the pump works: Any { .. }, ", 1),
    ] {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        assert_eq!(stage.output(scenario, 5).status.code(), Some(101));
        shelf.recover(&stage);
        let (causes, panics) = told(&stage);
        let own = format!("ended by its own panic: {text}");
        assert!(causes.len() == 1 && causes[0].starts_with(&own), "{scenario}: {causes:?}");
        assert_eq!(panics.len(), others, "{panics:?}");
        let ended = "a panic after which thread pump ended: the reactor is at 5 degrees, ";
        assert!(panics.iter().all(|panic| panic.starts_with(ended)), "{panics:?}");
        let store = stage.store();
        assert_eq!(store.all::<String>("SELECT ending FROM processes"), ["crash"], "{scenario}");
        assert_eq!(store.one::<i64>("SELECT count(*) FROM in_flight"), 0);
        assert!(shelf.files().is_empty(), "{:?}", shelf.files());
    }
}

#[test]
fn a_panic_that_aborts_the_process_is_the_cause() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    assert!(stage.output("panics-twice", 5).status.code().is_none());
    shelf.recover(&stage);
    let (causes, panics) = told(&stage);
    assert!(causes.len() == 1 && panics.is_empty(), "{causes:?} {panics:?}");
    assert!(causes[0].starts_with("ended by its own panic: the valve is stuck as well, "), "{causes:?}");
}

#[test]
fn a_panic_that_ended_a_thread_is_told_and_is_not_the_cause() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    kill_when_ready(&stage, "thread-panics", Duration::from_millis(200)).wait().unwrap();
    shelf.recover(&stage);
    let (causes, panics) = told(&stage);
    assert_eq!(causes, ["was killed or ended without its handlers"]);
    let ended = "a panic after which thread pump ended: the reactor is at 5 degrees, ";
    assert!(panics.len() == 1 && panics[0].starts_with(ended), "{panics:?}");
}

#[test]
fn an_exit_in_a_call_is_an_orderly_end_whatever_its_status() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    assert_eq!(stage.output("exit-in-call", 5).status.code(), Some(101));
    shelf.recover(&stage);
    assert_eq!(told(&stage), (Vec::new(), Vec::new()));
    assert_eq!(stage.store().all::<String>("SELECT ending FROM processes"), ["exit"]);
}

#[test]
fn an_abort_and_an_exit_without_handlers_are_told_as_far_as_is_known() {
    for (scenario, how) in
        [("abort", "died by signal 6 (SIGABRT)"), ("_exit", "ended with status 3 without its exit handlers")]
    {
        let shelf = Shelf::new();
        let stage = shelf.stage();
        let mut program = stage.start(scenario, 5);
        let path = format!("/proc/{}/stat", program.id());
        wait_for("its end", || std::fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") Z ")));
        wait_for("its recovery", || shelf.recover(&stage).processes == 1);
        program.wait().unwrap();
        assert_eq!(told(&stage), (vec![how.to_owned()], Vec::new()));
    }
    let shelf = Shelf::new();
    let stage = shelf.stage();
    assert!(!stage.output("abort", 5).status.success());
    shelf.recover(&stage);
    assert_eq!(told(&stage).0, ["was killed or ended without its handlers"]);
}

#[test]
fn stacks_of_threads_of_one_name_are_apart_and_show_the_arguments_of_their_calls() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    let mut program = stage.start("namesakes", 0);
    let living = || monitor_runtime::recover::find_live(&stage.db(), &[shelf.0.path().to_owned()], now_ns());
    wait_for("all calls to be in flight", || living().iter().any(|process| process.calls.len() == 8));
    let seen = living().remove(0);
    program.kill().unwrap();
    program.wait().unwrap();
    shelf.recover(&stage);
    let store = stage.store();
    let stacks: Vec<String> = store.all(
        "SELECT group_concat(replace(function, rtrim(function, replace(function, ':', '')), '')
           || coalesce(args, ''), ' ') FROM (SELECT * FROM in_flight ORDER BY depth)
         GROUP BY thread_id ORDER BY max(args)",
    );
    assert_eq!(
        stacks,
        [
            "without_arguments".to_owned(),
            r#"serves{"customer":"ada","number":1} waits{"level":1} waits{"level":0}"#.to_owned(),
            r#"serves{"customer":"grace","number":2} waits{"level":2} waits{"level":1} waits{"level":0}"#
                .to_owned(),
        ]
    );
    // The same is seen while the process runs.
    let mut alive: Vec<Option<String>> = seen.calls.iter().map(|call| call.args.clone()).collect();
    let mut dead: Vec<Option<String>> = store.all("SELECT args FROM in_flight");
    alive.sort();
    dead.sort();
    assert_eq!(alive, dead);
    let parents: i64 = store.one(
        "SELECT count(*) FROM in_flight f JOIN in_flight p ON p.span_id = f.parent_id
         WHERE p.thread_id = f.thread_id AND p.depth = f.depth - 1",
    );
    assert_eq!(parents, 5);
}

#[test]
fn async_calls_show_their_arguments_and_who_awaits_them_whether_they_wait_or_are_polled() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    let mut program = stage.start("stuck-tasks", 0);
    let living = || monitor_runtime::recover::find_live(&stage.db(), &[shelf.0.path().to_owned()], now_ns());
    let is_there = |polled: usize| {
        move |process: &monitor_runtime::recover::LiveProcess| {
            let on_stack = process.calls.iter().filter(|call| call.waiting_since_ns.is_none());
            process.calls.len() == 7 && on_stack.count() == polled
        }
    };
    wait_for("all calls to be in flight", || living().iter().any(is_there(2)));
    program.kill().unwrap();
    program.wait().unwrap();
    shelf.recover(&stage);
    let store = stage.store();
    let shown = "replace(c.function, 'victim::waiting::', '') || c.args";
    let polled: Vec<String> =
        store.all(&format!("SELECT {shown} FROM in_flight c WHERE thread IS NOT NULL ORDER BY 1"));
    assert_eq!(polled, [r#"blocks_later{"shelf":"lower"}"#, r#"blocks{"shelf":"upper"}"#]);
    let suspended: Vec<String> = store.all(&format!(
        "SELECT c.depth || ' ' || coalesce(p.args, '') || {shown} FROM in_flight c
         LEFT JOIN in_flight p ON p.span_id = c.parent_id WHERE c.thread IS NULL AND c.function NOT LIKE '%weighs'
         ORDER BY 1"
    ));
    assert_eq!(
        suspended,
        [
            r#"0 ships{"order":7}"#,
            r#"0 ships{"order":8}"#,
            r#"1 {"order":7}asks{"whom":"the carrier","order":7}"#,
            r#"1 {"order":8}asks{"whom":"the carrier","order":8}"#,
        ]
    );
    // A slot keeps the first words of long arguments.
    let weighs: String = store.one("SELECT args FROM in_flight WHERE function LIKE '%weighs'");
    assert!(weighs.starts_with(r#"{"load":"#) && weighs.contains("truncated"), "{weighs}");
    let times: i64 = store.one(
        "SELECT count(*) FROM in_flight WHERE elapsed_ms >= 0 AND start_ns <= died_ns
         AND coalesce(waiting_since_ns BETWEEN start_ns AND died_ns, 1)",
    );
    assert_eq!(times, 7);
}

#[test]
fn without_a_folder_in_memory_rings_are_on_the_heap_and_all_else_is_as_usual() {
    for folder in [Path::new("off"), Path::new("/proc"), Path::new("/dev/shm/no/such/folder")] {
        let stage = Stage::new().with_variable("MONITOR_RINGS", folder.to_str().unwrap());
        assert_eq!(stage.run("return", 100), "5050\n");
        let store = stage.store();
        assert_eq!(store.one::<i64>("SELECT count(*) FROM calls"), 100);
        let told: i64 = store.one("SELECT count(*) FROM events WHERE kind = 'rings'");
        assert_eq!(told, i64::from(folder != Path::new("off")), "{}", folder.display());
        // The event may be gone one day; the report says it for as long as the process lives.
        let off: String = store.one("SELECT off FROM health");
        assert!(off.starts_with("survival of a crash: "), "{}: {off}", folder.display());
    }
}

#[test]
fn without_proc_calls_are_recorded_as_usual_and_health_says_what_is_off() {
    // The mount lives in the program's own namespace and goes when the program ends.
    let run = |stage: &Stage, script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(env!("CARGO_BIN_EXE_victim")).env("MONITOR_DB", stage.db()).output()
    };
    if !run(&Stage::new(), "true").is_ok_and(|output| output.status.success()) {
        // The machine does not allow mounts. The chaos suite reports this row as left out.
        return;
    }
    for (hidden, lacks) in [
        ("/proc", ["survival of a crash: /proc cannot be read", "knowing whether processes live"]),
        ("/dev/shm", ["survival of a crash: ", "is no file system in memory"]),
    ] {
        let stage = Stage::new();
        // An empty folder of a disk lies over the hidden one.
        let empty = stage.folder().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let script = format!(
            "mount --bind '{}' {hidden} && unset XDG_RUNTIME_DIR MONITOR_RINGS && exec \"$1\" return 100",
            empty.display()
        );
        let output = run(&stage, &script).unwrap();
        assert!(output.status.success(), "{hidden}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "5050\n", "{hidden}");
        let store = stage.store();
        assert_eq!(store.one::<i64>("SELECT count(*) FROM calls"), 100, "{hidden}");
        let off: String = store.one("SELECT off FROM health");
        assert!(lacks.iter().all(|lack| off.contains(lack)), "{hidden}: {off}");
        assert_eq!(store.one::<i64>("SELECT count(*) FROM events WHERE kind = 'rings'"), 1, "{hidden}");
    }
}

#[test]
fn a_folder_in_memory_that_is_full_costs_survival_and_nothing_else() {
    let stage = Stage::new();
    let folder = stage.folder().join("small");
    std::fs::create_dir(&folder).unwrap();
    // The mount lives in the program's own namespace and goes when the program ends.
    let script = "mount -t tmpfs -o size=512k tmpfs \"$1\" && MONITOR_RINGS=\"$1\" exec \"$2\" threads 30";
    let run = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&folder);
        command.arg(env!("CARGO_BIN_EXE_victim")).env("MONITOR_DB", stage.db()).output()
    };
    if !run("true").is_ok_and(|output| output.status.success()) {
        // The machine does not allow mounts. The chaos suite reports this row as left out.
        return;
    }
    let output = run(script).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "151500\n");
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT sum(calls) FROM functions"), 3000);
    assert_eq!(
        store.one::<i64>("SELECT count(*) FROM events WHERE kind = 'rings' AND detail LIKE '%no room%'"),
        1
    );
}

#[test]
fn a_ring_file_damaged_at_random_never_harms_who_recovers_it() {
    let shelf = Shelf::new();
    let stage = shelf.stage();
    Numbered::start(&stage, 3).kill(Duration::from_millis(50));
    let file = shelf.files().remove(0);
    let sound = std::fs::read(&file).unwrap();
    let used = usize::try_from(u64::from_le_bytes(sound[16..24].try_into().unwrap())).unwrap();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 16).unwrap()
    };
    for seed in 0..damages() {
        let mut bytes = sound[..used].to_vec();
        for _ in 0..=seed % 40 {
            // Every other change hits a place where lengths and offsets lie.
            let at =
                if draw() % 2 == 0 { draw() % used } else { draw() % (used / 4096) * 4096 + draw() % 512 };
            bytes[at] = u8::try_from(draw() % 256).unwrap();
        }
        bytes.truncate(if seed % 5 == 0 { draw() % used } else { used });
        std::fs::write(&file, bytes).unwrap();
        let _ = monitor_runtime::recover::recover(&stage.db(), &[shelf.0.path().to_owned()], now_ns());
    }
    assert_eq!(stage.store().one::<String>("PRAGMA quick_check"), "ok");
}

#[test]
fn the_corpus_of_hostile_ring_files_is_recovered_as_far_as_it_can_be_believed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/rings");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let (shelf, stage) = (Shelf::new(), Stage::new());
        stage.run("return", 1);
        let (path, db) = (entry.unwrap().path(), stage.db());
        let mut bytes = std::fs::read(&path).unwrap();
        let text = db.as_os_str().as_encoded_bytes();
        // The place of the store's path: a word with its length, then its bytes.
        if let Some(place) = bytes.get_mut(144 * 8..145 * 8 + text.len()) {
            place[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
            place[8..].copy_from_slice(text);
        }
        let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(shelf.0.path()).unwrap());
        let left = shelf.0.path().join(format!("monitored-{user}-{tried:016x}-17-1-hostile"));
        std::fs::write(left, bytes).unwrap();
        shelf.recover(&stage);
        let (name, store) = (path.file_name().unwrap().to_str().unwrap(), stage.store());
        assert_eq!(store.one::<String>("PRAGMA quick_check"), "ok", "{name}");
        let wrong = "SELECT count(*) FROM in_flight
                     WHERE elapsed_ms < 0 OR start_ns < 0 OR args IS NOT NULL AND NOT json_valid(args)";
        assert_eq!(store.one::<i64>(wrong), 0, "{name}");
        let calls: i64 = store.one("SELECT count(*) FROM calls WHERE function = 'shop::a'");
        let args: Vec<String> = store.all("SELECT coalesce(args, '') FROM in_flight");
        match name {
            "sound" => assert_eq!((calls, args.len()), (3, 0), "{name}"),
            "arguments_of_no_memory" | "arguments_beyond_their_memory" => assert_eq!(args, [""], "{name}"),
            "arguments_of_damaged_tokens" => {
                assert!(args.len() == 1 && args[0].contains("[unreadable]"), "{name}: {args:?}");
            }
            "suspended_by_themselves" => {
                // All of them claim to be one call.
                assert!(args.iter().any(|args| args.contains("[truncated]")), "{name}: {args:?}");
            }
            _ => {}
        }
        tried += 1;
    }
    assert!(tried >= 37, "{tried} files");
}

/// Returns how many damaged files are tried; `MONITOR_TEST_DAMAGES=1000` is the full number.
fn damages() -> usize {
    std::env::var("MONITOR_TEST_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}
