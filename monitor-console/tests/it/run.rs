//! Runs the command in an environment of its own: no settings, and a home that holds no stores.

use std::path::Path;
use std::process::{Command, Output};

/// What came back.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
    /// The output, once it is clear that the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }
    /// The errors, once it is clear that the command failed with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self.err
    }
    #[track_caller]
    pub(crate) fn json(self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// The command, not yet run, with this folder as its home.
pub(crate) fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    for name in
        ["MONITOR", "MONITOR_DB", "MONITOR_CONFIG", "MONITOR_SAMPLE", "MONITOR_SERVICE", "XDG_STATE_HOME"]
    {
        command.env_remove(name);
    }
    command.env("HOME", home).env("USER", "ada").args(arguments);
    command
}

/// The command run against a store.
pub(crate) fn monitor(store: &Path, arguments: &[&str]) -> Ran {
    let home = store.parent().unwrap();
    Ran::from(command(home, arguments).arg("--db").arg(store).output().unwrap())
}
