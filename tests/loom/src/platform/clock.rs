//! What the runtime's `clock` offers to the modules compiled here: a tick is a nanosecond.

pub(crate) fn ns_from_ticks(ticks: u64) -> u64 {
    ticks
}
