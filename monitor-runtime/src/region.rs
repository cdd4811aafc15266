//! Memory for rings: zeroed words that live as long as the process. In: a size. Out: a slice of
//! atomic words, which plain heap memory and a shared mapping look like alike.
#![allow(unsafe_code, reason = "safe code cannot take zeroed memory without touching its pages")]

use std::alloc::{Layout, alloc_zeroed};
use std::sync::atomic::AtomicU64;

/// Takes this many zeroed words from the heap; `None` when there is no memory.
///
/// The alignment is that of a word: with a larger one the allocator clears the memory by hand, and
/// all of it becomes resident. The memory is never given back: rings are reused instead.
pub(crate) fn heap(words: usize) -> Option<&'static [AtomicU64]> {
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
