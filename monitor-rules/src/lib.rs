//! Rules that the attribute and the runtime of `monitored` share.
//!
//! The attribute runs in the compiler and the runtime in the user's program, so they can share nothing but a package
//! of their own. This one has no dependencies, and knows neither of the two.

#![forbid(unsafe_code)]

pub mod duration;
pub mod redaction;
pub mod text;
