//! Collections whose items have a `Debug` and nothing better.
//!
//! Takes a collection of the standard library; gives a sequence or map whose items are texts. The collection's own
//! `Debug` is not used, because it walks through all items even after its writes are refused. The file does not know
//! the items.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use super::containers::{Entries, Sequence};
use super::locks;
use super::token;
use super::value_writer::{Stopped, ValueWriter};

/// A collection that is captured item by item.
pub trait DebugItems {
    /// Captures the collection.
    ///
    /// # Errors
    /// The budget is used up, or the container around the collection is complete.
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped>;
}

/// Writes an item by its `Debug`, unless that would take a lock.
fn debug<T: Debug>(item: &T, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
    let type_name = type_name::<T>();
    if locks::is_taken_to_debug(type_name) {
        return out.name(token::NAME, type_name.trim_start_matches('&'));
    }
    out.debug(item)
}

fn sequence<T: Debug>(
    out: &mut ValueWriter<'_>,
    len: usize,
    items: impl Iterator<Item = T>,
) -> Result<(), Stopped> {
    let mut sequence = Sequence::open(out, Some(len))?;
    for item in items {
        sequence.item(type_name::<T>(), |out| debug(&item, out))?;
    }
    sequence.end()
}

fn map<K: Debug, V: Debug>(
    out: &mut ValueWriter<'_>,
    len: usize,
    entries: impl Iterator<Item = (K, V)>,
) -> Result<(), Stopped> {
    let mut map = Entries::open(out, Some(len))?;
    for (key, value) in entries {
        map.key(type_name::<K>(), |out| debug(&key, out))?;
        map.value(type_name::<V>(), |out| debug(&value, out))?;
    }
    map.end()
}

impl<T: Debug> DebugItems for [T] {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        sequence(out, self.len(), self.iter())
    }
}

impl<T: Debug, const N: usize> DebugItems for [T; N] {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_slice().write(out)
    }
}

impl<T: Debug> DebugItems for Vec<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_slice().write(out)
    }
}

impl<T: Debug> DebugItems for VecDeque<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        sequence(out, self.len(), self.iter())
    }
}

impl<T: Debug> DebugItems for LinkedList<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        sequence(out, self.len(), self.iter())
    }
}

impl<T: Debug> DebugItems for BinaryHeap<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        sequence(out, self.len(), self.iter())
    }
}

impl<T: Debug> DebugItems for BTreeSet<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        sequence(out, self.len(), self.iter())
    }
}

impl<T: Debug, S> DebugItems for HashSet<T, S> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        sequence(out, self.len(), self.iter())
    }
}

impl<K: Debug, V: Debug> DebugItems for BTreeMap<K, V> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        map(out, self.len(), self.iter())
    }
}

impl<K: Debug, V: Debug, S> DebugItems for HashMap<K, V, S> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        map(out, self.len(), self.iter())
    }
}

impl<T: DebugItems + ?Sized> DebugItems for &T {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for &mut T {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for Box<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for Rc<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: DebugItems + ?Sized> DebugItems for Arc<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: DebugItems> DebugItems for Option<T> {
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        match self {
            Some(items) => items.write(out),
            None => out.put(|buffer| buffer.tag(token::NULL)),
        }
    }
}
