//! A survey of the records of a dead process, before the first of them is recovered.
//!
//! Takes all records that the store lacked when the process died, a portion at a time; gives the end of the last call,
//! and numbers of failures by function. If an earlier recovery was interrupted, only the number of rows that it has
//! written differs. The survey keeps numbers alone, so its size depends on the functions and not on the records.

use std::collections::HashMap;

use super::records::{Place, Records};
use crate::batch::RecoveryProgress;
use crate::batch::decode::{self, Times};
use crate::platform::clock::Clock;
use crate::record::{ByOutcome, Header, Kept, Record};
use crate::ring::layout::INCOMPLETE;
use crate::ring::reader::{Image, Site};
use crate::ring::tallied::Tallied;

/// The failures of a function among the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FailedRecords {
    /// The failures that the process had not counted.
    pub(super) uncounted: ByOutcome,
    /// The failures that get a row.
    pub(super) rows: ByOutcome,
    /// The rows among these that an earlier recovery has written.
    pub(super) written: ByOutcome,
}

/// The figures of a survey.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The end of the last call, in nanoseconds since the Unix epoch.
    pub(super) last_end_ns: i64,
    failed: HashMap<u32, FailedRecords>,
    /// The uncounted calls by outcome that were sent past their rings.
    past_rings: HashMap<u32, [u64; 4]>,
}

impl Survey {
    /// Reads all records that the store lacked when the process died, this many bytes at a time.
    pub(super) fn new(image: &Image, clock: &Clock, done: &RecoveryProgress, portion: usize) -> Self {
        let mut survey = Self::default();
        let before = RecoveryProgress { batch: done.batch, begun: done.begun, rings: HashMap::new() };
        let mut records = Records::missing(image, &before);
        while records.load(image, portion) {
            for place in &records.places {
                match records.get(place) {
                    Some(Record::Call(header, ..)) => survey.add_call(image, clock, done, place, &header),
                    Some(Record::Fold(header, ..)) => survey.add_end(&decode::to_times(&header, clock)),
                    _ => {}
                }
            }
        }
        survey
    }

    /// Returns the failures of each function among the records, by the ids of sites.
    pub(super) fn failed(&self) -> impl Iterator<Item = (&u32, &FailedRecords)> {
        self.failed.iter()
    }

    /// Returns the numbers, by outcome, of the calls of a site that were sent past a ring and left no record. `sums` has
    /// the numbers of all calls that were sent past a ring and that the process had not counted.
    pub(super) fn lost_past_rings(&self, site: u32, sums: &Tallied) -> [u64; 4] {
        // A call that was taken after the last snapshot is counted by its record in the journal.
        let known = self.past_rings.get(&site).copied().unwrap_or_default();
        std::array::from_fn(|at| sums.sent[at].saturating_sub(known[at]))
    }

    fn add_end(&mut self, times: &Times) {
        if is_plausible(times.end_ns) {
            self.last_end_ns = self.last_end_ns.max(times.end_ns);
        }
    }

    fn add_call(
        &mut self,
        image: &Image,
        clock: &Clock,
        done: &RecoveryProgress,
        place: &Place,
        header: &Header,
    ) {
        let times = decode::to_times(header, clock);
        self.add_end(&times);
        // A damaged file may name any number of sites.
        let Some(site) = image.sites.get(&header.site) else { return };
        if place.ring == 0
            && place.needs_count
            && let Some(sent) =
                self.past_rings.entry(header.site).or_default().get_mut(header.outcome as usize)
        {
            *sent += 1;
        }
        let Some(at) = header.outcome.failure_place() else { return };
        let Some(has_row) = has_row(place, header, &times, site) else { return };
        let failed = self.failed.entry(header.site).or_default();
        failed.uncounted[at] += u64::from(place.needs_count);
        if place.needs_row && has_row {
            let is_written = done.rings.get(&place.ring).is_some_and(|written| place.from < *written);
            failed.rows[at] += 1;
            failed.written[at] += u64::from(is_written && place.ring != INCOMPLETE);
        }
    }
}

/// Returns true if the call of a record gets a row, as far as the record is concerned. Returns `None` if its times
/// cannot be right, and the record is therefore not believed.
pub(super) fn has_row(place: &Place, header: &Header, times: &Times, site: &Site) -> Option<bool> {
    if !is_plausible(times.start_ns) || !is_plausible(times.end_ns) {
        return None;
    }
    // The caller's thread keeps unsampled calls from half of the slow limit on, because its clock is not yet
    // calibrated; here the limit itself decides.
    let is_unsampled =
        header.kept == Kept::Slow && times.duration_ns < site.slow_ns && site.slow_ns != u64::MAX;
    Some(!place.is_settled && !is_unsampled)
}

/// Returns true for a plausible time: sums of it and a duration stay within 64 bits of nanoseconds.
pub(super) fn is_plausible(at_ns: i64) -> bool {
    (0..LATEST_NS).contains(&at_ns)
}

/// The latest plausible time: the year 2200.
pub(super) const LATEST_NS: i64 = 7_258_118_400_000_000_000;
