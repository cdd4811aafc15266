//! The admission of calls by a guard: the same source files, with the runtime's breaker behind them.

#[path = "../../../monitor-runtime/src/collect/breaker.rs"]
mod breaker;
#[path = "../../../monitor-guard/src/gate.rs"]
mod gate;
#[path = "../../../monitor-guard/src/machine.rs"]
pub(crate) mod machine;

/// Stands in for the guard's `sync`.
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) use crate::sync::{AtomicU64, Ordering};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect("no thread of a model that goes on has panicked")
    }
}

use std::time::Duration;

use self::gate::{Gate, Word};
use self::machine::{End, Machine, Refusal};
use self::sync::AtomicU64;
use breaker::Rules;

/// The pause of the machines here.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);

/// Returns a machine that opens at the first failure.
pub(crate) fn closed() -> Machine {
    let rules = Rules { failures: 1, pause: PAUSE, pause_max: PAUSE, stable: PAUSE, try_max: None };
    let machine = Machine {
        gate: Gate { word: AtomicU64::new(Word::FIRST.number()) },
        retry_at_ns: AtomicU64::new(u64::MAX),
        breaker: sync::Mutex::new(None),
        rules,
    };
    machine.gate.note_listed();
    machine
}

/// Returns a machine that was opened at moment zero.
pub(crate) fn opened() -> Machine {
    let machine = closed();
    fail(&machine);
    machine
}

/// Makes a call that fails at moment zero.
pub(crate) fn fail(machine: &Machine) {
    let (ticket, _) = machine.admit(Duration::ZERO);
    machine.end(ticket.expect("the machine is closed"), Duration::ZERO, End::Failure("refused"));
}

/// Returns the time until the next try, if that is why a call at moment zero is not let through.
pub(crate) fn retry_in(machine: &Machine) -> Option<Duration> {
    match machine.admit(Duration::ZERO).0 {
        Err(Refusal::Open(left)) => Some(left),
        _ => None,
    }
}
