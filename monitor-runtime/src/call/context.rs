//! The current call of this thread, as a value that can be carried to another thread or task, so
//! that what is called there has the right parent.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};

use crate::thread::local::{self, Lease};
use crate::thread::pool;
use crate::thread::state::{NO_SPAN, SUPPRESSED, ThreadState};

/// The call that is current somewhere: its span, its tree, and whether the tree was drawn.
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
    /// No call at all: what is called under it is a root.
    pub(crate) const NONE: Self = Self { span: NO_SPAN, trace: NO_SPAN, weight: 1.0 };

    /// The context of the calling thread.
    #[must_use]
    pub fn current() -> Self {
        local::current().map_or(Self::NONE, Self::of)
    }

    #[inline]
    pub(crate) fn of(thread: &ThreadState) -> Self {
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

/// A context in force on this thread; the one before is put back on drop.
#[derive(Debug)]
struct Entered {
    thread: Option<(&'static ThreadState, Lease)>,
    before: Context,
}

impl Entered {
    fn new(context: Context) -> Self {
        let thread = match local::current() {
            Some(thread) => Some((thread, Lease::Thread)),
            // Nothing is current on a thread that has recorded nothing: no need of a ring for that.
            None if context.span == NO_SPAN => None,
            None => pool::process_threads().and_then(pool::ThreadPool::acquire),
        };
        let before = thread.map_or(Context::NONE, |(thread, _)| Context::of(thread));
        match thread {
            // Within a capture nothing is recorded, whatever the context.
            Some((thread, _)) if before.span != SUPPRESSED => context.enter(thread),
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
