//! Calls that were left while another call was current.
//!
//! Takes a call that is left out of order, with the context around it; gives this context when the end of a later call
//! makes the left call current again. A poll ends before the polls around it do, but an open call may be left out of
//! order: `enter a, enter b, leave a, leave b`. It then stays in the context that `b` restores, so each thread
//! remembers the last of such calls, and passes over them. The file does not know why a call was left.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::captured::is_recorders;
use super::context::Context;
use crate::record::NOT_KEPT;
use crate::thread::local;

/// The number of calls left out of order that a thread remembers.
const CALLS_MAX: usize = 8;

/// The calls that this thread left out of order last: the span of each, and the context around it.
struct OutOfOrder {
    calls: [Cell<(u64, Context)>; CALLS_MAX],
    count: Cell<usize>,
}

thread_local! {
    /// Const and without `Drop`: an access is one load, and it works in destructors of other thread-locals.
    static CALLS: OutOfOrder =
        const { OutOfOrder { calls: [const { Cell::new((0, Context::NONE)) }; CALLS_MAX], count: Cell::new(0) } };
}

/// Notes that the call of this span was left while another one was current, which may restore its context.
#[cold]
pub(super) fn note(span: u64, outer: Context) {
    CALLS.with(|out_of_order| {
        let count = out_of_order.count.get();
        out_of_order.calls[count % CALLS_MAX].set((span & !NOT_KEPT, outer));
        out_of_order.count.set(count + 1);
    });
}

/// Forgets the call of this span, because it is entered again.
#[inline]
pub(super) fn forget(span: u64) {
    if CALLS.with(|out_of_order| out_of_order.count.get()) > 0 {
        forget_one(span & !NOT_KEPT);
    }
}

#[cold]
#[inline(never)]
fn forget_one(span: u64) {
    CALLS.with(|out_of_order| {
        let is_it = |call: &&Cell<(u64, Context)>| call.get().0 == span;
        out_of_order.calls.iter().filter(is_it).for_each(|call| call.set((0, Context::NONE)));
    });
}

/// Passes over a current call that was left out of order: the one around it becomes current.
#[inline]
pub(super) fn settle() {
    // The closure is this small because the compiler then inlines it.
    if CALLS.with(|out_of_order| out_of_order.count.get()) > 0 {
        pass_over();
    }
}

#[cold]
#[inline(never)]
fn pass_over() {
    CALLS.with(OutOfOrder::pass_over);
}

impl OutOfOrder {
    fn pass_over(&self) {
        let Some(thread) = local::current().filter(|thread| !is_recorders(thread)) else { return };
        for _ in 0..CALLS_MAX {
            let span = thread.current.load(Ordering::Relaxed) & !NOT_KEPT;
            let Some(outer) = self.find_outer(span) else { return };
            outer.enter(thread);
        }
    }

    /// Returns the context around the call, if it was left out of order.
    fn find_outer(&self, span: u64) -> Option<Context> {
        self.calls.iter().map(Cell::get).find(|(left, _)| *left == span && span != 0).map(|(_, outer)| outer)
    }
}
