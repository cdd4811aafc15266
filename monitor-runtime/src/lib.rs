//! The runtime of `monitored`, in data-flow order: what the expansion of `#[monitor]` calls, the
//! rings it writes to, and the collector that carries records into the store.

// The counts, ticks and nanoseconds that are cast here are far from the ends of their types, and
// figures shown as f64 need no more than its 52 bits.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "see above")]
#![allow(clippy::cast_sign_loss, reason = "percentiles are not negative")]
#![allow(clippy::inline_always, reason = "the hot path is measured with and without")]
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::unwrap_used,
        reason = "tests bring their own time, threads and files"
    )
)]

mod call_site;
mod clock;
pub mod config;
mod guard;
mod context;
mod expansion;
mod future;
pub mod sampling;
mod sync;
pub mod histogram;
mod tally;
mod countdown;
pub mod capture;
mod arena;
mod panic_text;
mod apart;
pub mod record;
mod layout;
mod mapping;
mod region;
mod legend;
mod frames;
mod journal;
mod ledger;
mod ring;
mod thread_rings;
mod collector;
mod figures;
mod backlog;
mod decode;
pub mod batch;
pub mod breaker;
mod retry;
pub mod store;
mod health;
mod subscribe;
mod os;
pub mod recovery;
mod runtime;

#[cfg(test)]
#[path = "../tests/pipeline/mod.rs"]
mod pipeline;

pub use context::{Context, WithContext};
pub use health::{Drops, Health, Level};
pub use runtime::{
    BreakerHandle, FlushError, RateError, breaker, flush, health, init, reset_sample_rate, set_sample_rate,
    shutdown, subscribe,
};
pub use subscribe::{Record, Subscription};

/// What the expansion of `#[monitor]` refers to.
pub mod private {
    pub use crate::call_site::{CallSite, Description, duration};
    pub use crate::capture::{Writer, via};
    pub use crate::expansion::{
        Branch, Function, MayReturn, holds, resolving_to, run0, run1, run2, run3, run4, run5, run6,
    };
    pub use crate::future::{AsyncCall, Finish, Instrumented, Making, instrument};
    pub use crate::guard::{Last, Slot, none, run};

    /// `Call` for the crate that is monitored.
    pub type Call<'a> = crate::guard::Call<'a, true>;
    /// `Scope` for the crate that is monitored.
    pub type Scope<'a> = crate::guard::Scope<'a, true>;
    pub use std::boxed::Box;
}
