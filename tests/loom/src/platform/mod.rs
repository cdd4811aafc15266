//! The runtime's `platform`, as far as the modules compiled here need it.

pub(crate) mod clock;
#[path = "../../../../monitor-runtime/src/platform/reentrancy.rs"]
pub(crate) mod reentrancy;
