//! What a thread owns while it records, and the set of all threads.
//!
//! Takes a thread's first monitored call, and its end; gives a state with ring, tallies, countdowns and
//! scratch memory, reached through one thread-local word. Always holds: a state has at most one owning
//! thread at a time. Does not know what a call is.

pub(crate) mod pool;
pub(crate) mod state;
pub(crate) mod local;
pub(crate) mod tally;
pub(crate) mod countdown;
pub(crate) mod scratch;
