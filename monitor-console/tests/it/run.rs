//! Runs the command in its own environment: no settings, and a home folder without stores.

use std::path::Path;
use std::process::{Command, Output};

/// The exit code and the output of a command.
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
    /// Asserts that the command succeeded, and returns its output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }
    /// Asserts that the command failed with this code, and returns its errors.
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

/// Returns the command, not started yet, with this folder as its home.
pub(crate) fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = start(home, env!("CARGO_BIN_EXE_monitor"));
    command.args(arguments);
    command
}

/// Returns a shell, not started yet, that runs the text which is its next argument, with this folder as its home.
pub(crate) fn shell(home: &Path) -> Command {
    let mut shell = start(home, "sh");
    shell.arg("-c");
    shell
}

fn start(home: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    for name in
        ["MONITOR", "MONITOR_DB", "MONITOR_CONFIG", "MONITOR_SAMPLE", "MONITOR_SERVICE", "XDG_STATE_HOME"]
    {
        command.env_remove(name);
    }
    command.env("HOME", home).env("USER", "ada");
    command
}

/// Runs the command on a store.
pub(crate) fn monitor(store: &Path, arguments: &[&str]) -> Ran {
    let home = store.parent().unwrap();
    Ran::from(command(home, arguments).arg("--db").arg(store).output().unwrap())
}

/// Returns the text with `AGE` for each age, such as `just now` or `12 s ago`, because a busy machine may take seconds to
/// run a command.
pub(crate) fn without_ages(text: &str) -> String {
    let mut rest = text;
    let mut masked = String::new();
    while let Some(at) = rest.find(" ago") {
        // The number and the unit lie before ` ago`.
        let age = rest[..at].rmatch_indices(' ').nth(1).map_or(0, |(space, _)| space + 1);
        masked.push_str(&rest[..age]);
        masked.push_str("AGE");
        rest = &rest[at + " ago".len()..];
    }
    masked.push_str(rest);
    masked.replace("just now", "AGE")
}
