//! Every bound of this package, each with its reason.

use std::time::Duration;

pub(crate) use monitor_runtime::bridge::METRIC_SERIES_MAX as SERIES_MAX;

/// The most bytes of the name of a metric, or of a tag: longer names are data.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// The most bytes of the value of a tag. The rest is cut off, so series that differ only in the rest are one.
pub(crate) const VALUE_BYTES_MAX: usize = 256;
/// The most tags of a series.
pub(crate) const TAGS_MAX: usize = 16;
/// The most bytes of a description.
pub(crate) const DESCRIPTION_BYTES_MAX: usize = 1024;
/// The most descriptions that are remembered, each of the metrics of a name.
pub(crate) const DESCRIPTIONS_MAX: usize = SERIES_MAX;
/// The time after which a series that did not change, and that nobody holds, leaves memory.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// The most names for which refused series are counted; series of other names are counted under `other`.
pub(crate) const REFUSED_NAMES_MAX: usize = 100;
/// The most keys of a series that are remembered, so that it is found again without sorting the tags.
pub(crate) const KEYS_MAX: usize = 4;
