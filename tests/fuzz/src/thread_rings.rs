//! The one thing that readers of a ring file ask of those who write it.

/// The upper half of a thread's span ids; which, is of no interest here.
pub(crate) fn prefix_of(first_prefix: u32, id: u32) -> u32 {
    first_prefix.wrapping_add(id).max(1)
}
