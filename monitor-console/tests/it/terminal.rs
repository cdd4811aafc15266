//! Output on a terminal whose size is known and changes.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::command;

/// A command whose standard output, or standard error, is a terminal.
struct OnTerminal {
    child: Child,
    terminal: OwnedFd,
    output: Arc<Mutex<Vec<u8>>>,
}

/// Opens a terminal. Returns the end that a person reads, and the end that programs use.
pub(crate) fn open_terminal(size: (u16, u16)) -> (OwnedFd, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    set_size(&terminal, size);
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inner = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (terminal, inner)
}

impl OnTerminal {
    fn start(store: &Path, arguments: &[&str], size: (u16, u16)) -> Self {
        Self::start_with(store, arguments, size, |command, inner| command.stdout(inner).stderr(Stdio::null()))
    }

    /// Starts a command that gets the terminal from a closure.
    fn start_with(
        store: &Path,
        arguments: &[&str],
        size: (u16, u16),
        connect: impl Fn(&mut Command, File) -> &mut Command,
    ) -> Self {
        let (terminal, inner) = open_terminal(size);
        let mut command = command(store.parent().unwrap(), arguments);
        command.arg("--db").arg(store).env("TERM", "dumb");
        let child = connect(&mut command, inner).spawn().unwrap();
        drop(command);
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, written) = (File::from(terminal.try_clone().unwrap()), Arc::clone(&output));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading fails when the last process with the terminal has ended.
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                written.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Self { child, terminal, output }
    }

    /// Waits for a frame that begins after this call and fulfils the condition, and returns its lines.
    fn wait_for_frame(&self, is_awaited: impl Fn(&[String]) -> bool) -> Vec<String> {
        let start = self.output.lock().unwrap().len();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = String::from_utf8_lossy(&self.output.lock().unwrap()[start..]).into_owned();
            let frames =
                text.split("\u{1b}[H").skip(1).filter_map(|frame| Some(frame.split_once("\u{1b}[J")?.0));
            let to_lines = |frame: &str| -> Vec<String> {
                frame.replace("\u{1b}[K", "").lines().map(str::to_owned).collect()
            };
            if let Some(lines) = frames.map(to_lines).find(|lines| is_awaited(lines)) {
                return lines;
            }
            let last = text.rsplit("\u{1b}[H").next();
            assert!(Instant::now() < deadline, "no such frame; the last is {last:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the terminal shows a text.
    fn wait_for_text(&self, awaited: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned();
            if text.contains(awaited) {
                return;
            }
            assert!(Instant::now() < deadline, "`{awaited}` is not shown: {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the command ends, and returns the lines of its output.
    fn finish(mut self) -> Vec<String> {
        assert!(self.child.wait().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut length = usize::MAX;
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let output = self.output.lock().unwrap();
            assert!(Instant::now() < deadline, "the output does not end");
            if output.len() == length {
                return String::from_utf8_lossy(&output).lines().map(str::to_owned).collect();
            }
            length = output.len();
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &OwnedFd, (columns, rows): (u16, u16)) {
    tcsetwinsize(terminal, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn columns_of(lines: &[String]) -> usize {
    lines.iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Returns a store with this many functions that were called.
fn with_functions(count: i64) -> Fixture {
    let fixture = Fixture::new();
    for id in 4..=count {
        let insert = "INSERT INTO function VALUES (?1, 'shop::module_of_a_long_name::function_' || ?1, 'a.rs', 1, NULL, 1.0)";
        fixture.db.execute(insert, [id]).unwrap();
    }
    for id in 1..=count {
        fixture.figures(id, [10, 0, 0, 0, 1_000_000 * id, 900_000]);
    }
    fixture
}

#[test]
fn top_that_watches_fills_the_terminal_again_after_it_was_small() {
    let fixture = with_functions(30);
    let watching = OnTerminal::start(&fixture.path, &["top", "--watch"], (100, 20));
    let functions = |lines: &[String]| lines.iter().filter(|line| line.contains(" ms")).count();
    watching.wait_for_frame(|lines| functions(lines) == 16);
    for (size, expected) in [((100, 8), 4), ((100, 24), 20), ((100, 4), 0), ((100, 60), 30)] {
        set_size(&watching.terminal, size);
        let frame = watching.wait_for_frame(|lines| functions(lines) == expected);
        assert!(frame.len() < usize::from(size.1), "{size:?}: {frame:?}");
    }
}

#[test]
fn no_line_of_a_frame_is_wider_than_the_terminal() {
    let fixture = with_functions(8);
    let watching = OnTerminal::start(&fixture.path, &["top", "--watch"], (120, 20));
    watching.wait_for_frame(|lines| columns_of(lines) > 80);
    for columns in [60, 30, 12, 100] {
        set_size(&watching.terminal, (columns, 20));
        let frame =
            watching.wait_for_frame(|lines| columns_of(lines) <= usize::from(columns) && lines.len() > 3);
        assert!(frame.iter().any(|line| line.contains("FUNCTION")), "{frame:?}");
    }
}

#[test]
fn every_report_fits_the_terminal_unless_it_is_to_be_wide() {
    const ERROR: &str = "the upstream answered with a text that is a hundred and eighty characters long, which is more than any \
        waterfall has room for, so that the tree beside it cannot be read by anybody who looks at it";
    let fixture = with_functions(5);
    fixture.calls(&[Call {
        outcome: 1,
        kept: 2,
        error: Some(ERROR),
        trace: Some(PREFIX + 1),
        ..Call::default()
    }]);
    fixture.error_group(1, ERROR, 3, SECOND);
    fixture.health(1);
    fixture.db.execute("UPDATE process SET service = ?1", ["x".repeat(250)]).unwrap();
    let set =
        "INSERT INTO sampling VALUES ('shop::orders::a_pattern_of_some_length::*', 0.5, 1, 'monitor:ada')";
    fixture.db.execute(set, []).unwrap();
    let reports: [&[&str]; 8] = [
        &["top"],
        &["calls"],
        &["errors"],
        &["trace", "1"],
        &["health"],
        &["crash"],
        &["sample"],
        &["breaker"],
    ];
    for report in reports {
        for columns in [80, 40] {
            let lines = OnTerminal::start(&fixture.path, report, (columns, 24)).finish();
            assert!(columns_of(&lines) <= usize::from(columns), "{report:?} {columns}: {lines:#?}");
            assert!(lines.len() > 1, "{report:?}: {lines:?}");
        }
    }
    for report in [["errors"].as_slice(), &["trace", "1"]] {
        let lines = OnTerminal::start(&fixture.path, &[report, &["--wide"]].concat(), (60, 24)).finish();
        assert!(lines.iter().any(|line| line.contains(ERROR)), "{lines:?}");
    }
}

#[test]
fn a_long_export_shows_its_progress_on_the_terminal_beside_its_file() {
    const ENDLESS: &str =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) AS number FROM n";
    let fixture = with_functions(3);
    fixture.calls(&[Call::default()]);
    let views = format!(
        "CREATE VIEW endless AS {ENDLESS}; DROP VIEW resources;
         CREATE VIEW resources AS SELECT (SELECT number FROM endless) AS process_id, 1 AS at_ns, 1 AS cpu_pct,
           1 AS rss_bytes, 1 AS threads, 1 AS open_files"
    );
    fixture.db.execute_batch(&views).unwrap();
    let table: [(&[&str], &str); 4] = [
        (&["csv", "endless"], "reading rows · "),
        (&["jsonl", "calls", "--where", "(SELECT number FROM endless) > 0"], "reading rows · "),
        (&["report"], "gathering the report · "),
        (&["perfetto"], "reading resources · "),
    ];
    let parquet: (&[&str], &str) = (
        &["parquet", "calls", "--where", "(SELECT number FROM endless) > 0", "--by", "hour"],
        "reading rows · ",
    );
    let last = cfg!(feature = "parquet").then_some(parquet);
    for (number, (arguments, expected)) in table.into_iter().chain(last).enumerate() {
        let file = fixture.folder.path().join(format!("file {number}"));
        let output = ["-o", file.to_str().unwrap()];
        let arguments = [&["export"], arguments, &output].concat();
        let exporting = OnTerminal::start_with(&fixture.path, &arguments, (80, 24), |command, inner| {
            command.stdout(Stdio::null()).stderr(inner)
        });
        exporting.wait_for_text(expected);
    }
}
