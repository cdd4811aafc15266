//! Calls that succeed, fail in every way, and are answered by fallbacks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use monitored_guard::{Guard, Level, Retry, Source, State, Verdict, Why, guards};

const NO_PAUSE: Retry = Retry::times(4).pause(Duration::ZERO);

fn fail(times: usize, guard: &'static Guard) {
    for _ in 0..times {
        let _ = guard.call(|| Err::<(), _>("connection refused")).into_result();
    }
}

#[test]
fn three_failures_in_a_row_open_it_and_calls_are_then_not_made() {
    static GUARD: Guard = Guard::new("three");
    fail(2, &GUARD);
    assert_eq!(GUARD.call(|| Ok::<_, String>(7)).into_result(), Ok(7));
    fail(2, &GUARD);
    assert_eq!(GUARD.state(), State::Closed);
    fail(1, &GUARD);
    let why = GUARD.call(|| -> Result<(), String> { unreachable!() }).into_result().unwrap_err();
    assert!(why.to_string().starts_with("three is open: "), "{why}");
    assert!(why.to_string().ends_with(" s until the next try (last: connection refused)"), "{why}");
    let report = GUARD.report();
    assert_eq!((report.calls, report.failures, report.rejected, report.openings), (6, 5, 1, 1));
    assert_eq!(report.level, Level::Unavailable);
    assert!(guards().iter().any(|listed| listed.name == "three" && listed.state == State::Open));
}

#[test]
fn the_longest_pause_keeps_it_open() {
    static GUARD: Guard = Guard::new("for ever").failures(1).pause(Duration::MAX).pause_max(Duration::MAX);
    fail(1, &GUARD);
    let why = GUARD.call(|| -> Result<(), String> { unreachable!() }).into_result().unwrap_err();
    assert!(why.to_string().starts_with("for ever is open: "), "{why}");
    assert!(GUARD.report().retry_in.is_some_and(|left| left > Duration::from_secs(1 << 40)));
}

#[test]
fn a_panic_counts_as_a_failure_and_goes_on() {
    static GUARD: Guard = Guard::new("panics").failures(1);
    let call = || GUARD.call(|| -> Result<(), String> { panic!("boom") }).into_result();
    let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"boom"));
    assert_eq!(GUARD.report().last_failure.as_deref(), Some("a call panicked"));
    assert_eq!(GUARD.state(), State::Open);
}

#[test]
fn a_panic_while_an_error_is_classified_ends_the_call_too() {
    static GUARD: Guard = Guard::new("classifier").failures(1);
    let call = || {
        let classified = GUARD.classify(|_: &&str| panic!("no such class"));
        classified.call(|| Err::<(), _>("refused")).into_result()
    };
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    assert_eq!((GUARD.report().failures, GUARD.state()), (1, State::Open));
}

#[test]
fn a_slow_call_is_a_failure_that_has_a_value() {
    static GUARD: Guard = Guard::new("slow").failures(1).slow(Duration::from_millis(1));
    assert_eq!(GUARD.call(|| Ok::<_, String>(1)).into_result(), Ok(1));
    let slow = || {
        std::thread::sleep(Duration::from_millis(20));
        Ok::<_, String>(2)
    };
    // The first call was quick, unless the machine held it up.
    if GUARD.state() == State::Closed {
        assert_eq!(GUARD.call(slow).into_result(), Ok(2));
    }
    assert_eq!(GUARD.state(), State::Open);
    assert!(GUARD.report().last_failure.unwrap().starts_with("a call took "));
}

#[test]
fn a_slow_call_is_a_failure_whatever_the_class_of_its_error() {
    static GUARD: Guard =
        Guard::new("slow errors").failures(1).pause(Duration::ZERO).slow(Duration::from_millis(1));
    for (round, verdict) in [Verdict::DoNotRetry, Verdict::Wait(None)].into_iter().cycle().take(4).enumerate()
    {
        // From the second round on this is the one try of the half-open state.
        let slow = || {
            std::thread::sleep(Duration::from_millis(20));
            Err::<(), _>("invalid")
        };
        let answer = GUARD.classify(|_: &&str| verdict).call(slow);
        assert_eq!(answer.into_result(), Err(Why::Failed("invalid")));
        assert_eq!(GUARD.state(), State::Open, "{verdict:?}");
        assert_eq!(GUARD.report().failures, round as u64 + 1);
    }
}

#[test]
fn errors_have_the_class_that_the_program_gives_them() {
    static GUARD: Guard = Guard::new("classes").failures(2);
    static IGNORING: Guard = Guard::new("ignoring").failures(1);
    let call = |error: &'static str| {
        let class = |error: &&str| match *error {
            "invalid" => Verdict::DoNotRetry,
            "busy" => Verdict::Wait(None),
            "revoked" => Verdict::Fatal,
            _ => Verdict::Retry,
        };
        GUARD.classify(class).call(|| Err::<(), _>(error)).into_result().unwrap_err()
    };
    for error in ["invalid", "busy", "lost", "busy", "invalid", "lost", "busy"] {
        assert_eq!(call(error), Why::Failed(error), "an answer of the part starts the count anew");
    }
    assert_eq!(GUARD.state(), State::Closed);
    call("revoked");
    assert_eq!((GUARD.state(), GUARD.report().failures), (State::Open, 3));
    let ignored = IGNORING.ignore(|error: &&str| *error == "invalid").call(|| Err::<(), _>("invalid"));
    assert_eq!((ignored.into_result(), IGNORING.state()), (Err(Why::Failed("invalid")), State::Closed));
}

#[test]
fn a_cached_value_stands_in_for_a_failure_of_its_key() {
    static GUARD: Guard = Guard::new("cached").failures(1);
    let minute = Duration::from_secs(60);
    assert_eq!(GUARD.call(|| Ok::<_, String>(1.1)).or_cached("EURUSD", minute).into_result(), Ok(1.1));
    let failed = || GUARD.call(|| Err::<f64, _>("refused".to_owned()));
    let cached = failed().or_cached("EURUSD", minute);
    assert!(matches!(cached.source(), Source::Cached(age) if age < minute));
    assert_eq!(cached.into_result(), Ok(1.1));
    assert_eq!(GUARD.report().level, Level::Degraded);
    assert!(failed().or_cached("GBPUSD", minute).into_result().is_err());
    assert_eq!(GUARD.report().level, Level::Unavailable);
    assert!(failed().or_cached("EURUSD", Duration::ZERO).into_result().is_err());
    let report = GUARD.report();
    assert_eq!((report.calls, report.rejected, report.fallbacks_cached), (2, 2, 1));
}

#[test]
fn an_earlier_value_does_not_become_a_new_one_under_another_key() {
    static GUARD: Guard = Guard::new("two keys").failures(1);
    let minute = Duration::from_secs(60);
    assert_eq!(GUARD.call(|| Ok::<_, String>(1)).or_cached("near", minute).into_result(), Ok(1));
    let failed = || GUARD.call(|| Err::<i32, _>("refused".to_owned()));
    let answer = failed().or_cached("near", minute).or_cached("far", minute);
    assert!(matches!(answer.source(), Source::Cached(_)));
    assert_eq!(answer.into_result(), Ok(1));
    assert!(failed().or_cached("far", minute).into_result().is_err(), "the value was never stored there");
    assert_eq!(GUARD.report().fallbacks_cached, 1);
}

#[test]
fn a_fixed_value_and_another_function_stand_in_for_a_failure() {
    static GUARD: Guard = Guard::new("stand-ins").failures(1);
    let failed = || GUARD.call(|| Err::<u32, _>("refused"));
    assert_eq!(GUARD.call(|| Ok::<_, &str>(9)).or_value(1), 9);
    assert_eq!(failed().or_value(1), 1);
    assert_eq!(GUARD.report().level, Level::Minimal);
    assert_eq!(failed().or_else(|why| why.is_rejection().then_some(2).ok_or("made")), Ok(2));
    assert_eq!(GUARD.report().level, Level::Degraded);
    assert_eq!(failed().or_else(|_| Err("backup is away")), Err("backup is away"));
    let report = GUARD.report();
    assert_eq!(report.level, Level::Unavailable);
    assert_eq!((report.fallbacks_value, report.fallbacks_function), (1, 1));
}

#[test]
fn a_person_holds_it_open_and_closed() {
    static GUARD: Guard = Guard::new("held").failures(1);
    GUARD.hold_open("maintenance");
    let held = GUARD.call(|| -> Result<(), String> { unreachable!() }).into_result().unwrap_err();
    assert_eq!(held.to_string(), "held is held open: maintenance");
    GUARD.hold_closed("known noise");
    fail(5, &GUARD);
    assert_eq!((GUARD.state(), GUARD.report().failures), (State::Closed, 5));
    GUARD.release();
    fail(1, &GUARD);
    assert_eq!(GUARD.state(), State::Open);
    GUARD.hold_open("maintenance");
    GUARD.release();
    assert_eq!(GUARD.call(|| Ok::<_, String>(1)).into_result(), Ok(1), "it tries at once");
    assert_eq!(GUARD.state(), State::Closed);
}

#[test]
fn a_call_is_retried_until_it_succeeds() {
    static GUARD: Guard = Guard::new("retried").failures(10).retry(NO_PAUSE);
    let mut attempts = 0;
    let answer = GUARD.call_retrying(|| {
        attempts += 1;
        if attempts < 3 { Err("lost") } else { Ok(attempts) }
    });
    assert_eq!(answer.into_result(), Ok(3));
    let report = GUARD.report();
    assert_eq!((report.calls, report.failures, report.retries, report.retried_ok), (3, 2, 2, 1));
    assert_eq!(report.success_share(), Some(1.0 / 3.0));
    assert_eq!(report.retry_share(), Some(2.0 / 3.0));
}

#[test]
fn a_call_that_fails_to_the_end_has_its_last_error() {
    static GUARD: Guard = Guard::new("given up").failures(10).retry(NO_PAUSE);
    let mut attempts = 0;
    let mut next = || {
        attempts += 1;
        Err::<(), _>(attempts)
    };
    assert_eq!(GUARD.call_retrying(&mut next).into_result(), Err(Why::Failed(4)));
    for verdict in [Verdict::DoNotRetry, Verdict::Fatal, Verdict::Wait(Some(Duration::from_secs(3600)))] {
        static CLASSED: Guard = Guard::new("not retried").retry(NO_PAUSE);
        CLASSED.release();
        let mut attempts = 0;
        let answer = CLASSED.classify(move |_: &i32| verdict).call_retrying(|| {
            attempts += 1;
            Err::<(), _>(attempts)
        });
        assert!(matches!(answer.into_result(), Err(Why::Failed(1) | Why::Open { .. })), "{verdict:?}");
        assert!(attempts <= 1, "{verdict:?}");
    }
}

#[test]
fn retries_end_where_the_breaker_opens_with_the_error_that_opened_it() {
    static GUARD: Guard = Guard::new("opened").failures(2).retry(NO_PAUSE);
    let mut attempts = 0;
    let answer = GUARD.call_retrying(|| {
        attempts += 1;
        Err::<(), _>(attempts)
    });
    assert_eq!(answer.into_result(), Err(Why::Failed(2)));
    let report = GUARD.report();
    assert_eq!((attempts, report.calls, report.retries, report.rejected), (2, 2, 1, 1));
}
