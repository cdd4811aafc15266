//! Tests of the clock by a simulated counter, which goes astray as those of real machines do.

use super::clock::{Calibration, Clock, counter, elapsed, monotonic_ns, ticks, ticks_from_ns};
use super::clock_os::LATEST_NS;
use super::clock_segments::DRIFTS_MAX;
use super::clock_simulated::SimulatedClock;

const MS: u64 = 1_000_000;

/// Returns a clock over a counter of 2.5 GHz after two seconds of steps.
fn clock_after_start(simulated: &'static SimulatedClock) -> Clock {
    simulated.enter();
    let mut clock = Clock::start();
    let told: Vec<String> = (0..25).filter_map(|_| step(&mut clock, simulated)).collect();
    assert!(told.is_empty(), "{told:?}");
    clock
}

/// Lets a tenth of a second pass, and takes an anchor.
fn step(clock: &mut Clock, simulated: &SimulatedClock) -> Option<String> {
    simulated.pass_us(100_000);
    clock.advance()
}

/// Makes a call of a millisecond. Returns its duration, and by how much its start is off, in nanoseconds.
fn call_of_a_millisecond(clock: &mut Clock, simulated: &SimulatedClock) -> (u64, i64) {
    let (start, start_ns) = (ticks(), clock.now_ns());
    simulated.pass_us(999);
    let duration = elapsed(start, ticks());
    assert_eq!(clock.advance(), None);
    (clock.call_ns(start, duration), clock.unix_ns(start) - start_ns)
}

/// Asserts that calls have their right times.
fn assert_right(clock: &mut Clock, simulated: &SimulatedClock) {
    let (duration_ns, off_ns) = call_of_a_millisecond(clock, simulated);
    assert!(duration_ns.abs_diff(MS) < MS / 20, "{duration_ns} ns");
    assert!(off_ns.unsigned_abs() < MS, "{off_ns} ns");
}

/// A fault of a counter: its name, and the function that makes the simulated counter go astray once.
type Fault = (&'static str, fn(&SimulatedClock));

const FAULTS: [Fault; 7] = [
    ("back by ten seconds", |simulated| simulated.shift_us(-10_000_000)),
    ("a minute of suspend", |simulated| simulated.shift_us(60_000_000)),
    ("reset", |simulated| simulated.set_ticks(0)),
    ("set to a value of another machine", |simulated| simulated.set_ticks(u64::MAX / 3)),
    ("another frequency", |simulated| simulated.set_rate(3_100)),
    ("a lower frequency", |simulated| simulated.set_rate(1_000)),
    ("a second ahead", |simulated| simulated.shift_us(1_000_000)),
];

#[test]
fn times_are_right_again_as_soon_as_a_counter_that_went_astray_was_noticed() {
    for (name, fault) in FAULTS {
        let simulated = SimulatedClock::new(1 << 40, 2_500);
        let mut clock = clock_after_start(simulated);
        assert_right(&mut clock, simulated);
        fault(simulated);
        let told = step(&mut clock, simulated).unwrap_or_else(|| panic!("{name} is noticed"));
        assert!(told.contains("measured anew"), "{told}");
        for _ in 0..100 {
            assert_right(&mut clock, simulated);
            assert_eq!(step(&mut clock, simulated), None, "{name} is told once");
        }
    }
}

#[test]
fn a_call_over_which_the_counter_went_astray_lasts_no_longer_than_time_says() {
    for (name, fault) in FAULTS {
        let simulated = SimulatedClock::new(1 << 40, 2_500);
        let mut clock = clock_after_start(simulated);
        let start = ticks();
        simulated.pass_us(500);
        fault(simulated);
        simulated.pass_us(500);
        let duration = elapsed(start, ticks());
        let _ = step(&mut clock, simulated);
        let ns = clock.call_ns(start, duration);
        assert!(ns <= 200 * MS, "{name}: {ns} ns");
        let off = clock.now_ns() - clock.unix_ns(start);
        assert!((0..=1_300_000_000).contains(&off), "{name}: {off} ns");
    }
}

#[test]
fn a_record_that_is_read_late_has_the_times_of_before() {
    for (name, fault) in FAULTS {
        let simulated = SimulatedClock::new(1 << 40, 2_500);
        let mut clock = clock_after_start(simulated);
        let (start, start_ns) = (ticks(), clock.now_ns());
        simulated.pass_us(999);
        let duration = elapsed(start, ticks());
        assert_eq!(step(&mut clock, simulated), None);
        fault(simulated);
        let _ = step(&mut clock, simulated);
        let (ns, off) = (clock.call_ns(start, duration), clock.unix_ns(start) - start_ns);
        assert!(ns.abs_diff(MS) < MS / 20, "{name}: {ns} ns");
        assert!(off.unsigned_abs() <= 200 * MS, "{name}: {off} ns");
    }
}

#[test]
fn a_counter_that_goes_astray_again_and_again_is_not_read_any_more() {
    let simulated = SimulatedClock::new(1 << 40, 2_500);
    let mut clock = clock_after_start(simulated);
    let mut told = Vec::new();
    for _ in 0..DRIFTS_MAX {
        simulated.shift_us(60_000_000);
        told.extend(step(&mut clock, simulated));
        told.extend(step(&mut clock, simulated));
    }
    assert_eq!(told.len(), DRIFTS_MAX, "{told:?}");
    assert!(told[DRIFTS_MAX - 1].contains("in its place"), "{told:?}");
    simulated.set_ticks(17);
    for _ in 0..100 {
        assert_right(&mut clock, simulated);
        assert_eq!(step(&mut clock, simulated), None);
    }
}

#[test]
fn a_counter_that_stands_still_is_left_at_once() {
    let simulated = SimulatedClock::new(1 << 40, 2_500);
    let mut clock = clock_after_start(simulated);
    simulated.set_rate(0);
    let told = step(&mut clock, simulated).expect("it is noticed");
    assert!(told.contains("in its place"), "{told}");
    assert_right(&mut clock, simulated);
}

#[test]
fn a_counter_that_stands_still_from_the_start_is_left_at_once() {
    let simulated = SimulatedClock::new(1 << 40, 0);
    simulated.enter();
    let mut clock = Clock::start();
    assert!(clock.advance().is_some_and(|told| told.contains("in its place")));
    assert_right(&mut clock, simulated);
}

#[test]
fn cores_that_differ_by_a_microsecond_are_no_fault() {
    let simulated = SimulatedClock::new(1 << 40, 2_500);
    simulated.set_behind(50);
    let mut clock = clock_after_start(simulated);
    for _ in 0..1000 {
        let (duration_ns, _) = call_of_a_millisecond(&mut clock, simulated);
        assert!(duration_ns.abs_diff(MS) < MS / 20, "{duration_ns}");
    }
}

#[test]
fn a_counter_that_passes_its_last_value_is_no_fault() {
    let simulated = SimulatedClock::new(u64::MAX - 2_500 * 3_000_000, 2_500);
    let mut clock = clock_after_start(simulated);
    for _ in 0..100 {
        assert_right(&mut clock, simulated);
        assert_eq!(step(&mut clock, simulated), None);
    }
    assert!(counter() < u64::MAX / 2, "the counter has passed its last value");
}

#[test]
fn a_clock_that_a_time_server_moves_is_no_fault() {
    let simulated = SimulatedClock::new(1 << 40, 100_000);
    let mut clock = clock_after_start(simulated);
    simulated.set_rate(100_050);
    for _ in 0..100 {
        assert_eq!(step(&mut clock, simulated), None);
        assert_right(&mut clock, simulated);
    }
}

#[test]
fn no_ticks_overflow_anything() {
    let edges = [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
    let moments = [i64::MIN, -1, 0, LATEST_NS, i64::MAX];
    for (rate, ticks) in edges.iter().flat_map(|rate| edges.map(|ticks| (*rate, ticks))) {
        for unix_ns in moments {
            let clock = Clock::from_calibration(Calibration { ticks, unix_ns, rate }, unix_ns);
            for other in edges {
                let _ = (clock.unix_ns(other), clock.call_ns(ticks, other), clock.call_ns(other, ticks));
                let _ = (clock.duration_ns(other), clock.calibration());
            }
        }
    }
    let simulated = SimulatedClock::new(5, 2_500);
    let mut clock = clock_after_start(simulated);
    for edge in edges {
        simulated.set_ticks(edge);
        let _ = step(&mut clock, simulated);
        for other in edges {
            let _ = (clock.unix_ns(other), clock.call_ns(other, edge), clock.duration_ns(other));
        }
    }
}

#[test]
fn a_duration_survives_the_round_trip_through_ticks() {
    let mut clock = Clock::start();
    let start = monotonic_ns();
    while monotonic_ns() - start < 3 * MS {}
    let _ = clock.advance();
    let ticks = ticks_from_ns(MS);
    let back = clock.duration_ns(ticks);
    assert!(back.abs_diff(MS) < 1_000, "{back}");
}

#[test]
fn unix_time_of_a_tick_follows_the_monotonic_clock() {
    let mut clock = Clock::start();
    let start = monotonic_ns();
    while monotonic_ns() - start < 3 * MS {}
    let _ = clock.advance();
    let now = clock.now_ns();
    let converted = clock.unix_ns(ticks());
    assert!(converted >= now - 1_000 && converted < now + 1_000_000_000, "{converted} {now}");
    assert!(clock.unix_ns(ticks()) >= converted);
}
