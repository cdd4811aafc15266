//! The runtime's `platform`, as far as the reader of a ring file needs it.

#[path = "../../../monitor-runtime/src/platform/clock.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod clock;
