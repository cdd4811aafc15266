//! Worker processes. A case runs in a process of its own if it needs its own environment, because a process has
//! one recorder that reads its settings once, or if its recorder cannot share a process with another.
//!
//! A worker is this executable, started again with `--worker NAME`. For each line that a worker reads it
//! measures one round, and answers with one line: a JSON object of numbers. The main process asks its workers
//! one after the other, so no worker measures while another one does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Options;

/// A worker, as the main process holds it. Dropping it ends the worker.
#[derive(Debug)]
pub struct Worker {
    name: String,
    child: Child,
    /// The worker's stdin; taken when the worker is to end.
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The figures of a round, by case.
pub type Figures = BTreeMap<String, f64>;

impl Worker {
    /// Starts the worker of this name with these environment variables. All other variables whose names begin
    /// with `MONITOR` are removed.
    ///
    /// # Errors
    /// Fails if the process cannot be started.
    pub fn start(name: &str, options: &Options, variables: &[(&str, &str)]) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--worker", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        if options.short {
            command.arg("--short");
        }
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MONITOR") {
                command.env_remove(variable);
            }
        }
        let mut child = command.envs(variables.iter().copied()).spawn()?;
        let (asks, answers) = (child.stdin.take(), child.stdout.take().ok_or_else(missing_pipe)?);
        Ok(Self { name: name.to_owned(), child, asks, answers: BufReader::new(answers) })
    }

    /// Lets the worker measure one round, and returns its figures.
    ///
    /// # Errors
    /// Fails if the worker has died, or if its answer is no JSON object of numbers.
    pub fn round(&mut self) -> std::io::Result<Figures> {
        self.asks.as_mut().ok_or_else(missing_pipe)?.write_all(b"round\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|error| Error::other(format!("{}: {error}: {line}", self.name)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.asks.take());
        let _ = self.child.wait();
    }
}

fn missing_pipe() -> Error {
    Error::other("the worker has no pipe")
}

/// Answers each line of stdin with a round, until stdin ends. This is the worker's side.
///
/// # Errors
/// Fails if the main process has gone.
pub fn serve(mut round: impl FnMut() -> Figures) -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        line?;
        let answer = serde_json::to_string(&round()).map_err(Error::other)?;
        writeln!(std::io::stdout().lock(), "{answer}")?;
    }
    Ok(())
}

/// Serves rounds that may fail. A failure is printed to stderr with the worker's name and ends this process, which
/// makes the main process fail too.
///
/// # Errors
/// Fails if the main process has gone.
#[expect(clippy::print_stderr, reason = "stdout carries the figures")]
pub fn serve_or_exit(
    worker: &str,
    mut round: impl FnMut() -> Result<Figures, Box<dyn std::error::Error>>,
) -> std::io::Result<()> {
    serve(|| {
        round().unwrap_or_else(|error| {
            eprintln!("{worker}: {error}");
            std::process::exit(1)
        })
    })
}
