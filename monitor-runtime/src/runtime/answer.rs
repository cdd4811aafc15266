//! The answer of one thread to another, given once.
//!
//! The standard library's channels park the thread that waits, which would consume a wake-up that the program meant for
//! its own thread.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::sync::lock;

/// An answer that is waited for.
#[derive(Debug)]
pub(super) struct Answer<T> {
    /// `None` until it is given.
    given: Mutex<Option<Option<T>>>,
    changed: Condvar,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { given: Mutex::new(None), changed: Condvar::new() }
    }
}

/// The obligation to answer. Its drop is the answer that there is nothing.
#[derive(Debug)]
pub(super) struct Promise<'a, T>(&'a Answer<T>);

impl<T> Answer<T> {
    /// Returns the obligation to answer.
    pub(super) fn promise(&self) -> Promise<'_, T> {
        Promise(self)
    }

    /// Waits for the answer.
    pub(super) fn wait(&self) -> Option<T> {
        let mut given = lock(&self.given);
        loop {
            if let Some(answer) = given.take() {
                return answer;
            }
            given = self.changed.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Promise<'_, T> {
    /// Gives the answer.
    pub(super) fn give(&self, answer: T) {
        lock(&self.0.given).get_or_insert(Some(answer));
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Promise<'_, T> {
    fn drop(&mut self) {
        lock(&self.0.given).get_or_insert(None);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_gets_the_answer_or_hears_that_there_is_none() {
        for give in [true, false] {
            let answer = Answer::default();
            let got = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let promise = answer.promise();
                    if give {
                        promise.give(7);
                    }
                });
                answer.wait()
            });
            assert_eq!(got, give.then_some(7));
        }
    }
}
