//! The drain: the hot side's records, overflow and tallies are read, counted, and handed on.
//!
//! Takes words from rings, failures that found their ring full, and tallies; gives counted records to the backlog, with
//! copies in the journal, and records to subscribers. Each record is counted exactly once. It does not know the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::backlog::Segment;
use super::crash_safety::{OVERFLOW, RowRun};
use super::events::Events;
use super::journal_writer::JournalWriter;
use super::parts::Parts;
use super::shared::Shared;
use super::subscribe;
use super::tallies::TallyReader;
use super::trees::{DrainedRings, Moment};
use crate::batch::decode::PendingCall;
use crate::batch::decode::{self, Times};
use crate::limits;
use crate::platform::clock::{Clock, monotonic};
use crate::platform::coarse_clock::keep_coarse;
use crate::record::{HEADER_WORDS, Header, Record, decode, sealed_as, settle};
use crate::ring::journal::{Pieces, Worth};
use crate::ring::layout::ring::HEAD_THREAD;
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
}

/// The origin of drained words.
struct Origin {
    /// The page of the ring, or `None` for failures that came around the rings.
    page: Option<Page>,
    ring: u32,
    /// The position of the first word in the ring.
    position: u64,
    /// The copies of the words in the journal.
    pieces: Pieces,
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
        Self { rings, overflow, shared, tallies, owners, scratch }
    }

    /// Prepares rings for threads to come and for bursts, and the rest of rings in use. Tells a reader of the ring file
    /// that the process was alive at this moment.
    pub(super) fn prepare_rings(&self, now: Duration, clock: &Clock, events: &mut Events) {
        let states = self.rings.all();
        let is_settled = now >= limits::SETTLED_AGE;
        // In its first moments a process gets as many as it has used, because it may end at once.
        let others = states.len().saturating_sub(1);
        let (ready, bursts) =
            if is_settled { (READY_RINGS, SPARE_BURSTS) } else { (others, (1 + others).min(SPARE_BURSTS)) };
        self.rings.prepare_rings(ready.min(READY_RINGS));
        self.rings.prepare_bursts(bursts);
        for state in states.iter().filter(|state| is_settled || state.is_pressed()) {
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

    /// Moves the content of rings and overflow into the backlog, counted. Returns true if a ring was filling up.
    pub(super) fn drain_rings(&mut self, parts: &mut Parts<'_>) -> bool {
        let mut stream = self.shared.subscribers.any().then(Vec::new);
        let mut pressed = false;
        let (mut drained, mut origins) = (Vec::new(), Vec::new());
        let states = self.rings.all();
        self.owners.resize(2 * states.len(), 0);
        for (place, state) in states.iter().enumerate() {
            pressed |= state.is_pressed();
            for (at, (page, ring)) in state.rings().enumerate() {
                let pending = ring.pending();
                if pending == 0 {
                    continue;
                }
                let mut words = Vec::with_capacity(pending);
                let thread = self.owners[2 * place + at];
                let position = ring.drained();
                let journal = &mut parts.safety.journal;
                let mut copies = JournalWriter::new(journal, page.id, thread);
                ring.drain(|position, piece| {
                    let begun = words.len();
                    piece.append_to(&mut words);
                    // The copy is made before the ring forgets the words.
                    copies.append(position, &words, begun);
                });
                let pieces = journal.take_pieces();
                origins.push(Origin { page: Some(page), ring: page.id, position, pieces });
                drained.push((2 * place + at, words));
            }
        }
        // After the drain, so that each record's thread is known.
        parts.threads.discover(self.rings, &self.owners);
        let tail = sample(&mut drained, &self.owners, parts);
        for ((ring, words), origin) in drained.into_iter().zip(origins) {
            let context = Context { origin: &origin, tail: tail.as_ref(), drained: words.len() };
            let thread = self.accept(self.owners[ring], words, &context, stream.as_mut(), parts);
            self.owners[ring] = thread;
            origin.page.inspect(|page| page.words[HEAD_THREAD].store(u64::from(thread), Ordering::Relaxed));
        }
        self.publish(stream);
        self.drain_overflow(parts);
        push_shared_rows(parts);
        pressed
    }

    /// Moves failures that found their ring full into the backlog, counted. It stops at those that are there by now,
    /// because more may come as fast as they are taken, and the bound of the backlog is enforced only after this.
    pub(super) fn drain_overflow(&mut self, parts: &mut Parts<'_>) {
        let mut stream = self.shared.subscribers.any().then(Vec::new);
        let mut waiting = self.rings.home.overflow.bytes();
        while waiting > 0
            && let Ok(overflow) = self.overflow.try_recv()
        {
            waiting = waiting.saturating_sub(self.rings.home.overflow.note_taken(overflow.words.len()));
            parts.threads.discover(self.rings, &self.owners);
            let Overflow { thread, words } = overflow;
            let (position, pieces) = parts.safety.append_overflow(Worth::Failure, thread, &words);
            let origin = Origin { page: None, ring: OVERFLOW, position, pieces };
            // A failure is always kept; tail sampling still decides about its callers.
            let mut drained = [(0, words)];
            let tail = sample(&mut drained, &[thread], parts);
            let [(_, words)] = drained;
            let context = Context { origin: &origin, tail: tail.as_ref(), drained: words.len() };
            self.accept(thread, words, &context, stream.as_mut(), parts);
        }
        self.publish(stream);
    }

    /// Adds the calls that left no record to the statistics.
    pub(super) fn read_tallies(&mut self, parts: &mut Parts<'_>) {
        self.tallies.step(self.rings, parts);
    }

    fn publish(&self, stream: Option<Vec<subscribe::Record>>) {
        if let Some(stream) = stream.filter(|stream| !stream.is_empty()) {
            self.shared.subscribers.publish(&stream.into());
        }
    }

    /// Counts records and puts those that become rows into the backlog, split where the ring went over to another
    /// thread. Returns the thread that the ring belongs to at the end.
    fn accept(
        &mut self,
        mut thread: u32,
        mut words: Vec<u64>,
        context: &Context<'_>,
        mut stream: Option<&mut Vec<subscribe::Record>>,
        parts: &mut Parts<'_>,
    ) -> u32 {
        let Context { origin, tail, .. } = context;
        // Records that become rows move up over the others; `kept` is the end of the last one.
        let (mut at, mut start, mut kept) = (0, 0, 0);
        let mut ends = VecDeque::new();
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
                Record::Call(header, values, value_bytes) => {
                    let times = decode::to_times(&header, parts.clock);
                    if let Some(header) = count(header, &times, value_bytes, *tail, parts) {
                        if let Some(stream) = stream.as_deref_mut() {
                            let waiting =
                                PendingCall { thread, header, values, value_bytes, fold: None, end };
                            stream.extend(self.stream_record(&waiting, times, parts));
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
                        stream.extend(self.stream_record(&waiting, times, parts));
                    }
                    pieces.amend(at, &[words[at]]);
                }
                Record::Thread(next) => {
                    if kept > start {
                        let ends = std::mem::take(&mut ends);
                        push_rows(thread, words[start..kept].to_vec(), ends, context, parts);
                    }
                    start = kept;
                    thread = next;
                }
                Record::Fold(..) | Record::Skip => {}
            }
            at += used;
        }
        words.truncate(kept);
        words.drain(..start);
        if !words.is_empty() {
            words.shrink_to(words.len() * 2);
            push_rows(thread, words, ends, context, parts);
        }
        parts.safety.uncounted.extend(origin.pieces.held());
        thread
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

/// Adds the drained records to their trees, which marks those that share a row, and decides which of the others are kept.
/// Returns `None` if all are. `threads` are those that the rings belong to.
fn sample(drained: &mut [(usize, Vec<u64>)], threads: &[u32], parts: &mut Parts<'_>) -> Option<Decisions> {
    let Parts { clock, drain_interval, functions, ladder, trees, events, .. } = parts;
    let now = monotonic();
    functions.discover();
    let moment = Moment { now, clock, functions };
    trees.survey(DrainedRings { rings: drained, threads }, &moment, events);
    ladder.sample_drain(drained, now, *drain_interval, clock, functions, events)
}

/// Counts a call. Returns its header as the row is to have it, if the call gets a row.
fn count(
    header: Header,
    times: &Times,
    value_bytes: usize,
    tail: Option<&Decisions>,
    parts: &mut Parts<'_>,
) -> Option<Header> {
    let Parts { functions, ladder, report, .. } = parts;
    functions.discover_missing(header.site);
    let decided = ladder.decide(functions.get(header.site)?, header, times, value_bytes, tail);
    let has_row = decided.is_some();
    functions.stats_mut(header.site)?.count(decode::to_ended(&header, times), has_row);
    let health = &mut report.health;
    *if has_row { &mut health.recorded } else { &mut health.sampled_out } += 1;
    decided
}

/// Counts a call that shares a row with others.
fn count_folded(header: &Header, times: &Times, value_bytes: usize, parts: &mut Parts<'_>) {
    let Parts { functions, ladder, report, .. } = parts;
    let Some(function) = functions.get(header.site) else { return };
    ladder.count_folded(function, value_bytes);
    let ended = decode::to_ended(header, times);
    if let Some(stats) = functions.stats_mut(header.site) {
        stats.count(ended, true);
    }
    report.health.recorded += 1;
}

/// Puts the complete rows that calls share into the backlog.
pub(super) fn push_shared_rows(parts: &mut Parts<'_>) {
    for (thread, words) in parts.trees.take_rows() {
        let (position, pieces) = parts.safety.append_overflow(Worth::Row, thread, &words);
        let ends = [position + words.len() as u64].into();
        parts.backlog.push(Segment::new(thread, words, OVERFLOW, ends, pieces.held()));
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
    parts.backlog.push(Segment::new(thread, words, ring, ends, held));
}

/// The number of words of records between two looks at the clock: less than a millisecond's work.
const LOOK_WORDS: usize = 8192;
/// The number of burst rings that lie ready: as many threads may begin their first burst between two steps. A step can
/// take long, because it may wait for the disk.
const SPARE_BURSTS: usize = 2;
/// The number of rings that lie ready: a pool of as many workers may begin at once, and none of them has to ask the file
/// system.
const READY_RINGS: usize = 8;
/// Bytes that are reserved beyond those in use, for the tables beside the rings.
const RESERVED_AHEAD: usize = 256 << 10;
