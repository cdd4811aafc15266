//! Types whose own code waits for a lock.
//!
//! Takes the name of a type; answers whether its `Serialize` or its `Debug` is known to wait. Such a type is captured
//! by its name, because the caller may hold the very lock and would wait for ever. The `Debug` of the standard
//! library's locks does not wait, so [`super::direct`] uses it. The file does not know values.

/// Containers whose `Serialize` is the one of their content.
const TRANSPARENT: [&str; 3] = ["alloc::sync::Arc<", "alloc::rc::Rc<", "alloc::boxed::Box<"];

/// Returns true if the `Serialize` of a type waits for a lock.
#[inline]
pub(super) fn is_taken_to_serialize(type_name: &str) -> bool {
    is_generic(type_name)
        && is_one_of(type_name, &["::Mutex", "::RwLock", "::ReentrantMutex", "::DashMap", "::DashSet"])
}

/// Returns true if the `Debug` of a type waits for a lock.
#[inline]
pub(super) fn is_taken_to_debug(type_name: &str) -> bool {
    is_generic(type_name) && is_one_of(type_name, &["::DashMap", "::DashSet"])
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
        assert!(is_taken_to_debug("&dashmap::DashMap<u8, u8>"));
        assert!(!is_taken_to_debug(type_name::<Mutex<u8>>()));
    }
}
