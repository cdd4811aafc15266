//! An allocator that makes a monitored call at every allocation once it is switched on: on the program's threads and
//! on the recorder's own, in the middle of whatever they do. Told so, it also refuses allocations of the recorder's thread.
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use monitored::monitor;

struct Calling;

#[global_allocator]
static ALLOCATOR: Calling = Calling;

static IS_ON: AtomicBool = AtomicBool::new(false);
static MADE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// The deepest nesting of calls made by the allocator itself. Without a bound the nesting would not end.
const DEPTH_MAX: u32 = 3;

#[monitor]
fn allocated(bytes: usize) -> usize {
    black_box(bytes) + 1
}

fn call_monitored(bytes: usize) {
    let depth = DEPTH.get();
    if !IS_ON.load(Ordering::Relaxed) || depth == DEPTH_MAX {
        return;
    }
    DEPTH.set(depth + 1);
    if allocated(bytes) == bytes + 1 {
        MADE.fetch_add(1, Ordering::Relaxed);
    }
    DEPTH.set(depth);
}

/// The size, in bytes, from which allocations of the recorder's thread are counted.
static REFUSED_FROM: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The number of the first such allocation that is refused, and of the first behind it that is not.
static FIRST_REFUSED: AtomicU64 = AtomicU64::new(0);
static NEXT_GRANTED: AtomicU64 = AtomicU64::new(0);
static COUNTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// The milliseconds after the first refusal, after which every allocation is granted.
static GRANTED_AFTER: AtomicU64 = AtomicU64::new(u64::MAX);
/// The moment of the first refusal, in milliseconds of the system's clock.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// Refuses allocations of the recorder's thread as `VICTIM_REFUSES` says: the bytes from which an allocation counts, the number
/// of the first that is refused, how many are, and the milliseconds after which there is memory again.
pub(crate) fn refuse_allocations() {
    let told = std::env::var("VICTIM_REFUSES").unwrap_or_default();
    let numbers: Vec<u64> = told.split(':').filter_map(|number| number.parse().ok()).collect();
    if let [bytes, first, times, lasts_ms] = numbers[..] {
        FIRST_REFUSED.store(first, Ordering::Relaxed);
        NEXT_GRANTED.store(first.saturating_add(times), Ordering::Relaxed);
        GRANTED_AFTER.store(lasts_ms, Ordering::Relaxed);
        REFUSED_FROM.store(usize::try_from(bytes).unwrap_or(usize::MAX), Ordering::Relaxed);
    }
}

/// Returns true if every allocation of the recorder's is refused from some moment on.
pub(crate) fn refuses_for_good() -> bool {
    [&NEXT_GRANTED, &GRANTED_AFTER].iter().all(|bound| bound.load(Ordering::Relaxed) == u64::MAX)
}

/// Returns true if there is memory again, because the first refusal was long enough ago.
fn is_over() -> bool {
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
    match BEGAN.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => false,
        Err(began) => now.saturating_sub(began) >= GRANTED_AFTER.load(Ordering::Relaxed),
    }
}

/// Returns the number of allocations that were refused.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

fn is_refused(bytes: usize) -> bool {
    if bytes < REFUSED_FROM.load(Ordering::Relaxed) || !is_recorder() {
        return false;
    }
    let number = COUNTED.fetch_add(1, Ordering::Relaxed) + 1;
    let (first, next) = (FIRST_REFUSED.load(Ordering::Relaxed), NEXT_GRANTED.load(Ordering::Relaxed));
    let is_refused = (first..next).contains(&number) && !is_over();
    REFUSED.fetch_add(u64::from(is_refused), Ordering::Relaxed);
    is_refused
}

/// Returns true on the recorder's thread. The operating system is asked for the name, because that takes no memory.
fn is_recorder() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes to the buffer, which has as many.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name.starts_with(b"monitored\0")
}

// SAFETY: every request goes to the system's allocator unchanged, or is refused, which the contract allows.
unsafe impl GlobalAlloc for Calling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        call_monitored(layout.size());
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps this method's contract, which is the contract of the system allocator's method as
        // well.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        call_monitored(layout.size());
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        call_monitored(bytes);
        if is_refused(bytes) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[monitor]
fn words(number: u64) -> Vec<String> {
    (0..number % 7).map(|at| format!("word {at} of {number}")).collect()
}

/// Makes this many allocating calls on each of two threads, from the first moment on.
pub(crate) fn allocator(number: u64) {
    IS_ON.store(true, Ordering::Relaxed);
    let work = move || (0..number).map(|at| words(at).iter().map(String::len).sum::<usize>()).sum::<usize>();
    let threads = [(); 2].map(|()| std::thread::spawn(work));
    let sum: usize = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
    // The flush makes the recorder allocate for all of these calls while the allocator still makes its own.
    let _ = monitored::flush(super::IN_TIME);
    IS_ON.store(false, Ordering::Relaxed);
    println!("{sum} {}", MADE.load(Ordering::Relaxed) > number);
}
