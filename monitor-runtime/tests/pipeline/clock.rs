//! Counters that go astray under a program, simulated: no call is lost, no other function's times are wrong, and it is told.

use super::account::figures;
use super::ledger::Entries;
use super::program::{Ending, Functions, call};
use super::{Recorder, random};
use crate::collect::Mode;
use crate::platform::clock_simulated::SimulatedClock;

/// A fault of a counter, and how often it is told.
type Fault = (&'static str, fn(&SimulatedClock), usize);

const FAULTS: [Fault; 8] = [
    ("none", |_| (), 0),
    ("back by ten seconds", |simulated| simulated.shift_us(-10_000_000), 1),
    ("a minute of suspend", |simulated| simulated.shift_us(60_000_000), 1),
    ("reset", |simulated| simulated.set_ticks(0), 1),
    ("another frequency", |simulated| simulated.set_rate(3_100), 1),
    ("one reading in fifty a microsecond behind", |simulated| simulated.set_behind(50), 0),
    ("stands still", |simulated| simulated.set_rate(0), 1),
    ("the counter of another machine", |simulated| simulated.set_ticks(u64::MAX / 3), 1),
];

const MS: u64 = 1_000_000;

/// Functions by the time at which they are called: before the fault, while it happens, after it.
const BEFORE: usize = 0;
const MEANWHILE: usize = 1;
const AFTER: usize = 2;

/// A recorder and a program by a simulated clock. The collector steps on the thread of the test.
struct Simulation {
    recorder: Recorder,
    functions: Functions,
    clock: &'static SimulatedClock,
}

impl Simulation {
    fn new(ticks: u64) -> Self {
        let clock = SimulatedClock::new(ticks, 2_500);
        clock.enter();
        let recorder = Recorder::new(&random::idle_program(Vec::new()));
        Self { recorder, functions: Functions::new(), clock }
    }

    /// Makes calls of a millisecond each, and as many steps of the collector.
    fn run(&mut self, function: usize, calls: usize) {
        for _ in 0..calls {
            self.call(function, |clock| clock.pass_us(1_000));
            self.clock.pass_us(100_000);
            self.recorder.collector.step(Mode::Usual);
        }
    }

    /// Makes a call on a thread of its own.
    fn call(&self, function: usize, body: impl FnOnce(&SimulatedClock) + Send) {
        let (clock, rings, site) = (self.clock, self.recorder.rings, self.functions.site(function));
        let run = || {
            clock.enter();
            rings.acquire().expect("memory for a thread's state");
            call(site, 7, Ending::Ok, || body(clock));
        };
        std::thread::scope(|scope| {
            scope.spawn(run);
        });
    }

    /// Returns the longest and the shortest duration of a function's rows, in nanoseconds.
    fn durations(&self, function: usize, entries: &Entries) -> (u64, u64) {
        let id = self.functions.id(function);
        let rows = || entries.calls.iter().filter(|row| row.function == id).map(|row| row.duration_ns);
        (rows().min().unwrap_or(0), rows().max().unwrap_or(u64::MAX))
    }
}

fn check((name, fault, told): Fault, start: u64) {
    let mut simulation = Simulation::new(start);
    simulation.run(BEFORE, 50);
    simulation.call(MEANWHILE, |clock| {
        clock.pass_us(500);
        fault(clock);
        clock.pass_us(500);
    });
    simulation.run(AFTER, 100);
    simulation.recorder.settle();
    let entries = simulation.recorder.ledger.entries();
    for (function, calls) in [(BEFORE, 50), (MEANWHILE, 1), (AFTER, 100)] {
        let stats = figures(&entries, simulation.functions.id(function));
        assert_eq!(stats.calls, calls, "{name}");
        let longest = if function == MEANWHILE { 300 } else { 2 * calls };
        assert!(stats.total_ns <= longest * MS, "{name}: {} ns", stats.total_ns);
    }
    let ((least, most), (_, most_meanwhile)) =
        (simulation.durations(BEFORE, &entries), simulation.durations(MEANWHILE, &entries));
    assert!(least >= MS * 95 / 100 && most <= MS * 105 / 100, "{name}: {least} to {most} ns");
    assert!(most_meanwhile <= 300 * MS, "{name}: {most_meanwhile} ns");
    let id = simulation.functions.id(AFTER);
    let rows: Vec<_> = entries.calls.iter().filter(|row| row.function == id).collect();
    // The first call after the fault may have ended before the collector saw it.
    for row in &rows[1..] {
        assert!(row.duration_ns.abs_diff(MS) <= MS / 20, "{name}: {} ns", row.duration_ns);
    }
    assert!(rows.is_sorted_by_key(|row| row.start_ns), "{name}: calls are in their order");
    let events: Vec<_> = entries.events.iter().filter(|(kind, _)| kind == "clock").collect();
    assert_eq!(events.len(), told, "{name}: {events:?}");
}

#[test]
fn a_counter_that_goes_astray_loses_no_call_and_spoils_no_other_function() {
    for fault in FAULTS {
        check(fault, 1 << 40);
    }
}

#[test]
fn a_counter_that_passes_its_last_value_meanwhile_is_no_other() {
    for fault in FAULTS.into_iter().take(3) {
        check(fault, u64::MAX - 2_500 * 5_100_000);
    }
}

#[test]
fn a_counter_that_goes_astray_four_times_is_not_read_any_more() {
    let mut simulation = Simulation::new(1 << 40);
    for _ in 0..4 {
        simulation.run(BEFORE, 30);
        simulation.clock.shift_us(3_600_000_000);
    }
    simulation.run(AFTER, 30);
    simulation.recorder.settle();
    let entries = simulation.recorder.ledger.entries();
    let events: Vec<_> = entries.events.iter().filter(|(kind, _)| kind == "clock").collect();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[2].1.contains("in its place"), "{events:?}");
    let (least, most) = simulation.durations(AFTER, &entries);
    assert!(least >= MS * 95 / 100 && most <= MS * 105 / 100, "{least} to {most} ns");
    assert_eq!(figures(&entries, simulation.functions.id(BEFORE)).calls, 120);
}
