//! What the runtime's `crate::sync` is here: loom's atomics, which can be told to weaken one half of
//! every release-acquire pair. A model that then still passes would prove nothing.

use std::cell::Cell;

pub(crate) use loom::sync::atomic::Ordering;

/// Which orderings are taken for relaxed.
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
    /// Loom runs all threads of a model on the thread that started it.
    static WEAKENED: Cell<Weakened> = const { Cell::new(Weakened::Nothing) };
}

/// Runs a model with orderings weakened.
pub(crate) fn weakened<R>(what: Weakened, model: impl FnOnce() -> R) -> R {
    WEAKENED.set(what);
    let result = model();
    WEAKENED.set(Weakened::Nothing);
    result
}

fn in_force(ordering: Ordering) -> Ordering {
    match (WEAKENED.get(), ordering) {
        (Weakened::Releases, Ordering::Release) | (Weakened::Acquires, Ordering::Acquire) => {
            Ordering::Relaxed
        }
        _ => ordering,
    }
}

/// Memory that a thread may touch only after whoever touched it before has handed it over. Loom's loads
/// never see a store that is yet to come, as the machine's may: that such a load is ordered before the
/// store shows here.
#[derive(Debug, Default)]
struct Owned(Option<loom::cell::UnsafeCell<()>>);

#[allow(unsafe_code, reason = "it is there to be shared, so that sharing it shows")]
// SAFETY: the cell holds nothing; loom looks at who may have accessed it and when.
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

/// The part of an atomic integer's interface that the runtime uses.
macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(loom::sync::atomic::$name, Owned);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value), Owned(None))
            }
            /// One that counts as plain memory: no two threads may touch it without an order between them.
            pub(crate) fn plain(value: $value) -> Self {
                let owned = Owned(Some(loom::cell::UnsafeCell::new(())));
                Self(loom::sync::atomic::$name::new(value), owned)
            }
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                self.1.read();
                self.0.load(in_force(ordering))
            }
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                self.1.write();
                self.0.store(value, in_force(ordering));
            }
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.0.swap(value, in_force(ordering))
            }
            pub(crate) fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_add(value, in_force(ordering))
            }
            pub(crate) fn fetch_max(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_max(value, in_force(ordering))
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
