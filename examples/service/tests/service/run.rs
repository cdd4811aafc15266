//! A run of the service with a store of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::books::Books;
use crate::store::Store;

/// The shortest run, in seconds, whose cost of recording is asserted, because starting dominates a shorter one.
const SECONDS_OF_A_COST: u64 = 30;

/// The number of runs of which one must cost little enough.
const RUNS_OF_A_COST: usize = 3;

/// The lines of a trace that a test looks at: enough for the calls before a fold, and for the fold.
const LINES_OF_A_TRACE: usize = 100;

/// The bound on the cost of the recorder that a run works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The default.
    Default,
    /// The default in a release build, none in a debug build.
    DefaultInRelease,
}

/// A run that has ended.
pub(crate) struct Run {
    pub(crate) books: Books,
    store: PathBuf,
    options: Vec<String>,
    bound: Bound,
}

/// The run without options, which several tests look at.
pub(crate) static ORDINARY: LazyLock<Run> = LazyLock::new(|| Run::start(&[], Bound::DefaultInRelease));

impl Run {
    /// Runs the service with these options, and returns after its end.
    pub(crate) fn start(options: &[&str], bound: Bound) -> Self {
        Self::start_in(&format!("service{}", options.concat()), options, bound)
    }

    /// Runs the service with its store in this folder of the tests' folder.
    fn start_in(folder: &str, options: &[&str], bound: Bound) -> Self {
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
        if bound == Bound::DefaultInRelease && cfg!(debug_assertions) {
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
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self { books, store, options, bound }
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

    /// Asserts that the recorder used less than one percent of a core by its own report, if the run was long enough and
    /// the build is one that is used for work. A run that costs more is repeated twice, because every call takes more
    /// time while other programs keep the other half of the core busy.
    pub(crate) fn assert_cost(&self) {
        let cost = |run: &Self| -> f64 { run.store().one("SELECT cost_pct FROM health") };
        let mut costs = vec![cost(self)];
        if Self::tells_costs() {
            let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
            let folder = format!("repeated{}", options.concat());
            while costs.last().is_some_and(|last| *last >= 1.0) {
                assert!(costs.len() < RUNS_OF_A_COST, "the recorder cost {costs:?} % of a core in its runs");
                costs.push(cost(&Self::start_in(&folder, &options, self.bound)));
            }
        }
        println!("the recorder cost {costs:?} % of a core");
    }

    /// Returns true if the cost of the recorder is one that a user would have.
    pub(crate) fn tells_costs() -> bool {
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

/// Returns the seconds of a run.
pub(crate) fn seconds() -> u64 {
    std::env::var("MONITOR_TEST_SECONDS").map_or(2, |text| text.parse().unwrap())
}

/// Returns the path of the command `monitor`, which lies beside the service. Cargo builds it along with the tests of the
/// workspace; a run of this package's tests alone takes the one that was built last, or builds it if there is none.
pub(crate) fn console() -> PathBuf {
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
