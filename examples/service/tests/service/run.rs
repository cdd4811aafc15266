//! A run of the service with a store of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::books::Books;
use crate::store::Store;

/// The shortest run, in seconds, whose cost of recording says something, because starting dominates a shorter one.
const SECONDS_OF_A_COST: u64 = 30;

/// The number of runs of which one has to stay within the default bound on the cost.
const RUNS_OF_A_COST: usize = 2;

/// The variable that makes a cost beyond the bound a failure. It is for machines without neighbours, beside which every call takes
/// more CPU time.
const ASSERT_COST: &str = "MONITOR_TEST_COST";

/// The lines of a trace that a test looks at: enough for the calls before a fold, and for the fold.
const LINES_OF_A_TRACE: usize = 100;

/// The bound on the cost of the recorder that a run works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The default.
    Default,
    /// None: no function is lowered for the CPU time that it takes.
    Lifted,
}

/// A run that has ended.
pub(crate) struct Run {
    pub(crate) books: Books,
    store: PathBuf,
}

/// The run without options, which several tests look at.
pub(crate) static ORDINARY: LazyLock<Run> = LazyLock::new(|| Run::start_within_bound(&[]));

impl Run {
    /// Runs the service with these options, and returns after its end. A release build keeps the defaults, and a run that
    /// costs more than they allow is repeated, because neighbours of this machine may have taken the CPU's caches. If no run
    /// costs less, the last one lifts the bound, so that its rows can be looked at anyway. A debug build of the recorder
    /// costs many times as much, so its only run lifts the bound.
    pub(crate) fn start_within_bound(options: &[&str]) -> Self {
        if !Self::has_usual_costs() {
            return Self::start(options, Bound::Lifted);
        }
        let mut costs = Vec::new();
        while costs.len() < RUNS_OF_A_COST {
            let run = Self::start(options, Bound::Default);
            costs.push(run.cost());
            if costs.last().is_some_and(|last| *last < 1.0) && run.lowered_besides("").is_empty() {
                println!("{options:?}: the recorder cost {costs:.2?} % of a core");
                return run;
            }
        }
        assert_within_bound(
            false,
            &format!("{options:?}: the recorder cost {costs:.2?} % of a core in its runs"),
        );
        Self::start(options, Bound::Lifted)
    }

    /// Runs the service with these options, and returns after its end.
    pub(crate) fn start(options: &[&str], bound: Bound) -> Self {
        let folder = format!("service{}", options.concat());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        // The folder of the last run stays until the next one, so that one can look at it.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let store = folder.join("service.db");
        let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
        for name in
            ["MONITOR", "MONITOR_SAMPLE", "MONITOR_CONFIG", "MONITOR_MAX_RATE", "MONITOR_MAX_OVERHEAD"]
        {
            command.env_remove(name);
        }
        if bound == Bound::Lifted {
            command.env("MONITOR_MAX_OVERHEAD", "100%");
        }
        let output = command
            .args(["run", "--seconds", &seconds().to_string()])
            .args(options)
            .env("MONITOR_DB", &store)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{options:?} failed: {errors}");
        let books: Books = serde_json::from_slice(&output.stdout).unwrap();
        books.assert_answers();
        Self { books, store }
    }

    /// Runs the service with these options and without the recorder, and returns its books.
    pub(crate) fn unrecorded(options: &[&str]) -> Books {
        let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
        command.args(["run", "--seconds", &seconds().to_string()]).args(options).env("MONITOR", "off");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{options:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Returns the path of the store.
    pub(crate) fn path(&self) -> &Path {
        &self.store
    }

    /// Opens the store.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.store)
    }

    /// Returns the cost of the recorder by its own report, in percent of a core: the larger of the last second's and of the
    /// last period's.
    fn cost(&self) -> f64 {
        self.store().one("SELECT max(cost_pct, own_cpu_pct) FROM health")
    }

    /// Returns what was said of functions that were lowered during the run, other than this one.
    pub(crate) fn lowered_besides(&self, function: &str) -> Vec<String> {
        let mut lowered =
            self.store().all("SELECT detail FROM events WHERE kind = 'rate'", |row| row.get::<_, String>(0));
        lowered.retain(|detail| function.is_empty() || !detail.starts_with(function));
        lowered
    }

    /// Returns true if the recorder costs what it would cost a user: the run is long, and the build is optimized.
    pub(crate) fn has_usual_costs() -> bool {
        seconds() >= SECONDS_OF_A_COST && !cfg!(debug_assertions)
    }

    /// Returns the first lines of what `monitor trace` shows of this call.
    pub(crate) fn trace(&self, call_id: i64) -> String {
        let output = Command::new(console())
            .arg("--db")
            .arg(&self.store)
            .args(["trace", &call_id.to_string()])
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let trace = String::from_utf8(output.stdout).unwrap();
        trace.lines().take(LINES_OF_A_TRACE).collect::<Vec<_>>().join("\n")
    }
}

/// Prints what the recorder cost, and asserts that it is within the bound if the variable [`ASSERT_COST`] is set.
pub(crate) fn assert_within_bound(is_within: bool, costs: &str) {
    println!("{costs}");
    assert!(is_within || std::env::var_os(ASSERT_COST).is_none(), "{costs}");
}

/// Returns the seconds of a run.
pub(crate) fn seconds() -> u64 {
    std::env::var("MONITOR_TEST_SECONDS").map_or(2, |text| text.parse().unwrap())
}

/// Returns the path of the command `monitor`: that of `MONITOR_TEST_COMMAND`, else the one beside the service. Cargo builds the
/// latter along with the tests of the workspace; a run of this package's tests alone takes the one that was built last, or builds
/// it if there is none.
pub(crate) fn console() -> PathBuf {
    if let Some(program) = std::env::var_os("MONITOR_TEST_COMMAND") {
        return program.into();
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_service"))
        .with_file_name("monitor")
        .with_extension(std::env::consts::EXE_EXTENSION);
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
