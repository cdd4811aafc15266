//! A value that threads use one after the other, each after a wait that ends by a deadline.
//!
//! Takes threads that want the value; gives it to one of them, which brings it back when it drops what it got. No lock
//! is held while a thread has the value, so the child of a fork never finds one locked by a thread that it does not
//! have: a value that a thread of the parent has taken is missing in the child, and is made anew there. The file does
//! not know what the value is.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::sync::lock;

/// The place of the value.
#[derive(Debug)]
pub(super) struct Desk<T> {
    place: Mutex<Place<T>>,
    returned: Condvar,
}

#[derive(Debug)]
struct Place<T> {
    /// The value, if it has been made and nobody has it.
    value: Option<T>,
    /// The process one of whose threads has the value.
    taken_by: Option<u32>,
}

impl<T> Desk<T> {
    pub(super) const fn new() -> Self {
        Self { place: Mutex::new(Place { value: None, taken_by: None }), returned: Condvar::new() }
    }

    /// Waits until no other thread has the value, and takes it. Returns `None` if another thread has it at the
    /// deadline.
    pub(super) fn take(&self, deadline: Instant) -> Option<Taken<'_, T>> {
        let pid = std::process::id();
        let mut place = lock(&self.place);
        while place.taken_by == Some(pid) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            place = self.returned.wait_timeout(place, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        place.taken_by = Some(pid);
        Some(Taken { desk: self, value: place.value.take() })
    }
}

/// A value that was taken. Its drop brings the value back.
#[derive(Debug)]
pub(super) struct Taken<'a, T> {
    desk: &'a Desk<T>,
    /// The value; `None` before it is made.
    pub(super) value: Option<T>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut place = lock(&self.desk.place);
        (place.value, place.taken_by) = (self.value.take(), None);
        self.desk.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn one_thread_at_a_time_has_the_value_and_none_is_forgotten() {
        let desk = Desk::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let mut taken = desk.take(soon()).unwrap();
                        taken.value = Some(taken.value.unwrap_or(0) + 1);
                    }
                });
            }
        });
        assert_eq!(desk.take(soon()).unwrap().value, Some(8000));
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before_the_value_is_looked_for() {
        let desk = Desk::<u32>::new();
        let taken = desk.take(Instant::now());
        assert!(taken.is_some());
        assert!(desk.take(Instant::now() + Duration::from_millis(5)).is_none());
        drop(taken);
        assert!(desk.take(Instant::now()).is_some());
    }

    #[test]
    fn a_value_that_another_process_has_taken_is_made_anew() {
        let desk = Desk::<u32>::new();
        lock(&desk.place).taken_by = Some(0);
        assert_eq!(desk.take(Instant::now()).unwrap().value, None);
    }
}
