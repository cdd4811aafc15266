//! A thread's scratch memory for captured values: a stack of bytes that grows with the nesting of
//! calls. In: a thread. Out: its writer, and the bytes written, kept until the call that captured them
//! ends and moves them into its record.
//!
//! The writer is lent to one user at a time. It goes with the thread's state, so that who reuses the one
//! reuses the other; while the thread runs, it lies in a word of its own without a destructor.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{OnceLock, PoisonError};

use crate::capture::limits::VALUE_NS;
use crate::capture::{Limits, Writer};
use crate::limits;
use crate::platform::clock::{ticks, ticks_from_ns};
use crate::platform::reentrancy::apart;
use crate::record::Word;
use crate::thread::local::{end_suppression, suppress};
use crate::thread::pool::{SUPPRESSED, ThreadState, with_arena};

/// A closure that writes values.
pub(crate) type Capture<'a> = &'a mut dyn FnMut(&mut Writer<'_>);

/// A thread's writer. What lies before its place are the values of the calls under way.
pub(crate) type Arena = &'static mut Writer<'static>;

/// Takes the thread's writer, if it has one already that is not lent.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn at_hand() -> Option<Arena> {
    with_arena(Cell::take)
}

/// Takes the thread's writer; none where it is lent already. It stands at the start of a word.
#[inline]
pub(crate) fn take(thread: &ThreadState) -> Option<Arena> {
    match at_hand() {
        Some(arena) => Some(arena),
        None => first(thread),
    }
}

/// Opens the thread's writer behind what lies there, for the values of one call.
#[inline]
pub(crate) fn open(thread: &ThreadState) -> Option<Arena> {
    let arena = take(thread)?;
    arena.open(limits::VALUES_BYTES_MAX);
    Some(arena)
}

/// Writes values that were captured before.
pub(crate) fn put(arena: &mut Writer<'_>, values: &[u8]) {
    arena.open(values.len());
    arena.put(values);
    arena.open(limits::VALUES_BYTES_MAX);
}

/// What lies in the memory from `start` on, the start of a word.
#[inline]
pub(crate) fn since<'a>(arena: &'a Writer<'_>, start: usize) -> &'a [Word] {
    written(arena, start).unwrap_or_default()
}

/// As [`since`]; none where nothing can have been written there.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn written<'a>(arena: &'a Writer<'_>, start: usize) -> Option<&'a [Word]> {
    Some(arena.memory().get(start..arena.len())?.as_chunks().0)
}

/// Gives the writer back; what was written stays.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn keep(arena: Arena) {
    with_arena(|place| place.set(Some(arena)));
}

/// Gives the writer back; what lies in it from `top` on is dropped.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn close(thread: &ThreadState, arena: Arena, top: usize) {
    thread.add_capture_panics(arena.close(top));
    keep(arena);
}

/// The writer of a thread that has none in hand: made on first use; none where it is lent, or where what it
/// interrupts asks for memory itself.
#[cold]
fn first(thread: &ThreadState) -> Option<Arena> {
    static BUDGET: OnceLock<Limits> = OnceLock::new();
    apart(|| {
        if thread.has_arena.swap(true, Ordering::Relaxed) {
            return None;
        }
        let budget = BUDGET.get_or_init(|| Limits {
            before_user_code: suppress,
            after_user_code: end_suppression,
            ..Limits::new(ticks, ticks_from_ns(VALUE_NS))
        });
        // Whatever lies in it, the values of one call more have room.
        let bytes = vec![0; limits::ARENA_BYTES + limits::VALUES_BYTES_MAX].leak();
        Some(Box::leak(Box::new(Writer::new(bytes, budget))) as Arena)
    })?
}

/// The calling thread's writer goes with the state that it gives back.
pub(crate) fn give_back(thread: &ThreadState) {
    if let Some(arena) = at_hand() {
        *thread.arena.lock().unwrap_or_else(PoisonError::into_inner) = Some(arena);
    }
}

/// The calling thread takes the writer that lies with the state it has taken. A thread of a forked
/// process has one in hand that was another state's.
pub(crate) fn take_over(thread: &ThreadState) {
    let left = thread.arena.lock().unwrap_or_else(PoisonError::into_inner).take();
    let arena = at_hand().or(left);
    thread.has_arena.store(arena.is_some(), Ordering::Relaxed);
    if let Some(arena) = arena {
        arena.close(0);
        keep(arena);
    }
}

/// A writer in the hands of code of the user's; monitored calls pass through until this is dropped. What
/// the code wrote is kept if it returned.
pub(crate) struct Lent {
    thread: &'static ThreadState,
    current: u64,
    top: usize,
    arena: Option<Arena>,
}

impl Lent {
    pub(crate) fn new(thread: &'static ThreadState, arena: Arena) -> Self {
        let current = thread.current.load(Ordering::Relaxed);
        thread.set_current(SUPPRESSED);
        Self { thread, current, top: arena.len(), arena: Some(arena) }
    }

    /// Has it written to.
    pub(crate) fn fill(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        if let Some(arena) = &mut self.arena {
            capture(arena);
            self.top = arena.len();
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.thread.set_current(self.current);
        if let Some(arena) = self.arena.take() {
            close(self.thread, arena, self.top);
        }
    }
}

/// The values that `capture` writes, behind `earlier` ones. Monitored calls within it pass through.
#[inline(never)]
pub(crate) fn collect(thread: &'static ThreadState, earlier: &[u8], capture: Capture<'_>) -> Box<[u8]> {
    let Some(arena) = open(thread) else { return earlier.into() };
    let start = arena.len();
    put(arena, earlier);
    Lent::new(thread, arena).fill(capture);
    let Some(arena) = open(thread) else { return earlier.into() };
    let all = since(arena, start).as_flattened().into();
    close(thread, arena, start);
    all
}
