//! An allocator that makes a monitored call at every allocation once it is switched on: on the program's threads and
//! on the recorder's own, in the middle of whatever they do.
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Calling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        call_monitored(layout.size());
        // SAFETY: the caller keeps this method's contract, which is the contract of the system allocator's method as
        // well.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        call_monitored(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        call_monitored(bytes);
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
