//! A thread's scratch memory for captured values: a stack of bytes that grows with the nesting of calls.
//!
//! Takes values that expansions write; gives their bytes, kept until the call that captured them ends and moves them
//! into its record. The writer is lent to one user at a time. It stays with the thread's state: a thread that reuses
//! the state reuses the writer. The file does not know which call a value belongs to.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::local::{end_suppression, put_scratch, suppress, take_scratch};
use super::state::{SUPPRESSED, ThreadState};
use crate::capture::limits::VALUE_NS;
use crate::capture::{Limits, Writer};
use crate::limits;
use crate::platform::clock::{Ticks, ticks, ticks_from_ns};
use crate::platform::reentrancy::run_guarded;
use crate::record::Word;
use crate::ring::frames;

pub(crate) use super::state::ScratchWriter;

// Every place that a thread captures arguments into has room in a frame.
const _: () = assert!((limits::SCRATCH_BYTES + limits::VALUES_BYTES_MAX) / 8 < 1 << frames::FIRST_BITS);
const _: () = assert!(limits::VALUES_BYTES_MAX / 8 < 1 << frames::LENGTH_BITS);

/// A closure that writes values.
pub(crate) type Capture<'a> = &'a mut dyn FnMut(&mut Writer<'_>);

/// Takes the thread's writer; `None` if it is not made yet, or lent.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn take_made() -> Option<ScratchWriter> {
    take_scratch()
}

/// Takes the thread's writer, made on first use; `None` if it is lent. Its position is at the start of a word.
#[inline]
pub(crate) fn take(thread: &ThreadState) -> Option<ScratchWriter> {
    match take_made() {
        Some(writer) => Some(writer),
        None => make(thread),
    }
}

/// Takes the thread's writer and opens it for the values of one call, behind the values that it already holds.
#[inline]
pub(crate) fn open(thread: &ThreadState) -> Option<ScratchWriter> {
    let writer = take(thread)?;
    writer.open(limits::VALUES_BYTES_MAX);
    Some(writer)
}

/// Writes values that were captured before.
pub(crate) fn write_captured(writer: &mut Writer<'_>, values: &[u8]) {
    writer.open(values.len());
    writer.put(values);
    writer.open(limits::VALUES_BYTES_MAX);
}

/// Pushes a copy of values on the thread's scratch memory. Returns the place to which [`pop_copy`] rewinds it, or
/// `None` if there is no room for the copy.
#[inline]
pub(crate) fn push_copy(thread: &ThreadState, start: Ticks, values: &[u8]) -> Option<usize> {
    let writer = take(thread)?;
    let top = writer.len();
    let has_room = writer.put_words(values);
    if has_room {
        frames::start_with_arguments(thread.page.words, start, writer.memory(), (top, values.len()));
    }
    put_back(writer);
    has_room.then_some(top)
}

/// Drops a copy, and all that lies behind it, from the thread's scratch memory.
#[inline]
pub(crate) fn pop_copy(top: usize) {
    if let Some(writer) = take_made() {
        writer.rewind(top);
        put_back(writer);
    }
}

/// Returns the words in the memory from `start` on, which is the start of a word; empty if nothing was written.
#[inline]
pub(crate) fn words_from<'a>(writer: &'a Writer<'_>, start: usize) -> &'a [Word] {
    checked_words_from(writer, start).unwrap_or_default()
}

/// Returns the words in the memory from `start` on; `None` if nothing can have been written there.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn checked_words_from<'a>(writer: &'a Writer<'_>, start: usize) -> Option<&'a [Word]> {
    Some(writer.memory().get(start..writer.len())?.as_chunks().0)
}

/// Returns the writer to the thread; what was written stays.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn put_back(writer: ScratchWriter) {
    put_scratch(writer);
}

/// Returns the writer to the thread and drops what lies in it from `top` on.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn close(thread: &ThreadState, writer: ScratchWriter, top: usize) {
    thread.add_capture_panics(writer.close(top));
    put_back(writer);
}

/// Makes the thread's writer on first use. Returns `None` if the writer is lent, if there is no memory for it, or if
/// the call has interrupted guarded code of the recorder, which may be allocating memory.
#[cold]
fn make(thread: &ThreadState) -> Option<ScratchWriter> {
    run_guarded(|| {
        if thread.has_scratch.swap(true, Ordering::Relaxed) {
            return None;
        }
        let Some(bytes) = thread.home.take_scratch(thread.page.id) else {
            thread.has_scratch.store(false, Ordering::Relaxed);
            return None;
        };
        Some(Box::leak(Box::new(Writer::new(bytes, value_limits()))) as ScratchWriter)
    })?
}

/// Returns the budget of a captured value, during whose capture monitored calls on the thread pass through.
pub(crate) fn value_limits() -> &'static Limits {
    static VALUE_LIMITS: OnceLock<Limits> = OnceLock::new();
    VALUE_LIMITS.get_or_init(|| Limits {
        before_user_code: suppress,
        after_user_code: end_suppression,
        ..Limits::new(ticks, ticks_from_ns(VALUE_NS))
    })
}

/// A writer lent to user code. Monitored calls pass through until this is dropped. The values that the code wrote
/// are kept if it returned, and dropped if it panicked.
pub(crate) struct ScratchLoan {
    thread: &'static ThreadState,
    current: u64,
    top: usize,
    writer: Option<ScratchWriter>,
}

impl ScratchLoan {
    pub(crate) fn new(thread: &'static ThreadState, writer: ScratchWriter) -> Self {
        let current = thread.current.load(Ordering::Relaxed);
        thread.set_current(SUPPRESSED);
        Self { thread, current, top: writer.len(), writer: Some(writer) }
    }

    /// Lets the closure write its values.
    pub(crate) fn fill(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(writer) = &mut self.writer {
            capture(writer);
            self.top = writer.len();
        }
    }
}

impl Drop for ScratchLoan {
    fn drop(&mut self) {
        self.thread.set_current(self.current);
        if let Some(writer) = self.writer.take() {
            close(self.thread, writer, self.top);
        }
    }
}

/// Returns the earlier values with the values that `capture` writes behind them. Monitored calls within `capture`
/// pass through.
#[inline(never)]
pub(crate) fn append_capture(
    thread: &'static ThreadState,
    earlier: &[u8],
    capture: Capture<'_>,
) -> Box<[u8]> {
    let Some(writer) = open(thread) else { return earlier.into() };
    let start = writer.len();
    write_captured(writer, earlier);
    ScratchLoan::new(thread, writer).fill(capture);
    let Some(writer) = open(thread) else { return earlier.into() };
    let all = words_from(writer, start).as_flattened().into();
    close(thread, writer, start);
    all
}
