//! The runtime's `recover`, as far as targets need it: what a ring file holds that its store lacks.

#[path = "../../../monitor-runtime/src/recover/records.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod records;
#[path = "../../../monitor-runtime/src/recover/in_flight.rs"]
#[allow(dead_code, reason = "as above")]
pub(crate) mod in_flight;

pub(crate) use in_flight::in_flight;
