//! Futures behind a guard: dropped at each poll, panicking, and retried.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use monitored_guard::{Guard, Retry, State, Verdict};

/// Returns a future that is ready at its poll of this number, counted from 1.
async fn ready_at(polls: usize) -> Result<usize, String> {
    for _ in 1..polls {
        let mut is_ready = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut is_ready, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    Ok(polls)
}

/// Polls a future up to this often, and drops it.
fn poll<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..times).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

#[test]
fn a_try_whose_future_is_dropped_at_any_poll_is_made_by_the_next_call() {
    static GUARD: Guard = Guard::new("dropped").failures(1);
    const POLLS: usize = 5;
    for polls in 0..=POLLS {
        GUARD.hold_open("maintenance");
        GUARD.release();
        assert_eq!(GUARD.state(), State::HalfOpen);
        let answer = poll(GUARD.call_async(ready_at(POLLS)), polls);
        assert_eq!(answer.is_some(), polls == POLLS);
        if let Some(answer) = answer {
            assert_eq!(answer.into_result(), Ok(POLLS));
        } else {
            assert_eq!(GUARD.state(), State::HalfOpen);
            assert_eq!(GUARD.call(|| Ok::<_, String>(1)).into_result(), Ok(1), "dropped after {polls} polls");
        }
        assert_eq!(GUARD.state(), State::Closed);
    }
    let report = GUARD.report();
    assert_eq!(report.failures, 0, "a dropped future is no failure");
}

#[test]
fn while_a_future_tries_no_other_does() {
    static GUARD: Guard = Guard::new("pending").failures(1);
    GUARD.hold_open("maintenance");
    GUARD.release();
    let mut tries = pin!(GUARD.call_async(pending::<Result<(), String>>()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(tries.as_mut().poll(&mut context).is_pending());
    let other = poll(GUARD.call_async(ready_at(1)), 1).unwrap().into_result().unwrap_err();
    assert_eq!(other.to_string(), "pending is half open: another call tries");
}

#[test]
fn a_future_that_panics_is_a_failure_and_one_dropped_in_an_unwinding_thread_is_none() {
    static GUARD: Guard = Guard::new("async panic").failures(1);
    let waits = || {
        let mut waiting = Box::pin(GUARD.call_async(ready_at(3)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        panic!("elsewhere");
    };
    assert!(catch_unwind(AssertUnwindSafe(waits)).is_err());
    assert_eq!(GUARD.state(), State::Closed);
    let panics = || poll(GUARD.call_async(async { panic!("boom") as Result<(), String> }), 1);
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(GUARD.state(), State::Open);
}

#[tokio::test]
async fn a_future_is_retried_with_the_sleep_of_the_runtime() {
    static GUARD: Guard = Guard::new("async retries").retry(Retry::times(3).pause(Duration::from_millis(1)));
    let mut attempts = 0;
    let answer = GUARD.call_async_retrying(tokio::time::sleep, || {
        attempts += 1;
        let attempt = attempts;
        async move { if attempt < 3 { Err("lost") } else { Ok(attempt) } }
    });
    assert_eq!(answer.await.into_result(), Ok(3));
    let never = GUARD.classify(|_: &String| Verdict::DoNotRetry);
    assert!(never.call_async(async { Err::<(), _>("invalid".to_owned()) }).await.into_result().is_err());
    let report = GUARD.report();
    assert_eq!((report.calls, report.retries, report.retried_ok), (4, 2, 1));
}
