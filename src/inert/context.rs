//! The current call of a thread, of which there is none.

use std::future::Future;

/// The call that was current on a thread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Context(());

/// The future of [`Context::instrument`], which is the future itself.
pub type WithContext<F> = F;

impl Context {
    /// Returns the context of the calling thread.
    #[must_use]
    pub fn current() -> Self {
        Self(())
    }

    /// Returns the context outside of all calls.
    #[must_use]
    pub const fn root() -> Self {
        Self(())
    }

    /// Calls `body`.
    pub fn scope<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    /// Returns the future.
    pub fn instrument<F: Future>(self, future: F) -> WithContext<F> {
        future
    }
}
