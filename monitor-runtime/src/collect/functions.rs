//! All monitored functions as the collector knows them, by the id of their call site.
//!
//! Takes the call sites that are registered; gives functions with their statistics, and rows for the store. Calls of
//! sites that the store takes for one function are counted together. It does not know what is sampled.

use std::collections::HashMap;
use std::sync::Arc;

use super::folded_failures::{Failures, FoldedFailures};
use super::function::Function;
use super::health::Health;
use crate::accountant::{Accountant, Part};
use crate::batch::FunctionRow;
use crate::batch::function_stats::FunctionStats;
use crate::growth::MakeRoom as _;
use crate::limits;
use crate::ring::tallied::Tallied;
use crate::site;

/// All monitored functions.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// The functions, by the id of their call site.
    by_id: Vec<Option<Function>>,
    /// The id of the first site of each name, file and line. Several sites share these where a macro puts a function
    /// into several impl blocks, or gives several functions one name.
    first_sites: HashMap<(Arc<str>, &'static str, u32), u32>,
    /// The failures that have no row of their own.
    pub(super) folded: FoldedFailures,
    kinds_max: usize,
    /// The number of functions and kinds of failure that found no memory since the last report to the accountant.
    refused: u64,
}

impl Functions {
    /// Reports the bytes held to the accountant, and derives from its limit how many kinds of failure may be told
    /// apart. The statistics of every function are kept, because their number depends on the program and not on its
    /// load.
    pub(super) fn settle_account(&mut self, accountant: &Accountant) {
        let bytes = self.first_sites.len() * FUNCTION_BYTES + self.folded.len() * KIND_BYTES;
        accountant.set(Part::Functions, bytes);
        (0..std::mem::take(&mut self.refused)).for_each(|_| accountant.note_refused(Part::Functions));
        self.kinds_max =
            accountant.count_within(Part::Functions, KINDS_SHARE, KIND_BYTES, limits::FOLDED_KINDS_MAX);
    }

    /// Adds the functions that were called for the first time since this was last called. Returns false if the machine
    /// has no memory for all of them, and for some more, whose first calls may come while rings are drained.
    pub(super) fn prepare(&mut self) -> bool {
        self.discover() && self.by_id.make_room(SPARE_PLACES) && self.first_sites.make_room(SPARE_PLACES)
    }

    /// Adds the functions that were called for the first time since this was last called. Returns false if the machine
    /// has no memory for all of them.
    pub(super) fn discover(&mut self) -> bool {
        for site in site::registered() {
            let id = site.id() as usize;
            if self.by_id.get(id).is_some_and(Option::is_some) {
                continue;
            }
            if !self.by_id.make_room((id + 1).saturating_sub(self.by_id.len()))
                || !self.first_sites.make_room(1)
            {
                self.refused += 1;
                return false;
            }
            if self.by_id.len() <= id {
                self.by_id.resize_with(id + 1, || None);
            }
            let name: Arc<str> = site.shown_name().into();
            let (file, line) = site.place();
            let counted_as =
                *self.first_sites.entry((Arc::clone(&name), file, line)).or_insert_with(|| site.id());
            self.by_id[id] = Some(Function::new(site, name, counted_as));
        }
        true
    }

    /// Adds newly called functions, if the function with this id is not known yet.
    pub(super) fn discover_missing(&mut self, id: u32) {
        if self.get(id).is_none() {
            self.discover();
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&Function> {
        self.by_id.get(id as usize)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Function> {
        self.by_id.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.by_id.iter_mut().flatten()
    }

    /// Returns all functions, indexed by id, with `None` for an id that has no function.
    pub(super) fn places(&self) -> &[Option<Function>] {
        &self.by_id
    }

    /// Returns the statistics in which calls of a site are counted: those of the first site that the store takes for
    /// the same function, because the store replaces a function's statistics by the latest ones.
    pub(super) fn stats_mut(&mut self, id: u32) -> Option<&mut FunctionStats> {
        let counted_as = self.get(id)?.counted_as;
        Some(&mut self.by_id.get_mut(counted_as as usize)?.as_mut()?.stats)
    }

    /// Notes that calls of a site's tallies and countdowns in the ring file were counted.
    pub(super) fn note_tallied(&mut self, id: u32, grown: &Tallied) {
        if let Some(function) = self.by_id.get_mut(id as usize).and_then(Option::as_mut) {
            function.note_tallied(grown);
        }
    }

    /// Returns the statistics in which a function's calls are counted.
    pub(super) fn stats_of(&self, function: &Function) -> Option<&FunctionStats> {
        Some(&self.get(function.counted_as)?.stats)
    }

    /// Returns the number of functions whose statistics changed since they were last put into a batch.
    pub(super) fn count_changed(&self) -> usize {
        self.iter().filter(|function| function.stats.is_changed()).count()
    }

    /// Returns the rows of functions that the store does not have yet, or has with another rate. Returns `None` if
    /// there is no memory for all of them: they are then still to be taken.
    pub(super) fn take_new_rows(&mut self) -> Option<Vec<FunctionRow>> {
        let mut rows = Vec::new();
        if !rows.make_room(self.iter().filter(|function| function.has_new_row()).count()) {
            self.refused += 1;
            return None;
        }
        rows.extend(self.iter_mut().filter_map(Function::take_new_row));
        Some(rows)
    }

    /// Marks all rows to be written again, because the store is a new one.
    pub(super) fn forget_stored_rows(&mut self) {
        self.iter_mut().for_each(Function::forget_stored_row);
        // Folded failures are counted from the start of the process, as statistics are.
        self.folded.touch();
    }

    /// Marks all statistics that are still in memory to be written again.
    pub(super) fn touch_stats(&mut self) {
        for function in self.iter_mut() {
            function.stats.mark_changed();
        }
    }

    /// Counts failures that have no row of their own, by kind.
    pub(super) fn fold(&mut self, failures: Failures, health: &mut Health) {
        health.folded_errors += failures.count;
        let function = self.by_id.get(failures.function as usize).and_then(Option::as_ref);
        if let Some(Function { name, counted_as, .. }) = function {
            let failures = Failures { function: *counted_as, ..failures };
            self.refused += u64::from(!self.folded.add(name, failures, self.kinds_max));
        }
    }
}

/// The number of functions that may be called for the first time while rings are drained. It is small, because a drain
/// takes a part of a millisecond.
const SPARE_PLACES: usize = 64;
/// The bytes of a function's statistics: two windows, a slice, and the slices that were released, each with a
/// histogram.
const FUNCTION_BYTES: usize = 2048;
/// The bytes of a kind of failure.
const KIND_BYTES: usize = 320;
/// The divisor of the memory for functions: kinds of failure may take the memory divided by this number.
const KINDS_SHARE: usize = 2;
