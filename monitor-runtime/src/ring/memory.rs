//! Memory for rings and their companions: zeroed words that live as long as the process.
//!
//! Takes the purpose of a block and its size; gives atomic words, from the mapped file where there is one with room,
//! else from the heap. Callers cannot tell the two apart. If the heap has to stand in for a file, the reason is kept
//! for the collector to report. The file does not know what a block holds.
#![allow(unsafe_code, reason = "safe code cannot take zeroed memory without touching its pages")]

use std::alloc::{Layout, alloc_zeroed};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ring::layout::{Kind, PAGE_WORDS, block, block_bytes};
use crate::ring::mapping::Mapping;
use crate::sync::lock;

/// The source of blocks: a mapped file, or the heap.
#[derive(Debug)]
pub(crate) struct Memory {
    mapping: Option<Mapping>,
    /// The head page, mapped or not.
    head: &'static [AtomicU64],
    /// The reason why memory was taken from the heap, and whether it has been reported.
    refused: Mutex<(Option<String>, bool)>,
}

impl Memory {
    /// Returns memory in this file.
    pub(crate) fn mapped(mapping: Mapping) -> Self {
        let head = mapping.head();
        Self { mapping: Some(mapping), head, refused: Mutex::default() }
    }

    /// Returns memory on the heap. `why` is the reason why there is no file although one was wanted.
    pub(crate) fn on_heap(why: Option<String>) -> Self {
        static NO_HEAD: [AtomicU64; PAGE_WORDS] = [const { AtomicU64::new(0) }; PAGE_WORDS];
        let head = heap(PAGE_WORDS).unwrap_or(&NO_HEAD);
        Self { mapping: None, head, refused: Mutex::new((why, false)) }
    }

    /// Returns memory on the heap because the settings or the system leave no choice, which is `why`. The reason is not
    /// reported.
    pub(crate) fn on_heap_as_set(why: &str) -> Self {
        let memory = Self::on_heap(Some(why.to_owned()));
        lock(&memory.refused).1 = true;
        memory
    }

    /// Returns the head page of the file. On the heap it is a page that nobody reads.
    pub(crate) fn head(&self) -> &'static [AtomicU64] {
        self.head
    }

    pub(crate) fn mapping(&self) -> Option<&Mapping> {
        self.mapping.as_ref()
    }

    /// Takes a block of this many bytes, whole pages. Returns `None` if there is no memory at all.
    pub(crate) fn take(&self, kind: Kind, id: u32, bytes: usize) -> Option<&'static [AtomicU64]> {
        self.take_mapped(kind, id, bytes).or_else(|| self.take_heap(kind, id, bytes))
    }

    /// Takes a block from the heap.
    #[expect(clippy::unused_self, reason = "blocks are taken of a memory, wherever they lie")]
    pub(crate) fn take_heap(&self, kind: Kind, id: u32, bytes: usize) -> Option<&'static [AtomicU64]> {
        let words = heap(bytes / size_of::<u64>())?;
        words[block::BYTES].store(bytes as u64, Ordering::Relaxed);
        words[block::KIND].store(kind as u64 | u64::from(id) << 32, Ordering::Relaxed);
        Some(words)
    }

    /// Takes a block whose first bytes are reserved at once. Returns the block and the number of bytes that may be
    /// touched before [`Self::complete`].
    pub(crate) fn take_in_part(
        &self,
        kind: Kind,
        id: u32,
        bytes: usize,
        first: usize,
    ) -> Option<(&'static [AtomicU64], usize)> {
        let mapping = self.mapping.as_ref();
        let mapped = mapping.and_then(|mapping| mapping.take_in_part(kind, id, bytes, first));
        mapped.or_else(|| self.take(kind, id, bytes).map(|words| (words, bytes)))
    }

    /// Reserves the rest of a block that was taken in part. Returns false if there is no room for it.
    pub(crate) fn complete(&self, block: &[AtomicU64]) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.reserve_rest(block))
    }

    /// Takes a block that survives the process. Returns `None` if there is no file or no room in it.
    pub(crate) fn take_mapped(&self, kind: Kind, id: u32, bytes: usize) -> Option<&'static [AtomicU64]> {
        let mapping = self.mapping.as_ref()?;
        let words = mapping.take(kind, id, bytes);
        if words.is_none() {
            lock(&self.refused).0.get_or_insert_with(|| {
                let folder = mapping.path().parent().unwrap_or(mapping.path());
                format!("{} has no room for more of them", folder.display())
            });
        }
        words
    }

    /// Takes zeroed memory for captured values that survives the process. Returns `None` if there is no file or no room
    /// in it. `id` is that of the ring whose calls the values are of.
    pub(crate) fn take_scratch(&self, id: u32, bytes: usize) -> Option<&'static mut [u8]> {
        let block = self.take_mapped(Kind::Scratch, id, block_bytes(bytes / size_of::<u64>()))?;
        let words = block.get(block::HEADER..)?;
        // SAFETY: the block was taken just now and is handed out once, so these words are nobody else's in this process;
        // atomic words may be written through a shared reference, and zero is a value of a byte. Another process of this
        // user can write to the file, as it can write to any memory of this process; the bytes decide about nothing but
        // the text of a value, and are decoded as hostile input.
        Some(unsafe {
            std::slice::from_raw_parts_mut(words.as_ptr().cast_mut().cast::<u8>(), size_of_val(words))
        })
    }

    /// Returns the reason why memory comes from the heap, if it does.
    pub(crate) fn refusal(&self) -> Option<String> {
        lock(&self.refused).0.clone()
    }

    /// Returns the reason why memory had to come from the heap; the first call alone returns it.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        let mut refused = lock(&self.refused);
        if refused.0.is_none() || std::mem::replace(&mut refused.1, true) {
            return None;
        }
        refused.0.clone()
    }
}

/// Takes this many zeroed words from the heap. Returns `None` if there is no memory.
///
/// The alignment is that of a word, because with a larger one the allocator clears the memory by hand and all of it
/// becomes resident. The memory is never given back: rings are reused instead.
fn heap(words: usize) -> Option<&'static [AtomicU64]> {
    let layout = Layout::array::<AtomicU64>(words).ok().filter(|layout| layout.size() > 0)?;
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return None;
    }
    #[expect(clippy::cast_ptr_alignment, reason = "allocated with the alignment of AtomicU64")]
    let first = memory.cast::<AtomicU64>();
    // SAFETY: the memory holds `words` words, zero is a value of AtomicU64, it is never freed, and
    // nothing else points to it.
    Some(unsafe { std::slice::from_raw_parts(first, words) })
}
