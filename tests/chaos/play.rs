//! One run of the victim: a phase of work before a fault, one under it and one after it, and the judgement on it. A
//! second run without a recorder is its reference.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use monitor_runtime::limits;

use crate::oracle;
use crate::place::{NOBODY, Place};
use crate::row::Row;
use crate::shim;

/// The rounds of a phase. A round takes a little more than a millisecond.
pub(crate) const ROUNDS: u64 = 150;
/// The calls of a round.
pub(crate) const CALLS_A_ROUND: u64 = 12;
/// The bound on the victim's rings and backlog.
pub(crate) const MEMORY_MIB: u64 = 4;
/// The time after which rows arrive again once a fault is over: the breaker's pause and a bit.
pub(crate) const AGAIN_IN_TIME: Duration = Duration::from_secs(35);

/// The time after which no more rows are waited for, on the busiest machine: a minute more.
const AGAIN_MAX: Duration = Duration::from_secs(95);

/// The time within which a fault that can strike has struck, on the busiest machine.
const STRIKES_WITHIN: Duration = Duration::from_secs(60);

/// The time without a row after which earlier calls are taken to be lost, and more calls are made.
const CALLS_MORE_AFTER: Duration = Duration::from_secs(10);

/// The losses that the oracle accepts in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// Rows that were committed may be gone: the fault took their file, or the size bound deleted them.
    pub(crate) gone: bool,
    /// The fault never ends: rows may wait in memory until the program's end.
    pub(crate) unsettled: bool,
    /// Nothing is stored at all, which is right for this row.
    pub(crate) nothing_stored: bool,
}

/// A run to be made.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) place: Place,
    pub(crate) variables: Vec<(String, String)>,
    /// Shell commands such as `ulimit`, run before the victim.
    pub(crate) limits: Option<&'static str>,
    pub(crate) is_nobody: bool,
    /// The path of another build of the victim than the usual one.
    pub(crate) victim: Option<PathBuf>,
    pub(crate) rounds: u64,
    /// The lines that the victim may print on stderr.
    pub(crate) lines_max: usize,
    pub(crate) allowed: Allowed,
    /// The time for which the fault lasts beyond the work under it.
    pub(crate) lasts: Duration,
}

impl Play {
    pub(crate) fn new() -> Self {
        Self::in_place(Place::new())
    }

    pub(crate) fn in_place(place: Place) -> Self {
        Self {
            place,
            variables: Vec::new(),
            limits: None,
            is_nobody: false,
            victim: None,
            rounds: ROUNDS,
            lines_max: 0,
            allowed: Allowed::default(),
            lasts: Duration::ZERO,
        }
    }

    /// Sets a variable.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Loads the shim with rules that hold while the place is switched on.
    pub(crate) fn rules(self, rules: &str) -> Self {
        let switch = self.place.switch().to_str().unwrap().to_owned();
        self.rules_always(rules).with_variable("CHAOS_SWITCH", &switch)
    }

    /// Loads the shim with rules that hold from the victim's start to its end.
    pub(crate) fn rules_always(self, rules: &str) -> Self {
        let shim = shim::path().unwrap().to_str().unwrap().to_owned();
        let struck = self.place.struck_rules().to_str().unwrap().to_owned();
        let play = self
            .with_variable("LD_PRELOAD", &shim)
            .with_variable("CHAOS_MATCH", "/data/")
            .with_variable("CHAOS_RULES", rules);
        play.with_variable("CHAOS_STRUCK", &struck)
    }

    /// Returns the operations whose rules have not struck. Their row has shown nothing.
    pub(crate) fn not_struck(&self) -> Vec<&str> {
        let struck = self.shim_notes();
        let rules = self.variables.iter().find(|(name, _)| name == "CHAOS_RULES");
        let rules = rules.map_or("", |(_, rules)| rules.as_str());
        let ops = rules.split(',').filter_map(|rule| rule.split_once(':')).map(|(op, _)| op);
        ops.filter(|op| !struck.lines().any(|line| line == *op)).collect()
    }

    /// Returns what the shim has noted, a word a line.
    fn shim_notes(&self) -> String {
        std::fs::read_to_string(self.place.struck_rules()).unwrap_or_default()
    }

    /// Returns true if the shim has seen the thread that makes the calls write to stderr.
    pub(crate) fn has_caller_written(&self) -> bool {
        self.shim_notes().lines().any(|line| line == "caller_wrote")
    }

    /// Allows this many lines on stderr.
    pub(crate) fn lines(mut self, lines_max: usize) -> Self {
        self.lines_max = lines_max;
        self
    }

    pub(crate) fn allow(mut self, allowed: Allowed) -> Self {
        self.allowed = allowed;
        self
    }

    /// Keeps the fault in force for this long after the work under it.
    pub(crate) fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = lasts;
        self
    }

    pub(crate) fn limited(mut self, limits: &'static str) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Runs the victim as the user without rights.
    pub(crate) fn without_rights(mut self) -> Self {
        self.is_nobody = true;
        self.place.give_away();
        self
    }

    /// Waits until each rule has struck: a batch may wait a second or two before it is written.
    fn await_strike(&self) {
        let began = Instant::now();
        while !self.not_struck().is_empty() && began.elapsed() < STRIKES_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the victim's command in a clean environment.
    pub(crate) fn command(&self, scenario: &str, number: u64) -> Command {
        let victim = match &self.victim {
            Some(victim) => victim.clone(),
            None if self.is_nobody => self.place.public_victim(),
            None => env!("CARGO_BIN_EXE_victim").into(),
        };
        let mut command = Command::new(&victim);
        command.args([scenario, &number.to_string()]);
        if let Some(limits) = self.limits {
            command = Command::new("sh");
            command.args(["-c", &format!("{limits}; exec {} {scenario} {number}", victim.display())]);
        }
        command.env_clear().env("HOME", self.place.home()).env("MONITOR_DB", self.place.db());
        command.env("CHAOS_REPORT", self.place.report());
        command.env("MONITOR_MAX_MEMORY", format!("{MEMORY_MIB}MiB"));
        if let Some(rings) = self.place.rings() {
            command.env("MONITOR_RINGS", rings);
        }
        // Every call gets a row.
        command.env("MONITOR_MAX_RATE", "0").env("MONITOR_MAX_OVERHEAD", "100%");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.is_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs the phases: work, the fault, work under it, its end, work after it.
    pub(crate) fn run(self, fault: impl FnOnce(&Place, &Victim), lift: impl FnOnce(&Place, &Victim)) -> Row {
        let mut victim = Victim::start(self.command("phases", self.rounds));
        victim.tell("work");
        victim.tell("flush");
        fault(&self.place, &victim);
        let fault_ns = now_ns();
        victim.tell("work");
        std::thread::sleep(self.lasts);
        self.await_strike();
        lift(&self.place, &victim);
        let (lift_ns, lifted) = (now_ns(), Instant::now());
        victim.tell("work");
        let mut again = None;
        while !self.allowed.unsettled && lifted.elapsed() < AGAIN_MAX {
            if oracle::has_rows_since(&self.place, lift_ns) {
                again = Some(lifted.elapsed());
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            // Earlier calls may have found no room any more.
            if lifted.elapsed() > CALLS_MORE_AFTER {
                victim.ask("call");
            }
        }
        victim.tell("flush");
        let ended = victim.end();
        oracle::judge(&self, &ended, reference(self.rounds), (fault_ns, lift_ns), again)
    }
}

impl Play {
    /// Runs a command of this play to its end. If the command may have had no time to write everything, recovers the
    /// rest as the next start does: the end of a program waits for a bounded time, in which a busy machine may not let
    /// the writer run at all.
    pub(crate) fn output(&self, command: Command) -> Output {
        let began = Instant::now();
        let output = bounded(command);
        if began.elapsed() >= limits::EXIT_DRAIN_MAX {
            let variable = |name| self.variables.iter().rfind(|(known, _)| known == name);
            let db = variable("MONITOR_DB").map_or_else(|| self.place.db(), |(_, db)| db.into());
            let rings = variable("MONITOR_RINGS").map(|(_, rings)| rings.into());
            let rings = rings.or_else(|| self.place.rings().map(Path::to_owned));
            monitor_runtime::recover::recover(&db, rings.as_slice(), now_ns()).unwrap();
        }
        output
    }
}

/// Runs a command that a fault may make hang. It is killed after a while then, which shows in its status.
pub(crate) fn bounded(mut command: impl std::borrow::BorrowMut<Command>) -> Output {
    let command = command.borrow_mut();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > HANGS_AFTER {
            child.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// The time after which a command is killed: far more than any scenario takes that prints little and waits for
/// nothing.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// A running victim.
#[derive(Debug)]
pub(crate) struct Victim {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    said: String,
}

/// A victim's exit code and output.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) errors: String,
}

impl Victim {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A program that was just copied is busy while a child that another row has forked holds its descriptor.
        let mut child = loop {
            match command.spawn() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now();
                }
                spawned => break spawned.unwrap(),
            }
        };
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { orders: child.stdin.take(), child, answers, said: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order and waits for its answer, which belongs to the output.
    pub(crate) fn tell(&mut self, order: &str) {
        if let Some(answer) = self.ask(order) {
            self.said += &answer;
            self.said.push('\n');
        }
    }

    /// Gives an order and returns its answer.
    fn ask(&mut self, order: &str) -> Option<String> {
        if let Some(orders) = &mut self.orders {
            let _ = writeln!(orders, "{order}");
        }
        self.answers.next()?.ok()
    }

    pub(crate) fn end(mut self) -> Ended {
        if let Some(mut orders) = self.orders.take() {
            let _ = writeln!(orders, "end");
        }
        for answer in self.answers.by_ref().map_while(Result::ok) {
            self.said += &answer;
            self.said.push('\n');
        }
        let mut errors = String::new();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut errors);
        Ended { code: self.child.wait().unwrap().code(), said: self.said, errors }
    }
}

/// The victim's run without a recorder.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) ended: Ended,
    pub(crate) report: HashMap<String, u64>,
}

fn reference(rounds: u64) -> &'static Reference {
    static USUAL: OnceLock<Reference> = OnceLock::new();
    if rounds == ROUNDS {
        USUAL.get_or_init(|| run_reference(rounds))
    } else {
        Box::leak(Box::new(run_reference(rounds)))
    }
}

fn run_reference(rounds: u64) -> Reference {
    let play = Play::new().with_variable("MONITOR", "off");
    let mut victim = Victim::start(play.command("phases", rounds));
    for order in ["work", "flush", "work", "work", "flush"] {
        victim.tell(order);
    }
    let ended = victim.end();
    Reference { ended, report: oracle::read_report(&play.place) }
}

/// Returns the time in nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}
