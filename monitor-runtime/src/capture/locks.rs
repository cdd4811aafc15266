//! Types whose own code waits for a lock.
//!
//! Comes in: the name of a type. Goes out: whether its `Serialize` or its `Debug` is known to wait. The caller may hold
//! the very lock, and then it would wait for ever: such a type is captured by its name. The `Debug` of the locks of the
//! standard library does not wait; [`super::direct`] makes use of it.

/// Containers whose `Serialize` is that of their content.
const TRANSPARENT: [&str; 3] = ["alloc::sync::Arc<", "alloc::rc::Rc<", "alloc::boxed::Box<"];

/// Whether the `Serialize` of a type waits for a lock.
#[inline]
pub(super) fn are_taken_to_serialize(type_name: &str) -> bool {
    is_generic(type_name)
        && matches!(last_segment(type_name), "Mutex" | "RwLock" | "ReentrantMutex" | "DashMap" | "DashSet")
}

/// Whether the `Debug` of a type waits for a lock.
#[inline]
pub(super) fn are_taken_to_debug(type_name: &str) -> bool {
    is_generic(type_name) && matches!(last_segment(type_name), "DashMap" | "DashSet")
}

/// All of these types are; for others the answer is then found at compile time.
#[inline]
fn is_generic(type_name: &str) -> bool {
    type_name.ends_with('>')
}

/// `Mutex` of `&alloc::sync::Arc<std::sync::Mutex<u8>>`.
fn last_segment(mut type_name: &str) -> &str {
    loop {
        type_name = type_name.trim_start_matches('&');
        match TRANSPARENT.iter().find_map(|container| type_name.strip_prefix(container)) {
            Some(content) => type_name = content,
            None => break,
        }
    }
    let path = type_name.split('<').next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::any::type_name;
    use std::sync::{Arc, Mutex, RwLock};

    use super::{are_taken_to_debug, are_taken_to_serialize};

    #[test]
    fn locks_are_known_by_their_names_behind_references_and_boxes() {
        for name in [
            type_name::<Mutex<u8>>(),
            type_name::<&Arc<RwLock<Vec<u8>>>>(),
            type_name::<Box<Mutex<u8>>>(),
            "lock_api::mutex::Mutex<parking_lot::raw_mutex::RawMutex, u8>",
            "dashmap::DashMap<u8, u8>",
        ] {
            assert!(are_taken_to_serialize(name), "{name}");
        }
        for name in
            ["u8", type_name::<Vec<Mutex<u8>>>(), type_name::<Option<u8>>(), "Mutex", "shop::MutexLike<u8>"]
        {
            assert!(!are_taken_to_serialize(name), "{name}");
        }
        assert!(are_taken_to_debug("&dashmap::DashMap<u8, u8>"));
        assert!(!are_taken_to_debug(type_name::<Mutex<u8>>()));
    }
}
