//! Builds and runs one test in the copy. It passes, fails, hangs, or cannot be built, which catches nothing.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::list::Bug;
use crate::tree::Tree;

/// A test to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trial {
    package: String,
    target: String,
    test: String,
}

/// The result of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Passed,
    Failed,
    TimedOut,
    NotBuilt,
}

/// The time after which a test is ended. A test takes seconds; a bug may make it wait forever.
const TEST_MAX: Duration = Duration::from_secs(240);

impl Trial {
    pub(crate) fn from_bug(bug: &Bug) -> Self {
        Self { package: bug.package.clone(), target: bug.target.clone(), test: bug.test.clone() }
    }

    pub(crate) fn run(&self, tree: &Tree) -> Ended {
        let built = self.cargo(tree).arg("--no-run").stderr(Stdio::inherit()).status();
        if !built.is_ok_and(|status| status.success()) {
            return Ended::NotBuilt;
        }
        let mut test = self.cargo(tree);
        test.args(["--", "--exact", &self.test, "--test-threads=1"]);
        // The test gets a process group, so that the programs it starts can be ended with it.
        let child = test.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = child else { return Ended::NotBuilt };
        let group = -(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let pipe = child.stdout.take();
        let reader = std::thread::spawn(move || pipe.and_then(|pipe| std::io::read_to_string(pipe).ok()));
        let deadline = Instant::now() + TEST_MAX;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                _ => {
                    kill_group(group);
                    let _ = child.wait();
                    return Ended::TimedOut;
                }
            }
        };
        let output = reader.join().ok().flatten().unwrap_or_default();
        match status.success() {
            true if output.contains("1 passed") => Ended::Passed,
            // The name is wrong: no test ran.
            true => Ended::NotBuilt,
            false => Ended::Failed,
        }
    }

    fn cargo(&self, tree: &Tree) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["test", "--quiet", "--locked", "--package", &self.package]);
        cargo.args(self.target.split('='));
        cargo.arg("--manifest-path").arg(tree.path("Cargo.toml")).arg("--target-dir").arg(&tree.build);
        // A bug may make code unused.
        cargo.env("RUSTFLAGS", "-Awarnings").env("RUST_BACKTRACE", "0");
        cargo
    }
}

#[allow(unsafe_code, reason = "the standard library ends a process, but not those that it started")]
fn kill_group(group: i32) {
    // SAFETY: the call sends a signal to the group of a child that has not been waited for yet.
    unsafe { libc::kill(group, libc::SIGKILL) };
}

impl fmt::Display for Trial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cargo test -p {} {} {}", self.package, self.target.replace('=', " "), self.test)
    }
}
