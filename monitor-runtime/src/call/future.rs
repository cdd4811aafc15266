//! The wrapper around the future of a monitored async function.
//!
//! Takes the function's future and what to do with its output; gives a future that resolves to the same output. The
//! call is current only while the future is polled. The file does not know what a call records.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};

use super::async_call::{AsyncCall, to_repeatable};
use super::poll::Polled;
use crate::capture::Writer;
use crate::platform::clock::{Ticks, ticks};
use crate::record::Outcome;
use crate::thread::scratch::Capture;
use crate::thread::state::ThreadState;

/// The end of an async call, handed to the expansion's last closure.
#[derive(Debug)]
pub struct Finish<'a> {
    call: &'a mut AsyncCall,
    thread: Option<&'static ThreadState>,
    end: Ticks,
}

impl Finish<'_> {
    /// Ends the call as `ok`, its result not captured.
    #[inline]
    pub fn ok(self) {
        if !self.thread.is_some_and(|thread| self.call.end_ok_header_only(thread, self.end)) {
            self.end_with_value(Outcome::Ok, None);
        }
    }

    /// Ends the call as `ok`, with its result if the call captures it.
    #[inline]
    pub fn ok_with(self, result: impl FnOnce(&mut Writer<'_>)) {
        let captures =
            self.call.has_result(self.end) && self.thread.is_some_and(|thread| thread.captures.results());
        if captures {
            self.end_with_value(Outcome::Ok, Some(&mut to_repeatable(result)));
        } else {
            self.ok();
        }
    }

    /// Ends the call as `error`, with its message.
    #[inline]
    pub fn error(self, text: impl FnOnce(&mut Writer<'_>)) {
        self.end_with_value(Outcome::Error, Some(&mut to_repeatable(text)));
    }

    #[inline(never)]
    fn end_with_value(self, outcome: Outcome, value: Option<Capture<'_>>) {
        let end = if self.call.is_counted() { ticks() } else { self.end };
        self.call.end(end, outcome, value);
    }
}

pin_project_lite::pin_project! {
    /// The future of a monitored async function. `call` is declared, and so dropped, after `future`, because the work
    /// of the future's destructors belongs to the call.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Instrumented<F, E> {
        #[pin]
        future: F,
        end: Option<E>,
        call: AsyncCall,
    }

    impl<F, E> PinnedDrop for Instrumented<F, E> {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            this.project().call.begin_drop();
        }
    }
}

/// Ends a call with a returned value that is not a future.
pub(super) fn end_now<R>(mut call: AsyncCall, result: &R, end: impl FnOnce(Finish<'_>, &R)) {
    let mut polled = Polled::none();
    call.resume(&mut polled);
    if let Some(poll) = &polled.0 {
        let now = call.pause(poll);
        let thread = polled.leave();
        end(Finish { call: &mut call, thread, end: now }, result);
    }
}

/// Wraps the future of a monitored function; `end` sees its output and calls one method of [`Finish`].
#[inline]
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

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut polled = Polled::none();
        this.call.resume(&mut polled);
        let poll = this.future.poll(task);
        let Some(under_way) = &polled.0 else { return poll };
        let now = this.call.pause(under_way);
        match &poll {
            Poll::Pending => this.call.suspend(under_way.thread, now),
            Poll::Ready(output) => {
                // The call is over: calls made by the capture of its result are not below it.
                let thread = polled.leave();
                if let Some(end) = this.end.take() {
                    end(Finish { call: this.call, thread, end: now }, output);
                }
            }
        }
        poll
    }
}
