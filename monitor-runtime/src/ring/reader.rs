//! The reader of a ring file, which treats the file as hostile input.
//!
//! Takes words, which may be anything; gives their content, or the reason why they are no ring file. Records and
//! captured values stay where they are until they are asked for, so that a large file needs little memory. Every length
//! and offset is checked against the number of words, no length is believed that would take more memory than the file
//! itself, and nothing here can panic. The file does not know what a record means, or which records the store has.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::batch::{CallStats, ProcessRow, Program};
use crate::platform::clock::{Calibration, Clock};
use crate::record::{ByOutcome, LogLevel, LogTarget, NOT_KEPT, span_prefix};
use crate::ring::frames::{Frame, place_of_arguments, read_frames};
use crate::ring::layout::{
    Kind, MAGIC, PAGE_BYTES, PAGE_WORDS, VERSION, block, entry, flight, grouped, head, latest, ledger,
    log_place, marks, ring, site, thread,
};
use crate::ring::panics::{self, Exit, Panic};
use crate::ring::source::Source;
use crate::ring::tallies_image::TalliesImage;

/// The reason why a file is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The file is no ring file, or its process died before it published the file.
    NotOne,
    /// The file has another version of the layout.
    Version(u64),
}

/// The content of a ring file.
#[derive(Debug)]
pub(crate) struct Image {
    source: Source,
    pub(crate) process: ProcessRow,
    pub(crate) mark: String,
    pub(crate) store_requested: Vec<u8>,
    /// Path of the store that was opened; empty if none was.
    pub(crate) store: Vec<u8>,
    pub(crate) alive_ns: i64,
    /// Age at which the store deletes rows, in nanoseconds.
    pub(crate) retention_ns: u64,
    /// The last panic of each thread of which the hook has seen a panic.
    pub(crate) panics: Vec<Panic>,
    /// The exit of the process, if its exit handlers have run.
    pub(crate) exit: Option<Exit>,
    pub(crate) acknowledged: u64,
    /// Number of the last snapshot that is complete.
    pub(crate) snapshot: u64,
    first_prefix: u32,
    calibration: Calibration,
    pub(crate) sites: HashMap<u32, Site>,
    /// The places that write log lines, by their numbers.
    pub(crate) log_places: HashMap<u16, LogPlaceImage>,
    threads: HashMap<u32, String>,
    pub(crate) rings: Vec<RingImage>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) ledger: Vec<LedgerImage>,
    /// The calls that left no record.
    pub(crate) tallies: TalliesImage,
    /// The failures of each site that the store counts by kind, as noted with the last two batches that had some.
    grouped: HashMap<u32, [(u64, ByOutcome); 2]>,
    /// True if `grouped` holds every site of which the store counts failures by kind.
    is_grouped_known: bool,
    flights: Vec<Waiting>,
    pub(crate) flights_lost: u64,
    /// The memory for captured values of each ring: words of the file.
    scratch: HashMap<u32, Range<usize>>,
    /// The arguments of suspended calls: words of the file.
    flight_values: Range<usize>,
}

/// The description of a function.
#[derive(Debug, Default, Clone)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) group: Option<String>,
    pub(crate) slow_ns: u64,
    pub(crate) arguments: Vec<String>,
    pub(crate) fields: Vec<String>,
}

/// A place that writes log lines.
#[derive(Debug, Clone)]
pub(crate) struct LogPlaceImage {
    pub(crate) level: LogLevel,
    pub(crate) target: Arc<LogTarget>,
    /// The number of lines that waited to share a row.
    pub(crate) folded: u64,
}

/// A ring. Number 0 stands for failures that travelled around the rings.
#[derive(Debug)]
pub(crate) struct RingImage {
    pub(crate) id: u32,
    pub(crate) head: u64,
    pub(crate) tail: u64,
    pub(crate) head_thread: u32,
    /// Words of the file that hold the ring's records.
    data: Range<usize>,
    pub(crate) marks: Marks,
    /// Calls that were under way on the ring's thread, the outermost first.
    pub(crate) frames: Vec<Frame>,
    pub(crate) thread: u32,
}

impl RingImage {
    /// Returns the number of words that the ring holds.
    pub(crate) fn pending(&self) -> usize {
        usize::try_from(self.tail.saturating_sub(self.head)).unwrap_or(usize::MAX).min(self.data.len())
    }
}

/// Numbered positions: see `layout::marks`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) written: [(u64, u64); 2],
    pub(crate) counted: u64,
}

/// A run of records in the journal.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) ring: u32,
    pub(crate) position: u64,
    pub(crate) thread: u32,
    words: Range<usize>,
}

impl Entry {
    /// Returns the number of words of the run.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }
}

/// Checkpoints of a function's figures: as counted, and as the last two batches wrote them.
#[derive(Debug)]
pub(crate) struct LedgerImage {
    pub(crate) site: u32,
    pub(crate) counted: CallStats,
    pub(crate) written: [(u64, CallStats); 2],
}

/// An async call between two polls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    pub(crate) site: u32,
    pub(crate) start: u64,
    pub(crate) span: u64,
    pub(crate) since: u64,
    /// Span id of the call's parent; 0 for none.
    pub(crate) parent: u64,
    /// Number of words of the call's arguments, all of which may not have been kept.
    argument_words: usize,
    slot: usize,
}

/// Captured arguments of a call in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) tokens: Vec<u8>,
    /// False if only the first words of the arguments were kept.
    pub(crate) are_whole: bool,
}

impl Image {
    /// Reads a ring file.
    ///
    /// # Errors
    /// [`Refused`] if the words are no ring file of this version.
    pub(crate) fn parse(words: Vec<u64>) -> Result<Self, Refused> {
        Self::read(Source::Memory(words))
    }

    /// Reads a ring file that a test made without a magic number and a version.
    #[cfg(test)]
    pub(crate) fn of_test_file(path: &std::path::Path) -> Self {
        let bytes = std::fs::read(path).expect("the file is there");
        let mut words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        (words[head::MAGIC], words[head::VERSION]) = (MAGIC, VERSION);
        Self::parse(words).expect("the rest is as in any ring file")
    }

    /// Reads a ring file whose records and captured values stay in their place.
    ///
    /// # Errors
    /// [`Refused`] if the words are no ring file of this version.
    pub(crate) fn read(source: Source) -> Result<Self, Refused> {
        let words = source.read(0..PAGE_WORDS).into_owned();
        if words.len() < PAGE_WORDS || words[head::MAGIC] != MAGIC {
            return Err(Refused::NotOne);
        }
        if words[head::VERSION] != VERSION {
            return Err(Refused::Version(words[head::VERSION]));
        }
        let snapshot = words[head::SNAPSHOT];
        let mut image = Self::from_head(&words);
        let overflow = words.get(head::OVERFLOW_MARKS..).unwrap_or_default();
        image.rings.push(RingImage {
            id: 0,
            head: 0,
            tail: 0,
            head_thread: 0,
            data: 0..0,
            marks: read_marks(overflow, snapshot),
            frames: Vec::new(),
            thread: 0,
        });
        let end = usize::try_from(words[head::END] / 8).unwrap_or(usize::MAX).min(source.len());
        let mut at = PAGE_WORDS;
        loop {
            let header = source.read(at..at + block::HEADER);
            let Some(bytes) = header.get(block::BYTES) else { break };
            let length = usize::try_from(bytes / 8).unwrap_or(0);
            if length == 0 || !bytes.is_multiple_of(PAGE_BYTES as u64) || length > end.saturating_sub(at) {
                break;
            }
            image.read_block(&source, &header, at..at + length, snapshot);
            at += length;
        }
        image.panics.extend(panics::read(&words[head::PANIC..]));
        image.source = source;
        Ok(image)
    }

    fn from_head(words: &[u64]) -> Self {
        let text = |place| String::from_utf8_lossy(&bytes_at(words, place)).into_owned();
        let clock = words[head::CLOCK] as usize & 1;
        let calibration = head::CALIBRATIONS + clock * head::CALIBRATION_WORDS;
        Self {
            process: ProcessRow {
                run_uuid: text(head::RUN_UUID),
                service: text(head::SERVICE),
                version: text(head::RECORDER),
                host: text(head::HOST),
                pid: words[head::PID] as u32,
                started_ns: words[head::STARTED_NS].cast_signed(),
                program: Program::default(),
            },
            mark: text(head::MARK),
            store_requested: bytes_at(words, head::STORE_REQUESTED),
            store: bytes_at(words, head::STORE),
            alive_ns: words[head::ALIVE_NS].cast_signed(),
            retention_ns: words[head::RETENTION_NS],
            panics: Vec::new(),
            exit: Exit::from_word(words[head::EXIT]),
            acknowledged: words[head::ACKNOWLEDGED],
            snapshot: words[head::SNAPSHOT],
            first_prefix: words[head::FIRST_PREFIX] as u32,
            calibration: Calibration {
                ticks: words[calibration],
                unix_ns: words[calibration + 1].cast_signed(),
                rate: words[calibration + 2],
            },
            sites: HashMap::new(),
            log_places: HashMap::new(),
            threads: HashMap::new(),
            rings: Vec::new(),
            entries: Vec::new(),
            ledger: Vec::new(),
            tallies: TalliesImage::new(words[head::TALLIED_LOST] != 0),
            grouped: HashMap::new(),
            is_grouped_known: words[head::GROUPED] == 1,
            flights: Vec::new(),
            flights_lost: words[head::FLIGHTS_LOST],
            scratch: HashMap::new(),
            flight_values: 0..0,
            source: Source::Memory(Vec::new()),
        }
    }

    fn read_block(&mut self, source: &Source, header: &[u64], at: Range<usize>, snapshot: u64) {
        let Some(header) = header.first_chunk::<{ block::HEADER }>() else { return };
        let id = (header[block::KIND] >> 32) as u32;
        let filled = usize::try_from(header[block::FILLED]).unwrap_or(usize::MAX).min(at.len());
        let kind = Kind::from_number(header[block::KIND] as u32);
        let needed = match kind {
            Some(Kind::Ring) => ring::CONTROL,
            Some(Kind::Journal | Kind::Sites | Kind::LogPlaces) => filled,
            Some(
                Kind::Threads
                | Kind::Ledger
                | Kind::Flights
                | Kind::Tallies
                | Kind::Countdowns
                | Kind::Tallied
                | Kind::Grouped,
            ) => at.len(),
            Some(Kind::Scratch | Kind::FlightValues) | None => 0,
        };
        // No table of the recorder's is larger. The content of a larger one is not believed.
        let block = source.read(at.start..at.start + needed.min(at.len()).min(TABLE_WORDS_MAX));
        let content = block.get(block::HEADER..).unwrap_or_default();
        match kind {
            Some(Kind::Ring) => {
                let panic = block.get(ring::PANIC..ring::CONTROL).and_then(panics::read);
                self.panics.extend(panic);
                self.rings.extend(read_ring(&block, at.clone(), id, snapshot));
            }
            Some(Kind::Journal) => self.read_journal(&block, at.start),
            Some(Kind::Sites) => self.read_sites(&block),
            Some(Kind::LogPlaces) => self.read_log_places(&block),
            Some(Kind::Threads) => {
                for words in content.as_chunks::<{ thread::WORDS }>().0.iter().filter(|words| words[0] != 0) {
                    let (id, length) = (words[thread::ID] as u32, (words[thread::ID] >> 32) as usize);
                    let mut name = as_bytes(&words[1..]);
                    name.truncate(length);
                    self.threads.insert(id, String::from_utf8_lossy(&name).into_owned());
                }
            }
            Some(Kind::Ledger) => {
                let slots = content.as_chunks::<{ ledger::WORDS }>().0.iter().take(ledger::SITES);
                for (at, words) in slots.enumerate() {
                    // A site id is 32 bits wide, so a larger one belongs to no function.
                    let first = id.checked_mul(ledger::SITES as u32);
                    let Some(site) = first.and_then(|first| first.checked_add(at as u32)) else { break };
                    self.ledger.extend(read_ledger(site, words, snapshot));
                }
            }
            Some(Kind::Flights) => {
                let slots = content.as_chunks::<{ flight::WORDS }>().0.iter().take(flight::SLOTS);
                self.flights.extend(slots.enumerate().filter_map(|(at, slot)| read_flight(at, slot)));
            }
            Some(Kind::Scratch) => {
                self.scratch.insert(id, at.start + block::HEADER..at.end);
            }
            Some(Kind::FlightValues) => self.flight_values = at.start + block::HEADER..at.end,
            Some(Kind::Tallies) => self.tallies.read_tallies(id, content),
            Some(Kind::Countdowns) => self.tallies.read_countdowns(id, content),
            Some(Kind::Tallied) => self.tallies.read_counted(id, content, snapshot),
            Some(Kind::Grouped) => self.read_grouped(id, content),
            None => {}
        }
    }

    fn read_grouped(&mut self, group: u32, content: &[u64]) {
        let slots = content.as_chunks::<{ grouped::WORDS }>().0.iter().take(grouped::SITES);
        for (at, words) in slots.enumerate() {
            let first = group.checked_mul(grouped::SITES as u32);
            let Some(site) = first.and_then(|first| first.checked_add(at as u32)) else { return };
            let [one, e, p, c, other, more @ ..] = *words;
            if one > 0 || other > 0 {
                self.grouped.insert(site, [(one, [e, p, c]), (other, more)]);
            }
        }
    }

    /// Returns the failures of each site that the store counts by kind if it has the batches up to this one. Returns
    /// `None` if these failures are not known for all sites.
    pub(crate) fn grouped(&self, batch: u64) -> Option<impl Iterator<Item = (u32, ByOutcome)>> {
        let of_batch =
            move |(site, slots): (&u32, &[(u64, ByOutcome); 2])| Some((*site, latest(slots, batch)?));
        self.is_grouped_known.then(|| self.grouped.iter().filter_map(of_batch))
    }

    fn read_journal(&mut self, block: &[u64], first: usize) {
        let mut at = block::HEADER;
        while let Some(header) = block.get(at..at + entry::HEADER) {
            let begin = at + entry::HEADER;
            let length = (header[entry::LENGTH] & 0xFFFF_FFFF) as usize;
            // An entry that was being extended ends where the block does.
            let end = begin.saturating_add(length).min(block.len());
            if end <= begin {
                break;
            }
            self.entries.push(Entry {
                ring: (header[entry::LENGTH] >> 32) as u32,
                position: header[entry::POSITION],
                thread: header[entry::THREAD] as u32,
                words: first + begin..first + end,
            });
            at = end;
        }
    }

    fn read_sites(&mut self, block: &[u64]) {
        let mut at = block::HEADER;
        while let Some(words) = block.get(at..at + site::HEADER) {
            let length = (words[site::ID] & 0xFFFF_FFFF) as usize;
            let Some(texts) = block.get(at + site::HEADER..at.saturating_add(length)) else { return };
            let texts = as_bytes(texts);
            let bytes = usize::try_from(words[site::TEXT]).unwrap_or(usize::MAX).min(texts.len());
            let mut texts = Texts(&texts[..bytes]);
            let [name, file, group] =
                [texts.next(), texts.next(), texts.next()].map(Option::unwrap_or_default);
            let [arguments, fields] = [texts.list(), texts.list()];
            let site = Site {
                name,
                file,
                line: words[site::LINE] as u32,
                group: Some(group).filter(|group| !group.is_empty()),
                slow_ns: words[site::SLOW_NS],
                arguments,
                fields,
            };
            self.sites.entry((words[site::ID] >> 32) as u32).or_insert(site);
            at += length.max(1);
        }
    }

    fn read_log_places(&mut self, block: &[u64]) {
        let mut at = block::HEADER;
        while let Some(words) = block.get(at..at + log_place::HEADER) {
            let length = (words[log_place::NUMBER] & 0xFFFF_FFFF) as usize;
            let Some(texts) = block.get(at + log_place::HEADER..at.saturating_add(length)) else { return };
            let texts = as_bytes(texts);
            let bytes = usize::try_from(words[log_place::TEXT]).unwrap_or(usize::MAX).min(texts.len());
            let mut texts = Texts(&texts[..bytes]);
            let [target, file] = [texts.next(), texts.next()].map(Option::unwrap_or_default);
            if let Some(level) = LogLevel::from_number(words[log_place::NUMBER] >> 48) {
                let target = Arc::new(LogTarget { target, file, line: words[log_place::LINE] as u32 });
                let place = LogPlaceImage { level, target, folded: words[log_place::COUNTER + 1] };
                self.log_places.entry((words[log_place::NUMBER] >> 32) as u16).or_insert(place);
            }
            at += length.max(1);
        }
    }

    /// Returns the name of a thread, and the upper half of its span ids.
    pub(crate) fn thread(&self, id: u32) -> (String, u32) {
        let name = self.threads.get(&id).cloned().unwrap_or_else(|| format!("thread-{id}"));
        (name, span_prefix(self.first_prefix, id))
    }

    /// Returns the clock that converts the process's ticks.
    pub(crate) fn clock(&self) -> Clock {
        Clock::from_calibration(self.calibration, self.process.started_ns)
    }

    /// Returns the words of an entry from this one on, at most this many.
    pub(crate) fn entry(&self, entry: &Entry, from: usize, max: usize) -> Vec<u64> {
        let Range { start, end } = entry.words;
        let from = start.saturating_add(from).min(end);
        self.source.read(from..from.saturating_add(max).min(end)).into_owned()
    }

    /// Returns the words that a ring holds from this one on, at most this many, in order.
    pub(crate) fn pending(&self, ring: &RingImage, from: usize, max: usize) -> Vec<u64> {
        let capacity = ring.data.len();
        let pending = ring.pending();
        let length = pending.saturating_sub(from).min(max);
        if length == 0 {
            return Vec::new();
        }
        let first = ((ring.head % capacity as u64) as usize + from) % capacity;
        let before_end = length.min(capacity - first);
        let start = ring.data.start;
        let mut words = self.source.read(start + first..start + first + before_end).into_owned();
        if words.len() == before_end {
            words.extend_from_slice(&self.source.read(start..start + length - before_end));
        }
        words
    }

    /// Returns the async calls that were between two polls, or are polled again.
    pub(crate) fn waiting(&self) -> &[Waiting] {
        &self.flights
    }

    /// Returns the captured arguments of a call on the stack of a ring's thread. Returns `None` if there are none: the call
    /// captured none, or they lie on the heap.
    pub(crate) fn arguments(&self, ring: &RingImage, frame: &Frame) -> Option<Arguments> {
        let memory = self.scratch.get(&ring.id)?;
        let page = ring.data.start.checked_sub(ring::CONTROL)?;
        let distance = i64::try_from(memory.start).ok()? - i64::try_from(page).ok()?;
        let (first, words) = place_of_arguments(frame, distance)?;
        let first = memory.start.checked_add(first)?;
        if first + words > memory.end {
            return None;
        }
        let values = self.source.read(first..first + words);
        Some(Arguments { tokens: as_native_bytes(&values), are_whole: true })
    }

    /// Returns the captured arguments of a suspended call.
    pub(crate) fn waiting_arguments(&self, waiting: &Waiting) -> Option<Arguments> {
        let first = self.flight_values.start + waiting.slot * flight::VALUE_WORDS;
        if first + flight::VALUE_WORDS > self.flight_values.end {
            return None;
        }
        let place = self.source.read(first..first + flight::VALUE_WORDS);
        let kept = waiting.argument_words.min(flight::VALUE_WORDS);
        let are_whole = kept == waiting.argument_words;
        let tokens = as_native_bytes(place.get(..kept)?);
        (kept > 0).then_some(Arguments { tokens, are_whole })
    }

    /// Keeps only the arguments of calls that are still in flight in `later`, a later image of the same process. The
    /// arguments of the others may have been overwritten by those of another call while they were read.
    pub(crate) fn keep_confirmed_arguments(&mut self, later: &Self) {
        let frames: HashSet<(u32, Frame)> =
            later.rings.iter().flat_map(|ring| ring.frames.iter().map(|frame| (ring.id, *frame))).collect();
        for ring in &mut self.rings {
            let is_confirmed = |frame: &Frame| frames.contains(&(ring.id, *frame));
            ring.frames.iter_mut().filter(|frame| !is_confirmed(frame)).for_each(|frame| frame.arguments = 0);
        }
        let waiting: HashSet<(usize, u64, u64)> =
            later.flights.iter().map(|waiting| (waiting.slot, waiting.start, waiting.span)).collect();
        for call in &mut self.flights {
            if !waiting.contains(&(call.slot, call.start, call.span)) {
                call.argument_words = 0;
            }
        }
    }
}

fn read_flight(slot: usize, words: &[u64; flight::WORDS]) -> Option<Waiting> {
    let site = words[flight::SITE] as u32;
    (site != 0).then_some(Waiting {
        site,
        start: words[flight::START],
        span: words[flight::SPAN] & !NOT_KEPT,
        since: words[flight::SINCE],
        parent: words[flight::PARENT],
        argument_words: (words[flight::SITE] >> 32) as usize,
        slot,
    })
}

/// Reads the control page of a ring whose block lies in this range.
fn read_ring(words: &[u64], at: Range<usize>, id: u32, snapshot: u64) -> Option<RingImage> {
    let control = words.get(..ring::CONTROL)?;
    let capacity = usize::try_from(control[ring::CAPACITY]).ok()?;
    if capacity > 0 && !capacity.is_power_of_two() || capacity > at.len() - ring::CONTROL {
        return None;
    }
    let depth = u32::try_from(control[ring::DEPTH]).unwrap_or(0);
    let from = at.start + ring::CONTROL;
    Some(RingImage {
        id,
        head: control[ring::HEAD],
        tail: control[ring::TAIL],
        head_thread: control[ring::HEAD_THREAD] as u32,
        data: from..from + capacity,
        marks: read_marks(&control[ring::MARKS..], snapshot),
        frames: read_frames(&control[ring::FRAMES..], depth),
        thread: control[ring::THREAD] as u32,
    })
}

fn read_marks(words: &[u64], snapshot: u64) -> Marks {
    let Some(words) = words.first_chunk::<{ marks::WORDS }>() else { return Marks::default() };
    let pair = |at: usize| (words[at], words[at + 1]);
    let counted = [pair(marks::COUNTED), pair(marks::COUNTED + 2)];
    Marks {
        written: [pair(marks::WRITTEN), pair(marks::WRITTEN + 2)],
        counted: latest(&counted, snapshot).unwrap_or_default(),
    }
}

fn read_ledger(site: u32, words: &[u64; ledger::WORDS], snapshot: u64) -> Option<LedgerImage> {
    let slot = |at: usize| (words[at], read_figures(&words[at + 1..at + ledger::SLOT]));
    let counted = [slot(ledger::COUNTED), slot(ledger::COUNTED + ledger::SLOT)];
    let written = [slot(ledger::WRITTEN), slot(ledger::WRITTEN + ledger::SLOT)];
    let counted = latest(&counted, snapshot).filter(is_plausible)?;
    Some(LedgerImage { site, counted, written })
}

/// Returns false for figures that no process can have, because their sums would overflow the store's numbers.
fn is_plausible(figures: &CallStats) -> bool {
    figures.to_words().iter().all(|figure| *figure <= FIGURE_MAX)
}

/// The largest plausible figure: a call each nanosecond, or one call's nanoseconds, for 36 years.
const FIGURE_MAX: u64 = 1 << 60;

fn read_figures(words: &[u64]) -> CallStats {
    CallStats::from_words(words.first_chunk().copied().unwrap_or_default())
}

/// Returns the bytes of a text in the head page.
fn bytes_at(words: &[u64], (first, length): (usize, usize)) -> Vec<u8> {
    let words = words.get(first..first + length).unwrap_or_default();
    let bytes = words.first().and_then(|bytes| usize::try_from(*bytes).ok()).unwrap_or(0);
    let mut text = as_bytes(words.get(1..).unwrap_or_default());
    text.truncate(bytes);
    text
}

/// Returns the bytes of words that a process filled byte by byte, in the machine's own order.
fn as_native_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn as_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Most words of a table that are read: the largest one holds the tallies of 65 536 functions.
const TABLE_WORDS_MAX: usize = 1 << 21;

/// Texts one after the other, each preceded by its length in two bytes.
struct Texts<'a>(&'a [u8]);

impl Texts<'_> {
    fn next(&mut self) -> Option<String> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Returns a list of texts, which is preceded by the number of its texts.
    fn list(&mut self) -> Vec<String> {
        let length = self.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        (0..length).map_while(|_: usize| self.next()).collect()
    }
}
