//! The places in a program's source that write log lines: level, target, file and line of each.
//!
//! Takes a place as the logger knows it; gives the entry that is made for it once, with its number and its bound on
//! lines a second. Looking a place up takes no lock. Places beyond the bound share an entry for each level. The bound
//! and the number of lines beyond it lie in the ring file where there is room, so that a recoverer finds them. The file
//! does not know the text of a line.

use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::accountant::{Accountant, Part};
use crate::limits::{LOG_FILE_BYTES_MAX, LOG_LINES_PER_S, LOG_PLACES_MAX, LOG_TARGET_BYTES_MAX};
use crate::platform::reentrancy::run_guarded;
use crate::record::{LogLevel, LogTarget};
use crate::ring::layout::log_place;
use crate::ring::memory::Memory;
use crate::ring::metadata::Metadata;

/// The place in the source that writes a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace<'a> {
    /// The level of its lines.
    pub level: LogLevel,
    /// The target that the program names, usually the path of the module.
    pub target: &'a str,
    /// The source file, if it is known.
    pub file: Option<&'a str>,
    /// The line in the source file, if it is known.
    pub line: Option<u32>,
}

impl LogPlace<'_> {
    /// Returns the place with texts that are no longer than they may be.
    fn with_bounded_texts(self) -> Self {
        let Self { target, file, .. } = self;
        Self {
            target: first_bytes(target, LOG_TARGET_BYTES_MAX),
            file: file.map(|file| first_bytes(file, LOG_FILE_BYTES_MAX)),
            ..self
        }
    }

    /// Returns the place that stands for the places of this level beyond the bound.
    fn shared(self) -> Self {
        Self { target: OTHER_PLACES, file: None, line: None, ..self }
    }

    fn hash(&self) -> u64 {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write_u32(self.line.unwrap_or(0) << 3 | self.level as u32);
        hasher.write(self.target.as_bytes());
        hasher.write_u8(0);
        hasher.write(self.file.unwrap_or_default().as_bytes());
        hasher.finish()
    }
}

/// Returns as much of a text as fits into `bytes`, without dividing a character.
fn first_bytes(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A place that has written a line.
#[derive(Debug)]
pub(crate) struct KnownPlace {
    pub(crate) number: u16,
    pub(crate) level: LogLevel,
    pub(crate) target: Arc<LogTarget>,
    hash: u64,
    /// The words of the counters in the ring file.
    mapped: Option<&'static [AtomicU64]>,
    /// The words of the counters if the ring file has no room for them.
    own: [AtomicU64; log_place::COUNTERS],
}

/// The place of the counters in a place's words.
const WINDOW: usize = 0;
const FOLDED: usize = 1;

impl KnownPlace {
    fn counter(&self, at: usize) -> &AtomicU64 {
        self.mapped.and_then(|words| words.get(at)).unwrap_or(&self.own[at])
    }

    fn is_at(&self, place: &LogPlace<'_>, hash: u64) -> bool {
        let LogTarget { target, file, line } = &*self.target;
        self.hash == hash
            && self.level == place.level
            && *line == place.line.unwrap_or(0)
            && target == place.target
            && file == place.file.unwrap_or_default()
    }

    /// Returns true if another line of the place may have a row in this second. Otherwise counts it among those that share a
    /// row.
    ///
    /// The counter holds the second (32 bits) and the number of lines in it (32).
    pub(crate) fn admits(&self, second: u32) -> bool {
        let counter = self.counter(WINDOW);
        let mut window = counter.load(Ordering::Relaxed);
        loop {
            let (of, lines) = ((window >> 32) as u32, window as u32);
            let is_full = of == second && lines >= LOG_LINES_PER_S;
            if is_full {
                self.counter(FOLDED).fetch_add(1, Ordering::Relaxed);
                return false;
            }
            let next = if of == second { window + 1 } else { u64::from(second) << 32 | 1 };
            match counter.compare_exchange_weak(window, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(found) => window = found,
            }
        }
    }

    /// Returns the number of lines that wait to share a row, and resets it to 0.
    pub(crate) fn take_folded(&self) -> u64 {
        let folded = self.counter(FOLDED);
        if folded.load(Ordering::Relaxed) == 0 { 0 } else { folded.swap(0, Ordering::Relaxed) }
    }

    /// Returns true if this second is the one whose lines the counter counts.
    fn is_within(&self, second: u32) -> bool {
        let window = self.counter(WINDOW).load(Ordering::Relaxed);
        (window >> 32) as u32 == second
    }
}

/// The places of a process.
#[derive(Debug)]
pub(crate) struct LogPlaces {
    /// False once recording has ended.
    is_open: AtomicBool,
    /// A hash table, made when the first line is written, and behind it an entry for each level.
    slots: OnceLock<Box<[OnceLock<Box<KnownPlace>>]>>,
    /// The number of lines that neither have a row nor share one.
    dropped: AtomicU64,
}

impl Default for LogPlaces {
    fn default() -> Self {
        Self { is_open: AtomicBool::new(true), slots: OnceLock::new(), dropped: AtomicU64::new(0) }
    }
}

impl LogPlaces {
    /// Returns the entry of a place, which is made now if the place writes its first line. Returns `None` if there is
    /// no memory for the table, or if the code that writes the line has interrupted the recorder.
    pub(crate) fn find(
        &self,
        place: LogPlace<'_>,
        (accountant, memory, metadata): (&Accountant, &Memory, &Metadata),
    ) -> Option<&KnownPlace> {
        let place = place.with_bounded_texts();
        let hash = place.hash();
        if let Some(slots) = self.slots.get()
            && let Some(known) = find_in(slots, &place, hash).ok().flatten()
        {
            return Some(known);
        }
        run_guarded(|| {
            let slots = self.slots(accountant)?;
            for _ in 0..PROBES_MAX {
                let free = match find_in(slots, &place, hash) {
                    Ok(Some(known)) => return Some(known),
                    Ok(None) => None,
                    Err(free) => Some(free),
                };
                let free = free.filter(|_| accountant.take(Part::Tallies, BYTES_OF_PLACE));
                let (number, place, hash) = match free {
                    Some(free) => (free, place, hash),
                    None => (LOG_PLACES_MAX + place.level as usize - 1, place.shared(), 0),
                };
                // Another thread may have made an entry here meanwhile, for this place or for another one.
                let new = || Box::new(new_place(&place, number, hash, memory, metadata));
                let made = slots.get(number)?.get_or_init(new);
                if made.is_at(&place, hash) {
                    return Some(&**made);
                }
            }
            None
        })?
    }

    fn slots(&self, accountant: &Accountant) -> Option<&[OnceLock<Box<KnownPlace>>]> {
        if self.slots.get().is_none() && !accountant.take(Part::Tallies, BYTES_OF_TABLE) {
            return None;
        }
        Some(self.slots.get_or_init(|| (0..SLOTS).map(|_| OnceLock::new()).collect()))
    }

    /// Returns the places that have written a line.
    pub(crate) fn known(&self) -> impl Iterator<Item = &KnownPlace> {
        self.slots.get().into_iter().flatten().filter_map(|slot| slot.get().map(|place| &**place))
    }

    /// Returns the entry of this number.
    pub(crate) fn by_number(&self, number: u16) -> Option<&KnownPlace> {
        self.slots.get()?.get(usize::from(number))?.get().map(|place| &**place)
    }

    /// Takes the lines that wait to share a row, place by place: those of places whose second is over, or of all places.
    pub(crate) fn take_folded(&self, second: Option<u32>) -> impl Iterator<Item = (&KnownPlace, u64)> {
        let is_over = move |place: &&KnownPlace| second.is_none_or(|second| !place.is_within(second));
        self.known().filter(is_over).map(|place| (place, place.take_folded())).filter(|(_, lines)| *lines > 0)
    }

    /// Counts lines that neither have a row nor share one.
    pub(crate) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns the number of lines that neither have a row nor share one.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Refuses all lines from now on, because recording has ended.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// Returns true unless recording has ended.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }
}

/// Finds the entry of a place. Returns `Err` with the number of a free slot if the place has no entry yet, and
/// `Ok(None)` if other places have taken all slots that it may have.
fn find_in<'a>(
    slots: &'a [OnceLock<Box<KnownPlace>>],
    place: &LogPlace<'_>,
    hash: u64,
) -> Result<Option<&'a KnownPlace>, usize> {
    for step in 0..PROBES_MAX {
        let number = (hash as usize).wrapping_add(step) % LOG_PLACES_MAX;
        match slots.get(number).map(OnceLock::get) {
            Some(Some(known)) if known.is_at(place, hash) => return Ok(Some(known)),
            Some(Some(_)) => {}
            Some(None) => return Err(number),
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn new_place(
    place: &LogPlace<'_>,
    number: usize,
    hash: u64,
    memory: &Memory,
    metadata: &Metadata,
) -> KnownPlace {
    let LogPlace { level, target, file, line } = *place;
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    let (file, line) = (file.unwrap_or_default().to_owned(), line.unwrap_or(0));
    let target = Arc::new(LogTarget { target: target.to_owned(), file, line });
    let mapped = metadata.log_place(memory, number, level, &target);
    KnownPlace { number, level, target, hash, mapped, own: Default::default() }
}

/// The target of the entries that places beyond the bound share.
const OTHER_PLACES: &str = "other places";
const SLOTS: usize = LOG_PLACES_MAX + LogLevel::ALL.len();
/// The number of slots that a place may have. Once about three quarters of the table are taken, some places find all of
/// theirs taken, and share an entry.
const PROBES_MAX: usize = 32;
const BYTES_OF_TABLE: usize = SLOTS * size_of::<OnceLock<Box<KnownPlace>>>();
/// The bytes of an entry with usual texts.
const BYTES_OF_PLACE: usize = size_of::<KnownPlace>() + 160;

const _: () = assert!(SLOTS <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashSet;

    use super::*;

    /// A table of places, and what it needs.
    struct Table {
        places: LogPlaces,
        memory: Memory,
        metadata: Metadata,
    }

    impl Table {
        fn new() -> Self {
            let memory = Memory::on_heap(None);
            Self { places: LogPlaces::default(), metadata: Metadata::new(&memory), memory }
        }

        fn find(&self, place: LogPlace<'_>) -> &KnownPlace {
            self.places.find(place, (Accountant::boundless(), &self.memory, &self.metadata)).unwrap()
        }
    }

    fn place(target: &str, line: u32) -> LogPlace<'_> {
        LogPlace { level: LogLevel::Warn, target, file: Some("src/a.rs"), line: Some(line) }
    }

    #[test]
    fn a_place_has_one_entry_whatever_thread_says_its_lines() {
        let table = Table::new();
        let numbers = std::sync::Mutex::new(HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for line in 0..200 {
                        let number = table.find(place("shop::pay", line)).number;
                        numbers.lock().unwrap().insert((line, number));
                    }
                });
            }
        });
        assert_eq!((numbers.lock().unwrap().len(), table.places.known().count()), (200, 200));
        let error = table.find(LogPlace { level: LogLevel::Error, ..place("shop::pay", 1) });
        assert_ne!(error.number, table.find(place("shop::pay", 1)).number);
        let by_number = table.places.by_number(error.number).unwrap();
        assert_eq!((by_number.level, by_number.target.line), (LogLevel::Error, 1));
    }

    #[test]
    fn places_beyond_the_bound_share_an_entry_for_their_level() {
        let table = Table::new();
        for line in 0..3 * LOG_PLACES_MAX as u32 {
            table.find(place("a", line));
        }
        let shared = table.find(place("b", u32::MAX));
        assert_eq!((&*shared.target.target, shared.level), (OTHER_PLACES, LogLevel::Warn));
        assert!(table.places.known().count() <= SLOTS);
        let error = table.find(LogPlace { level: LogLevel::Error, ..place("b", u32::MAX) });
        assert!(error.number != shared.number && error.level == LogLevel::Error);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let table = Table::new();
        let (target, file) = ("ö".repeat(LOG_TARGET_BYTES_MAX), "ß".repeat(LOG_FILE_BYTES_MAX + 1));
        let known = table.find(LogPlace { file: Some(&file), ..place(&target, 1) });
        assert!(known.target.target.len() <= LOG_TARGET_BYTES_MAX);
        assert!(known.target.file.len() <= LOG_FILE_BYTES_MAX);
        assert_eq!(known.number, table.find(LogPlace { file: Some(&file), ..place(&target, 1) }).number);
    }

    #[test]
    fn every_line_is_admitted_or_counted_once() {
        const LINES: u64 = 10_000;
        let table = Table::new();
        let known = table.find(place("a", 1));
        let admitted: u64 = std::thread::scope(|scope| {
            let say = || (0..LINES).filter(|line| known.admits((line / 5000) as u32)).count() as u64;
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(say)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let folded: u64 = table.places.take_folded(None).map(|(_, lines)| lines).sum();
        assert_eq!(admitted + folded, 4 * LINES);
        assert!(admitted >= 2 * u64::from(LOG_LINES_PER_S), "{admitted}");
        assert_eq!(table.places.take_folded(None).count(), 0);
    }

    #[test]
    fn what_shares_a_row_is_taken_once_the_second_is_over() {
        let table = Table::new();
        let known = table.find(place("a", 1));
        let admitted = (0..LOG_LINES_PER_S + 7).filter(|_| known.admits(5)).count();
        assert_eq!(admitted, LOG_LINES_PER_S as usize);
        assert_eq!(table.places.take_folded(Some(5)).count(), 0);
        let taken: Vec<u64> = table.places.take_folded(Some(6)).map(|(_, lines)| lines).collect();
        assert_eq!(taken, [7]);
    }
}
