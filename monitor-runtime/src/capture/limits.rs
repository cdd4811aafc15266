//! The budget of a captured value: bytes, depth, items and time.
//!
//! Takes constants and a clock; gives [`Limits`], which a [`super::Writer`] borrows. The maker of a `Limits` chooses
//! the clock and the code to run before and after user code, so that a test can use its own. The file does not know
//! values.

use super::cooldown::{COOLDOWNS, Cooldowns};

/// Most bytes of a value's capture, and most bytes of its JSON text: long enough for a screenful, short
/// enough that a ring of 256 KiB keeps hundreds of calls.
pub const VALUE_BYTES: usize = 1024;
/// Longest time spent on one value: a tenth of a millisecond is noticed by nobody and serializes 1 KiB fifty times.
pub const VALUE_NS: u64 = 100_000;
/// Deepest nesting of containers: what a reader still takes in at a glance.
pub const DEPTH: u32 = 4;
/// Most items of a sequence that is stored item by item.
pub const ITEMS: usize = 1000;
/// Items kept of a longer sequence: enough to see what it holds.
pub const ITEMS_KEPT: usize = 3;
/// Most characters of a string.
pub const STRING_CHARS: usize = 256;
/// Most entries of a map or struct.
pub const ENTRIES: usize = 100;

/// Most steps through wrappers that add no nesting of their own (`Some`, newtypes): a recursive type made of
/// these alone would use up the stack without ever becoming deeper.
pub(super) const WRAPPERS: u32 = 64;
/// Most characters of the name of an error's type. Longer names have type arguments, and differ before them.
pub(super) const ERROR_TYPE_CHARS: usize = 120;
/// Most sources of an error that are followed, because a chain of sources may be a cycle.
pub(super) const SOURCES: u32 = 32;
/// Most dimensions of a [`super::Summary`].
pub(super) const DIMENSIONS: usize = 8;
/// Tokens written between two readings of the clock, because a reading costs as much as several tokens. A value of
/// fewer tokens never reads the clock.
pub(super) const STEPS_PER_LOOK: u32 = 16;
/// Most characters of a `Debug` that are read, including secrets and the ends of long strings, which are not stored.
pub(super) const SCANNED_CHARS: usize = 65_536;
/// Refused writes after which the sandbox leaves code that ignores refusals, by unwinding. The number is large, because
/// unwinding through a lock that the code holds poisons the lock: only code that would never end reaches it.
pub(super) const REFUSALS: u32 = 100_000;

/// The budget of each captured value.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of tokens.
    pub value_bytes: usize,
    /// Longest time, in ticks.
    pub value_ticks: u64,
    /// Returns the time in ticks.
    pub ticks: fn() -> u64,
    /// Deepest nesting of containers.
    pub depth: u32,
    /// Most items of a sequence that is stored completely.
    pub items: usize,
    /// Items kept of a longer sequence.
    pub items_kept: usize,
    /// Most characters of a string.
    pub string_chars: usize,
    /// Most entries of a map or struct.
    pub entries: usize,
    /// True if `Summarize`, `Serialize` and `Debug` may be called. It is false where a panic cannot be contained: then
    /// only primitives and strings are captured, and the texts of errors by `Display`, which exists for that purpose.
    pub user_code: bool,
    /// Runs before user code is called on this thread, and returns what `after_user_code` needs. The recorder lets
    /// monitored calls pass through in between.
    pub before_user_code: fn() -> Option<u64>,
    /// Runs after user code has ended, in whatever way.
    pub after_user_code: fn(Option<u64>),
    /// Types that cool down because their capture was slow.
    pub cooldowns: &'static Cooldowns,
}

impl Limits {
    /// Returns the default budget, whose time is read from `ticks`.
    #[must_use]
    pub const fn new(ticks: fn() -> u64, value_ticks: u64) -> Self {
        Self {
            value_bytes: VALUE_BYTES,
            value_ticks,
            ticks,
            depth: DEPTH,
            items: ITEMS,
            items_kept: ITEMS_KEPT,
            string_chars: STRING_CHARS,
            entries: ENTRIES,
            user_code: cfg!(panic = "unwind"),
            before_user_code: || None,
            after_user_code: |_| {},
            cooldowns: &COOLDOWNS,
        }
    }
}
