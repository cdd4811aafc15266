//! Collections of items that have a `Debug` and nothing better.
//!
//! Comes in: a collection of the standard library. Goes out: a sequence or map whose items are texts. The `Debug` of
//! these collections walks through all of their items even when it is told to stop; this does not.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use super::containers::{Entries, Sequence};
use super::token;
use super::value_writer::{Draft, Stopped};

/// A collection that is captured item by item.
pub trait DebugItems {
    /// Captures it.
    ///
    /// # Errors
    /// The budget is used up, or what surrounds the collection is complete.
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped>;
}

fn sequence<T: Debug>(
    draft: &mut Draft<'_>,
    len: usize,
    items: impl Iterator<Item = T>,
) -> Result<(), Stopped> {
    let mut sequence = Sequence::open(draft, Some(len))?;
    for item in items {
        sequence.item(std::any::type_name::<T>(), |draft| draft.debug(&item))?;
    }
    sequence.end()
}

fn map<K: Debug, V: Debug>(
    draft: &mut Draft<'_>,
    len: usize,
    entries: impl Iterator<Item = (K, V)>,
) -> Result<(), Stopped> {
    let mut map = Entries::open(draft, Some(len))?;
    for (key, value) in entries {
        map.key(std::any::type_name::<K>(), |draft| draft.debug(&key))?;
        map.value(std::any::type_name::<V>(), |draft| draft.debug(&value))?;
    }
    map.end()
}

impl<T: Debug> DebugItems for [T] {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        sequence(draft, self.len(), self.iter())
    }
}

impl<T: Debug, const N: usize> DebugItems for [T; N] {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_slice().write(draft)
    }
}

impl<T: Debug> DebugItems for Vec<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_slice().write(draft)
    }
}

impl<T: Debug> DebugItems for VecDeque<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        sequence(draft, self.len(), self.iter())
    }
}

impl<T: Debug> DebugItems for LinkedList<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        sequence(draft, self.len(), self.iter())
    }
}

impl<T: Debug> DebugItems for BinaryHeap<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        sequence(draft, self.len(), self.iter())
    }
}

impl<T: Debug> DebugItems for BTreeSet<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        sequence(draft, self.len(), self.iter())
    }
}

impl<T: Debug, S> DebugItems for HashSet<T, S> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        sequence(draft, self.len(), self.iter())
    }
}

impl<K: Debug, V: Debug> DebugItems for BTreeMap<K, V> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        map(draft, self.len(), self.iter())
    }
}

impl<K: Debug, V: Debug, S> DebugItems for HashMap<K, V, S> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        map(draft, self.len(), self.iter())
    }
}

impl<T: DebugItems + ?Sized> DebugItems for &T {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for &mut T {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for Box<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for Rc<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for Arc<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: DebugItems> DebugItems for Option<T> {
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        match self {
            Some(items) => items.write(draft),
            None => draft.put(|tape| tape.tag(token::NULL)),
        }
    }
}
