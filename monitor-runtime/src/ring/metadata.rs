//! Metadata of a ring file: the process, its functions, its threads and its clock.
//!
//! Takes each of these when the recorder first meets it, always before a record that refers to it; gives words of the
//! ring file, by which another program understands the records after the death of this process. The file does not read
//! them back: see `reader`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::ProcessRow;
use crate::platform::clock::Calibration;
use crate::record::{LogLevel, LogTarget};
use crate::ring::layout::{Kind, VERSION, block, block_bytes, filled, head, log_place, site, thread};
use crate::ring::memory::Memory;
use crate::ring::panics::Exit;
use crate::site::CallSite;
use crate::sync::lock;

/// The facts that do not change while a process runs.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) process: ProcessRow,
    /// Distinguishes the process from all others: see `platform::liveness`.
    pub(crate) mark: String,
    /// The store that the settings name.
    pub(crate) store: std::path::PathBuf,
    pub(crate) retention_ns: u64,
    pub(crate) max_disk_bytes: u64,
}

/// The writer of the metadata.
#[derive(Debug)]
pub(crate) struct Metadata {
    head: &'static [AtomicU64],
    threads: Option<&'static [AtomicU64]>,
    sites: Mutex<Sites>,
    /// The block for places that write log lines.
    log_places: Mutex<Option<&'static [AtomicU64]>>,
}

#[derive(Debug, Default)]
struct Sites {
    block: Option<&'static [AtomicU64]>,
    described: Vec<bool>,
}

impl Metadata {
    /// Returns a writer into this memory. On the heap it writes nothing, because nobody could read it.
    pub(crate) fn new(memory: &Memory) -> Self {
        let bytes = block_bytes(thread::ENTRIES * thread::WORDS);
        let threads = memory.take_mapped(Kind::Threads, 0, bytes);
        Self { head: memory.head(), threads, sites: Mutex::default(), log_places: Mutex::default() }
    }

    /// Writes the identity of the process, then publishes the file.
    pub(crate) fn declare(&self, memory: &Memory, identity: &Identity, first_prefix: u32) {
        let Some(mapping) = memory.mapping() else { return };
        let Identity { process, mark, store, retention_ns, max_disk_bytes } = identity;
        let numbers = [
            (head::VERSION, VERSION),
            (head::PID, u64::from(process.pid)),
            (head::STARTED_NS, process.started_ns.cast_unsigned()),
            (head::ALIVE_NS, process.started_ns.cast_unsigned()),
            (head::FIRST_PREFIX, u64::from(first_prefix)),
            (head::RETENTION_NS, *retention_ns),
            (head::MAX_DISK_BYTES, *max_disk_bytes),
        ];
        for (word, number) in numbers {
            self.head[word].store(number, Ordering::Relaxed);
        }
        let texts: [((usize, usize), &[u8]); 6] = [
            (head::RUN_UUID, process.run_uuid.as_bytes()),
            (head::MARK, mark.as_bytes()),
            (head::SERVICE, process.service.as_bytes()),
            (head::RECORDER, process.version.as_bytes()),
            (head::HOST, process.host.as_bytes()),
            (head::STORE_REQUESTED, store.as_os_str().as_encoded_bytes()),
        ];
        for (place, text) in texts {
            self.text(place, text);
        }
        mapping.declare();
    }

    /// Writes a text into its place in the head page. A text that is too long is cut.
    pub(crate) fn text(&self, (first, words): (usize, usize), text: &[u8]) {
        let text = &text[..text.len().min((words - 1) * 8)];
        self.head[first].store(0, Ordering::Release);
        store_bytes(&self.head[first + 1..first + words], text);
        // Publishes the bytes: a reader of the file that comes earlier finds no text rather than half of one.
        self.head[first].store(text.len() as u64, Ordering::Release);
    }

    /// Writes the calibration by which ticks become Unix time from now on.
    pub(crate) fn calibrate(&self, calibration: Calibration, alive_ns: i64) {
        let next = 1 - (self.head[head::CLOCK].load(Ordering::Relaxed) & 1);
        let first = head::CALIBRATIONS + next as usize * head::CALIBRATION_WORDS;
        let Calibration { ticks, unix_ns, rate } = calibration;
        for (word, number) in (first..).zip([ticks, unix_ns.cast_unsigned(), rate]) {
            self.head[word].store(number, Ordering::Relaxed);
        }
        self.head[head::CLOCK].store(next, Ordering::Release);
        self.head[head::ALIVE_NS].store(alive_ns.cast_unsigned(), Ordering::Relaxed);
    }

    /// Returns the words for the last panic of a thread without a ring.
    pub(crate) fn panic_words(&self) -> &'static [AtomicU64] {
        &self.head[head::PANIC..]
    }

    /// Notes that the process is exiting and that its exit handlers have begun to run.
    pub(crate) fn exiting(&self, exit: Exit) {
        self.head[head::EXIT].store(exit.to_word(), Ordering::Relaxed);
    }

    /// Writes the name of a thread.
    pub(crate) fn thread(&self, id: u32, name: &str) {
        let Some(threads) = self.threads else { return };
        let at = block::HEADER + id as usize % thread::ENTRIES * thread::WORDS;
        let mut bytes = name.len().min(thread::NAME_BYTES);
        while !name.is_char_boundary(bytes) {
            bytes -= 1;
        }
        // The entry may hold the name of a thread that has ended. Its id is 0 while the name changes.
        threads[at].store(0, Ordering::Release);
        store_bytes(&threads[at + 1..at + thread::WORDS], &name.as_bytes()[..bytes]);
        threads[at].store(u64::from(id) | (bytes as u64) << 32, Ordering::Release);
    }

    /// Writes the description of a call site, if it is not there yet.
    pub(crate) fn site(&self, memory: &Memory, call_site: &CallSite) {
        if memory.mapping().is_none() {
            return;
        }
        let mut sites = lock(&self.sites);
        let id = call_site.id() as usize;
        if sites.described.len() <= id {
            sites.described.resize(id + 1, false);
        }
        if std::mem::replace(&mut sites.described[id], true) {
            return;
        }
        let mut texts = texts(call_site, true);
        if site::HEADER + texts.len().div_ceil(8) > ENTRY_WORDS_MAX {
            texts = self::texts(call_site, false);
        }
        texts.truncate((ENTRY_WORDS_MAX - site::HEADER) * 8);
        let length = site::HEADER + texts.len().div_ceil(8);
        let Some((block, at)) = room_for(&mut sites.block, length, memory, Kind::Sites) else { return };
        let numbers = [
            length as u64 | u64::from(call_site.id()) << 32,
            u64::from(call_site.place().1),
            call_site.slow_ns().unwrap_or(u64::MAX),
            texts.len() as u64,
        ];
        for (word, number) in block[at..].iter().zip(numbers) {
            word.store(number, Ordering::Relaxed);
        }
        store_bytes(&block[at + site::HEADER..at + length], &texts);
        block[block::FILLED].store((at + length) as u64, Ordering::Release);
    }

    /// Writes the description of a place that writes log lines. Returns the words of its counters; `None` if there is
    /// no room.
    pub(crate) fn log_place(
        &self,
        memory: &Memory,
        number: u16,
        level: LogLevel,
        target: &LogTarget,
    ) -> Option<&'static [AtomicU64]> {
        memory.mapping()?;
        let mut texts = Vec::new();
        push_text(&mut texts, &target.target);
        push_text(&mut texts, &target.file);
        let length = log_place::HEADER + texts.len().div_ceil(8);
        let mut places = lock(&self.log_places);
        let (block, at) = room_for(&mut places, length, memory, Kind::LogPlaces)?;
        let numbers = [
            length as u64 | u64::from(number) << 32 | (level as u64) << 48,
            u64::from(target.line),
            texts.len() as u64,
        ];
        for (word, number) in block[at..].iter().zip(numbers) {
            word.store(number, Ordering::Relaxed);
        }
        store_bytes(&block[at + log_place::HEADER..at + length], &texts);
        block[block::FILLED].store((at + length) as u64, Ordering::Release);
        block.get(at + log_place::COUNTER..at + log_place::HEADER)
    }
}

/// Returns the block that descriptions are appended to, and the place of the next description in it. If the current
/// block has no room for this many words, a new one is taken; `None` if there is no memory for it.
fn room_for(
    current: &mut Option<&'static [AtomicU64]>,
    length: usize,
    memory: &Memory,
    kind: Kind,
) -> Option<(&'static [AtomicU64], usize)> {
    if current.is_none_or(|block| filled(block) + length > block.len()) {
        let block = memory.take_mapped(kind, 0, block_bytes(BLOCK_WORDS))?;
        block[block::FILLED].store(block::HEADER as u64, Ordering::Relaxed);
        *current = Some(block);
    }
    let block = (*current)?;
    Some((block, filled(block)))
}

/// Words of a block of descriptions: room for about a hundred functions.
const BLOCK_WORDS: usize = 4096 - block::HEADER;
/// Most words of a description. A longer one omits the names of arguments and fields.
const ENTRY_WORDS_MAX: usize = 1024;

/// Returns the texts of a description: name, file, group, then the names of arguments and of fields. Each text is
/// preceded by its length in two bytes, each list of names by the number of its names as a text.
fn texts(site: &CallSite, with_names: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut push = |text: &str| push_text(&mut bytes, text);
    push(&site.shown_name());
    push(site.place().0);
    push(site.group_name().unwrap_or_default());
    for names in [site.arguments(), site.fields()] {
        let names = if with_names { names } else { &[] };
        push(&names.len().to_string());
        for name in names {
            push(name);
        }
    }
    bytes
}

/// Appends a text of a description, preceded by its length.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(2048)];
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text);
}

/// Stores bytes as words. The last word is padded with zeros.
fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    for (word, bytes) in words.iter().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
    }
}
