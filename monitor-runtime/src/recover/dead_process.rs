//! The recovery of one dead process: the content of its ring file goes into the store.
//!
//! Takes a locked ring file and a connection; gives transactions of bounded size. The first one brings the counts and
//! the calls that were under way; each one commits its own progress. It does not look for files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::cause::{self, Cause, SeenPanic, SystemReport};
use super::files::Claim;
use super::kinds::Kinds;
use super::memory::RecoveryMemory;
use super::records::Records;
use super::survey::{LATEST_NS, Survey, has_row, is_plausible};
use crate::batch::decode;
use crate::batch::decode::{PendingCall, PendingLine};
use crate::batch::failures::{FailedCall, FailedCallees};
use crate::batch::function_stats::FunctionStats;
use crate::batch::{
    Batch, CallRow, CallStats, Ending, EventRow, FunctionRow, InFlightRow, LogRow, RecoveryProgress,
    ThreadRow, Update,
};
use crate::histogram::Histogram;
use crate::platform::clock::Clock;
use crate::record::Record;
use crate::ring::layout::latest;
use crate::ring::panics::Panic;
use crate::ring::reader::{Image, LedgerImage, LogPlaceImage, Site};
use crate::ring::tallied::Tallied;
use crate::ring::tallies_image::Uncounted;
use crate::store::no_memory;
use crate::store::recovered_rows::{self, Death, RecoveredPart, RecoveredRange};

/// A dead process, and the progress of its recovery.
#[derive(Debug)]
pub(super) struct DeadProcess {
    claim: Claim,
    image: Image,
    clock: Clock,
    died_ns: i64,
    cause: Cause,
    done: RecoveryProgress,
    records: Records,
    survey: Survey,
    /// The calls that left no record and that the process had not counted, by site.
    uncounted: HashMap<u32, Uncounted>,
    kinds: Kinds,
    memory: RecoveryMemory,
    known: recovered_rows::IdCache,
    scratch: Vec<u8>,
    calls: u64,
    /// The failed callees of calls whose own records have not come yet.
    failed: HashMap<u64, FailedCallees>,
}

impl DeadProcess {
    pub(super) fn new(
        claim: Claim,
        image: Image,
        mut done: RecoveryProgress,
        memory: RecoveryMemory,
    ) -> Self {
        // The process may have written batches to another file before, which this store has replaced.
        done.batch = done.batch.max(image.acknowledged);
        let records = Records::missing(&image, &done);
        let clock = image.clock();
        let reported = super::files::read_end(&image, claim.path());
        let survey = Survey::new(&image, &clock, &done, memory.portion_bytes());
        let died_ns = find_death(&image, &clock, survey.last_end_ns);
        let uncounted = image.tallies.uncounted();
        Self {
            cause: find_cause(&image, &clock, reported, died_ns),
            claim,
            clock,
            died_ns,
            kinds: Kinds::new(&image, &done, &survey, &uncounted),
            done,
            records,
            survey,
            uncounted,
            known: recovered_rows::IdCache::with_memory(memory.recorder_bytes()),
            memory,
            scratch: Vec::new(),
            calls: 0,
            failed: HashMap::new(),
            image,
        }
    }

    /// Writes the next transaction. Returns the number of calls that it holds, or `None` once everything is in the
    /// store.
    pub(super) fn step(&mut self, connection: &Connection, now_ns: i64) -> rusqlite::Result<Option<u64>> {
        let has_records = self.records.load(&self.image, self.memory.portion_bytes());
        if self.done.begun && !has_records {
            return Ok(None);
        }
        let mut batch = Batch { at_ns: now_ns, ..Batch::default() };
        let mut figures = HashMap::new();
        let mut flights = Vec::new();
        if !self.done.begun {
            self.add_counted(&mut figures);
            self.add_uncounted(&mut figures);
            flights = self.flights();
            batch.folded = self.kinds.without_row(&self.image, self.died_ns);
            batch.logs = self.folded_lines();
        }
        let counted = self.add_records(&mut batch, &mut figures);
        for (site, figures) in &mut figures {
            if !figures.take_rows(*site, self.died_ns, &mut batch.windows, &mut batch.slices) {
                return Err(no_memory());
            }
            batch.totals.push(figures.total(*site, Update::Add));
        }
        // The process itself has written figures of the same windows, so these are added to them.
        batch.windows.iter_mut().for_each(|window| window.update = Update::Add);
        batch.slices.iter_mut().for_each(|slice| slice.update = Update::Add);
        batch.functions = self.functions(&batch, &flights);
        batch.threads = self.threads(&batch);
        self.calls += batch.calls.len() as u64;
        if self.records.is_last() {
            batch.events = self.events(now_ns, flights.len());
        }
        let spans = self.spans();
        let Image { process, mark, .. } = &self.image;
        let death = Death { process, mark, at_ns: self.died_ns, ending: self.cause.ending };
        let part = RecoveredPart { batch: &batch, counted: &counted, flights: &flights, spans: &spans };
        recovered_rows::write(connection, &mut self.known, death, part)?;
        self.done.begun = true;
        self.done.rings.extend(spans.iter().map(|span| (span.ring, span.to)));
        // The tries are counted anew from here, because this one has had a result.
        self.claim.note_tries(1);
        Ok(Some(batch.calls.len() as u64))
    }

    /// Removes the ring file, whose content is in the store.
    pub(super) fn close(self) {
        self.claim.remove();
    }

    /// Releases the file for another recovery, and does not count this one as a failed try, because it ends in an
    /// orderly way.
    pub(super) fn release(self) {
        self.claim.note_tries(0);
    }

    /// Adds the records of the portion. Returns the indexes in `batch.calls` of the failed calls that a kind of failure
    /// counts already.
    fn add_records(
        &mut self,
        batch: &mut Batch,
        figures: &mut HashMap<u32, FunctionStats>,
    ) -> HashSet<usize> {
        let Self { records, image, clock, scratch, failed, memory, kinds, .. } = self;
        let mut counted = HashSet::new();
        let nowhere = Site::default();
        for place in &records.places {
            let (header, fold, values, value_bytes) = match records.get(place) {
                Some(Record::Call(header, values, bytes)) => (header, None, values, bytes),
                Some(Record::Fold(header, fold, values, bytes)) => (header, Some(fold), values, bytes),
                Some(Record::Line(line, body, fields)) => {
                    let (thread, end) = (place.thread, (place.ring, place.to));
                    let pending = PendingLine { thread, line, body, fields, end };
                    if let Some(place) = image.log_places.get(&line.place)
                        && let row = decode::to_log_row(&pending, Arc::clone(&place.target), clock, scratch)
                        && is_plausible(row.at_ns)
                    {
                        batch.logs.push(row);
                    }
                    continue;
                }
                _ => continue,
            };
            let site = image.sites.get(&header.site).unwrap_or(&nowhere);
            let times = decode::to_times(&header, clock);
            let Some(has_row) = has_row(place, &header, &times, site) else { continue };
            if place.needs_count {
                let ended = decode::to_ended(&header, &times);
                figures.entry(header.site).or_default().count(ended, has_row);
            }
            if place.needs_row && has_row {
                let end = (place.ring, place.to);
                let waiting = PendingCall { thread: place.thread, header, values, value_bytes, fold, end };
                let (arguments, fields) = (names(&site.arguments), names(&site.fields));
                let values = decode::to_values(&waiting, (&arguments, &fields), scratch);
                let mut row = decode::to_row(&waiting, times, values, clock);
                if row.outcome.is_failure() {
                    if kinds.note_row(row.function, row.outcome) {
                        counted.insert(batch.calls.len());
                    }
                    row.cause = cause_of_failure(failed, memory.failed_max(), &row, &site.name).map(Box::new);
                }
                batch.calls.push(row);
            }
        }
        counted
    }

    /// Adds the calls that the process had counted and the store lacks. Only sum and maximum of their durations are
    /// known, so all of them go into the histogram bucket of their mean.
    fn add_counted(&self, figures: &mut HashMap<u32, FunctionStats>) {
        for entry in &self.image.ledger {
            // A site has one checkpoint; a second one of the same site is not believed.
            if figures.contains_key(&entry.site) {
                continue;
            }
            if let Some(added) = find_missing(entry, self.done.batch) {
                let mut histogram = Histogram::default();
                histogram.add(added.duration_ns() / added.calls.max(1), added.calls);
                figures.entry(entry.site).or_default().add(self.died_ns, added, histogram);
            }
        }
    }

    /// Adds the calls that left no record, and those that were sent past their rings, as far as the process had not
    /// counted them. The durations of calls that were only counted or sent are not known.
    fn add_uncounted(&self, figures: &mut HashMap<u32, FunctionStats>) {
        let ns = |ticks| self.clock.duration_ns(ticks);
        for (site, Uncounted { sums, max }) in &self.uncounted {
            let Tallied { calls: [_, errors, panics, cancelled], .. } = sums;
            let counted = sums.counted.saturating_sub(sums.taken_back);
            let timed = sums.calls.iter().fold(0, |all: u64, calls| all.saturating_add(*calls));
            let lost = self.survey.lost_past_rings(*site, sums);
            let all_lost = lost.iter().fold(0, |all: u64, lost| all.saturating_add(*lost));
            let calls = timed.saturating_add(counted).saturating_add(all_lost);
            if calls == 0 {
                continue;
            }
            let durations = sums.total.saturating_sub(sums.nested).saturating_sub(sums.cancelled);
            let added = CallStats {
                calls,
                errors: errors.saturating_add(lost[1]),
                panics: panics.saturating_add(lost[2]),
                cancelled: cancelled.saturating_add(lost[3]),
                sampled_out: sums.sampled_out.min(timed).saturating_add(counted),
                dropped: timed.saturating_sub(sums.sampled_out).saturating_add(all_lost),
                total_ns: ns(durations),
                self_ns: ns(sums.self_ticks),
                busy_ns: ns(sums.busy),
                nested_ns: ns(sums.nested),
                cancelled_ns: ns(sums.cancelled),
                max_ns: ns(*max),
                is_estimated: counted > 0,
                ..CallStats::default()
            };
            let mut histogram = Histogram::default();
            histogram.add(added.duration_ns() / timed.max(1), timed);
            figures.entry(*site).or_default().add(self.died_ns, added, histogram);
        }
    }

    /// Returns rows for log lines that came too fast for a row each, and waited for the end of their second.
    fn folded_lines(&self) -> Vec<LogRow> {
        let places = self.image.log_places.values().filter(|place| place.folded > 0);
        let row = |place: &LogPlaceImage| LogRow {
            at_ns: self.died_ns,
            level: place.level,
            target: Arc::clone(&place.target),
            lines: place.folded,
            ..LogRow::default()
        };
        places.map(row).collect()
    }

    /// Returns the range of positions in each ring that this step recovers.
    fn spans(&self) -> Vec<RecoveredRange> {
        let mut spans: Vec<RecoveredRange> = Vec::new();
        for place in &self.records.places {
            if let Some(span) = spans.last_mut().filter(|span| span.ring == place.ring) {
                span.to = place.to;
            } else {
                let from = self.done.rings.get(&place.ring).copied();
                spans.push(RecoveredRange { ring: place.ring, from, to: place.to });
            }
        }
        spans
    }

    fn functions(&self, batch: &Batch, flights: &[InFlightRow]) -> Vec<FunctionRow> {
        let of_calls = batch.calls.iter().map(|call| call.function);
        let of_windows = batch.windows.iter().map(|window| window.function);
        let of_slices = batch.slices.iter().map(|slice| slice.function);
        let of_flights = flights.iter().map(|flight| flight.function);
        let of_folded = batch.folded.iter().map(|row| row.function);
        let of_logs = batch.logs.iter().filter_map(|line| line.function);
        let of_rows = of_calls.chain(of_windows).chain(of_slices).chain(of_logs);
        let mut ids: Vec<u32> = of_rows.chain(of_flights).chain(of_folded).collect();
        ids.sort_unstable();
        ids.dedup();
        let row = |id: u32| {
            let site = self.image.sites.get(&id)?;
            Some(FunctionRow {
                id,
                name: site.name.clone(),
                file: site.file.clone(),
                line: site.line,
                group: site.group.clone(),
                sample_rate: 1.0,
            })
        };
        ids.into_iter().filter_map(row).collect()
    }

    fn threads(&self, batch: &Batch) -> Vec<ThreadRow> {
        let mut ids: Vec<u32> = batch.calls.iter().map(|call| call.thread).collect();
        ids.sort_unstable();
        ids.dedup();
        let row = |id: u32| {
            let (name, prefix) = self.image.thread(id);
            ThreadRow { id, name, prefix }
        };
        ids.into_iter().map(row).collect()
    }

    /// Returns the calls that were under way when the process died. A process that exits leaves none in the store.
    fn flights(&self) -> Vec<InFlightRow> {
        match self.cause.ending {
            Ending::Exit => Vec::new(),
            Ending::Crash => super::in_flight::in_flight(&self.image),
        }
    }

    fn events(&self, now_ns: i64, flights: usize) -> Vec<EventRow> {
        let panics = self.cause.panics.iter();
        let panics =
            panics.map(|panic| EventRow { at_ns: panic.at_ns, kind: "panic", detail: panic.detail.clone() });
        let death =
            EventRow { at_ns: self.died_ns, kind: self.cause.ending.name(), detail: self.cause.text.clone() };
        let (calls, file) = (self.calls, "recovered from its ring file");
        let under_way = if self.image.flights_lost > 0 { " at least" } else { "" };
        let detail = format!("{calls} calls and{under_way} {flights} under way {file}");
        let recovery = EventRow { at_ns: now_ns, kind: "recovery", detail };
        panics.chain([death, recovery]).collect()
    }
}

/// Returns the time of death: the last sign of life, in nanoseconds since the Unix epoch.
fn find_death(image: &Image, clock: &Clock, last_end_ns: i64) -> i64 {
    let frames = image.rings.iter().flat_map(|ring| &ring.frames).map(|frame| frame.start);
    let waiting = image.waiting().iter().map(|waiting| waiting.since);
    let panics = image.panics.iter().map(|panic| panic.at);
    let seen = frames.chain(waiting).chain(panics).map(|ticks| clock.unix_ns(ticks));
    let alive_ns = image.alive_ns.clamp(0, LATEST_NS);
    // The words of a damaged file may hold any moment.
    let is_soon = |at: &i64| is_plausible(*at) && at.saturating_sub(alive_ns) < SILENCE_MAX_NS;
    seen.filter(is_soon).chain([last_end_ns]).fold(alive_ns, i64::max)
}

/// Returns the cause of the death, and the panics of the last minutes before it.
fn find_cause(image: &Image, clock: &Clock, reported: SystemReport, died_ns: i64) -> Cause {
    let names: Vec<String> = image.panics.iter().map(|panic| thread_of(image, panic)).collect();
    let mut seen: Vec<SeenPanic<'_>> = (image.panics.iter().zip(&names))
        .map(|(panic, thread)| SeenPanic { panic, thread, at_ns: clock.unix_ns(panic.at).max(0) })
        .filter(|seen| (died_ns.saturating_sub(PANICS_REPORTED_NS)..=died_ns).contains(&seen.at_ns))
        .collect();
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.at_ns));
    seen.truncate(PANICS_REPORTED_MAX);
    cause::find_cause(&seen, image.exit, reported, died_ns)
}

/// Returns what the process had counted at a site since its last batch; `None` if the store lacks nothing. Calls that shared
/// a row and had not come into it by the last snapshot were counted for no reason yet: they died with the process, so they
/// are dropped. Calls may also have come into their row, and so become recorded, without a further call.
fn find_missing(entry: &LedgerImage, batch: u64) -> Option<CallStats> {
    let written = latest(&entry.written, batch).unwrap_or_default();
    let mut missing = entry.counted.saturating_difference(&written);
    missing.dropped = missing.dropped.saturating_add(entry.counted.without_reason());
    (missing.calls > 0 || missing.dropped > 0 || missing.recorded > 0).then_some(missing)
}

/// Returns the name of the thread that panicked.
fn thread_of(image: &Image, panic: &Panic) -> String {
    match (panic.thread, panic.is_main) {
        (0, true) => "main".to_owned(),
        (0, false) => "without monitored calls".to_owned(),
        (thread, _) => image.thread(thread).0,
    }
}

/// Returns the cause of a failure, whose callees came before it, and remembers it for its caller.
fn cause_of_failure(
    failed: &mut HashMap<u64, FailedCallees>,
    failed_max: usize,
    row: &CallRow,
    name: &str,
) -> Option<crate::batch::Cause> {
    let CallRow { function: site, span_id: span, outcome, .. } = *row;
    let call = FailedCall { site, span, outcome, text: row.error.as_deref().unwrap_or_default(), name };
    let cause = failed.remove(&span).and_then(|callees| callees.cause_of(&call));
    if row.parent_id != 0 && failed.len() < failed_max {
        failed.entry(row.parent_id).or_default().remember(&call, cause.as_ref());
    }
    cause
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A sign of life this many nanoseconds after the collector's last one is not believed, because the collector leaves
/// signs at shorter intervals.
const SILENCE_MAX_NS: i64 = 600_000_000_000;
/// A panic at most this long before the death is reported.
const PANICS_REPORTED_NS: i64 = 600_000_000_000;
/// The number of panics that are reported: the latest ones.
const PANICS_REPORTED_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_lacks_calls_that_came_into_their_row_after_the_last_batch_though_no_call_did() {
        let stats = |calls: u64, recorded: u64, dropped: u64| CallStats {
            calls,
            recorded,
            dropped,
            total_ns: calls * 10,
            ..CallStats::default()
        };
        let missing = |counted: CallStats, written: CallStats| {
            let entry = LedgerImage { site: 3, counted, written: [(7, written), (6, stats(1, 1, 0))] };
            find_missing(&entry, 7).map(|missing| (missing.calls, missing.recorded, missing.dropped))
        };
        let written = stats(100, 60, 10);
        assert_eq!(missing(stats(100, 90, 10), written), Some((0, 30, 0)));
        assert_eq!(missing(stats(120, 110, 10), written), Some((20, 50, 0)));
        // Thirty calls wait for their row, which died with the process.
        assert_eq!(missing(written, written), Some((0, 0, 30)));
        assert_eq!(missing(stats(100, 90, 10), stats(100, 90, 10)), None);
    }
}
