//! Worker processes: cases that need an environment of their own, since a process has one recorder and
//! reads its settings once, or a peer that cannot live beside another.
//!
//! A worker is this executable, started again with `--worker NAME`. It measures one round for each line
//! that it reads, and answers with one line: a JSON object of numbers. So the main process goes round
//! by round through all of its workers, and none measures while another does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Options;

/// A worker, as seen from the main process; ends when it is dropped.
#[derive(Debug)]
pub struct Worker {
    name: String,
    child: Child,
    /// Taken when the worker is to end.
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A round's figures by case.
pub type Figures = BTreeMap<String, f64>;

impl Worker {
    /// Starts the worker of this name with these variables, and none of the recorder's own besides.
    ///
    /// # Errors
    /// Where no process can be started.
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
        let (asks, answers) = (child.stdin.take(), child.stdout.take().ok_or_else(gone)?);
        Ok(Self { name: name.to_owned(), child, asks, answers: BufReader::new(answers) })
    }

    /// Has it measure one round.
    ///
    /// # Errors
    /// Where the worker has died or has answered something else.
    pub fn round(&mut self) -> std::io::Result<Figures> {
        self.asks.as_mut().ok_or_else(gone)?.write_all(b"round\n")?;
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

fn gone() -> Error {
    Error::other("the worker has no pipe")
}

/// The worker's side: answers each line with a round, until there are no more.
///
/// # Errors
/// Where the main process has gone.
pub fn serve(mut round: impl FnMut() -> Figures) -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        line?;
        let answer = serde_json::to_string(&round()).map_err(Error::other)?;
        writeln!(std::io::stdout().lock(), "{answer}")?;
    }
    Ok(())
}
