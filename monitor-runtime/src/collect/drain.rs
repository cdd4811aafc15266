//! What the collector reads from the hot side: rings, overflow, tallies.

use std::collections::hash_map::Entry;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::crash_safety::{self, Keeping, OVERFLOW, Run};
use super::ladder::Standing;
use super::{Collector, Function, figures_of};
use crate::batch::decode::Waiting;
use crate::batch::decode::{self, Times};
use crate::batch::function_stats::{Ended, FunctionFigures};
use crate::batch::{Figures, ThreadRow};
use crate::collect::backlog::Segment;
use crate::collect::subscribe;
use crate::histogram::Histogram;
use crate::limits;
use crate::platform::clock::{keep_coarse, monotonic};
use crate::record::{HEADER_WORDS, Header, Outcome, Record, decode, sealed_as, settle};
use crate::ring::journal::{Pieces, Worth};
use crate::ring::layout::ring::HEAD_THREAD;
use crate::sampling::tail::Thinned;
use crate::site;
use crate::thread::countdown::Countdown;
use crate::thread::pool::{Overflow, Page};
use crate::thread::tally::{Durations, Tally, Unrecorded};

/// What was read from a tally before.
#[derive(Debug, Default)]
pub(super) struct TallyRead {
    calls: [u64; 4],
    unrecorded: [u64; 4],
    counted: u32,
    counted_failed: u32,
    total_ticks: u64,
    durations: Vec<u32>,
    /// Calls that were only counted, and for whose durations no timed call speaks yet.
    unspoken: u64,
}

/// Where drained words come from.
struct Origin {
    /// The ring's page; none for failures that came around the rings.
    page: Option<Page>,
    ring: u32,
    /// Position of the first word in the ring.
    position: u64,
    /// Where they lie in the journal.
    pieces: Pieces,
}

impl Collector {
    /// Gets to know functions that were called for the first time.
    pub(super) fn meet_functions(&mut self) {
        for site in site::all() {
            let id = site.id() as usize;
            if self.functions.get(id).is_some_and(Option::is_some) {
                continue;
            }
            if self.functions.len() <= id {
                self.functions.resize_with(id + 1, || None);
            }
            let name: Arc<str> = site.shown_name().into();
            let (file, line) = site.place();
            let counted_as =
                *self.first_sites.entry((Arc::clone(&name), file, line)).or_insert_with(|| site.id());
            self.functions[id] = Some(Function {
                site,
                name,
                counted_as,
                standing: Standing::new(site),
                stored_rate: None,
                figures: FunctionFigures::default(),
            });
        }
    }

    /// Moves what is in the rings into the backlog, counted. Whether a ring was filling up.
    pub(super) fn drain(&mut self) -> bool {
        let mut stream = self.shared.subscribers.any().then(Vec::new);
        let mut pressed = false;
        let (mut drained, mut origins) = (Vec::new(), Vec::new());
        let states = self.rings.all();
        self.ring_threads.resize(2 * states.len(), 0);
        for (place, state) in states.iter().enumerate() {
            pressed |= state.is_pressed();
            for (at, (page, ring)) in state.rings().enumerate() {
                let pending = ring.pending();
                if pending == 0 {
                    continue;
                }
                let mut words = Vec::with_capacity(pending);
                let thread = self.ring_threads[2 * place + at];
                let position = ring.drained();
                let journal = &mut self.keeping.journal;
                let mut keep = crash_safety::Drain::new(journal, page.id, thread);
                ring.drain(|position, piece| {
                    let begun = words.len();
                    piece.append_to(&mut words);
                    // Before the ring forgets it.
                    keep.keep(position, &words, begun);
                });
                let pieces = journal.take_pieces();
                origins.push(Origin { page: Some(page), ring: page.id, position, pieces });
                drained.push((2 * place + at, words));
            }
        }
        // Behind the drain, so that each record's thread is known.
        self.meet_threads();
        let thinned = self.thin(&drained, monotonic());
        for ((ring, words), origin) in drained.into_iter().zip(origins) {
            let thread = self.ring_threads[ring];
            let thread = self.accept(thread, words, &origin, thinned.as_ref(), stream.as_mut());
            self.ring_threads[ring] = thread;
            origin.page.inspect(|page| page.words[HEAD_THREAD].store(u64::from(thread), Ordering::Relaxed));
        }
        self.publish(stream);
        self.drain_overflow();
        pressed
    }

    /// Moves failures that found their ring full into the backlog, counted: those that are there by now. More
    /// may come as fast as they are taken, and the backlog is held to its bound only once this is over.
    pub(super) fn drain_overflow(&mut self) {
        let mut stream = self.shared.subscribers.any().then(Vec::new);
        let mut waiting = self.rings.overflow_bytes();
        while waiting > 0
            && let Ok(overflow) = self.overflow.try_recv()
        {
            waiting = waiting.saturating_sub(self.rings.took_overflow(overflow.words.len()));
            self.meet_threads();
            let Overflow { thread, words } = overflow;
            let Keeping { journal, overflow_position, .. } = &mut self.keeping;
            let position = *overflow_position;
            *overflow_position += words.len() as u64;
            journal.append(Worth::Failure, (OVERFLOW, position), thread, &words);
            let origin = Origin { page: None, ring: OVERFLOW, position, pieces: journal.take_pieces() };
            // A failure stays; whether its caller does is decided here as anywhere.
            let drained = [(0, words)];
            let thinned = self.thin(&drained, monotonic());
            let [(_, words)] = drained;
            self.accept(thread, words, &origin, thinned.as_ref(), stream.as_mut());
        }
        self.publish(stream);
    }

    fn publish(&self, stream: Option<Vec<subscribe::Record>>) {
        if let Some(stream) = stream.filter(|stream| !stream.is_empty()) {
            self.shared.subscribers.publish(&stream.into());
        }
    }

    /// Gets to know threads; called behind each drain, so that a record's thread is known.
    fn meet_threads(&mut self) {
        if self.threads.len() > limits::THREADS_KNOWN_MAX {
            let threads: HashSet<u32> = self.ring_threads.iter().copied().collect();
            self.threads.retain(|id, _| threads.contains(id));
        }
        for thread in self.rings.introduced() {
            self.threads.insert(thread.id, (thread.name.as_str().into(), thread.prefix));
            self.new_threads.push(ThreadRow { id: thread.id, name: thread.name, prefix: thread.prefix });
        }
    }

    /// Counts records and puts those that become rows into the backlog, split where the ring went over to
    /// another thread; returns the thread that it belongs to at the end.
    fn accept(
        &mut self,
        mut thread: u32,
        mut words: Vec<u64>,
        origin: &Origin,
        thinned: Option<&Thinned>,
        mut stream: Option<&mut Vec<subscribe::Record>>,
    ) -> u32 {
        // What becomes a row moves up over what does not: `end` is where it ends.
        let (mut at, mut start, mut end) = (0, 0, 0);
        let mut ends = VecDeque::new();
        let mut pieces = origin.pieces.walk();
        let mut looked = 0;
        let drained = words.len();
        while let Some((record, used)) = decode(&words[at..]) {
            if at - looked >= LOOK_WORDS {
                looked = at;
                keep_coarse();
            }
            match record {
                Record::Call(header, values, value_bytes) => {
                    let times = decode::times(&header, &self.clock);
                    let position = origin.position + (at + used) as u64;
                    if let Some(header) = self.count(header, &times, value_bytes > 0, thinned) {
                        if let Some(stream) = stream.as_deref_mut() {
                            let waiting =
                                Waiting { thread, header, values, value_bytes, end: (origin.ring, position) };
                            stream.extend(self.stream_record(&waiting, times));
                        }
                        let header = sealed_as(header.encode(values.len()), words[at + HEADER_WORDS - 1]);
                        words[at..at + HEADER_WORDS].copy_from_slice(&header);
                        pieces.amend(at, &header);
                        words.copy_within(at..at + used, end);
                        end += used;
                        ends.push_back(position);
                    } else {
                        pieces.amend(at, &[settle(words[at])]);
                    }
                }
                Record::Thread(next) => {
                    if end > start {
                        let ends = std::mem::take(&mut ends);
                        self.keep_rows(origin, thread, words[start..end].to_vec(), ends, drained);
                    }
                    start = end;
                    thread = next;
                }
                Record::Skip => {}
            }
            at += used;
        }
        words.truncate(end);
        words.drain(..start);
        if !words.is_empty() {
            words.shrink_to(words.len() * 2);
            self.keep_rows(origin, thread, words, ends, drained);
        }
        self.keeping.uncounted.extend(origin.pieces.held());
        thread
    }

    /// Has rows of one thread wait for a batch, kept in the journal meanwhile. So many words they were drained
    /// with.
    fn keep_rows(
        &mut self,
        origin: &Origin,
        thread: u32,
        words: Vec<u64>,
        ends: VecDeque<u64>,
        drained: usize,
    ) {
        let Origin { ring, position: from, .. } = *origin;
        let run = Run { ring, from, thread, words: &words, ends: &ends };
        let held = self.keeping.hold(&origin.pieces, run, drained);
        self.backlog.push(Segment::new(thread, words, ring, ends, held));
    }

    /// Counts a call; returns its header as its row is to be written, if it gets one.
    fn count(
        &mut self,
        header: Header,
        times: &Times,
        has_values: bool,
        thinned: Option<&Thinned>,
    ) -> Option<Header> {
        if self.function(header.site).is_none() {
            self.meet_functions();
        }
        let fate = self.fate(header, times, thinned);
        let function = self.function(header.site)?;
        function.standing.since.records += 1;
        function.standing.since.with_values += u64::from(has_values);
        let ended = Ended { outcome: header.outcome, ns: times.duration_ns, at_ns: times.end_ns };
        let has_row = fate.is_some();
        self.figures(header.site)?.count(ended, has_row);
        *if has_row { &mut self.health.recorded } else { &mut self.health.sampled_out } += 1;
        fate
    }

    fn stream_record(&mut self, waiting: &Waiting<'_>, times: Times) -> Option<subscribe::Record> {
        let function = self.functions.get(waiting.header.site as usize)?.as_ref()?;
        let values = decode::values(waiting, function.site.names(), &mut self.scratch);
        let thread = self.threads.get(&waiting.thread);
        let thread = thread.map_or_else(|| Arc::from("unknown"), |(name, _)| Arc::clone(name));
        Some(subscribe::Record {
            function: Arc::clone(&function.name),
            thread,
            outcome: waiting.header.outcome,
            kept: waiting.header.kept,
            start_ns: times.start_ns,
            duration_ns: times.duration_ns,
            busy_ns: times.busy_ns,
            span_id: waiting.header.span,
            parent_id: (waiting.header.parent != 0).then_some(waiting.header.parent),
            trace_id: waiting.header.trace,
            weight: f64::from(waiting.header.weight),
            args: values.args,
            result: values.result,
            error: values.error,
            fields: values.fields,
        })
    }

    /// Adds what tallies counted since they were last read.
    pub(super) fn read_tallies(&mut self) {
        let states = self.rings.all();
        let (no_tally, no_countdown) = (Tally::default(), Countdown::default());
        for (place, state) in states.iter().enumerate() {
            let countdowns = state.countdowns.table();
            for (site, tally) in state.tallies.iter() {
                let countdown = countdowns.and_then(|table| table.of(site)).unwrap_or(&no_countdown);
                self.read_tally(place, site, tally, countdown);
            }
            for (site, countdown) in state.countdowns.iter() {
                if !state.tallies.is_used(site) {
                    self.read_tally(place, site, &no_tally, countdown);
                }
            }
        }
        for (site, tally) in self.rings.shared_tallies.iter() {
            self.read_tally(usize::MAX, site, tally, &no_countdown);
        }
    }

    fn read_tally(&mut self, place: usize, site: u32, tally: &Tally, countdown: &Countdown) {
        if self.function(site).is_none() {
            self.meet_functions();
        }
        let read = match self.tallies_read.entry((place, site)) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(TallyRead::default()),
        };
        let calls = differences(&mut read.calls, tally.calls());
        let counted_before = std::mem::replace(&mut read.counted, countdown.counted());
        let begun = u64::from(read.counted.wrapping_sub(counted_before));
        let failed_before = std::mem::replace(&mut read.counted_failed, countdown.failed());
        let taken_back = u64::from(read.counted_failed.wrapping_sub(failed_before));
        let counted = begun.saturating_sub(taken_back);
        // What began before the last reading and left a record since was counted too early.
        let too_early = taken_back - (begun - counted);
        read.unspoken = read.unspoken.saturating_sub(too_early);
        if too_early > 0
            && let Some(figures) = figures_of(&mut self.functions, site)
        {
            figures.take_back(too_early);
            self.health.sampled_out = self.health.sampled_out.saturating_sub(too_early);
        }
        if calls == [0; 4] && counted == 0 {
            return;
        }
        let reasons = differences(&mut read.unrecorded, tally.unrecorded());
        let total = tally.total_ticks();
        let mut total_ticks = total.wrapping_sub(std::mem::replace(&mut read.total_ticks, total));
        let durations = tally.durations().map(|durations| new_durations(&mut read.durations, durations));
        let mut durations = durations.unwrap_or_default();
        read.unspoken = read.unspoken.wrapping_add(counted);
        total_ticks += speak_for(&mut read.unspoken, &mut durations, total_ticks);
        let dropped = reasons[Unrecorded::RingFull as usize]
            + reasons[Unrecorded::NoRing as usize]
            + reasons[Unrecorded::Folded as usize];
        let mut histogram = Histogram::default();
        for (place, count) in &durations {
            histogram.add_at(*place, *count);
        }
        let sampled_out = reasons[Unrecorded::SampledOut as usize].wrapping_add(counted);
        self.health.dropped.ring_full += reasons[Unrecorded::RingFull as usize];
        self.health.dropped.no_ring += reasons[Unrecorded::NoRing as usize];
        self.health.sampled_out += sampled_out;
        let figures = Figures {
            calls: calls.iter().sum::<u64>().wrapping_add(counted),
            errors: calls[Outcome::Error as usize],
            panics: calls[Outcome::Panic as usize],
            cancelled: calls[Outcome::Cancelled as usize],
            recorded: 0,
            sampled_out,
            dropped,
            total_ns: self.clock.duration_ns(total_ticks),
            max_ns: self.clock.duration_ns(tally.take_max_ticks()),
            is_estimated: counted > 0,
        };
        let now_ns = self.clock.now_ns();
        if let Some(Some(function)) = self.functions.get_mut(site as usize) {
            let since = &mut function.standing.since;
            since.timed += reasons[Unrecorded::SampledOut as usize];
            since.counted += counted;
            since.dropped += dropped;
        }
        if let Some(all) = self.figures(site) {
            all.add(now_ns, figures, histogram);
        }
        // A failure leaves a record at any rate; one that is only in a tally found no room anywhere.
        for outcome in [Outcome::Error, Outcome::Panic, Outcome::Cancelled] {
            if calls[outcome as usize] > 0 {
                self.fold(site, outcome, super::OTHER.to_owned(), calls[outcome as usize], now_ns);
            }
        }
    }
}

/// Words of records between two looks at the clock: less than a millisecond.
const LOOK_WORDS: usize = 8192;

/// What was added to counters since they were last read.
fn differences<const N: usize>(before: &mut [u64; N], now: [u64; N]) -> [u64; N] {
    let before = std::mem::replace(before, now);
    std::array::from_fn(|at| now[at].wrapping_sub(before[at]))
}

/// Lets the calls that were timed speak for those that were only counted: their durations are
/// multiplied to be as many. Returns the ticks that this adds; without timed calls it waits.
fn speak_for(unspoken: &mut u64, durations: &mut [(usize, u64)], timed_ticks: u64) -> u64 {
    let timed: u64 = durations.iter().map(|(_, count)| count).sum();
    if timed == 0 || *unspoken == 0 {
        return 0;
    }
    let all = std::mem::take(unspoken) + timed;
    let (mut seen, mut given) = (0, 0);
    for (_, count) in durations {
        // Cumulative, so that rounding adds up to exactly all of them.
        seen += *count;
        let up_to_here = (u128::from(all) * u128::from(seen) / u128::from(timed)) as u64;
        *count = up_to_here - given;
        given = up_to_here;
    }
    let total = u128::from(timed_ticks) * u128::from(all) / u128::from(timed);
    (total as u64).saturating_sub(timed_ticks)
}

/// Durations (the place of their bucket) and counts added since the last reading.
fn new_durations(before: &mut Vec<u32>, durations: &Durations) -> Vec<(usize, u64)> {
    let mut added = Vec::new();
    for (bucket, count) in durations.iter() {
        if before.len() <= bucket {
            before.push(0);
        }
        let new = count.wrapping_sub(std::mem::replace(&mut before[bucket], count));
        if new > 0 {
            added.push((bucket, u64::from(new)));
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_calls_speak_for_all_that_were_counted() {
        let mut durations = vec![(10, 3), (100, 1)];
        let mut unspoken = 99;
        let added = speak_for(&mut unspoken, &mut durations, 130);
        assert_eq!(durations.iter().map(|(_, count)| count).sum::<u64>(), 103);
        assert_eq!((durations[0].1, unspoken), (77, 0));
        assert_eq!(130 + added, 130 * 103 / 4);
        let mut unspoken = 7;
        assert_eq!(speak_for(&mut unspoken, &mut [], 0), 0);
        assert_eq!(unspoken, 7);
    }
}
