//! `monitor findings` names the fault of each program that has one, and is silent about those that have none.
//!
//! At most one fault may be missed, and at most one program without a fault may have a finding: a busy machine may
//! interrupt a program so that it seems to do what it does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test prints what it found")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

/// Programs that run at the same time. They wait for most of their time.
const AT_ONCE: usize = 3;

struct Program {
    name: String,
    /// The kind of finding that is its fault; `None` for a program without one.
    fault: Option<String>,
    /// The kinds that were found.
    found: Vec<String>,
}

#[test]
fn every_fault_is_found_and_programs_without_one_have_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let waiting = Mutex::new(list_programs());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop();
                    let Some(mut program) = next else { break };
                    program.found = run(&program.name, folder.path());
                    done.lock().unwrap().push(program);
                }
            });
        }
    });
    let programs = done.into_inner().unwrap();
    let (faulty, clean): (Vec<_>, Vec<_>) = programs.iter().partition(|program| program.fault.is_some());
    assert_eq!((faulty.len(), clean.len()), (20, 20));
    let describe =
        |program: &&&Program| format!("{} ({:?}): {:?}", program.name, program.fault, program.found);
    let is_named =
        |program: &Program| program.fault.as_ref().is_some_and(|fault| program.found.contains(fault));
    let missed: Vec<_> = faulty.iter().filter(|program| !is_named(program)).collect();
    let wrong: Vec<_> = clean.iter().filter(|program| !program.found.is_empty()).collect();
    let missed: Vec<String> = missed.iter().map(describe).collect();
    let wrong: Vec<String> = wrong.iter().map(describe).collect();
    println!(
        "{} of 20 faults found, {} of 20 programs without a fault with a finding",
        20 - missed.len(),
        wrong.len()
    );
    let others: Vec<_> = faulty.iter().filter(|program| program.found.len() > 1).collect();
    println!("more than the fault: {:?}", others.iter().map(describe).collect::<Vec<_>>());
    assert!(missed.len() <= 1 && wrong.len() <= 1, "missed: {missed:#?}\nwrong: {wrong:#?}");
}

fn list_programs() -> Vec<Program> {
    let output = Command::new(env!("CARGO_BIN_EXE_monitor-corpus"))
        .arg("list")
        .env("MONITOR", "off")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let program = |line: &str| {
        let (name, fault) = line.split_once(' ').unwrap();
        Program { name: name.to_owned(), fault: (fault != "-").then(|| fault.to_owned()), found: Vec::new() }
    };
    text.lines().map(program).collect()
}

/// Runs a program and returns the kinds of its findings.
fn run(name: &str, folder: &Path) -> Vec<String> {
    let store = folder.join(format!("{name}.db"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor-corpus"));
    for variable in ["MONITOR", "MONITOR_SAMPLE", "MONITOR_CONFIG", "MONITOR_MAX_RATE", "MONITOR_CAPTURE"] {
        command.env_remove(variable);
    }
    // A debug build costs more than the budget, and would be recorded less.
    let command = command.arg(name).env("MONITOR_DB", &store).env("MONITOR_MAX_OVERHEAD", "100%");
    command.output().unwrap();
    let arguments = ["findings", "--all", "--format", "json", "--db"];
    let output = Command::new(console()).args(arguments).arg(&store).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let kinds = findings.iter().map(|finding| finding["kind"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind != "cannot_tell").collect()
}

/// Returns the path of the command `monitor`, which lies beside the programs. Cargo builds it along with the tests of the
/// workspace; a run of this package's tests alone takes the one that was built last, or builds it if there is none.
fn console() -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let program = PathBuf::from(env!("CARGO_BIN_EXE_monitor-corpus"))
        .with_file_name("monitor")
        .with_extension(std::env::consts::EXE_EXTENSION);
    let _alone = BUILDING.lock().unwrap();
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--package", "monitor-console"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the command `monitor` does not build");
    }
    program
}
