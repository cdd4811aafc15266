//! The runtime's `platform`, as far as the reader of a ring file needs it.

#[path = "../../../monitor-runtime/src/platform/clock_os.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
mod clock_os;
#[path = "../../../monitor-runtime/src/platform/clock_counter.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
mod clock_counter;
#[path = "../../../monitor-runtime/src/platform/clock_segments.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
mod clock_segments;
#[cfg(test)]
#[path = "../../../monitor-runtime/src/platform/clock_simulated.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
mod clock_simulated;
#[path = "../../../monitor-runtime/src/platform/clock.rs"]
#[allow(dead_code, unused_imports, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod clock;
/// The mark of forks, which is always there, because a fuzz target does not fork.
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod fork_mark {
    pub(crate) fn is_marked() -> bool {
        true
    }
    pub(crate) fn notice() {}
}
