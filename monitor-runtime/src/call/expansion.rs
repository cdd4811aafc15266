//! Type plumbing that only the expansion of `#[monitor]` needs.
//!
//! Takes bodies and guards of an expansion; gives them the types that the compiler needs. Nothing here has state or
//! does anything at run time. The `run` functions take a body as `FnOnce`, so that it may move its captured variables
//! out. They pass the function's arguments as arguments of the body, so that these are dropped in the order of the
//! original function.

#![expect(clippy::inline_always, reason = "a body must not run one stack frame deeper than it was written")]

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::task::Poll;

use super::entered::Slot;
use super::guard::{Call, Last};
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

/// Runs a body with six arguments. The expansion hands over more arguments than that as one tuple.
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

/// Runs the test of the option `error_if`. The signature of this function gives the closure the type of its argument.
#[inline]
pub fn holds<R: ?Sized>(result: &R, test: impl FnOnce(&R) -> bool) -> bool {
    test(result)
}

/// Names the type that a future resolves to, so that the compiler knows it before the value is used.
#[inline(always)]
pub fn resolving_to<R, F: Future<Output = R>>(future: F) -> F {
    future
}

/// Stands for a value in a branch that is never taken.
///
/// # Panics
/// Always.
#[cold]
#[must_use]
pub fn unreached<R>() -> R {
    unreachable!("the branch is never taken")
}

/// Names the type `!`, which may be written only as the return type of a function.
pub trait Function {
    /// The type that the function returns.
    type Output;
}

impl<R> Function for fn() -> R {
    type Output = R;
}

/// A call whose body is not a closure (`#[track_caller]`, variadic). A `return` that a macro hides skips the end of the
/// call, which then ends as `ok` without a result.
#[derive(Debug)]
pub struct MayReturn<'a, const CRATE: u64>(Call<'a, CRATE>);

impl<'a, const CRATE: u64> MayReturn<'a, CRATE> {
    /// Enters a call, as `Call::enter` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::enter(slot, site))
    }
    /// Enters a call whose time starts after its last capture, as `Call::prepare` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::prepare(slot, site))
    }
    /// Returns the writer for the arguments, as `Call::args` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        self.0.args()
    }
    /// Keeps the arguments that were written, as `Call::keep_args` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn keep_args(&mut self, writer: ScratchWriter) {
        self.0.keep_args(writer);
    }
    /// Captures the extra fields, as `Call::fields` does.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
    /// Ends the call as `ok`, its result not captured, as `Call::ok` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn ok(&mut self) {
        self.0.ok();
    }
    /// Ends the call as `ok` and returns the writer for its value, as `Call::ok_with` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn ok_with(&mut self) -> Option<(ScratchWriter, Last)> {
        self.0.ok_with()
    }
    /// Ends the call as `error` and returns the writer for its message, as `Call::error` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn error(&mut self) -> Option<(ScratchWriter, Last)> {
        self.0.error()
    }
    /// Ends the call after its last value was written, as `Call::end_with` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    pub fn end_with(&mut self, writer: ScratchWriter, last: Last) {
        self.0.end_with(writer, last);
    }
}

impl<const CRATE: u64> Drop for MayReturn<'_, CRATE> {
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.ok();
        }
    }
}

/// The types that `?` works on, taken apart without `?`, because the standard library's own trait is unstable.
pub trait Branch {
    /// The type that `?` yields.
    type Continue;
    /// The type that `?` returns early, without a value of its own.
    type Residual;
    /// Returns the value that `?` would yield, or the one that it would return early.
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

/// Makes a debug build compile the guards here, and not in each crate that is monitored.
#[cfg(debug_assertions)]
#[used]
static COMPILED_HERE: fn(&mut Slot, &'static CallSite) = name_guard_methods;

/// Names each method of the guards.
#[cfg(debug_assertions)]
fn name_guard_methods(slot: &mut Slot, site: &'static CallSite) {
    use super::entered::RUNTIME;
    use super::scope::Scope;

    drop(Scope::<RUNTIME>::enter(slot, site));
    let mut scope = Scope::<RUNTIME>::prepare(slot, site);
    scope.args().into_iter().for_each(|writer| scope.keep_args(writer));
    drop(scope);
    drop(MayReturn::<RUNTIME>::enter(slot, site));
    let mut call = MayReturn::<RUNTIME>::prepare(slot, site);
    call.args().into_iter().for_each(|writer| call.keep_args(writer));
    call.ok();
    for (writer, last) in [call.ok_with(), call.error()].into_iter().flatten() {
        call.end_with(writer, last);
    }
}
