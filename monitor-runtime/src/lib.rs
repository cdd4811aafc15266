//! The runtime of `monitored`: the code that the expansion of `#[monitor]` calls, the rings that it writes to, and the
//! collector that carries records into the store.
//!
//! The modules are listed bottom up: each imports only modules above it in this list. `ARCHITECTURE.md` says what each
//! takes and gives.

// The counts, ticks and nanoseconds that are cast here are far from the ends of their types, and 52 bits are enough for
// a number that is shown as an f64.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "see above")]
#![allow(clippy::cast_sign_loss, reason = "percentiles are not negative")]
#![allow(clippy::inline_always, reason = "the hot path is measured with and without")]
#![deny(unsafe_code)]
// The code that reads ring files and finds how processes ended is not used on systems where neither is possible.
#![cfg_attr(
    not(any(target_os = "linux", target_os = "android", windows)),
    allow(dead_code, unused_imports, reason = "see above")
)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::unwrap_used,
        reason = "tests bring their own time, threads and files"
    )
)]

mod sync;
pub mod limits;
pub mod units;
mod growth;
mod by_number;
mod accountant;
pub mod platform;
pub mod histogram;
pub mod record;
pub mod sampling;
pub mod config;
pub mod capture;
mod site;
pub mod batch;
pub mod alert;
mod ring;
mod thread;
mod call;
pub mod store;
pub mod recover;
mod collect;
mod runtime;

#[cfg(test)]
#[path = "../tests/pipeline/mod.rs"]
mod pipeline;

pub use accountant::{Part, PartMemory};
pub use alert::{Alert, AlertLevel, AlertState};
pub use call::context::{Context, WithContext};
pub use collect::breaker;
pub use collect::control::FlushError;
pub use collect::health::{Drops, FiringAlerts, Health, HealthPart, HealthStatus, Level};
pub use collect::live_rates::RateError;
pub use collect::subscribe::{Record, Subscription};
pub use monitor_macro::monitor;
pub use runtime::api::{
    BreakerHandle, alerts, breaker, flush, health, init, reset_sample_rate, set_sample_rate, shutdown,
    subscribe,
};

/// The functions that the packages beside `monitored` use. They change with any release.
#[doc(hidden)]
pub mod bridge {
    pub use crate::call::captured::Captured;
    pub use crate::call::open::Open;
    pub use crate::capture::Fields;
    pub use crate::histogram::{BUCKETS_MAX, middle_of_place, place_of_value};
    pub use crate::runtime::bridge::{
        FieldValue, GUARDS_MAX, GuardRow, GuardSource, Hold, LineWriter, LogLevel, LogPlace,
        METRIC_SERIES_MAX, MetricKind, MetricRow, MetricStats, Parent, SayLine, Sink, Site, begin, find_vfs,
        generation, is_guarded, is_off, lock_unless_lost, metric_id, metrics_memory_max, monotonic, note,
        note_transition, note_with, run_guarded, set_guard_source, site, source, start, store_path,
    };
    pub use crate::site::SiteFacts;
}

/// The items that the expansion of `#[monitor]` names.
pub mod private {
    pub use crate::call::async_call::{AsyncCall, Making};
    pub use crate::call::expansion::{
        Branch, Function, MayReturn, holds, resolving_to, run0, run1, run2, run3, run4, run5, run6, unreached,
    };
    pub use crate::call::future::{Finish, Instrumented, instrument};
    pub use crate::call::guard::{Last, Slot, none, run};
    pub use crate::call::returned;
    pub use crate::capture::{Writer, dispatch};
    pub use crate::config::duration;
    pub use crate::site::{CallSite, Description};
    pub use crate::{
        show_the_lifetime_of_the_error_if_this_fails, use_no_result_if_this_fails, use_skip_if_this_fails,
    };

    pub use crate::call::guard::Call;
    pub use crate::call::scope::Scope;
    pub use std::boxed::Box;

    /// The names of a function that captures no arguments, or no fields.
    pub const NO_NAMES: &[&str] = &[];

    /// Describes a monitored function, whose first call registers it with the recorder of the process.
    #[must_use]
    pub const fn describe(
        path: fn() -> &'static str,
        file: &'static str,
        line: u32,
        arguments: &'static [&'static str],
        fields: &'static [&'static str],
    ) -> Description {
        Description::new(path, file, line, arguments, fields).on_first_call(crate::runtime::register)
    }
}
