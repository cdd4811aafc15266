//! The machine against a reference over random scripts of calls that begin, end in every way and at any time, and of
//! people who hold and release the breaker.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use proptest::prelude::*;

use crate::breaker::{Event, Rules, State};
use crate::gate::{Gate, Word};
use crate::machine::{End, Machine, Refusal, Ticket};

#[derive(Debug, Clone, Copy)]
enum Op {
    Begin,
    /// Ends one of the calls under way.
    End(usize, Way),
    Pass(u16),
    HoldOpen,
    HoldClosed,
    Release,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Ok,
    Err,
    Fatal,
    Dropped,
}

const RULES: Rules = Rules {
    failures: 3,
    pause: Duration::from_secs(30),
    pause_max: Duration::from_secs(300),
    stable: Duration::from_secs(60),
    try_max: None,
};

fn machine(rules: Rules) -> Machine {
    Machine {
        gate: Gate { word: AtomicU64::new(Word::FIRST.number()) },
        retry_at_ns: AtomicU64::new(u64::MAX),
        breaker: Mutex::new(None),
        rules,
    }
}

/// The reference, written from the description of the guard and not from its code. Times are seconds.
#[derive(Debug)]
struct Reference {
    state: State,
    is_held: bool,
    /// The number of the call that tries.
    trying: Option<usize>,
    failures: u32,
    entered: u64,
    pause: u64,
    has_opened: bool,
    /// The calls under way that still count.
    counted: Vec<usize>,
}

impl Reference {
    fn new() -> Self {
        Self {
            state: State::Closed,
            is_held: false,
            trying: None,
            failures: 0,
            entered: 0,
            pause: 30,
            has_opened: false,
            counted: Vec::new(),
        }
    }

    fn enter(&mut self, state: State, now: u64) {
        if self.state != state {
            self.entered = now;
        }
        self.state = state;
        self.trying = None;
        self.counted.clear();
    }

    fn begin(&mut self, call: usize, now: u64) -> Result<bool, Refusal> {
        if self.state == State::Open && !self.is_held && now >= self.entered + self.pause {
            self.enter(State::HalfOpen, now);
        }
        match self.state {
            State::Closed => {
                self.counted.push(call);
                Ok(false)
            }
            State::Open if self.is_held => Err(Refusal::Held),
            State::Open => Err(Refusal::Open(Duration::from_secs(self.entered + self.pause - now))),
            State::HalfOpen if self.trying.is_some() => Err(Refusal::Trying),
            State::HalfOpen => {
                self.trying = Some(call);
                Ok(true)
            }
        }
    }

    fn end(&mut self, call: usize, way: Way, now: u64) {
        let is_try = self.trying == Some(call);
        if !is_try && !self.counted.contains(&call) {
            return;
        }
        self.counted.retain(|counted| *counted != call);
        match way {
            Way::Dropped if is_try => self.trying = None,
            Way::Dropped => {}
            Way::Ok if is_try => {
                self.enter(State::Closed, now);
                self.failures = 0;
            }
            Way::Ok => self.failures = 0,
            Way::Err | Way::Fatal => {
                self.failures += 1;
                let is_enough = matches!(way, Way::Fatal) || self.failures >= 3;
                if is_try || is_enough && !self.is_held {
                    let is_again = self.has_opened && (is_try || now - self.entered < 60);
                    self.pause = if is_again { (2 * self.pause).min(300) } else { 30 };
                    self.has_opened = true;
                    self.enter(State::Open, now);
                }
            }
        }
    }

    fn hold(&mut self, state: State, now: u64) {
        let changes = self.state != state || !self.is_held;
        let (counted, since) = (self.counted.clone(), self.entered);
        self.enter(state, now);
        if !changes {
            (self.counted, self.entered) = (counted, since);
        }
        self.is_held = true;
        self.failures = 0;
    }

    fn release(&mut self, now: u64) {
        if self.is_held {
            self.is_held = false;
            let to = if self.state == State::Open { State::HalfOpen } else { self.state };
            self.enter(to, now);
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let way =
        prop_oneof![3 => Just(Way::Ok), 5 => Just(Way::Err), 1 => Just(Way::Fatal), 2 => Just(Way::Dropped)];
    prop_oneof![
        8 => Just(Op::Begin),
        8 => (any::<usize>(), way).prop_map(|(call, way)| Op::End(call, way)),
        4 => prop_oneof![0_u16..5, 0_u16..70, 0_u16..400].prop_map(Op::Pass),
        1 => Just(Op::HoldOpen),
        1 => Just(Op::HoldClosed),
        2 => Just(Op::Release),
    ]
}

fn play(script: &[Op]) {
    let (machine, mut reference) = (machine(RULES), Reference::new());
    let (mut now, mut calls) = (1000_u64, 0);
    let mut under_way: Vec<(usize, Ticket)> = Vec::new();
    for op in script {
        let at = Duration::from_secs(now);
        match *op {
            Op::Begin => {
                calls += 1;
                let expected = reference.begin(calls, now);
                let given = machine.admit_fast().map_or_else(|| machine.admit(at).0, Ok);
                assert_eq!(given.map(|ticket| ticket.is_try), expected);
                under_way.extend(given.ok().map(|ticket| (calls, ticket)));
            }
            Op::End(number, way) => {
                if under_way.is_empty() {
                    continue;
                }
                let (call, ticket) = under_way.swap_remove(number % under_way.len());
                reference.end(call, way, now);
                let end = match way {
                    Way::Ok if machine.succeed_fast(ticket) => continue,
                    Way::Ok => End::Success,
                    Way::Err => End::Failure("refused"),
                    Way::Fatal => End::Fatal("revoked"),
                    Way::Dropped => End::Nothing,
                };
                machine.end(ticket, at, end);
            }
            Op::Pass(seconds) => now += u64::from(seconds),
            Op::HoldOpen => {
                reference.hold(State::Open, now);
                machine.hold(at, Event::ForceOpen { why: "maintenance", by: "ada" });
            }
            Op::HoldClosed => {
                reference.hold(State::Closed, now);
                machine.hold(at, Event::ForceClose { why: "known noise", by: "ada" });
            }
            Op::Release => {
                reference.release(now);
                machine.hold(at, Event::Auto { why: "", by: "ada" });
            }
        }
        let statistics = machine.statistics(Duration::from_secs(now));
        assert_eq!(statistics.state, reference.state, "after {op:?}");
        assert_eq!(statistics.held.is_some(), reference.is_held, "after {op:?}");
        let tries = under_way.iter().filter(|(_, ticket)| ticket.is_try).count();
        if reference.trying.is_some() {
            assert!(tries >= 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_reference_does(script in proptest::collection::vec(op(), 0..200)) {
        play(&script);
    }

    #[test]
    fn no_pause_and_no_moment_makes_the_machine_panic_or_wait(
        pauses in [extreme(), extreme(), extreme()],
        script in proptest::collection::vec((extreme(), 0..7_usize), 0..40),
    ) {
        let [pause, pause_max, stable] = pauses;
        let machine = machine(Rules { failures: 1, pause, pause_max, stable, try_max: None });
        let ends = [End::Success, End::Failure("refused"), End::Fatal("revoked"), End::Nothing];
        for (now, way) in script {
            if let Some(end) = ends.get(way) {
                if let Ok(ticket) = machine.admit_fast().map_or_else(|| machine.admit(now).0, Ok) {
                    machine.end(ticket, now, *end);
                }
            } else {
                let holds = [
                    Event::ForceOpen { why: "maintenance", by: "ada" },
                    Event::ForceClose { why: "known noise", by: "ada" },
                    Event::Auto { why: "", by: "ada" },
                ];
                machine.hold(now, holds[way - ends.len()]);
            }
            machine.statistics(now);
        }
    }
}

fn extreme() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0..400_u64).prop_map(Duration::from_secs),
        Just(Duration::from_nanos(u64::MAX)),
        Just(Duration::from_nanos(u64::MAX).saturating_add(Duration::from_nanos(1))),
        Just(Duration::MAX),
    ]
}
