//! A mark that no child of a fork inherits.
//!
//! A program can fork past the C library (`_Fork`, `clone`, the system call itself), and then no handler of fork runs
//! in the child, whose threads would go on in the parent's rings. The mark lies in a page that the kernel empties in
//! the child of every fork. Takes a function to run in a child; runs it on the first thread that finds the mark
//! missing. Where the kernel cannot empty a page, only [`notice_by_pid`] recognizes a child, by comparing pids.
#![allow(unsafe_code, reason = "calls into the C library")]

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// A word that lies alone in its pages, whatever the size of a page on the architecture.
#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Page(AtomicU32);

/// The mark. It is zero if nothing was prepared yet, and in a child of a fork.
static MARK: Page = Page(AtomicU32::new(0));
/// The pid of the process that has prepared for forks; 0 before any has.
static PREPARED: AtomicU32 = AtomicU32::new(0);
/// True if the kernel empties the page in a child.
static IS_EMPTIED: AtomicBool = AtomicBool::new(false);
/// The function to run in a child: a `fn()`, or null. It is an atomic, because a child could find a lock taken.
static IN_CHILD: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Returns false if nothing was prepared yet, or in a child of a fork. The answer costs one load.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_marked() -> bool {
    MARK.0.load(Ordering::Relaxed) != 0
}

/// Prepares for forks: from now on the first thread that notices one runs `in_child` in the child. It may be called again,
/// and by several threads at once.
pub(crate) fn prepare(in_child: fn()) {
    IN_CHILD.store(in_child as *mut (), Ordering::SeqCst);
    if PREPARED.load(Ordering::SeqCst) == 0 {
        // The page is set up before the first mark alone, so that another thread's mark is never emptied.
        IS_EMPTIED.store(empty_in_children(), Ordering::SeqCst);
    }
    note_process();
    MARK.0.store(1, Ordering::SeqCst);
}

/// Notes the pid of this process as the one that has prepared. The handler of a fork calls it in the child, so that
/// [`notice`] does not run the function of [`prepare`] there once more.
pub(crate) fn note_process() {
    PREPARED.store(std::process::id(), Ordering::SeqCst);
}

/// Handles a missing mark: in a child of the process that has prepared, runs the function of [`prepare`]; then sets the
/// mark again. Does nothing if no process has prepared.
#[cold]
#[inline(never)]
pub(crate) fn notice() {
    let prepared = PREPARED.load(Ordering::SeqCst);
    if prepared == 0 {
        return;
    }
    if prepared != std::process::id() {
        note_process();
        let in_child = IN_CHILD.load(Ordering::SeqCst);
        // SAFETY: null is no function, and anything else was a `fn()` in `prepare`.
        if let Some(in_child) = unsafe { std::mem::transmute::<*mut (), Option<fn()>>(in_child) } {
            in_child();
        }
    }
    MARK.0.store(1, Ordering::SeqCst);
}

/// Does what [`notice`] does, also where the kernel does not empty the page of the mark. For callers that have the time
/// for a system call.
pub(crate) fn notice_by_pid() {
    if !is_marked() || !IS_EMPTIED.load(Ordering::Relaxed) {
        notice();
    }
}

fn empty_in_children() -> bool {
    #[cfg(target_os = "linux")]
    {
        let page = std::ptr::from_ref(&MARK).cast_mut();
        // SAFETY: the pages are those of a static that holds one atomic word, of which zero is a value. It is zero now, so
        // it lies in anonymous memory.
        unsafe { libc::madvise(page.cast(), size_of::<Page>(), libc::MADV_WIPEONFORK) == 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    // QEMU's user mode, in which other architectures are tested, says that it empties the page, and does not.
    #[cfg_attr(not(target_arch = "x86_64"), ignore = "an emulator may not empty the page")]
    #[test]
    fn the_kernel_empties_the_page_in_the_child_of_a_fork() {
        prepare(|| ());
        assert!(is_marked() && IS_EMPTIED.load(Ordering::Relaxed));
        // SAFETY: the child reads one word and ends.
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(is_marked())) };
        }
        let mut status = -1;
        // SAFETY: `status` is valid for writing.
        unsafe { libc::waitpid(i32::try_from(child).unwrap(), &raw mut status, 0) };
        assert_eq!(status, 0);
        assert!(is_marked());
    }
}
