//! The runtime of `monitored`, in data-flow order: what the expansion of `#[monitor]` calls, the
//! rings it writes to, and the collector that carries records into the store.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests bring their own time, threads and files")
)]

pub mod call_site;
pub mod config;
pub mod guard;
pub mod expansion;
pub mod future;
pub mod sampling;
pub mod capture;
pub mod record;
pub mod batch;
pub mod breaker;
pub mod store;

/// What the expansion of `#[monitor]` refers to.
pub mod private {
    pub use crate::call_site::{CallSite, duration, path_of};
    pub use crate::capture::{Writer, via};
    pub use crate::expansion::{
        Branch, Function, MayReturn, holds, run0, run1, run2, run3, run4, run5, run6,
    };
    pub use crate::future::{AsyncCall, Finish, Instrumented, instrument};
    pub use crate::guard::{Call, Scope, none, run};
    pub use std::boxed::Box;
}
