//! The failures of a dead process that the store counts for their function, but in no kind of failure.
//!
//! Takes the figures of a ring file, and the failed calls among the records that the store lacks. Gives the number of
//! failures without a kind, and the failed calls whose kind counts them already, because they were folded before the
//! process died. So the kinds of a function together count as many failures as the function, however many recoverers it
//! takes. It does not know what the failures say.

use std::collections::{HashMap, HashSet};

use super::survey::Survey;
use crate::batch::{CallStats, FoldedRow, RecoveryProgress};
use crate::record::{ByOutcome, Outcome};
use crate::ring::reader::Image;
use crate::ring::tallies_image::Uncounted;
use crate::store::{OTHER_KIND, fingerprint};

/// The failures of all functions, by the first of the sites that the store takes for one function.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    functions: HashMap<u32, FunctionFailures>,
    /// The first site of the function that a site belongs to, if it is another one.
    first_sites: HashMap<u32, u32>,
}

/// The failures of a function, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FunctionFailures {
    /// The failures that the function counts once all is recovered.
    counted: ByOutcome,
    /// The failures that kinds count already.
    grouped: ByOutcome,
    /// The failures among the records that get a row.
    rows: ByOutcome,
    /// The rows among these that have been written.
    written: ByOutcome,
    /// True if the figures of the function are known.
    is_known: bool,
}

impl FunctionFailures {
    /// Returns the number of failures that neither a kind nor a row counts.
    fn without_row(&self, place: usize) -> u64 {
        if !self.is_known {
            return 0;
        }
        self.counted[place].saturating_sub(self.grouped[place]).saturating_sub(self.rows[place])
    }

    /// Returns the number of rows whose kinds count them already.
    fn in_kinds(&self, place: usize) -> u64 {
        if !self.is_known {
            return 0;
        }
        self.rows[place].saturating_sub(self.counted[place].saturating_sub(self.grouped[place]))
    }
}

impl Kinds {
    /// Compares the failures that each function counts with those that its kinds count.
    pub(super) fn new(
        image: &Image,
        done: &RecoveryProgress,
        survey: &Survey,
        uncounted: &HashMap<u32, Uncounted>,
    ) -> Self {
        let mut kinds = Self { first_sites: first_sites(image), ..Self::default() };
        // The file of a recorder without these checkpoints does not show kinds: each row is counted in its own kind.
        let Some(grouped) = image.grouped(done.batch) else { return kinds };
        let mut seen = HashSet::new();
        for entry in image.ledger.iter().filter(|entry| seen.insert(entry.site)) {
            let CallStats { errors, panics, cancelled, .. } = entry.counted;
            let function = kinds.function(entry.site);
            function.is_known = true;
            add(&mut function.counted, [errors, panics, cancelled]);
        }
        for (site, failures) in grouped {
            add(&mut kinds.function(site).grouped, failures);
        }
        for (site, uncounted) in uncounted {
            let Uncounted { sums, .. } = uncounted;
            let function = kinds.function(*site);
            let [_, failures @ ..] = sums.calls;
            add(&mut function.counted, failures);
            let [_, lost @ ..] = survey.lost_past_rings(*site, sums);
            add(&mut function.counted, lost);
        }
        for (site, records) in survey.failed() {
            let function = kinds.function(*site);
            add(&mut function.counted, records.uncounted);
            add(&mut function.rows, records.rows);
            add(&mut function.written, records.written);
        }
        for function in kinds.functions.values_mut() {
            // A function whose failures were grouped would seem to count too few if its figures are missing.
            function.is_known |= function.grouped == ByOutcome::default();
            let is_plausible = function.counted.iter().all(|failures| *failures <= FAILURES_MAX);
            function.is_known &= is_plausible;
        }
        kinds
    }

    /// Returns the rows of the failures that have no kind, those of each function and outcome in one.
    pub(super) fn without_row(&self, image: &Image, died_ns: i64) -> Vec<FoldedRow> {
        let mut rows = Vec::new();
        for (function, failures) in &self.functions {
            let Some(site) = image.sites.get(function) else { continue };
            for outcome in Outcome::FAILURES {
                let count = outcome.failure_place().map_or(0, |place| failures.without_row(place));
                if count > 0 {
                    rows.push(FoldedRow {
                        function: *function,
                        outcome,
                        message: OTHER_KIND.to_owned(),
                        error_type: String::new(),
                        fingerprint: fingerprint::fingerprint(&site.name, outcome, OTHER_KIND, ""),
                        count,
                        first_ns: died_ns,
                        last_ns: died_ns,
                    });
                }
            }
        }
        rows.sort_by_key(|row| row.fingerprint);
        rows
    }

    /// Notes that a failed call gets a row. Returns true if a kind counts the call already.
    pub(super) fn note_row(&mut self, site: u32, outcome: Outcome) -> bool {
        let Some(place) = outcome.failure_place() else { return false };
        let first = self.first_sites.get(&site).copied().unwrap_or(site);
        let Some(function) = self.functions.get_mut(&first) else { return false };
        function.written[place] += 1;
        // Failures are folded from the oldest on.
        function.written[place] <= function.in_kinds(place)
    }

    fn function(&mut self, site: u32) -> &mut FunctionFailures {
        let first = self.first_sites.get(&site).copied().unwrap_or(site);
        self.functions.entry(first).or_default()
    }
}

/// Returns, for each site that is not the first one of its function, the id of the first one. Sites of the same name,
/// file and line belong to one function.
fn first_sites(image: &Image) -> HashMap<u32, u32> {
    let mut sites: Vec<_> = image.sites.iter().collect();
    sites.sort_unstable_by_key(|(id, _)| **id);
    let mut first_by_place = HashMap::new();
    let mut first_sites = HashMap::new();
    for (id, site) in sites {
        let first = *first_by_place.entry((&site.name, &site.file, site.line)).or_insert(*id);
        if first != *id {
            first_sites.insert(*id, first);
        }
    }
    first_sites
}

fn add(failures: &mut ByOutcome, more: ByOutcome) {
    failures.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
}

/// The largest plausible number of failures of a function: more are not believed.
const FAILURES_MAX: u64 = 1 << 58;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_function(function: FunctionFailures) -> Kinds {
        Kinds { functions: HashMap::from([(3, function)]), first_sites: HashMap::from([(5, 3)]) }
    }

    fn failures(counted: u64, grouped: u64, rows: u64) -> FunctionFailures {
        let of = |failures| [failures, 0, 0];
        FunctionFailures {
            counted: of(counted),
            grouped: of(grouped),
            rows: of(rows),
            written: of(0),
            is_known: true,
        }
    }

    #[test]
    fn failures_that_neither_a_kind_nor_a_row_counts_are_without_a_row() {
        assert_eq!(failures(100, 60, 30).without_row(0), 10);
        assert_eq!(failures(100, 60, 40).without_row(0), 0);
        assert_eq!(failures(100, 60, 50).without_row(0), 0);
        assert_eq!(failures(100, 120, 0).without_row(0), 0);
        assert_eq!(FunctionFailures { is_known: false, ..failures(100, 60, 30) }.without_row(0), 0);
    }

    #[test]
    fn rows_beyond_the_failures_that_lack_a_kind_are_counted_already_the_oldest_first() {
        let mut kinds = with_function(failures(100, 60, 43));
        // Rows of both sites of the function, in the order in which they are recovered.
        let counted: Vec<bool> = (0..43).map(|at| kinds.note_row(3 + at % 2 * 2, Outcome::Error)).collect();
        assert_eq!(counted.iter().filter(|is_counted| **is_counted).count(), 3);
        assert!(counted[..3].iter().all(|is_counted| *is_counted), "{counted:?}");
        assert!(!kinds.note_row(3, Outcome::Ok) && !kinds.note_row(4, Outcome::Error));
    }

    #[test]
    fn a_recovery_that_goes_on_counts_the_rows_that_the_one_before_has_written() {
        for (written, expected) in [(0, 3), (2, 1), (3, 0), (30, 0)] {
            let mut kinds =
                with_function(FunctionFailures { written: [written, 0, 0], ..failures(100, 60, 43) });
            let counted = (written..43).filter(|_| kinds.note_row(3, Outcome::Error)).count();
            assert_eq!(counted, expected, "{written} rows");
        }
    }
}
