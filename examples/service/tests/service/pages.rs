//! The commands of `docs/finding-out.md` run and show something.
//!
//! A comment `<!-- … -->` before a block of the page says how its command is run: `store=running` while the service
//! runs, `store=killed` after it was killed, else after its end; `lines=9` for the first lines only; and
//! `ID: SELECT …` for the query that finds the number to put in for `ID`, as a reader takes it from another output. The
//! page shows the command with the number of its own run.
//!
//! With `UPDATE_DOCS=1` the test writes the outputs into the page. They are meant to come from half a minute of a release
//! build:
//!
//! ```text
//! cargo build --release -p monitor-console
//! UPDATE_DOCS=1 MONITOR_TEST_SECONDS=30 cargo test --release -p monitored-service -- pages
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{ORDINARY, console, seconds};
use crate::store::Store;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/finding-out.md");
/// The columns of an output that the page shows.
const COLUMNS: usize = 138;
/// The time after which the test gives up, far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_command_of_the_page_runs_and_shows_something() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let running = Running::start("running");
    let mut killed = Running::start("killed");
    killed.kill();
    let stores = Stores { ended: ORDINARY.path(), running: &running.store, killed: &killed.store };
    let mut updated = String::new();
    let mut rest = page.as_str();
    let mut blocks = 0;
    while let Some((before, block)) = rest.split_once("<!-- ") {
        let (how, block) = block.split_once("-->\n```text\n").unwrap();
        let (block, after) = block.split_once("```\n").unwrap();
        let how = How::read(how.trim());
        let (command, output) = how.run(block.lines().next().unwrap(), &stores);
        let written = if how.text.is_empty() { String::new() } else { format!("{} ", how.text) };
        write!(updated, "{before}<!-- {written}-->\n```text\n{command}\n{output}```\n").unwrap();
        rest = after;
        blocks += 1;
    }
    updated.push_str(rest);
    assert!(blocks > 15, "only {blocks} commands were found");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, updated).unwrap();
    }
}

/// The stores of the services that commands look at.
struct Stores<'a> {
    ended: &'a Path,
    running: &'a Path,
    killed: &'a Path,
}

/// The way in which a command is run.
struct How<'a> {
    text: &'a str,
    store: &'a str,
    lines: usize,
    id: Option<&'a str>,
}

impl<'a> How<'a> {
    fn read(text: &'a str) -> Self {
        let (words, id) = match text.split_once("ID: ") {
            Some((words, query)) => (words, Some(query)),
            None => (text, None),
        };
        let mut how = Self { text, store: "ended", lines: usize::MAX, id };
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("store", store)) => how.store = store,
                Some(("lines", lines)) => how.lines = lines.parse().unwrap(),
                _ => panic!("{word} in {text}"),
            }
        }
        how
    }

    /// Runs a command of the page. Returns it with its number put in, and its output as the page shows it.
    fn run(&self, shown: &str, stores: &Stores<'_>) -> (String, String) {
        let store = match self.store {
            "ended" => stores.ended,
            "running" => stores.running,
            "killed" => stores.killed,
            other => panic!("{other} is no store"),
        };
        let mut command = shown.strip_prefix("$ ").unwrap().to_owned();
        if let Some(query) = self.id {
            let id: i64 = Store::open(store).one(query);
            command = put_id(&command, id);
        }
        let (code, output, errors) = shell(&command, store);
        assert!(code && !output.trim().is_empty(), "{command}: {output}{errors}");
        let mut lines: Vec<String> = output.trim_end().lines().map(cut).collect();
        if lines.len() > self.lines {
            lines.truncate(self.lines);
            lines.push("…".to_owned());
        }
        (format!("$ {command}"), lines.join("\n") + "\n")
    }
}

/// Puts a number in for `ID`, or for the number that the last run put there.
fn put_id(command: &str, id: i64) -> String {
    let at = command.find("ID").or_else(|| {
        // The number follows `trace ` or `call_id = `.
        ["trace ", "call_id = "].iter().find_map(|word| command.find(word).map(|at| at + word.len()))
    });
    let (before, after) = command.split_at(at.unwrap());
    let after = after.trim_start_matches("ID").trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}{id}{after}")
}

/// Cuts a line at the columns of the page.
fn cut(line: &str) -> String {
    let line = line.trim_end();
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    line.chars().take(COLUMNS - 1).chain(['…']).collect()
}

/// Runs a line in a shell in which `monitor` is the command of this build.
fn shell(line: &str, store: &Path) -> (bool, String, String) {
    let folder = console().parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap();
    let output = Command::new("sh")
        .args(["-c", line])
        .env("PATH", path)
        .env("MONITOR_DB", store)
        .env("COLUMNS", COLUMNS.to_string())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// A service that runs until it is killed.
struct Running {
    store: PathBuf,
    service: Child,
}

impl Running {
    /// Starts a service under load and waits until its hung job hangs. A page that is written waits for longer, so
    /// that the service has a history.
    fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("service-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let store = folder.join("service.db");
        let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
        command.args(["run", "--seconds", "3600"]).env("MONITOR_DB", &store).env_remove("MONITOR");
        let service = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self { store, service };
        std::thread::sleep(Duration::from_secs(seconds()));
        let deadline = Instant::now() + PATIENCE;
        while !shell("monitor live --min 2s", &running.store).1.contains("reindex") {
            assert!(Instant::now() < deadline, "waited in vain for the hung job");
            std::thread::sleep(Duration::from_millis(100));
        }
        running
    }

    /// Kills the service.
    fn kill(&mut self) {
        self.service.kill().unwrap();
        self.service.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that has failed leaves no service behind.
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}
