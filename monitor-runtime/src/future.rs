//! The wrapper around the future of a monitored async function.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::call_site::CallSite;
use crate::capture::Writer;

/// An async call: entered where the function is called, current only while its future is polled.
/// Dropped before its future completed, it is `cancelled`.
#[derive(Debug)]
pub struct AsyncCall {}

impl AsyncCall {
    /// Enters a call; its parent is the call that is current here and now.
    #[inline]
    #[must_use]
    pub fn enter(_site: &'static CallSite) -> Self {
        Self {}
    }
    /// As [`crate::guard::Call::args`].
    #[inline]
    pub fn args(&mut self, _capture: impl FnOnce(&mut Writer<'_>)) {}
    /// As [`crate::guard::Call::fields`].
    #[inline]
    pub fn fields(&mut self, _capture: impl FnOnce(&mut Writer<'_>)) {}
}

/// The end of an async call, handed to the expansion's last closure.
#[derive(Debug)]
pub struct Finish<'a> {
    _call: &'a mut AsyncCall,
}

impl Finish<'_> {
    /// As [`crate::guard::Call::ok`].
    #[inline]
    pub fn ok(self) {}
    /// As [`crate::guard::Call::ok_with`].
    #[inline]
    pub fn ok_with(self, _result: impl FnOnce(&mut Writer<'_>)) {}
    /// As [`crate::guard::Call::error`].
    #[inline]
    pub fn error(self, _text: impl FnOnce(&mut Writer<'_>)) {}
}

pin_project_lite::pin_project! {
    /// The future of a monitored async function.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Instrumented<F, E> {
        #[pin]
        future: F,
        end: Option<E>,
        call: AsyncCall,
    }
}

/// Wraps the future of a monitored function; `end` sees its output and calls one method of [`Finish`].
pub fn instrument<F, E>(call: AsyncCall, future: F, end: E) -> Instrumented<F, E>
where
    F: Future,
    E: FnOnce(Finish<'_>, &F::Output),
{
    Instrumented { future, end: Some(end), call }
}

impl<F, E> Future for Instrumented<F, E>
where
    F: Future,
    E: FnOnce(Finish<'_>, &F::Output),
{
    type Output = F::Output;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                if let Some(end) = this.end.take() {
                    end(Finish { _call: this.call }, &output);
                }
                Poll::Ready(output)
            }
        }
    }
}
