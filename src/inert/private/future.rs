//! Calls that end when a future completes, none of which is recorded.

use std::future::Future;
use std::marker::PhantomData;

use super::{CallSite, Writer};

/// The end of an async call.
#[derive(Debug)]
pub struct Finish<'a>(PhantomData<&'a mut ()>);

impl Finish<'_> {
    /// Does nothing.
    #[inline]
    pub fn ok(self) {}

    /// Does nothing.
    #[inline]
    pub fn ok_with(self, result: impl FnOnce(&mut Writer<'_>)) {
        let _ = result;
    }

    /// Does nothing.
    #[inline]
    pub fn error(self, text: impl FnOnce(&mut Writer<'_>)) {
        let _ = text;
    }
}

/// The part of a function that makes its future.
#[derive(Debug)]
pub struct Making(());

/// An async call that is not recorded.
#[derive(Debug)]
pub struct AsyncCall(());

impl AsyncCall {
    /// Returns a call that is not recorded.
    #[inline]
    #[must_use]
    pub fn enter(site: &'static CallSite) -> Self {
        let _ = site;
        Self(())
    }

    /// Does nothing.
    #[inline]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let _ = capture;
    }

    /// Does nothing.
    #[inline]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        let _ = capture;
    }

    /// Does nothing.
    #[inline]
    #[must_use]
    pub fn making(&mut self) -> Making {
        Making(())
    }

    /// Does nothing.
    #[inline]
    pub fn made(&mut self, making: Making) {
        let _ = making;
    }
}

/// Returns the future.
#[inline]
pub fn instrument<F, E>(call: AsyncCall, future: F, end: E) -> F
where
    F: Future,
    E: FnOnce(Finish<'_>, &F::Output),
{
    let _ = (call, end);
    future
}
