//! Types whose capture takes far too long are left alone for a while.
//!
//! Comes in: how long the capture of a type took. Goes out: whether it rests. A budget can end code that writes; it
//! cannot end a `Debug` that computes or sleeps without writing, nor one that walks on through ten million items.
//! Such a type rests so long that what it costs stays under a thousandth of the time. It takes two captures in a row
//! to be sure: a thread that was merely interrupted once is not the type's fault.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::limits::{REST_FACTOR, SLOW_BUDGETS};

/// The types of this process: what one thread has found out spares the others. It is a cache; nothing depends on it.
pub(super) static RESTS: Rests = Rests::new();

/// Types that may rest at once; a power of two. Two types that share a place replace each other.
const PLACES: usize = 64;

/// The types that were slow lately. All is relaxed: the worst that a race does is to begin or end a rest early.
#[derive(Debug)]
pub struct Rests {
    places: [Place; PLACES],
}

#[derive(Debug)]
struct Place {
    /// Address of the type's name; 0 for none.
    of: AtomicUsize,
    /// End of its rest, in ticks; 0 while it was slow only once.
    until: AtomicU64,
}

impl Rests {
    const fn new() -> Self {
        Self { places: [const { Place { of: AtomicUsize::new(0), until: AtomicU64::new(0) } }; PLACES] }
    }

    /// Whether a type rests at this moment.
    #[inline]
    pub(super) fn includes(&self, type_name: &str, now: u64) -> bool {
        let place = self.place(type_name);
        place.of.load(Relaxed) == key(type_name) && now < place.until.load(Relaxed)
    }

    /// Notes how long a capture took.
    #[inline]
    pub(super) fn note(&self, type_name: &str, took: u64, now: u64, budget: u64) {
        let is_slow = took > budget.saturating_mul(SLOW_BUDGETS);
        let place = self.place(type_name);
        if is_slow || place.of.load(Relaxed) == key(type_name) {
            place.judge(key(type_name), is_slow, now.saturating_add(took.saturating_mul(REST_FACTOR)));
        }
    }

    fn place(&self, type_name: &str) -> &Place {
        // Names lie side by side; the multiplication spreads their addresses over the high bits.
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
        let is_again = self.of.load(Relaxed) == key;
        match (is_slow, is_again) {
            (true, true) => self.until.store(until, Relaxed),
            (true, false) => {
                self.until.store(0, Relaxed);
                self.of.store(key, Relaxed);
            }
            (false, _) => self.of.store(0, Relaxed),
        }
    }
}
