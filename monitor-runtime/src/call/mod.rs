//! Entry and exit of a call, sync and async.
//!
//! Takes the function's site and the moments of a call's entry and end. Gives a record in the thread's ring, or a count
//! in the thread's tally. The host's function always behaves as it would without the attribute. The module does not
//! know what becomes of a record.
//!
//! Bottom up: `entered` is a call under way, `decision` says whether it is recorded, and `publish` writes its record.
//! `guard` and `scope` are what the expansion of `#[monitor]` holds; `timed`, `slow_path`, `interleaved` and `values`
//! hold the entries and exits off the common path. `log_line` records the log lines that the program emits. `poll`,
//! `async_state`, `async_values`, `async_call` and `future` are their counterparts for async functions. `open` is a
//! call that is entered and left by hand, and `open_end` ends it. `visit` is a time for which an open call is entered,
//! `open_cold` holds the rarer steps of an open call, `out_of_order` remembers the open calls that were left out of
//! order, and `direct` remembers the callsites that need few readings of the clock.

pub(crate) mod panic_hook;
pub(crate) mod entered;
pub(crate) mod decision;
pub(crate) mod publish;
pub(crate) mod timed;
pub(crate) mod slow_path;
pub(crate) mod interleaved;
pub(crate) mod values;
pub(crate) mod guard;
pub(crate) mod scope;
pub(crate) mod context;
pub(crate) mod log_line;
pub(crate) mod poll;
pub(crate) mod async_state;
pub(crate) mod async_values;
pub(crate) mod async_call;
pub(crate) mod captured;
pub(crate) mod out_of_order;
pub(crate) mod direct;
pub(crate) mod visit;
pub(crate) mod open;
pub(crate) mod open_end;
pub(crate) mod open_cold;
pub(crate) mod future;
pub mod returned;
pub(crate) mod expansion;

#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod tests;
