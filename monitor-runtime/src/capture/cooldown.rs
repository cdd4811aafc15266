//! The cooldown of types whose capture takes far too long.
//!
//! Takes the time that the capture of a type took; answers whether the type cools down, which means that it is not
//! captured. A budget can end code that writes, but neither a `Debug` that computes or sleeps without writing, nor one
//! that continues through ten million items. The cooldown of such a type is so long that its captures cost less than a
//! thousandth of the time. Two slow captures in a row start a cooldown, because one may only mean that the thread was
//! interrupted. The file does not know what a capture does.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A capture is slow if it takes this many times its budget: a millisecond.
const SLOW_BUDGETS: u64 = 10;
/// A cooldown lasts this many times as long as the capture took.
const COOLDOWN_FACTOR: u64 = 1000;

/// The cooldowns of this process, which all threads share. This is a cache: no result depends on it.
pub(super) static COOLDOWNS: Cooldowns = Cooldowns::new();

/// The most types that can cool down at the same time; a power of two. Two types that share a place replace each other.
const PLACES: usize = 64;

/// The types that were slow lately. All accesses are relaxed, because the worst effect of a race is a cooldown that
/// begins or ends early.
#[derive(Debug)]
pub struct Cooldowns {
    places: [Place; PLACES],
}

#[derive(Debug)]
struct Place {
    /// Address of the type's name; 0 for none.
    type_key: AtomicUsize,
    /// End of the cooldown, in ticks; 0 while the type was slow only once.
    until: AtomicU64,
}

impl Cooldowns {
    const fn new() -> Self {
        Self { places: [const { Place { type_key: AtomicUsize::new(0), until: AtomicU64::new(0) } }; PLACES] }
    }

    /// Returns true if a type cools down at this moment.
    #[inline]
    pub(super) fn includes(&self, type_name: &str, now: u64) -> bool {
        let place = self.place(type_name);
        place.type_key.load(Relaxed) == key(type_name) && now < place.until.load(Relaxed)
    }

    /// Notes the time that a capture took.
    #[inline]
    pub(super) fn note(&self, type_name: &str, took: u64, now: u64, budget: u64) {
        let is_slow = took > budget.saturating_mul(SLOW_BUDGETS);
        let place = self.place(type_name);
        if is_slow || place.type_key.load(Relaxed) == key(type_name) {
            place.judge(key(type_name), is_slow, now.saturating_add(took.saturating_mul(COOLDOWN_FACTOR)));
        }
    }

    fn place(&self, type_name: &str) -> &Place {
        // The names lie side by side in memory; the multiplication spreads their addresses over the high bits.
        let spread = (key(type_name) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let [.., high] = spread.to_le_bytes();
        &self.places[usize::from(high) % PLACES]
    }
}

fn key(type_name: &str) -> usize {
    type_name.as_ptr().addr()
}

impl Place {
    #[cold]
    fn judge(&self, key: usize, is_slow: bool, until: u64) {
        let is_again = self.type_key.load(Relaxed) == key;
        match (is_slow, is_again) {
            (true, true) => self.until.store(until, Relaxed),
            (true, false) => {
                self.until.store(0, Relaxed);
                self.type_key.store(key, Relaxed);
            }
            (false, _) => self.type_key.store(0, Relaxed),
        }
    }
}
