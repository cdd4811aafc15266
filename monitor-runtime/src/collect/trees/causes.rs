//! The causes of failures that wait until the rows of their calls are written.
//!
//! Takes causes by the spans of the calls; gives each once. A failure without a cause began in its own call. The number
//! of causes is bounded: beyond it the older half is dropped, and each cause that is dropped unused is counted.

use crate::batch::Cause;
use crate::by_number::NumberMap;
use crate::growth::MakeRoom as _;
use crate::limits;

/// The cause of a failure, and whether a tree begins with the call.
#[derive(Debug, Default)]
pub(in super::super) struct FailureOrigin {
    pub(in super::super) cause: Option<Box<Cause>>,
    pub(in super::super) is_tree: bool,
}

/// The causes, by the spans of the calls.
#[derive(Debug, Default)]
pub(super) struct Causes {
    young: NumberMap<u64, FailureOrigin>,
    old: NumberMap<u64, FailureOrigin>,
    pub(super) lost: u64,
    /// The largest number of young causes; `None` before the first drain.
    pub(super) max: Option<usize>,
}

impl Causes {
    pub(super) fn insert(&mut self, span: u64, origin: FailureOrigin) {
        if self.young.len() >= self.max.unwrap_or(limits::CAUSES_MAX) {
            self.lost += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.make_room(1) {
            self.young.insert(span, origin);
        } else {
            self.lost += 1;
        }
    }

    /// Returns the number of causes that wait.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Returns the origin of the failure of a call, and forgets it.
    pub(super) fn take(&mut self, span: u64) -> Option<FailureOrigin> {
        self.young.remove(&span).or_else(|| self.old.remove(&span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_given_once_and_those_beyond_the_bound_are_counted() {
        let mut causes = Causes::default();
        let spans = 3 * limits::CAUSES_MAX as u64;
        (0..spans).for_each(|span| causes.insert(span, FailureOrigin::default()));
        assert!(causes.take(spans - 1).is_some() && causes.take(spans - 1).is_none());
        let kept = (0..spans).filter(|span| causes.take(*span).is_some()).count() as u64;
        assert_eq!(kept + 1 + causes.lost, spans);
    }
}
