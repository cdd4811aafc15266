//! The drain: the hot side's records, overflow and tallies are read, counted, and handed on.
//!
//! Takes words from rings, failures that found their ring full, and tallies; gives counted records to the backlog, with
//! copies in the journal, and records to subscribers. Each record is counted exactly once. It does not know the store.
//!
//! The records of a drain are passed over three times. `trees` needs all calls in the order of their ends, whatever
//! rings they came from. Tail sampling needs the rows that each function would get, without those that `trees` joined.
//! Only then is it known which records become rows, and each record is counted and moved to the backlog.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::backlog::{Segment, for_each_row};
use super::calls_under_way::calls_under_way;
use super::crash_safety::{OVERFLOW, RowRun};
use super::events::Events;
use super::journal_writer::JournalWriter;
use super::losses;
use super::parts::Parts;
use super::shared::Shared;
use super::step::Mode;
use super::subscribe::{self, Stream};
use super::tallies::TallyReader;
use super::trees::{DrainedRings, Moment, SharedRow};
use crate::accountant::Part;
use crate::batch::decode::{self, PendingCall, Times};
use crate::batch::{CallStats, RowLost};
use crate::growth::{MakeRoom as _, has_memory};
use crate::histogram::Histogram;
use crate::limits;
use crate::platform::clock::{Clock, monotonic, second_at, ticks};
use crate::platform::coarse_clock::keep_coarse;
use crate::record::{HEADER_WORDS, Header, LogLine, Outcome, Record, decode, sealed_as, settle};
use crate::ring::journal::{Pieces, Priority};
use crate::ring::layout::ring::HEAD_THREAD;
use crate::ring::spsc::Ring;
use crate::ring::tallied::Tallied;
use crate::sampling::tail::Decisions;
use crate::thread::overflow::Overflow;
use crate::thread::placed_ring::Page;
use crate::thread::pool::ThreadPool;

/// The reader of the hot side.
pub(super) struct Drain {
    rings: &'static ThreadPool,
    overflow: Receiver<Overflow>,
    shared: Arc<Shared>,
    tallies: TallyReader,
    /// The thread that each ring belongs to: two places for each state, for its ring and its burst ring.
    owners: Vec<u32>,
    scratch: Vec<u8>,
    /// The spans of calls that were ended because the process exits.
    ended_by_exit: HashSet<u64>,
    /// True if records are left in rings, because the machine had no memory for them.
    lacks_memory: bool,
}

/// The origin of drained words.
struct Origin {
    /// The ring and its page; `None` for failures that were sent past their rings.
    source: Option<(Page, &'static Ring)>,
    ring: u32,
    /// The position of the first word in the ring.
    position: u64,
    /// A queue with room for the position after each record.
    ends: VecDeque<u64>,
    /// The copies of the words in the journal.
    pieces: Pieces,
}

/// The result of draining some rings.
struct Slice {
    /// True if a ring was filling up.
    is_pressed: bool,
    /// True if the journal has a copy of each word.
    is_copied: bool,
}

/// The circumstances in which the words of one origin are counted.
struct Context<'a> {
    origin: &'a Origin,
    tail: Option<&'a Decisions>,
    /// The number of words that were drained together.
    drained: usize,
}

impl Drain {
    pub(super) fn new(rings: &'static ThreadPool, overflow: Receiver<Overflow>, shared: Arc<Shared>) -> Self {
        let (tallies, owners, scratch) = (TallyReader::default(), Vec::new(), Vec::new());
        Self {
            rings,
            overflow,
            shared,
            tallies,
            owners,
            scratch,
            ended_by_exit: HashSet::new(),
            lacks_memory: false,
        }
    }

    /// Returns true if the last drain left records in rings, because the machine had no memory for them.
    pub(super) fn lacks_memory(&self) -> bool {
        self.lacks_memory
    }

    /// Notes that there is no memory for a drain at the moment.
    pub(super) fn note_lack_of_memory(&mut self) {
        self.lacks_memory = true;
        self.rings.home.accountant.note_refused(Part::Drain);
    }

    /// Prepares rings for threads to come and for bursts, and the parts of rings in use that are not ready yet. Notes
    /// in the ring file that the process is alive at this moment.
    pub(super) fn prepare_rings(&self, now: Duration, clock: &Clock, events: &mut Events) {
        let is_settled = now >= limits::SETTLED_AGE;
        // In its first moments a process gets only as many spare rings as it has used, because it may end at once.
        let others = self.rings.count_states().saturating_sub(1);
        let (ready, bursts) =
            if is_settled { (READY_RINGS, SPARE_BURSTS) } else { (others, (1 + others).min(SPARE_BURSTS)) };
        self.rings.prepare_rings(ready.min(READY_RINGS));
        self.rings.prepare_bursts(bursts);
        for state in self.rings.states().filter(|state| is_settled || state.is_pressed()) {
            state.complete_rings();
        }
        if is_settled && let Some(mapping) = self.rings.home.memory.mapping() {
            mapping.reserve_ahead(RESERVED_AHEAD);
        }
        self.rings.home.metadata.calibrate(clock.calibration(), clock.now_ns());
        if let Some(why) = self.rings.home.memory.take_refusal() {
            let detail = format!("kept on the heap, where they do not survive a crash: {why}");
            events.add(clock.now_ns(), "rings", detail);
        }
    }

    /// Moves the content of rings and overflow into the backlog, counted. Returns true if a ring was filling up and the
    /// journal has copies of everything.
    ///
    /// With little load all rings are drained at once. Under load they are drained a few at a time, so that the records
    /// that are looked at together take no more than their share of the memory.
    pub(super) fn drain_rings(&mut self, parts: &mut Parts<'_>) -> bool {
        self.lacks_memory = false;
        if !parts.functions.prepare() {
            // A call of a function that is not known could be counted under no name, so the records stay in their
            // rings.
            self.note_lack_of_memory();
            return false;
        }
        let states = self.rings.count_states();
        if self.owners.make_room((2 * states).saturating_sub(self.owners.len())) {
            self.owners.resize((2 * states).max(self.owners.len()), 0);
        }
        let (mut pressed, mut copied, mut next) = (false, true, 0);
        while next < states {
            let slice = self.drain_slice(states, &mut next, parts);
            pressed |= slice.is_pressed;
            copied &= slice.is_copied;
            if !slice.is_copied && (slice.is_pressed || self.rings.home.overflow.bytes() > 0) {
                // The words stay in their rings until they are noted as counted, and a flood of failures takes long to
                // read. The shared rows that are complete belong to the snapshot, and so do the tallies of the calls in
                // them.
                push_shared_rows(parts);
                self.read_tallies(parts);
                self.note_counted(parts);
            }
            if parts.backlog.is_over() {
                losses::evict(parts);
            }
        }
        self.drain_overflow(parts);
        push_shared_rows(parts);
        pressed && copied
    }

    /// Drains the rings of the states from `next` to `states`, as many as the memory for a drain has room for, and
    /// moves `next` on. Where the journal has no room for copies, drains the rings of one state only, because the words
    /// stay in their rings until they are noted as counted.
    fn drain_slice(&mut self, states: usize, next: &mut usize, parts: &mut Parts<'_>) -> Slice {
        let shared = Arc::clone(&self.shared);
        let mut stream = shared.subscribers.stream();
        let mut slice = Slice { is_pressed: false, is_copied: true };
        let (mut drained, mut origins) = (Vec::new(), Vec::new());
        let accountant = self.rings.home.accountant;
        let bytes_max = accountant.limit(Part::Drain) / GROWTH;
        let mut bytes = 0;
        let rings = self.rings;
        for (place, state) in rings.states().enumerate().take(states).skip(*next) {
            if bytes > bytes_max || !slice.is_copied {
                break;
            }
            *next = place + 1;
            if self.owners.len() <= 2 * place + 1 {
                // The machine has no memory for the owners of so many rings just now.
                self.note_lack_of_memory();
                continue;
            }
            slice.is_pressed |= state.is_pressed();
            for (at, (page, ring)) in state.rings().enumerate() {
                let unread = ring.unread();
                if unread == 0 {
                    continue;
                }
                let (mut words, mut ends) = (Vec::new(), VecDeque::new());
                // More records may come until the ring is read, so there is room for a full ring. Memory that is not
                // used is not touched.
                let has_room = words.try_reserve_exact(ring.capacity()).is_ok()
                    && ends.make_room(ring.capacity() / HEADER_WORDS)
                    && origins.make_room(1)
                    && drained.make_room(1)
                    && has_memory_for(unread);
                if !has_room {
                    // The machine has no memory just now, so the records stay in their ring.
                    self.note_lack_of_memory();
                    continue;
                }
                bytes += unread * size_of::<u64>();
                let thread = self.owners[2 * place + at];
                let position = ring.position();
                let journal = &mut parts.safety.journal;
                let mut copies = JournalWriter::new(journal, page.id, thread);
                ring.read(|position, piece| {
                    let begun = words.len();
                    piece.append_to(&mut words);
                    // The ring frees the words once there is a copy of them.
                    copies.append(position, &words, begun)
                });
                let pieces = journal.take_pieces();
                slice.is_copied &= pieces.are_whole();
                origins.push(Origin { source: Some((page, ring)), ring: page.id, position, ends, pieces });
                drained.push((2 * place + at, words));
            }
        }
        accountant.set(Part::Drain, bytes * GROWTH);
        // Threads are discovered after the drain, so that the thread of each drained record is known.
        parts.threads.discover(self.rings, &self.owners);
        let tail = sample(&mut drained, &self.owners, parts);
        for ((ring, words), mut origin) in drained.into_iter().zip(origins) {
            let ends = std::mem::take(&mut origin.ends);
            let context = Context { origin: &origin, tail: tail.as_ref(), drained: words.len() };
            let thread = self.accept(self.owners[ring], (words, ends), &context, stream.as_mut(), parts);
            self.owners[ring] = thread;
            if let Some((page, ring)) = origin.source
                && !ring.holds_read()
            {
                page.words[HEAD_THREAD].store(u64::from(thread), Ordering::Relaxed);
            }
        }
        accountant.set(Part::Drain, 0);
        slice
    }

    /// Notes what is counted by now, and frees the words that stayed in their rings until then: a recoverer reads them
    /// there as long as they are not noted as counted.
    pub(super) fn note_counted(&mut self, parts: &mut Parts<'_>) {
        if !parts.safety.note_counted(parts.functions, parts.trees) {
            return;
        }
        for (state, owners) in self.rings.states().zip(self.owners.chunks(2)) {
            for ((page, ring), owner) in state.rings().zip(owners).filter(|((_, ring), _)| ring.holds_read())
            {
                page.words[HEAD_THREAD].store(u64::from(*owner), Ordering::Relaxed);
                ring.free();
            }
        }
    }

    /// Moves failures that found their ring full into the backlog, counted. It takes only those that wait by now,
    /// because more may come as fast as they are taken, and the bound of the backlog is enforced only after this.
    pub(super) fn drain_overflow(&mut self, parts: &mut Parts<'_>) {
        let shared = Arc::clone(&self.shared);
        let mut stream = shared.subscribers.stream();
        if !parts.functions.prepare() {
            return self.note_lack_of_memory();
        }
        let mut waiting = self.rings.home.overflow.bytes();
        while waiting > 0 {
            let taken = take_overflow(&self.overflow, self.rings, &mut waiting);
            if taken.is_empty() {
                break;
            }
            self.accept_sent(taken, stream.as_mut(), parts);
        }
    }

    /// Ends the calls that are under way on threads, and async calls that wait, because the process exits. A call that
    /// ends after all is not counted again.
    pub(super) fn end_calls_under_way(&mut self, parts: &mut Parts<'_>) {
        for (thread, span, words) in calls_under_way(self.rings, parts.threads, ticks()) {
            if !self.ended_by_exit.contains(&span) {
                self.accept_sent(vec![Overflow { thread, words }], None, parts);
            }
        }
    }

    /// Counts records that no ring holds, and puts their rows into the backlog.
    fn accept_sent(
        &mut self,
        taken: Vec<Overflow>,
        mut stream: Option<&mut Stream<'_>>,
        parts: &mut Parts<'_>,
    ) {
        parts.threads.discover(self.rings, &self.owners);
        let (mut drained, mut origins, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let number = taken.len();
        if !(drained.make_room(number) && origins.make_room(number) && threads.make_room(number))
            && number > 1
        {
            // The machine has no memory to look at all records together, so each is looked at alone.
            for one in taken {
                self.accept_sent(vec![one], stream.as_deref_mut(), parts);
            }
            return;
        }
        threads.extend(taken.iter().map(|overflow| overflow.thread));
        for (index, Overflow { thread, words }) in taken.into_iter().enumerate() {
            let (position, pieces) = parts.safety.append_overflow(Priority::Failure, thread, &words);
            let ends = VecDeque::with_capacity(1);
            origins.push(Origin { source: None, ring: OVERFLOW, position, ends, pieces });
            drained.push((index, words));
        }
        // A failure is always kept; tail sampling still decides about its callers.
        let tail = sample(&mut drained, &threads, parts);
        for ((index, words), mut origin) in drained.into_iter().zip(origins) {
            let ends = std::mem::take(&mut origin.ends);
            let context = Context { origin: &origin, tail: tail.as_ref(), drained: words.len() };
            let sent = decode(&words).and_then(|(record, _)| count_sent(&record));
            self.accept(threads[index], (words, ends), &context, stream.as_deref_mut(), parts);
            if let Some((site, sent)) = sent {
                parts.functions.note_tallied(site, &sent);
            }
        }
    }

    /// Adds the calls that left no record to the statistics.
    pub(super) fn read_tallies(&mut self, parts: &mut Parts<'_>) {
        self.tallies.step(self.rings, parts);
    }

    /// Counts records and puts those that become rows into the backlog, split where the ring went over to another
    /// thread. Returns the thread that the ring belongs to at the end. The queue `ends` has room for the position after
    /// each record.
    fn accept(
        &mut self,
        mut thread: u32,
        (mut words, mut ends): (Vec<u64>, VecDeque<u64>),
        context: &Context<'_>,
        mut stream: Option<&mut Stream<'_>>,
        parts: &mut Parts<'_>,
    ) -> u32 {
        let Context { origin, tail, .. } = context;
        // Records that become rows are moved to the front of `words`, over the others; `kept` is the end of the last
        // one.
        let (mut at, mut start, mut kept) = (0, 0, 0);
        let mut pieces = origin.pieces.walk();
        let mut looked = 0;
        while let Some((record, used)) = decode(&words[at..]) {
            if at - looked >= LOOK_WORDS {
                looked = at;
                keep_coarse();
            }
            let position = origin.position + (at + used) as u64;
            let end = (origin.ring, position);
            match record {
                Record::Call(header, ..) | Record::Folded(header, ..) if self.has_ended_by_exit(&header) => {
                    pieces.amend(at, &[settle(words[at])]);
                }
                Record::Call(header, values, value_bytes) => {
                    let times = decode::to_times(&header, parts.clock);
                    if let Some(header) = count(header, &times, value_bytes, *tail, parts) {
                        if let Some(stream) = stream.as_deref_mut() {
                            let waiting =
                                PendingCall { thread, header, values, value_bytes, fold: None, end };
                            self.stream_record(&waiting, times, parts)
                                .into_iter()
                                .for_each(|record| stream.push(record));
                        }
                        let header = sealed_as(header.encode(values.len()), words[at + HEADER_WORDS - 1]);
                        words[at..at + HEADER_WORDS].copy_from_slice(&header);
                        pieces.amend(at, &header);
                        words.copy_within(at..at + used, kept);
                        kept += used;
                        ends.push_back(position);
                    } else {
                        pieces.amend(at, &[settle(words[at])]);
                    }
                }
                Record::Folded(header, values, value_bytes) => {
                    let times = decode::to_times(&header, parts.clock);
                    count_folded(&header, &times, value_bytes, parts);
                    if let Some(stream) = stream.as_deref_mut() {
                        let waiting = PendingCall { thread, header, values, value_bytes, fold: None, end };
                        self.stream_record(&waiting, times, parts)
                            .into_iter()
                            .for_each(|record| stream.push(record));
                    }
                    pieces.amend(at, &[words[at]]);
                }
                Record::Thread(next) => {
                    if kept > start {
                        push_copies(thread, &words[start..kept], &mut ends, context, parts);
                    }
                    start = kept;
                    thread = next;
                }
                Record::Line(..) => {
                    words.copy_within(at..at + used, kept);
                    kept += used;
                    ends.push_back(position);
                }
                Record::Fold(..) | Record::Skip => {}
            }
            at += used;
        }
        words.truncate(kept);
        words.drain(..start);
        if !words.is_empty() {
            push_rows(thread, without_excess(words), queue_without_excess(ends), context, parts);
        }
        parts.safety.hold_uncounted(origin.pieces.held());
        thread
    }

    /// Returns true for the record of a call that ended after a record with the outcome `exit` had ended it. Remembers
    /// the calls of such records.
    fn has_ended_by_exit(&mut self, header: &Header) -> bool {
        if header.outcome == Outcome::Exit {
            if self.ended_by_exit.make_room(1) {
                self.ended_by_exit.insert(header.span);
            }
            return false;
        }
        !self.ended_by_exit.is_empty() && self.ended_by_exit.contains(&header.span)
    }

    fn stream_record(
        &mut self,
        waiting: &PendingCall<'_>,
        times: Times,
        parts: &Parts<'_>,
    ) -> Option<subscribe::Record> {
        let function = parts.functions.get(waiting.header.site)?;
        let values = decode::to_values(waiting, function.site.names(), &mut self.scratch);
        let thread = parts.threads.name(waiting.thread).map_or_else(|| Arc::from("unknown"), Arc::clone);
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
}

/// Takes failures that found their ring full, as many as are looked at together, and subtracts their bytes from
/// `waiting`. Each look passes over all calls under way, so a look at each failure alone would take all of a core.
fn take_overflow(overflow: &Receiver<Overflow>, rings: &ThreadPool, waiting: &mut usize) -> Vec<Overflow> {
    let (mut taken, mut words) = (Vec::new(), 0);
    while *waiting > 0
        && words < LOOK_WORDS
        && taken.make_room(1)
        && let Ok(failure) = overflow.try_recv()
    {
        *waiting = waiting.saturating_sub(rings.home.overflow.note_taken(failure.words.len()));
        words += failure.words.len();
        taken.push(failure);
    }
    taken
}

/// Adds the drained records to their trees, which marks those that share a row, and decides which of the others are
/// kept. Counts the calls that threads summed up and that are in a row now. Returns `None` if all are kept. `threads` has the owners of the rings.
fn sample(drained: &mut [(usize, Vec<u64>)], threads: &[u32], parts: &mut Parts<'_>) -> Option<Decisions> {
    let Parts { clock, drain_interval, functions, ladder, trees, report, events, .. } = parts;
    let now = monotonic();
    functions.discover();
    let moment = Moment { now, clock, functions };
    trees.survey(DrainedRings { rings: drained, threads }, &moment, events);
    let now_ns = clock.now_ns();
    trees.take_shared(|site, calls| {
        let Some(stats) = functions.stats_mut(site) else { return false };
        stats.add(now_ns, CallStats { recorded: calls, ..CallStats::default() }, Histogram::default());
        report.health.recorded += calls;
        true
    });
    ladder.sample_drain(drained, now, *drain_interval, clock, functions, events)
}

/// Counts a call. Returns the header of its row, with the final weight and reason, or `None` if the call gets no row.
fn count(
    header: Header,
    times: &Times,
    value_bytes: usize,
    tail: Option<&Decisions>,
    parts: &mut Parts<'_>,
) -> Option<Header> {
    let Parts { functions, ladder, report, .. } = parts;
    functions.discover_missing(header.site);
    let Some(function) = functions.get(header.site) else {
        losses::count_unknown(header.outcome, 1, &mut report.health);
        return None;
    };
    let decided = ladder.decide(function, header, times, value_bytes, tail);
    let has_row = decided.is_some();
    functions.stats_mut(header.site)?.count(decode::to_ended(&header, times), has_row);
    let health = &mut report.health;
    *if has_row { &mut health.recorded } else { &mut health.sampled_out } += 1;
    decided
}

/// Returns the site of a call that was sent past its ring, and a sum that counts this one call. Returns `None` for other
/// records, and for a call that the exit of the process ends.
fn count_sent(record: &Record<'_>) -> Option<(u32, Tallied)> {
    let (Record::Call(header, ..) | Record::Folded(header, ..)) = record else { return None };
    let mut sums = Tallied::default();
    *sums.sent.get_mut(header.outcome as usize)? = 1;
    Some((header.site, sums))
}

/// Counts a call that shares a row with others.
fn count_folded(header: &Header, times: &Times, value_bytes: usize, parts: &mut Parts<'_>) {
    let Parts { functions, ladder, report, .. } = parts;
    let Some(function) = functions.get(header.site) else {
        return losses::count_unknown(header.outcome, 1, &mut report.health);
    };
    ladder.count_folded(function, value_bytes);
    let ended = decode::to_ended(header, times);
    if let Some(stats) = functions.stats_mut(header.site) {
        stats.count(ended, true);
    }
    report.health.recorded += 1;
}

/// Counts calls as sampled out that were counted as recorded, because the tree of the row that they share is not kept.
fn count_sampled_out(row: &SharedRow, parts: &mut Parts<'_>) {
    let calls = row.sums.calls;
    let end_ns = decode::to_times(&row.header, parts.clock).end_ns;
    if let Some(stats) = parts.functions.stats_mut(row.header.site) {
        stats.lose_rows(end_ns, calls, RowLost::SampledOut);
    }
    let health = &mut parts.report.health;
    health.recorded = health.recorded.saturating_sub(calls);
    health.sampled_out += calls;
}

/// Returns true if the machine has the memory that it takes to look at this many words of records. Most of it is for
/// tables that cannot handle a failed allocation, so the memory is requested beforehand, and given back at once.
fn has_memory_for(words: usize) -> bool {
    let bytes = words * size_of::<u64>() * GROWTH;
    bytes < limits::STEP_BYTES || has_memory(bytes)
}

/// Returns the words in memory that is at most twice as large as they are, unless the machine has none just now.
fn without_excess(words: Vec<u64>) -> Vec<u64> {
    let mut fitting = Vec::new();
    if words.capacity() <= 2 * words.len() || fitting.try_reserve_exact(words.len()).is_err() {
        return words;
    }
    fitting.extend_from_slice(&words);
    fitting
}

/// Returns the positions in memory that is at most twice as large as they are, unless the machine has none just now.
fn queue_without_excess(mut ends: VecDeque<u64>) -> VecDeque<u64> {
    let mut fitting = VecDeque::new();
    if ends.capacity() <= 2 * ends.len() || fitting.try_reserve_exact(ends.len()).is_err() {
        return ends;
    }
    fitting.append(&mut ends);
    fitting
}

/// Puts rows into the backlog. They are lost, and counted so, if the machine has no memory for one more segment.
fn enqueue(segment: Segment, parts: &mut Parts<'_>) {
    if let Err(mut refused) = parts.backlog.push(segment) {
        refused.for_each_row(losses::count_lost(parts));
    }
}

/// Puts the complete rows that calls share into the backlog, except those of trees that are not kept.
pub(super) fn push_shared_rows(parts: &mut Parts<'_>) {
    while let Some(mut row) = parts.trees.take_row() {
        if !parts.ladder.decide_shared_row(&mut row) {
            count_sampled_out(&row, parts);
            continue;
        }
        let (thread, words) = (row.thread, row.encode());
        let (position, pieces) = parts.safety.append_overflow(Priority::Row, thread, &words);
        let ends = [position + words.len() as u64].into();
        enqueue(Segment::new(thread, words, OVERFLOW, ends, pieces.held()), parts);
    }
}

/// Puts rows into the backlog for log lines that came too fast for a row each: those of seconds that are over, or all
/// of them because somebody waits.
pub(super) fn push_folded_lines(rings: &ThreadPool, mode: Mode, parts: &mut Parts<'_>) {
    let at = ticks();
    let second = (mode != Mode::Flush).then(|| second_at(at));
    for (place, lines) in rings.home.log.take_folded(second) {
        let words = LogLine::new_folded(place.number, place.level, at, lines).encode().to_vec();
        let (position, pieces) = parts.safety.append_overflow(Priority::Row, 0, &words);
        let ends = [position + words.len() as u64].into();
        enqueue(Segment::new(0, words, OVERFLOW, ends, pieces.held()), parts);
    }
}

/// Puts rows of one thread into the backlog, with copies in the journal.
fn push_rows(
    thread: u32,
    words: Vec<u64>,
    ends: VecDeque<u64>,
    context: &Context<'_>,
    parts: &mut Parts<'_>,
) {
    let Origin { ring, position: from, ref pieces, .. } = *context.origin;
    let run = RowRun { ring, from, thread, words: &words, ends: &ends };
    let held = parts.safety.hold(pieces, run, context.drained);
    enqueue(Segment::new(thread, words, ring, ends, held), parts);
}

/// The bytes that a drain takes for each byte of records: the words themselves, and the tables that describe the
/// records while they are processed.
const GROWTH: usize = 4;
/// Puts copies of rows of one thread into the backlog, a piece at a time: a small piece finds memory where a large one
/// does not.
fn push_copies(
    thread: u32,
    words: &[u64],
    ends: &mut VecDeque<u64>,
    context: &Context<'_>,
    parts: &mut Parts<'_>,
) {
    let (mut from, mut at, mut rows) = (0, 0, 0);
    loop {
        let next = words.get(at..).and_then(decode);
        let is_piece = next.as_ref().is_none_or(|(_, used)| at + used - from > PIECE_WORDS);
        if is_piece && at > from {
            let (mut piece, mut piece_ends) = (Vec::new(), VecDeque::new());
            if piece.try_reserve_exact(at - from).is_ok() && piece_ends.make_room(rows) {
                piece.extend_from_slice(&words[from..at]);
                piece_ends.extend(ends.drain(..rows));
                push_rows(thread, piece, piece_ends, context, parts);
            } else {
                let place = (thread, context.origin.ring);
                let mut lose = losses::count_lost(parts);
                for_each_row(&words[from..at], place, ends, |waiting, _| lose(&waiting));
            }
            (from, rows) = (at, 0);
        }
        let Some((_, used)) = next else { return };
        at += used;
        rows += 1;
    }
}

/// The words of a piece of rows, unless one row has more.
const PIECE_WORDS: usize = 8192;
/// The number of words of records between two readings of the clock: less than a millisecond's work. The same number
/// bounds the words of failures that are looked at together.
const LOOK_WORDS: usize = 8192;
/// The number of burst rings that are kept ready: this many threads may begin their first burst between two steps. A
/// step can take long, because it may wait for the disk.
const SPARE_BURSTS: usize = 2;
/// The number of rings that are kept ready: this many threads of a pool may start at once without asking the file
/// system for space.
const READY_RINGS: usize = 8;
/// The bytes of the ring file that are reserved beyond those in use, for the tables beside the rings.
const RESERVED_AHEAD: usize = 256 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::accountant::Accountant;
    use crate::config::CaptureMode;
    use crate::ring::memory::Memory;

    #[test]
    fn a_call_of_any_outcome_that_was_sent_past_its_ring_is_known_to_be_counted() {
        let outcomes = [Outcome::Ok, Outcome::Error, Outcome::Panic, Outcome::Cancelled];
        for outcome in outcomes {
            let words = Header::any(7, outcome).encode(0);
            let (site, sums) = count_sent(&decode(&words).unwrap().0).unwrap();
            assert_eq!((site, sums.sent), (7, outcomes.map(|other| u64::from(other == outcome))));
        }
        assert!(count_sent(&decode(&Header::any(7, Outcome::Exit).encode(0)).unwrap().0).is_none());
    }

    #[test]
    fn failures_that_found_their_ring_full_are_taken_together_up_to_a_bound() {
        let (sender, overflow) = crossbeam_channel::unbounded();
        let rings =
            ThreadPool::new(Accountant::boundless(), 7, CaptureMode::All, sender, Memory::on_heap(None));
        let words = 16;
        let values = vec![[0_u8; 8]; words - HEADER_WORDS];
        let sent = LOOK_WORDS / words + 10;
        for thread in 0..sent as u32 {
            assert!(rings.home.overflow.send(thread, &[0; HEADER_WORDS], &values));
        }
        let mut waiting = rings.home.overflow.bytes();
        let threads = |taken: Vec<Overflow>| taken.iter().map(|failure| failure.thread).collect::<Vec<_>>();
        let mut seen = threads(take_overflow(&overflow, &rings, &mut waiting));
        assert_eq!(seen.len(), LOOK_WORDS / words);
        seen.extend(threads(take_overflow(&overflow, &rings, &mut waiting)));
        assert_eq!(seen, (0..sent as u32).collect::<Vec<_>>());
        assert!(waiting == 0 && rings.home.overflow.bytes() == 0);
        // Failures that come later wait for the next step.
        assert!(rings.home.overflow.send(0, &[0; HEADER_WORDS], &values));
        assert!(take_overflow(&overflow, &rings, &mut waiting).is_empty());
    }
}
