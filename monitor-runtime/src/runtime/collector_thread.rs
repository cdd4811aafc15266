//! The collector's thread: steps, with pauses between them, until it is requested to stop.
//!
//! Takes a collector and the requests of the program; answers the requests. A step that panics is repeated, a few times
//! a minute; then recording ends, and the program goes on. The file does not know what a step does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::park_timeout;
use std::time::Duration;

use super::fork;
use super::recorder::Recorder;
use crate::collect::control::Requests;
use crate::collect::health::Level;
use crate::collect::{Collector, Mode, Remaining};
use crate::config::Warning;
use crate::limits;
use crate::platform::clock::monotonic;
use crate::platform::coarse_clock::keep_coarse;
use crate::site::{self, CallSite};
use crate::sync::lock;
use crate::thread::local::with_borrowed_state;
use crate::thread::pool::ThreadPool;

/// Steps until the collector is requested to stop.
pub(super) fn run(
    recorder: &'static Recorder,
    mut collector: Collector,
    mut requests: Requests,
    warnings: &[Warning],
) {
    // While the thread started, an allocator of the program's may have made monitored calls, which took a thread state.
    // The state is given back here.
    with_borrowed_state(|| ());
    recorder.rings.home.set_collector(std::thread::current());
    for warning in warnings {
        recorder.shared.notice(&warning.to_string().replacen("monitored: ", "", 1));
    }
    let mut restarts = Restarts::default();
    let home = &recorder.rings.home;
    home.note_asleep();
    park_until(monotonic() + limits::FIRST_STEP, || home.is_woken() || !home.is_asleep());
    home.note_awake();
    loop {
        recorder.rings.home.clear_wake();
        let requested = requests.take();
        if requested.shutdown {
            collector.announce_shutdown();
        }
        if let Some(exit) = recorder.shared.control.take_exit() {
            collector.announce_exit(exit);
        }
        let mode = if requested.flush || requested.stop { Mode::Flush } else { Mode::Usual };
        // A panic of the recorder's own must not end recording for good, nor make the thread spin.
        let step = AssertUnwindSafe(|| collector.step(mode));
        let remaining = match fork::between_forks(|| catch_unwind(step)) {
            Ok(remaining) => remaining,
            Err(payload) if restarts.is_allowed(monotonic()) => {
                collector.note_panic(&*payload);
                continue;
            }
            Err(_) => {
                collector.leave();
                return give_up(recorder);
            }
        };
        if collector.is_settled() {
            requests.settle();
        }
        if requested.stop && (collector.is_settled() || requested.is_late()) {
            let settled = collector.is_settled();
            if collector.close(settled, requested.is_late()) {
                return recorder.shared.control.note_end(settled);
            }
            park_timeout(RETRY_WHILE_AWAITED);
            continue;
        }
        match remaining {
            Remaining::More => {}
            Remaining::Nothing if mode == Mode::Flush && !collector.is_settled() => {}
            Remaining::Blocked if mode == Mode::Flush => {
                park_timeout(collector.interval().min(RETRY_WHILE_AWAITED));
            }
            _ if collector.is_counting() => tick(&recorder.rings, collector.pause()),
            _ => sleep(&recorder.rings, collector.pause(), collector.interval()),
        }
    }
}

/// Waits for the next step or to be woken, and advances the coarse clock meanwhile, which the calls of functions that
/// are only counted read.
fn tick(rings: &ThreadPool, pause: Duration) {
    let until = monotonic() + pause;
    while monotonic() < until && !rings.home.is_woken() {
        keep_coarse();
        park_timeout(limits::COARSE_PERIOD.min(pause));
    }
    keep_coarse();
}

/// Waits for the next step or to be woken. If the first record after a silence ends the pause, the step follows after a
/// drain interval, so that one drain and one batch take what comes with that record.
fn sleep(rings: &ThreadPool, pause: Duration, interval: Duration) {
    let was_asleep = rings.home.is_asleep();
    let is_roused = || was_asleep && !rings.home.is_asleep();
    park_until(monotonic() + pause, || rings.home.is_woken() || is_roused());
    if is_roused() {
        park_until(monotonic() + interval, || rings.home.is_woken());
    }
}

/// Parks until this moment, or until `is_over` returns true. Whoever makes it true unparks this thread.
fn park_until(moment: Duration, is_over: impl Fn() -> bool) {
    while !is_over() {
        let left = moment.saturating_sub(monotonic());
        if left.is_zero() {
            return;
        }
        park_timeout(left);
    }
}

/// Ends recording, because steps keep failing. The program goes on.
fn give_up(recorder: &Recorder) {
    site::registered().for_each(CallSite::switch_off);
    lock(&recorder.shared.health).level = Level::Off;
    recorder.shared.notice("recording has ended: the recorder failed repeatedly");
    recorder.shared.control.note_end(false);
}

/// The moments at which steps failed, within the last minute.
#[derive(Debug, Default)]
struct Restarts(Vec<Duration>);

impl Restarts {
    /// Notes that a step has failed now. Returns true if the step may be repeated.
    fn is_allowed(&mut self, now: Duration) -> bool {
        self.0.retain(|at| now.saturating_sub(*at) < Duration::from_secs(60));
        self.0.push(now);
        self.0.len() <= limits::COLLECTOR_RESTARTS_MAX as usize
    }
}

/// The pause before a locked store is tried again while somebody waits for a flush or the end.
const RETRY_WHILE_AWAITED: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_restarts_a_minute_are_allowed_and_the_fourth_is_not() {
        let mut restarts = Restarts::default();
        let mut at = |second| restarts.is_allowed(Duration::from_secs(second));
        assert_eq!([at(0), at(1), at(2)], [true; 3]);
        assert!(!at(59));
        let mut restarts = Restarts::default();
        assert!((0..20).all(|third| restarts.is_allowed(Duration::from_secs(20 * third + third / 2))));
    }
}
