//! Fallible growth of collections.
//!
//! Takes a collection that is about to grow; gives true if there is memory for the growth. A collection of the standard
//! library ends the process when an allocation fails, so the recorder reserves room in every collection that grows with
//! load before it adds an element. A collection stays as it was if there is no room. The file does not know what its
//! callers do in that case: they leave the element out and count the loss.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::hint::black_box;

/// A collection that can be asked for room.
pub(crate) trait MakeRoom {
    /// Returns true if this many more elements can be added without another allocation.
    fn make_room(&mut self, more: usize) -> bool;
}

impl<T> MakeRoom for Vec<T> {
    fn make_room(&mut self, more: usize) -> bool {
        self.try_reserve(more).is_ok()
    }
}

impl<T> MakeRoom for VecDeque<T> {
    fn make_room(&mut self, more: usize) -> bool {
        self.try_reserve(more).is_ok()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> MakeRoom for HashMap<K, V, S> {
    fn make_room(&mut self, more: usize) -> bool {
        self.try_reserve(more).is_ok()
    }
}

impl<T: Eq + Hash, S: BuildHasher> MakeRoom for HashSet<T, S> {
    fn make_room(&mut self, more: usize) -> bool {
        self.try_reserve(more).is_ok()
    }
}

/// Returns true if the machine has this much memory at the moment. The memory is given back untouched.
pub(crate) fn has_memory(bytes: usize) -> bool {
    let mut trial = Vec::<u8>::new();
    let has_memory = trial.try_reserve_exact(bytes).is_ok();
    // The compiler may remove an allocation that is not used, and assume that it succeeds.
    black_box(trial.as_ptr());
    has_memory
}

/// Returns the items, or `None` if there is no memory for all of them.
pub(crate) fn collect_all<T>(items: impl IntoIterator<Item = T>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for item in items {
        if !all.make_room(1) {
            return None;
        }
        all.push(item);
    }
    Some(all)
}

/// Returns the first of the items, as many as there is memory for.
pub(crate) fn collect_most<T>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut most = Vec::new();
    for item in items {
        if !most.make_room(1) {
            break;
        }
        most.push(item);
    }
    most
}

/// Returns the pieces as one text, or `None` if there is no memory for it.
pub(crate) fn join(pieces: &[&str]) -> Option<String> {
    let mut text = String::new();
    text.try_reserve_exact(pieces.iter().map(|piece| piece.len()).sum()).ok()?;
    text.extend(pieces.iter().copied());
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length for which no machine has memory.
    const TOO_MUCH: usize = usize::MAX / 64;

    #[test]
    fn a_collection_without_room_stays_as_it_was() {
        let (mut list, mut queue) = (vec![1_u64, 2], VecDeque::from([1_u64, 2]));
        let (mut table, mut set) = (HashMap::from([(1_u64, 2)]), HashSet::from([1_u64]));
        assert!(!list.make_room(TOO_MUCH) && !queue.make_room(TOO_MUCH));
        assert!(!table.make_room(TOO_MUCH) && !set.make_room(TOO_MUCH));
        assert_eq!((list, queue), (vec![1, 2], VecDeque::from([1, 2])));
        assert_eq!((table, set), (HashMap::from([(1, 2)]), HashSet::from([1])));
    }

    #[test]
    fn room_that_was_made_is_enough_for_as_many_elements() {
        let mut table = HashMap::new();
        assert!(table.make_room(1000));
        let capacity = table.capacity();
        table.extend((0..1000).map(|at| (at, at)));
        assert_eq!(table.capacity(), capacity);
    }

    #[test]
    fn memory_that_no_machine_has_is_not_there() {
        assert!(has_memory(1 << 10) && !has_memory(TOO_MUCH));
    }

    #[test]
    fn items_are_collected_in_their_order() {
        assert_eq!(collect_all(0..3), Some(vec![0, 1, 2]));
        assert_eq!(collect_most(0..3), [0, 1, 2]);
        assert_eq!(join(&["a", "", "bc"]).as_deref(), Some("abc"));
    }
}
