//! A function called as often as possible beside one that is called now and then. A known number of calls of both fail
//! or are slow.

use std::hint::black_box;
use std::time::{Duration, Instant};

use monitored::monitor;

/// The duration of a slow call: longer than the limit of both functions by more than the coarse clock's resolution.
const SLOW: Duration = Duration::from_millis(60);

#[monitor(skip_all, no_result, slow = "40ms")]
fn hot(number: u64) -> Result<u64, String> {
    match number {
        0 => Err("nothing to work on".to_owned()),
        1 => {
            std::thread::sleep(SLOW);
            Ok(1)
        }
        number => Ok(black_box(number) / 3),
    }
}

#[monitor(slow = "40ms")]
fn rare(number: u64) -> Result<u64, String> {
    if number.is_multiple_of(3) {
        return Err(format!("{number} is a multiple of three"));
    }
    if number.is_multiple_of(5) {
        std::thread::sleep(SLOW);
    }
    Ok(number)
}

/// The numbers of calls, of failed calls and of slow calls.
#[derive(Debug, Default, Clone, Copy)]
struct Made {
    calls: u64,
    failed: u64,
    slow: u64,
}

/// The pause between two slow calls of `hot`.
const SLOW_EVERY: Duration = Duration::from_millis(250);

fn hot_until(mut is_over: impl FnMut() -> bool) -> Made {
    let mut made = Made::default();
    let mut next_slow = Instant::now() + SLOW_EVERY;
    while !is_over() {
        for number in 2..100_000 {
            let _ = black_box(hot(number));
        }
        let _ = hot(0);
        made.calls += 99_999;
        made.failed += 1;
        if Instant::now() >= next_slow {
            next_slow += SLOW_EVERY;
            let _ = hot(1);
            made.calls += 1;
            made.slow += 1;
        }
    }
    made
}

fn rare_until(mut is_over: impl FnMut() -> bool, pause: Duration) -> Made {
    let mut made = Made::default();
    while !is_over() {
        made.calls += 1;
        made.failed += u64::from(rare(made.calls).is_err());
        made.slow += u64::from(made.calls.is_multiple_of(5) && !made.calls.is_multiple_of(3));
        std::thread::sleep(pause);
    }
    made
}

/// Calls both functions until it is over, and prints a line for each: calls, failed ones, slow ones.
pub(crate) fn hot_and_rare(is_over: impl FnMut() -> bool + Send + Clone + 'static) {
    let rare_is_over = is_over.clone();
    let rare = std::thread::spawn(move || rare_until(rare_is_over, Duration::from_millis(100)));
    let hot = hot_until(is_over);
    let rare = rare.join().unwrap_or_default();
    for Made { calls, failed, slow } in [hot, rare] {
        println!("{calls} {failed} {slow}");
    }
}

/// A function without a stated limit for slow calls.
#[monitor(skip_all, no_result)]
fn answer(pause: Duration) -> u64 {
    if pause.is_zero() {
        let until = Instant::now() + Duration::from_micros(20);
        while Instant::now() < until {}
    } else {
        std::thread::sleep(pause);
    }
    1
}

/// Calls `answer` for this many milliseconds. In the first half calls are quick except for four a second, in the second
/// half all are slow. Prints the number of calls, of slow ones among the quick, the moment from which all were slow, and
/// the number of calls since.
pub(crate) fn bad_minute(milliseconds: u64) {
    let half = Duration::from_millis(milliseconds / 2);
    let begun = Instant::now();
    let (mut calls, mut slow, mut longest_quick) = (0, 0, Duration::ZERO);
    while begun.elapsed() < half {
        let is_slow = begun.elapsed().as_millis() / 250 > slow;
        slow += u128::from(is_slow);
        let call_begun = Instant::now();
        calls += answer(if is_slow { SLOW_ANSWER } else { Duration::ZERO });
        if !is_slow {
            longest_quick = longest_quick.max(call_begun.elapsed());
        }
    }
    // A busy machine makes some quick calls slow as well. Slow calls are slower than these.
    let pause = (2 * longest_quick).clamp(SLOW_ANSWER, SLOW_ANSWER_MAX);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut bad_calls = 0;
    while begun.elapsed() < 2 * half {
        bad_calls += answer(pause);
    }
    println!("{} {slow} {} {bad_calls}", calls + bad_calls, since.as_nanos());
}

/// The duration of a slow call of `answer`, and the longest one on a busy machine.
const SLOW_ANSWER: Duration = Duration::from_millis(5);
const SLOW_ANSWER_MAX: Duration = Duration::from_millis(200);

#[monitor(skip_all, no_result)]
fn bursting(number: u64) -> u64 {
    black_box(number) + 1
}

/// Makes this many calls at once, from the first moment on.
pub(crate) fn burst(number: u64) {
    println!("{}", (0..number).map(bursting).sum::<u64>());
}
