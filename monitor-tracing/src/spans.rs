//! The spans that are open, by their ids.
//!
//! Takes spans as they begin; gives access to their calls when they are entered, left or closed, on any thread. An id
//! of the registry contains the thread on which the span began, and a number among the spans of that thread. So each
//! span has a place of its own, which only that thread fills: the common path takes no lock and changes no word that
//! threads share. A span whose place is taken, or whose id was made by another registry, is kept in a map behind a
//! lock. The extensions of the registry, which exist for a layer's data, would allocate memory for each span and need
//! two locks for each access. The file does not know what happens to a span.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use monitor_runtime::bridge::{Open, lock_unless_lost};
use tracing_core::span::Id;

/// The lowest bit of a registry's id that belongs to the thread; the bits below it are the span's place among the spans
/// of the thread.
const THREAD_SHIFT: u32 = 38;
/// The number of threads whose spans have places. Further threads share these places, which a living thread fills
/// already, so most of their spans are kept in the map.
const THREADS: usize = 1024;
/// The places of a thread: chunks of 6 KiB. The first one is made with the thread's first span, the others as they are
/// needed.
const CHUNKS: usize = 64;
const CHUNK: usize = 16;
/// The most functions that are kept of the spans from which one span follows.
const FOLLOWS_MAX: usize = 8;

/// The spans of one layer that are open.
#[derive(Debug)]
pub(crate) struct Spans {
    threads: Box<[OnceLock<Box<Places>>; THREADS]>,
    /// The spans that have no place among those of their thread. `others_count` is their number, which is read without
    /// the lock.
    others: Mutex<HashMap<u64, Arc<Open>, BuildHasherDefault<IdHasher>>>,
    others_count: AtomicUsize,
    /// The functions of the spans that a span follows from, by the span's id. `follows_count` is the number of entries.
    follows: Mutex<HashMap<u64, Vec<String>>>,
    follows_count: AtomicUsize,
}

/// The places of the spans that begin on one thread.
#[derive(Debug)]
struct Places {
    /// The token of the thread that fills the places; 0 for none yet.
    owner: AtomicU64,
    /// A reference to a value of the owning thread that is dropped when the thread ends.
    life: Mutex<Weak<()>>,
    /// The first places. They lie here because most threads have few open spans at a time, whose places are then found
    /// with one step less.
    first: [Place; CHUNK],
    others: [OnceLock<Box<[Place; CHUNK]>>; CHUNKS - 1],
}

/// The place of a span.
#[derive(Debug)]
struct Place {
    /// The id of the span at this place; 0 for none. The owner of the place sets it, and the thread that closes the
    /// span clears it.
    id: AtomicU64,
    open: Open,
}

impl Place {
    const fn vacant() -> Self {
        Self { id: AtomicU64::new(0), open: Open::vacant() }
    }
}

thread_local! {
    /// The number of the calling thread, once it has one. Const and without `Drop`: an access is one load.
    static TOKEN: Cell<u64> = const { Cell::new(0) };
    /// A value that is dropped with the thread. Then another thread can take over the places.
    static LIFE: Arc<()> = Arc::default();
}

/// Returns a number that no other thread has or had.
#[inline]
fn token() -> u64 {
    match TOKEN.get() {
        0 => make_token(),
        token => token,
    }
}

#[cold]
fn make_token() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    TOKEN.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    TOKEN.get()
}

impl Default for Places {
    fn default() -> Self {
        let (first, others) = ([const { Place::vacant() }; CHUNK], [const { OnceLock::new() }; CHUNKS - 1]);
        Self { owner: AtomicU64::new(0), life: Mutex::default(), first, others }
    }
}

impl Places {
    /// Returns true if the calling thread fills these places.
    #[inline]
    fn is_owned(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == token() || self.is_taken_over()
    }

    /// Takes over places that no living thread fills. Returns false if a living thread fills them, or if the calling
    /// thread is ending.
    #[cold]
    fn is_taken_over(&self) -> bool {
        let Some(mut life) = lock_unless_lost(&self.life) else { return false };
        let Ok(own) = LIFE.try_with(Arc::downgrade) else { return false };
        let is_free = life.upgrade().is_none();
        if is_free {
            *life = own;
            self.owner.store(token(), Ordering::Relaxed);
        }
        is_free
    }

    /// Returns a place that exists already.
    #[inline]
    fn get(&self, place: usize) -> Option<&Place> {
        match self.first.get(place) {
            Some(place) => Some(place),
            None => Some(&self.others.get(place / CHUNK - 1)?.get()?[place % CHUNK]),
        }
    }

    /// Returns a place, made on first use; `None` for a place beyond the bound.
    #[inline]
    fn get_or_make(&self, place: usize) -> Option<&Place> {
        self.get(place).or_else(|| self.make(place))
    }

    #[cold]
    fn make(&self, place: usize) -> Option<&Place> {
        let chunk = self.others.get((place / CHUNK).checked_sub(1)?)?;
        let made = chunk.get_or_init(|| Box::new([const { Place::vacant() }; CHUNK]));
        Some(&made[place % CHUNK])
    }
}

/// Makes a place for a span that has none among those of its thread. This is a function of its own because the place
/// lies in its stack frame first.
#[cold]
#[inline(never)]
fn make_elsewhere() -> Arc<Open> {
    Arc::new(Open::vacant())
}

/// Returns the thread and the place that an id contains.
#[inline]
fn parts(id: u64) -> (usize, usize) {
    let thread = (id >> THREAD_SHIFT) as usize % THREADS;
    (thread, (id & ((1 << THREAD_SHIFT) - 1)) as usize)
}

impl Spans {
    pub(crate) fn new() -> Self {
        Self {
            threads: Box::new([const { OnceLock::new() }; THREADS]),
            others: Mutex::default(),
            others_count: AtomicUsize::new(0),
            follows: Mutex::default(),
            follows_count: AtomicUsize::new(0),
        }
    }

    /// Begins a span: `begin` begins its call at a place, and returns false if the span is not recorded.
    #[inline]
    pub(crate) fn insert(&self, id: &Id, begin: impl FnOnce(&Open) -> bool) {
        let id = id.into_u64();
        let place = self.vacant_place(id);
        let other = if place.is_none() { Some(make_elsewhere()) } else { None };
        let is_recorded = place.map(|place| &place.open).or(other.as_deref()).is_some_and(begin);
        match (place, other) {
            // Publishes the call to other threads.
            (Some(place), _) if is_recorded => place.id.store(id, Ordering::Release),
            (None, Some(open)) if is_recorded => self.keep_elsewhere(id, open),
            _ => {}
        }
    }

    /// Returns the place of a span that begins; `None` if the place is taken, or belongs to another thread.
    #[inline]
    fn vacant_place(&self, id: u64) -> Option<&Place> {
        let (thread, place) = parts(id);
        let places = self.threads[thread].get_or_init(Box::default);
        let place = if places.is_owned() { places.get_or_make(place) } else { None };
        // Observes that the last span at this place has ended.
        place.filter(|place| place.id.load(Ordering::Acquire) == 0)
    }

    #[cold]
    fn keep_elsewhere(&self, id: u64, open: Arc<Open>) {
        let Some(mut others) = lock_unless_lost(&self.others) else { return };
        let replaced = others.insert(id, open);
        self.others_count.store(others.len(), Ordering::Relaxed);
        drop(others);
        // An id is not given out twice at a time. If it were, the earlier span would end as cancelled here, outside of
        // the lock.
        drop(replaced);
    }

    /// Returns the place of a span, which its id contains; `None` if the span is not there.
    #[inline]
    fn place(&self, id: u64) -> Option<&Place> {
        let (thread, place) = parts(id);
        // Observes the call, which is published with its id.
        self.threads[thread].get()?.get(place).filter(|place| place.id.load(Ordering::Acquire) == id)
    }

    /// Runs a closure on the call of an open span. Returns `None` if the span is not recorded.
    #[inline]
    pub(crate) fn access<R>(&self, id: &Id, run: impl FnOnce(&Open) -> R) -> Option<R> {
        let other;
        // There is one call of the closure, because the compiler then inlines it.
        let open = match self.place(id.into_u64()) {
            Some(place) => &place.open,
            None if self.others_count.load(Ordering::Relaxed) == 0 => return None,
            None => {
                other = self.find_elsewhere(id.into_u64())?;
                &*other
            }
        };
        Some(run(open))
    }

    #[cold]
    fn find_elsewhere(&self, id: u64) -> Option<Arc<Open>> {
        lock_unless_lost(&self.others)?.get(&id).cloned()
    }

    /// Ends a span that is closed.
    #[inline]
    pub(crate) fn close(&self, id: &Id) {
        let id = id.into_u64();
        if let Some(place) = self.place(id) {
            place.open.end();
            // Publishes that the place is vacant.
            place.id.store(0, Ordering::Release);
        } else if self.others_count.load(Ordering::Relaxed) > 0 {
            self.close_elsewhere(id);
        }
        if self.follows_count.load(Ordering::Relaxed) > 0 {
            self.forget_follows(id);
        }
    }

    #[cold]
    fn close_elsewhere(&self, id: u64) {
        let Some(mut others) = lock_unless_lost(&self.others) else { return };
        let open = others.remove(&id);
        self.others_count.store(others.len(), Ordering::Relaxed);
        drop(others);
        if let Some(open) = open {
            open.end();
        }
    }

    /// Notes that a span follows from a span of this function. Returns the functions of all such spans if this one is
    /// new and the list was not full.
    pub(crate) fn add_follows(&self, id: &Id, function: String) -> Option<Vec<String>> {
        let mut follows = lock_unless_lost(&self.follows)?;
        let functions = follows.entry(id.into_u64()).or_default();
        let is_new = functions.len() < FOLLOWS_MAX && !functions.contains(&function);
        let all = is_new.then(|| {
            functions.push(function);
            functions.clone()
        });
        self.follows_count.store(follows.len(), Ordering::Relaxed);
        all
    }

    #[cold]
    fn forget_follows(&self, id: u64) {
        if let Some(mut follows) = lock_unless_lost(&self.follows) {
            follows.remove(&id);
            self.follows_count.store(follows.len(), Ordering::Relaxed);
        }
    }
}

/// Spreads the numbers of spans by one multiplication, because ids cannot be chosen by an attacker.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the id of the registry for a span of a thread.
    fn id(thread: u64, place: u64) -> Id {
        Id::from_u64(thread << THREAD_SHIFT | place)
    }

    #[test]
    fn a_place_is_filled_by_one_living_thread_at_a_time() {
        let places = Places::default();
        assert!(places.is_owned() && places.is_owned());
        std::thread::scope(|scope| {
            assert!(scope.spawn(|| !places.is_owned()).join().is_ok_and(|is_foreign| is_foreign));
        });
        let ended = Places::default();
        std::thread::scope(|scope| {
            assert!(scope.spawn(|| ended.is_owned()).join().is_ok_and(|is_owned| is_owned));
        });
        // The thread-locals of a scope's thread may end after the scope.
        while !ended.is_owned() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_span_whose_place_is_taken_lies_in_the_map_and_none_is_mixed_up_with_another() {
        let spans = Spans::new();
        let far = (CHUNKS * CHUNK) as u64 + 5;
        // The last id differs from the first in the generation alone, which belongs neither to the thread nor to the
        // place.
        let ids = [id(1, 3), id(1, 4), id(1, far), id(1 + THREADS as u64, 3)];
        for id in &ids {
            assert_eq!(spans.access(id, |_| ()), None);
            spans.insert(id, |_| true);
        }
        let places: Vec<_> =
            ids.iter().map(|id| spans.access(id, |open| std::ptr::from_ref(open).addr())).collect();
        assert!(places.iter().all(Option::is_some));
        assert_eq!(places.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        assert_eq!(spans.others_count.load(Ordering::Relaxed), 2);
        for id in &ids {
            spans.close(id);
            assert_eq!(spans.access(id, |_| ()), None);
        }
        assert_eq!(spans.others_count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_lock_that_a_fork_left_behind_does_not_stop_the_child() {
        let spans = Spans::new();
        let far = id(1, u64::from(u32::MAX));
        spans.insert(&far, |_| true);
        std::thread::scope(|scope| {
            // This thread keeps the lock of the map, as happens in the child of a fork whose parent held the lock.
            let locked = lock_unless_lost(&spans.others);
            assert!(locked.is_some());
            assert!(scope.spawn(|| spans.access(&far, |_| ()).is_none()).join().is_ok_and(|is_none| is_none));
        });
        assert!(spans.access(&far, |_| ()).is_some());
    }
}
