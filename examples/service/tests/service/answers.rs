//! The test asks each question of `docs/finding-out.md` by one command, and asserts that the answer names the planted
//! flaw.
//!
//! The service runs twice at the same time, once as its next version. The runs are long, because a comparison needs
//! windows of 10 s on both sides: with some thirty functions, about twelve windows rule out chance.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{console, seconds};

/// The least time of a run.
const SECONDS_MIN: u64 = 150;
/// The time after which the test gives up on a run that should have ended, or on a finding, far longer than anything takes on an
/// idle machine.
const PATIENCE: Duration = Duration::from_secs(900);

#[test]
#[ignore = "it compares two builds of the service, which takes two and a half minutes of load"]
fn each_question_is_answered_by_one_command() {
    let mut present = Service::start("answers-a", &[]);
    let mut next = Service::start("answers-b", &["--build-b"]);
    present.await_hung_job();
    present.await_end();
    next.await_end();
    let store = &present.store;

    let lists = ask(store, &["callees", "list_orders"]);
    let repeated: Vec<_> =
        lists.iter().filter(|row| row["n_plus_one"] == 1).map(|row| text(row, "callee")).collect();
    assert_eq!(repeated, ["service::db::session::Session::lines"], "{lists:#?}");
    let findings = ask(store, &["findings", "--all"]);
    let of_lists = findings.iter().find(|row| row["kind"] == "n_plus_one");
    let sentence = of_lists.map(|row| text(row, "sentence")).unwrap_or_default();
    assert!(sentence.contains("list_orders") && sentence.contains("Session::lines"), "{findings:#?}");

    let slow = ask(store, &["why", "Session::stock", "--slow"]);
    let common = find_common(&slow);
    assert!(common.iter().any(|text| text.contains("args.sku like \"L-#\"")), "{common:?}");

    let failed = ask(store, &["why", "bank::authorize", "--failed"]);
    let common = find_common(&failed);
    assert!(common.iter().any(|text| text.contains("issuer = \"nordbank\"")), "{common:?}");

    let errors = ask(store, &["errors", "--all"]);
    let mut origins: Vec<_> = errors
        .iter()
        .filter(|row| row["origin_count"].as_i64() > Some(0) && row["outcome"] == "error")
        .map(|row| text(row, "function"))
        .collect();
    origins.sort_unstable();
    origins.dedup();
    let expected = [
        "service::catalog::Catalog::product",
        "service::checkout::validate",
        "service::payments::bank::authorize",
        "service::payments::client::Client::post_charge",
    ];
    assert_eq!(origins, expected, "{errors:#?}");

    let sides = [store, &next.store].map(|path| path.to_str().unwrap());
    let changes = ask(store, &["diff", "--before", sides[0], "--after", sides[1], "--all"]);
    let verdicts: Vec<_> = changes
        .iter()
        .filter(|row| {
            row["is_passed_on"] == 0 && !["same", "too few"].contains(&row["verdict"].as_str().unwrap())
        })
        .map(|row| (text(row, "verdict"), text(row, "function")))
        .collect();
    assert_eq!(verdicts, [("slower", "service::catalog::Catalog::discount")], "{changes:#?}");
}

/// A service that runs for a while and then ends.
struct Service {
    store: PathBuf,
    program: Child,
    until: Instant,
}

impl Service {
    fn start(name: &str, options: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("service-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let store = folder.join("service.db");
        let seconds = seconds().max(SECONDS_MIN);
        let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
        for name in
            ["MONITOR", "MONITOR_SAMPLE", "MONITOR_CONFIG", "MONITOR_MAX_RATE", "MONITOR_MAX_OVERHEAD"]
        {
            command.env_remove(name);
        }
        if cfg!(debug_assertions) {
            command.env("MONITOR_MAX_OVERHEAD", "100%");
        }
        command.args(["run", "--seconds", &seconds.to_string()]).args(options).env("MONITOR_DB", &store);
        let program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { store, program, until: Instant::now() + Duration::from_secs(seconds) + PATIENCE }
    }

    /// Waits until the findings name the job that hangs.
    fn await_hung_job(&self) {
        let deadline = Instant::now() + PATIENCE;
        let is_named = |row: &Value| row["kind"] == "stuck" && text(row, "sentence").contains("reindex");
        // The store does not exist until the service has written to it.
        while !try_ask(&self.store, &["findings", "--all"]).is_ok_and(|rows| rows.iter().any(is_named)) {
            assert!(Instant::now() < deadline, "no finding names the hung job");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn await_end(&mut self) {
        while self.program.try_wait().unwrap().is_none() {
            assert!(Instant::now() < self.until, "the service does not end");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The service is killed here, because a test that fails does not wait for the service to end.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Runs a command on a store, and returns its rows.
fn ask(store: &Path, arguments: &[&str]) -> Vec<Value> {
    try_ask(store, arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Runs a command on a store, and returns its rows, or its errors if it fails.
fn try_ask(store: &Path, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let mut command = Command::new(console());
    let output = command.args(arguments).args(["--format", "json", "--db"]).arg(store).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

/// Returns the conditions that calls have in common.
fn find_common(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter(|row| row["about"] == "common").map(|row| text(row, "condition")).collect()
}
