//! The measurement of a monitored call's cost.
//!
//! Takes nothing; gives nanoseconds per call for each fidelity. It runs the very code that callers run, with a set of
//! rings of its own, so it is the one place of the cold side that names `call`.

use std::sync::Mutex;

use crate::accountant::Accountant;
use crate::call::entered::RUNTIME;
use crate::call::guard::{Call, Slot};
use crate::capture::dispatch;
use crate::config::CaptureMode;
use crate::platform::clock::{elapsed, ns_from_ticks, ticks};
use crate::record::{Record, decode};
use crate::ring::memory::Memory;
use crate::sampling::ladder::Costs;
use crate::site::{CallSite, Description, Fidelity};
use crate::thread::local::release;
use crate::thread::pool::ThreadPool;
use crate::thread::state::ThreadState;

/// Measures the cost of a call to its caller, for each fidelity, on the calling thread, which must have no ring of its
/// own. Returns `None` if there is no memory for the ring of the measurement.
pub(crate) fn measure_costs() -> Option<Costs> {
    static ABOUT: Description =
        Description::new(|| "monitored::calibration", file!(), line!(), &["id", "name"], &[]);
    static SITE: CallSite = CallSite::new(&ABOUT);
    static RINGS: Mutex<Option<&'static ThreadPool>> = Mutex::new(None);
    let mut slot = crate::sync::lock(&RINGS);
    let rings = *slot.get_or_insert_with(|| {
        let (overflow, _) = crossbeam_channel::unbounded();
        let memory = Memory::on_heap(None);
        let accountant = Box::leak(Box::new(Accountant::new(MEMORY_BYTES)));
        Box::leak(Box::new(ThreadPool::new(accountant, 0, CaptureMode::Args, overflow, memory)))
    });
    let (state, _) = rings.acquire()?;
    let call = || {
        let mut slot = Slot::empty();
        let mut call = Call::<RUNTIME>::enter(&mut slot, &SITE);
        call.ok();
    };
    let call_with_values = || {
        let mut slot = Slot::empty();
        let mut call = Call::<RUNTIME>::prepare(&mut slot, &SITE);
        if let Some(writer) = call.args() {
            use crate::capture::dispatch::traits::*;
            (&&&&&dispatch::Value(&7_u64)).__monitor_capture(writer);
            (&&&&&dispatch::Value("seven")).__monitor_capture(writer);
            call.keep_args(writer);
        }
        call.ok();
    };
    let empty = best_of(state, || {});
    let on = |rate: f64, fidelity: Fidelity, call: &dyn Fn(&ThreadState) -> f64| {
        SITE.calibrate(rate, fidelity);
        (call(state) - empty).max(0.0)
    };
    SITE.calibrate(1.0, Fidelity::RECORDED);
    call_with_values();
    let values_bytes = value_bytes(state);
    let recorded = on(1.0, Fidelity::RECORDED, &|state| best_of(state, call));
    let with_values = on(1.0, Fidelity::RECORDED, &|state| best_of(state, call_with_values));
    let timed = on(0.0, Fidelity::SAMPLED, &|state| best_of(state, call));
    let counted = on(0.0, Fidelity::COUNTED, &|state| best_of(state, call));
    release(state);
    let values = (with_values - recorded).max(0.0);
    Some(Costs { recorded, values, values_bytes, timed, counted, ..Costs::default() })
}

/// Returns the bytes of the values of the record in a ring, and drains it.
fn value_bytes(state: &ThreadState) -> f64 {
    let mut words = Vec::new();
    state.ring.drain(|_, piece| piece.append_to(&mut words));
    match decode(&words) {
        Some((Record::Call(_, _, bytes), _)) => bytes as f64,
        _ => 0.0,
    }
}

/// Returns the cost of one call in nanoseconds: the best of a few rounds, so that interruptions do not count.
#[inline(never)]
fn best_of(state: &ThreadState, call: impl Fn()) -> f64 {
    let mut best = u64::MAX;
    for _ in 0..ROUNDS {
        let start = ticks();
        for _ in 0..CALLS {
            call();
            std::hint::black_box(());
        }
        best = best.min(elapsed(start, ticks()));
        state.ring.drain(|_, _| {});
    }
    ns_from_ticks(best) as f64 / f64::from(CALLS)
}

/// The bound on the memory of the measurement, which takes a small ring, and scratch memory.
const MEMORY_BYTES: usize = 4 << 20;
/// Rounds of a measurement, and calls in a round. 8 × 256 calls take some 40 µs, and there are five measurements.
const ROUNDS: u32 = 8;
const CALLS: u32 = 256;
