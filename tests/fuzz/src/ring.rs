//! The runtime's `ring`, as far as targets need it: the layout of the file, and its reader.

#[path = "../../../monitor-runtime/src/ring/layout.rs"]
pub(crate) mod layout;
#[path = "../../../monitor-runtime/src/ring/frames.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod frames;
#[path = "../../../monitor-runtime/src/ring/panics.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod panics;
#[path = "../../../monitor-runtime/src/ring/tallied.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod tallied;
#[path = "../../../monitor-runtime/src/ring/tallies_image.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod tallies_image;
#[path = "../../../monitor-runtime/src/ring/source.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod source;
#[path = "../../../monitor-runtime/src/ring/reader.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod reader;
