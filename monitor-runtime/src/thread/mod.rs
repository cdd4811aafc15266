//! The parts that a thread owns while it records, and the set of all threads.
//!
//! Takes a thread's first monitored call, and the thread's end. Gives a state with a ring, tallies, countdowns and
//! scratch memory, which the thread reaches through one thread-local word. A state always has at most one owning
//! thread. The room does not know calls.
//!
//! Bottom up: `tally` and `countdown` count calls, `fold_slot` and `bursts` sum up calls that share a row, `ring_sizes`
//! and `placed_ring` place a ring in memory, `overflow` carries failures past a full ring, `log_places` holds the
//! places that write log lines, `home` holds what all threads share, `state` is one thread's part, `pressure` is the
//! way of a thread's calls while its ring fills up, `local` finds the state of a thread, `scratch` holds captured
//! values, and `pool` gives out the states.

pub(crate) mod tally;
pub(crate) mod countdown;
pub(crate) mod fold_slot;
pub(crate) mod bursts;
pub(crate) mod ring_sizes;
pub(crate) mod placed_ring;
pub(crate) mod overflow;
pub(crate) mod log_places;
pub(crate) mod home;
pub(crate) mod state;
pub(crate) mod pressure;
pub(crate) mod local;
pub(crate) mod scratch;
pub(crate) mod pool;
