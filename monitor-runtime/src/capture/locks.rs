//! Types whose own code takes a lock.
//!
//! Takes the name of a type; answers whether its `Serialize` or its `Debug` is known to take a lock. Such a type is
//! captured by its name. Its `Serialize` waits for the lock, which the caller may hold. Its `Debug` may not wait, but
//! it holds the lock while the content is formatted: another thread's `try_lock` fails meanwhile, and a content that
//! panics poisons the lock. The file does not know values.

/// The types whose content lies behind a lock, as the ends of their paths.
const LOCKS: [&str; 8] = [
    "::Mutex",
    "::RwLock",
    "::ReentrantMutex",
    "::ReentrantLock",
    "::FairMutex",
    "::ReentrantRwLock",
    "::DashMap",
    "::DashSet",
];

/// Containers whose `Serialize` is the one of their content.
const TRANSPARENT: [&str; 3] = ["alloc::sync::Arc<", "alloc::rc::Rc<", "alloc::boxed::Box<"];

/// Returns true if the `Serialize` of a type waits for a lock. The types around a lock serialize their content one by
/// one, so only the lock itself is meant.
#[inline]
pub(super) fn is_taken_to_serialize(type_name: &str) -> bool {
    is_generic(type_name) && is_one_of(type_name, &LOCKS)
}

/// Returns true if the `Debug` of a type takes a lock. The `Debug` of a container calls that of its content, so a lock
/// anywhere in the name is meant: `(u8, Mutex<u8>)`.
#[inline]
pub(super) fn is_taken_to_debug(type_name: &str) -> bool {
    let bytes = type_name.as_bytes();
    // Most types end here, because few are generic.
    bytes.contains(&b'<') && has_lock(type_name)
}

fn has_lock(type_name: &str) -> bool {
    let mut opened = type_name.match_indices('<');
    opened.any(|(at, _)| LOCKS.iter().any(|lock| type_name[..at].ends_with(lock)))
}

/// Returns true for a generic type, as all of these types are. For other types the compiler finds the answer.
#[inline]
fn is_generic(type_name: &str) -> bool {
    type_name.ends_with('>')
}

/// Returns true if the path of a type, or of the type it refers to, ends with one of these texts.
#[inline]
fn is_one_of(type_name: &str, ends: &[&str]) -> bool {
    let path_len = type_name.bytes().position(|byte| byte == b'<').unwrap_or(0);
    // These are the last letters of the listed types and of the containers that may hold them. Most other types are
    // ruled out here.
    let last = type_name.as_bytes()[..path_len].last_chunk::<2>();
    matches!(last, Some(b"ex" | b"ck" | b"ap" | b"et" | b"rc" | b"Rc" | b"ox"))
        && refers_to_one_of(type_name, ends)
}

fn refers_to_one_of(mut type_name: &str, ends: &[&str]) -> bool {
    loop {
        type_name = type_name.trim_start_matches('&');
        match TRANSPARENT.iter().find_map(|container| type_name.strip_prefix(container)) {
            Some(content) => type_name = content,
            None => break,
        }
    }
    let path_len = type_name.bytes().position(|byte| byte == b'<').unwrap_or(0);
    ends.iter().any(|end| type_name[..path_len].ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::any::type_name;
    use std::sync::{Arc, Mutex, RwLock};

    use super::{is_taken_to_debug, is_taken_to_serialize};

    #[test]
    fn locks_are_known_by_their_names_behind_references_and_boxes() {
        for name in [
            type_name::<Mutex<u8>>(),
            type_name::<&Arc<RwLock<Vec<u8>>>>(),
            type_name::<Box<Mutex<u8>>>(),
            "lock_api::mutex::Mutex<parking_lot::raw_mutex::RawMutex, u8>",
            "dashmap::DashMap<u8, u8>",
        ] {
            assert!(is_taken_to_serialize(name), "{name}");
        }
        for name in
            ["u8", type_name::<Vec<Mutex<u8>>>(), type_name::<Option<u8>>(), "Mutex", "shop::MutexLike<u8>"]
        {
            assert!(!is_taken_to_serialize(name), "{name}");
        }
        for name in [
            type_name::<Mutex<u8>>(),
            type_name::<(u8, &[RwLock<u8>])>(),
            type_name::<Option<std::collections::BTreeMap<u8, Arc<Mutex<u8>>>>>(),
            "&dashmap::DashMap<u8, u8>",
            "lock_api::rwlock::RwLock<parking_lot::raw_rwlock::RawRwLock, u8>",
            "tokio::sync::mutex::Mutex<u8>",
        ] {
            assert!(is_taken_to_debug(name), "{name}");
        }
        for name in [
            "u8",
            type_name::<Vec<u8>>(),
            type_name::<std::sync::MutexGuard<'_, u8>>(),
            "shop::MutexLike<u8>",
            "shop::Mutex",
        ] {
            assert!(!is_taken_to_debug(name), "{name}");
        }
    }
}
