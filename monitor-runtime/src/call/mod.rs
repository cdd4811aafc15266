//! Entry and exit of a call, sync and async.
//!
//! Takes the function's site and the moments of its entry and end; gives a record in the thread's ring, or a
//! count in its tally. Always holds: the host's function behaves as without the attribute. Does not know
//! what becomes of a record.

pub(crate) mod guard;
pub(crate) mod scope;
pub(crate) mod decision;
pub(crate) mod slow_path;
pub(crate) mod timed;
pub(crate) mod values;
pub(crate) mod publish;
pub(crate) mod future;
pub mod returned;
pub(crate) mod context;
pub(crate) mod expansion;
pub(crate) mod panic_hook;
