//! The answer of one thread to another, given once.
//!
//! The standard library's channels park the thread that waits, which would consume a wake-up that the program meant for
//! its own thread.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::sync::lock;

/// An answer that is waited for.
#[derive(Debug)]
pub(super) struct Answer<T> {
    given: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { given: Mutex::new(State::Open), changed: Condvar::new() }
    }
}

/// The state of an answer.
#[derive(Debug)]
enum State<T> {
    Open,
    Given(T),
    /// There is no answer, or it was taken.
    Nothing,
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
            match std::mem::replace(&mut *given, State::Nothing) {
                State::Given(answer) => return Some(answer),
                State::Nothing => return None,
                State::Open => *given = State::Open,
            }
            given = self.changed.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Promise<'_, T> {
    /// Gives the answer.
    pub(super) fn give(&self, answer: T) {
        *lock(&self.0.given) = State::Given(answer);
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Promise<'_, T> {
    fn drop(&mut self) {
        let mut given = lock(&self.0.given);
        if matches!(*given, State::Open) {
            *given = State::Nothing;
        }
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
