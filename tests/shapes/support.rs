//! A way to run a future, and values that log when they are dropped, for all shapes.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Polls `future` until it is ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Returns `Pending` once.
pub async fn yield_now() {
    let mut polled = false;
    std::future::poll_fn(|_| {
        if polled {
            Poll::Ready(())
        } else {
            polled = true;
            Poll::Pending
        }
    })
    .await;
}

/// The order in which things happened.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    /// A value that writes `name` into the log when it is dropped.
    pub fn on_drop(&self, name: &'static str) -> OnDrop {
        OnDrop { name, log: self.clone() }
    }

    /// Writes `name`.
    pub fn write(&self, name: &'static str) {
        self.0.borrow_mut().push(name);
    }

    /// Returns all that was written.
    pub fn read(&self) -> Vec<&'static str> {
        self.0.borrow().clone()
    }
}

/// A value that writes its name into a log when it is dropped. See [`Log::on_drop`].
pub struct OnDrop {
    name: &'static str,
    log: Log,
}

impl OnDrop {
    /// Borrows the value: a temporary that lives as long as the expression it stands in.
    pub fn touch(&self) -> bool {
        !self.name.is_empty()
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.log.write(self.name);
    }
}
