//! The runtime's limits, under the path by which its modules name them.

#[path = "../../../monitor-runtime/src/limits.rs"]
mod of_runtime;

#[allow(unused_imports, reason = "modules of the runtime use a part of them")]
pub(crate) use of_runtime::*;
