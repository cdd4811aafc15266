//! A dead process on its way into the store.
//!
//! Takes a locked ring file and a connection; gives transactions of bounded size. The first one brings the counts and
//! the calls that were under way; each one commits its own progress. It does not look for files.

use std::collections::HashMap;

use rusqlite::Connection;

use super::cause::{self, Cause, SeenPanic, Told};
use super::files::Claim;
use super::records::{Place, Records};
use crate::batch::decode;
use crate::batch::decode::PendingCall;
use crate::batch::failures::{FailedCall, FailedCallees};
use crate::batch::function_stats::FunctionStats;
use crate::batch::{
    Batch, CallRow, Ending, EventRow, FunctionRow, InFlightRow, RecoveryProgress, ThreadRow, Update,
};
use crate::histogram::Histogram;
use crate::limits;
use crate::platform::clock::Clock;
use crate::record::{Kept, Outcome, Record};
use crate::ring::panics::Panic;
use crate::ring::reader::{Image, Site, latest};
use crate::store::recovered_rows::{self, Death, RecoveredRange};

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
    at: usize,
    known: recovered_rows::IdCache,
    scratch: Vec<u8>,
    calls: u64,
    /// The failed callees of calls whose own records have not come yet.
    failed: HashMap<u64, FailedCallees>,
}

impl DeadProcess {
    pub(super) fn new(connection: &Connection, claim: Claim, image: Image) -> rusqlite::Result<Self> {
        let mut done = recovered_rows::read_progress(connection, &image.process.run_uuid)?;
        // The process may have written to another file before, in whose place the store stands.
        done.batch = done.batch.max(image.acknowledged);
        let records = Records::missing(&image, &done);
        let clock = image.clock();
        let told = super::files::told_of_end(&image, claim.path());
        let died_ns = find_death(&image, &records, &clock);
        Ok(Self {
            cause: find_cause(&image, &clock, told, died_ns),
            claim,
            clock,
            died_ns,
            done,
            records,
            at: 0,
            known: recovered_rows::IdCache::default(),
            scratch: Vec::new(),
            calls: 0,
            failed: HashMap::new(),
            image,
        })
    }

    /// Writes the next transaction. Returns the number of its calls, or none once everything is in the store.
    pub(super) fn step(&mut self, connection: &Connection, now_ns: i64) -> rusqlite::Result<Option<u64>> {
        if self.done.begun && self.at >= self.records.places.len() {
            return Ok(None);
        }
        let end = self.end_of_step();
        let mut batch = Batch { at_ns: now_ns, ..Batch::default() };
        let mut figures = HashMap::new();
        let mut flights = Vec::new();
        if !self.done.begun {
            self.add_counted(&mut figures);
            flights = self.flights();
        }
        self.add_records(self.at..end, &mut batch, &mut figures);
        for (site, figures) in &mut figures {
            figures.take_rows(*site, self.died_ns, &mut batch.windows, &mut batch.slices);
        }
        // The process itself has written figures of the same windows, so these are added to them.
        batch.windows.iter_mut().for_each(|window| window.update = Update::Add);
        batch.slices.iter_mut().for_each(|slice| slice.update = Update::Add);
        batch.functions = self.functions(&batch, &flights);
        batch.threads = self.threads(&batch);
        self.calls += batch.calls.len() as u64;
        if end >= self.records.places.len() {
            batch.events = self.events(now_ns, flights.len());
        }
        let spans = self.spans(self.at..end);
        let Image { process, mark, .. } = &self.image;
        let death = Death { process, mark, at_ns: self.died_ns, ending: self.cause.ending };
        recovered_rows::write(connection, &mut self.known, death, &batch, &flights, &spans)?;
        self.done.begun = true;
        self.done.rings.extend(spans.iter().map(|span| (span.ring, span.to)));
        self.at = end;
        Ok(Some(batch.calls.len() as u64))
    }

    /// Removes the ring file, whose content is in the store.
    pub(super) fn close(self) {
        self.claim.remove();
    }

    /// Returns the end of the next transaction's records.
    fn end_of_step(&self) -> usize {
        let mut words = 0;
        let rest = self.records.places.get(self.at..).unwrap_or_default();
        let fits = |place: &&Place| {
            words += place.to - place.from;
            words * 8 < limits::BATCH_BYTES_MAX as u64 / 4
        };
        // A transaction holds at least one record, however long that is.
        let count = rest.iter().take(limits::BATCH_ROWS).take_while(fits).count().max(1);
        (self.at + count).min(self.records.places.len())
    }

    fn add_records(
        &mut self,
        range: std::ops::Range<usize>,
        batch: &mut Batch,
        figures: &mut HashMap<u32, FunctionStats>,
    ) {
        let Self { records, image, clock, scratch, failed, .. } = self;
        let nowhere = Site::default();
        for place in records.places.get(range).unwrap_or_default() {
            let (header, fold, values, value_bytes) = match records.get(place) {
                Some(Record::Call(header, values, bytes)) => (header, None, values, bytes),
                Some(Record::Fold(header, fold, values, bytes)) => (header, Some(fold), values, bytes),
                _ => continue,
            };
            let site = image.sites.get(&header.site).unwrap_or(&nowhere);
            let times = decode::to_times(&header, clock);
            if !is_plausible(times.start_ns) || !is_plausible(times.end_ns) {
                continue;
            }
            // The caller's thread keeps unsampled calls from half of the slow limit on, because its clock is not yet
            // calibrated; here the limit itself decides.
            let is_unsampled =
                header.kept == Kept::Slow && times.duration_ns < site.slow_ns && site.slow_ns != u64::MAX;
            let has_row = !place.is_settled && !is_unsampled;
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
                if row.outcome != Outcome::Ok {
                    row.cause = cause_of_failure(failed, &row, &site.name).map(Box::new);
                }
                batch.calls.push(row);
            }
        }
    }

    /// Adds the calls that the process had counted and the store lacks. Only sum and maximum of their durations are
    /// known, so all of them go into the histogram bucket of their mean.
    fn add_counted(&self, figures: &mut HashMap<u32, FunctionStats>) {
        for entry in &self.image.ledger {
            // A site has one checkpoint; a second one of the same site is not believed.
            if figures.contains_key(&entry.site) {
                continue;
            }
            let written = latest(&entry.written, self.done.batch).unwrap_or_default();
            let added = entry.counted.saturating_difference(&written);
            if added.calls > 0 || added.dropped > 0 {
                let mut histogram = Histogram::default();
                histogram.add(added.duration_ns() / added.calls.max(1), added.calls);
                figures.entry(entry.site).or_default().add(self.died_ns, added, histogram);
            }
        }
    }

    /// Returns the progress of this step with each ring.
    fn spans(&self, range: std::ops::Range<usize>) -> Vec<RecoveredRange> {
        let mut spans: Vec<RecoveredRange> = Vec::new();
        for place in self.records.places.get(range).unwrap_or_default() {
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
        let mut ids: Vec<u32> = of_calls.chain(of_windows).chain(of_slices).chain(of_flights).collect();
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
fn find_death(image: &Image, records: &Records, clock: &Clock) -> i64 {
    let ends = records.places.iter().filter_map(|place| match records.get(place) {
        Some(Record::Call(header, ..) | Record::Fold(header, ..)) => {
            Some(decode::to_times(&header, clock).end_ns)
        }
        _ => None,
    });
    let frames = image.rings.iter().flat_map(|ring| &ring.frames).map(|frame| frame.start);
    let waiting = image.waiting().iter().map(|waiting| waiting.since);
    let panics = image.panics.iter().map(|panic| panic.at);
    let seen = frames.chain(waiting).chain(panics).map(|ticks| clock.unix_ns(ticks));
    let alive_ns = image.alive_ns.clamp(0, LATEST_NS);
    // Words of a damaged file may say any moment.
    let is_soon = |at: &i64| is_plausible(*at) && at.saturating_sub(alive_ns) < SILENCE_MAX_NS;
    ends.filter(|end| is_plausible(*end)).chain(seen.filter(is_soon)).fold(alive_ns, i64::max)
}

/// Returns the cause of the death, and the panics of the last minutes before it.
fn find_cause(image: &Image, clock: &Clock, told: Told, died_ns: i64) -> Cause {
    let names: Vec<String> = image.panics.iter().map(|panic| thread_of(image, panic)).collect();
    let mut seen: Vec<SeenPanic<'_>> = (image.panics.iter().zip(&names))
        .map(|(panic, thread)| SeenPanic { panic, thread, at_ns: clock.unix_ns(panic.at).max(0) })
        .filter(|seen| (died_ns.saturating_sub(PANICS_TOLD_NS)..=died_ns).contains(&seen.at_ns))
        .collect();
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.at_ns));
    seen.truncate(PANICS_TOLD_MAX);
    cause::find_cause(&seen, image.exit, told, died_ns)
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
    row: &CallRow,
    name: &str,
) -> Option<crate::batch::Cause> {
    let CallRow { function: site, span_id: span, outcome, .. } = *row;
    let call = FailedCall { site, span, outcome, text: row.error.as_deref().unwrap_or_default(), name };
    let cause = failed.remove(&span).and_then(|callees| callees.cause_of(&call));
    if row.parent_id != 0 && failed.len() < limits::FAILED_CALLEES_ALL_MAX {
        failed.entry(row.parent_id).or_default().remember(&call, cause.as_ref());
    }
    cause
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Returns true for a plausible time: sums of it and a duration stay within 64 bits of nanoseconds.
fn is_plausible(at_ns: i64) -> bool {
    (0..LATEST_NS).contains(&at_ns)
}

/// The latest plausible time: the year 2200.
const LATEST_NS: i64 = 7_258_118_400_000_000_000;
/// A process that the collector has not seen alive for longer has no other sign of life: its collector looks at least
/// this often.
const SILENCE_MAX_NS: i64 = 600_000_000_000;
/// A panic at most this long before the death is told.
const PANICS_TOLD_NS: i64 = 600_000_000_000;
/// The number of panics that are told: the latest ones.
const PANICS_TOLD_MAX: usize = 16;
