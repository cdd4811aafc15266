//! A thread's scratch memory for captured values: a stack of bytes that grows with the nesting of
//! calls. In: closures that write values. Out: their bytes, kept until the call that captured them
//! ends and moves them into its record. While user code runs here, monitored calls pass through.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use crate::capture::limits::VALUE_NS;
use crate::capture::{Limits, Writer};
use crate::clock::{ticks, ticks_from_ns};
use crate::config::limits;
use crate::thread_rings::{SUPPRESSED, ThreadState};

/// A closure that writes values.
pub(crate) type Capture<'a> = &'a mut dyn FnMut(&mut Writer<'_>);

struct Arena {
    bytes: Vec<u8>,
    top: usize,
    budget: Limits,
}

thread_local! {
    static ARENA: RefCell<Arena> =
        const { RefCell::new(Arena { bytes: Vec::new(), top: 0, budget: Limits::new(ticks, 0) }) };
}

/// Captured bytes, followed by others up to the next whole word: a copy masks them out, which is
/// quicker than to write zeros here and to read them back at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Captured<'a> {
    pub(crate) padded: &'a [u8],
    pub(crate) bytes: usize,
}

/// Makes monitored calls on this thread pass through until it is dropped.
struct Suppress<'a>(&'a ThreadState, u64);

impl<'a> Suppress<'a> {
    #[inline]
    fn new(thread: &'a ThreadState) -> Self {
        let current = thread.current.load(Ordering::Relaxed);
        thread.set_current(SUPPRESSED);
        Self(thread, current)
    }
}

impl Drop for Suppress<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set_current(self.1);
    }
}

impl Arena {
    /// Takes the memory, on first use.
    #[cold]
    fn prepare(&mut self) {
        self.bytes = vec![0; limits::ARENA_BYTES + WORD];
        self.budget.value_ticks = ticks_from_ns(VALUE_NS);
    }

    #[inline]
    fn capture(&mut self, thread: &ThreadState, fill: Capture<'_>) -> usize {
        if self.bytes.is_empty() {
            self.prepare();
        }
        let _suppress = Suppress::new(thread);
        let Self { bytes, top, budget } = self;
        let end = (bytes.len() - WORD).min(*top + limits::VALUES_BYTES_MAX);
        let Some(room) = bytes.get_mut(*top..end) else { return 0 };
        let mut writer = Writer::new(room, budget);
        fill(&mut writer);
        thread.add_capture_panics(writer.panics());
        let used = writer.finish();
        *top += used;
        used
    }

    #[inline]
    fn captured(&mut self, start: usize) -> Captured<'_> {
        let bytes = self.top.saturating_sub(start);
        let padded = self.bytes.get(start..start + bytes.next_multiple_of(WORD)).unwrap_or_default();
        Captured { padded, bytes }
    }
}

/// The unit of a record; as many bytes lie behind the arena's end, for the padding.
const WORD: usize = size_of::<u64>();

/// Captures values behind those already there; gives where they begin and how many bytes they took.
/// Nothing where the thread's arena is gone (the thread is ending) or in use.
#[inline(never)]
pub(crate) fn capture(thread: &ThreadState, fill: Capture<'_>) -> (usize, u16) {
    let captured = ARENA.try_with(|arena| {
        let Ok(mut arena) = arena.try_borrow_mut() else { return (0, 0) };
        let start = arena.top;
        let bytes = arena.capture(thread, fill);
        (start, u16::try_from(bytes).unwrap_or(0))
    });
    captured.unwrap_or((0, 0))
}

/// Ends a call's values: puts `earlier` ones (which travelled with a future) and what `last` writes
/// behind those from `start` on (from the top, if there are none), hands all of them over, and drops
/// them. Hands over nothing where there is no arena.
#[inline]
pub(crate) fn conclude<R>(
    thread: &ThreadState,
    start: Option<usize>,
    earlier: &[u8],
    last: Option<Capture<'_>>,
    deliver: impl FnOnce(Captured<'_>) -> R,
) -> R {
    let mut deliver = Some(deliver);
    let delivered = ARENA.try_with(|arena| {
        let mut arena = arena.try_borrow_mut().ok()?;
        let start = start.unwrap_or(arena.top);
        if !earlier.is_empty() {
            arena.put(earlier);
        }
        if let Some(last) = last {
            arena.capture(thread, last);
        }
        let result = deliver.take()?(arena.captured(start));
        arena.top = start;
        Some(result)
    });
    match (delivered, deliver) {
        (Ok(Some(result)), _) => result,
        (_, Some(deliver)) => deliver(Captured::default()),
        // `deliver` is taken only where its result is returned.
        (_, None) => unreachable!("the values of a call are handed over once"),
    }
}

impl Arena {
    fn put(&mut self, earlier: &[u8]) {
        if self.bytes.is_empty() {
            self.prepare();
        }
        let end = self.top + earlier.len();
        if end + WORD <= self.bytes.len() {
            self.bytes[self.top..end].copy_from_slice(earlier);
            self.top = end;
        }
    }
}
