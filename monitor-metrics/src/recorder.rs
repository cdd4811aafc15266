//! The recorder of the facade: hands out handles, and remembers descriptions.

use std::fmt;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use monitor_runtime::bridge::MetricKind;

use crate::registry::{self, Registry};
use crate::series::Instrument;

/// Makes the store the place where the facade's metrics go, and starts the recorder of calls if it was not running.
///
/// Without recording, as with `MONITOR=off`, the metrics cost a load and a branch, and nothing is kept.
///
/// # Errors
/// [`InstallError`] if the program has another recorder already. [`recorder`] returns one to put beside it.
///
/// # Example
/// ```
/// # fn main() -> Result<(), monitored_metrics::InstallError> {
/// monitored_metrics::install()?;
/// metrics::counter!("orders", "shop" => "berlin").increment(1);
/// # Ok(())
/// # }
/// ```
pub fn install() -> Result<(), InstallError> {
    metrics::set_global_recorder(recorder()).map_err(|_| InstallError(()))
}

/// Returns the recorder, to be one of several, as in `metrics_util::layers::FanoutBuilder`. All recorders of a process share
/// their series.
#[must_use]
pub fn recorder() -> Recorder {
    Recorder { registry: registry::start() }
}

/// A recorder of the facade that writes to the store of this process.
#[derive(Clone, Copy)]
pub struct Recorder {
    /// `None` if nothing is recorded.
    registry: Option<&'static Registry>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("is_recording", &self.registry.is_some()).finish()
    }
}

impl Recorder {
    fn describe(self, kind: MetricKind, name: &KeyName, unit: Option<Unit>, description: &SharedString) {
        if let Some(registry) = self.registry {
            let unit = unit.map(|unit| unit.as_str());
            registry.describe(kind, name.as_str(), unit, description);
        }
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(MetricKind::Counter, &key, unit, &description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(MetricKind::Gauge, &key, unit, &description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(MetricKind::Histogram, &key, unit, &description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let Some(registry) = self.registry else { return Counter::noop() };
        if let Some(found) = registry.lookups().and_then(|lookups| lookups.counters.find(key)) {
            return found;
        }
        match registry.register(MetricKind::Counter, key, metadata) {
            Some(Instrument::Counter(counter)) => Counter::from_arc(counter),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let Some(registry) = self.registry else { return Gauge::noop() };
        if let Some(found) = registry.lookups().and_then(|lookups| lookups.gauges.find(key)) {
            return found;
        }
        match registry.register(MetricKind::Gauge, key, metadata) {
            Some(Instrument::Gauge(gauge)) => Gauge::from_arc(gauge),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let Some(registry) = self.registry else { return Histogram::noop() };
        if let Some(found) = registry.lookups().and_then(|lookups| lookups.histograms.find(key)) {
            return found;
        }
        match registry.register(MetricKind::Histogram, key, metadata) {
            Some(Instrument::Histogram(histogram)) => Histogram::from_arc(histogram),
            _ => Histogram::noop(),
        }
    }
}

/// The error of [`install`]: the program has another recorder for the facade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstallError(());

impl fmt::Display for InstallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "the program has a recorder of metrics already: put `monitored_metrics::recorder()` beside it, as with \
             `metrics_util::layers::FanoutBuilder`",
        )
    }
}

impl std::error::Error for InstallError {}
