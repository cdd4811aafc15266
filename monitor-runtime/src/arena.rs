//! A thread's scratch memory for captured values: a stack of bytes that grows with the nesting of
//! calls. In: a closure that writes values. Out: their bytes, kept until the call that captured them
//! ends and moves them into its record. While user code runs here, monitored calls pass through.

use std::cell::RefCell;

use crate::capture::limits::VALUE_NS;
use crate::capture::{Limits, Writer};
use crate::clock::{ticks, ticks_from_ns};
use crate::config::limits;
use crate::thread_rings::{SUPPRESSED, ThreadState};

struct Arena {
    bytes: Vec<u8>,
    top: usize,
    budget: Limits,
}

thread_local! {
    static ARENA: RefCell<Arena> =
        const { RefCell::new(Arena { bytes: Vec::new(), top: 0, budget: Limits::new(ticks, 0) }) };
}

impl Arena {
    /// Takes the memory, on first use.
    fn prepare(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = vec![0; limits::ARENA_BYTES];
            self.budget.value_ticks = ticks_from_ns(VALUE_NS);
        }
    }
}

/// Makes monitored calls on this thread pass through until it is dropped.
struct Suppress<'a>(&'a ThreadState, u64);

impl<'a> Suppress<'a> {
    fn new(thread: &'a ThreadState) -> Self {
        let current = thread.current.load(std::sync::atomic::Ordering::Relaxed);
        thread.set_current(SUPPRESSED);
        Self(thread, current)
    }
}

impl Drop for Suppress<'_> {
    fn drop(&mut self) {
        self.0.set_current(self.1);
    }
}

/// Where a call's values begin.
pub(crate) fn top() -> usize {
    ARENA.try_with(|arena| arena.try_borrow().map_or(0, |arena| arena.top)).unwrap_or(0)
}

/// Captures values behind those already there; returns how many bytes they took. Nothing where the
/// thread's arena is gone (the thread is ending) or in use.
#[inline(never)]
pub(crate) fn capture(thread: &ThreadState, fill: &mut dyn FnMut(&mut Writer<'_>)) -> u16 {
    let captured = ARENA.try_with(|arena| {
        let Ok(mut arena) = arena.try_borrow_mut() else { return 0 };
        arena.prepare();
        let _suppress = Suppress::new(thread);
        let start = arena.top;
        let end = arena.bytes.len().min(start + limits::VALUES_BYTES_MAX);
        let Arena { bytes, budget, .. } = &mut *arena;
        let mut writer = Writer::new(&mut bytes[start..end], budget);
        fill(&mut writer);
        let used = writer.finish();
        arena.top = start + used;
        used
    });
    u16::try_from(captured.unwrap_or(0)).unwrap_or(0)
}

/// Puts bytes captured earlier behind those already there.
pub(crate) fn restore(bytes: &[u8]) -> bool {
    let restored = ARENA.try_with(|arena| {
        let Ok(mut arena) = arena.try_borrow_mut() else { return false };
        arena.prepare();
        let start = arena.top;
        let Some(room) = arena.bytes.get_mut(start..start + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        arena.top = start + bytes.len();
        true
    });
    restored.unwrap_or(false)
}

/// Hands over all bytes from `start` on, and drops them.
pub(crate) fn take<R>(start: usize, with: impl FnOnce(&[u8]) -> R) -> R {
    let mut with = Some(with);
    let taken = ARENA.try_with(|arena| {
        let mut arena = arena.try_borrow_mut().ok()?;
        let top = arena.top.max(start);
        let result = with.take()?(arena.bytes.get(start..top).unwrap_or_default());
        arena.top = start;
        Some(result)
    });
    match (taken, with) {
        (Ok(Some(result)), _) => result,
        (_, Some(with)) => with(&[]),
        // `with` is taken only where its result is returned.
        (_, None) => unreachable!("the values of a call are handed over once"),
    }
}
