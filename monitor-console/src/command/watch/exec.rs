//! A command as the receiver of alerts: the shell runs it once for each alert.
//!
//! Takes an alert; runs the command with the alert on its standard input and in its environment, and waits for its end within a
//! time limit. Texts of the alert never become part of the command line.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Refusal, message};
use crate::model::alerts::Alert;
use crate::units;

/// The pause between two looks at whether the command has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A command, and the time that it may take.
#[derive(Debug)]
pub(super) struct Command {
    text: String,
    timeout: Duration,
}

impl Command {
    pub(super) fn new(text: &str, timeout: Duration) -> Self {
        Self { text: text.to_owned(), timeout }
    }

    /// Runs the command for an alert. Exit code 0 says that it has taken the alert.
    pub(super) fn deliver(&self, alert: &Alert, store: &Path) -> Result<(), Refusal> {
        let mut body = message::to_json(alert).to_string().into_bytes();
        body.push(b'\n');
        let mut command = shell(&self.text);
        command.envs(message::variables(alert, store)).stdin(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Refusal::new(format!("the command could not be started: {error}")))?;
        let written = child.stdin.take().map(|mut stdin| {
            // The command may read late, or not at all.
            std::thread::Builder::new().spawn(move || match stdin.write_all(&body) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
                _ => Ok(()),
            })
        });
        let status = wait(&mut child, self.timeout);
        if status.is_err() {
            end(&mut child);
        }
        drop(written);
        match status {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(Refusal::new(format!("the command ended with {status}"))),
            Ok(None) => Err(Refusal::new("the command ended, and nobody knows how")),
            Err(why) => Err(Refusal::new(why)),
        }
    }
}

/// Waits for the end of a child within a time limit.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, String> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) if Instant::now() >= deadline => {
                let limit = units::format_short_duration(limit.as_secs_f64() * 1e9);
                return Err(format!("the command was ended, because it took longer than {limit}"));
            }
            Ok(None) => std::thread::sleep(POLL_INTERVAL),
            Err(error) => return Err(format!("the command could not be waited for: {error}")),
        }
    }
}

/// Returns the shell that runs a command. On Unix the shell leads a group of processes, so that all that it started can
/// be ended.
#[cfg(unix)]
fn shell(text: &str) -> std::process::Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new("/bin/sh");
    command.arg("-c").arg(text).process_group(0);
    command
}

#[cfg(not(unix))]
fn shell(text: &str) -> std::process::Command {
    let mut command = std::process::Command::new("cmd");
    command.arg("/C").arg(text);
    command
}

/// Ends a command that took too long, and what it started.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}
