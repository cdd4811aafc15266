//! The way back: one try at a time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use monitored_guard::{Guard, State};

/// Opens a guard by one failure, and waits until its pause is over.
fn open(guard: &'static Guard) {
    let _ = guard.call(|| Err::<(), _>("refused")).into_result();
    let begun = Instant::now();
    while guard.report().retry_in.is_none_or(|left| !left.is_zero()) {
        assert_eq!(guard.state(), State::Open);
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

#[test]
fn of_64_threads_at_the_half_open_guard_one_call_goes_through() {
    const PAUSE: Duration = Duration::from_millis(1);
    static GUARD: Guard = Guard::new("64 threads").failures(1).pause(PAUSE).pause_max(PAUSE);
    const THREADS: usize = 64;
    for round in 1..=20 {
        open(&GUARD);
        let (barrier, within, made) = (Barrier::new(THREADS), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    let answer = GUARD.call(|| {
                        assert_eq!(within.fetch_add(1, Ordering::SeqCst), 0, "two calls try");
                        made.fetch_add(1, Ordering::SeqCst);
                        // All others have been answered before the try ends.
                        while GUARD.report().rejected < (round * (THREADS - 1)) as u64 {
                            std::thread::yield_now();
                        }
                        within.fetch_sub(1, Ordering::SeqCst);
                        Ok::<_, String>(())
                    });
                    let _ = answer.into_result();
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
        assert_eq!(GUARD.state(), State::Closed);
    }
    assert_eq!(GUARD.report().probes, 20);
}

#[test]
fn the_try_that_panics_is_over() {
    static GUARD: Guard = Guard::new("panicking try").failures(1).pause(Duration::from_millis(1));
    open(&GUARD);
    let tried = std::thread::spawn(|| GUARD.call(|| -> Result<(), String> { panic!("boom") }).into_result());
    assert!(tried.join().is_err());
    let begun = Instant::now();
    while GUARD.call(|| Ok::<_, String>(())).into_result().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    assert_eq!(GUARD.state(), State::Closed);
}

#[test]
fn a_flapping_part_is_tried_ever_more_rarely() {
    static GUARD: Guard = Guard::new("flapping")
        .failures(1)
        .pause(Duration::from_millis(2))
        .pause_max(Duration::from_millis(64));
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let _ = GUARD.call(|| Err::<(), _>("refused")).into_result();
        let begun = Instant::now();
        // The part is back for one call, and away for the next.
        while GUARD.call(|| Ok::<_, String>(())).into_result().is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        pauses.push(begun.elapsed());
    }
    for (pause, least) in pauses.iter().zip([2, 4, 8, 16, 32, 64, 64]) {
        // The pause began before the stopwatch did.
        assert!(*pause + Duration::from_millis(1) >= Duration::from_millis(least) / 2, "{pauses:?}");
    }
    let report = GUARD.report();
    assert_eq!((report.openings, report.probes), (7, 7));
}
