//! The answer of one thread to another, given once.
//!
//! The standard library's channels park the thread that waits, which would consume a wake-up that the program meant for
//! its own thread.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

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

/// The obligation to answer. Its drop without an answer tells the waiting thread that there is none.
#[derive(Debug)]
pub(super) struct Promise<'a, T>(&'a Answer<T>);

impl<T> Answer<T> {
    /// Returns the obligation to answer.
    pub(super) fn promise(&self) -> Promise<'_, T> {
        Promise(self)
    }

    /// Waits for the answer, at most this long. Returns `None` if there is none by then; a later answer is refused.
    pub(super) fn wait(&self, limit: Duration) -> Option<T> {
        let given = lock(&self.given);
        let waited = self.changed.wait_timeout_while(given, limit, |given| matches!(given, State::Open));
        let (mut given, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *given, State::Nothing) {
            State::Given(answer) => Some(answer),
            State::Open | State::Nothing => None,
        }
    }
}

impl<T> Promise<'_, T> {
    /// Gives the answer. Returns false if nobody waits for it any more.
    pub(super) fn give(&self, answer: T) -> bool {
        let mut given = lock(&self.0.given);
        let is_wanted = matches!(*given, State::Open);
        if is_wanted {
            *given = State::Given(answer);
        }
        self.0.changed.notify_all();
        is_wanted
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
                        assert!(promise.give(7));
                    }
                });
                answer.wait(Duration::from_secs(60))
            });
            assert_eq!(got, give.then_some(7));
        }
    }
    #[test]
    fn an_answer_that_comes_too_late_is_not_wanted() {
        let answer = Answer::default();
        let promise = answer.promise();
        assert_eq!(answer.wait(Duration::ZERO), None);
        assert!(!promise.give(7));
        assert_eq!(answer.wait(Duration::from_secs(60)), None);
    }
}
