//! Chooses at compile time, by autoref, what ends the call of a function whose return type looks like a future.
//!
//! Takes the returned value. Gives a value of the same type, or of the same trait, whose completion ends the
//! call. The attribute knows the names of types only, and a type or a trait of the user may be called `Future`,
//! `Box` or `BoxFuture`. A value that is no future, or that cannot be wrapped in its own type, ends the call
//! when it is returned, and is the result of the call.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use super::async_call::AsyncCall;
use super::future::{Finish, Instrumented, end_now, instrument};

/// The traits without their names, for a `use` that brings nothing else into the user's scope.
pub mod traits {
    pub use super::{EndNow as _, InstrumentBoxed as _, InstrumentOpaque as _};
}

/// The type of a value returned as `impl Future`.
#[derive(Debug)]
pub struct Opaque<F>(PhantomData<F>);

/// The type of a value returned as `Pin<Box<dyn Future>>` or by a similar name.
#[derive(Debug)]
pub struct Boxed<F>(PhantomData<F>);

/// Returns the type of a value returned as `impl Future`.
#[inline(always)]
#[must_use]
pub fn opaque<F>(_: &F) -> Opaque<F> {
    Opaque(PhantomData)
}

/// Returns the type of a value returned as `Pin<Box<dyn Future>>` or by a similar name.
#[inline(always)]
#[must_use]
pub fn boxed<F>(_: &F) -> Boxed<F> {
    Boxed(PhantomData)
}

/// The implementation that autoref chooses for a future whose type the signature does not name.
pub trait InstrumentOpaque<F> {
    /// Wraps the future, whose output is `O`.
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> Instrumented<F, E>
    where
        F: Future<Output = O>,
        E: FnOnce(Finish<'_>, &F::Output);
}

impl<F: Future> InstrumentOpaque<F> for &Opaque<F> {
    #[inline(always)]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> Instrumented<F, E>
    where
        F: Future<Output = O>,
        E: FnOnce(Finish<'_>, &F::Output),
    {
        instrument(call, future, end)
    }
}

/// The implementation that autoref chooses for a boxed future.
pub trait InstrumentBoxed<F: Future> {
    /// Wraps the future in a box of the same type.
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F::Output) + Send + Sync + 'static;
}

impl<F: Rebox> InstrumentBoxed<F> for &Boxed<F> {
    #[inline(always)]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F::Output) + Send + Sync + 'static,
    {
        future.rebox(call, end)
    }
}

/// The implementation that autoref chooses for any other value.
pub trait EndNow<F> {
    /// Ends the call with the value, and returns the value.
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, value: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F);
}

impl<F> EndNow<F> for Opaque<F> {
    #[inline]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, value: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F),
    {
        end_now(call, &value, end);
        value
    }
}

impl<F> EndNow<F> for Boxed<F> {
    #[inline]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, value: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F),
    {
        end_now(call, &value, end);
        value
    }
}

/// A boxed future whose type can also box the wrapper of another future of the same type.
pub trait Rebox: Future + Sized {
    /// Wraps the future in a box of the same type.
    #[must_use]
    fn rebox<E>(self, call: AsyncCall, end: E) -> Self
    where
        E: FnOnce(Finish<'_>, &Self::Output) + Send + Sync + 'static;
}

macro_rules! rebox {
    ($($boxed:ty, $make:path;)*) => {$(
        impl<'a, O: 'a> Rebox for $boxed {
            #[inline]
            fn rebox<E>(self, call: AsyncCall, end: E) -> Self
            where
                E: FnOnce(Finish<'_>, &O) + Send + Sync + 'static,
            {
                $make(instrument(call, self, end))
            }
        }
    )*};
}

rebox! {
    Pin<Box<dyn Future<Output = O> + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Send + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Sync + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Send + Sync + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Unpin + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Send + Unpin + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Sync + Unpin + 'a>>, Box::pin;
    Pin<Box<dyn Future<Output = O> + Send + Sync + Unpin + 'a>>, Box::pin;
    Box<dyn Future<Output = O> + Unpin + 'a>, Box::new;
    Box<dyn Future<Output = O> + Send + Unpin + 'a>, Box::new;
    Box<dyn Future<Output = O> + Sync + Unpin + 'a>, Box::new;
    Box<dyn Future<Output = O> + Send + Sync + Unpin + 'a>, Box::new;
}
