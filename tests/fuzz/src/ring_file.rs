//! Makes a ring file from a target's bytes: one as a process leaves it, in which some words are then changed, or any
//! words at all behind the first page. Returns the words of the file.

use crate::input::Input;
use crate::record::{Header, Kept, LogLevel, LogLine, Outcome, encode_skip, encode_thread, settle};
use crate::ring::frames::word_of_arguments;
use crate::ring::layout::{
    Kind, MAGIC, PAGE_WORDS, VERSION, block, entry, flight, frame, head, ledger, log_place, panic, ring,
    site, thread,
};

/// The Unix time of the last sign of life.
pub(crate) const ALIVE_NS: i64 = 1_700_000_000_000_000_000;
/// The mark of another machine: a process from there is judged by its silence.
pub(crate) const MARK: &str = "elsewhere/pid:[1]/17";
/// The most blocks of a file, and the most words that are changed in it.
const BLOCKS_MAX: usize = 12;
const CHANGES_MAX: usize = 24;
/// Numbers that readers of lengths and counts get wrong.
const NUMBERS: [u64; 16] = [
    0,
    1,
    7,
    8,
    511,
    512,
    4096,
    8192,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    0xFFFF_FFFF_0000_0001,
    1 << 52,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// A file being made, and the places in it where lengths and numbers lie.
struct Made {
    words: Vec<u64>,
    places: Vec<usize>,
    /// The first word of each ring, and of each memory for captured values, with its id.
    rings: Vec<(u64, usize)>,
    memories: Vec<(u64, usize)>,
}

/// Returns the words of a file for this store.
pub(crate) fn build(input: &mut Input<'_>, store: &[u8]) -> Vec<u64> {
    let mut made =
        Made { words: vec![0; PAGE_WORDS], places: Vec::new(), rings: Vec::new(), memories: Vec::new() };
    made.head(input, store);
    if input.below(8) == 7 {
        made.add_pattern(input);
    } else {
        for _ in 0..input.below(BLOCKS_MAX) {
            made.block(input);
        }
    }
    made.place_arguments(input);
    made.words[head::END] = made.words.len() as u64 * 8;
    for _ in 0..input.below(CHANGES_MAX) {
        made.change(input);
    }
    if input.below(8) == 7 {
        let length = input.word() as usize % (made.words.len() + 1);
        made.words.truncate(length);
    }
    made.words
}

impl Made {
    fn head(&mut self, input: &mut Input<'_>, store: &[u8]) {
        let numbers = [
            (head::MAGIC, MAGIC),
            (head::VERSION, VERSION),
            (head::PID, u64::from(input.byte())),
            (head::STARTED_NS, ALIVE_NS as u64 - 1_000_000_000),
            (head::FIRST_PREFIX, u64::from(input.byte()) << 16),
            (head::ACKNOWLEDGED, input.below(4) as u64),
            (head::SNAPSHOT, input.below(4) as u64),
            (head::ALIVE_NS, ALIVE_NS as u64),
            (head::RETENTION_NS, u64::MAX),
            (head::CALIBRATIONS, 1_000_000),
            (head::CALIBRATIONS + 1, ALIVE_NS as u64),
            (head::CALIBRATIONS + 2, 1 << 32),
        ];
        for (place, number) in numbers {
            self.words[place] = number;
        }
        put_panic(input, &mut self.words[head::PANIC..]);
        self.words[head::EXIT] = if input.below(4) == 0 { input.word() } else { 0 };
        self.places.extend([
            head::EXIT,
            head::PANIC + panic::TEXT,
            head::END,
            head::ACKNOWLEDGED,
            head::SNAPSHOT,
            head::CLOCK,
            head::CALIBRATIONS + 2,
        ]);
        let run = format!("run-{:02x}", input.byte());
        let texts: [((usize, usize), &[u8]); 6] = [
            (head::RUN_UUID, run.as_bytes()),
            (head::MARK, MARK.as_bytes()),
            (head::SERVICE, b"shop"),
            (head::RECORDER, b"0.1.0"),
            (head::HOST, b"here"),
            (head::STORE_REQUESTED, store),
        ];
        for ((first, words), text) in texts {
            let bytes = bytes_as_words(text);
            self.words[first] = text.len() as u64;
            let kept = bytes.len().min(words - 1);
            self.words[first + 1..=first + kept].copy_from_slice(&bytes[..kept]);
        }
    }

    /// Adds pages that repeat a pattern from the bytes.
    fn add_pattern(&mut self, input: &mut Input<'_>) {
        let pages = 1 + input.below(3);
        let length = input.below(64);
        let pattern = bytes_as_words(input.bytes(8 * length.max(1)));
        let first = self.words.len();
        self.words.extend(pattern.iter().chain(&[0]).cycle().take(pages * PAGE_WORDS));
        self.words[first] = input.below(9) as u64 | u64::from(input.byte()) << 32;
        self.words[first + block::BYTES] = (pages * PAGE_WORDS * 8) as u64;
        self.places.extend(first..first + 64);
    }

    fn block(&mut self, input: &mut Input<'_>) {
        const KINDS: [Kind; 13] = [
            Kind::Ring,
            Kind::Journal,
            Kind::Sites,
            Kind::Threads,
            Kind::Ledger,
            Kind::Flights,
            Kind::Tallies,
            Kind::Scratch,
            Kind::FlightValues,
            Kind::Countdowns,
            Kind::Tallied,
            Kind::Grouped,
            Kind::LogPlaces,
        ];
        let kind = KINDS[input.below(KINDS.len())];
        let id = input.below(5) as u64;
        let mut content = vec![kind as u64 | id << 32];
        content.resize(block::HEADER, 0);
        let places = match kind {
            Kind::Ring => ring_block(input, &mut content),
            Kind::Journal => journal(input, &mut content),
            Kind::Sites => sites(input, &mut content),
            Kind::LogPlaces => log_places(input, &mut content),
            Kind::Threads => threads(input, &mut content),
            Kind::Ledger | Kind::Tallied | Kind::Grouped => figures(input, &mut content),
            Kind::Flights | Kind::Tallies | Kind::Countdowns => flights(input, &mut content),
            Kind::Scratch | Kind::FlightValues => values(input, &mut content),
        };
        content[block::FILLED] = content.len() as u64;
        content.resize(content.len().next_multiple_of(PAGE_WORDS), 0);
        content[block::BYTES] = content.len() as u64 * 8;
        let first = self.words.len();
        match kind {
            Kind::Ring => self.rings.push((id, first)),
            Kind::Scratch => self.memories.push((id, first + block::HEADER)),
            _ => {}
        }
        self.places.extend(places.into_iter().chain(0..3).map(|place| first + place));
        self.words.extend(content);
    }

    /// Lets the frames of rings say that arguments lie in the memory of their ring.
    fn place_arguments(&mut self, input: &mut Input<'_>) {
        for (id, ring) in self.rings.clone() {
            let Some((_, memory)) = self.memories.iter().find(|(of, _)| *of == id) else { continue };
            let distance = (*memory as u64).wrapping_sub(ring as u64).cast_signed();
            for at in 0..3 {
                let first = ring + ring::FRAMES + at * frame::WORDS;
                let (place, words) = (input.below(600), input.below(40));
                let start = self.words[first + frame::START];
                self.words[first + frame::ARGUMENTS] = word_of_arguments(start, distance, place, words);
                self.places.push(first + frame::ARGUMENTS);
            }
        }
    }

    /// Changes one word, mostly one that is read as a length, a position or a number.
    fn change(&mut self, input: &mut Input<'_>) {
        let is_known = input.below(4) != 0;
        let chosen = usize::from(input.byte()) | usize::from(input.byte()) << 8;
        let place =
            if is_known { self.places[chosen % self.places.len()] } else { chosen % self.words.len() };
        let number = NUMBERS[input.below(NUMBERS.len())];
        let word = &mut self.words[place];
        *word = match input.below(6) {
            0 => input.word(),
            1 => word.wrapping_add(number),
            2 => *word ^ number,
            3 => *word & 0xFFFF_FFFF | number << 32,
            4 => *word & !0xFFFF_FFFF | number & 0xFFFF_FFFF,
            _ => number,
        };
    }
}

fn ring_block(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    content.resize(ring::CONTROL, 0);
    content[ring::THREAD] = input.below(5) as u64;
    content[ring::HEAD_THREAD] = input.below(5) as u64;
    let depth = input.below(4);
    content[ring::DEPTH] = depth as u64;
    for at in 0..depth {
        let first = ring::FRAMES + at * frame::WORDS;
        content[first + frame::SITE] = input.below(4) as u64 | (at as u64) << 32;
        content[first + frame::START] = 2_000_000 + u64::from(input.byte());
        content[first + frame::SPAN] = input.word();
    }
    put_panic(input, &mut content[ring::PANIC..]);
    let records = records(input);
    let capacity = records.len().next_power_of_two().max(64);
    let head = input.below(3) as u64 * 64;
    content[ring::CAPACITY] = capacity as u64;
    content[ring::HEAD] = head;
    content[ring::TAIL] = head + records.len() as u64;
    for at in 0..8 {
        content[ring::MARKS + at] = input.below(4) as u64 * if at % 2 == 0 { 1 } else { 40 };
    }
    content.resize(ring::CONTROL + capacity, 0);
    for (at, word) in (head as usize..).zip(&records) {
        content[ring::CONTROL + at % capacity] = *word;
    }
    let data = ring::CONTROL..ring::CONTROL + records.len().min(64);
    let control = [ring::CAPACITY, ring::HEAD, ring::TAIL, ring::DEPTH, ring::FRAMES, ring::FRAMES + 1];
    control.into_iter().chain(ring::MARKS..ring::MARKS + 8).chain(data).collect()
}

fn put_panic(input: &mut Input<'_>, words: &mut [u64]) {
    words[panic::AT] = input.below(2) as u64 * (2_000_000 + u64::from(input.byte()));
    words[panic::STAGE] = input.below(7) as u64 | (input.below(2) as u64) << 8;
    words[panic::THREAD] = input.below(5) as u64;
    words[panic::TEXT] = u64::from(input.byte()) * 5;
    words[panic::TEXT + 1..panic::WORDS].iter_mut().for_each(|word| *word = input.word());
}

/// Returns words of captured values: tokens, or anything.
fn values(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let first = content.len();
    let values = input.below(600);
    content.extend((0..values).map(|_| input.word()));
    (first..content.len().min(first + 64)).collect()
}

fn journal(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let mut places = Vec::new();
    let mut position = input.below(3) as u64 * 64;
    for _ in 0..input.below(4) {
        let records = records(input);
        let first = content.len();
        content.extend([0; entry::HEADER]);
        content[first + entry::LENGTH] = records.len() as u64 | (input.below(4) as u64) << 32;
        content[first + entry::POSITION] = position;
        content[first + entry::THREAD] = input.below(5) as u64;
        position += records.len() as u64;
        content.extend(records);
        places.extend(first..=first + entry::HEADER);
    }
    places
}

fn sites(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let mut places = Vec::new();
    for _ in 0..input.below(5) {
        let id = input.below(5) as u64;
        let mut texts = Vec::new();
        for _ in 0..3 {
            put(&mut texts, &input.text());
        }
        for _ in 0..2 {
            let length = input.below(3);
            let told = [length.to_string(), "99999999999999999999".to_owned(), "x".to_owned()];
            put(&mut texts, &told[input.below(6).saturating_sub(3)]);
            (0..length).for_each(|_| put(&mut texts, &input.text()));
        }
        let words = bytes_as_words(&texts);
        let first = content.len();
        content.extend([0; site::HEADER]);
        content[first + site::ID] = (site::HEADER + words.len()) as u64 | id << 32;
        content[first + site::LINE] = u64::from(input.byte());
        content[first + site::SLOW_NS] = if input.below(2) == 0 { u64::MAX } else { 100 };
        content[first + site::TEXT] = texts.len() as u64;
        content.extend(words);
        places.extend(first..=first + site::HEADER);
    }
    places
}

fn log_places(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let mut places = Vec::new();
    for _ in 0..input.below(5) {
        let number = input.below(5) as u64 | (input.below(7) as u64) << 16;
        let mut texts = Vec::new();
        for _ in 0..2 {
            put(&mut texts, &input.text());
        }
        let words = bytes_as_words(&texts);
        let first = content.len();
        content.extend([0; log_place::HEADER]);
        content[first + log_place::NUMBER] = (log_place::HEADER + words.len()) as u64 | number << 32;
        content[first + log_place::LINE] = u64::from(input.byte());
        content[first + log_place::TEXT] = texts.len() as u64;
        content[first + log_place::COUNTER + 1] = u64::from(input.byte());
        content.extend(words);
        places.extend(first..=first + log_place::HEADER);
    }
    places
}

fn put(texts: &mut Vec<u8>, text: &str) {
    let length = text.len().min(usize::from(u16::MAX)) as u16;
    texts.extend(length.to_le_bytes());
    texts.extend(&text.as_bytes()[..usize::from(length)]);
}

fn threads(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let first = content.len();
    for id in 0..input.below(4) as u64 {
        let name = input.text();
        let bytes = &name.as_bytes()[..name.len().min(thread::NAME_BYTES)];
        let slot = content.len();
        content.push((id + 1) | (bytes.len() as u64) << 32);
        content.extend(bytes_as_words(bytes));
        content.resize(slot + thread::WORDS, 0);
    }
    (first..content.len()).step_by(thread::WORDS).collect()
}

fn figures(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let first = content.len();
    for _ in 0..input.below(3) {
        let slot = content.len();
        content.resize(slot + ledger::WORDS, 0);
        for part in 0..4 {
            content[slot + part * ledger::SLOT] = input.below(4) as u64;
            for figure in 0..ledger::FIGURES {
                content[slot + part * ledger::SLOT + 1 + figure] = u64::from(input.byte());
            }
        }
    }
    (first..content.len()).collect()
}

fn flights(input: &mut Input<'_>, content: &mut Vec<u64>) -> Vec<usize> {
    let first = content.len();
    for _ in 0..input.below(5) {
        let slot = content.len();
        content.resize(slot + flight::WORDS, 0);
        content[slot + flight::SITE] = input.below(5) as u64 | (input.below(50) as u64) << 32;
        content[slot + flight::PARENT] = if input.below(2) == 0 { input.word() } else { 1000 };
        content[slot + flight::START] = input.word();
        content[slot + flight::SPAN] = input.word();
        content[slot + flight::SINCE] = input.word();
    }
    (first..content.len()).collect()
}

/// Returns records as a thread leaves them, one after the other.
fn records(input: &mut Input<'_>) -> Vec<u64> {
    let mut words = Vec::new();
    for _ in 0..input.below(6) {
        match input.below(8) {
            0 => words.push(encode_thread(input.below(5) as u32)),
            1 => {
                let skipped = 1 + input.below(9);
                words.push(encode_skip(skipped));
                words.resize(words.len() + skipped - 1, input.word());
            }
            2 => log_line(input, &mut words),
            _ => call(input, &mut words),
        }
    }
    words
}

fn log_line(input: &mut Input<'_>, words: &mut Vec<u64>) {
    let line = LogLine {
        place: input.below(5) as u16,
        level: LogLevel::ALL[input.below(LogLevel::ALL.len())],
        at: 1_000_000 + u64::from(input.byte()) * 1000,
        lines: input.word(),
        span: input.word(),
        trace: input.word(),
        site: input.below(5) as u32,
        has_body: input.below(4) != 0,
        body_bytes: input.below(40) as u16,
        fields_bytes: input.below(40) as u16,
    };
    let behind = LogLine::count_words(line.body_bytes) + LogLine::count_words(line.fields_bytes);
    let values: Vec<u8> = (0..behind * 8).map(|_| input.byte()).collect();
    words.extend(crate::record::with_values(&line.encode(), values.as_chunks().0));
}

fn call(input: &mut Input<'_>, words: &mut Vec<u64>) {
    let value_bytes = input.below(40);
    let args_bytes = input.below(value_bytes + 1);
    let outcome =
        [Outcome::Ok, Outcome::Error, Outcome::Panic, Outcome::Cancelled][input.below(8).saturating_sub(4)];
    let header = Header {
        site: input.below(5) as u32,
        outcome,
        kept: if outcome == Outcome::Ok { Kept::Sampled } else { Kept::Failed },
        is_async: input.below(4) == 0,
        start: 1_000_000 + u64::from(input.byte()) * 1000,
        duration: u64::from(input.byte()) * 100,
        span: input.word() | 1,
        parent: input.below(3) as u64,
        trace: input.word(),
        weight: 1.0,
        args_bytes: args_bytes as u16,
        fields_bytes: input.below(value_bytes - args_bytes + 1) as u16,
        busy: u64::from(input.byte()),
        self_ticks: u64::from(input.byte()),
        is_nested: input.below(4) == 0,
    };
    let mut encoded = header.encode(value_bytes.div_ceil(8));
    if input.below(16) == 0 {
        encoded[0] = settle(encoded[0]);
    }
    let values: Vec<u8> = (0..value_bytes).map(|_| input.byte()).collect();
    let mut values = bytes_as_words(&values);
    if header.is_async {
        values.insert(0, header.self_ticks);
    }
    let sum = values.iter().fold(0, |sum, word| crate::record::add_to_checksum(sum, *word));
    let last = encoded.len() - 1;
    encoded[last] = crate::record::seal(encoded[last], sum);
    words.extend(encoded);
    words.extend(values);
}

/// Returns bytes as words, the last one filled with zeros.
fn bytes_as_words(bytes: &[u8]) -> Vec<u64> {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    bytes.chunks(8).map(word).collect()
}
