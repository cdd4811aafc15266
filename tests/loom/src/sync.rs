//! Stands in for the runtime's `crate::sync`: loom's atomics, which can weaken one half of every release-acquire pair.
//! A model that still passes with weakened orderings would prove nothing.

use std::cell::Cell;

pub(crate) use loom::sync::atomic::Ordering;

/// The orderings that are taken for relaxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakened {
    /// None: the code as it is.
    Nothing,
    /// Stores that release.
    Releases,
    /// Loads that acquire.
    Acquires,
}

thread_local! {
    /// The orderings weakened now. Loom runs all threads of a model on the thread that started it.
    static WEAKENED: Cell<Weakened> = const { Cell::new(Weakened::Nothing) };
}

/// Runs a model with orderings weakened.
pub(crate) fn with_weakened<R>(weakened: Weakened, model: impl FnOnce() -> R) -> R {
    WEAKENED.set(weakened);
    let result = model();
    WEAKENED.set(Weakened::Nothing);
    result
}

fn effective(ordering: Ordering) -> Ordering {
    match (WEAKENED.get(), ordering) {
        (Weakened::Releases, Ordering::Release) | (Weakened::Acquires, Ordering::Acquire) => {
            Ordering::Relaxed
        }
        (Weakened::Releases, Ordering::AcqRel) => Ordering::Acquire,
        (Weakened::Acquires, Ordering::AcqRel) => Ordering::Release,
        _ => ordering,
    }
}

/// Memory that a thread may touch only after its previous user has handed it over. Loom's loads never see a later
/// store, as those of a machine may; so a load that must be ordered before a store is checked here.
#[derive(Debug, Default)]
struct Owned(Option<loom::cell::UnsafeCell<()>>);

#[allow(unsafe_code, reason = "the threads of a model share it, so that loom sees how they do")]
// SAFETY: the cell holds nothing; loom checks which thread accesses it and when.
unsafe impl Sync for Owned {}

impl Owned {
    fn read(&self) {
        if let Some(cell) = &self.0 {
            cell.with(|_| ());
        }
    }

    fn write(&self) {
        if let Some(cell) = &self.0 {
            cell.with_mut(|_| ());
        }
    }
}

/// Defines the part of an atomic integer's interface that the runtime uses.
macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(loom::sync::atomic::$name, Owned);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value), Owned(None))
            }
            /// Makes an atomic that counts as plain memory: no two threads may touch it without an order between them.
            pub(crate) fn plain(value: $value) -> Self {
                let owned = Owned(Some(loom::cell::UnsafeCell::new(())));
                Self(loom::sync::atomic::$name::new(value), owned)
            }
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                self.1.read();
                self.0.load(effective(ordering))
            }
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                self.1.write();
                self.0.store(value, effective(ordering));
            }
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.0.swap(value, effective(ordering))
            }
            pub(crate) fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_add(value, effective(ordering))
            }
            pub(crate) fn fetch_and(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_and(value, effective(ordering))
            }
            pub(crate) fn compare_exchange(
                &self,
                expected: $value,
                value: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(expected, value, effective(success), effective(failure))
            }
            pub(crate) fn fetch_max(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_max(value, effective(ordering))
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
