//! A monitored function as the collector knows it.

use std::sync::Arc;

use crate::batch::FunctionRow;
use crate::batch::function_stats::FunctionStats;
use crate::ring::tallied::Tallied;
use crate::site::CallSite;

/// A monitored function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) site: &'static CallSite,
    pub(super) name: Arc<str>,
    /// The id of the site under which its calls are counted: the first of the sites that the store takes for one
    /// function.
    pub(super) counted_as: u32,
    /// The statistics of its calls, if they are counted under this site.
    pub(super) stats: FunctionStats,
    /// The sum of what was counted by the site's tallies and countdowns in the ring file.
    tallied: Tallied,
    is_tallied_changed: bool,
    /// The sampling rate that was last put into a batch.
    stored_rate: Option<f64>,
}

impl Function {
    pub(super) fn new(site: &'static CallSite, name: Arc<str>, counted_as: u32) -> Self {
        let (stats, tallied) = (FunctionStats::default(), Tallied::default());
        Self { site, name, counted_as, stats, tallied, is_tallied_changed: false, stored_rate: None }
    }

    /// Returns true if the store does not have the function's row, or has it with another rate.
    pub(super) fn has_new_row(&self) -> bool {
        self.stored_rate != Some(self.site.rate())
    }

    /// Returns the function's row if the store does not have it, or has it with another rate.
    pub(super) fn take_new_row(&mut self) -> Option<FunctionRow> {
        let sample_rate = self.site.rate();
        if self.stored_rate.replace(sample_rate) == Some(sample_rate) {
            return None;
        }
        let (file, line) = self.site.place();
        Some(FunctionRow {
            id: self.site.id(),
            name: self.name.as_ref().to_owned(),
            file: file.to_owned(),
            line,
            group: self.site.group_name().map(str::to_owned),
            sample_rate,
        })
    }

    /// Notes that calls of the site's tallies and countdowns in the ring file were counted.
    pub(super) fn note_tallied(&mut self, grown: &Tallied) {
        self.tallied.add(grown);
        self.is_tallied_changed |= *grown != Tallied::default();
    }

    /// Returns true if the sums that a snapshot notes have changed since the last one.
    pub(super) fn has_changed_sums(&self) -> bool {
        self.stats.is_sum_changed() || self.is_tallied_changed
    }

    /// Returns what was counted of the site's tallies and countdowns, if that changed since this was last called.
    pub(super) fn take_changed_tallied(&mut self) -> Option<Tallied> {
        std::mem::take(&mut self.is_tallied_changed).then_some(self.tallied)
    }

    /// Marks the function's row to be written again, because the store is a new one.
    pub(super) fn forget_stored_row(&mut self) {
        self.stored_rate = None;
    }
}
