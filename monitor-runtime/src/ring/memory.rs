//! Memory for rings and what goes with them: zeroed words that live as long as the process. In: what it
//! is for and how much. Out: a block of atomic words, in the mapped file where there is one and it has
//! room, on the heap otherwise; both look alike. Where memory comes from the heap although a file was
//! wanted, why is remembered for whoever reports it.
#![allow(unsafe_code, reason = "safe code cannot take zeroed memory without touching its pages")]

use std::alloc::{Layout, alloc_zeroed};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ring::layout::{Kind, PAGE_WORDS, block};
use crate::ring::mapping::Mapping;
use crate::sync::lock;

/// Where blocks come from.
#[derive(Debug)]
pub(crate) struct Memory {
    mapping: Option<Mapping>,
    /// The head page, mapped or not.
    head: &'static [AtomicU64],
    /// Why memory was taken from the heap, and whether that is told.
    refused: Mutex<(Option<String>, bool)>,
}

impl Memory {
    /// Memory in this file.
    pub(crate) fn mapped(mapping: Mapping) -> Self {
        let head = mapping.head();
        Self { mapping: Some(mapping), head, refused: Mutex::default() }
    }

    /// Memory on the heap; `why`, where a file was wanted.
    pub(crate) fn on_heap(why: Option<String>) -> Self {
        static NO_HEAD: [AtomicU64; PAGE_WORDS] = [const { AtomicU64::new(0) }; PAGE_WORDS];
        let head = heap(PAGE_WORDS).unwrap_or(&NO_HEAD);
        Self { mapping: None, head, refused: Mutex::new((why, false)) }
    }

    /// The head page of the file; on the heap one that nobody reads.
    pub(crate) fn head(&self) -> &'static [AtomicU64] {
        self.head
    }

    pub(crate) fn mapping(&self) -> Option<&Mapping> {
        self.mapping.as_ref()
    }

    /// A block of so many bytes, whole pages; `None` when there is no memory at all.
    pub(crate) fn take(&self, kind: Kind, id: u32, bytes: usize) -> Option<&'static [AtomicU64]> {
        if let Some(words) = self.take_mapped(kind, id, bytes) {
            return Some(words);
        }
        let words = heap(bytes / size_of::<u64>())?;
        words[block::BYTES].store(bytes as u64, Ordering::Relaxed);
        words[block::KIND].store(kind as u64 | u64::from(id) << 32, Ordering::Relaxed);
        Some(words)
    }

    /// A block of which only the first bytes will be touched before [`Self::complete`]; how many may be.
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

    /// Makes all of a block that was taken in part fit to be touched; whether that could be done.
    pub(crate) fn complete(&self, block: &[AtomicU64]) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.promise_rest(block))
    }

    /// A block that survives the process, or none.
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

    /// Why memory had to come from the heap, once.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        let mut refused = lock(&self.refused);
        if refused.0.is_none() || std::mem::replace(&mut refused.1, true) {
            return None;
        }
        refused.0.clone()
    }
}

/// Takes this many zeroed words from the heap; `None` when there is no memory.
///
/// The alignment is that of a word: with a larger one the allocator clears the memory by hand, and
/// all of it becomes resident. The memory is never given back: rings are reused instead.
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
