//! One run of the victim: a phase of work before a fault, one under it and one after, and what came of
//! it; beside it, the same without a recorder.

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

/// By when a fault that can strike has, on the busiest machine.
const STRIKES_WITHIN: Duration = Duration::from_secs(60);

/// After this long without a row what was called so far is taken to be lost, and more is called.
const CALLS_MORE_AFTER: Duration = Duration::from_secs(10);

/// What the oracle has to put up with in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// Rows that were committed may be gone: the fault took the file that they were in, or the size
    /// bound their place.
    pub(crate) gone: bool,
    /// The fault is never over: rows may wait in memory until the end.
    pub(crate) unsettled: bool,
    /// Nothing is stored at all, as is right here.
    pub(crate) nothing_stored: bool,
}

/// A run to be made.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) place: Place,
    pub(crate) variables: Vec<(String, String)>,
    /// `ulimit` and the like, put before the victim.
    pub(crate) limits: Option<&'static str>,
    pub(crate) is_nobody: bool,
    /// Another build of the victim than the usual one.
    pub(crate) victim: Option<PathBuf>,
    pub(crate) rounds: u64,
    /// Lines that it may print on stderr.
    pub(crate) lines_max: usize,
    pub(crate) allowed: Allowed,
    /// How long the fault lasts beyond the work under it.
    pub(crate) lasts: Duration,
}

impl Play {
    pub(crate) fn new() -> Self {
        Self::at(Place::new())
    }

    pub(crate) fn at(place: Place) -> Self {
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

    /// With this variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the shim and these rules, which hold while the place is switched on.
    pub(crate) fn rules(self, rules: &str) -> Self {
        let switch = self.place.switch().to_str().unwrap().to_owned();
        self.rules_always(rules).with("CHAOS_SWITCH", &switch)
    }

    /// With the shim and these rules, from the victim's start to its end.
    pub(crate) fn rules_always(self, rules: &str) -> Self {
        let shim = shim::built().unwrap().to_str().unwrap().to_owned();
        let struck = self.place.struck().to_str().unwrap().to_owned();
        let play = self.with("LD_PRELOAD", &shim).with("CHAOS_MATCH", "/data/").with("CHAOS_RULES", rules);
        play.with("CHAOS_STRUCK", &struck)
    }

    /// What the rules are for and did not come to: a row that this names has shown nothing.
    pub(crate) fn not_struck(&self) -> Vec<&str> {
        let struck = self.told();
        let rules = self.variables.iter().find(|(name, _)| name == "CHAOS_RULES");
        let rules = rules.map_or("", |(_, rules)| rules.as_str());
        let ops = rules.split(',').filter_map(|rule| rule.split_once(':')).map(|(op, _)| op);
        ops.filter(|op| !struck.lines().any(|line| line == *op)).collect()
    }

    /// What the shim has said, a word a line.
    fn told(&self) -> String {
        std::fs::read_to_string(self.place.struck()).unwrap_or_default()
    }

    /// Whether a line on stderr came from the thread that makes the calls, as far as the shim looked.
    pub(crate) fn has_caller_written(&self) -> bool {
        self.told().lines().any(|line| line == "caller_wrote")
    }

    /// Printing so many lines at most.
    pub(crate) fn lines(mut self, lines_max: usize) -> Self {
        self.lines_max = lines_max;
        self
    }

    pub(crate) fn allow(mut self, allowed: Allowed) -> Self {
        self.allowed = allowed;
        self
    }

    /// With the fault in force for this long after the work under it.
    pub(crate) fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = lasts;
        self
    }

    pub(crate) fn limited(mut self, limits: &'static str) -> Self {
        self.limits = Some(limits);
        self
    }

    /// As the user without rights.
    pub(crate) fn without_rights(mut self) -> Self {
        self.is_nobody = true;
        self.place.give_away();
        self
    }

    /// Waits until each rule has come into effect: a batch may wait a second or two before it is written.
    fn await_strike(&self) {
        let began = Instant::now();
        while !self.not_struck().is_empty() && began.elapsed() < STRIKES_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The victim's command in an environment of its own.
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
        // Every call is to have its row.
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
            // What was called so far may have found no room any more.
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
    /// Runs a command of its to the end, and where that may have had no time to write everything, brings the
    /// rest in, as the next start does: an end waits for so long and no longer, in which a busy machine may not
    /// let the writer run at all.
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

/// Runs a command that a fault may make hang: it is killed then, which shows in its status.
pub(crate) fn bounded(mut command: Command) -> Output {
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

/// Far more than any scenario takes that says little and waits for nothing.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// A victim that runs.
#[derive(Debug)]
pub(crate) struct Victim {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    said: String,
}

/// How a victim ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) errors: String,
}

impl Victim {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A program just copied is busy while a child that another row has forked holds its descriptor.
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

    /// Has something done, and waits for its answer, which belongs to the output.
    pub(crate) fn tell(&mut self, order: &str) {
        if let Some(answer) = self.ask(order) {
            self.said += &answer;
            self.said.push('\n');
        }
    }

    /// Has something done, and waits for its answer.
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

/// What the victim is without a recorder.
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
    let play = Play::new().with("MONITOR", "off");
    let mut victim = Victim::start(play.command("phases", rounds));
    for order in ["work", "flush", "work", "work", "flush"] {
        victim.tell(order);
    }
    let ended = victim.end();
    Reference { ended, report: oracle::read_report(&play.place) }
}

/// Now, in nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}
