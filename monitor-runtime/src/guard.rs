//! The guard of a synchronous call: opened on entry, closed on drop, decides the outcome.

use crate::call_site::CallSite;
use crate::capture::Writer;

/// A call whose result is seen: ends by `ok`, `ok_with`, `error`; dropped otherwise, it panicked.
#[derive(Debug)]
pub struct Call {}

impl Call {
    /// Enters a call.
    #[inline]
    #[must_use]
    pub fn enter(_site: &'static CallSite) -> Self {
        Self {}
    }
    /// Captures the arguments, in the order of the call site's names, if this call captures them.
    #[inline]
    pub fn args(&mut self, _capture: impl FnOnce(&mut Writer<'_>)) {}
    /// Captures the extra fields, in the order of the call site's names, if this call is recorded.
    #[inline]
    pub fn fields(&mut self, _capture: impl FnOnce(&mut Writer<'_>)) {}
    /// Starts the call's time: the last thing before its body, so that captures do not count.
    #[inline]
    pub fn begin(&mut self) {}
    /// Ends the call as `ok`, its result not captured.
    #[inline]
    pub fn ok(self) {}
    /// Ends the call as `ok`; `result` captures its value.
    #[inline]
    pub fn ok_with(self, _result: impl FnOnce(&mut Writer<'_>)) {}
    /// Ends the call as `error`; `text` writes the error's message.
    #[inline]
    pub fn error(self, _text: impl FnOnce(&mut Writer<'_>)) {}
}

/// A call whose result need not be seen (it returns `()` or never): dropped, it ended `ok`, or
/// `panic` where the thread is unwinding.
#[derive(Debug)]
pub struct Scope {}

impl Scope {
    /// Enters a call.
    #[inline]
    #[must_use]
    pub fn enter(_site: &'static CallSite) -> Self {
        Self {}
    }
    /// As [`Call::args`].
    #[inline]
    pub fn args(&mut self, _capture: impl FnOnce(&mut Writer<'_>)) {}
    /// As [`Call::fields`].
    #[inline]
    pub fn fields(&mut self, _capture: impl FnOnce(&mut Writer<'_>)) {}
    /// As [`Call::begin`].
    #[inline]
    pub fn begin(&mut self) {}
}

impl Drop for Scope {
    fn drop(&mut self) {}
}

/// Calls the body as `FnOnce`, so that it may give out what it was given.
#[inline(always)]
pub fn run<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// `None` of a stated type: pins the type that an async block returns.
#[inline(always)]
#[must_use]
pub const fn none<R>() -> Option<R> {
    None
}
