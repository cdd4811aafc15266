//! The runtime's `ring`, as far as models need it: the layout of the file, and the ring itself.

#[path = "../../../monitor-runtime/src/ring/layout.rs"]
pub(crate) mod layout;
#[path = "../../../monitor-runtime/src/ring/spsc.rs"]
pub(crate) mod spsc;
#[path = "../../../monitor-runtime/src/ring/tallied.rs"]
pub(crate) mod tallied;
