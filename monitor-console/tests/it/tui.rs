//! The view that fills the terminal, in a real terminal: tmux draws it, types into it, resizes it and sends it signals.
//!
//! These tests say in a line if tmux is missing, and then check only what needs no terminal.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::{command, monitor};
use crate::terminal::open_terminal;

/// The longest wait for something that must appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of tmux with an interactive shell in it.
struct Pane {
    socket: String,
    folder: PathBuf,
}

impl Pane {
    /// Starts a shell in a terminal of this size; `None` without tmux.
    #[allow(clippy::print_stderr, reason = "a skipped test says so")]
    fn start(folder: &Path, (columns, rows): (u16, u16)) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: tmux is not installed, so the view is not tested in a real terminal");
            return None;
        }
        let number = COUNT.fetch_add(1, Relaxed);
        let socket = format!("monitor-tui-{}-{number}", std::process::id());
        let pane = Self { socket, folder: folder.to_owned() };
        let settings = folder.join("tmux.conf");
        fs::write(&settings, "set -g status off\nset -g escape-time 0\nset -g exit-empty off\n").unwrap();
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let settings = settings.to_str().unwrap();
        let shell = "bash --norc --noprofile -i";
        pane.tmux(&["-f", settings, "-u", "new-session", "-d", "-x", &columns, "-y", &rows, shell]);
        // The shell of an administrator does not take its prompt from the environment.
        pane.run("PS1='prompt: '; clear");
        Some(pane)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        for name in
            ["MONITOR", "MONITOR_DB", "MONITOR_CONFIG", "XDG_STATE_HOME", "NO_COLOR", "TMUX", "LC_ALL"]
        {
            command.env_remove(name);
        }
        command.env("HOME", &self.folder).env("LANG", "C.UTF-8").env("USER", "ada").env("PS1", "$ ");
        let output = command.args(["-L", &self.socket]).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        output
    }

    /// Types a line into the shell.
    fn run(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    /// Runs the view in the shell; its process id is in the file `pid`.
    fn view(&self, store: &Path, options: &str) {
        let (binary, pid) = (env!("CARGO_BIN_EXE_monitor"), self.folder.join("pid"));
        let (store, pid) = (store.display(), pid.display());
        self.run(&format!(
            "bash -c 'echo $$ > {pid}; exec {binary} tui --db {store} {options}'; echo \"ended $?\""
        ));
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits for a screen with all these texts.
    #[track_caller]
    fn wait_for(&self, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if texts.iter().all(|text| screen.contains(text)) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no screen with {texts:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the settings of the terminal, as the shell sees them.
    fn read_settings(&self, name: &str) -> String {
        let path = self.folder.join(name);
        self.run(&format!("stty -g > {0}.part; mv {0}.part {0}", path.display()));
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(Instant::now() < deadline, "the shell does not run stty:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::read_to_string(path).unwrap()
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.folder.join("pid")).unwrap().trim().to_owned()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid()]).status().unwrap().success());
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_before_the_terminal_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let Some(pane) = Pane::start(folder.path(), (200, 24)) else { return };
    let text = folder.path().join("text.db");
    fs::write(&text, "no database at all").unwrap();
    for (path, expected) in
        [(text.as_path(), "not an intact SQLite database"), (folder.path(), "is a folder")]
    {
        pane.view(path, "");
        pane.wait_for(&[expected, "ended 1"]);
        pane.run("clear");
    }
    pane.view(&folder.path().join("missing.db"), "");
    pane.wait_for(&["waiting for the store", "q quit"]);
    pane.keys(&["q"]);
    pane.wait_for(&["ended 0"]);
}

/// Returns a store with something on every screen.
fn with_everything() -> Fixture {
    let fixture = Fixture::new();
    for window in 0..30 {
        fixture.window(1, window * 10 * SECOND, 400, 400_000_000);
        fixture.window(2, window * 10 * SECOND, 100, 20_000_000);
    }
    let child = |span: i64| Call {
        function: 2,
        span: PREFIX + span,
        parent: Some(PREFIX + 1),
        trace: Some(PREFIX + 1),
        duration_ns: 100_000,
        args: Some(r#"{"item":"tea"}"#),
        ..Call::default()
    };
    let mut calls: Vec<Call> = (10..20).map(child).collect();
    calls.push(Call {
        trace: Some(PREFIX + 1),
        outcome: 1,
        kept: 2,
        args: Some(r#"{"order":8812}"#),
        error: Some("card declined for 12 cents \u{1b}[31mred"),
        ..Call::default()
    });
    fixture.calls(&calls);
    fixture.error_group(1, "card declined for # cents", 7, 60 * SECOND);
    fixture.health(1);
    fixture
}

#[test]
fn without_a_terminal_it_fails_with_the_command_to_use_instead() {
    let fixture = Fixture::new();
    for arguments in [["tui"].as_slice(), &["top", "--live"]] {
        let error = monitor(&fixture.path, arguments).failed(2);
        assert!(error.contains("needs a terminal") && error.contains("monitor top --watch"), "{error}");
    }
    let error = monitor(&fixture.path, &["top", "--live", "--watch"]).failed(2);
    assert!(error.contains("--watch"), "{error}");
}

#[test]
fn every_screen_shows_the_store_at_three_sizes() {
    let fixture = with_everything();
    let Some(pane) = Pane::start(fixture.folder.path(), (80, 24)) else { return };
    pane.view(&fixture.path, "");
    for (columns, rows, own) in [
        (80, 24, ["P95 OVER TIME", "sort: total"]),
        (120, 40, ["called by", "P99"]),
        (200, 60, ["CALLS/S", "MAX"]),
    ] {
        pane.resize(columns, rows);
        pane.keys(&["1"]);
        pane.wait_for(&["shop::orders::place", "shop::stock::reserve", own[0], own[1], "? help  q quit"]);
        pane.keys(&["2"]);
        pane.wait_for(&["✗ error", "✓ ok", "{\"order\":8812}"]);
        if columns < 120 {
            // A narrow screen shows the details in place of the list.
            pane.keys(&["Enter"]);
        }
        pane.wait_for(&["call 11", "card declined for 12 cents ␛[31mred"]);
        pane.keys(&["3"]);
        pane.wait_for(&["COUNT", "card declined for # cents"]);
        pane.keys(&["4"]);
        pane.wait_for(&["no process that records into this store is running"]);
        pane.keys(&["5"]);
        pane.wait_for(&["LEVEL", "FINDING"]);
        pane.keys(&["6"]);
        pane.wait_for(&["SERVICE", "running", "crash"]);
        pane.keys(&["7"]);
        pane.wait_for(&["BREAKER", "degraded", "open"]);
    }
    // The keys lead from a call to its trace, whose equal siblings are one line, and open a fold.
    pane.keys(&["2"]);
    pane.wait_for(&["{\"order\":8812}"]);
    pane.keys(&["Enter"]);
    pane.wait_for(&["▸ shop::stock::reserve × 10", "11 calls", "1 failed"]);
    pane.keys(&["j", "l"]);
    pane.wait_for(&["▾ shop::stock::reserve × 10", "· shop::stock::reserve"]);
    pane.keys(&["y"]);
    pane.wait_for(&["copied: monitor trace"]);
    pane.resize(59, 20);
    pane.wait_for(&["too small: 60 × 15 needed"]);
    pane.resize(120, 40);
    pane.keys(&["q"]);
    pane.wait_for(&["ended 0", "monitor trace"]);
}

#[test]
fn a_storm_of_sizes_ends_in_the_last_size() {
    let fixture = with_everything();
    let Some(pane) = Pane::start(fixture.folder.path(), (120, 40)) else { return };
    pane.view(&fixture.path, "");
    pane.wait_for(&["shop::orders::place", "q quit"]);
    for step in 0..200 {
        pane.resize(40 + (step * 37) % 150, 8 + (step * 13) % 50);
    }
    pane.resize(110, 30);
    let is_whole = |screen: &str| {
        let lines: Vec<_> = screen.lines().collect();
        lines.len() == 30 && lines[29].contains("q quit") && screen.contains("shop::orders::place")
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_whole(&pane.screen()) {
        assert!(Instant::now() < deadline, "{}", pane.screen());
        std::thread::sleep(Duration::from_millis(50));
    }
    pane.keys(&["q"]);
    pane.wait_for(&["ended 0"]);
}

#[test]
fn the_terminal_is_as_before_after_every_signal() {
    let fixture = with_everything();
    let Some(pane) = Pane::start(fixture.folder.path(), (120, 40)) else { return };
    let before = pane.read_settings("before");
    for (signal, ended) in [
        ("TERM", "ended 143"),
        ("HUP", "ended 129"),
        ("INT", "ended 0"),
        ("QUIT", "ended 131"),
        ("ALRM", "ended 142"),
        ("USR1", "ended 138"),
    ] {
        pane.view(&fixture.path, "");
        pane.wait_for(&["shop::orders::place", "q quit"]);
        pane.signal(signal);
        pane.wait_for(&[ended]);
        // The shell restores the settings of the terminal by itself, but it does not leave the screen of the view.
        let is_left = pane.tmux(&["display-message", "-p", "#{alternate_on}"]).stdout == b"0\n";
        assert!(is_left, "{signal}");
        assert_eq!(pane.read_settings(&format!("after-{signal}")), before, "{signal}");
        pane.run("clear");
    }
    pane.view(&fixture.path, "");
    pane.wait_for(&["shop::orders::place", "q quit"]);
    for way in ["signal", "key"] {
        match way {
            "signal" => pane.signal("TSTP"),
            _ => pane.keys(&["C-z"]),
        }
        pane.wait_for(&["Stopped"]);
        assert_eq!(pane.read_settings(&format!("stopped-by-{way}")), before, "{way}");
        pane.run("clear; fg");
        pane.wait_for(&["shop::orders::place", "q quit"]);
    }
    pane.keys(&["q"]);
    pane.wait_for(&["prompt:"]);
    assert_eq!(pane.read_settings("after-quitting"), before);
}

/// The view in a terminal that is read only when the test reads.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "its test is one of Linux"))]
struct Unread {
    child: Child,
    terminal: File,
    inner: File,
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "its test is one of Linux"))]
impl Unread {
    fn start(store: &Path) -> Self {
        let (terminal, inner) = open_terminal((120, 40));
        let mut command = command(store.parent().unwrap(), &["tui", "--db"]);
        command.arg(store).env("TERM", "xterm");
        let end = || inner.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { child, terminal: terminal.into(), inner }
    }

    fn settings(&self) -> String {
        let settings = rustix::termios::tcgetattr(&self.inner).unwrap();
        format!("{:?} {:?} {:?}", settings.input_modes, settings.output_modes, settings.local_modes)
    }

    /// Reads until the terminal was sent this text.
    fn read_until(&mut self, text: &str) {
        let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
        let deadline = Instant::now() + PATIENCE;
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {:?}", String::from_utf8_lossy(&read));
            let mut waited = [PollFd::new(&self.terminal, PollFlags::IN)];
            let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            if rustix::event::poll(&mut waited, Some(&pause)).unwrap() > 0 {
                let count = self.terminal.read(&mut bytes).unwrap();
                read.extend_from_slice(&bytes[..count]);
            }
        }
    }

    /// Writes to the terminal until it takes no more, so that every write waits from then on.
    fn fill(&self) {
        let name = rustix::termios::ttyname(&self.inner, Vec::new()).unwrap();
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let end = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        // While the view writes, the terminal takes nothing either: only a terminal that stays full is full.
        let mut refused = 0;
        while refused < 100 {
            match rustix::io::write(&end, &[b'x'; 4096]) {
                Ok(_) => refused = 0,
                Err(error) => {
                    assert_eq!(error, rustix::io::Errno::AGAIN);
                    refused += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the view does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_the_view_also_if_the_terminal_does_not_read() {
    let fixture = with_everything();
    let stop_and_go_on: &[Signal] = &[Signal::TSTP, Signal::CONT];
    for (signal, code, keys, before) in [
        (Signal::TERM, 143, "", [].as_slice()),
        (Signal::TERM, 143, "\u{c}", &[]),
        (Signal::HUP, 129, "2", &[]),
        (Signal::QUIT, 131, "\u{c}", &[]),
        (Signal::ALARM, 142, "", stop_and_go_on),
    ] {
        let mut view = Unread::start(&fixture.path);
        let settings = view.settings();
        view.read_until("shop::orders::place");
        assert_ne!(view.settings(), settings, "{signal:?}");
        view.fill();
        view.terminal.write_all(keys.as_bytes()).unwrap();
        for signal in before {
            view.signal(*signal);
        }
        view.signal(signal);
        assert_eq!(view.wait_for_end().code(), Some(code), "{signal:?}");
        assert_eq!(view.settings(), settings, "{signal:?}");
        // A terminal that reads again leaves the screen.
        view.read_until("\u{1b}[?1049l");
    }
}

#[test]
fn a_rate_is_set_from_the_keyboard_after_a_yes() {
    let fixture = with_everything();
    let Some(pane) = Pane::start(fixture.folder.path(), (100, 30)) else { return };
    let rate = "INSERT INTO function_rate VALUES (1, 1, ?1, 1.0, 1.0, 'recorded', 1200.0, 1200.0, 50.0, NULL, NULL, NULL, '')";
    fixture.db.execute(rate, [fixture.now]).unwrap();
    pane.view(&fixture.path, "--ascii");
    pane.wait_for(&["shop::orders::place"]);
    pane.keys(&["r"]);
    pane.wait_for(&["set a sampling rate", "pattern  shop::orders::place"]);
    pane.tmux(&["send-keys", "-l", "0.1"]);
    pane.wait_for(&["about 120 rows/s instead of 1200"]);
    pane.keys(&["Enter"]);
    pane.wait_for(&["set this rate?"]);
    pane.keys(&["y"]);
    pane.wait_for(&["set shop::orders::place to 0.1: matches 1 function"]);
    let set: f64 = fixture
        .db
        .query_row("SELECT rate FROM sampling WHERE pattern = 'shop::orders::place'", [], |row| row.get(0))
        .unwrap();
    assert!((set - 0.1).abs() < 1e-9, "{set}");
}

/// Returns the CPU time that a process has used.
#[cfg(target_os = "linux")]
fn read_cpu_time(pid: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = [11, 12].into_iter().map(|at: usize| fields[at].parse::<u64>().unwrap()).sum();
    // Linux counts a hundred ticks a second on every platform.
    Duration::from_millis(ticks * 10)
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_functions_at_rest_take_a_twentieth_of_a_core() {
    let fixture = Fixture::new();
    let transaction = fixture.db.unchecked_transaction().unwrap();
    for id in 4..=10_000 {
        let insert =
            "INSERT INTO function VALUES (?1, 'shop::module::function_' || ?1, 'a.rs', 1, NULL, 1.0)";
        fixture.db.execute(insert, [id]).unwrap();
        for window in 0..3 {
            fixture.window(id, window * 10 * SECOND, 10, 10_000 * id);
        }
    }
    transaction.commit().unwrap();
    let Some(pane) = Pane::start(fixture.folder.path(), (120, 40)) else { return };
    pane.view(&fixture.path, "");
    pane.wait_for(&["shop::module::function_10000", "called by"]);
    // Reading the store for the first time is not rest.
    let (begun, used) = (Instant::now(), read_cpu_time(&pane.pid()));
    while begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = read_cpu_time(&pane.pid()).checked_sub(used).unwrap();
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
    // A build without optimisation draws and reads several times slower, but the pauses grow with the time that reading takes.
    assert!(share < 0.10, "{used:?} of CPU time in {:?}", begun.elapsed());
}
