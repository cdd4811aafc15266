//! The current call of a thread, as a value that can be carried to another thread or task, so that calls there have the
//! right parent.
//!
//! Takes the state of one thread; gives the same current call on another. The context that was current before is always
//! restored. The file does not know sites.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};

use super::decision::take_state;
use crate::thread::local::{self, Lease};
use crate::thread::state::{INTERLEAVED, NO_SPAN, SUPPRESSED, ThreadState, WRITING};

/// The call that was current on a thread: its span, its tree, and the tree's weight.
///
/// ```
/// use monitored::{Context, monitor};
///
/// #[monitor]
/// fn price(order: u32) -> u32 { order * 3 }
///
/// #[monitor]
/// fn quote() -> u32 {
///     let here = Context::current();
///     std::thread::scope(|scope| {
///         // Without the context, `price` would be the root of a tree of its own.
///         scope.spawn(move || here.scope(|| price(14))).join().unwrap_or_default()
///     })
/// }
/// assert_eq!(quote(), 42);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Context {
    pub(crate) span: u64,
    pub(crate) trace: u64,
    pub(crate) weight: f32,
}

impl Context {
    /// The context without a call: calls under it are roots.
    pub(crate) const NONE: Self = Self { span: NO_SPAN, trace: NO_SPAN, weight: 1.0 };

    /// Returns the context without a call: a call under it has no parent, and begins a tree of its own.
    ///
    /// A pool's thread that waits for one job may run another one meanwhile, and a `block_on` polls the tasks of
    /// others. Calls made by that other job or task would then be below the call that waits. With the root context
    /// around it, the job or task belongs to no call.
    ///
    /// ```
    /// use monitored::{Context, monitor};
    ///
    /// #[monitor]
    /// fn resize(image: u32) -> u32 { image / 2 }
    ///
    /// let job = || Context::root().scope(|| resize(84));
    /// assert_eq!(std::thread::spawn(job).join().unwrap_or_default(), 42);
    /// ```
    #[must_use]
    pub const fn root() -> Self {
        Self::NONE
    }

    /// Returns the context of the calling thread.
    #[must_use]
    pub fn current() -> Self {
        local::current().map_or(Self::NONE, |thread| {
            thread.keep_rows_under_way();
            Self::for_new_call(thread)
        })
    }

    /// Returns the context of a call that begins on this thread now.
    #[inline]
    pub(crate) fn for_new_call(thread: &ThreadState) -> Self {
        let here = Self::from_state(thread);
        if here.span == INTERLEAVED { Self::NONE } else { here }
    }

    #[inline]
    pub(crate) fn from_state(thread: &ThreadState) -> Self {
        let span = thread.current.load(Ordering::Relaxed);
        Self { span, trace: thread.trace.load(Ordering::Relaxed), weight: thread.weight() }
    }

    #[inline]
    pub(crate) fn enter(self, thread: &ThreadState) {
        thread.set_current(self.span);
        thread.trace.store(self.trace, Ordering::Relaxed);
        thread.set_weight(self.weight);
    }

    /// Calls `body` under this context: monitored functions called in it are callees of the call that
    /// was current where the context was taken.
    pub fn scope<R>(self, body: impl FnOnce() -> R) -> R {
        let _entered = Entered::new(self);
        body()
    }

    /// Puts a future under this context, wherever it is polled.
    pub fn instrument<F: Future>(self, future: F) -> WithContext<F> {
        WithContext { future, context: self }
    }
}

/// A context in force on this thread. Its drop restores the context that was current before.
#[derive(Debug)]
struct Entered {
    thread: Option<(&'static ThreadState, Lease)>,
    before: Context,
}

impl Entered {
    fn new(context: Context) -> Self {
        let thread = match local::current() {
            Some(thread) => Some((thread, Lease::Thread)),
            // No call is current on a thread that has not recorded, so it needs no state for this context.
            None if context.span == NO_SPAN => None,
            None => take_state(),
        };
        let before = thread.map_or(Context::NONE, |(thread, _)| Context::from_state(thread));
        match thread {
            // Nothing is recorded within a capture, or in a signal handler that interrupts the recorder, so the context
            // does not matter there.
            Some((thread, _)) if !matches!(before.span, SUPPRESSED | WRITING) => context.enter(thread),
            _ => {}
        }
        Self { thread, before }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some((thread, lease)) = self.thread {
            self.before.enter(thread);
            if lease == Lease::Call {
                local::release(thread);
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Context::instrument`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct WithContext<F> {
        #[pin]
        future: F,
        context: Context,
    }
}

impl<F: Future> Future for WithContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(*this.context);
        this.future.poll(task)
    }
}
