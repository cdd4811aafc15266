// If a link is defined twice, the first definition wins. These definitions lead from docs.rs to the files that the
// README links to. A file of another package is not among the published sources, so its link leads to a page that names
// the file.
//! [dashboard]: https://docs.rs/crate/monitored/latest/source/docs/dashboard.md
//! [dashboard-now]: https://docs.rs/crate/monitored/latest/source/docs/images/dashboard-now.png
//! [dashboard-function]: https://docs.rs/crate/monitored/latest/source/docs/images/dashboard-function.png
//! [finding-out]: https://docs.rs/crate/monitored/latest/source/docs/finding-out.md
//! [service]: https://docs.rs/crate/monitored/latest/source/docs/finding-out.md
//! [schema]: https://docs.rs/crate/monitored/latest/source/docs/schema.md
//! [benches]: https://docs.rs/crate/monitored/latest/source/docs/performance-guidelines.md
//! [performance]: https://docs.rs/crate/monitored/latest/source/docs/performance-guidelines.md
//! [examples]: https://docs.rs/crate/monitored/latest/source/examples/
//! [failures]: https://docs.rs/crate/monitored/latest/source/docs/failure-modes.md
//! [edges]: https://docs.rs/crate/monitored/latest/source/docs/edge-cases-and-limitations.md
//! [values]: https://docs.rs/crate/monitored/latest/source/docs/values.md
//! [guards]: https://docs.rs/crate/monitored/latest/source/docs/guards.md
//! [own-metrics]: https://docs.rs/crate/monitored/latest/source/docs/migrating.md
//! [log]: https://docs.rs/crate/monitored/latest/source/docs/migrating.md
//! [spans]: https://docs.rs/crate/monitored/latest/source/docs/migrating.md
//! [alerts]: https://docs.rs/crate/monitored/latest/source/docs/alerts.md
//! [probes]: https://docs.rs/crate/monitored/latest/source/docs/metrics.md
//! [migrating]: https://docs.rs/crate/monitored/latest/source/docs/migrating.md
//! [architecture]: https://docs.rs/crate/monitored/latest/source/ARCHITECTURE.md
//! [contributing]: https://docs.rs/crate/monitored/latest/source/CONTRIBUTING.md
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// The platforms are those of the dependency on the recorder in `Cargo.toml`.
#[cfg(not(all(
    feature = "record",
    any(windows, target_vendor = "apple", target_os = "linux", target_os = "android", target_os = "freebsd"),
    target_has_atomic = "64"
)))]
mod inert;

#[cfg(not(all(
    feature = "record",
    any(windows, target_vendor = "apple", target_os = "linux", target_os = "android", target_os = "freebsd"),
    target_has_atomic = "64"
)))]
use inert as recorder;
#[cfg(all(
    feature = "record",
    any(windows, target_vendor = "apple", target_os = "linux", target_os = "android", target_os = "freebsd"),
    target_has_atomic = "64"
))]
use monitor_runtime as recorder;

pub use recorder::breaker::{State as BreakerState, Statistics as BreakerStatistics};
pub use recorder::capture::{Summarize, Summary};
pub use recorder::config::{CaptureMode, Config, InitError};
pub use recorder::monitor;
pub use recorder::record::{Kept, Outcome};
pub use recorder::{
    Alert, AlertLevel, AlertState, BreakerHandle, Context, Drops, FiringAlerts, FlushError, Health,
    HealthPart, HealthStatus, Level, Part, PartMemory, RateError, Record, Subscription, WithContext, alerts,
    breaker, flush, health, init, reset_sample_rate, set_sample_rate, shutdown, subscribe,
};

/// The items that the expansion of `#[monitor]` refers to. They are not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use super::recorder::private::*;
}

#[cfg(test)]
mod tests {
    /// Returns the links that a text defines, each with its label.
    fn definitions(text: &'static str) -> Vec<(&'static str, &'static str)> {
        let lines = text.lines().map(|line| line.trim_start_matches("//! "));
        lines.filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).collect()
    }

    #[test]
    fn every_link_of_the_readme_leads_somewhere_on_docs_rs_too() {
        let readme = include_str!("../README.md");
        let inline = readme.split("](").skip(1).find(|link| !link.starts_with(['#', 'h']));
        assert_eq!(inline, None, "a link that is written where it stands cannot be led elsewhere");
        let links = definitions(readme);
        assert!(!links.is_empty());
        let on_docs_rs = definitions(include_str!("lib.rs"));
        let labels = |links: &[(&'static str, &'static str)]| {
            links.iter().map(|(label, _)| *label).collect::<Vec<_>>()
        };
        assert_eq!(labels(&on_docs_rs), labels(&links));
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for (label, address) in on_docs_rs {
            let path = address.strip_prefix("https://docs.rs/crate/monitored/latest/source/");
            let path = root.join(path.unwrap_or_else(|| panic!("[{label}] leads to {address}")));
            assert!(path.exists(), "[{label}] leads to {}, which is not there", path.display());
            let is_published =
                path.parent().is_some_and(|folder| folder == root || !folder.join("Cargo.toml").exists());
            assert!(is_published, "[{label}] leads to a file of another package");
        }
    }
}
