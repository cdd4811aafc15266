//! Stands in for the runtime's `clock` in the modules compiled here.

/// A raw counter value.
pub(crate) type Ticks = u64;
