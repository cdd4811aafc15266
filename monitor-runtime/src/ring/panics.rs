//! The last panic of a thread, and the exit of the process, where another process can read them.
//!
//! Takes what the panic hook, the end of a thread and the exit handlers see; gives words of the ring's control page or
//! of the head page, and reads them back. The words state only what was seen: it is never seen that a panic was caught,
//! but it is seen that a panic reached the end of its thread. The owner of a page writes it with plain stores. The file
//! does not know why a process died.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::platform::clock::Ticks;
use crate::ring::layout::panic;

/// The stage that a panic has reached, as far as was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub(crate) enum Stage {
    /// The panic hook runs.
    InHook = 1,
    /// The hook has returned. The panic unwinds, or was caught.
    Unwinding = 2,
    /// The hook has returned, and the process aborts: the panic cannot unwind.
    Aborting = 3,
    /// The thread has ended, and no timed call began on it since the panic.
    ThreadEnded = 4,
}

impl Stage {
    fn from_number(number: u64) -> Option<Self> {
        [Self::InHook, Self::Unwinding, Self::Aborting, Self::ThreadEnded]
            .into_iter()
            .find(|stage| *stage as u64 == number)
    }
}

/// The bits of the word [`panic::STAGE`] that hold the stage.
const STAGE_MASK: u64 = 0xFF;
/// The bit that is set for the main thread.
const IS_MAIN: u64 = 1 << 8;

/// A panic that a hook has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panic {
    pub(crate) at: Ticks,
    pub(crate) stage: Stage,
    /// True for a panic of the main thread.
    pub(crate) is_main: bool,
    /// Id of the thread; 0 for a thread without a ring.
    pub(crate) thread: u32,
    /// Message and place.
    pub(crate) text: String,
}

/// Writes a panic whose hook begins to run. `span` is the thread's last span id.
pub(crate) fn note(words: &[AtomicU64], at: Ticks, (thread, span): (u32, u64), is_main: bool, text: &str) {
    let Some(words) = words.first_chunk::<{ panic::WORDS }>() else { return };
    // Readers skip a panic without its moment while the other words change.
    words[panic::AT].store(0, Ordering::Release);
    let flags = if is_main { IS_MAIN } else { 0 };
    words[panic::STAGE].store(Stage::InHook as u64 | flags, Ordering::Relaxed);
    words[panic::THREAD].store(thread.into(), Ordering::Relaxed);
    words[panic::SPAN].store(span, Ordering::Relaxed);
    let places = &words[panic::TEXT + 1..];
    let mut bytes = text.len().min(places.len() * 8);
    while !text.is_char_boundary(bytes) {
        bytes -= 1;
    }
    for (place, piece) in places.iter().zip(text.as_bytes()[..bytes].chunks(8)) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        place.store(u64::from_ne_bytes(word), Ordering::Relaxed);
    }
    words[panic::TEXT].store(bytes as u64, Ordering::Relaxed);
    words[panic::AT].store(at.max(1), Ordering::Release);
}

/// Notes that the hook has returned.
pub(crate) fn note_hook_returned(words: &[AtomicU64], can_unwind: bool) {
    advance(words, Stage::InHook, if can_unwind { Stage::Unwinding } else { Stage::Aborting });
}

/// Notes that the thread still unwinds. Destructors that run meanwhile may have made the calls with span ids up to this
/// one, so these calls do not show that the panic was caught.
pub(crate) fn note_unwinding(words: &[AtomicU64], thread: u32, span: u64) {
    if is_unwinding(words, thread) {
        words[panic::SPAN].store(span, Ordering::Relaxed);
    }
}

/// Notes the end of a thread, whose last span id is `span`. The panic has ended the thread if `span` is still the id
/// that was noted last: no call has begun since the unwinding.
pub(crate) fn note_thread_end(words: &[AtomicU64], thread: u32, span: u64) {
    if is_unwinding(words, thread) && words[panic::SPAN].load(Ordering::Relaxed) == span {
        advance(words, Stage::Unwinding, Stage::ThreadEnded);
    }
}

fn is_unwinding(words: &[AtomicU64], thread: u32) -> bool {
    let word = |at: usize| words.get(at).map_or(0, |word| word.load(Ordering::Relaxed));
    word(panic::STAGE) & STAGE_MASK == Stage::Unwinding as u64 && word(panic::THREAD) == u64::from(thread)
}

fn advance(words: &[AtomicU64], from: Stage, to: Stage) {
    let Some(word) = words.get(panic::STAGE) else { return };
    let stage = word.load(Ordering::Relaxed);
    if stage & STAGE_MASK == from as u64 {
        word.store(stage & !STAGE_MASK | to as u64, Ordering::Relaxed);
    }
}

/// Reads a panic from words that may be anything. Returns `None` if there is none.
pub(crate) fn read(words: &[u64]) -> Option<Panic> {
    let words = words.first_chunk::<{ panic::WORDS }>()?;
    let mut text: Vec<u8> = words[panic::TEXT + 1..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    text.truncate(usize::try_from(words[panic::TEXT]).unwrap_or(usize::MAX));
    Some(Panic {
        at: Some(words[panic::AT]).filter(|at| *at != 0)?,
        stage: Stage::from_number(words[panic::STAGE] & STAGE_MASK)?,
        is_main: words[panic::STAGE] & IS_MAIN != 0,
        thread: words[panic::THREAD] as u32,
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

/// Reads a panic of this process.
pub(crate) fn read_own(words: &[AtomicU64]) -> Option<Panic> {
    let words: Vec<u64> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    read(&words)
}

/// The exit of a process whose exit handlers have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit status, where the platform hands it to exit handlers.
    pub(crate) status: Option<i32>,
}

/// The bit that is set once the handlers have begun.
const EXITED: u64 = 1 << 63;
/// The bit that is set if the status is known.
const HAS_STATUS: u64 = 1 << 62;

impl Exit {
    /// Returns the word of the head page.
    pub(crate) fn to_word(self) -> u64 {
        EXITED | self.status.map_or(0, |status| HAS_STATUS | u64::from(status.cast_unsigned()))
    }

    /// Reads the word of the head page.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let status = (word & HAS_STATUS != 0).then_some((word as u32).cast_signed());
        (word & EXITED != 0).then_some(Self { status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> [AtomicU64; panic::WORDS] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    #[test]
    fn a_panic_is_read_as_it_was_seen_and_a_long_text_is_cut_at_a_character() {
        let words = words();
        assert_eq!(read_own(&words), None);
        note(&words, 7, (3, 100), true, &"é".repeat(1000));
        let seen = read_own(&words).unwrap_or_else(|| panic!("no panic"));
        assert_eq!((seen.at, seen.stage, seen.is_main, seen.thread), (7, Stage::InHook, true, 3));
        assert_eq!(seen.text, "é".repeat((panic::WORDS - panic::TEXT - 1) * 4));
        note_hook_returned(&words, true);
        note(&words, 9, (3, 101), false, "again");
        note_hook_returned(&words, false);
        let seen = read_own(&words).unwrap_or_else(|| panic!("no panic"));
        assert_eq!((seen.stage, seen.is_main, seen.text.as_str()), (Stage::Aborting, false, "again"));
    }

    #[test]
    fn a_thread_that_ends_after_further_calls_did_not_end_by_its_panic() {
        let stage_after = |span: u64, thread: u32, unwound_to: Option<u64>| {
            let words = words();
            note(&words, 7, (3, 100), false, "boom");
            note_hook_returned(&words, true);
            if let Some(span) = unwound_to {
                note_unwinding(&words, 3, span);
            }
            note_thread_end(&words, thread, span);
            read_own(&words).map(|panic| panic.stage)
        };
        assert_eq!(stage_after(100, 3, None), Some(Stage::ThreadEnded));
        assert_eq!(stage_after(101, 3, None), Some(Stage::Unwinding));
        // Calls of destructors ran while the thread unwound.
        assert_eq!(stage_after(104, 3, Some(104)), Some(Stage::ThreadEnded));
        // The ring has another owner by now.
        assert_eq!(stage_after(100, 4, None), Some(Stage::Unwinding));
    }

    #[test]
    fn an_exit_is_told_with_its_status_where_that_is_known() {
        assert_eq!(Exit::from_word(0), None);
        for status in [None, Some(0), Some(101), Some(-1)] {
            assert_eq!(Exit::from_word(Exit { status }.to_word()), Some(Exit { status }));
        }
    }
}
