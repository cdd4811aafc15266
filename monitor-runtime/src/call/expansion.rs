//! Type plumbing that only the expansion of `#[monitor]` needs: no state, nothing at run time.
//!
//! The `run` functions take a body as `FnOnce`, so that it may give out what it was given, and hand it
//! its arguments as arguments, so that they are dropped in the order of the original function.

#![expect(clippy::inline_always, reason = "a body must not lie one call further away than it was written")]

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::task::Poll;

use crate::call::guard::{Call, Last, Slot};
use crate::capture::Writer;
use crate::site::CallSite;
use crate::thread::scratch::ScratchWriter;

/// Runs a body without arguments.
#[inline(always)]
pub fn run0<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Runs a body with one argument.
#[inline(always)]
pub fn run1<A, R>(first: A, body: impl FnOnce(A) -> R) -> R {
    body(first)
}

/// Runs a body with two arguments.
#[inline(always)]
pub fn run2<A, B, R>(first: A, second: B, body: impl FnOnce(A, B) -> R) -> R {
    body(first, second)
}

/// Runs a body with three arguments.
#[inline(always)]
pub fn run3<A, B, C, R>(first: A, second: B, third: C, body: impl FnOnce(A, B, C) -> R) -> R {
    body(first, second, third)
}

/// Runs a body with four arguments.
#[inline(always)]
pub fn run4<A, B, C, D, R>(
    first: A,
    second: B,
    third: C,
    fourth: D,
    body: impl FnOnce(A, B, C, D) -> R,
) -> R {
    body(first, second, third, fourth)
}

/// Runs a body with five arguments.
#[inline(always)]
pub fn run5<A, B, C, D, E, R>(
    first: A,
    second: B,
    third: C,
    fourth: D,
    fifth: E,
    body: impl FnOnce(A, B, C, D, E) -> R,
) -> R {
    body(first, second, third, fourth, fifth)
}

/// Runs a body with six arguments; more are handed over as one tuple.
#[inline(always)]
pub fn run6<A, B, C, D, E, F, R>(
    first: A,
    second: B,
    third: C,
    fourth: D,
    fifth: E,
    sixth: F,
    body: impl FnOnce(A, B, C, D, E, F) -> R,
) -> R {
    body(first, second, third, fourth, fifth, sixth)
}

/// The test of the option `error_if`: tells a closure the type of its argument.
#[inline]
pub fn holds<R: ?Sized>(result: &R, test: impl FnOnce(&R) -> bool) -> bool {
    test(result)
}

/// Names what a future resolves to, so that its value is known before it is looked at.
#[inline(always)]
pub fn resolving_to<R, F: Future<Output = R>>(future: F) -> F {
    future
}

/// Names the type `!`, which may be written only as the return type of a function.
pub trait Function {
    /// What the function returns.
    type Output;
}

impl<R> Function for fn() -> R {
    type Output = R;
}

/// A call whose body is no closure (`#[track_caller]`, variadic): a return that a macro hides skips the
/// end of the call, which is then `ok` without a result.
#[derive(Debug)]
pub struct MayReturn<'a>(Call<'a, true>);

impl<'a> MayReturn<'a> {
    /// As `Call::enter`.
    #[inline]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::enter(slot, site))
    }
    /// As `Call::prepare`.
    #[inline]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::prepare(slot, site))
    }
    /// As `Call::args`.
    #[inline]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        self.0.args()
    }
    /// As `Call::keep_args`.
    #[inline]
    pub fn keep_args(&mut self, arena: ScratchWriter) {
        self.0.keep_args(arena);
    }
    /// As `Call::fields`.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
    /// As `Call::ok`.
    #[inline]
    pub fn ok(&mut self) {
        self.0.ok();
    }
    /// As `Call::ok_with`.
    #[inline]
    pub fn ok_with(&mut self) -> Option<(ScratchWriter, Last)> {
        self.0.ok_with()
    }
    /// As `Call::error`.
    #[inline]
    pub fn error(&mut self) -> Option<(ScratchWriter, Last)> {
        self.0.error()
    }
    /// As `Call::end_with`.
    #[inline]
    pub fn end_with(&mut self, arena: ScratchWriter, last: Last) {
        self.0.end_with(arena, last);
    }
}

impl Drop for MayReturn<'_> {
    #[inline]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.ok();
        }
    }
}

/// The types that `?` works on, taken apart without it: the standard library's own trait is unstable.
pub trait Branch {
    /// What `?` yields.
    type Continue;
    /// What `?` returns early, without a value of its own.
    type Residual;
    /// Decides between the two.
    fn branch(self) -> ControlFlow<Self::Residual, Self::Continue>;
}

impl<T> Branch for Option<T> {
    type Continue = T;
    type Residual = Option<Infallible>;
    #[inline]
    fn branch(self) -> ControlFlow<Self::Residual, T> {
        self.map_or(ControlFlow::Break(None), ControlFlow::Continue)
    }
}

impl<T, E> Branch for Result<T, E> {
    type Continue = T;
    type Residual = Result<Infallible, E>;
    #[inline]
    fn branch(self) -> ControlFlow<Self::Residual, T> {
        self.map_or_else(|error| ControlFlow::Break(Err(error)), ControlFlow::Continue)
    }
}

impl<B, C> Branch for ControlFlow<B, C> {
    type Continue = C;
    type Residual = ControlFlow<B, Infallible>;
    #[inline]
    fn branch(self) -> ControlFlow<Self::Residual, C> {
        match self {
            ControlFlow::Continue(value) => ControlFlow::Continue(value),
            ControlFlow::Break(value) => ControlFlow::Break(ControlFlow::Break(value)),
        }
    }
}

impl<T, E> Branch for Poll<Result<T, E>> {
    type Continue = Poll<T>;
    type Residual = Result<Infallible, E>;
    #[inline]
    fn branch(self) -> ControlFlow<Self::Residual, Poll<T>> {
        match self {
            Poll::Pending => ControlFlow::Continue(Poll::Pending),
            Poll::Ready(Ok(value)) => ControlFlow::Continue(Poll::Ready(value)),
            Poll::Ready(Err(error)) => ControlFlow::Break(Err(error)),
        }
    }
}

impl<T, E> Branch for Poll<Option<Result<T, E>>> {
    type Continue = Poll<Option<T>>;
    type Residual = Result<Infallible, E>;
    #[inline]
    fn branch(self) -> ControlFlow<Self::Residual, Poll<Option<T>>> {
        match self {
            Poll::Pending => ControlFlow::Continue(Poll::Pending),
            Poll::Ready(None) => ControlFlow::Continue(Poll::Ready(None)),
            Poll::Ready(Some(Ok(value))) => ControlFlow::Continue(Poll::Ready(Some(value))),
            Poll::Ready(Some(Err(error))) => ControlFlow::Break(Err(error)),
        }
    }
}
