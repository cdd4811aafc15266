//! The choice of what ends the call of a function whose return type looks like a future. Each choice returns the value
//! as it is; they differ in the argument type of the closure that ends the call.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use super::{AsyncCall, Finish};

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
#[inline]
#[must_use]
pub fn opaque<F>(_: &F) -> Opaque<F> {
    Opaque(PhantomData)
}

/// Returns the type of a value returned as `Pin<Box<dyn Future>>` or by a similar name.
#[inline]
#[must_use]
pub fn boxed<F>(_: &F) -> Boxed<F> {
    Boxed(PhantomData)
}

/// The choice for a future whose type the signature does not name.
pub trait InstrumentOpaque<F> {
    /// Returns the future, whose output is `O`.
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> F
    where
        F: Future<Output = O>,
        E: FnOnce(Finish<'_>, &F::Output);
}

impl<F: Future> InstrumentOpaque<F> for &Opaque<F> {
    #[inline]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> F
    where
        F: Future<Output = O>,
        E: FnOnce(Finish<'_>, &F::Output),
    {
        let _ = (call, end);
        future
    }
}

/// The choice for a boxed future.
pub trait InstrumentBoxed<F: Future> {
    /// Returns the future.
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F::Output) + Send + Sync + 'static;
}

impl<F: Rebox> InstrumentBoxed<F> for &Boxed<F> {
    #[inline]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, future: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F::Output) + Send + Sync + 'static,
    {
        let _ = (call, end);
        future
    }
}

/// The choice for any other value.
pub trait EndNow<F> {
    /// Returns the value.
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
        let _ = (call, end);
        value
    }
}

impl<F> EndNow<F> for Boxed<F> {
    #[inline]
    fn __monitor_instrument<O, E>(&self, call: AsyncCall, value: F, end: E) -> F
    where
        E: FnOnce(Finish<'_>, &F),
    {
        let _ = (call, end);
        value
    }
}

/// A boxed future that the recorder could put into another box of its type.
pub trait Rebox: Future + Sized {}

impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Send + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Sync + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Send + Sync + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Unpin + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Send + Unpin + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Sync + Unpin + 'a>> {}
impl<'a, O: 'a> Rebox for Pin<Box<dyn Future<Output = O> + Send + Sync + Unpin + 'a>> {}
impl<'a, O: 'a> Rebox for Box<dyn Future<Output = O> + Unpin + 'a> {}
impl<'a, O: 'a> Rebox for Box<dyn Future<Output = O> + Send + Unpin + 'a> {}
impl<'a, O: 'a> Rebox for Box<dyn Future<Output = O> + Sync + Unpin + 'a> {}
impl<'a, O: 'a> Rebox for Box<dyn Future<Output = O> + Send + Sync + Unpin + 'a> {}
